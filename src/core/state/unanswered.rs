//! Which packets of our clients another server may still answer with an ERROR.
//!
//! An ERROR names a client, and nothing else. No server shall be able to make one up. So each private message and file
//! chunk to another server is counted for its sender and the link, for a while. An ERROR over that link takes one of
//! them (D13).

use std::collections::BTreeMap;

use super::key::Key;
use crate::core::time::Millis;
use crate::limits::{CONNECTION_BYTES, SIBLINGS_MAX};

/// Slots in which a packet may be answered: that of its own time, and all that begin before its time is over.
const SLOTS: usize = 4;

/// Packets that were forwarded and not answered. Time in which packets wait for the link does not count: who knows when
/// this one will be written. There is one entry for each client and link at most, and it goes with
/// them: nine small ones for each client, which are part of what a connection takes
/// ([`CONNECTION_BYTES`](crate::limits::CONNECTION_BYTES)).
#[derive(Debug)]
pub struct Unanswered {
    links: BTreeMap<Key, Link>,
    /// How finely time is kept: what is answered a little later than promised is still believed.
    slot_ms: u64,
}

/// What went over one link.
#[derive(Debug, Default)]
struct Link {
    clients: BTreeMap<Key, Packets>,
    /// Since when packets wait for it.
    behind_since: Option<Millis>,
    /// How long they did before.
    behind_ms: u64,
}

/// Packets of one client over one link.
#[derive(Debug, Default)]
struct Packets {
    /// The last slot of time in which one was forwarded. Slots are counted from the server's start.
    last: u32,
    /// How many of each slot have no answer; the last one comes first.
    counts: [u32; SLOTS],
}

/// What an entry takes of memory, if the nodes of the map are as empty as they may be: less than half full.
const ENTRY_MAX_BYTES: usize = 5 * (size_of::<Key>() + size_of::<Packets>()) / 2;
// A connection takes 3.9 KiB without them.
const _: () = assert!((SIBLINGS_MAX * ENTRY_MAX_BYTES) as u64 <= CONNECTION_BYTES / 8);

impl Link {
    /// The slot of time that counts.
    fn slot(&self, now: Millis, slot_ms: u64) -> u32 {
        let counted_ms = self.behind_since.unwrap_or(now).0.saturating_sub(self.behind_ms);
        u32::try_from(counted_ms / slot_ms).unwrap_or(u32::MAX)
    }
}

impl Packets {
    /// Forgets what is too old.
    fn expire(&mut self, now: u32) {
        let passed = now.saturating_sub(self.last) as usize;
        if passed > 0 {
            self.last = now;
            self.counts.copy_within(..SLOTS.saturating_sub(passed), passed.min(SLOTS));
            self.counts.iter_mut().take(passed).for_each(|count| *count = 0);
        }
    }
}

impl Unanswered {
    /// Packets may be answered for so long.
    pub fn new(wait_ms: u64) -> Unanswered {
        Unanswered { links: BTreeMap::new(), slot_ms: (wait_ms / (SLOTS as u64 - 1)).max(1) }
    }

    /// A packet of `client` was forwarded over `link`.
    pub fn add(&mut self, client: Key, link: Key, now: Millis) {
        let link = self.links.entry(link).or_default();
        let slot = link.slot(now, self.slot_ms);
        let packets = link.clients.entry(client).or_default();
        packets.expire(slot);
        let [last, ..] = &mut packets.counts;
        *last = last.saturating_add(1);
    }

    /// An ERROR for `client` has come over `link`. Returns whether it may answer something: the oldest packet then has
    /// its answer.
    pub fn take(&mut self, client: Key, link: Key, now: Millis) -> bool {
        let Some(link) = self.links.get_mut(&link) else { return false };
        let slot = link.slot(now, self.slot_ms);
        let Some(packets) = link.clients.get_mut(&client) else { return false };
        packets.expire(slot);
        let oldest = packets.counts.iter_mut().rev().find(|count| **count > 0);
        oldest.map(|count| *count -= 1).is_some()
    }

    /// A link was written to: something waits for it still, or nothing any more.
    pub fn set_behind(&mut self, link: Key, is_behind: bool, now: Millis) {
        let Some(link) = self.links.get_mut(&link) else { return };
        if is_behind {
            link.behind_since.get_or_insert(now);
        } else if let Some(since) = link.behind_since.take() {
            link.behind_ms += now.since(since);
        }
    }

    /// The client is gone.
    pub fn forget_client(&mut self, client: Key) {
        for link in self.links.values_mut() {
            link.clients.remove(&client);
        }
    }

    /// The link is gone, and with it all answers.
    pub fn forget_link(&mut self, link: Key) {
        self.links.remove(&link);
    }

    /// Entries that are held.
    pub fn len(&self) -> usize {
        self.links.values().map(|link| link.clients.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ERROR_WAIT_MS;

    const SLOT_MS: u64 = ERROR_WAIT_MS / 3;
    const ANA: Key = Key { index: 1, serial: 1 };
    const BOB: Key = Key { index: 2, serial: 2 };
    const LINK: Key = Key { index: 3, serial: 3 };
    const OTHER: Key = Key { index: 4, serial: 4 };

    #[test]
    fn each_packet_is_answered_once_and_only_over_its_link() {
        let mut unanswered = Unanswered::new(ERROR_WAIT_MS);
        for now in [0, 500, 3_000] {
            unanswered.add(ANA, LINK, Millis(now));
        }
        let now = Millis(4_000);
        assert!(!unanswered.take(ANA, OTHER, now) && !unanswered.take(BOB, LINK, now));
        assert!((0..3).all(|_| unanswered.take(ANA, LINK, now)));
        assert!(!unanswered.take(ANA, LINK, now));
    }

    #[test]
    fn a_packet_may_be_answered_for_as_long_as_promised_and_little_longer() {
        for sent in (0..2 * ERROR_WAIT_MS).step_by(100) {
            let mut unanswered = Unanswered::new(ERROR_WAIT_MS);
            unanswered.add(ANA, LINK, Millis(sent));
            unanswered.add(ANA, LINK, Millis(sent));
            assert!(unanswered.take(ANA, LINK, Millis(sent + ERROR_WAIT_MS)), "sent at {sent} ms");
            assert!(!unanswered.take(ANA, LINK, Millis(sent + ERROR_WAIT_MS + SLOT_MS)), "sent at {sent} ms");
        }
    }

    #[test]
    fn time_in_which_packets_wait_for_the_link_does_not_count() {
        let mut unanswered = Unanswered::new(ERROR_WAIT_MS);
        unanswered.add(ANA, LINK, Millis(1_000));
        unanswered.set_behind(LINK, true, Millis(1_000));
        unanswered.set_behind(LINK, true, Millis(50_000));
        unanswered.add(BOB, LINK, Millis(60_000));
        unanswered.set_behind(LINK, false, Millis(100_000));
        for client in [ANA, BOB] {
            unanswered.add(client, LINK, Millis(100_000));
            assert!(unanswered.take(client, LINK, Millis(100_000 + ERROR_WAIT_MS)));
            assert!(unanswered.take(client, LINK, Millis(100_000 + ERROR_WAIT_MS)));
            assert!(!unanswered.take(client, LINK, Millis(100_000 + ERROR_WAIT_MS)));
            unanswered.add(client, LINK, Millis(100_000 + ERROR_WAIT_MS));
            assert!(!unanswered.take(client, LINK, Millis(100_000 + 3 * ERROR_WAIT_MS)));
        }
    }

    #[test]
    fn each_packet_has_its_own_time() {
        let mut unanswered = Unanswered::new(ERROR_WAIT_MS);
        let times: Vec<u64> = (0..100).map(|second| second * 1_000).collect();
        for &now in &times {
            unanswered.add(ANA, LINK, Millis(now));
        }
        let now = Millis(100_000);
        let answered = (0..200).filter(|_| unanswered.take(ANA, LINK, now)).count();
        let is_young = |&&sent: &&u64| now.0 - sent <= ERROR_WAIT_MS;
        let is_recent = |&&sent: &&u64| now.0 - sent <= ERROR_WAIT_MS + SLOT_MS;
        let (least, most) = (times.iter().filter(is_young).count(), times.iter().filter(is_recent).count());
        assert!((least..=most).contains(&answered), "{answered} of {least} to {most}");
    }

    #[test]
    fn a_client_costs_one_entry_for_each_link_whatever_it_sends() {
        let mut unanswered = Unanswered::new(ERROR_WAIT_MS);
        (0..100_000).for_each(|now| unanswered.add(ANA, LINK, Millis(now)));
        unanswered.add(BOB, LINK, Millis(1));
        unanswered.add(ANA, OTHER, Millis(1));
        assert_eq!(unanswered.len(), 3);
        unanswered.forget_link(OTHER);
        assert_eq!(unanswered.len(), 2);
        unanswered.forget_client(ANA);
        assert_eq!(unanswered.len(), 1);
        assert!(!unanswered.take(ANA, LINK, Millis(100_000)) && unanswered.take(BOB, LINK, Millis(2)));
    }
}
