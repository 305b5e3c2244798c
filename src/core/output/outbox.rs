//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::core::output::public_log::PublicLog;
use crate::limits::{POOL_BUFFER_MAX_BYTES, POOL_MAX_BUFFERS, SLICES_PER_WRITE};
use crate::wire::ServerId;

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
/// A link to another server has its own bytes first, then its place in what the log forwards in this turn; what it
/// could not take in the turn becomes its own.
///
/// A connection that keeps up owns no memory here between two turns.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Of its public messages, written or claimed up to here.
    cursor: u64,
    public: Public,
    own: Option<Box<PrivateQueue>>,
}

/// Which public messages a connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Public {
    #[default]
    None,
    /// A client: all that are in the log.
    Clients {
        /// Counted in the log as a reader that is behind.
        is_pinned: bool,
    },
    /// A link to this server: those of the turn's [`LinkBatch`].
    Mesh(ServerId),
}

/// Bytes for one connection alone.
#[derive(Debug, Default)]
pub struct PrivateQueue {
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

impl PrivateQueue {
    /// Lets go what was written, once it is half of all.
    fn compact(&mut self) {
        if self.head > 0 && self.head * 2 >= self.bytes.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }
}

/// Empty queues for the next who need one.
#[derive(Debug, Default)]
pub struct QueuePool {
    #[allow(clippy::vec_box, reason = "the boxes go from connection to connection")]
    spare: Vec<Box<PrivateQueue>>,
}

impl QueuePool {
    fn take(&mut self) -> Box<PrivateQueue> {
        self.spare.pop().unwrap_or_default()
    }

    fn give(&mut self, mut queue: Box<PrivateQueue>) {
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

impl PrivateQueue {
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
    pub fn gets_public(&self) -> bool {
        self.public != Public::None
    }

    /// Whether it stands in the log as a reader that is behind.
    pub fn is_pinned(&self) -> bool {
        self.public == Public::Clients { is_pinned: true }
    }

    /// From now on it gets public messages, as a client.
    pub fn join_public(&mut self, log: &PublicLog) {
        self.cursor = log.end();
        self.public = Public::Clients { is_pinned: false };
    }

    /// From now on it gets the public messages of our clients, as a link to this server.
    pub fn enter_mesh(&mut self, server: ServerId, log: &PublicLog) {
        self.cursor = log.link_batch.end();
        self.public = Public::Mesh(server);
    }

    /// It gets no more public messages; those that wait are kept as its own.
    pub fn leave(&mut self, log: &mut PublicLog, pool: &mut QueuePool) {
        self.take_over(log, pool);
        if !matches!(self.public, Public::Clients { .. }) {
            self.public = Public::None;
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
    pub fn push(&mut self, bytes: &[u8], apart: bool, log: &PublicLog, pool: &mut QueuePool) {
        let at = if self.is_client() { log.end() } else { 0 };
        debug_assert!(self.is_client() || self.behind_bytes(log) == 0, "a link claims first");
        let own = self.own.get_or_insert_with(|| pool.take());
        own.compact();
        own.bytes.extend_from_slice(bytes);
        match own.splices.back_mut() {
            Some(last) if last.at == at && !apart => last.len += bytes.len(),
            _ => own.splices.push_back(Splice { at, len: bytes.len(), is_begun: false }),
        }
    }

    /// A link keeps what is forwarded in this turn as its own, so that what is queued next comes behind it.
    pub fn take_over(&mut self, log: &mut PublicLog, pool: &mut QueuePool) {
        let Public::Mesh(server) = self.public else { return };
        let link_batch = &mut log.link_batch;
        if self.cursor == link_batch.end() {
            return;
        }
        link_batch.set_destination(server);
        let own = self.own.get_or_insert_with(|| pool.take());
        own.compact();
        own.bytes.extend_from_slice(link_batch.since(self.cursor));
        let (packets, mut is_begun) = link_batch.packets_since(self.cursor);
        own.splices.extend(packets.map(|len| Splice { at: 0, len, is_begun: std::mem::take(&mut is_begun) }));
        self.cursor = link_batch.end();
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

    /// To be called before the next two: what the log forwards is for this link.
    pub fn set_destination(&self, log: &mut PublicLog) {
        if let Public::Mesh(server) = self.public {
            log.link_batch.set_destination(server);
        }
    }

    /// All that waits, where it lies in one piece. That is the common case, and then nothing is gathered.
    pub fn only_slice<'a>(&'a self, log: &'a PublicLog) -> Option<&'a [u8]> {
        let behind_bytes = self.behind_bytes(log);
        let slice = match (&self.own, self.public) {
            (Some(own), _) if behind_bytes == 0 => return own.bytes.get(own.head..),
            (Some(_), _) | (None, Public::None) => return None,
            (None, Public::Clients { .. }) => log.slice_at(self.cursor),
            (None, Public::Mesh(_)) => log.link_batch.since(self.cursor),
        };
        (slice.len() == behind_bytes).then_some(slice)
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

    /// A write took so many bytes, or none. A reader that is behind is then counted in the block of the log that it
    /// stands in, and a link that is behind keeps what it did not take.
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
        self.repin(before, log, pool);
    }

    /// Throws away all that waits, and leaves the room.
    pub fn discard(&mut self, log: &mut PublicLog, pool: &mut QueuePool) {
        if self.is_pinned() {
            log.unpin(self.cursor);
        }
        self.public = Public::None;
        self.cursor = 0;
        if let Some(own) = self.own.take() {
            pool.give(own);
        }
    }

    fn repin(&mut self, before: u64, log: &mut PublicLog, pool: &mut QueuePool) {
        let behind = self.behind_bytes(log) > 0;
        match &mut self.public {
            Public::None => {}
            Public::Clients { is_pinned } => {
                if std::mem::replace(is_pinned, behind) {
                    log.unpin(before);
                }
                if behind {
                    log.pin(self.cursor);
                }
            }
            Public::Mesh(_) => self.take_over(log, pool),
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.public, Public::Clients { .. })
    }

    fn behind_bytes(&self, log: &PublicLog) -> usize {
        let end = match self.public {
            Public::None => return 0,
            Public::Clients { .. } => log.end(),
            Public::Mesh(_) => log.link_batch.end(),
        };
        debug_assert!(self.cursor <= end);
        usize::try_from(end - self.cursor).unwrap_or(usize::MAX)
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
        match self.public {
            Public::None => {}
            Public::Clients { .. } => {
                log_until(log.end(), &mut see);
            }
            Public::Mesh(_) => {
                see(log.link_batch.since(cursor));
            }
        }
    }
}
