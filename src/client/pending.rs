//! Own messages on their way: what has not come back, and what is lost with the connection.
//!
//! A public message comes back to its sender (D6). A private one does not, so from time to time a private message to
//! oneself goes behind it, a *fence*: the server handles packets in order, so when the fence comes back, all that was
//! sent before was handled. A fence has a number that nobody can guess, and is never shown.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::escape::{Visible, beginning};
use super::limits::{ERROR_WAIT_MS, EXCERPT_MAX_BYTES, FENCE_MS, LOST_NAMED_MAX, PENDING_MAX, PENDING_MS};
use super::outbox::Message;

/// How a fence begins.
const FENCE: &str = "[cfp-client: all before this has arrived] ";

/// The text of a fence.
pub fn fence_text(number: u64) -> String {
    format!("{FENCE}{number:016x}")
}

/// The number of a fence.
pub fn fence_number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix(FENCE).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Messages that were typed and may be lost, the oldest first.
#[derive(Debug, Default)]
pub struct Pending {
    own: VecDeque<Own>,
    /// Older ones that found no room.
    forgotten: u64,
    /// Counts what was queued.
    queued: u64,
    /// The last fence: its number, and how many messages were queued before it.
    fence: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Own {
    order: u64,
    is_public: bool,
    hash: u64,
    /// What it is called.
    shown: String,
    since_ms: u64,
}

impl Pending {
    /// A message is queued.
    pub fn on_queued(&mut self, message: &Message, now_ms: u64) {
        let (is_public, text, to) = match message {
            Message::Public(text) => (true, text, None),
            Message::Private(to, text) => (false, text, Some(to)),
            Message::Fence(number, _) => {
                self.fence = Some((*number, self.queued));
                return;
            }
            Message::Probe(..) => return,
        };
        if self.own.len() >= PENDING_MAX && self.own.pop_front().is_some() {
            self.forgotten += 1;
        }
        self.queued += 1;
        let to = to.map(|to| format!("to {to} ")).unwrap_or_default();
        let shown = format!("{to}\"{}\"", excerpt(text));
        self.own.push_back(Own { order: self.queued, is_public, hash: hash(text), shown, since_ms: now_ms });
    }

    /// A public message of ours came back. Returns what to say about those that should have come back before it; `None`
    /// if it is not one of these.
    pub fn on_echo(&mut self, text: &str) -> Option<Vec<String>> {
        let hash = hash(text);
        let Some(at) = self.own.iter().position(|own| own.is_public && own.hash == hash) else {
            self.forgotten = self.forgotten.checked_sub(1)?;
            return Some(Vec::new());
        };
        // Those before it were handled before it. Public ones come back in their order, so the server has dropped these.
        let passed = self.own.drain(..=at).rev().skip(1).filter(|own| own.is_public);
        let dropped =
            |own: Own| format!("not delivered: {}: the server has passed it over (is it too long there?)", own.shown);
        let mut lines: Vec<String> = passed.map(dropped).collect();
        lines.reverse();
        self.forgotten = 0;
        Some(lines)
    }

    /// A fence came back. Returns whether it was ours.
    pub fn on_fence(&mut self, number: u64) -> bool {
        let Some((_, order)) = self.fence.take_if(|(sent, _)| *sent == number) else { return false };
        // A public message comes back by another queue, perhaps later.
        self.own.retain(|own| own.is_public || own.order > order);
        true
    }

    /// Whether a fence would tell something: private messages went out a moment ago, and nothing came behind them.
    pub fn wants_fence(&self, now_ms: u64) -> bool {
        let last = self.own.back().filter(|own| !own.is_public);
        self.fence.is_none() && last.is_some_and(|own| now_ms.saturating_sub(own.since_ms) >= FENCE_MS)
    }

    /// Time passes: without a fence, private messages are known to be handled by no other sign than that they are old.
    pub fn on_time(&mut self, now_ms: u64) {
        if self.fence.is_none() {
            self.own.retain(|own| own.is_public || now_ms.saturating_sub(own.since_ms) < ERROR_WAIT_MS);
        }
    }

    /// What to say about those that should have come back by now; empty for nothing.
    pub fn late(&self, now_ms: u64) -> String {
        let is_late = |own: &&Own| now_ms.saturating_sub(own.since_ms) >= PENDING_MS;
        // Without a fence nothing is known of a private one.
        let mut late = self.own.iter().filter(is_late).filter(|own| own.is_public || self.fence.is_some());
        match (late.next(), late.count()) {
            (None, _) => String::new(),
            (Some(first), 0) => format!("not confirmed yet: {}", first.shown),
            (Some(first), more) => format!("not confirmed yet: {} and {more} more", first.shown),
        }
    }

    /// The connection is lost: what to say about each.
    pub fn on_lost(&mut self) -> Vec<String> {
        let own = std::mem::take(&mut self.own);
        let more = self.forgotten + own.len().saturating_sub(LOST_NAMED_MAX) as u64;
        let mut lines: Vec<String> = own.iter().take(LOST_NAMED_MAX).map(|own| lost(&own.shown)).collect();
        if more > 0 {
            lines.push(lost(&format!("{more} more messages")));
        }
        self.forgotten = 0;
        lines
    }
}

fn lost(what: &str) -> String {
    format!("lost, or perhaps not: {what} had not come back when the connection ended")
}

fn excerpt(text: &str) -> String {
    let mut excerpt = Visible(beginning(text, EXCERPT_MAX_BYTES)).to_string();
    if text.len() > EXCERPT_MAX_BYTES {
        excerpt.push('…');
    }
    excerpt
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::recipient::Recipient;
    use crate::wire::ServerId;

    fn public(text: &str) -> Message {
        Message::Public(text.to_owned())
    }

    fn private(text: &str) -> Message {
        Message::Private(Recipient::new(ServerId(7), "bob"), text.to_owned())
    }

    #[test]
    fn a_message_is_pending_until_it_or_a_later_one_comes_back() {
        let mut pending = Pending::default();
        pending.on_queued(&private("two"), 0);
        pending.on_queued(&public("three"), 0);
        assert_eq!(pending.late(PENDING_MS - 1), "");
        assert_eq!(pending.late(PENDING_MS), "not confirmed yet: \"three\"");
        assert_eq!(pending.on_echo("two"), None);
        assert_eq!(pending.on_echo("three"), Some(vec![]));
        assert_eq!(pending.late(PENDING_MS), "");
        assert_eq!(pending.on_lost(), [""; 0]);
    }

    #[test]
    fn a_public_message_that_a_later_one_overtakes_was_dropped_by_the_server() {
        let mut pending = Pending::default();
        for text in ["one", "two", "three"] {
            pending.on_queued(&public(text), 0);
        }
        let lines = pending.on_echo("three").unwrap_or_default();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().zip(["one", "two"]).all(|(line, text)| line.contains(text)), "{lines:?}");
        assert_eq!(pending.on_echo("one"), None);
    }

    #[test]
    fn a_private_message_is_confirmed_by_a_fence_and_by_no_other_number() {
        let mut pending = Pending::default();
        pending.on_queued(&private("hi"), 0);
        assert!(!pending.wants_fence(FENCE_MS - 1) && pending.wants_fence(FENCE_MS));
        pending.on_queued(&Message::Fence(5, Recipient::new(ServerId(7), "ana")), FENCE_MS);
        assert!(!pending.wants_fence(FENCE_MS));
        assert_eq!(pending.late(PENDING_MS), "not confirmed yet: to bob@7 \"hi\"");
        assert!(!pending.on_fence(6) && pending.on_fence(5) && !pending.on_fence(5));
        assert_eq!(pending.late(PENDING_MS), "");
    }

    #[test]
    fn what_is_lost_is_named_up_to_a_bound_and_counted() {
        let mut pending = Pending::default();
        pending.on_queued(&private("hi"), 0);
        for number in 0..2 * PENDING_MAX {
            pending.on_queued(&public(&number.to_string()), 0);
        }
        let lost = pending.on_lost();
        assert_eq!(lost.len(), LOST_NAMED_MAX + 1);
        let more = 2 * PENDING_MAX + 1 - LOST_NAMED_MAX;
        assert!(lost.last().is_some_and(|line| line.contains(&format!("{more} more messages"))), "{lost:?}");
    }

    #[test]
    fn the_text_of_a_fence_has_its_number_and_no_other_text_does() {
        assert_eq!(fence_number(&fence_text(u64::MAX - 1)), Some(u64::MAX - 1));
        for text in ["", FENCE, "[cfp-client: all before this has arrived] 123", "hi 0000000000000001"] {
            assert_eq!(fence_number(text), None);
        }
    }
}
