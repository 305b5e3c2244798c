//! Back-pressure: whose queue is past its high-water mark, and who waits for it to drain.

use std::collections::BTreeMap;

use super::key::Key;
use crate::core::time::Millis;
use crate::limits::LINK_HOLD_MS;

/// A receiver enters when its queue grows past the high-water mark and leaves when it has drained to the low-water
/// mark or is gone. A sender in between is not read from: it waits for exactly one receiver.
///
/// A client waits as long as it takes: it holds up nobody but itself. A link, behind which a whole server's users
/// stand, waits only until [`LINK_HOLD_MS`] after the receiver passed its mark. Who has not drained by then is
/// delivered to without a pause, until it has, or is over its limit and closed.
#[derive(Debug, Default)]
pub struct Pressure {
    receivers: BTreeMap<Key, Receiver>,
    /// Links among those who wait, and until when at most. Never more than there are links.
    held_links: Vec<(Millis, Key)>,
}

/// A receiver past its mark.
#[derive(Debug, Default)]
struct Receiver {
    since: Millis,
    waiting: Vec<Key>,
}

impl Pressure {
    /// Whether nothing may be queued for this receiver now, but by those who can't be made to wait.
    pub fn is_past_high_water(&self, receiver: Key) -> bool {
        self.receivers.contains_key(&receiver)
    }

    /// Whether a link may wait for this receiver: it is past its mark, and has not been for long.
    pub fn holds_links(&self, receiver: Key, now: Millis) -> bool {
        self.receivers.get(&receiver).is_some_and(|receiver| now < receiver.since + LINK_HOLD_MS)
    }

    /// The receiver's queue has grown past its high-water mark.
    pub fn enter(&mut self, receiver: Key, now: Millis) {
        self.receivers.entry(receiver).or_insert(Receiver { since: now, waiting: Vec::new() });
    }

    /// `sender` waits for `receiver`, which is past its mark.
    pub fn wait(&mut self, receiver: Key, sender: Key) {
        let waiting = &mut self.receivers.entry(receiver).or_default().waiting;
        debug_assert!(!waiting.contains(&sender));
        waiting.push(sender);
    }

    /// The same for a link, with its bound.
    pub fn wait_as_link(&mut self, receiver: Key, link: Key) {
        self.wait(receiver, link);
        let since = self.receivers.get(&receiver).map_or(Millis::default(), |receiver| receiver.since);
        self.held_links.push((since + LINK_HOLD_MS, link));
    }

    /// `sender`, which waits, does so no longer: it is gone, or has waited for long enough. Looks at all receivers,
    /// which are few.
    pub fn stop_waiting(&mut self, sender: Key) {
        for receiver in self.receivers.values_mut() {
            receiver.waiting.retain(|&waiting| waiting != sender);
        }
        self.held_links.retain(|&(_, link)| link != sender);
    }

    /// When the first link has waited for long enough.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.held_links.iter().map(|&(until, _)| until).min()
    }

    /// Takes out a link that has waited for long enough.
    pub fn pop_overdue_link(&mut self, now: Millis) -> Option<Key> {
        let &(_, link) = self.held_links.iter().find(|&&(until, _)| until <= now)?;
        self.stop_waiting(link);
        Some(link)
    }

    /// Senders that wait.
    pub fn waiting(&self) -> usize {
        self.receivers.values().map(|receiver| receiver.waiting.len()).sum()
    }

    /// The receiver has drained, or is gone. Returns who waited for it, in the order in which they came.
    pub fn leave(&mut self, receiver: Key) -> Vec<Key> {
        let waiting = self.receivers.remove(&receiver).map(|receiver| receiver.waiting).unwrap_or_default();
        self.held_links.retain(|(_, link)| !waiting.contains(link));
        waiting
    }

    /// Whether nobody is past a mark.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty() && self.held_links.is_empty()
    }
}
