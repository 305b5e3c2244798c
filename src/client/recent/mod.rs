//! Recent sends, so that the client can say what an ERROR is about.
//!
//! An ERROR carries our own nickname and a reason, but does not name what failed (RFC section 8). There is one for each
//! packet that failed; a packet that arrives is not answered. So if several things were sent, an ERROR may be about any
//! of them. Each ERROR brings a line, unless all that it may be about were named before.
//!
//! What can't be told apart is a group, which counts its ERRORs together:
//!
//! ```text
//!  sent: m1 to bob, m2 to carl                   {m1} {m2}
//!  ERROR  "one of these: m1, m2"                 {m1, m2} with 1 ERROR of 2
//!  sent: m3 to bob                               {m1, m2} with 1 of 2, {m3}
//!  ERROR  "2 of these: m1, m2, m3"               {m1, m2, m3} with 2 of 3
//!  ERROR  "not delivered: m1, m2, m3"            all have failed
//! ```

use std::fmt;

use super::escape::{Visible, beginning};
use super::json::Field;
use super::limits::{ERROR_WAIT_MS, EXCERPT_MAX_BYTES, FILE_FENCE_MS, NAMED_AT_ONCE_MAX, RECENT_MAX, SENT_WAIT_MS};
use super::progress::size;
use super::recipient::Recipient;
use crate::wire::ErrorReason;

/// Everything that an ERROR may still be about.
#[derive(Debug, Default)]
pub struct Recent {
    groups: Vec<Group>,
    /// When something was sent that may be answered.
    last_sent_ms: Option<u64>,
    /// A question whether the server is there was sent, and its ERROR has not come.
    is_probed: bool,
}

/// Things that can't be told apart, the oldest first.
#[derive(Debug, Default)]
struct Group {
    members: Vec<Sent>,
    /// How many of their packets have failed.
    errors: u64,
}

#[derive(Debug)]
struct Sent {
    to: Recipient,
    subject: Subject,
    /// Packets that were sent, each of which may be answered.
    packets: u64,
    /// When the last one was sent, or an ERROR came that may be about it.
    last_ms: u64,
    /// The user was told that it may not have arrived.
    is_named: bool,
}

/// What was sent.
#[derive(Debug)]
enum Subject {
    /// A private message, or its beginning.
    Message(String),
    File {
        transfer_id: u32,
        number: u64,
        name: String,
        stage: Stage,
    },
}

/// How far a file is.
#[derive(Debug)]
enum Stage {
    /// More chunks come.
    UnderWay,
    /// The last one is being written, and perhaps a fence of this number behind it. That may come back, at this time,
    /// before it is known that the writing has ended.
    Last(Option<u64>, Option<u64>),
    /// The last one was written at this time. The server has handled it when the fence of this number comes back. The line
    /// is said then, with the rate.
    Written(u64, u64, Rated),
    /// The last one was sent at this time. Unless an ERROR comes in a moment, this line is said.
    Complete(u64, String),
    /// That was said.
    Said,
    /// It was stopped, or failed: that was said.
    Over,
}

/// A file about which nothing more is to be expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    /// What to say, safe to show.
    pub line: String,
    /// The file.
    pub file: SentFile,
}

/// A file that went out, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    /// Its receiver.
    pub to: Recipient,
    /// What it is called.
    pub name: String,
    /// Its number, which tells it from others of its name.
    pub number: u64,
}

/// A line that ends with the rate of a transfer, once its end is known.
#[derive(Debug, Default)]
pub struct Rated {
    /// What to say, safe to show.
    pub line: String,
    /// What was transferred.
    pub bytes: u64,
    /// When it began.
    pub begun_ms: u64,
}

impl Rated {
    /// The line, if the transfer ended at this time.
    pub fn at(self, end_ms: u64) -> String {
        let rate = self.bytes.saturating_mul(1000) / end_ms.saturating_sub(self.begun_ms).max(1);
        format!("{}, {}/s", self.line, size(rate))
    }
}

/// What an ERROR is about.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answers the question whether the server is there.
    Answered,
    /// Everything that it may be about was named already.
    Expected,
    /// This is what to say, and these transfers are to be stopped.
    Failed {
        /// One line, safe to show.
        line: String,
        /// Transfers that can't arrive any more.
        stop: Vec<u32>,
        /// Files that are certain to have failed.
        failed: Vec<SentFile>,
    },
}

impl Recent {
    /// A private message was sent.
    pub fn on_message_sent(&mut self, to: &Recipient, text: &str, now_ms: u64) {
        let mut excerpt = beginning(text, EXCERPT_MAX_BYTES).to_owned();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        self.add(to, Subject::Message(excerpt), 1, now_ms);
    }

    /// So many packets of a file were sent: of this transfer, number and name.
    pub fn on_file_sent(
        &mut self,
        to: &Recipient,
        (transfer_id, number, name): (u32, u64, &str),
        packets: u64,
        now_ms: u64,
    ) {
        self.last_sent_ms = Some(now_ms);
        match self.file(transfer_id) {
            Some(sent) => {
                sent.packets += packets;
                sent.last_ms = now_ms;
            }
            None => {
                let subject = Subject::File { transfer_id, number, name: name.to_owned(), stage: Stage::UnderWay };
                self.add(to, subject, packets, now_ms);
            }
        }
    }

    /// The last chunk of a file is about to be written, and perhaps a fence behind it.
    pub fn on_file_last(&mut self, transfer_id: u32, fence: Option<u64>) {
        if let Some(Sent { subject: Subject::File { stage: stage @ Stage::UnderWay, .. }, .. }) = self.file(transfer_id)
        {
            *stage = Stage::Last(fence, None);
        }
    }

    /// That was written. `line` is what to say once it seems to have arrived.
    pub fn on_file_written(&mut self, transfer_id: u32, line: Rated, now_ms: u64) {
        if let Some(Sent { subject: Subject::File { stage, .. }, .. }) = self.file(transfer_id)
            && let Stage::Last(fence, back_ms) = *stage
        {
            *stage = match fence {
                Some(number) if back_ms.is_none() => Stage::Written(now_ms, number, line),
                _ => Stage::Complete(now_ms, line.at(back_ms.unwrap_or(now_ms))),
            };
        }
    }

    /// A fence came back: all before it was handled. Returns whether it stood behind a file.
    pub fn on_fence(&mut self, number: u64, now_ms: u64) -> bool {
        let mut all = self.groups.iter_mut().flat_map(|group| &mut group.members);
        let is_early = all.any(|sent| match &mut sent.subject {
            Subject::File { stage: Stage::Last(Some(fence), back_ms), .. } if *fence == number => {
                *back_ms = Some(now_ms);
                true
            }
            _ => false,
        });
        is_early || self.complete(now_ms, |_, fence| fence == number)
    }

    /// A question whether the server is there was sent. It is answered with an ERROR, as if it were a message.
    pub fn on_probed(&mut self) {
        self.is_probed = true;
    }

    /// Whether no ERROR is to be expected.
    pub fn is_quiet(&mut self, now_ms: u64) -> bool {
        self.forget_old(now_ms);
        self.groups.is_empty() && !self.is_probed
    }

    /// Files that are written count as handled, if that is due.
    fn complete(&mut self, now_ms: u64, is_due: impl Fn(u64, u64) -> bool) -> bool {
        let mut has_some = false;
        for sent in self.groups.iter_mut().flat_map(|group| &mut group.members) {
            let Subject::File { stage, .. } = &mut sent.subject else { continue };
            if let Stage::Written(since_ms, fence, line) = stage
                && is_due(*since_ms, *fence)
            {
                *stage = Stage::Complete(now_ms, std::mem::take(line).at(now_ms));
                has_some = true;
            }
        }
        has_some
    }

    /// The user has stopped a file; ERRORs may still come for it.
    pub fn on_file_cancelled(&mut self, transfer_id: u32, now_ms: u64) {
        if let Some(sent) = self.file(transfer_id) {
            sent.end(now_ms);
        }
    }

    /// Lines about files that seem to have arrived: no ERROR has come for a moment.
    pub fn settled(&mut self, now_ms: u64) -> Vec<Settled> {
        self.complete(now_ms, |since_ms, _| now_ms.saturating_sub(since_ms) >= FILE_FENCE_MS);
        self.settle(|since_ms| now_ms.saturating_sub(since_ms) >= SENT_WAIT_MS)
    }

    /// Decides about all of them, because the server has no more to say. If it may have, `lost` says why.
    pub fn on_end(&mut self, lost: Option<&str>, now_ms: u64) -> Vec<Settled> {
        let Some(lost) = lost else {
            self.complete(now_ms, |_, _| true);
            return self.settle(|_| true);
        };
        let is_unsure = |sent: &&Sent| sent.is_unsettled();
        let all = self.groups.iter().flat_map(|group| &group.members);
        let lines = all.filter(is_unsure).filter_map(|sent| {
            let line = format!("may not have arrived whole: {sent}: {lost}");
            Some(Settled { line, file: sent.as_file()? })
        });
        let lines = lines.collect();
        self.groups.clear();
        lines
    }

    /// Whether lines about files are still to be said.
    pub fn is_unsettled(&self) -> bool {
        let mut all = self.groups.iter().flat_map(|group| &group.members);
        all.any(Sent::is_unsettled)
    }

    /// How long to wait before leaving, so that an ERROR for the last packets can come.
    pub fn wait_before_end_ms(&self, now_ms: u64) -> u64 {
        self.last_sent_ms.map_or(0, |last_ms| (last_ms + SENT_WAIT_MS).saturating_sub(now_ms))
    }

    /// An ERROR came.
    pub fn on_error(&mut self, reason: ErrorReason, now_ms: u64) -> Verdict {
        self.forget_old(now_ms);
        if reason == ErrorReason::UnknownServer && std::mem::take(&mut self.is_probed) {
            return Verdict::Answered;
        }
        let why = match reason {
            ErrorReason::UnknownServer => "that server is unknown or not connected",
            ErrorReason::UnknownReceiver => "nobody of that name is connected there",
        };
        // A file whose ERRORs had their time is a candidate only if nothing else is.
        let mut candidates = self.take_groups(|group| group.is_open() && !group.is_said());
        if candidates.is_empty() {
            candidates = self.take_groups(Group::is_open);
        }
        if candidates.is_empty() {
            let line = format!("something did not arrive: {why}");
            return Verdict::Failed { line, stop: Vec::new(), failed: Vec::new() };
        }
        let mut group = Group::merged(candidates);
        group.errors += 1;
        let verdict = group.judge(why, now_ms);
        self.groups.push(group);
        verdict
    }

    fn settle(&mut self, is_due: impl Fn(u64) -> bool) -> Vec<Settled> {
        let mut lines = Vec::new();
        for sent in self.groups.iter_mut().flat_map(|group| &mut group.members) {
            let Some(file) = sent.as_file() else { continue };
            let Subject::File { stage, .. } = &mut sent.subject else { continue };
            let Stage::Complete(since_ms, line) = stage else { continue };
            if is_due(*since_ms) {
                let doubt = if sent.is_named { ", but it may not have arrived, as was said" } else { "" };
                lines.push(Settled { line: std::mem::take(line) + doubt, file });
                *stage = Stage::Said;
            }
        }
        lines
    }

    fn take_groups(&mut self, is_meant: impl Fn(&Group) -> bool) -> Vec<Group> {
        self.groups.extract_if(.., |group| is_meant(group)).collect()
    }

    fn file(&mut self, transfer_id: u32) -> Option<&mut Sent> {
        let mut all = self.groups.iter_mut().flat_map(|group| &mut group.members);
        all.find(|sent| matches!(&sent.subject, Subject::File { transfer_id: known, .. } if *known == transfer_id))
    }

    fn add(&mut self, to: &Recipient, subject: Subject, packets: u64, now_ms: u64) {
        self.last_sent_ms = Some(now_ms);
        self.forget_old(now_ms);
        // Files are few; of messages the oldest is forgotten.
        while self.groups.iter().map(|group| group.members.len()).sum::<usize>() >= RECENT_MAX {
            let messages = self.groups.iter().flat_map(|group| &group.members).filter(|sent| !sent.is_file());
            let Some(oldest_ms) = messages.map(|sent| sent.last_ms).min() else { break };
            let mut is_done = false;
            self.forget(|sent| !sent.is_file() && sent.last_ms == oldest_ms && !std::mem::replace(&mut is_done, true));
        }
        let sent = Sent { to: to.clone(), subject, packets, last_ms: now_ms, is_named: false };
        self.groups.push(Group { members: vec![sent], errors: 0 });
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.forget(|sent| {
            let is_going_on = sent.is_unsettled()
                || matches!(sent.subject, Subject::File { stage: Stage::UnderWay | Stage::Last(..), .. });
            !is_going_on && now_ms.saturating_sub(sent.last_ms) > ERROR_WAIT_MS
        });
    }

    fn forget(&mut self, mut is_meant: impl FnMut(&Sent) -> bool) {
        for group in &mut self.groups {
            let before = group.packets();
            group.members.retain(|sent| !is_meant(sent));
            // An ERROR of the group may have been theirs. If fewer are counted, more candidates stay.
            group.errors = group.errors.saturating_sub(before - group.packets());
        }
        self.groups.retain(|group| !group.members.is_empty());
    }
}

impl Group {
    fn merged(groups: Vec<Group>) -> Group {
        let mut merged = Group::default();
        for group in groups {
            merged.errors += group.errors;
            merged.members.extend(group.members);
        }
        merged
    }

    fn packets(&self) -> u64 {
        self.members.iter().map(|sent| sent.packets).sum()
    }

    /// Whether one more of its packets can have failed.
    fn is_open(&self) -> bool {
        self.errors < self.packets()
    }

    fn is_said(&self) -> bool {
        self.members.iter().all(|sent| matches!(sent.subject, Subject::File { stage: Stage::Said, .. }))
    }

    /// Says what the latest ERROR, which is counted already, may be about.
    fn judge(&mut self, why: &str, now_ms: u64) -> Verdict {
        let has_ended_file = self.members.iter().any(Sent::is_over);
        let first = self.members.first().map(|sent| sent.to.clone());
        let is_one_receiver = self.members.iter().all(|sent| Some(&sent.to) == first.as_ref());
        let (errors, packets) = (self.errors, self.packets());
        // A receiver that does not get one packet gets none, so files to it end. A file also ends if it must have
        // failed, because everything else together cannot have had so many ERRORs.
        let (mut stop, mut ended) = (Vec::new(), Vec::new());
        let mut failed = Vec::new();
        for sent in &mut self.members {
            sent.last_ms = sent.last_ms.max(if sent.is_file() { now_ms } else { 0 });
            let is_certain = errors > packets - sent.packets;
            let Subject::File { transfer_id, stage, .. } = &sent.subject else { continue };
            let ends = match stage {
                Stage::UnderWay => is_one_receiver || is_certain,
                Stage::Last(..) | Stage::Written(..) | Stage::Complete(..) | Stage::Said => is_certain,
                Stage::Over => false,
            };
            if ends {
                if matches!(stage, Stage::UnderWay) {
                    stop.push(*transfer_id);
                    ended.push(format!("stopped: {sent}"));
                } else {
                    ended.push(format!("not delivered whole: {sent}"));
                }
                failed.extend(sent.as_file());
                sent.end(now_ms);
            }
        }
        let is_all = errors == packets;
        let has_file = self.members.iter().any(Sent::is_file);
        let open = self.members.iter_mut().filter(|sent| !sent.is_over());
        // If a file has ERRORs of its own, only candidates that were not named yet are new.
        let mut news: Vec<&mut Sent> = open.filter(|sent| !has_file || !sent.is_named).collect();
        // Those that were not named yet come first, if not all fit.
        if news.len() > NAMED_AT_ONCE_MAX {
            news.sort_by_key(|sent| sent.is_named);
        }
        let left = news.len().saturating_sub(NAMED_AT_ONCE_MAX);
        news.truncate(NAMED_AT_ONCE_MAX);
        let mut named: Vec<String> = Vec::new();
        for sent in news {
            sent.is_named = true;
            named.push(sent.to_string());
        }
        let count = named.len();
        if left > 0 {
            named.push(format!("{left} more"));
        }
        let named = named.join(", ");
        let line = match (ended.join(", "), count) {
            (ended, 0) if ended.is_empty() => return Verdict::Expected,
            (ended, 0) => format!("{ended}: {why}"),
            (ended, _) if !ended.is_empty() => format!("{ended}: {why}; perhaps not delivered either: {named}"),
            _ if has_ended_file => format!("perhaps not delivered: {named}: {why}"),
            _ if is_all => format!("not delivered: {named}: {why}"),
            _ if has_file || errors == 1 => format!("one of these did not arrive: {named}: {why}"),
            _ => format!("{errors} of these did not arrive: {named}: {why}"),
        };
        Verdict::Failed { line, stop, failed }
    }
}

impl Sent {
    fn is_file(&self) -> bool {
        matches!(self.subject, Subject::File { .. })
    }

    /// For programs, if it is a file.
    fn as_file(&self) -> Option<SentFile> {
        let Subject::File { name, number, .. } = &self.subject else { return None };
        Some(SentFile { to: self.to.clone(), name: name.clone(), number: *number })
    }

    /// Whether a line about it is still to be said.
    fn is_unsettled(&self) -> bool {
        matches!(self.subject, Subject::File { stage: Stage::Written(..) | Stage::Complete(..), .. })
    }

    fn is_over(&self) -> bool {
        matches!(self.subject, Subject::File { stage: Stage::Over, .. })
    }

    fn end(&mut self, now_ms: u64) {
        if let Subject::File { stage, .. } = &mut self.subject {
            *stage = Stage::Over;
            self.is_named = true;
            self.last_ms = now_ms;
        }
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

impl SentFile {
    /// For programs.
    pub fn fields(&self) -> Vec<(&'static str, Field)> {
        vec![("to", Field::from(&self.to)), ("name", self.name.as_str().into()), ("number", self.number.into())]
    }
}

#[cfg(test)]
mod tests;
