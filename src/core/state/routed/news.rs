//! How much news of links is taken from a neighbour, and how much goes on to the others (D29).
//!
//! ```text
//!   liar ══64 KiB/s══▶ ┐                                  what goes on to one neighbour is less than what
//!   liar ══64 KiB/s══▶ ├ database ──32 KiB/s──▶ honest    that neighbour takes, whoever tells us how much
//!   liar ══64 KiB/s══▶ ┘   └ the newest of each server waits its turn
//! ```
//!
//! A neighbour that tells too much is read from later. If we passed all of it on, our neighbours would read our own link
//! later in turn, and with it all users behind us.

use std::collections::VecDeque;

use super::database::Place;
use super::{Bucket, Effects, Key, Millis, Routed, limits};
use crate::wire::ServerId;

/// The news of others that goes on.
#[derive(Debug)]
pub(super) struct Onward {
    /// What may go on now.
    bucket: Bucket,
    /// The servers whose newest LINKS have to go on, in the order of their turns, and the link that those came over.
    waiting: VecDeque<(Place, Key)>,
}

impl Default for Onward {
    fn default() -> Onward {
        let bucket = Bucket::holding(limits::ROUTED_ONWARD_BURST_BYTES, Millis(0));
        Onward { bucket, waiting: VecDeque::new() }
    }
}

impl Onward {
    /// When some of it may go on.
    pub fn next_deadline(&self) -> Option<Millis> {
        let is_waiting = !self.waiting.is_empty();
        is_waiting.then(|| self.bucket.when_it_has(0, limits::ROUTED_ONWARD_RATE_BYTES))
    }
}

impl Routed {
    /// When the neighbour may tell more of links, if it has told too much.
    pub fn admit_links(&mut self, server: ServerId, bytes: usize, now: Millis) -> Option<Millis> {
        let news = &mut self.links.get_mut(&server)?.news;
        news.refill(limits::ROUTED_NEWS_RATE_BYTES, limits::ROUTED_NEWS_BURST_BYTES, now);
        if !news.has_some() {
            return Some(news.when_it_has(0, limits::ROUTED_NEWS_RATE_BYTES));
        }
        news.take(bytes, limits::ROUTED_NEWS_BURST_BYTES);
        None
    }

    /// What came over the link `from` is news of this server: it goes on at once, unless too much did before.
    pub(super) fn tell_on(&mut self, place: Place, from: Key, now: Millis, effects: &mut Effects) {
        match self.onward.waiting.iter_mut().find(|(waiting, _)| *waiting == place) {
            Some((_, key)) => *key = from,
            None => {
                if self.onward.waiting.len() >= limits::ROUTED_ENTRIES_MAX {
                    // Some have lost their place in the database.
                    self.onward.waiting.retain(|&(waiting, _)| self.database.get(waiting).is_some());
                }
                self.onward.waiting.push_back((place, from));
            }
        }
        self.tell_waiting(now, effects);
    }

    /// What had to wait goes on, as far as it may.
    pub(super) fn tell_waiting(&mut self, now: Millis, effects: &mut Effects) {
        let (rate, most) = (limits::ROUTED_ONWARD_RATE_BYTES, limits::ROUTED_ONWARD_BURST_BYTES);
        self.onward.bucket.refill(rate, most, now);
        let mut bytes = Vec::new();
        while self.onward.bucket.has_some() {
            let Some((place, from)) = self.onward.waiting.pop_front() else { break };
            let Some(entry) = self.database.get(place) else { continue };
            bytes.clear();
            entry.encode(place, &mut bytes);
            self.onward.bucket.take(bytes.len(), most);
            self.tell(&bytes, Some(from), effects);
        }
    }
}
