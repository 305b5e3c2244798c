//! The bound on all memory that waiting output and input take.

use super::Engine;
use crate::core::engine::connection::{Connection, Phase};
use crate::core::engine::socket::Socket;
use crate::core::state::effects::{CloseMode, CloseReason};

impl<S: Socket> Engine<S> {
    /// Memory that all waiting output and input take, in bytes, with what it takes to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.output.held_bytes() + self.intake.held_bytes()
    }

    /// What each buffer and each block that is kept for the next use holds, in bytes. For tests and the simulator.
    pub fn spare_bytes(&self) -> [Vec<usize>; 2] {
        [self.intake.buffers.spare_bytes().collect(), self.output.queues.blocks.spare_bytes().collect()]
    }

    /// Past the bound on all queues, the largest go first. What everybody has by now does not count.
    pub(super) fn bound_memory(&mut self) {
        self.output.public.trim();
        while self.queued_bytes() > self.core.config.max_memory_bytes {
            let size = |c: &Connection<S>| c.outbox.pending_bytes(&self.output) + c.kept_bytes();
            let largest =
                self.connections.iter().filter(|(_, c)| c.phase != Phase::Closed).max_by_key(|(_, c)| size(c));
            let Some((key, connection)) = largest else { break };
            if size(connection) == 0 {
                break;
            }
            self.close(key, CloseReason::Memory, CloseMode::Now);
            self.apply_effects();
            self.output.public.trim();
        }
    }

    /// The part of the engine's invariants that is about memory.
    pub(super) fn assert_memory(&self) {
        let live = || self.connections.iter().map(|(_, connection)| connection);
        let kept: usize = live().map(Connection::kept_held_bytes).sum();
        assert_eq!(kept, self.intake.held_bytes(), "the sum of all kept input");
        let nobody: usize = live().filter(|c| c.session.is_nobody()).map(Connection::kept_held_bytes).sum();
        assert_eq!(nobody, self.intake.nobody_bytes(), "the same of those who are nobody yet");
        let lent: usize = live().map(|c| c.outbox.held_bytes()).sum();
        assert_eq!(lent, self.output.queues.lent_bytes(), "the sum of the queues");
        let behind = live().filter(|c| c.outbox.pinned_at().is_some()).count();
        assert_eq!(behind, self.output.public.pins(), "readers that are behind");
    }
}
