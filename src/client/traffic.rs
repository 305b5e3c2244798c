//! The two threads of a connection: what goes out and what comes in.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Context;
use super::address::Address;
use super::disk::Folder;
use super::download::{Downloads, Outcome, Sender, What};
use super::escape::{Visible, VisibleNickname};
use super::limits::{CHUNKS_PER_TURN, FINISH_MS, READ_BYTES, SHOWN_MESSAGE_MAX_BYTES};
use super::link::{FileUpload, Leftover, Link};
use super::outbox::{Message, Work};
use super::progress::{Direction, size};
use super::recent::Verdict;
use super::screen::Line;
use super::upload::{Upload, measure, sent_name};
use crate::limits::CHUNK_BYTES;
use crate::wire::Announcement;
use crate::wire::pool::BufferPool;
use crate::wire::{ErrorReason, FrameLimits, Inbox, Input, Packet, ServerId};

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The server closed it.
    Closed,
    /// It broke.
    Broken(io::Error),
}

/// Sends what the outbox holds, until it is finished or the connection is gone.
pub fn write(context: &Context, link: &Link) {
    if let Err(error) = write_all(context, link) {
        // The reader sees the end too and says it. Here it may be known first.
        log::debug!("writing: {error}");
        link.close();
    }
}

fn write_all(context: &Context, link: &Link) -> io::Result<()> {
    let mut stream = link.stream();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut outbox = link.outbox();
        match outbox.next_work() {
            Work::Wait => drop(link.wait(outbox)),
            Work::Stop => return Ok(()),
            Work::Finish => {
                drop(outbox);
                return link.half_close();
            }
            Work::Messages(messages) => {
                drop(outbox);
                // A script may wait for room.
                link.notify();
                messages.iter().for_each(|message| pack_message(context, link, message, &mut bytes));
                stream.write_all(&bytes)?;
            }
            Work::Upload(mut upload) => {
                drop(outbox);
                let going_on = match pack_chunks(context, link, &mut upload, &mut bytes) {
                    Ok(is_last) => {
                        stream.write_all(&bytes)?;
                        (!is_last).then_some(upload)
                    }
                    Err(error) => {
                        context.fail(not_sent(&upload.announcement.name, &error));
                        None
                    }
                };
                link.outbox().end_turn(going_on);
                link.notify();
            }
        }
    }
}

fn pack_message(context: &Context, link: &Link, message: &Message, bytes: &mut Vec<u8>) {
    match message {
        Message::Public(message) => Packet::MsgPbl { message }.encode(bytes),
        Message::Private(to, message) => {
            let is_known = context.seen().iter().any(|known| known == to);
            link.recent().on_message_sent(to, message, is_known, context.now_ms());
            Packet::MsgPrv { destination: to.server, receiver: &to.nickname, message }.encode(bytes);
        }
    }
}

/// Packs a turn of a file; returns whether it was the last.
fn pack_chunks(context: &Context, link: &Link, upload: &mut FileUpload, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let packed = upload.pack(bytes, CHUNKS_PER_TURN)?;
    let Announcement { name, transfer_id, size: total, .. } = &upload.announcement;
    let is_known = context.seen().iter().any(|known| *known == upload.to);
    link.recent().on_file_sent(&upload.to, (*transfer_id, name), packed.packets, is_known, context.now_ms());
    if packed.is_last {
        let elapsed_ms = upload.meter.elapsed_ms().max(1);
        let rate = size(total.saturating_mul(1000) / elapsed_ms);
        let text = format!("sent \"{}\" to {}: {total} bytes, {rate}/s", Visible(name), upload.to);
        context.screen.notice(text);
    }
    Ok(packed.is_last)
}

/// Reads a file through and queues it. The link has a place reserved for it.
pub fn prepare_upload(context: &Context, link: &Link, to: Address, path: &Path) {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match upload(context, link, to, path, &name) {
        Ok((transfer_id, upload)) => link.outbox().add_upload(transfer_id, upload),
        Err(error) => {
            link.outbox().release_upload();
            if !link.is_stopped() {
                context.fail(not_sent(&name, &error));
            }
        }
    }
    link.notify();
}

fn upload(context: &Context, link: &Link, to: Address, path: &Path, name: &str) -> io::Result<(u32, FileUpload)> {
    // A named pipe would hold us up when opened, and has no size that could be announced.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let (size, sha256) = measure(File::open(path)?, || link.is_stopped())?;
    let transfer_id = context.next_transfer_id.fetch_add(1, Ordering::Relaxed);
    let announcement = Announcement { name: sent_name(name), size, sha256, transfer_id };
    let meter = context.progress.begin(Direction::Sending, Visible(name).to_string(), size);
    let source = BufReader::with_capacity(CHUNKS_PER_TURN * CHUNK_BYTES, File::open(path)?);
    Ok((transfer_id, Upload::new(to, announcement, source, meter).ok_or(ErrorKind::FileTooLarge)?))
}

fn not_sent(name: &str, error: &io::Error) -> String {
    let name = Visible(name);
    match error.kind() {
        ErrorKind::UnexpectedEof => format!("not sent: \"{name}\" became shorter while it was sent"),
        _ => format!("not sent: \"{name}\": {error}"),
    }
}

/// Handles what comes in, until the connection ends. What is unfinished is given up then.
pub fn read(context: &Arc<Context>, link: &Arc<Link>, leftover: Leftover) -> End {
    let (inbox, behind) = leftover;
    let downloads = Downloads::new(context.folder.clone(), context.progress.clone(), context.max_download_bytes);
    let mut reader = Reader { context, link, downloads, inbox, pool: BufferPool::default() };
    reader.take(&behind);
    let end = reader.run();
    reader.downloads.on_disconnected(&mut |outcome| say(context, &outcome));
    link.close();
    end
}

struct Reader<'a> {
    context: &'a Context,
    link: &'a Link,
    downloads: Downloads<Folder>,
    inbox: Inbox,
    pool: BufferPool,
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
                    self.take(buffer.get(..len).unwrap_or_default());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return End::Broken(error),
            }
            let now_ms = self.context.now_ms();
            let context = self.context;
            self.downloads.on_time(now_ms, &mut |outcome| say(context, &outcome));
            if self.link.is_half_closed() && now_ms.saturating_sub(last_ms) > FINISH_MS {
                return End::Broken(io::Error::new(ErrorKind::TimedOut, "the server does not close it"));
            }
        }
    }

    fn take(&mut self, mut input: &[u8]) {
        let frame = FrameLimits { message_max_bytes: SHOWN_MESSAGE_MAX_BYTES };
        let mut inbox = std::mem::take(&mut self.inbox);
        loop {
            match inbox.next(&mut input, &frame) {
                // A packet whose content is wrong is passed over, as a server does it (D1).
                Input::Packet(packet) => Packet::decode(packet).into_iter().for_each(|packet| self.on_packet(packet)),
                Input::Overlong { .. } => self.context.screen.problem("a message was too long to be shown"),
                Input::Unknown => {}
                Input::Pending => break,
            }
        }
        inbox.keep(input, &mut self.pool);
        self.inbox = inbox;
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
                    self.downloads.on_announcement(&from, announcement, self.context.now_ms());
                }
            }
            Packet::FileChnkInc { origin, sender, chunk, .. } => {
                let (context, now_ms) = (self.context, self.context.now_ms());
                let from = Sender { origin, nickname: sender };
                self.downloads.on_chunk(from, &chunk, now_ms, &mut |outcome| say(context, &outcome));
            }
            Packet::Error { reason, .. } => self.on_error(reason),
            // Nothing that a server sends to a client.
            _ => {}
        }
    }

    fn on_heard_of(&self, origin: ServerId, nickname: &str) -> Address {
        let from = Address::new(origin, nickname);
        self.link.recent().on_heard_of(origin, nickname);
        self.context.seen().on_heard_of(&from);
        from
    }

    fn show(&self, from: String, message: &str, is_private: bool) {
        self.context.screen.show(&Line::Message { from, text: Visible(message).to_string(), is_private });
    }

    fn on_error(&self, reason: ErrorReason) {
        let verdict = self.link.recent().on_error(reason, self.context.now_ms());
        let Verdict::Failed { line, stop } = verdict else { return };
        if stop.is_empty() {
            self.context.screen.problem(line);
        } else {
            self.context.fail(line);
            let mut outbox = self.link.outbox();
            for transfer_id in stop {
                outbox.cancel(transfer_id);
            }
            drop(outbox);
            self.link.notify();
        }
    }
}

fn say(context: &Context, outcome: &Outcome) {
    let text = outcome.to_string();
    let is_problem = matches!(outcome.what, What::Refused(_) | What::Aborted(_));
    context.screen.show(&if is_problem { Line::Problem(text) } else { Line::Notice(text) });
}
