//! What goes out: the thread that writes a connection, and the ones that prepare files.

use std::io::{self, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Context;
use super::escape::Visible;
use super::limits::CHUNKS_PER_TURN;
use super::link::{FileUpload, Link, Outgoing, is_silence};
use super::outbox::{Message, Work};
use super::pending::fence_text;
use super::progress::Direction;
use super::recent::{Rated, SentFile};
use super::recipient::Recipient;
use super::screen::{Line, Report};
use super::upload::{Change, Packed, Stamp, Upload, change_of, measure, sent_name};
use crate::limits::CHUNK_BYTES;
use crate::shell::regular_file;
use crate::wire::{Announcement, Packet, ServerId};

/// In the message to a server that does not exist, should there be one.
const PROBE_TEXT: &str = "[cfp-client: is my server there?]";

/// Sends what the outbox holds, until it is finished or the connection is gone.
pub fn write(context: &Context, link: &Link) {
    if let Err(error) = write_all(context, link) {
        // The reader sees the end too and says it. Here it may be known first.
        log::debug!("writing: {error}");
        if is_silence(&error) {
            link.give_up();
        } else {
            link.close();
        }
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
                stream.write_all(&bytes)?;
            }
            Work::Upload(mut upload) => {
                drop(outbox);
                let packed = pack_chunks(context, link, &mut upload, &mut bytes);
                if packed.as_ref().is_ok_and(|packed| packed.is_last) {
                    let fence = pack_fence(context, &mut bytes);
                    link.recent().on_file_last(upload.outgoing.transfer_id, fence);
                }
                let written = packed.as_ref().map_or(Ok(()), |_| stream.write_all(&bytes));
                let going_on = match packed {
                    Ok(packed) if !packed.is_last => Some(upload),
                    Ok(_) => {
                        if written.is_ok() {
                            on_last_written(context, link, &upload);
                        }
                        None
                    }
                    Err(error) => {
                        link.recent().on_file_cancelled(upload.outgoing.transfer_id, context.now_ms());
                        fail(context, &upload.outgoing, not_sent(&upload.outgoing.name, &error));
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
            pack_private(to, message, bytes);
        }
        Message::Fence(number, own) => pack_private(own, &fence_text(*number), bytes),
        Message::Probe(nickname, server) => {
            link.recent().on_probed();
            pack_private(&Recipient::new(ServerId(*server), nickname), PROBE_TEXT, bytes);
        }
    }
}

fn pack_private(to: &Recipient, message: &str, bytes: &mut Vec<u8>) {
    Packet::MsgPrv { destination: to.server, receiver: &to.nickname, message }.encode(bytes);
}

/// Packs a turn of a file.
fn pack_chunks(context: &Context, link: &Link, upload: &mut FileUpload, bytes: &mut Vec<u8>) -> io::Result<Packed> {
    let number = upload.outgoing.number;
    let upload = &mut upload.chunks;
    let packed = upload.pack(bytes, CHUNKS_PER_TURN)?;
    let Announcement { name, transfer_id, .. } = &upload.announcement;
    link.recent().on_file_sent(&upload.to, (*transfer_id, number, name), packed.packets, context.now_ms());
    Ok(packed)
}

/// A fence behind a file's last chunk, if we know our own server.
fn pack_fence(context: &Context, bytes: &mut Vec<u8>) -> Option<u64> {
    let own = context.people().own()?;
    let number = getrandom::u64().ok()?;
    pack_private(&own, &fence_text(number), bytes);
    Some(number)
}

/// The last chunk has been given to the kernel. "Sent" is said when the server has handled it.
fn on_last_written(context: &Context, link: &Link, upload: &FileUpload) {
    let FileUpload { chunks, outgoing, before } = upload;
    let Announcement { name, transfer_id, size: total, .. } = &chunks.announcement;
    let (name, now_ms) = (Visible(name), context.now_ms());
    let change = change_of(chunks.source().get_ref(), *before, &chunks.announcement);
    let kept = match change {
        Ok(Change::None) => None,
        Ok(Change::Unknown) => Some("keeps it only if the announced part is as it was"),
        Ok(Change::Changed) | Err(_) => Some("does not keep it"),
    };
    if let Some(kept) = kept {
        link.recent().on_file_cancelled(*transfer_id, now_ms);
        let text = format!("\"{name}\" was changed while it was sent to {}, so its receiver {kept}", chunks.to);
        return fail(context, outgoing, text);
    }
    let line = format!("sent \"{name}\" to {}: {total} bytes", chunks.to);
    let rated = Rated { line, bytes: *total, begun_ms: now_ms.saturating_sub(chunks.meter.elapsed_ms()) };
    link.recent().on_file_written(*transfer_id, rated, now_ms);
}

/// Reads a file through and queues it. The link has a place reserved for it.
pub fn prepare_upload(context: &Context, link: &Link, outgoing: Arc<Outgoing>, path: &Path) {
    match upload(context, link, outgoing.clone(), path) {
        Ok(upload) if !outgoing.is_cancelled() => link.outbox().add_upload(outgoing.transfer_id, upload),
        Ok(_) => link.outbox().release_upload(),
        Err(error) => {
            link.outbox().release_upload();
            if !link.is_stopped() && !outgoing.is_cancelled() {
                fail(context, &outgoing, not_sent(&outgoing.name, &error));
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
    // One opening for both readings: a file that takes its name meanwhile is another one.
    let mut file = regular_file::open(path)?;
    let before = Stamp::of(&file)?;
    let name = Visible(&outgoing.name).to_string();
    let size = file.metadata()?.len();
    outgoing.bytes.store(size, Ordering::Relaxed);
    let hashing = context.progress.begin(Direction::Hashing, name.clone(), size);
    outgoing.count_with(&hashing);
    let (size, sha256) = measure(&file, |done_bytes| {
        hashing.set(done_bytes);
        link.is_stopped() || outgoing.is_cancelled()
    })?;
    drop(hashing);
    file.seek(SeekFrom::Start(0))?;
    outgoing.bytes.store(size, Ordering::Relaxed);
    let announcement =
        Announcement { name: sent_name(&outgoing.name), size, sha256, transfer_id: outgoing.transfer_id };
    let meter = context.progress.begin(Direction::Sending, name, size);
    outgoing.count_with(&meter);
    let source = BufReader::with_capacity(CHUNKS_PER_TURN * CHUNK_BYTES, file);
    let chunks = Upload::new(outgoing.to.clone(), announcement, source, meter).ok_or(ErrorKind::FileTooLarge)?;
    Ok(FileUpload { chunks, outgoing, before })
}

/// Says that a file was not sent.
fn fail(context: &Context, outgoing: &Outgoing, text: String) {
    context.note_failure();
    let Outgoing { to, name, number, .. } = outgoing;
    let file = SentFile { to: to.clone(), name: name.clone(), number: *number };
    context.screen.show_now(Line::Problem(Report::about(text, "file_not_sent", file.fields())));
}

fn not_sent(name: &str, error: &io::Error) -> String {
    let name = Visible(name);
    match error.kind() {
        ErrorKind::UnexpectedEof => format!("not sent: \"{name}\" became shorter while it was sent"),
        _ => format!("not sent: \"{name}\": {error}"),
    }
}
