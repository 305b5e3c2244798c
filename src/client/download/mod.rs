//! Files on their way in: which chunk belongs to what, when one is complete, and when to give one up.
//!
//! Nothing here touches a disk: that is what a [`Store`] is for.
//!
//! ```text
//!                ╭─ Consent: take ──▶ open, taken ──────────── complete ──▶ kept
//!  first chunk ──┼─ ask ──▶ open, offered ──/accept──▶ ╯                      ▲
//!                │              ╰─ complete ──▶ waiting ──────/accept─────────╯
//!                ╰─ refuse ──▶ passed over ◀── refused, discarded, cancelled, given up: while chunks are left
//! ```

mod offers;
mod outcome;
mod passed_over;

use std::io;
use std::sync::Arc;

use super::consent::{Answer, Consent};
use super::escape::Visible;
use super::hasher::Hasher;
use super::limits::{
    ANNOUNCEMENT_MS, ANNOUNCEMENTS_MAX, ANNOUNCEMENTS_PER_SENDER_MAX, DOWNLOAD_BUFFER_BYTES, DOWNLOAD_FILES_MAX,
    DOWNLOAD_IDLE_MS, DOWNLOADS_MAX, DOWNLOADS_PER_SENDER_MAX, OFFER_MS,
};
use super::progress::{Direction, Meter, Progress};
use super::recipient::Recipient;
use crate::limits::CHUNK_BYTES;
use crate::wire::Announcement;
use crate::wire::FileChunk;

pub use offers::{Answered, FileStage, ListedFile, Meant};
pub use outcome::{Abort, Discard, Outcome, Refusal, What};
use passed_over::PassedOver;

/// The folder for received files.
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

/// All files that come in while the client runs.
#[derive(Debug)]
pub struct Downloads<S: Store> {
    store: S,
    progress: Progress,
    consent: Consent,
    /// What all files may come to that are taken.
    max_bytes: u64,
    /// Bytes of the files that are complete.
    kept_bytes: u64,
    kept_files: u64,
    /// There are few, and the next chunk is mostly for the one at the front.
    open: Vec<Open<S::File>>,
    /// Complete, and the user has not answered.
    waiting: Vec<Waiting<S::File>>,
    passed_over: PassedOver,
    /// Of files that have not begun, the oldest first.
    announcements: Vec<Announced>,
    /// The time, as the last call has said it.
    now_ms: u64,
    /// When an offer has gone that the user has not answered.
    offer_gone_ms: Option<u64>,
}

/// A transfer is known by its origin server, its sender and its transfer ID.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    from: Recipient,
    transfer_id: u32,
}

#[derive(Debug)]
struct Open<F> {
    /// As the user may name it: it grows with each file.
    number: u64,
    key: Key,
    name: String,
    chunks: u32,
    chunks_done: u32,
    /// Size and SHA-256, if they were announced.
    announced: Option<(u64, [u8; 32])>,
    /// What of the file is still to come.
    left_bytes: u64,
    buffer: Vec<u8>,
    /// If there is a hash to compare it with.
    hash: Option<Hasher>,
    file: F,
    last_ms: u64,
    consent: Given,
}

/// The user's word on a file that comes in.
#[derive(Debug)]
enum Given {
    /// It is taken: this shows how far it is.
    Yes(Arc<Meter>),
    /// Asked at this time.
    Asked(u64),
}

/// A complete file for which the user's word is missing.
#[derive(Debug)]
struct Waiting<F> {
    number: u64,
    from: Recipient,
    name: String,
    bytes: u64,
    is_checked: bool,
    file: F,
    asked_ms: u64,
}

#[derive(Debug)]
struct Announced {
    key: Key,
    announcement: Announcement,
    at_ms: u64,
}

/// Takes what there is to say.
pub type Say<'a> = &'a mut dyn FnMut(Outcome);

impl<S: Store> Downloads<S> {
    /// No files yet. All taken files together may have `max_bytes`.
    pub fn new(store: S, progress: Progress, consent: Consent, max_bytes: u64) -> Downloads<S> {
        Downloads {
            store,
            progress,
            consent,
            max_bytes,
            kept_bytes: 0,
            kept_files: 0,
            open: Vec::new(),
            waiting: Vec::new(),
            passed_over: PassedOver::default(),
            announcements: Vec::new(),
            now_ms: 0,
            offer_gone_ms: None,
        }
    }

    /// The announcement of the file with a transfer ID.
    pub fn on_announcement(&mut self, from: &Recipient, announcement: Announcement, now_ms: u64) {
        self.announcements.retain(|known| now_ms.saturating_sub(known.at_ms) < ANNOUNCEMENT_MS);
        let key = Key { from: from.clone(), transfer_id: announcement.transfer_id };
        self.passed_over.forget(&key);
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
    pub fn on_chunk(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, now_ms: u64, say: Say<'_>) {
        self.now_ms = now_ms;
        if let Some(at) = self.open.iter().position(|open| from.is(&open.key, chunk.transfer_id)) {
            self.open.swap(0, at);
            let continues =
                self.open.first().is_some_and(|open| open.chunks == chunk.chunks && open.name == chunk.file_name);
            if continues {
                return self.take(chunk, say);
            }
            let replaced = self.open.swap_remove(0);
            self.note_gone(&replaced);
            say(replaced.outcome(What::Aborted(Abort::Replaced)));
        } else if self.passed_over.takes(from, chunk, now_ms) {
            return;
        }
        if self.begin(from, chunk, say) {
            self.take(chunk, say);
        }
    }

    /// A chunk came from somebody who is ignored. It is counted, so that the rest of its file begins no new one when its
    /// sender is not ignored any more.
    pub fn pass_over_chunk(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, now_ms: u64) {
        self.now_ms = now_ms;
        if !self.passed_over.takes(from, chunk, now_ms) {
            self.passed_over.add(from.key(chunk.transfer_id), chunk.file_name.to_owned(), chunk.chunks, 1, now_ms);
        }
    }

    /// The time, as it was said last.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Gives up files that have stopped, and offers that were not answered.
    pub fn on_time(&mut self, now_ms: u64, say: Say<'_>) {
        self.now_ms = now_ms;
        self.passed_over.on_time(now_ms);
        let has_stopped = |open: &Open<S::File>| now_ms.saturating_sub(open.last_ms) >= DOWNLOAD_IDLE_MS;
        self.give_up(has_stopped, || What::Aborted(Abort::Stopped), say);
        let is_late = |asked_ms: u64| now_ms.saturating_sub(asked_ms) >= OFFER_MS;
        self.discard(|offer| is_late(offer.asked_ms), || Discard::Unanswered, say);
    }

    /// The connection is gone: incomplete files are given up. Their further chunks, over the next connection, are
    /// ignored.
    pub fn on_disconnected(&mut self, say: Say<'_>) {
        self.give_up(|_| true, || What::Aborted(Abort::Disconnected), say);
        self.announcements.clear();
    }

    /// We leave: offers that were not answered are discarded.
    pub fn on_leaving(&mut self, say: Say<'_>) {
        self.discard(|_| true, || Discard::Leaving, say);
    }

    /// Ends some of the incomplete files, and ignores the rest of them.
    fn give_up(&mut self, is_meant: impl Fn(&Open<S::File>) -> bool, what: impl Fn() -> What, say: Say<'_>) {
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            if !is_meant(open) {
                at += 1;
                continue;
            }
            let open = self.open.remove(at);
            self.note_gone(&open);
            self.pass_over(&open);
            say(open.outcome(what()));
        }
    }

    /// The first chunk of a file: opens it at the front, or passes it over.
    fn begin(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, say: Say<'_>) -> bool {
        let key = from.key(chunk.transfer_id);
        let name = chunk.file_name.to_owned();
        // What was announced otherwise, under another name or with another size, is another file: it is not this one
        // that the user has read about.
        let announced = self.announcements.iter().position(|known| {
            known.key == key && known.announcement.name == name && known.announcement.chunks() == Some(chunk.chunks)
        });
        let announced = announced.map(|at| self.announcements.remove(at).announcement);
        let padded = u64::from(chunk.chunks) * CHUNK_BYTES as u64;
        let bytes = announced.as_ref().map_or(padded, |known| known.size);
        match self.admit(&key, bytes, say) {
            Ok((file, is_taken)) => {
                let number = self.progress.next_number();
                let what = if is_taken {
                    self.consent.withdraw(&key.from);
                    What::Begun { bytes }
                } else {
                    What::Offered { bytes, is_announced: announced.is_some() }
                };
                say(Outcome { number: Some(number), from: key.from.clone(), name: name.clone(), what });
                let hash = announced.as_ref().map(|known| Hasher::new(known.size));
                let consent = if is_taken { self.given(&name, bytes, 0) } else { Given::Asked(self.now_ms) };
                self.open.push(Open {
                    number,
                    key,
                    name,
                    chunks: chunk.chunks,
                    chunks_done: 0,
                    announced: announced.map(|known| (known.size, known.sha256)),
                    left_bytes: bytes,
                    buffer: Vec::new(),
                    hash,
                    file,
                    last_ms: self.now_ms,
                    consent,
                });
                let last = self.open.len() - 1;
                self.open.swap(0, last);
                true
            }
            Err(refusal) => {
                self.passed_over.add(key.clone(), name.clone(), chunk.chunks, 1, self.now_ms);
                say(Outcome { number: None, from: key.from, name, what: What::Refused(refusal) });
                false
            }
        }
    }

    /// A place for a file, and whether it is taken already.
    fn admit(&mut self, key: &Key, bytes: u64, say: Say<'_>) -> Result<(S::File, bool), Refusal> {
        let is_taken = match self.consent.answer(&key.from, self.now_ms) {
            Answer::Off => return Err(Refusal::Off),
            Answer::NobodyToAsk => return Err(Refusal::NobodyToAsk),
            Answer::Ask => false,
            Answer::Take => true,
        };
        self.check_total(bytes)?;
        if is_taken {
            let theirs = self.taken().filter(|open| open.key.from == key.from).count();
            if self.taken().count() >= DOWNLOADS_MAX || theirs >= DOWNLOADS_PER_SENDER_MAX {
                return Err(Refusal::TooMany);
            }
        } else {
            self.make_room_for_offer(&key.from, say)?;
        }
        Ok((self.store.create().map_err(Refusal::Disk)?, is_taken))
    }

    /// Whether a file of this size may be taken, beside those that were and those under way.
    fn check_total(&self, bytes: u64) -> Result<(), Refusal> {
        if self.kept_files + self.taken().count() as u64 >= DOWNLOAD_FILES_MAX {
            return Err(Refusal::TooManyFiles);
        }
        let used_bytes = self.taken().map(Open::bytes).fold(self.kept_bytes, u64::saturating_add);
        let left_bytes = self.max_bytes.saturating_sub(used_bytes);
        if bytes > left_bytes { Err(Refusal::TooLarge { bytes, left_bytes }) } else { Ok(()) }
    }

    fn taken(&self) -> impl Iterator<Item = &Open<S::File>> {
        self.open.iter().filter(|open| matches!(open.consent, Given::Yes(_)))
    }

    fn given(&self, name: &str, bytes: u64, done_bytes: u64) -> Given {
        Given::Yes(self.progress.begin_at(Direction::Receiving, Visible(name).to_string(), bytes, done_bytes))
    }

    /// Takes a chunk of the file at the front.
    fn take(&mut self, chunk: &FileChunk<'_>, say: Say<'_>) {
        let Some(open) = self.open.first_mut() else { return };
        let len = open.left_bytes.min(CHUNK_BYTES as u64) as usize;
        open.buffer.extend_from_slice(chunk.content.get(..len).unwrap_or_default());
        open.left_bytes -= len as u64;
        open.chunks_done += 1;
        open.last_ms = self.now_ms;
        let is_complete = open.chunks_done == open.chunks;
        let is_offered = matches!(open.consent, Given::Asked(_));
        if is_complete || open.buffer.len() >= DOWNLOAD_BUFFER_BYTES {
            let written = self.store.append(&mut open.file, &open.buffer);
            match &mut open.hash {
                Some(hash) => open.buffer = hash.update(std::mem::take(&mut open.buffer)),
                None => open.buffer.clear(),
            }
            if let Given::Yes(meter) = &open.consent {
                meter.set(open.received_bytes());
            }
            if let Err(error) = written {
                let open = self.open.swap_remove(0);
                self.note_gone(&open);
                self.pass_over(&open);
                return say(open.outcome(What::Aborted(Abort::Disk(error))));
            }
        }
        if is_complete {
            let open = self.open.swap_remove(0);
            self.complete(open, say);
        }
        if is_offered {
            self.bound_spool(say);
        }
    }

    fn complete(&mut self, mut open: Open<S::File>, say: Say<'_>) {
        let bytes = open.bytes();
        let hash = open.hash.take();
        let is_damaged = open.announced.is_some_and(|(_, sha256)| hash.and_then(Hasher::finish) != Some(sha256));
        if is_damaged {
            self.note_gone(&open);
            return say(open.outcome(What::Aborted(Abort::Damaged)));
        }
        let is_checked = open.announced.is_some();
        let Open { number, key, name, file, consent, .. } = open;
        let asked_ms = if let Given::Asked(asked_ms) = consent { Some(asked_ms) } else { None };
        let from = key.from;
        let waiting = Waiting { number, from, name, bytes, is_checked, file, asked_ms: asked_ms.unwrap_or_default() };
        match asked_ms {
            Some(_) => self.waiting.push(waiting),
            None => say(self.keep(waiting)),
        }
    }

    /// Gives a complete file its name.
    fn keep(&mut self, complete: Waiting<S::File>) -> Outcome {
        let Waiting { number, from, name, bytes, is_checked, file, .. } = complete;
        let what = match self.store.keep(file, &name) {
            Ok(saved) => {
                self.kept_bytes = self.kept_bytes.saturating_add(bytes);
                self.kept_files += 1;
                if is_checked { What::Checked { bytes, saved } } else { What::Unchecked { bytes, saved } }
            }
            Err(error) => What::Aborted(Abort::Disk(error)),
        };
        Outcome { number: Some(number), from, name, what }
    }

    /// The rest of a file that has ended is passed over.
    fn pass_over(&mut self, open: &Open<S::File>) {
        self.passed_over.add(open.key.clone(), open.name.clone(), open.chunks, open.chunks_done, self.now_ms);
    }

    /// If it was an offer, the user may not have seen yet that it is gone.
    fn note_gone(&mut self, open: &Open<S::File>) {
        if matches!(open.consent, Given::Asked(_)) {
            self.offer_gone_ms = Some(self.now_ms);
        }
    }
}

impl<F> Open<F> {
    /// All its bytes: exact if announced, else with padding.
    fn bytes(&self) -> u64 {
        self.announced.map_or(u64::from(self.chunks) * CHUNK_BYTES as u64, |(size, _)| size)
    }

    /// What of it has come, with padding.
    fn received_bytes(&self) -> u64 {
        u64::from(self.chunks_done) * CHUNK_BYTES as u64
    }

    fn outcome(self, what: What) -> Outcome {
        Outcome { number: Some(self.number), from: self.key.from, name: self.name, what }
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
        Key { from: Recipient::new(self.origin, self.nickname), transfer_id }
    }
}

#[cfg(test)]
mod consent_tests;
#[cfg(test)]
mod tests;
