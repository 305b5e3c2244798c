//! The output that waits for one client or newcomer.

use std::io::IoSlice;

use crate::core::output::blocks::{BlockPool, Row};
use crate::core::output::outbox::{Gather, Output, QueuePool};
use crate::core::output::public_log::PublicLog;
use crate::limits::{QUEUE_OVERHEAD_BYTES, SLICES_PER_WRITE};

/// A client's position in the log of public messages, and its private bytes. Each run of these is spliced in at the
/// log's end when it was queued:
///
/// ```text
///   log     ──────────┬──────────────┬────────▶ end
///              cursor ┘          at  │
///   private                          └ [ AUTHRSP, private messages, chunks … ]
///   written:  log from cursor to `at`, private bytes, log from `at` to the end
/// ```
///
/// A client that has left still gets the log up to its end at that moment; the log keeps that once for all. A client
/// that keeps up owns no memory here between two turns. Invariant: a cursor before the client's end is pinned from the
/// end of a turn on.
#[derive(Debug, Default)]
pub struct ClientOutbox {
    /// Of the log, written up to here.
    cursor: u64,
    /// The end of its part of the log: 0 before its login, [`NO_END`] while it is logged in.
    end: u64,
    /// Counted in the log as a reader that is behind.
    is_pinned: bool,
    queue: Option<Box<ClientQueue>>,
}

/// The end for a client that gets every message to come.
const NO_END: u64 = u64::MAX;

/// Bytes for one client alone, and their position in the log.
#[derive(Debug, Default)]
pub struct ClientQueue {
    bytes: Row,
    /// The first run; of length 0 when there is none.
    front: Splice,
    /// The runs between the first and the last: most queues have none.
    middle: Row,
    /// The last run, unless it is the first; else of length 0.
    back: Splice,
}

/// A run of private bytes that comes after position `at` of the log.
#[derive(Debug, Clone, Copy, Default)]
struct Splice {
    at: u64,
    len: u64,
}

impl Splice {
    fn to_entry(self) -> [u8; 16] {
        (u128::from(self.at) << 64 | u128::from(self.len)).to_be_bytes()
    }

    fn from_entry(entry: [u8; 16]) -> Splice {
        let entry = u128::from_be_bytes(entry);
        Splice { at: (entry >> 64) as u64, len: entry as u64 }
    }
}

impl ClientQueue {
    fn push(&mut self, at: u64, bytes: &[u8], pool: &mut BlockPool) {
        self.bytes.push(bytes, pool);
        let last = if self.back.len > 0 { &mut self.back } else { &mut self.front };
        if last.len == 0 || last.at == at {
            *last = Splice { at, len: last.len + bytes.len() as u64 };
            return;
        }
        if self.back.len > 0 {
            self.middle.push(&self.back.to_entry(), pool);
        }
        self.back = Splice { at, len: bytes.len() as u64 };
    }

    /// Drops so many bytes of the first run.
    fn drop_front(&mut self, count: u64, pool: &mut BlockPool) {
        self.bytes.drop_front(count as usize, pool);
        self.front.len -= count;
        if self.front.len == 0 {
            let next = self.middle.pop_entry(pool).map(Splice::from_entry);
            self.front = next.unwrap_or_else(|| std::mem::take(&mut self.back));
        }
    }

    /// All runs in order. The first and the last may be empty.
    fn splices(&self) -> impl Iterator<Item = Splice> {
        let mut middle = self.middle.reader();
        let middle = std::iter::from_fn(move || middle.next(16).first_chunk().copied().map(Splice::from_entry));
        [self.front].into_iter().chain(middle).chain([self.back])
    }

    /// Takes the bytes out; the queue is empty then.
    pub fn take_bytes(&mut self, pool: &mut BlockPool) -> Row {
        let bytes = std::mem::take(&mut self.bytes);
        self.clear(pool);
        bytes
    }

    fn held_bytes(&self) -> usize {
        self.bytes.held_bytes() + self.middle.held_bytes() + size_of::<ClientQueue>() + QUEUE_OVERHEAD_BYTES
    }

    pub(super) fn clear(&mut self, pool: &mut BlockPool) {
        self.bytes.clear(pool);
        self.middle.clear(pool);
        (self.front, self.back) = (Splice::default(), Splice::default());
    }
}

impl ClientOutbox {
    /// Bytes that wait for it alone.
    pub fn private_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes.len())
    }

    /// Memory that they take.
    pub fn held_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.held_bytes())
    }

    /// Bytes of the log that it has yet to get.
    pub fn behind_bytes(&self, log: &PublicLog) -> usize {
        let end = self.end.min(log.end());
        debug_assert!(self.cursor <= end);
        usize::try_from(end.saturating_sub(self.cursor)).unwrap_or(usize::MAX)
    }

    /// Its position in the log, while it is behind there.
    pub fn pinned_at(&self) -> Option<u64> {
        self.is_pinned.then_some(self.cursor)
    }

    /// Whether it gets what comes to the log.
    pub fn gets_public(&self) -> bool {
        self.end == NO_END
    }

    /// From now on it gets public messages.
    pub fn join_public(&mut self, log: &PublicLog) {
        (self.cursor, self.end) = (log.end(), NO_END);
    }

    /// From now on it gets only the public messages that wait already.
    pub fn leave(&mut self, log: &mut PublicLog) {
        self.end = self.end.min(log.end());
        if self.behind_bytes(log) > 0 && !std::mem::replace(&mut self.is_pinned, true) {
            log.pin(self.cursor);
        }
    }

    /// Queues bytes for it alone, behind all that waits.
    pub fn push(&mut self, bytes: &[u8], log: &PublicLog, pool: &mut QueuePool) {
        if bytes.is_empty() {
            return;
        }
        let at = self.end.min(log.end());
        let queue = self.queue.get_or_insert_with(|| pool.take_client());
        queue.push(at, bytes, &mut pool.blocks);
    }

    /// All waiting bytes, if they are in one piece. That is the common case, and needs no gathering.
    pub fn only_slice<'a>(&'a self, log: &'a PublicLog) -> Option<&'a [u8]> {
        let behind_bytes = self.behind_bytes(log);
        match &self.queue {
            Some(queue) if behind_bytes == 0 => queue.bytes.only_slice(),
            Some(_) => None,
            None => Some(log.slice_at(self.cursor)).filter(|slice| slice.len() == behind_bytes),
        }
    }

    /// Fills `slices` with the next bytes to be written, as far as they go. Returns how many slices it filled.
    pub fn gather<'a>(&'a self, log: &'a PublicLog, slices: &mut [IoSlice<'a>; SLICES_PER_WRITE]) -> usize {
        let mut gather = Gather::new(slices);
        let mut cursor = self.cursor;
        let mut take_log_until = |until: u64, gather: &mut Gather<'a, '_>| {
            while cursor < until && !gather.is_full() {
                let slice = log.slice_at(cursor);
                let wanted = usize::try_from(until - cursor).unwrap_or(usize::MAX);
                let slice = slice.get(..wanted).unwrap_or(slice);
                debug_assert!(!slice.is_empty());
                gather.push(slice);
                cursor += slice.len().max(1) as u64;
            }
        };
        if let Some(queue) = &self.queue {
            let mut bytes = queue.bytes.reader();
            for splice in queue.splices() {
                take_log_until(splice.at, &mut gather);
                let mut left = splice.len as usize;
                while left > 0 && !gather.is_full() {
                    let piece = bytes.next(left);
                    gather.push(piece);
                    left -= piece.len();
                }
                if gather.is_full() {
                    break;
                }
            }
        }
        take_log_until(self.end.min(log.end()), &mut gather);
        gather.count()
    }

    /// A write took so many bytes, or none. A reader that is behind is then counted in the block of the log that it
    /// stands in.
    pub fn advance(&mut self, written: usize, output: &mut Output) {
        let before = self.cursor;
        let mut left = written as u64;
        while left > 0 {
            let next = self.queue.as_ref().map(|queue| queue.front.at);
            let log_part = next.map_or(left, |at| at.saturating_sub(self.cursor).min(left));
            self.cursor += log_part;
            left -= log_part;
            let Some(queue) = &mut self.queue else { break };
            if queue.front.at <= self.cursor {
                let part = left.min(queue.front.len);
                queue.drop_front(part, &mut output.queues.blocks);
                left -= part;
                if queue.bytes.is_empty()
                    && let Some(queue) = self.queue.take()
                {
                    output.queues.give_client(queue);
                }
            }
        }
        let is_behind = self.behind_bytes(&output.public) > 0;
        if std::mem::replace(&mut self.is_pinned, is_behind) {
            output.public.unpin(before);
        }
        if is_behind {
            output.public.pin(self.cursor);
        }
    }

    /// Throws away all that waits, and leaves.
    pub fn discard(&mut self, output: &mut Output) {
        if self.is_pinned {
            output.public.unpin(self.cursor);
        }
        if let Some(queue) = self.queue.take() {
            output.queues.give_client(queue);
        }
        *self = ClientOutbox::default();
    }

    /// Takes out the bytes for it alone: it becomes something else.
    pub(super) fn take_queue(&mut self) -> Option<Box<ClientQueue>> {
        debug_assert!(self.end == 0, "a client stays one");
        self.queue.take()
    }
}
