//! What comes in: the thread that reads a connection.
//!
//! Lines that the network causes wait here until the screen has room. So if a terminal takes nothing, reading stops,
//! and in the end the server waits. Nothing more is kept.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use jiff::Timestamp;

use super::Context;
use super::download::{Outcome, Sender, What};
use super::json::Field;
use super::limits::{CLOCK_STEP_MAX_MS, FINISH_MS, READ_BYTES, READ_WAIT_MS};
use super::link::{Link, is_silence};
use super::overlap::Overlap;
use super::pending::fence_number;
use super::people::How;
use super::recent::Verdict;
use super::recipient::Recipient;
use super::repeats::Repeats;
use super::screen::{Line, Report, Said, Way};
use super::security::Stream;
use crate::blocking::{PacketStream, Reading};
use crate::limits::LINK_FIELD_MAX_BYTES;
use crate::wire::{Announcement, Decoder, ErrorReason, Packet, ServerId, Unreadable};

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The server closed it.
    Closed,
    /// It broke, or what comes makes no sense.
    Broken(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("the server closed it"),
            End::Broken(error) => error.fmt(f),
        }
    }
}

/// Handles input until the connection ends. Then unfinished files are given up. `overlap` is what another connection has
/// shown already.
pub fn read(context: &Context, link: &Link, decoder: Decoder, overlap: Option<Overlap>) -> End {
    let mut reader = Reader {
        context,
        link,
        repeats: Repeats::default(),
        overlap,
        begun_ms: context.now_ms(),
        clock: ReadingClock { ms: context.downloads_ms(), last_ms: context.now_ms() },
    };
    let mut packets = PacketStream::resume(link.stream(), decoder).with_read_bytes(READ_BYTES);
    // Behind the answer to the login, something may have come already.
    let end = match reader.take(packets.decoder()) {
        Ok(()) => reader.run(packets),
        Err(error) => End::Broken(error),
    };
    reader.end_overlap();
    for outcome in context.on_downloads(|downloads, say| downloads.on_disconnected(say)).1 {
        reader.say(&outcome);
    }
    reader.repeats.drain().into_iter().for_each(|line| context.screen.show(Line::Problem(line.into())));
    link.close();
    end
}

struct Reader<'a> {
    context: &'a Context,
    link: &'a Link,
    repeats: Repeats,
    overlap: Option<Overlap>,
    begun_ms: u64,
    clock: ReadingClock,
}

/// The time for files that come in: it stands still while nothing can be read.
struct ReadingClock {
    ms: u64,
    last_ms: u64,
}

impl ReadingClock {
    fn advance(&mut self, now_ms: u64) {
        self.ms += now_ms.saturating_sub(self.last_ms).min(CLOCK_STEP_MAX_MS);
        self.last_ms = now_ms;
    }
}

impl Reader<'_> {
    fn run(&mut self, mut packets: PacketStream<&Stream>) -> End {
        let mut last_ms = self.context.now_ms();
        loop {
            self.link.set_reading(true);
            let read = packets.read(Some(Duration::from_millis(READ_WAIT_MS)));
            self.link.set_reading(false);
            match read {
                Ok(Reading::End) | Err(_) if self.link.is_gone() => return End::Broken(no_answer()),
                Ok(Reading::End) => return End::Closed,
                Ok(Reading::Some) => {
                    last_ms = self.context.now_ms();
                    self.link.watch().on_heard(last_ms);
                    if let Err(error) = self.take(packets.decoder()) {
                        return End::Broken(error);
                    }
                }
                Ok(Reading::Nothing) => {}
                Err(error) if is_silence(&error) => return End::Broken(no_answer()),
                Err(error) => return End::Broken(error),
            }
            let now_ms = self.context.now_ms();
            self.on_time(now_ms);
            if self.link.is_half_closed() && now_ms.saturating_sub(last_ms) > FINISH_MS {
                return End::Broken(io::Error::new(ErrorKind::TimedOut, "the server does not close it"));
            }
        }
    }

    fn on_time(&mut self, now_ms: u64) {
        self.clock.advance(now_ms);
        if self.overlap.is_some() && now_ms.saturating_sub(self.begun_ms) >= READ_WAIT_MS {
            self.end_overlap();
        }
        self.on_downloads(|downloads, now_ms, say| downloads.on_time(now_ms, say));
        for line in self.repeats.on_time(now_ms) {
            self.context.screen.show(Line::Problem(line.into()));
        }
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// The bytes make no sense, so what follows cannot be trusted.
    fn take(&mut self, decoder: &mut Decoder) -> io::Result<()> {
        loop {
            let frame = decoder.next_frame();
            let skipped_bytes = decoder.skipped_field_bytes();
            if skipped_bytes > LINK_FIELD_MAX_BYTES {
                return Err(out_of_frame(&format!("a field of {skipped_bytes} bytes")));
            }
            let Some(frame) = frame else { return Ok(()) };
            match decoder.packet(&frame) {
                Ok(packet) => self.on_packet(packet),
                Err(Unreadable::UnknownCode) => return Err(out_of_frame("a packet of no known kind")),
                Err(Unreadable::Overlong { .. }) => {
                    self.show_repeatable(Line::Problem("a message was too long to be shown".to_owned().into()));
                }
                // A packet whose content is wrong is passed over, as a server does it (D1).
                Err(Unreadable::Malformed(_)) => {}
            }
        }
    }

    fn on_packet(&mut self, packet: Packet<'_>) {
        match packet {
            Packet::MsgPblInc { origin, sender, message } => self.on_public(origin, sender, message),
            Packet::MsgPrvInc { origin, sender, message, .. } => self.on_private(origin, sender, message),
            Packet::FileChnkInc { origin, sender, chunk, .. } => {
                let is_ignored = self.context.people().is_ignored_by(origin, sender);
                let from = Sender { origin, nickname: sender };
                if is_ignored {
                    return self.on_downloads(|downloads, now_ms, _| downloads.pass_over_chunk(from, &chunk, now_ms));
                }
                self.on_downloads(|downloads, now_ms, say| downloads.on_chunk(from, &chunk, now_ms, say));
            }
            Packet::Error { reason, .. } => self.on_error(reason),
            // Nothing that a server sends to a client.
            _ => {}
        }
    }

    fn on_public(&mut self, origin: ServerId, sender: &str, message: &str) {
        let who = Recipient::new(origin, sender);
        let mut people = self.context.people();
        let may_be_ours = sender == people.own_nickname() && people.own().is_none_or(|own| own == who);
        let (mut news, mut dropped) = (None, Vec::new());
        if may_be_ours && let Some(lines) = self.link.pending().on_echo(message) {
            news = people.set_server(origin).then(|| format!("you are {who}"));
            dropped = lines;
        }
        let is_own = people.own().as_ref() == Some(&who);
        if !is_own {
            if people.is_ignored(&who) {
                return;
            }
            people.on_heard(&who, How::Public, Timestamp::now());
        }
        let is_mention = !is_own && people.is_mentioned(message);
        drop(people);
        for line in dropped {
            let fields = vec![("reason", "dropped".into())];
            self.context.screen.show(Line::Problem(Report::about(line, "not_delivered", fields)));
        }
        if let Some(text) = news {
            let report = Report::about(text, "you", vec![("who", Field::from(&who))]).besides_lines();
            self.context.screen.show(Line::Notice(report));
        }
        let text = message.to_owned();
        let said = Said { who, way: Way::Public, text, is_own, is_mention, is_announcement: false };
        match &mut self.overlap {
            None => self.show_public(said),
            Some(overlap) => {
                let (shown, is_over) = overlap.on_message(said);
                if is_over {
                    self.overlap = None;
                }
                shown.into_iter().for_each(|said| self.show_public(said));
            }
        }
    }

    fn show_public(&self, said: Said) {
        self.context.shown().on_shown(&said);
        self.context.screen.show(Line::Said(said));
    }

    fn end_overlap(&mut self) {
        if let Some(mut overlap) = self.overlap.take() {
            overlap.finish().into_iter().for_each(|said| self.show_public(said));
        }
    }

    fn on_private(&mut self, origin: ServerId, sender: &str, message: &str) {
        let who = Recipient::new(origin, sender);
        let mut people = self.context.people();
        let is_own = people.own().as_ref() == Some(&who);
        if let Some(number) = fence_number(message)
            && sender == people.own_nickname()
        {
            drop(people);
            // One of an earlier connection is not shown either.
            if self.link.on_fence(number, self.context.now_ms()) || is_own {
                return;
            }
            people = self.context.people();
        }
        if people.is_ignored(&who) {
            return;
        }
        if !is_own {
            people.on_heard(&who, How::Private, Timestamp::now());
        }
        let is_mention = !is_own && people.is_mentioned(message);
        drop(people);
        let announcement = Announcement::parse(message);
        let (text, is_announcement) = (message.to_owned(), announcement.is_some());
        let said = Said { who: who.clone(), way: Way::ToUs, text, is_own, is_mention, is_announcement };
        self.context.screen.show(Line::Said(said));
        if let Some(announcement) = announcement {
            self.on_downloads(|downloads, now_ms, _| downloads.on_announcement(&who, announcement, now_ms));
        }
    }

    /// Does something with received files, then shows the lines. (The other way round, a typed command would wait for
    /// the screen.)
    fn on_downloads(&mut self, act: impl FnOnce(&mut super::FolderDownloads, u64, super::download::Say<'_>)) {
        let now_ms = self.clock.ms;
        for outcome in self.context.on_downloads(|downloads, say| act(downloads, now_ms, say)).1 {
            self.say(&outcome);
        }
    }

    fn say(&mut self, outcome: &Outcome) {
        if matches!(outcome.what, What::Offered { .. } | What::Begun { .. }) {
            self.context.people().on_heard(&outcome.from, How::File, Timestamp::now());
        }
        self.show_repeatable(outcome.line());
    }

    fn on_error(&mut self, reason: ErrorReason) {
        let verdict = self.link.recent().on_error(reason, self.context.now_ms());
        let (line, stop, failed) = match verdict {
            Verdict::Failed { line, stop, failed } => (line, stop, failed),
            Verdict::Answered => return self.link.watch().on_answer(),
            Verdict::Expected => return,
        };
        if !failed.is_empty() {
            self.context.note_failure();
        }
        if !stop.is_empty() {
            let mut outbox = self.link.outbox();
            for transfer_id in stop {
                outbox.cancel(transfer_id);
            }
            drop(outbox);
            self.link.notify();
        }
        let reason = match reason {
            ErrorReason::UnknownServer => "unknown server",
            ErrorReason::UnknownReceiver => "unknown receiver",
        };
        self.show_repeatable(Line::Problem(Report::about(line, "not_delivered", vec![("reason", reason.into())])));
        for file in failed {
            let report = Report::for_programs("file_not_sent", file.fields());
            self.context.screen.show(Line::Problem(report));
        }
    }

    /// Shows a line that the network may cause as often as it likes.
    fn show_repeatable(&mut self, line: Line) {
        let (Line::Problem(report) | Line::Notice(report)) = &line else { return self.context.screen.show(line) };
        let (is_shown, before) = self.repeats.on_line(&report.text, self.context.now_ms());
        if let Some(before) = before {
            self.context.screen.show(Line::Problem(before.into()));
        }
        if is_shown {
            self.context.screen.show(line);
        }
    }
}

fn no_answer() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the server does not answer")
}

fn out_of_frame(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the server sent {what}, so nothing behind it can be trusted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_which_nothing_can_be_read_hardly_counts() {
        let mut clock = ReadingClock { ms: 100, last_ms: 0 };
        clock.advance(1000);
        assert_eq!(clock.ms, 1100);
        // A terminal was held for an hour.
        clock.advance(3_601_000);
        assert_eq!(clock.ms, 1100 + CLOCK_STEP_MAX_MS);
        clock.advance(3_601_500);
        assert_eq!(clock.ms, 1600 + CLOCK_STEP_MAX_MS);
    }
}
