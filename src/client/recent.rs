//! What was sent lately, so that an ERROR can be said in words.
//!
//! An ERROR carries our own nickname and a reason, and nothing of what failed (RFC section 8). There is one for each
//! packet that failed, and for one server they come in the order in which the packets were sent. What arrives safely
//! is not answered at all, so this is a guess where several things were sent to several people at once; it then says so.

use std::collections::VecDeque;
use std::fmt;

use super::address::Address;
use super::escape::{Visible, beginning};
use super::limits::{ERROR_DRAIN_MS, ERROR_WAIT_MS, EXCERPT_MAX_BYTES, RECENT_MAX};
use crate::wire::{ErrorReason, ServerId};

/// Everything that an ERROR may still be about.
#[derive(Debug, Default)]
pub struct Recent {
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    to: Address,
    subject: Subject,
    /// Packets that were sent, each of which may be answered.
    packets: u64,
    errors: u64,
    last_ms: u64,
    suspicion: Suspicion,
    /// It was named as one of several that may have failed.
    is_named: bool,
    /// It failed, was stopped, and this is when its last ERROR came.
    stopped_ms: Option<u64>,
}

/// How likely it is that the receiver is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Suspicion {
    /// It has said something since.
    Low,
    /// It has said something before.
    Middle,
    /// We have never heard of it.
    High,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A private message, or its beginning.
    Message(String),
    /// A file.
    File {
        /// Its transfer ID.
        transfer_id: u32,
        /// Its name.
        name: String,
    },
}

/// What an ERROR is about.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One more of a file that was stopped already: nothing to say.
    Expected,
    /// This is what to say, and these transfers are to be stopped.
    Failed {
        /// One line, safe to show.
        line: String,
        /// Transfers that can't arrive any more.
        stop: Vec<u32>,
    },
}

impl Recent {
    /// A private message was sent. `is_known`: its receiver was heard of before.
    pub fn on_message_sent(&mut self, to: &Address, text: &str, is_known: bool, now_ms: u64) {
        let mut excerpt = beginning(text, EXCERPT_MAX_BYTES).to_owned();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        self.add(to, Subject::Message(excerpt), 1, is_known, now_ms);
    }

    /// So many packets of a file were sent.
    pub fn on_file_sent(
        &mut self,
        to: &Address,
        (transfer_id, name): (u32, &str),
        packets: u64,
        is_known: bool,
        now_ms: u64,
    ) {
        let known =
            self.sent.iter_mut().rev().find(
                |sent| matches!(&sent.subject, Subject::File { transfer_id: known, .. } if *known == transfer_id),
            );
        match known {
            Some(sent) => {
                sent.packets += packets;
                sent.last_ms = now_ms;
            }
            None => self.add(to, Subject::File { transfer_id, name: name.to_owned() }, packets, is_known, now_ms),
        }
    }

    /// Somebody said something, so they are there.
    pub fn on_heard_of(&mut self, server: ServerId, nickname: &str) {
        for sent in self.sent.iter_mut().filter(|sent| sent.to.is(server, nickname)) {
            sent.suspicion = Suspicion::Low;
        }
    }

    /// An ERROR came.
    pub fn on_error(&mut self, reason: ErrorReason, now_ms: u64) -> Verdict {
        self.sent.retain(|sent| now_ms.saturating_sub(sent.last_ms) <= ERROR_WAIT_MS);
        let draining = self.sent.iter_mut().find(|sent| {
            sent.errors < sent.packets
                && sent.stopped_ms.is_some_and(|last| now_ms.saturating_sub(last) <= ERROR_DRAIN_MS)
        });
        if let Some(sent) = draining {
            sent.errors += 1;
            sent.stopped_ms = Some(now_ms);
            return Verdict::Expected;
        }
        let all = self.indices(|sent| sent.errors < sent.packets && sent.stopped_ms.is_none());
        let highest = all.iter().filter_map(|&at| self.sent.get(at)).map(|sent| sent.suspicion).max();
        let suspects = all.iter().copied().filter(|&at| self.sent.get(at).map(|sent| sent.suspicion) == highest);
        let suspects: Vec<usize> = suspects.collect();
        let is_guess = suspects.len() < all.len();
        self.judge(suspects, is_guess, reason, now_ms)
    }

    fn judge(&mut self, candidates: Vec<usize>, is_guess: bool, reason: ErrorReason, now_ms: u64) -> Verdict {
        let why = match reason {
            ErrorReason::UnknownServer => "that server is unknown or not connected",
            ErrorReason::UnknownReceiver => "nobody of that name is connected there",
        };
        let receivers: Vec<&Sent> = candidates.iter().filter_map(|&at| self.sent.get(at)).collect();
        let Some(oldest) = receivers.first() else {
            return Verdict::Failed { line: format!("something did not arrive: {why}"), stop: Vec::new() };
        };
        let to = oldest.to.clone();
        let is_sure = receivers.iter().all(|sent| sent.to == to);
        if !is_sure {
            let are_files = receivers.iter().all(|sent| matches!(sent.subject, Subject::File { .. }));
            if are_files && receivers.iter().all(|sent| sent.is_named) {
                return Verdict::Expected;
            }
            let mut named: Vec<String> = receivers.iter().map(|sent| sent.to_string()).collect();
            named.dedup();
            let line = format!("one of these did not arrive: {}: {why}", named.join(", "));
            for &at in &candidates {
                let Some(sent) = self.sent.get_mut(at) else { continue };
                sent.is_named = true;
            }
            if let Some(sent) = candidates.first().and_then(|&at| self.sent.get_mut(at)) {
                sent.errors += 1;
            }
            return Verdict::Failed { line, stop: Vec::new() };
        }
        // Who does not get one thing gets nothing, so files on the way there end too.
        let (mut stop, mut files) = (Vec::new(), Vec::new());
        let mut is_counted = false;
        for &at in &candidates {
            let Some(sent) = self.sent.get_mut(at) else { continue };
            if let Subject::File { transfer_id, .. } = sent.subject {
                stop.push(transfer_id);
                files.push(sent.to_string());
                sent.stopped_ms = Some(now_ms);
            } else if is_counted {
                continue;
            }
            sent.errors += u64::from(!std::mem::replace(&mut is_counted, true));
        }
        let line = match candidates.first().and_then(|&at| self.sent.get(at)) {
            _ if !files.is_empty() => format!("stopped: {}: {why}", files.join(", ")),
            Some(sent) if is_guess => format!("probably not delivered: {sent}: {why}"),
            Some(sent) => format!("not delivered: {sent}: {why}"),
            None => String::new(),
        };
        Verdict::Failed { line, stop }
    }

    fn indices(&self, is_meant: impl Fn(&Sent) -> bool) -> Vec<usize> {
        self.sent.iter().enumerate().filter(|(_, sent)| is_meant(sent)).map(|(at, _)| at).collect()
    }

    fn add(&mut self, to: &Address, subject: Subject, packets: u64, is_known: bool, now_ms: u64) {
        self.sent.retain(|sent| now_ms.saturating_sub(sent.last_ms) <= ERROR_WAIT_MS);
        if self.sent.len() >= RECENT_MAX {
            self.sent.pop_front();
        }
        let to = to.clone();
        let suspicion = if is_known { Suspicion::Middle } else { Suspicion::High };
        self.sent.push_back(Sent {
            to,
            subject,
            packets,
            errors: 0,
            last_ms: now_ms,
            suspicion,
            is_named: false,
            stopped_ms: None,
        });
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Message(excerpt) => write!(f, "message to {} \"{}\"", self.to, Visible(excerpt)),
            Subject::File { name, .. } => write!(f, "file \"{}\" to {}", Visible(name), self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(nickname: &str) -> Address {
        Address::new(ServerId(7), nickname)
    }

    fn error(recent: &mut Recent, now_ms: u64) -> Option<(String, Vec<u32>)> {
        match recent.on_error(ErrorReason::UnknownReceiver, now_ms) {
            Verdict::Expected => None,
            Verdict::Failed { line, stop } => Some((line, stop)),
        }
    }

    #[test]
    fn an_error_names_the_one_message_it_can_be_about() {
        let mut recent = Recent::default();
        recent.on_message_sent(&somebody("bob"), "hi\n", false, 0);
        let (line, stop) = error(&mut recent, 10).unwrap_or_default();
        assert_eq!(line, "not delivered: message to bob@7 \"hi\\n\": nobody of that name is connected there");
        assert!(stop.is_empty());
        assert_eq!(
            error(&mut recent, 20).unwrap_or_default().0,
            "something did not arrive: nobody of that name is connected there"
        );
    }

    #[test]
    fn the_errors_of_a_file_are_said_once_and_stop_it() {
        let mut recent = Recent::default();
        recent.on_file_sent(&somebody("bob"), (3, "a.iso"), 65, false, 0);
        recent.on_file_sent(&somebody("bob"), (3, "a.iso"), 64, false, 5);
        let (line, stop) = error(&mut recent, 10).unwrap_or_default();
        assert_eq!(line, "stopped: file \"a.iso\" to bob@7: nobody of that name is connected there");
        assert_eq!(stop, [3]);
        for packet in 1..129 {
            assert_eq!(error(&mut recent, 10 + packet), None, "{packet}");
        }
        assert!(error(&mut recent, 200).is_some());
    }

    #[test]
    fn a_message_that_fails_after_a_stopped_file_is_said() {
        let mut recent = Recent::default();
        recent.on_file_sent(&somebody("bob"), (3, "a.iso"), 65, false, 0);
        assert!(error(&mut recent, 10).is_some());
        assert!(error(&mut recent, 20).is_none());
        recent.on_message_sent(&somebody("carl"), "x", false, 3_000);
        assert!(error(&mut recent, 3_010).is_some_and(|(line, _)| line.contains("carl@7")));
    }

    #[test]
    fn who_was_heard_of_is_not_suspected() {
        let mut recent = Recent::default();
        recent.on_message_sent(&somebody("ben"), "one", false, 0);
        recent.on_message_sent(&somebody("bob"), "two", false, 0);
        recent.on_heard_of(ServerId(7), "ben");
        assert!(
            error(&mut recent, 10)
                .is_some_and(|(line, _)| line.starts_with("probably not delivered: message to bob@7 \"two\""))
        );
    }

    #[test]
    fn who_was_never_heard_of_is_suspected_first() {
        let mut recent = Recent::default();
        recent.on_message_sent(&somebody("ben"), "one", true, 0);
        recent.on_message_sent(&somebody("bob"), "two", false, 0);
        assert!(error(&mut recent, 10).is_some_and(|(line, _)| line.contains("bob@7")));
        assert!(error(&mut recent, 20).is_some_and(|(line, _)| line.starts_with("not delivered: message to ben@7")));
    }

    #[test]
    fn where_it_can_t_be_known_all_that_are_possible_are_named_and_no_file_is_stopped() {
        let mut recent = Recent::default();
        recent.on_message_sent(&somebody("bob"), "x", false, 0);
        recent.on_file_sent(&somebody("ben"), (3, "a.iso"), 65, false, 0);
        let (line, stop) = error(&mut recent, 10).unwrap_or_default();
        assert_eq!(
            line,
            "one of these did not arrive: message to bob@7 \"x\", file \"a.iso\" to ben@7: nobody of that name is connected there"
        );
        assert!(stop.is_empty());
        // The message has had its ERROR, so one more can only be the file's.
        assert!(error(&mut recent, 20).is_some_and(|(_, stop)| stop == [3]));
    }

    #[test]
    fn what_was_sent_long_ago_is_forgotten_and_the_table_stays_small() {
        let mut recent = Recent::default();
        recent.on_message_sent(&somebody("bob"), "old", false, 0);
        recent.on_message_sent(&somebody("carl"), "new", false, ERROR_WAIT_MS);
        assert!(error(&mut recent, ERROR_WAIT_MS + 1).is_some_and(|(line, _)| line.contains("carl")));
        for now_ms in 0..1000 {
            recent.on_message_sent(&somebody("bob"), &"é".repeat(500), false, now_ms);
        }
        assert!(recent.sent.len() <= RECENT_MAX);
    }
}
