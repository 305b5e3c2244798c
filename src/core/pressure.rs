//! Back-pressure: whose queue is past its high-water mark, and who waits for it to drain.

use std::collections::BTreeMap;

use super::key::Key;

/// A receiver enters when its queue grows past the high-water mark and leaves when it has drained to the low-water
/// mark or is gone. A sender in between is not read from: it waits for exactly one receiver.
#[derive(Debug, Default)]
pub struct Pressure {
    waiting: BTreeMap<Key, Vec<Key>>,
}

impl Pressure {
    /// Whether nothing may be queued for this receiver now, but by those who can't be made to wait.
    pub fn is_past_high_water(&self, receiver: Key) -> bool {
        self.waiting.contains_key(&receiver)
    }

    /// The receiver's queue has grown past its high-water mark.
    pub fn enter(&mut self, receiver: Key) {
        self.waiting.entry(receiver).or_default();
    }

    /// `sender` waits for `receiver`, which is past its mark.
    pub fn wait(&mut self, receiver: Key, sender: Key) {
        let senders = self.waiting.entry(receiver).or_default();
        debug_assert!(!senders.contains(&sender));
        senders.push(sender);
    }

    /// `sender`, which waits, does so no longer: it is gone. Looks at all receivers, which are few.
    pub fn stop_waiting(&mut self, sender: Key) {
        for senders in self.waiting.values_mut() {
            senders.retain(|&waiting| waiting != sender);
        }
    }

    /// Senders that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    /// The receiver has drained, or is gone. Returns who waited for it, in the order in which they came.
    pub fn leave(&mut self, receiver: Key) -> Vec<Key> {
        self.waiting.remove(&receiver).unwrap_or_default()
    }

    /// Whether nobody is past a mark.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
