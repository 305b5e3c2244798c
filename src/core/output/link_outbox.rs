//! What waits to be written to a link to another server.

use std::io::IoSlice;

use crate::core::output::blocks::{BlockPool, Row};
use crate::core::output::link_batch::LinkBatch;
use crate::core::output::outbox::{Gather, Output};
use crate::limits::{QUEUE_OVERHEAD_BYTES, SLICES_PER_WRITE};
use crate::wire::ServerId;

/// A link's own packets, and behind them its place in the turn's batch:
///
/// ```text
///   private  [ rest of one | packet | packet ]
///   batch                                     [ packet | packet │ packet ]
///                                                        cursor ┘
/// ```
///
/// The part of the batch that the link could not take in the turn moves to its own queue. The whole batch moves there
/// when something is queued for this link alone, which keeps the order. Packets are kept apart, so that it is known
/// which of them never began to be written when the link is lost. Invariant: between two turns the cursor stands at the
/// end of the batch.
#[derive(Debug)]
pub struct LinkOutbox {
    /// The server whose batch it gets; `None` once the link is closing, or while it is a spare (D30).
    server: Option<ServerId>,
    /// Of the batch, written or taken over up to here.
    cursor: u64,
    queue: Option<Box<LinkQueue>>,
}

/// Packets for one link.
#[derive(Debug, Default)]
pub struct LinkQueue {
    bytes: Row,
    /// The rest of the first packet in bytes; 0 if there is none.
    front_bytes: usize,
    /// Its beginning has been written.
    is_begun: bool,
    /// The sizes of the packets behind it, each in four bytes.
    sizes: Row,
}

impl LinkQueue {
    /// Notes that the next so many bytes are a packet.
    fn begin_packet(&mut self, bytes: usize, is_begun: bool, pool: &mut BlockPool) {
        if self.front_bytes == 0 {
            (self.front_bytes, self.is_begun) = (bytes, is_begun);
        } else {
            debug_assert!(!is_begun, "only the first packet has begun");
            self.sizes.push(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes(), pool);
        }
    }

    fn drop_front(&mut self, mut count: usize, pool: &mut BlockPool) {
        self.bytes.drop_front(count, pool);
        while count > 0 {
            let part = count.min(self.front_bytes);
            (self.front_bytes, self.is_begun) = (self.front_bytes - part, true);
            count -= part;
            if self.front_bytes == 0 {
                self.is_begun = false;
                match self.sizes.pop_entry(pool) {
                    Some(size) => self.front_bytes = u32::from_be_bytes(size) as usize,
                    None => break,
                }
            }
        }
    }

    /// Takes the next whole packet out into `packet`; passes over one that has begun.
    fn pop_packet(&mut self, packet: &mut Vec<u8>, pool: &mut BlockPool) -> bool {
        if self.is_begun {
            self.drop_front(self.front_bytes, pool);
        }
        packet.clear();
        let mut reader = self.bytes.reader();
        while packet.len() < self.front_bytes {
            let piece = reader.next(self.front_bytes - packet.len());
            if piece.is_empty() {
                break;
            }
            packet.extend_from_slice(piece);
        }
        self.drop_front(packet.len(), pool);
        !packet.is_empty()
    }

    fn held_bytes(&self) -> usize {
        self.bytes.held_bytes() + self.sizes.held_bytes() + size_of::<LinkQueue>() + QUEUE_OVERHEAD_BYTES
    }

    pub(super) fn clear(&mut self, pool: &mut BlockPool) {
        self.bytes.clear(pool);
        self.sizes.clear(pool);
        (self.front_bytes, self.is_begun) = (0, false);
    }
}

impl LinkOutbox {
    /// A link to this server. It gets what comes to the batch from now on, behind what waits already.
    pub(super) fn new(server: ServerId, waiting: Option<Row>, output: &mut Output) -> LinkOutbox {
        let queue = waiting.filter(|bytes| !bytes.is_empty()).map(|bytes| {
            let mut queue = output.queues.take_link();
            queue.begin_packet(bytes.len(), false, &mut output.queues.blocks);
            queue.bytes = bytes;
            queue
        });
        LinkOutbox { server: Some(server), cursor: output.link_batch.end(), queue }
    }

    /// Bytes that wait for it alone.
    pub fn private_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes.len())
    }

    /// Memory that they take.
    pub fn held_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.held_bytes())
    }

    /// Bytes of the batch that it has yet to get.
    pub fn behind_bytes(&self, batch: &LinkBatch) -> usize {
        let end = self.server.map_or(self.cursor, |_| batch.end());
        usize::try_from(end.saturating_sub(self.cursor)).unwrap_or(usize::MAX)
    }

    /// Whether it gets what comes to the batch.
    pub fn gets_public(&self) -> bool {
        self.server.is_some()
    }

    /// It gets what comes to the batch from now on, as the link to this server.
    pub fn join(&mut self, server: ServerId, output: &Output) {
        if self.server.is_none() {
            (self.server, self.cursor) = (Some(server), output.link_batch.end());
        }
    }

    /// It gets nothing of what comes to the batch from now on.
    pub fn leave(&mut self, output: &mut Output) {
        self.take_over(output);
        self.server = None;
    }

    /// Queues a packet for it alone, behind all that waits.
    pub fn push(&mut self, packet: &[u8], output: &mut Output) {
        self.take_over(output);
        let queue = self.queue.get_or_insert_with(|| output.queues.take_link());
        queue.begin_packet(packet.len(), false, &mut output.queues.blocks);
        queue.bytes.push(packet, &mut output.queues.blocks);
    }

    /// Keeps what it has not got of the batch as its own.
    pub fn take_over(&mut self, output: &mut Output) {
        let Some(server) = self.server else { return };
        if self.behind_bytes(&output.link_batch) == 0 {
            return;
        }
        let Output { link_batch, queues, .. } = output;
        link_batch.set_destination(server);
        let queue = self.queue.get_or_insert_with(|| queues.take_link());
        let (packets, mut is_begun) = link_batch.packets_since(self.cursor);
        for packet in packets {
            queue.begin_packet(packet, std::mem::take(&mut is_begun), &mut queues.blocks);
        }
        queue.bytes.push(link_batch.since(self.cursor), &mut queues.blocks);
        self.cursor = link_batch.end();
    }

    /// It does not get the last packet of the batch, which came over it. To be called behind [`LinkOutbox::take_over`] and
    /// that packet.
    pub fn pass_over(&mut self, batch: &LinkBatch) {
        self.cursor = batch.end();
    }

    /// Takes out the next packet that never began to be written, into `packet`. Throws away packets that did.
    pub fn pop_undelivered(&mut self, packet: &mut Vec<u8>, output: &mut Output) -> bool {
        self.take_over(output);
        self.queue.as_mut().is_some_and(|queue| queue.pop_packet(packet, &mut output.queues.blocks))
    }

    /// To be called before the next two: the batch is for this link.
    pub fn set_destination(&self, batch: &mut LinkBatch) {
        if let Some(server) = self.server {
            batch.set_destination(server);
        }
    }

    /// All waiting bytes, if they are in one piece.
    pub fn only_slice<'a>(&'a self, batch: &'a LinkBatch) -> Option<&'a [u8]> {
        match &self.queue {
            Some(queue) if self.behind_bytes(batch) == 0 => queue.bytes.only_slice(),
            Some(_) => None,
            None => self.server.map(|_| batch.since(self.cursor)),
        }
    }

    /// Fills `slices` with the next bytes to be written, as far as they go. Returns how many slices it filled.
    pub fn gather<'a>(&'a self, batch: &'a LinkBatch, slices: &mut [IoSlice<'a>; SLICES_PER_WRITE]) -> usize {
        let mut gather = Gather::new(slices);
        if let Some(queue) = &self.queue {
            let mut reader = queue.bytes.reader();
            while let piece = reader.next(usize::MAX)
                && !piece.is_empty()
                && !gather.is_full()
            {
                gather.push(piece);
            }
        }
        if self.server.is_some() && !gather.is_full() {
            gather.push(batch.since(self.cursor));
        }
        gather.count()
    }

    /// A write took this many bytes, or none. The rest of the batch moves to the link's own queue.
    pub fn advance(&mut self, written: usize, output: &mut Output) {
        let mut left = written;
        if let Some(queue) = &mut self.queue {
            let part = left.min(queue.bytes.len());
            queue.drop_front(part, &mut output.queues.blocks);
            left -= part;
            if queue.bytes.is_empty()
                && let Some(queue) = self.queue.take()
            {
                output.queues.give_link(queue);
            }
        }
        self.cursor += left as u64;
        self.take_over(output);
    }

    /// Throws away all that waits, and gets nothing more.
    pub fn discard(&mut self, output: &mut Output) {
        if let Some(queue) = self.queue.take() {
            output.queues.give_link(queue);
        }
        self.server = None;
    }
}
