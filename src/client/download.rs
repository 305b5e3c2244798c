//! Files on their way in: which chunk belongs to what, when one is complete, and when to give one up.
//!
//! Nothing here touches a disk: that is what a [`Store`] is for.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::address::Address;
use super::escape::Visible;
use super::hasher::Hasher;
use super::limits::{
    ANNOUNCEMENT_MS, ANNOUNCEMENTS_MAX, ANNOUNCEMENTS_PER_SENDER_MAX, DOWNLOAD_BUFFER_BYTES, DOWNLOAD_IDLE_MS,
    DOWNLOADS_MAX, DOWNLOADS_PER_SENDER_MAX, PASSED_OVER_MAX,
};
use super::progress::{Direction, Meter, Progress, size};
use crate::limits::CHUNK_BYTES;
use crate::wire::Announcement;
use crate::wire::FileChunk;

/// Where received files go.
pub trait Store {
    /// A file that is not complete. Dropping it removes it.
    type File;
    /// Begins a file.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&mut self) -> io::Result<Self::File>;
    /// Appends to it.
    ///
    /// # Errors
    /// What the disk says.
    fn append(&mut self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Gives a complete file a name like `name`, which is the sender's and hostile, and returns what it is called.
    ///
    /// # Errors
    /// What the disk says.
    fn keep(&mut self, file: Self::File, name: &str) -> io::Result<String>;
}

/// All files that come in on one connection.
#[derive(Debug)]
pub struct Downloads<S: Store> {
    store: S,
    progress: Progress,
    max_bytes: u64,
    /// Few, and the next chunk is mostly for the one at the front.
    open: Vec<Open<S::File>>,
    passed_over: Vec<PassedOver>,
    announcements: Vec<Announced>,
}

/// A transfer is known by its origin server, its sender and its transfer ID.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    from: Address,
    transfer_id: u32,
}

#[derive(Debug)]
struct Open<F> {
    key: Key,
    name: String,
    chunks: u32,
    chunks_done: u32,
    /// Size and SHA-256, where they were announced.
    announced: Option<(u64, [u8; 32])>,
    /// What of the file is still to come.
    left_bytes: u64,
    buffer: Vec<u8>,
    /// Where there is something to compare it with.
    hash: Option<Hasher>,
    file: F,
    last_ms: u64,
    meter: Arc<Meter>,
}

#[derive(Debug)]
struct PassedOver {
    key: Key,
    chunks: u32,
    chunks_left: u32,
}

#[derive(Debug)]
struct Announced {
    key: Key,
    announcement: Announcement,
    at_ms: u64,
}

/// Something to say about a file. Displayed, it is one line that is safe to show.
#[derive(Debug)]
pub struct Outcome {
    /// Its sender.
    pub from: Address,
    /// What the sender calls it.
    pub name: String,
    /// What happened.
    pub what: What,
}

/// What happened to a file.
#[derive(Debug)]
pub enum What {
    /// Its first chunk came; so many bytes are expected (with padding, where it was not announced).
    Begun {
        /// Expected size.
        bytes: u64,
    },
    /// It is complete, and it is what was announced.
    Checked {
        /// Its exact size.
        bytes: u64,
        /// What it is called now.
        saved: String,
    },
    /// It is complete, but there was nothing to check it against.
    Unchecked {
        /// Its size, with padding.
        bytes: u64,
        /// What it is called now.
        saved: String,
    },
    /// It was not taken.
    Refused(Refusal),
    /// It was given up and removed.
    Aborted(Abort),
}

/// Why a file was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// Too many are under way.
    TooMany,
    /// Those under way would come to too many bytes.
    TooLarge {
        /// What it would have come to.
        bytes: u64,
    },
    /// The disk does not take it.
    Disk(io::Error),
}

/// Why a file was given up.
#[derive(Debug)]
pub enum Abort {
    /// The disk does not take more.
    Disk(io::Error),
    /// Its SHA-256 is not the announced one.
    Damaged,
    /// Nothing came for a while.
    Stopped,
    /// Another one with the same transfer ID began.
    Replaced,
    /// The connection is gone.
    Disconnected,
}

impl<S: Store> Downloads<S> {
    /// No files yet. Those under way may come to `max_bytes` together.
    pub fn new(store: S, progress: Progress, max_bytes: u64) -> Downloads<S> {
        Downloads { store, progress, max_bytes, open: Vec::new(), passed_over: Vec::new(), announcements: Vec::new() }
    }

    /// Somebody said what the file with a transfer ID is going to be.
    pub fn on_announcement(&mut self, from: &Address, announcement: Announcement, now_ms: u64) {
        self.announcements.retain(|known| now_ms.saturating_sub(known.at_ms) < ANNOUNCEMENT_MS);
        let key = Key { from: from.clone(), transfer_id: announcement.transfer_id };
        self.announcements.retain(|known| known.key != key);
        let theirs = self.announcements.iter().filter(|known| known.key.from == *from).count();
        if theirs >= ANNOUNCEMENTS_PER_SENDER_MAX {
            if let Some(oldest) = self.announcements.iter().position(|known| known.key.from == *from) {
                self.announcements.remove(oldest);
            }
        } else if self.announcements.len() >= ANNOUNCEMENTS_MAX {
            self.announcements.remove(0);
        }
        self.announcements.push(Announced { key, announcement, at_ms: now_ms });
    }

    /// A chunk came. What there is to say about it goes to `say`.
    pub fn on_chunk(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, now_ms: u64, say: &mut dyn FnMut(Outcome)) {
        if let Some(at) = self.open.iter().position(|open| from.is(&open.key, chunk.transfer_id)) {
            self.open.swap(0, at);
            let continues =
                self.open.first().is_some_and(|open| open.chunks == chunk.chunks && open.name == chunk.file_name);
            if continues {
                return self.take(chunk, now_ms, say);
            }
            let replaced = self.open.swap_remove(0);
            say(replaced.outcome(What::Aborted(Abort::Replaced)));
        } else if let Some(at) = self.passed_over.iter().position(|over| from.is(&over.key, chunk.transfer_id)) {
            if let Some(over) = self.passed_over.get_mut(at).filter(|over| over.chunks == chunk.chunks) {
                over.chunks_left -= 1;
                if over.chunks_left == 0 {
                    self.passed_over.remove(at);
                }
                return;
            }
            self.passed_over.remove(at);
        }
        if self.begin(from, chunk, now_ms, say) {
            self.take(chunk, now_ms, say);
        }
    }

    /// Gives up what has stopped.
    pub fn on_time(&mut self, now_ms: u64, say: &mut dyn FnMut(Outcome)) {
        for open in self.open.extract_if(.., |open| now_ms.saturating_sub(open.last_ms) >= DOWNLOAD_IDLE_MS) {
            say(open.outcome(What::Aborted(Abort::Stopped)));
        }
    }

    /// Gives up everything.
    pub fn on_disconnected(&mut self, say: &mut dyn FnMut(Outcome)) {
        for open in self.open.drain(..) {
            say(open.outcome(What::Aborted(Abort::Disconnected)));
        }
        self.passed_over.clear();
        self.announcements.clear();
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The first chunk of a file: opens it at the front, or passes it over.
    fn begin(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, now_ms: u64, say: &mut dyn FnMut(Outcome)) -> bool {
        let key = from.key(chunk.transfer_id);
        let name = chunk.file_name.to_owned();
        let announced = self.announcements.iter().position(|known| known.key == key);
        let announced = announced.map(|at| self.announcements.remove(at).announcement);
        let announced = announced.filter(|known| known.chunks() == Some(chunk.chunks));
        let padded = u64::from(chunk.chunks) * CHUNK_BYTES as u64;
        let bytes = announced.as_ref().map_or(padded, |known| known.size);
        match self.admit(&key, bytes) {
            Ok(file) => {
                say(Outcome { from: key.from.clone(), name: name.clone(), what: What::Begun { bytes } });
                let hash = announced.as_ref().map(|known| Hasher::new(known.size));
                let meter = self.progress.begin(Direction::Receiving, Visible(&name).to_string(), bytes);
                self.open.push(Open {
                    key,
                    name,
                    chunks: chunk.chunks,
                    chunks_done: 0,
                    announced: announced.map(|known| (known.size, known.sha256)),
                    left_bytes: bytes,
                    buffer: Vec::new(),
                    hash,
                    file,
                    last_ms: now_ms,
                    meter,
                });
                let last = self.open.len() - 1;
                self.open.swap(0, last);
                true
            }
            Err(refusal) => {
                self.pass_over(key.clone(), chunk.chunks, 1);
                say(Outcome { from: key.from, name, what: What::Refused(refusal) });
                false
            }
        }
    }

    fn admit(&mut self, key: &Key, bytes: u64) -> Result<S::File, Refusal> {
        let theirs = self.open.iter().filter(|open| open.key.from == key.from).count();
        if self.open.len() >= DOWNLOADS_MAX || theirs >= DOWNLOADS_PER_SENDER_MAX {
            return Err(Refusal::TooMany);
        }
        let under_way: u64 = self.open.iter().map(Open::bytes).fold(0, u64::saturating_add);
        if under_way.saturating_add(bytes) > self.max_bytes {
            return Err(Refusal::TooLarge { bytes });
        }
        self.store.create().map_err(Refusal::Disk)
    }

    /// Takes a chunk of the file at the front.
    fn take(&mut self, chunk: &FileChunk<'_>, now_ms: u64, say: &mut dyn FnMut(Outcome)) {
        let Some(open) = self.open.first_mut() else { return };
        let len = open.left_bytes.min(CHUNK_BYTES as u64) as usize;
        open.buffer.extend_from_slice(chunk.content.get(..len).unwrap_or_default());
        open.left_bytes -= len as u64;
        open.chunks_done += 1;
        open.last_ms = now_ms;
        let is_complete = open.chunks_done == open.chunks;
        if !is_complete && open.buffer.len() < DOWNLOAD_BUFFER_BYTES {
            return;
        }
        let written = self.store.append(&mut open.file, &open.buffer);
        match &mut open.hash {
            Some(hash) => open.buffer = hash.update(std::mem::take(&mut open.buffer)),
            None => open.buffer.clear(),
        }
        open.meter.set(u64::from(open.chunks_done) * CHUNK_BYTES as u64);
        if let Err(error) = written {
            let open = self.open.swap_remove(0);
            self.pass_over(open.key.clone(), open.chunks, open.chunks_done);
            say(open.outcome(What::Aborted(Abort::Disk(error))));
        } else if is_complete {
            let open = self.open.swap_remove(0);
            say(self.complete(open));
        }
    }

    fn complete(&mut self, open: Open<S::File>) -> Outcome {
        let bytes = open.bytes();
        let Open { key, name, announced, hash, file, .. } = open;
        let is_damaged = announced.is_some_and(|(_, sha256)| hash.and_then(Hasher::finish) != Some(sha256));
        let what = if is_damaged {
            What::Aborted(Abort::Damaged)
        } else {
            match self.store.keep(file, &name) {
                Ok(saved) if announced.is_some() => What::Checked { bytes, saved },
                Ok(saved) => What::Unchecked { bytes, saved },
                Err(error) => What::Aborted(Abort::Disk(error)),
            }
        };
        Outcome { from: key.from, name, what }
    }

    fn pass_over(&mut self, key: Key, chunks: u32, chunks_done: u32) {
        let chunks_left = chunks - chunks_done;
        if chunks_left == 0 {
            return;
        }
        if self.passed_over.len() >= PASSED_OVER_MAX {
            self.passed_over.remove(0);
        }
        self.passed_over.push(PassedOver { key, chunks, chunks_left });
    }
}

impl<F> Open<F> {
    /// All bytes of it: exact where announced, else with padding.
    fn bytes(&self) -> u64 {
        self.announced.map_or(u64::from(self.chunks) * CHUNK_BYTES as u64, |(size, _)| size)
    }

    fn outcome(self, what: What) -> Outcome {
        Outcome { from: self.key.from, name: self.name, what }
    }
}

/// A chunk's sender, borrowed from the packet.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Its server.
    pub origin: crate::wire::ServerId,
    /// Its nickname.
    pub nickname: &'a str,
}

impl Sender<'_> {
    fn is(self, key: &Key, transfer_id: u32) -> bool {
        key.transfer_id == transfer_id && key.from.is(self.origin, self.nickname)
    }

    fn key(self, transfer_id: u32) -> Key {
        Key { from: Address::new(self.origin, self.nickname), transfer_id }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, name) = (&self.from, Visible(&self.name));
        match &self.what {
            What::Begun { bytes } => write!(f, "receiving \"{name}\" from {from}: {}", size(*bytes)),
            What::Checked { bytes, saved } => {
                write!(
                    f,
                    "received \"{name}\" from {from}: {bytes} bytes, SHA-256 correct, saved as {}",
                    Visible(saved)
                )
            }
            What::Unchecked { bytes, saved } => write!(
                f,
                "received \"{name}\" from {from}: {bytes} bytes with padding (not announced, so neither its exact size \
                 nor its SHA-256 is known), saved as {}",
                Visible(saved)
            ),
            What::Refused(refusal) => write!(f, "\"{name}\" from {from} is not taken: {refusal}"),
            What::Aborted(abort) => {
                write!(f, "receiving \"{name}\" from {from} failed and what came was removed: {abort}")
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TooMany => f.write_str("too many files are under way"),
            Refusal::TooLarge { bytes } => {
                write!(f, "{}, with the files under way, are more than --max-download allows", size(*bytes))
            }
            Refusal::Disk(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Abort::Disk(error) => error.fmt(f),
            Abort::Damaged => f.write_str("its SHA-256 is not the announced one"),
            Abort::Stopped => write!(f, "nothing came for {} s", DOWNLOAD_IDLE_MS / 1000),
            Abort::Replaced => f.write_str("another file with its transfer ID began"),
            Abort::Disconnected => f.write_str("the connection is gone"),
        }
    }
}

#[cfg(test)]
mod tests;
