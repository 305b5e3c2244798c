//! Back-pressure: the receivers whose queue is past its high-water mark, and what that means for senders (D49).
//!
//! A receiver enters when its queue grows past the mark. It leaves when the queue has drained to the low-water mark, or
//! when it is gone. In between, its senders are slowed, each kind of packet in its way:
//!
//! - **A file chunk** waits until the receiver has drained, or has taken a fixed number of bytes since the wait began.
//! - **A private message** is queued. A sender of many waits a moment between them. Beyond half of the queue's limit
//!   they are refused, so that no receiver is closed because of what others send to it.
//! - **A public message** passes, as long as its sender has said no more than an equal share of what may be said in any
//!   case ([`PUBLIC_RATE_BYTES`]). Beyond that, senders wait for what the others leave of it.
//!
//! Nothing waits while all keep up. What receivers do decides only between a fixed rate and no limit at all.

use std::collections::{BTreeMap, VecDeque};

use super::bucket::Bucket;
use super::key::Key;
use crate::core::time::Millis;
use crate::limits::{
    DEAD_READER_MS, HIGH_WATER_DIVISOR, MESSAGE_BURST_BYTES, MESSAGE_RATE_BYTES, PRIVATE_QUEUE_DIVISOR,
    PUBLIC_BURST_PARTS, PUBLIC_RATE_BYTES, PUBLIC_SHARE_MIN_BYTES, SLOWED_MAX_MS, SLOWED_MIN_MS,
};

/// The receivers that are behind, and what was sent meanwhile.
#[derive(Debug)]
pub struct Pressure {
    receivers: BTreeMap<Key, Receiver>,
    /// The clients that have sent public messages since the first receiver entered.
    talkers: BTreeMap<Key, Talker>,
    /// What may be said in public, by all together.
    public: Option<Bucket>,
    /// Public bytes that may be sent at once: a second's worth, or what a short queue has room for.
    public_burst_bytes: usize,
}

/// How much waits for a receiver, and whether it takes it.
#[derive(Debug, Clone, Copy)]
pub struct Level {
    /// It gets public messages.
    pub gets_public: bool,
    /// It is a link to another server.
    pub is_link: bool,
    /// The kernel did not take all that it was offered.
    pub is_stuck: bool,
    /// Bytes that wait for it.
    pub pending_bytes: usize,
    /// The limit of them.
    pub limit_bytes: usize,
    /// Bytes that it has taken since it connected.
    pub taken_bytes: u64,
}

/// A receiver past its mark.
#[derive(Debug)]
struct Receiver {
    level: Level,
    /// When it took something last, or entered.
    last_taken: Millis,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
}

/// A sender that waits for a receiver.
#[derive(Debug)]
struct Waiting {
    sender: Key,
    /// It goes on when the receiver has taken so many bytes.
    until_taken_bytes: u64,
}

/// A sender, client or link.
#[derive(Debug)]
struct Talker {
    /// Its share of what may be said in public.
    public: Bucket,
    /// What it may tell receivers that are behind.
    private: Bucket,
    /// A public message of it waits; it is paid for, and goes at this time.
    booked: Option<Millis>,
}

/// What may be done with a packet now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Handle it.
    Pass,
    /// Keep it until the receiver was written to, which is before this turn ends.
    WaitForWrite,
    /// Keep it, and try again then.
    WaitUntil(Millis),
    /// Answer it with an ERROR: the receiver's queue is full.
    Refuse,
}

impl Pressure {
    /// No receiver is behind. `max_queue_bytes` is the limit of a client's queue.
    pub fn new(max_queue_bytes: usize) -> Pressure {
        let public_burst_bytes = PUBLIC_RATE_BYTES.min(max_queue_bytes / HIGH_WATER_DIVISOR);
        Pressure { receivers: BTreeMap::new(), talkers: BTreeMap::new(), public: None, public_burst_bytes }
    }

    /// Whether the receiver's queue has grown past its high-water mark, and has not drained since.
    pub fn is_past_high_water(&self, receiver: Key) -> bool {
        self.receivers.contains_key(&receiver)
    }

    /// The receiver's queue is past its high-water mark, or between its marks on the way down.
    pub fn note(&mut self, receiver: Key, level: Level, now: Millis) {
        let receiver =
            self.receivers.entry(receiver).or_insert(Receiver { level, last_taken: now, waiting: VecDeque::new() });
        if level.taken_bytes > receiver.level.taken_bytes {
            receiver.last_taken = now;
        }
        receiver.level = level;
    }

    /// The receiver has drained, or is gone. Returns the senders that waited for it, in order of arrival.
    pub fn leave(&mut self, receiver: Key) -> Vec<Key> {
        let waiting = self.receivers.remove(&receiver).map(|receiver| receiver.waiting).unwrap_or_default();
        if self.receivers.is_empty() {
            self.talkers.clear();
            self.public = None;
        }
        waiting.into_iter().map(|waiting| waiting.sender).collect()
    }

    /// `sender` waits for `receiver`, which is past its mark, until that has taken so many bytes.
    pub fn wait(&mut self, receiver: Key, sender: Key, bytes: usize) {
        if let Some(receiver) = self.receivers.get_mut(&receiver) {
            let until_taken_bytes = receiver.level.taken_bytes.saturating_add(bytes as u64);
            receiver.waiting.push_back(Waiting { sender, until_taken_bytes });
        }
    }

    /// `sender` waits for `receiver` no longer.
    pub fn stop_waiting(&mut self, receiver: Key, sender: Key) {
        if let Some(receiver) = self.receivers.get_mut(&receiver) {
            receiver.waiting.retain(|waiting| waiting.sender != sender);
        }
    }

    /// Takes out the senders that have waited for as many bytes as `receiver` has taken meanwhile.
    pub fn take_served(&mut self, receiver: Key) -> Vec<Key> {
        let Some(receiver) = self.receivers.get_mut(&receiver) else { return Vec::new() };
        let taken_bytes = receiver.level.taken_bytes;
        let mut served = Vec::new();
        receiver.waiting.retain(|waiting| {
            let is_served = waiting.until_taken_bytes <= taken_bytes;
            if is_served {
                served.push(waiting.sender);
            }
            !is_served
        });
        served
    }

    /// `sender` is gone.
    pub fn forget(&mut self, sender: Key) {
        self.talkers.remove(&sender);
    }

    /// Whether the receiver has taken nothing for long.
    pub fn is_dead(&self, receiver: Key, now: Millis) -> bool {
        self.receivers.get(&receiver).is_some_and(|receiver| receiver.is_dead(now))
    }

    /// Whether senders of many public messages are slowed. A client that takes nothing any more does not count: its
    /// queue fills up, and it is closed. A link counts, because it carries the messages for a whole server.
    pub fn slows_public(&self, now: Millis) -> bool {
        self.receivers.values().any(|receiver| {
            let Level { gets_public, is_link, is_stuck, .. } = receiver.level;
            gets_public && is_stuck && (is_link || !receiver.is_dead(now))
        })
    }

    /// Whether a client's public message of so many bytes may go. `clients` are logged in on this server.
    pub fn admit_public(&mut self, sender: Key, bytes: usize, clients: usize, now: Millis) -> Admission {
        if !self.slows_public(now) {
            return Admission::Pass;
        }
        let share = PUBLIC_RATE_BYTES / clients.max(1);
        let most = (self.public_burst_bytes / clients.max(1)).max(PUBLIC_SHARE_MIN_BYTES);
        let pool = refilled_pool(&mut self.public, self.public_burst_bytes / PUBLIC_BURST_PARTS, now);
        let talker = self.talkers.entry(sender).or_insert_with(|| Talker::new(most, now));
        talker.public.refill(share, most, now);
        if let Some(when) = talker.booked {
            if now >= when || talker.public.has(bytes) {
                talker.booked = None;
                return Admission::Pass;
            }
            return Admission::WaitUntil(when.min(now + SLOWED_MAX_MS));
        }
        if talker.public.has(bytes) {
            talker.public.take(bytes, 0);
            pool.take(bytes, usize::MAX);
            return Admission::Pass;
        }
        let when = pool.when_it_has(0, PUBLIC_RATE_BYTES);
        let may_pass = pool.has_some();
        pool.take(bytes, usize::MAX);
        if may_pass {
            return Admission::Pass;
        }
        // Paid for now, so that waiting senders are served in order of arrival.
        talker.booked = Some(when);
        Admission::WaitUntil(when.max(now + SLOWED_MIN_MS).min(now + SLOWED_MAX_MS))
    }

    /// The answer for a public message over a link, which carries the messages of many users.
    pub fn admit_public_of_link(&mut self, bytes: usize, may_wait: bool, now: Millis) -> Admission {
        if !self.slows_public(now) {
            return Admission::Pass;
        }
        let most = self.public_burst_bytes / PUBLIC_BURST_PARTS;
        let pool = refilled_pool(&mut self.public, most, now);
        if pool.has_some() || !may_wait {
            // Links may bring more than our own rate. Clients here wait no longer for it than a moment.
            pool.take(bytes, most);
            return Admission::Pass;
        }
        Admission::WaitUntil(pool.when_it_has(0, PUBLIC_RATE_BYTES).max(now + SLOWED_MIN_MS))
    }

    /// Whether a private message of so many bytes may go to `receiver`, a client or a link.
    pub fn admit_private(
        &mut self,
        sender: Key,
        receiver: Key,
        bytes: usize,
        may_wait: bool,
        now: Millis,
    ) -> Admission {
        let Some(Receiver { level, .. }) = self.receivers.get(&receiver) else { return Admission::Pass };
        if !level.is_stuck {
            return Admission::WaitForWrite;
        }
        let talker = self.talkers.entry(sender).or_insert_with(|| Talker::new(PUBLIC_SHARE_MIN_BYTES, now));
        talker.private.refill(MESSAGE_RATE_BYTES, MESSAGE_BURST_BYTES, now);
        if !talker.private.has_some() && may_wait {
            return Admission::WaitUntil(talker.private.when_it_has(0, MESSAGE_RATE_BYTES).max(now + 1));
        }
        // A second's worth of debt at most: no message waits longer.
        talker.private.take(bytes, MESSAGE_RATE_BYTES - 1);
        if level.has_room_for(bytes) { Admission::Pass } else { Admission::Refuse }
    }

    /// Whether a file chunk of so many bytes may go to `receiver`. `wait_ms` is how long it may wait; nothing if it may
    /// not, or has waited.
    pub fn admit_chunk(&self, receiver: Key, bytes: usize, wait_ms: Option<u64>, now: Millis) -> Admission {
        let Some(Receiver { level, .. }) = self.receivers.get(&receiver) else { return Admission::Pass };
        match wait_ms {
            _ if !level.is_stuck => Admission::WaitForWrite,
            Some(wait_ms) => Admission::WaitUntil(now + wait_ms),
            None if level.has_room_for(bytes) => Admission::Pass,
            None => Admission::Refuse,
        }
    }

    /// Whether a packet in transit may be queued for a link: what is private fills half of its queue.
    pub fn has_room(&self, link: Key, bytes: usize) -> bool {
        self.receivers.get(&link).is_none_or(|receiver| receiver.level.has_room_for(bytes))
    }

    /// Senders that wait for a receiver.
    pub fn waiting(&self) -> usize {
        self.receivers.values().map(|receiver| receiver.waiting.len()).sum()
    }

    /// Whether no queue is past its mark.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty() && self.talkers.is_empty()
    }
}

impl Level {
    /// A server that a neighbour holds back (D35): its senders wait as for a link's queue. What passes all the same is
    /// queued for the link on the way there.
    pub const HELD: Level = Level {
        gets_public: false,
        is_link: true,
        is_stuck: true,
        pending_bytes: 0,
        limit_bytes: usize::MAX,
        taken_bytes: 0,
    };

    /// Whether a private packet may be queued: less than half of the queue is filled, and the packet does not close the
    /// receiver.
    fn has_room_for(&self, bytes: usize) -> bool {
        self.pending_bytes <= self.limit_bytes / PRIVATE_QUEUE_DIVISOR
            && self.pending_bytes.saturating_add(bytes) <= self.limit_bytes
    }
}

impl Receiver {
    fn is_dead(&self, now: Millis) -> bool {
        now.since(self.last_taken) >= DEAD_READER_MS
    }
}

impl Talker {
    fn new(public_bytes: usize, now: Millis) -> Talker {
        Talker {
            public: Bucket::holding(public_bytes, now),
            private: Bucket::holding(MESSAGE_BURST_BYTES, now),
            booked: None,
        }
    }
}

fn refilled_pool(pool: &mut Option<Bucket>, most_bytes: usize, now: Millis) -> &mut Bucket {
    let pool = pool.get_or_insert_with(|| Bucket::holding(most_bytes, now));
    pool.refill(PUBLIC_RATE_BYTES, most_bytes, now);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key { index, serial: 1 }
    }

    /// A receiver reads, and is behind: senders of many messages are slowed.
    fn behind() -> Pressure {
        let mut pressure = Pressure::new(1 << 20);
        let level = Level {
            gets_public: true,
            is_link: false,
            is_stuck: true,
            pending_bytes: 500_000,
            limit_bytes: 1 << 20,
            taken_bytes: 0,
        };
        pressure.note(key(0), level, Millis(0));
        pressure
    }

    #[test]
    fn who_waits_longest_to_say_something_in_public_goes_first() {
        let mut pressure = behind();
        let mut say = |sender, now| pressure.admit_public(key(sender), 5000, 100, Millis(now));
        let until = |admission| match admission {
            Admission::WaitUntil(when) => when.0,
            other => panic!("{other:?}"),
        };
        // The first uses up all that there is, and its next message waits. So does a second one's.
        while say(1, 0) == Admission::Pass {}
        let second_waits_until = until(say(2, 0));
        // A third one that comes later does not go before them, however early it asks.
        let third_waits_until = until(say(3, 1));
        assert!(third_waits_until > second_waits_until);
        assert!(matches!(say(3, second_waits_until), Admission::WaitUntil(_)));
        assert_eq!(say(2, second_waits_until), Admission::Pass);
        assert_eq!(say(3, third_waits_until), Admission::Pass);
    }

    #[test]
    fn a_client_has_its_share_again_by_and_by_and_what_is_left_is_for_those_who_say_more() {
        let mut pressure = behind();
        let share_bytes = PUBLIC_RATE_BYTES / 2;
        let mut say = |sender, bytes, now| pressure.admit_public(key(sender), bytes, 2, Millis(now)) == Admission::Pass;
        assert!((1..=3).all(|sender| say(sender, share_bytes, 0)), "its own share");
        assert!(!say(3, share_bytes, 0), "all is used up");
        // However much others have said meanwhile.
        assert!((4..20).all(|sender| say(sender, share_bytes, 740)));
        assert!(!say(2, share_bytes, 750) && say(1, share_bytes / 2, 750), "three quarters of a share");
        assert!(!say(1, share_bytes / 2, 750), "a quarter is left");
        let mut pressure = behind();
        let mut say = |bytes| pressure.admit_public(key(1), bytes, 1000, Millis(0)) == Admission::Pass;
        assert!(say(PUBLIC_SHARE_MIN_BYTES) && say(PUBLIC_RATE_BYTES), "a burst is left when the own share is used up");
        assert!(!say(1), "and now it is gone");
    }

    #[test]
    fn no_private_message_waits_longer_than_a_second() {
        let mut pressure = behind();
        let mut say = |now| pressure.admit_private(key(1), key(0), 10 * MESSAGE_RATE_BYTES, true, Millis(now));
        say(0);
        assert_eq!(say(0), Admission::WaitUntil(Millis(1000)));
    }

    /// The receiver of `behind`, with another level.
    fn at_level(change: impl FnOnce(&mut Level)) -> Pressure {
        let mut pressure = behind();
        let mut level = pressure.receivers[&key(0)].level;
        change(&mut level);
        pressure.note(key(0), level, Millis(0));
        pressure
    }

    #[test]
    fn public_messages_are_slowed_by_a_stuck_receiver_of_them_alone_and_by_a_dead_link_too() {
        let (now, late) = (Millis(0), Millis(1_000_000));
        assert!(behind().slows_public(now) && !behind().slows_public(late));
        assert!(!at_level(|level| level.gets_public = false).slows_public(now));
        assert!(!at_level(|level| level.is_stuck = false).slows_public(now));
        assert!(at_level(|level| level.is_link = true).slows_public(late));
        let mut pressure = behind();
        let level = Level { taken_bytes: 1, ..pressure.receivers[&key(0)].level };
        pressure.note(key(0), level, late);
        assert!(pressure.slows_public(late), "it has just taken something");
        pressure.note(key(0), level, late + 1_000_000);
        assert!(!pressure.slows_public(late + 1_000_000), "and no more since");
    }

    #[test]
    fn a_link_that_brings_many_public_messages_waits_if_it_may() {
        let most = behind().public_burst_bytes / PUBLIC_BURST_PARTS;
        let mut pressure = behind();
        let mut bring = |bytes, may_wait, now| pressure.admit_public_of_link(bytes, may_wait, Millis(now));
        assert_eq!(bring(most - 1, true, 0), Admission::Pass);
        assert_eq!(bring(1, true, 0), Admission::Pass, "a part of the burst, and no more");
        assert_eq!(bring(1, true, 0), Admission::WaitUntil(Millis(SLOWED_MIN_MS)));
        assert_eq!(bring(1, false, 0), Admission::Pass, "one that may not wait");
        let mut idle = Pressure::new(1 << 20);
        assert!((0..100).all(|_| idle.admit_public_of_link(most, true, Millis(0)) == Admission::Pass));
    }

    #[test]
    fn what_is_in_transit_has_half_of_a_links_queue() {
        let link = |pending_bytes| {
            at_level(|level| (level.pending_bytes, level.limit_bytes, level.is_link) = (pending_bytes, 1_000, true))
        };
        assert!(link(100).has_room(key(0), 10) && !link(900).has_room(key(0), 10));
        assert!(link(900).has_room(key(1), 10), "another link");
    }

    #[test]
    fn a_chunk_for_a_receiver_that_was_not_written_to_yet_waits_for_that_alone() {
        let admit = |pressure: Pressure, wait_ms| pressure.admit_chunk(key(0), 1_024, wait_ms, Millis(5));
        for wait_ms in [None, Some(7)] {
            assert_eq!(admit(at_level(|level| level.is_stuck = false), wait_ms), Admission::WaitForWrite);
        }
        assert_eq!(admit(behind(), Some(7)), Admission::WaitUntil(Millis(12)));
        assert_eq!(admit(at_level(|level| level.pending_bytes = 0), None), Admission::Pass);
        assert_eq!(admit(at_level(|level| level.pending_bytes = 1 << 20), None), Admission::Refuse);
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone_when_nobody_is_behind() {
        let mut pressure = behind();
        pressure.admit_public(key(1), 10, 1, Millis(0));
        pressure.admit_public(key(2), 10, 1, Millis(0));
        pressure.forget(key(1));
        assert_eq!(pressure.talkers.len(), 1);
        assert!(!pressure.is_empty());
        pressure.leave(key(0));
        assert!(pressure.is_empty());
    }
}
