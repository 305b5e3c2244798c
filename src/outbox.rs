//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::limits::{POOL_BUFFER_MAX_BYTES, POOL_MAX_BUFFERS, SLICES_PER_WRITE};
use crate::public_log::PublicLog;

/// Output of one connection: its place in the log of public messages, and bytes for it alone, each run of which is
/// spliced in where the log stood when it was queued:
///
/// ```text
///   log     ──────────┬──────────────┬────────▶ end
///              cursor ┘          at  │
///   own                              └ [ AUTHRSP, private messages, chunks … ]
///   written:  log from cursor to `at`, own bytes, log from `at` to the end
/// ```
///
/// A connection that keeps up owns no memory here between two turns.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Written up to here; used while `in_room`.
    cursor: u64,
    /// Gets public messages.
    in_room: bool,
    /// Counted in the log as a reader that is behind.
    pinned: bool,
    own: Option<Box<OwnQueue>>,
}

/// Bytes for one connection alone.
#[derive(Debug, Default)]
pub struct OwnQueue {
    /// `bytes[head..]` waits.
    bytes: Vec<u8>,
    head: usize,
    /// Which runs of the bytes come after which position of the log; together as long as `bytes[head..]`.
    splices: VecDeque<Splice>,
}

#[derive(Debug, Clone, Copy)]
struct Splice {
    at: u64,
    len: usize,
    /// Its beginning has been written.
    is_begun: bool,
}

/// Empty queues for the next who need one.
#[derive(Debug, Default)]
pub struct QueuePool {
    #[allow(clippy::vec_box, reason = "the boxes go from connection to connection")]
    spare: Vec<Box<OwnQueue>>,
}

impl QueuePool {
    fn take(&mut self) -> Box<OwnQueue> {
        self.spare.pop().unwrap_or_default()
    }

    fn give(&mut self, mut queue: Box<OwnQueue>) {
        if queue.held_bytes() <= POOL_BUFFER_MAX_BYTES && self.spare.len() < POOL_MAX_BUFFERS {
            queue.bytes.clear();
            queue.splices.clear();
            queue.head = 0;
            self.spare.push(queue);
        }
    }

    /// What each queue that is kept holds, in bytes.
    pub fn spare_bytes(&self) -> impl Iterator<Item = usize> {
        self.spare.iter().map(|queue| queue.held_bytes())
    }
}

impl OwnQueue {
    /// Memory that it owns: many small packets that are kept apart take more for the splices than for their bytes.
    fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.splices.capacity() * size_of::<Splice>()
    }
}

impl Outbox {
    /// Bytes that wait for this connection alone.
    pub fn own_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.bytes.len() - own.head)
    }

    /// Bytes that wait, public messages included.
    pub fn pending_bytes(&self, log: &PublicLog) -> usize {
        self.own_bytes() + self.behind_bytes(log)
    }

    /// Whether it gets public messages.
    pub fn is_in_room(&self) -> bool {
        self.in_room
    }

    /// Whether it stands in the log as a reader that is behind.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// From now on it gets public messages.
    pub fn enter_room(&mut self, log: &PublicLog) {
        self.cursor = log.end();
        self.in_room = true;
    }

    /// It gets no more public messages; those that wait are kept as its own.
    pub fn leave_room(&mut self, log: &mut PublicLog, pool: &mut QueuePool) {
        if !self.in_room {
            return;
        }
        let mut flat = pool.take();
        let pending = self.pending_bytes(log);
        self.walk(log, |slice| {
            flat.bytes.extend_from_slice(slice);
            true
        });
        debug_assert_eq!(flat.bytes.len(), pending);
        if pending > 0 {
            flat.splices.push_back(Splice { at: 0, len: pending, is_begun: false });
        }
        self.discard(log, pool);
        if pending > 0 {
            self.own = Some(flat);
        }
    }

    /// Queues bytes for this connection alone, behind all that waits. Where `apart`, they are one packet that
    /// [`Outbox::whole_packets`] can tell from the others.
    pub fn push(&mut self, parts: [&[u8]; 2], apart: bool, log: &PublicLog, pool: &mut QueuePool) {
        let at = if self.in_room { log.end() } else { 0 };
        let own = self.own.get_or_insert_with(|| pool.take());
        if own.head > 0 && own.head * 2 >= own.bytes.len() {
            own.bytes.drain(..own.head);
            own.head = 0;
        }
        let len = parts.iter().map(|part| part.len()).sum();
        for part in parts {
            own.bytes.extend_from_slice(part);
        }
        match own.splices.back_mut() {
            Some(last) if last.at == at && !apart => last.len += len,
            _ => own.splices.push_back(Splice { at, len, is_begun: false }),
        }
    }

    /// The packets that were queued apart and of which nothing was written.
    pub fn whole_packets(&self) -> impl Iterator<Item = &[u8]> {
        self.own.iter().flat_map(|own| {
            let mut rest = own.bytes.get(own.head..).unwrap_or(&[]);
            own.splices.iter().filter_map(move |splice| {
                let (packet, after) = rest.split_at_checked(splice.len).unwrap_or((rest, &[]));
                rest = after;
                (!splice.is_begun).then_some(packet)
            })
        })
    }

    /// The next slices to write, in order. One is the common case, and then nothing is gathered.
    pub fn first_slice<'a>(&'a self, log: &'a PublicLog) -> Option<&'a [u8]> {
        if self.own.is_some() {
            return None;
        }
        let slice = log.slice_at(self.cursor);
        (slice.len() == self.behind_bytes(log)).then_some(slice)
    }

    /// Fills `slices` with what is to be written next, as far as they go; returns how many it filled.
    pub fn gather<'a>(&'a self, log: &'a PublicLog, slices: &mut [IoSlice<'a>; SLICES_PER_WRITE]) -> usize {
        let mut free = slices.iter_mut();
        let mut count = 0;
        self.walk(log, |slice| match free.next() {
            Some(place) => {
                *place = IoSlice::new(slice);
                count += 1;
                true
            }
            None => false,
        });
        count
    }

    /// So many bytes were written.
    pub fn advance(&mut self, written: usize, log: &mut PublicLog, pool: &mut QueuePool) {
        let before = self.cursor;
        let mut left = written as u64;
        while left > 0 {
            let next_splice = self.own.as_ref().and_then(|own| own.splices.front().copied());
            let log_part = match next_splice {
                Some(splice) => splice.at.saturating_sub(self.cursor).min(left),
                None => left,
            };
            self.cursor += log_part;
            left -= log_part;
            let Some(own) = &mut self.own else { break };
            let Some(splice) = own.splices.front_mut().filter(|splice| splice.at <= self.cursor) else { continue };
            let own_part = usize::try_from(left).unwrap_or(usize::MAX).min(splice.len);
            splice.len -= own_part;
            splice.is_begun = true;
            own.head += own_part;
            left -= own_part as u64;
            if splice.len == 0 {
                own.splices.pop_front();
            }
            if own.splices.is_empty()
                && let Some(own) = self.own.take()
            {
                pool.give(own);
            }
        }
        debug_assert!(!self.in_room || self.cursor <= log.end());
        self.repin(before, log);
    }

    /// Throws away all that waits, and leaves the room.
    pub fn discard(&mut self, log: &mut PublicLog, pool: &mut QueuePool) {
        if std::mem::take(&mut self.pinned) {
            log.unpin(self.cursor);
        }
        self.in_room = false;
        self.cursor = 0;
        if let Some(own) = self.own.take() {
            pool.give(own);
        }
    }

    /// At the end of a turn's writing: a reader that is behind is counted in the block it stands in.
    pub fn settle_place(&mut self, log: &mut PublicLog) {
        self.repin(self.cursor, log);
    }

    fn repin(&mut self, before: u64, log: &mut PublicLog) {
        let behind = self.behind_bytes(log) > 0;
        if self.pinned {
            log.unpin(before);
        }
        if behind {
            log.pin(self.cursor);
        }
        self.pinned = behind;
    }

    fn behind_bytes(&self, log: &PublicLog) -> usize {
        if self.in_room { usize::try_from(log.end() - self.cursor).unwrap_or(usize::MAX) } else { 0 }
    }

    /// Shows all that waits, slice after slice, until `see` has enough.
    fn walk<'a>(&'a self, log: &'a PublicLog, mut see: impl FnMut(&'a [u8]) -> bool) {
        let mut cursor = self.cursor;
        let mut log_until = |until: u64, see: &mut dyn FnMut(&'a [u8]) -> bool| {
            while cursor < until {
                let slice = log.slice_at(cursor);
                let wanted = usize::try_from(until - cursor).unwrap_or(usize::MAX);
                let slice = slice.get(..wanted).unwrap_or(slice);
                if slice.is_empty() || !see(slice) {
                    return false;
                }
                cursor += slice.len() as u64;
            }
            true
        };
        if let Some(own) = &self.own {
            let mut rest = own.bytes.get(own.head..).unwrap_or(&[]);
            let mut splices = own.splices.iter().peekable();
            while let Some(splice) = splices.next() {
                let mut len = splice.len;
                while let Some(next) = splices.next_if(|next| next.at == splice.at) {
                    len += next.len;
                }
                let (run, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                rest = after;
                if !log_until(splice.at, &mut see) || !see(run) {
                    return;
                }
            }
        }
        if self.in_room {
            log_until(log.end(), &mut see);
        }
    }
}
