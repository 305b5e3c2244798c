//! What waits to be written: the memory that all connections share for it, and each connection's part.

use std::io::IoSlice;

use crate::core::output::blocks::BlockPool;
use crate::core::output::client_outbox::{ClientOutbox, ClientQueue};
use crate::core::output::link_batch::LinkBatch;
use crate::core::output::link_outbox::{LinkOutbox, LinkQueue};
use crate::core::output::public_log::PublicLog;
use crate::limits::{POOL_MAX_BUFFERS, QUEUE_OVERHEAD_BYTES, SLICES_PER_WRITE};
use crate::wire::ServerId;

/// All that waits, but for each connection's note of its part.
#[derive(Debug, Default)]
pub struct Output {
    /// Public messages for the clients.
    pub public: PublicLog,
    /// What our clients say in public, for the links: this turn's.
    pub link_batch: LinkBatch,
    /// What waits for one connection alone.
    pub queues: QueuePool,
}

impl Output {
    /// Memory that waiting output takes, in bytes. The batch is not in it: it is over with the turn.
    pub fn held_bytes(&self) -> usize {
        self.public.held_bytes() + self.queues.lent_bytes()
    }
}

/// Lends queues and their blocks, and counts the bytes lent.
#[derive(Debug, Default)]
pub struct QueuePool {
    /// The blocks of all queues.
    pub blocks: BlockPool,
    #[allow(clippy::vec_box, reason = "the boxes go from connection to connection")]
    clients: Vec<Box<ClientQueue>>,
    #[allow(clippy::vec_box, reason = "the boxes go from connection to connection")]
    links: Vec<Box<LinkQueue>>,
}

impl QueuePool {
    /// Memory of the queues that are in use, in bytes: their blocks, and what it takes to keep them.
    pub fn lent_bytes(&self) -> usize {
        self.blocks.lent_bytes()
    }

    pub(super) fn take_client(&mut self) -> Box<ClientQueue> {
        self.blocks.lend(size_of::<ClientQueue>() + QUEUE_OVERHEAD_BYTES);
        self.clients.pop().unwrap_or_default()
    }

    pub(super) fn give_client(&mut self, mut queue: Box<ClientQueue>) {
        queue.clear(&mut self.blocks);
        self.blocks.take_back(size_of::<ClientQueue>() + QUEUE_OVERHEAD_BYTES);
        if self.clients.len() < POOL_MAX_BUFFERS {
            self.clients.push(queue);
        }
    }

    pub(super) fn take_link(&mut self) -> Box<LinkQueue> {
        self.blocks.lend(size_of::<LinkQueue>() + QUEUE_OVERHEAD_BYTES);
        self.links.pop().unwrap_or_default()
    }

    pub(super) fn give_link(&mut self, mut queue: Box<LinkQueue>) {
        queue.clear(&mut self.blocks);
        self.blocks.take_back(size_of::<LinkQueue>() + QUEUE_OVERHEAD_BYTES);
        if self.links.len() < POOL_MAX_BUFFERS {
            self.links.push(queue);
        }
    }
}

/// What waits to be written to one connection.
#[derive(Debug)]
pub enum Outbox {
    /// To a client, a newcomer, an operator or a scraper.
    Client(ClientOutbox),
    /// To another server.
    Link(LinkOutbox),
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox::Client(ClientOutbox::default())
    }
}

impl Outbox {
    /// Bytes that wait for this connection alone.
    pub fn private_bytes(&self) -> usize {
        match self {
            Outbox::Client(client) => client.private_bytes(),
            Outbox::Link(link) => link.private_bytes(),
        }
    }

    /// Memory that they take.
    pub fn held_bytes(&self) -> usize {
        match self {
            Outbox::Client(client) => client.held_bytes(),
            Outbox::Link(link) => link.held_bytes(),
        }
    }

    /// Bytes that wait, public messages included.
    pub fn pending_bytes(&self, output: &Output) -> usize {
        match self {
            Outbox::Client(client) => client.private_bytes() + client.behind_bytes(&output.public),
            Outbox::Link(link) => link.private_bytes() + link.behind_bytes(&output.link_batch),
        }
    }

    /// Its position in the log of public messages, if it is a client that is behind there.
    pub fn pinned_at(&self) -> Option<u64> {
        match self {
            Outbox::Client(client) => client.pinned_at(),
            Outbox::Link(_) => None,
        }
    }

    /// Whether it gets public messages.
    pub fn gets_public(&self) -> bool {
        match self {
            Outbox::Client(client) => client.gets_public(),
            Outbox::Link(link) => link.gets_public(),
        }
    }

    /// From now on it gets public messages, as a client.
    pub fn join_public(&mut self, output: &Output) {
        if let Outbox::Client(client) = self {
            client.join_public(&output.public);
        }
    }

    /// From now on it gets the public messages of our clients, as a link to this server.
    pub fn enter_mesh(&mut self, server: ServerId, output: &mut Output) {
        let Outbox::Client(client) = self else { return };
        let waiting = client.take_queue().map(|mut queue| {
            let bytes = queue.take_bytes(&mut output.queues.blocks);
            output.queues.give_client(queue);
            bytes
        });
        *self = Outbox::Link(LinkOutbox::new(server, waiting, output));
    }

    /// Whether it gets public messages from now on, if it is the link to this server: in a routed network, spares do not.
    pub fn carry(&mut self, server: ServerId, carries: bool, output: &mut Output) {
        match self {
            Outbox::Link(link) if carries => link.join(server, output),
            Outbox::Link(link) => link.leave(output),
            Outbox::Client(_) => {}
        }
    }

    /// A public message that came over this link goes on over all others that carry.
    pub fn relay(&mut self, packet: &[u8], output: &mut Output) {
        if let Outbox::Link(link) = self {
            link.take_over(output);
            output.link_batch.append_encoded(packet);
            link.pass_over(&output.link_batch);
        }
    }

    /// From now on it gets only the public messages that wait already.
    pub fn leave(&mut self, output: &mut Output) {
        match self {
            Outbox::Client(client) => client.leave(&mut output.public),
            Outbox::Link(link) => link.leave(output),
        }
    }

    /// Queues whole packets for this connection alone, behind all that waits. For a link: one packet.
    pub fn push(&mut self, bytes: &[u8], output: &mut Output) {
        match self {
            Outbox::Client(client) => client.push(bytes, &output.public, &mut output.queues),
            Outbox::Link(link) => link.push(bytes, output),
        }
    }

    /// Takes out the next packet for a link that never began to be written, into `packet`.
    pub fn pop_undelivered(&mut self, packet: &mut Vec<u8>, output: &mut Output) -> bool {
        match self {
            Outbox::Client(_) => false,
            Outbox::Link(link) => link.pop_undelivered(packet, output),
        }
    }

    /// To be called before the next two: the batch is for this connection, if it is a link.
    pub fn set_destination(&self, output: &mut Output) {
        if let Outbox::Link(link) = self {
            link.set_destination(&mut output.link_batch);
        }
    }

    /// All waiting bytes, if they are in one piece. That is the common case, and needs no gathering.
    pub fn only_slice<'a>(&'a self, output: &'a Output) -> Option<&'a [u8]> {
        match self {
            Outbox::Client(client) => client.only_slice(&output.public),
            Outbox::Link(link) => link.only_slice(&output.link_batch),
        }
    }

    /// Fills `slices` with the next bytes to be written, as far as they go. Returns how many slices it filled.
    pub fn gather<'a>(&'a self, output: &'a Output, slices: &mut [IoSlice<'a>; SLICES_PER_WRITE]) -> usize {
        match self {
            Outbox::Client(client) => client.gather(&output.public, slices),
            Outbox::Link(link) => link.gather(&output.link_batch, slices),
        }
    }

    /// A write took so many bytes, or none.
    pub fn advance(&mut self, written: usize, output: &mut Output) {
        match self {
            Outbox::Client(client) => client.advance(written, output),
            Outbox::Link(link) => link.advance(written, output),
        }
    }

    /// Throws away all that waits; nothing more is to be written.
    pub fn discard(&mut self, output: &mut Output) {
        match self {
            Outbox::Client(client) => client.discard(output),
            Outbox::Link(link) => link.discard(output),
        }
    }
}

/// Slices for one write, and how many of them are filled.
pub(super) struct Gather<'a, 's> {
    slices: &'s mut [IoSlice<'a>; SLICES_PER_WRITE],
    count: usize,
}

impl<'a, 's> Gather<'a, 's> {
    pub(super) fn new(slices: &'s mut [IoSlice<'a>; SLICES_PER_WRITE]) -> Gather<'a, 's> {
        Gather { slices, count: 0 }
    }

    pub(super) fn push(&mut self, slice: &'a [u8]) {
        if let Some(place) = self.slices.get_mut(self.count).filter(|_| !slice.is_empty()) {
            *place = IoSlice::new(slice);
            self.count += 1;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == SLICES_PER_WRITE
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}
