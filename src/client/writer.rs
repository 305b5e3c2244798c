//! What goes out: the thread that writes a connection, and the ones that prepare files.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Context;
use super::escape::Visible;
use super::limits::CHUNKS_PER_TURN;
use super::link::{FileUpload, Link, Outgoing};
use super::outbox::{Message, Work};
use super::progress::{Direction, size};
use super::upload::{Upload, measure, sent_name};
use crate::limits::CHUNK_BYTES;
use crate::wire::{Announcement, Packet};

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
                // The server answers no more once it has seen our end, and another server's ERROR takes a moment.
                let wait_ms = link.recent().wait_before_end_ms(context.now_ms());
                if wait_ms > 0 {
                    drop(link.wait_for(outbox, wait_ms));
                    continue;
                }
                drop(outbox);
                return link.half_close();
            }
            Work::Messages(messages) => {
                drop(outbox);
                // A script may wait for room.
                link.notify();
                messages.iter().for_each(|message| pack_message(context, link, message, &mut bytes));
                stream.write_all(&bytes).inspect_err(|_| link.note_unsent(messages.len()))?;
            }
            Work::Upload(mut upload) => {
                drop(outbox);
                let packed = pack_chunks(context, link, &mut upload, &mut bytes);
                let written = packed.as_ref().map_or(Ok(()), |_| stream.write_all(&bytes));
                let going_on = match packed {
                    Ok(is_last) => (!is_last).then_some(upload),
                    Err(error) => {
                        link.recent().on_file_cancelled(upload.outgoing.transfer_id, context.now_ms());
                        context.fail(not_sent(&upload.outgoing.name, &error));
                        None
                    }
                };
                link.outbox().end_turn(going_on);
                link.notify();
                // Only now: a file that is under way when the connection ends is reported as unsent.
                written?;
            }
        }
    }
}

fn pack_message(context: &Context, link: &Link, message: &Message, bytes: &mut Vec<u8>) {
    match message {
        Message::Public(message) => Packet::MsgPbl { message }.encode(bytes),
        Message::Private(to, message) => {
            link.recent().on_message_sent(to, message, context.now_ms());
            Packet::MsgPrv { destination: to.server, receiver: &to.nickname, message }.encode(bytes);
        }
    }
}

/// Packs a turn of a file; returns whether it was the last.
fn pack_chunks(context: &Context, link: &Link, upload: &mut FileUpload, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let upload = &mut upload.chunks;
    let packed = upload.pack(bytes, CHUNKS_PER_TURN)?;
    let Announcement { name, transfer_id, size: total, .. } = &upload.announcement;
    let (mut recent, now_ms) = (link.recent(), context.now_ms());
    recent.on_file_sent(&upload.to, (*transfer_id, name), packed.packets, now_ms);
    if packed.is_last {
        let elapsed_ms = upload.meter.elapsed_ms().max(1);
        let rate = size(total.saturating_mul(1000) / elapsed_ms);
        let text = format!("sent \"{}\" to {}: {total} bytes, {rate}/s", Visible(name), upload.to);
        recent.on_file_complete(*transfer_id, text, now_ms);
    }
    Ok(packed.is_last)
}

/// Reads a file through and queues it. The link has a place reserved for it.
pub fn prepare_upload(context: &Context, link: &Link, outgoing: Arc<Outgoing>, path: &Path) {
    match upload(context, link, outgoing.clone(), path) {
        Ok(upload) if !outgoing.is_cancelled() => link.outbox().add_upload(outgoing.transfer_id, upload),
        Ok(_) => link.outbox().release_upload(),
        Err(error) => {
            link.outbox().release_upload();
            if !link.is_stopped() && !outgoing.is_cancelled() {
                context.fail(not_sent(&outgoing.name, &error));
            }
        }
    }
    if outgoing.is_cancelled() {
        // It may have been queued at that moment.
        link.outbox().cancel(outgoing.transfer_id);
    }
    link.notify();
}

fn upload(context: &Context, link: &Link, outgoing: Arc<Outgoing>, path: &Path) -> io::Result<FileUpload> {
    // A named pipe would hold us up when opened, and has no size that could be announced.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let (size, sha256) = measure(File::open(path)?, || link.is_stopped() || outgoing.is_cancelled())?;
    outgoing.bytes.store(size, Ordering::Relaxed);
    let announcement =
        Announcement { name: sent_name(&outgoing.name), size, sha256, transfer_id: outgoing.transfer_id };
    let meter = context.progress.begin(Direction::Sending, Visible(&outgoing.name).to_string(), size);
    let source = BufReader::with_capacity(CHUNKS_PER_TURN * CHUNK_BYTES, File::open(path)?);
    let chunks = Upload::new(outgoing.to.clone(), announcement, source, meter).ok_or(ErrorKind::FileTooLarge)?;
    Ok(FileUpload { chunks, outgoing })
}

fn not_sent(name: &str, error: &io::Error) -> String {
    let name = Visible(name);
    match error.kind() {
        ErrorKind::UnexpectedEof => format!("not sent: \"{name}\" became shorter while it was sent"),
        _ => format!("not sent: \"{name}\": {error}"),
    }
}
