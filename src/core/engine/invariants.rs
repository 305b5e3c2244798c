//! What must always hold between two turns.

use super::Engine;
use crate::core::engine::connection::Phase;
use crate::core::engine::socket::Socket;
use crate::core::time::Millis;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// Checks what must always hold between two turns. For tests and the simulator.
    pub fn assert_invariants(&self) {
        let live = || self.connections.iter().map(|(_, connection)| connection);
        self.assert_memory();
        self.assert_places();
        assert_eq!(live().filter(|c| c.timer != Millis::NEVER).count(), self.deadlines.len(), "deadlines");
        assert_eq!(
            live().filter_map(|c| c.session.as_client()).filter(|c| !c.has_left()).count(),
            self.core.directory.len(),
            "logged-in clients"
        );
        for (key, connection) in self.connections.iter() {
            assert_ne!(connection.phase, Phase::Closed, "the closed are freed");
            if let Some(sibling) = connection.session.as_sibling() {
                assert_eq!(self.core.mesh.link_to(sibling.server()), Some(key), "a server ID finds its link");
            }
            if let Some(client) = connection.session.as_client().filter(|client| !client.has_left()) {
                assert_eq!(self.core.directory.find(client.nickname()), Some(key), "a nickname finds its client");
            }
            let within = connection.outbox.pending_bytes(&self.output) <= self.queue_limit(key);
            assert!(within || connection.is_writable, "queues are bounded");
            let kept_max = limits::READ_BYTES + self.core.config.frame.packet_max_bytes();
            assert!(connection.kept_bytes() <= kept_max, "inboxes are bounded");
        }
        let siblings = live().filter(|c| c.session.as_sibling().is_some()).count();
        assert_eq!(siblings, self.core.mesh.links().count(), "links");
        assert_eq!(live().filter(|c| c.is_paused).count(), self.pauses.len(), "a paused connection has one reason");
        let waiting = self.pauses.values().filter(|paused| paused.pause.receiver.is_some()).count();
        assert_eq!(waiting, self.core.pressure.waiting(), "each waiting sender has a receiver");
        assert!(siblings <= self.core.mesh.links_max(), "no more links than a server may have");
        assert!(self.core.mesh.link_to(self.core.config.id).is_none(), "no server is its own sibling");
        let closing = live().filter(|c| matches!(c.phase, Phase::Draining(_))).count();
        assert_eq!(closing, self.endings.len(), "an end is logged once, when its queue is written");
        if self.connections.is_empty() {
            assert!(self.core.pressure.is_empty() && self.core.password_checks.is_empty());
            // The next turn drops the entries of connections that are gone.
            assert!(self.deadlines.is_empty() && (self.wants_turn() || !self.has_ready()));
            assert!(self.probed_since.is_empty() && self.pauses.is_empty() && self.rates.is_empty());
            assert!(self.quota.is_empty(), "places");
            assert!(self.operators.is_empty() && self.scrapers.is_empty());
            assert_eq!(self.output.public.held_bytes(), 0, "the log is freed with its last reader");
        }
    }
}
