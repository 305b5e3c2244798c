//! What comes in: the thread that reads a connection.
//!
//! Lines that the network causes wait here until the screen has room. So if a terminal takes nothing, reading stops,
//! and in the end the server waits. Nothing more is kept.

use std::io::{self, ErrorKind, Read};

use super::Context;
use super::download::{Outcome, Sender};
use super::escape::{Visible, VisibleNickname};
use super::limits::{CLOCK_STEP_MAX_MS, FINISH_MS, READ_BYTES, SHOWN_MESSAGE_MAX_BYTES};
use super::link::{Leftover, Link};
use super::recent::Verdict;
use super::recipient::Recipient;
use super::repeats::Repeats;
use super::screen::Line;
use crate::limits::LINK_FIELD_MAX_BYTES;
use crate::wire::pool::BufferPool;
use crate::wire::{Announcement, ErrorReason, FrameLimits, Inbox, Input, Packet, ServerId};

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The server closed it.
    Closed,
    /// It broke, or what comes makes no sense.
    Broken(io::Error),
}

/// Handles input until the connection ends. Then unfinished files are given up.
pub fn read(context: &Context, link: &Link, leftover: Leftover) -> End {
    let (inbox, behind) = leftover;
    let mut reader = Reader {
        context,
        link,
        inbox,
        pool: BufferPool::default(),
        repeats: Repeats::default(),
        clock: ReadingClock { ms: context.downloads_ms(), last_ms: context.now_ms() },
    };
    let end = match reader.take(&behind) {
        Ok(()) => reader.run(),
        Err(error) => End::Broken(error),
    };
    for outcome in context.on_downloads(|downloads, say| downloads.on_disconnected(say)).1 {
        reader.say(&outcome);
    }
    reader.repeats.drain().into_iter().for_each(|line| context.screen.show(&Line::Problem(line)));
    link.close();
    end
}

struct Reader<'a> {
    context: &'a Context,
    link: &'a Link,
    inbox: Inbox,
    pool: BufferPool,
    repeats: Repeats,
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
    fn run(&mut self) -> End {
        let mut buffer = vec![0; READ_BYTES];
        let mut last_ms = self.context.now_ms();
        loop {
            match self.link.stream().read(&mut buffer) {
                Ok(0) => return End::Closed,
                Ok(len) => {
                    last_ms = self.context.now_ms();
                    if let Err(error) = self.take(buffer.get(..len).unwrap_or_default()) {
                        return End::Broken(error);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
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
        self.on_downloads(|downloads, now_ms, say| downloads.on_time(now_ms, say));
        for line in self.repeats.on_time(now_ms) {
            self.context.screen.show(&Line::Problem(line));
        }
    }

    /// Takes bytes as they came.
    ///
    /// # Errors
    /// The bytes make no sense, so what follows cannot be trusted.
    fn take(&mut self, mut input: &[u8]) -> io::Result<()> {
        let frame = FrameLimits { message_max_bytes: SHOWN_MESSAGE_MAX_BYTES };
        let mut inbox = std::mem::take(&mut self.inbox);
        loop {
            let is_pending = match inbox.next(&mut input, &frame) {
                Input::Packet(packet) => {
                    // A packet whose content is wrong is passed over, as a server does it (D1).
                    Packet::decode(packet).into_iter().for_each(|packet| self.on_packet(packet));
                    false
                }
                Input::Overlong { .. } => {
                    if inbox.skipped_field_bytes() <= LINK_FIELD_MAX_BYTES {
                        self.show_repeatable(Line::Problem("a message was too long to be shown".to_owned()));
                    }
                    false
                }
                Input::Unknown => return Err(out_of_frame("a packet of no known kind")),
                Input::Pending => true,
            };
            let skipped_bytes = inbox.skipped_field_bytes();
            if skipped_bytes > LINK_FIELD_MAX_BYTES {
                return Err(out_of_frame(&format!("a field of {skipped_bytes} bytes")));
            }
            if is_pending {
                break;
            }
        }
        inbox.keep(input, &mut self.pool);
        self.inbox = inbox;
        Ok(())
    }

    fn on_packet(&mut self, packet: Packet<'_>) {
        match packet {
            Packet::MsgPblInc { origin, sender, message } => {
                self.on_heard_of(origin, sender);
                self.show(format!("[{origin}] {}", VisibleNickname(sender)), message, false);
            }
            Packet::MsgPrvInc { origin, sender, message, .. } => {
                let from = self.on_heard_of(origin, sender);
                self.show(format!("[{origin}] {} -> you", VisibleNickname(sender)), message, true);
                if let Some(announcement) = Announcement::parse(message) {
                    self.on_downloads(|downloads, now_ms, _| downloads.on_announcement(&from, announcement, now_ms));
                }
            }
            Packet::FileChnkInc { origin, sender, chunk, .. } => {
                let from = Sender { origin, nickname: sender };
                self.on_downloads(|downloads, now_ms, say| downloads.on_chunk(from, &chunk, now_ms, say));
            }
            Packet::Error { reason, .. } => self.on_error(reason),
            // Nothing that a server sends to a client.
            _ => {}
        }
    }

    fn on_heard_of(&self, origin: ServerId, nickname: &str) -> Recipient {
        let from = Recipient::new(origin, nickname);
        self.context.seen().on_heard_of(&from);
        from
    }

    fn show(&self, from: String, message: &str, is_private: bool) {
        self.context.screen.show(&Line::Message { from, text: Visible(message).to_string(), is_private });
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
        let text = outcome.to_string();
        self.show_repeatable(if outcome.what.is_problem() { Line::Problem(text) } else { Line::Notice(text) });
    }

    fn on_error(&mut self, reason: ErrorReason) {
        let verdict = self.link.recent().on_error(reason, self.context.now_ms());
        let Verdict::Failed { line, stop, is_file } = verdict else { return };
        if is_file {
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
        self.show_repeatable(Line::Problem(line));
    }

    /// Shows a line that the network may cause as often as it likes.
    fn show_repeatable(&mut self, line: Line) {
        let (Line::Problem(text) | Line::Notice(text)) = &line else { return self.context.screen.show(&line) };
        let (is_shown, before) = self.repeats.on_line(text, self.context.now_ms());
        if let Some(before) = before {
            self.context.screen.show(&Line::Problem(before));
        }
        if is_shown {
            self.context.screen.show(&line);
        }
    }
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
