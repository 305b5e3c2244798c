//! When which connection has to be looked at.

use std::collections::BTreeSet;

use super::Engine;
use crate::core::engine::connection::Due;
use crate::core::engine::socket::Socket;
use crate::core::state::effects::{CloseMode, CloseReason};
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

impl<S: Socket> Engine<S> {
    /// Does what is due. If a connection has input that was not read since its deadline, it is judged after that input
    /// is read: the process may have been stopped meanwhile.
    pub(super) fn on_deadlines(&mut self) {
        let mut postponed = Vec::new();
        while let Some(key) = self.deadlines.pop_due(self.now) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.timer = Millis::NEVER;
            let paused_until = self.pauses.get(&key).map(|paused| paused.pause.until);
            match connection.deadline(&self.core.config, self.probed_since.get(&key), paused_until) {
                Some((when, Due::Close(_) | Due::Ask))
                    if when <= self.now && connection.may_have_spoken_since(when) =>
                {
                    postponed.push(key);
                    continue;
                }
                Some((when, Due::Close(reason))) if when <= self.now => {
                    let mode = match reason {
                        // Only once: if this deadline comes while the connection lingers, it is closed.
                        CloseReason::HandshakeTimeout | CloseReason::MidPacket if connection.is_open() => {
                            CloseMode::AfterWriting
                        }
                        _ => CloseMode::Now,
                    };
                    self.close(key, reason, mode);
                    self.apply_effects();
                }
                Some((when, Due::Answer)) if when <= self.now => {
                    let mut context =
                        Self::context(&mut self.core, &mut self.effects, key, connection.remote, self.now);
                    let verdict = connection.session.on_answer_due(&mut context);
                    self.on_verdict(key, verdict);
                    self.apply_effects();
                    self.enqueue(key);
                }
                Some((when, Due::Ask)) if when <= self.now => self.ask_silent(),
                Some((when, Due::EndProbe)) if when <= self.now => {
                    self.probed_since.remove(&key);
                    connection.socket.set_keepalive(connection.session.keepalive());
                }
                Some((when, Due::Resume)) if when <= self.now => self.resume_overdue(key),
                _ => {}
            }
            self.schedule(key);
        }
        for key in postponed {
            self.schedule(key);
        }
    }
}
