//! When which connection has to be looked at.

use std::collections::BTreeSet;

use crate::core::state::key::Key;
use crate::core::time::Millis;

/// At most one entry for each connection. An entry may be early: a deadline that moves away is not moved in here, the
/// connection is looked at and put in again. So traffic costs nothing here.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: BTreeSet<(Millis, Key)>,
}

impl Deadlines {
    /// Makes sure that `key` is looked at by `when`. `timer` is the connection's note of its entry, or `NEVER`.
    pub fn schedule(&mut self, key: Key, when: Millis, timer: &mut Millis) {
        if *timer <= when {
            return;
        }
        self.cancel(key, timer);
        self.entries.insert((when, key));
        *timer = when;
    }

    /// Takes the entry out.
    pub fn cancel(&mut self, key: Key, timer: &mut Millis) {
        let planned = std::mem::replace(timer, Millis::NEVER);
        if planned != Millis::NEVER {
            self.entries.remove(&(planned, key));
        }
    }

    /// Takes out an entry that is due.
    pub fn pop_due(&mut self, now: Millis) -> Option<Key> {
        let &(when, _) = self.entries.first()?;
        if when > now { None } else { self.entries.pop_first().map(|(_, key)| key) }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Millis> {
        self.entries.first().map(|&(when, _)| when)
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
