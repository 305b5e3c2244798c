#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::client::consent::FilePolicy;
use crate::wire::ServerId;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// A disk in memory, of this size.
#[derive(Clone, Default)]
pub(super) struct Memory {
    kept: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    incomplete: Rc<Cell<usize>>,
    room_bytes: Rc<Cell<Option<usize>>>,
}

impl Memory {
    pub fn incomplete(&self) -> usize {
        self.incomplete.get()
    }

    pub fn kept_len(&self) -> usize {
        self.kept.borrow().len()
    }
}

pub(super) struct Part(Vec<u8>, Rc<Cell<usize>>);

impl Drop for Part {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

impl Store for Memory {
    type File = Part;

    fn create(&mut self) -> io::Result<Part> {
        self.incomplete.set(self.incomplete.get() + 1);
        Ok(Part(Vec::new(), self.incomplete.clone()))
    }

    fn append(&mut self, part: &mut Part, bytes: &[u8]) -> io::Result<()> {
        if self.room_bytes.get().is_some_and(|room| part.0.len() + bytes.len() > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        part.0.extend_from_slice(bytes);
        Ok(())
    }

    fn keep(&mut self, mut part: Part, name: &str) -> io::Result<String> {
        self.kept.borrow_mut().insert(name.to_owned(), std::mem::take(&mut part.0));
        Ok(name.to_owned())
    }
}

pub(super) struct Bench {
    pub memory: Memory,
    pub downloads: Downloads<Memory>,
    pub said: Vec<Outcome>,
    pub now_ms: u64,
}

pub(super) const ANA: Sender<'static> = Sender { origin: ServerId(7), nickname: "ana" };

impl Bench {
    /// Takes everything.
    pub fn new(max_bytes: u64) -> Bench {
        Bench::with(Consent::new(FilePolicy::Everybody, Vec::new()), max_bytes)
    }

    pub fn with(consent: Consent, max_bytes: u64) -> Bench {
        let memory = Memory::default();
        let downloads = Downloads::new(memory.clone(), Progress::default(), consent, max_bytes);
        Bench { memory, downloads, said: Vec::new(), now_ms: 0 }
    }

    pub fn announce(&mut self, from: Sender<'_>, transfer_id: u32, name: &str, content: &[u8]) {
        let sha256 = Sha256::digest(content).into();
        let announcement = Announcement { name: name.into(), size: content.len() as u64, sha256, transfer_id };
        let from = Recipient::new(from.origin, from.nickname);
        self.downloads.on_announcement(&from, announcement, self.now_ms);
    }

    pub fn chunk(
        &mut self,
        from: Sender<'_>,
        transfer_id: u32,
        file_name: &str,
        chunks: u32,
        content: &[u8; CHUNK_BYTES],
    ) {
        let chunk = FileChunk { transfer_id, file_name, chunks, content };
        self.downloads.on_chunk(from, &chunk, self.now_ms, &mut |outcome| self.said.push(outcome));
    }

    pub fn kept(&self, name: &str) -> Vec<u8> {
        self.memory.kept.borrow()[name].clone()
    }

    pub fn last(&self) -> &What {
        &self.said.last().unwrap().what
    }
}

pub(super) fn chunked(content: &[u8]) -> Vec<[u8; CHUNK_BYTES]> {
    let mut padded = content.to_vec();
    padded.resize(content.len().div_ceil(CHUNK_BYTES).max(1) * CHUNK_BYTES, 0);
    padded.as_chunks::<CHUNK_BYTES>().0.to_vec()
}

#[test]
fn an_announced_file_is_cut_to_its_size_and_checked() {
    for size in [0, 1, 1023, 1024, 1025, 300_000] {
        let mut bench = Bench::new(u64::MAX);
        let content: Vec<u8> = (0..size).map(|at| at as u8).collect();
        bench.announce(ANA, 1, "x", &content);
        let chunks = chunked(&content);
        for chunk in &chunks {
            bench.chunk(ANA, 1, "x", chunks.len() as u32, chunk);
        }
        assert!(matches!(bench.last(), What::Checked { bytes, .. } if *bytes == size as u64), "{:?}", bench.said);
        assert_eq!(bench.kept("x"), content);
        assert!(bench.downloads.open.is_empty());
    }
}

#[test]
fn a_file_without_announcement_is_kept_with_its_padding() {
    let mut bench = Bench::new(u64::MAX);
    bench.chunk(ANA, 1, "x", 1, &chunked(b"abc")[0]);
    assert!(matches!(bench.last(), What::Unchecked { bytes: 1024, .. }));
    assert_eq!(bench.kept("x").len(), 1024);
}

#[test]
fn an_announcement_that_does_not_fit_the_chunks_is_none() {
    let mut bench = Bench::new(u64::MAX);
    bench.announce(ANA, 1, "x", &[1; 2000]);
    bench.chunk(ANA, 1, "x", 1, &[1; 1024]);
    assert!(matches!(bench.last(), What::Unchecked { bytes: 1024, .. }));
    // Nor is one of another name.
    bench.announce(ANA, 2, "photo.jpg", &[1; 1024]);
    bench.chunk(ANA, 2, "build.rs", 1, &[1; 1024]);
    assert!(matches!(bench.last(), What::Unchecked { bytes: 1024, .. }));
}

#[test]
fn a_damaged_file_is_removed() {
    let mut bench = Bench::new(u64::MAX);
    bench.announce(ANA, 1, "x", b"abc");
    bench.chunk(ANA, 1, "x", 1, &chunked(b"abd")[0]);
    assert!(matches!(bench.last(), What::Aborted(Abort::Damaged)));
    assert!(bench.memory.kept.borrow().is_empty());
    assert_eq!(bench.memory.incomplete.get(), 0);
}

#[test]
fn transfers_are_told_apart_by_server_sender_and_number() {
    let mut bench = Bench::new(u64::MAX);
    let senders = [ANA, Sender { origin: ServerId(8), ..ANA }, Sender { nickname: "ben", ..ANA }];
    for turn in 0..2u8 {
        for (index, from) in senders.into_iter().enumerate() {
            for transfer_id in [1, 2] {
                let mark = index as u8 * 10 + transfer_id as u8 + turn * 100;
                bench.chunk(from, transfer_id, &format!("{index}-{transfer_id}"), 2, &[mark; 1024]);
            }
        }
    }
    assert_eq!(bench.kept("1-2"), [[12; 1024], [112; 1024]].concat());
    assert_eq!(bench.memory.kept.borrow().len(), 6);
}

#[test]
fn a_full_disk_ends_one_transfer_with_one_line_and_its_rest_is_passed_over() {
    let mut bench = Bench::new(u64::MAX);
    bench.memory.room_bytes.set(Some(100_000));
    for _ in 0..1000 {
        bench.chunk(ANA, 1, "large", 1000, &[1; 1024]);
    }
    bench.chunk(ANA, 2, "small", 1, &[1; 1024]);
    let said: Vec<String> = bench.said.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(matches!(bench.said[1].what, What::Aborted(Abort::Disk(_))));
    assert_eq!(bench.kept("small").len(), 1024);
    assert_eq!(bench.memory.incomplete.get(), 0);
    assert!(bench.downloads.passed_over.len() == 0, "its last chunk ends the passing over");
}

#[test]
fn what_would_be_too_much_together_is_refused_once() {
    let mut bench = Bench::new(10 * 1024);
    bench.chunk(ANA, 1, "a", 6, &[1; 1024]);
    for _ in 0..5 {
        bench.chunk(ANA, 2, "b", 5, &[1; 1024]);
    }
    assert!(matches!(bench.last(), What::Refused(Refusal::TooLarge { bytes: 5120, left_bytes: 4096 })));
    assert_eq!(bench.said.len(), 2);
    bench.chunk(ANA, 3, "c", 4, &[1; 1024]);
    assert!(matches!(bench.last(), What::Begun { .. }));
}

#[test]
fn nobody_can_take_all_places() {
    let mut bench = Bench::new(u64::MAX);
    for transfer_id in 0..=DOWNLOADS_PER_SENDER_MAX as u32 {
        bench.chunk(ANA, transfer_id, "a", 2, &[1; 1024]);
    }
    assert!(matches!(bench.last(), What::Refused(Refusal::TooMany)));
    bench.chunk(Sender { nickname: "ben", ..ANA }, 1, "b", 2, &[1; 1024]);
    assert!(matches!(bench.last(), What::Begun { .. }));
}

#[test]
fn a_transfer_that_stops_is_given_up_after_a_while() {
    let mut bench = Bench::new(u64::MAX);
    bench.chunk(ANA, 1, "x", 3, &[1; 1024]);
    bench.now_ms = DOWNLOAD_IDLE_MS - 1;
    bench.chunk(ANA, 1, "x", 3, &[1; 1024]);
    for (now_ms, lines) in [(2 * DOWNLOAD_IDLE_MS - 2, 1), (2 * DOWNLOAD_IDLE_MS - 1, 2)] {
        bench.downloads.on_time(now_ms, &mut |outcome| bench.said.push(outcome));
        assert_eq!(bench.said.len(), lines);
    }
    assert!(matches!(bench.last(), What::Aborted(Abort::Stopped)));
    assert_eq!(bench.memory.incomplete.get(), 0);
}

#[test]
fn a_new_file_under_the_number_of_an_unfinished_one_replaces_it() {
    let mut bench = Bench::new(u64::MAX);
    bench.chunk(ANA, 1, "x", 3, &[1; 1024]);
    bench.chunk(ANA, 1, "y", 1, &[2; 1024]);
    let what: Vec<&What> = bench.said.iter().map(|outcome| &outcome.what).collect();
    assert!(matches!(
        what[..],
        [What::Begun { .. }, What::Aborted(Abort::Replaced), What::Begun { .. }, What::Unchecked { .. }]
    ));
}

#[test]
fn a_flood_of_announcements_pushes_out_the_flooders_own() {
    let mut bench = Bench::new(u64::MAX);
    bench.announce(Sender { nickname: "ben", ..ANA }, 1, "x", b"abc");
    for transfer_id in 0..10_000 {
        bench.announce(ANA, transfer_id, "x", b"x");
    }
    assert_eq!(bench.downloads.announcements.len(), 1 + ANNOUNCEMENTS_PER_SENDER_MAX);
    bench.chunk(Sender { nickname: "ben", ..ANA }, 1, "x", 1, &chunked(b"abc")[0]);
    assert!(matches!(bench.last(), What::Checked { .. }));
}

#[test]
fn a_line_about_a_file_can_t_be_broken_by_its_name() {
    let mut bench = Bench::new(u64::MAX);
    bench.chunk(Sender { nickname: "a\u{202e}b", ..ANA }, 1, "x\n[7] ben: hi\u{1b}[2J", 1, &[1; 1024]);
    for outcome in &bench.said {
        assert!(!outcome.to_string().chars().any(super::super::escape::is_treacherous), "{outcome}");
    }
}

proptest! {
    #[test]
    fn interleaved_files_come_out_whole(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 1..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 60)
    ) {
        let mut bench = Bench::new(u64::MAX);
        let mut queues: Vec<(usize, Vec<[u8; CHUNK_BYTES]>)> = Vec::new();
        for (id, content) in contents.iter().enumerate() {
            bench.announce(ANA, id as u32, &id.to_string(), content);
            let mut chunks = chunked(content);
            chunks.reverse();
            queues.push((id, chunks));
        }
        let totals: Vec<u32> = queues.iter().map(|(_, chunks)| chunks.len() as u32).collect();
        let mut order = order.into_iter().cycle();
        while !queues.is_empty() {
            let at = order.next().unwrap().index(queues.len());
            let (id, chunks) = &mut queues[at];
            let (id, chunk) = (*id, chunks.pop().unwrap());
            if chunks.is_empty() {
                queues.remove(at);
            }
            bench.chunk(ANA, id as u32, &id.to_string(), totals[id], &chunk);
        }
        for (id, content) in contents.iter().enumerate() {
            prop_assert_eq!(&bench.kept(&id.to_string()), content);
        }
        let is_fine = |outcome: &Outcome| matches!(outcome.what, What::Begun { .. } | What::Checked { .. });
        prop_assert!(bench.said.iter().all(is_fine), "{:?}", bench.said);
        prop_assert_eq!(bench.memory.incomplete.get(), 0);
    }
}
