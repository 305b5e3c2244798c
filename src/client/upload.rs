//! A file on its way out: from its bytes to FILECHNK packets.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::escape::beginning;
use super::limits::{FILE_MAX_BYTES, HASH_READ_BYTES, REHASH_MAX_BYTES};
use super::progress::Meter;
use super::recipient::Recipient;
use crate::limits::{CHUNK_BYTES, FILE_NAME_MAX_BYTES};
use crate::wire::{Announcement, chunks_of};
use crate::wire::{FileChunk, Packet};

/// A file that is being sent.
#[derive(Debug)]
pub struct Upload<R> {
    /// Its receiver.
    pub to: Recipient,
    /// The announcement to the receiver, before the first chunk.
    pub announcement: Announcement,
    /// Chunks of the whole file.
    pub chunks: u32,
    /// Chunks that were packed.
    pub chunks_done: u32,
    /// Counts for the status line.
    pub meter: Arc<Meter>,
    source: R,
}

impl<R: Read> Upload<R> {
    /// Begins to send the bytes of `source`. `None` if the announced size is too large for the protocol.
    pub fn new(to: Recipient, announcement: Announcement, source: R, meter: Arc<Meter>) -> Option<Upload<R>> {
        let chunks = announcement.chunks()?;
        Some(Upload { to, announcement, chunks, chunks_done: 0, meter, source })
    }

    /// Appends the next packets to `out`: at first the announcement, then up to `chunks_max` chunks.
    ///
    /// # Errors
    /// The error of reading, and `UnexpectedEof` if the file has become shorter.
    pub fn pack(&mut self, out: &mut Vec<u8>, chunks_max: usize) -> io::Result<Packed> {
        let (destination, receiver) = (self.to.server, self.to.nickname.as_str());
        let mut packets = 0;
        if self.chunks_done == 0 {
            Packet::MsgPrv { destination, receiver, message: &self.announcement.to_string() }.encode(out);
            packets += 1;
        }
        let mut content = [0; CHUNK_BYTES];
        for _ in 0..chunks_max.min((self.chunks - self.chunks_done) as usize) {
            let left = self.announcement.size - u64::from(self.chunks_done) * CHUNK_BYTES as u64;
            let len = left.min(CHUNK_BYTES as u64) as usize;
            let (filled, padding) = content.split_at_mut(len);
            self.source.read_exact(filled)?;
            padding.fill(0);
            let Announcement { transfer_id, name, .. } = &self.announcement;
            let chunk =
                FileChunk { transfer_id: *transfer_id, file_name: name, chunks: self.chunks, content: &content };
            Packet::FileChnk { destination, receiver, chunk }.encode(out);
            self.chunks_done += 1;
            packets += 1;
        }
        self.meter.set(u64::from(self.chunks_done) * CHUNK_BYTES as u64);
        Ok(Packed { packets, is_last: self.chunks_done == self.chunks })
    }

    /// Where its bytes come from.
    pub fn source(&self) -> &R {
        &self.source
    }
}

/// What one call has packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Packets, each of which may be answered with an ERROR.
    pub packets: u64,
    /// The file's last chunk is among them.
    pub is_last: bool,
}

/// Reads a file through. `stop` is asked between reads, and told how many bytes were read.
///
/// # Errors
/// What reading gives; `Interrupted` when told to stop; `FileTooLarge` for one that the protocol can't carry.
pub fn measure(mut source: impl Read, stop: impl Fn(u64) -> bool) -> io::Result<(u64, [u8; 32])> {
    let (mut hash, mut size) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; HASH_READ_BYTES];
    loop {
        if stop(size) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = match source.read(&mut buffer) {
            Ok(0) => return Ok((size, hash.finalize().into())),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += len as u64;
        if size > FILE_MAX_BYTES || chunks_of(size).is_none() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hash.update(buffer.get(..len).unwrap_or_default());
    }
}

/// What changes when a file is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of an open file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn of(file: &File) -> io::Result<Stamp> {
        let meta = file.metadata()?;
        let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        Ok(Stamp { size: meta.len(), modified, changed })
    }
}

/// What has become of a file while it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// What was announced is there: it was not touched, or has grown.
    None,
    /// What was announced is not there any more.
    Changed,
    /// It was written to, and is too large to be read again.
    Unknown,
}

/// Compares a file with what it was before it was read for its announcement.
///
/// # Errors
/// What the disk says.
pub fn change_of(mut file: &File, before: Stamp, announcement: &Announcement) -> io::Result<Change> {
    if Stamp::of(file)? == before {
        return Ok(Change::None);
    }
    if announcement.size > REHASH_MAX_BYTES {
        return Ok(Change::Unknown);
    }
    file.seek(SeekFrom::Start(0))?;
    let (_, sha256) = measure(file.take(announcement.size), |_| false)?;
    Ok(if sha256 == announcement.sha256 { Change::None } else { Change::Changed })
}

/// The name as it goes into the packets: 1 to 255 bytes (D11).
pub fn sent_name(name: &str) -> String {
    let name = beginning(name, FILE_NAME_MAX_BYTES);
    if name.is_empty() { "file".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::client::progress::{Direction, Progress};
    use crate::wire::pool::BufferPool;
    use crate::wire::{FrameLimits, Inbox, Input, ServerId};

    fn upload(content: &[u8], size: u64) -> Upload<&[u8]> {
        let announcement = Announcement { name: "x.bin".into(), size, sha256: [0; 32], transfer_id: 5 };
        let meter = Progress::default().begin(Direction::Sending, "x.bin".into(), size);
        Upload::new(Recipient::new(ServerId(7), "ben"), announcement, content, meter).unwrap()
    }

    /// Packs all of it in turns of `turn` chunks: the announcement, the contents and the number of chunks they name.
    fn all(mut upload: Upload<&[u8]>, turn: usize) -> (String, Vec<u8>, Vec<u32>) {
        let mut bytes = Vec::new();
        while !upload.pack(&mut bytes, turn).unwrap().is_last {}
        let (mut inbox, mut input) = (Inbox::default(), bytes.as_slice());
        let (mut said, mut content, mut chunks) = (String::new(), Vec::new(), Vec::new());
        while let Input::Packet(packet) = inbox.next(&mut input, &FrameLimits::default()) {
            match Packet::decode(packet).unwrap() {
                Packet::MsgPrv { message, receiver: "ben", .. } if content.is_empty() => said.push_str(message),
                Packet::FileChnk { chunk, .. } => {
                    assert_eq!((chunk.transfer_id, chunk.file_name), (5, "x.bin"));
                    content.extend_from_slice(chunk.content);
                    chunks.push(chunk.chunks);
                }
                other => panic!("{other:?}"),
            }
        }
        inbox.keep(input, &mut BufferPool::default());
        assert!(!inbox.is_mid_packet());
        (said, content, chunks)
    }

    #[test]
    fn a_file_goes_as_one_announcement_and_then_full_chunks_padded_with_zeros() {
        for (size, chunks) in [(0usize, 1usize), (1, 1), (1023, 1), (1024, 1), (1025, 2), (10_000, 10)] {
            for turn in [1, 3, 64] {
                let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8 + 1).collect();
                let (said, sent, named) = all(upload(&content, size as u64), turn);
                assert_eq!(Announcement::parse(&said).unwrap().size, size as u64);
                assert_eq!(named, vec![chunks as u32; chunks]);
                let (data, padding) = sent.split_at(size);
                assert_eq!(data, content);
                assert!(padding.iter().all(|&byte| byte == 0));
            }
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_and_not_padded() {
        let mut upload = upload(&[1; 1500], 5000);
        assert_eq!(upload.pack(&mut Vec::new(), 64).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn measuring_gives_size_and_sha256_and_stops_when_told() {
        let (size, sha256) = measure(&b"abc"[..], |_| false).unwrap();
        assert_eq!((size, sha256[..4].to_vec()), (3, vec![0xba, 0x78, 0x16, 0xbf]));
        assert_eq!(measure(&b"abc"[..], |_| true).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(sent_name(&"é".repeat(200)).len(), 254);
        assert_eq!(sent_name(""), "file");
    }
}
