//! Files, from chunks (D11) and announcements.

use sha2::{Digest, Sha256};

use super::event::Person;
use crate::limits::{BOT_ANNOUNCEMENTS_MAX, BOT_TRANSFERS_MAX, CHUNK_BYTES};
use crate::wire::{Announcement, FileChunk};

/// A received file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedFile {
    /// The sender.
    pub from: Person,
    /// Its name, as the sender gave it: treat it as hostile (D11). It may hold slashes, dots and control characters.
    pub name: String,
    /// Its bytes. A file that was not announced ends with the zero bytes that fill its last chunk.
    pub content: Vec<u8>,
    /// Whether it was announced, and has the size and the SHA-256 that were announced.
    pub is_verified: bool,
}

/// Transfers under way, within a bound on all of them together.
#[derive(Debug)]
pub(super) struct Files {
    max_bytes: usize,
    /// The transfer that has waited longest for its next chunk comes first.
    transfers: Vec<Transfer>,
    /// The oldest first.
    announcements: Vec<(Person, Announcement)>,
}

#[derive(Debug)]
struct Transfer {
    from: Person,
    id: u32,
    name: String,
    chunks: u32,
    content: Vec<u8>,
    announcement: Option<Announcement>,
    /// It does not fit, or contradicts itself: its chunks are passed over.
    is_dropped: bool,
    received_chunks: u32,
}

impl Files {
    pub fn new(max_bytes: usize) -> Files {
        Files { max_bytes, transfers: Vec::new(), announcements: Vec::new() }
    }

    /// Keeps an announcement of a file.
    pub fn on_announcement(&mut self, from: &Person, announcement: Announcement) {
        self.announcements.retain(|(who, known)| (who, known.transfer_id) != (from, announcement.transfer_id));
        if self.announcements.len() >= BOT_ANNOUNCEMENTS_MAX {
            // The sender with the most announcements loses its oldest, so that no sender can push out another's.
            let count = |who: &Person| self.announcements.iter().filter(|(other, _)| other == who).count();
            let most = (0..self.announcements.len())
                .rev()
                .max_by_key(|&at| self.announcements.get(at).map_or(0, |(who, _)| count(who)));
            if let Some(at) = most {
                self.announcements.remove(at);
            }
        }
        self.announcements.push((from.clone(), announcement));
    }

    /// A chunk has come. Returns the file that is whole with it.
    pub fn on_chunk(&mut self, from: Person, chunk: &FileChunk<'_>) -> Option<ReceivedFile> {
        let known = self.transfers.iter().position(|known| known.id == chunk.transfer_id && known.from == from);
        let mut transfer = match known {
            Some(at) => self.transfers.remove(at),
            None => self.begin(from, chunk),
        };
        if (transfer.name.as_str(), transfer.chunks) != (chunk.file_name, chunk.chunks) {
            transfer.drop_content();
        }
        transfer.received_chunks += 1;
        if !transfer.is_dropped {
            transfer.content.extend_from_slice(chunk.content);
        }
        if transfer.received_chunks >= transfer.chunks {
            return transfer.finish();
        }
        self.transfers.push(transfer);
        self.make_room();
        None
    }

    fn begin(&mut self, from: Person, chunk: &FileChunk<'_>) -> Transfer {
        let announced = self.announcements.iter().position(|(who, announcement)| {
            *who == from && announcement.transfer_id == chunk.transfer_id && announcement.chunks() == Some(chunk.chunks)
        });
        let announcement = announced.map(|at| self.announcements.remove(at).1);
        let is_dropped = u64::from(chunk.chunks) * CHUNK_BYTES as u64 > self.max_bytes as u64;
        Transfer {
            from,
            id: chunk.transfer_id,
            name: chunk.file_name.to_owned(),
            chunks: chunk.chunks,
            content: Vec::new(),
            announcement,
            is_dropped,
            received_chunks: 0,
        }
    }

    /// Drops the contents that have waited longest while all together are over the bound, and forgets transfers while
    /// there are too many.
    fn make_room(&mut self) {
        let mut held: usize = self.transfers.iter().map(|transfer| transfer.content.capacity()).sum();
        for transfer in &mut self.transfers {
            if held <= self.max_bytes {
                break;
            }
            held -= transfer.content.capacity();
            transfer.drop_content();
        }
        if self.transfers.len() > BOT_TRANSFERS_MAX {
            self.transfers.remove(0);
        }
    }
}

impl Transfer {
    fn drop_content(&mut self) {
        self.is_dropped = true;
        self.content = Vec::new();
    }

    fn finish(mut self) -> Option<ReceivedFile> {
        if self.is_dropped {
            return None;
        }
        let is_verified = match &self.announcement {
            None => false,
            Some(announcement) => {
                self.content.truncate(usize::try_from(announcement.size).unwrap_or(usize::MAX));
                if Sha256::digest(&self.content)[..] != announcement.sha256 {
                    return None;
                }
                true
            }
        };
        Some(ReceivedFile { from: self.from, name: self.name, content: self.content, is_verified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServerId;

    fn ana() -> Person {
        Person::new("ana", ServerId(7))
    }

    fn chunk(transfer_id: u32, chunks: u32, content: &[u8; CHUNK_BYTES]) -> FileChunk<'_> {
        FileChunk { transfer_id, file_name: "a.txt", chunks, content }
    }

    fn announcement(transfer_id: u32, content: &[u8]) -> Announcement {
        Announcement {
            name: "a.txt".to_owned(),
            size: content.len() as u64,
            sha256: Sha256::digest(content).into(),
            transfer_id,
        }
    }

    #[test]
    fn an_announced_file_is_cut_to_its_size_and_verified() {
        let mut files = Files::new(1 << 20);
        files.on_announcement(&ana(), announcement(1, &[7; 1500]));
        let mut last = [0; CHUNK_BYTES];
        last[..476].fill(7);
        assert_eq!(files.on_chunk(ana(), &chunk(1, 2, &[7; CHUNK_BYTES])), None);
        let file = files.on_chunk(ana(), &chunk(1, 2, &last)).unwrap();
        assert_eq!((file.content, file.is_verified), (vec![7; 1500], true));
    }

    #[test]
    fn a_file_that_is_not_what_was_announced_is_dropped() {
        let mut files = Files::new(1 << 20);
        files.on_announcement(&ana(), announcement(1, b"good"));
        assert_eq!(files.on_chunk(ana(), &chunk(1, 1, &[7; CHUNK_BYTES])), None);
    }

    #[test]
    fn a_file_that_was_not_announced_keeps_its_padding() {
        let file = Files::new(1 << 20).on_chunk(ana(), &chunk(1, 1, &[7; CHUNK_BYTES])).unwrap();
        assert_eq!((file.content.len(), file.is_verified), (CHUNK_BYTES, false));
    }

    #[test]
    fn transfers_that_never_end_hold_no_more_than_the_bound_and_stop_nobody_else() {
        let mut files = Files::new(16 * CHUNK_BYTES);
        let mallory = Person::new("mallory", ServerId(8));
        for id in 0..1000 {
            assert_eq!(files.on_chunk(mallory.clone(), &chunk(id, 3, &[0; CHUNK_BYTES])), None);
        }
        let held: usize = files.transfers.iter().map(|transfer| transfer.content.capacity()).sum();
        assert!(held <= 16 * CHUNK_BYTES && files.transfers.len() <= BOT_TRANSFERS_MAX);
        assert_eq!(files.on_chunk(ana(), &chunk(1, 2, &[7; CHUNK_BYTES])), None);
        assert!(files.on_chunk(ana(), &chunk(1, 2, &[7; CHUNK_BYTES])).is_some());
        // One that could never fit is passed over to its end.
        for _ in 0..17 {
            assert_eq!(files.on_chunk(ana(), &chunk(2, 17, &[7; CHUNK_BYTES])), None);
        }
        assert!(!files.transfers.iter().any(|transfer| transfer.id == 2 && transfer.from == ana()));
    }

    #[test]
    fn announcements_are_bounded_and_the_one_who_announces_most_gives_way() {
        let mut files = Files::new(1 << 20);
        files.on_announcement(&ana(), announcement(1, b"hi"));
        let mallory = Person::new("mallory", ServerId(8));
        for id in 0..1000 {
            files.on_announcement(&mallory, announcement(id, b"x"));
        }
        assert!(files.announcements.len() <= BOT_ANNOUNCEMENTS_MAX);
        assert!(files.announcements.iter().any(|(who, _)| *who == ana()));
    }
}
