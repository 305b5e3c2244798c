//! Which packets of our clients another server may still answer with an ERROR.
//!
//! An ERROR names a client, and nothing else. No server shall be able to make one up. So each private message and file
//! chunk to another server is counted for its sender and the link, for a while. An ERROR over that link takes one of
//! them (D13).

use std::collections::{BTreeMap, VecDeque};

use super::key::Key;
use crate::core::time::Millis;
use crate::limits::ERROR_WAIT_MS;

/// How finely time is kept.
const SLOT_MS: u64 = 1_000;

/// Packets that were forwarded and not answered. There is a slot for each second, oldest first, so that old entries go
/// at once. The memory is that of the senders and links of the last seconds.
#[derive(Debug, Default)]
pub struct Unanswered {
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    second: u64,
    /// By client and link. No more entries than there are clients, times nine.
    packets: BTreeMap<(Key, Key), u32>,
}

impl Unanswered {
    /// A packet of `client` was forwarded over `link`.
    pub fn add(&mut self, client: Key, link: Key, now: Millis) {
        self.expire(now);
        let second = now.0 / SLOT_MS;
        if self.slots.back().is_none_or(|slot| slot.second != second) {
            self.slots.push_back(Slot { second, packets: BTreeMap::new() });
        }
        if let Some(slot) = self.slots.back_mut() {
            let count = slot.packets.entry((client, link)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// An ERROR for `client` has come over `link`. Returns whether it may answer something.
    pub fn take(&mut self, client: Key, link: Key, now: Millis) -> bool {
        self.expire(now);
        for slot in &mut self.slots {
            let Some(count) = slot.packets.get_mut(&(client, link)) else { continue };
            *count -= 1;
            if *count == 0 {
                slot.packets.remove(&(client, link));
            }
            return true;
        }
        false
    }

    /// Drops entries that are too old.
    pub fn expire(&mut self, now: Millis) {
        while self.slots.front().is_some_and(|slot| slot.second * SLOT_MS + SLOT_MS + ERROR_WAIT_MS <= now.0) {
            self.slots.pop_front();
        }
    }

    /// Entries that are held.
    pub fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.packets.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Key = Key { index: 1, serial: 1 };
    const BOB: Key = Key { index: 2, serial: 2 };
    const LINK: Key = Key { index: 3, serial: 3 };
    const OTHER: Key = Key { index: 4, serial: 4 };

    #[test]
    fn each_packet_is_answered_once_and_only_over_its_link() {
        let mut unanswered = Unanswered::default();
        for now in [0, 500, 3_000] {
            unanswered.add(ANA, LINK, Millis(now));
        }
        let now = Millis(4_000);
        assert!(!unanswered.take(ANA, OTHER, now) && !unanswered.take(BOB, LINK, now));
        assert!((0..3).all(|_| unanswered.take(ANA, LINK, now)));
        assert!(!unanswered.take(ANA, LINK, now) && unanswered.is_empty());
    }

    #[test]
    fn what_is_not_answered_in_time_is_let_go() {
        let mut unanswered = Unanswered::default();
        unanswered.add(ANA, LINK, Millis(900));
        unanswered.add(ANA, LINK, Millis(5_000));
        assert!(unanswered.take(ANA, LINK, Millis(900 + ERROR_WAIT_MS)));
        assert!(unanswered.take(ANA, LINK, Millis(5_000 + ERROR_WAIT_MS)));
        unanswered.add(ANA, LINK, Millis(50_000));
        unanswered.expire(Millis(50_000 + ERROR_WAIT_MS + SLOT_MS));
        assert!(unanswered.is_empty());
    }

    #[test]
    fn a_file_costs_an_entry_a_second_and_not_one_for_each_chunk() {
        let mut unanswered = Unanswered::default();
        (0..100_000).for_each(|now| unanswered.add(ANA, LINK, Millis(now)));
        assert!(unanswered.len() <= (ERROR_WAIT_MS / SLOT_MS) as usize + 1, "{}", unanswered.len());
    }
}
