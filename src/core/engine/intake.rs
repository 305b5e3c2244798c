//! Input that waits, and the memory that it takes.

use crate::core::engine::connection::Connection;
use crate::core::time::Millis;
use crate::limits::{INBOX_OVERHEAD_BYTES, POOL_MAX_BUFFERS, READ_BYTES};
use crate::wire::pool::BufferPool;
use crate::wire::{CutOff, FrameLimits, Inbox};

/// Input that waits for more, or for its turn.
#[derive(Debug, Default)]
pub struct KeptInput {
    inbox: Inbox,
    /// When the last of it came.
    pub(super) since: Millis,
}

impl KeptInput {
    /// Bytes of input.
    pub fn bytes(&self) -> usize {
        self.inbox.kept_bytes()
    }

    /// The packet in the middle of which it stands.
    pub fn cut_off(&self, limits: &FrameLimits) -> Option<CutOff> {
        self.inbox.cut_off(limits)
    }

    /// The memory that they take.
    pub fn held_bytes(&self) -> usize {
        self.inbox.held_bytes() + size_of::<KeptInput>() + INBOX_OVERHEAD_BYTES
    }
}

/// All kept input, counted, and the means to keep more. Input is taken out of a connection to be handled and put back
/// afterwards; in between it is not counted.
#[derive(Debug)]
pub struct Intake {
    /// What every read fills.
    pub read_buffer: Box<[u8]>,
    /// Buffers for input that is put back.
    pub buffers: BufferPool,
    #[allow(clippy::vec_box, reason = "the boxes go from connection to connection")]
    boxes: Vec<Box<KeptInput>>,
    /// Memory of the input of newcomers.
    newcomers_bytes: usize,
    /// Memory of the input of all other connections.
    others_bytes: usize,
}

impl Default for Intake {
    fn default() -> Intake {
        Intake {
            read_buffer: vec![0; READ_BYTES].into_boxed_slice(),
            buffers: BufferPool::default(),
            boxes: Vec::new(),
            newcomers_bytes: 0,
            others_bytes: 0,
        }
    }
}

impl Intake {
    /// Memory of all kept input, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.newcomers_bytes + self.others_bytes
    }

    /// The part of it that newcomers hold.
    pub fn newcomers_bytes(&self) -> usize {
        self.newcomers_bytes
    }

    /// Takes a connection's input out.
    pub fn take<S>(&mut self, connection: &mut Connection<S>) -> Inbox {
        let Some(mut place) = connection.inbox.take() else { return Inbox::default() };
        *self.count_of(connection) -= place.held_bytes();
        let inbox = std::mem::take(&mut place.inbox);
        if self.boxes.len() < POOL_MAX_BUFFERS {
            self.boxes.push(place);
        }
        inbox
    }

    /// Puts back the rest. A connection between two packets keeps nothing.
    pub fn put<S>(&mut self, connection: &mut Connection<S>, inbox: Inbox, now: Millis) {
        debug_assert!(connection.inbox.is_none(), "what is put back was taken out");
        if inbox.is_mid_packet() {
            let mut place = self.boxes.pop().unwrap_or_default();
            *place = KeptInput { inbox, since: now };
            *self.count_of(connection) += place.held_bytes();
            connection.inbox = Some(place);
        }
    }

    /// Throws a connection's input away.
    pub fn discard<S>(&mut self, connection: &mut Connection<S>) {
        let mut inbox = self.take(connection);
        self.buffers.give(inbox.take_kept());
    }

    fn count_of<S>(&mut self, connection: &Connection<S>) -> &mut usize {
        if connection.session.is_newcomer() { &mut self.newcomers_bytes } else { &mut self.others_bytes }
    }
}
