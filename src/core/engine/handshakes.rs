//! Handshakes of encrypted connections: work that is done in portions (D40).

use std::io;
use std::net::Ipv4Addr;

use super::Engine;
use crate::core::engine::cipher::Refusal;
use crate::core::engine::socket::Socket;
use crate::core::session::Session;
use crate::core::state::address::AddressGroup;
use crate::core::state::counters::TlsFailure;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// A step of this connection's handshake waits for its turn, and nothing is read from it meanwhile. If too many
    /// wait, the oldest of the largest group of addresses gives way, so that a flood turns itself away.
    pub(super) fn await_handshake(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let address = connection.remote.address().map_or(Ipv4Addr::LOCALHOST.into(), |remote| remote.ip());
        let group = AddressGroup::of(address);
        connection.awaits_handshake = true;
        let turned_away = if self.handshakes.len_of(group) >= limits::HANDSHAKES_PER_ADDRESS_MAX {
            self.handshakes.give_way_at(group)
        } else if self.handshakes.len() >= limits::HANDSHAKES_WAITING_MAX {
            self.handshakes.give_way(|_| true)
        } else {
            None
        };
        self.handshakes.push(group, None, key);
        if let Some(turned_away) = turned_away
            && let Some(connection) = self.connections.get_mut(turned_away)
        {
            connection.awaits_handshake = false;
            log::info!("TLS from {} failed: too many handshakes wait", connection.remote);
            self.close(turned_away, CloseReason::TlsFailed, CloseMode::Now);
        }
    }

    /// A few steps, addresses in turn.
    pub(super) fn advance_handshakes(&mut self) {
        for _ in 0..limits::HANDSHAKES_PER_TURN {
            let Some(key) = self.handshakes.pop(|_| true) else { break };
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.awaits_handshake = false;
            let mut buffer = std::mem::take(&mut self.intake.read_buffer);
            let unsent_before = connection.socket.unsent_bytes();
            let received = connection.socket.advance_handshake(&mut buffer);
            if received.is_ok() && !connection.socket.is_handshaking() {
                self.core.counters.tls_handshakes += 1;
                // What was queued can be sealed now.
                connection.is_writable = true;
                self.mark_dirty(key);
            }
            // What the kernel has is as it was: this read nothing from it.
            self.on_received(key, received, unsent_before, true, &buffer);
            self.intake.read_buffer = buffer;
            self.apply_effects();
            self.schedule(key);
            self.enqueue(key);
        }
    }

    /// Counts what its socket holds, after a call of that.
    pub(super) fn count_held(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let held_bytes = connection.socket.held_bytes();
        self.sockets_bytes = self.sockets_bytes + held_bytes - connection.socket.counted_bytes();
        connection.socket.set_counted(held_bytes);
    }

    /// The certificate ends in so many seconds; without one, never.
    pub fn set_certificate_end(&mut self, seconds_left: Option<u64>, now: Millis) {
        self.certificate_end = seconds_left.map(|seconds| now + seconds.saturating_mul(1000));
    }

    /// After a read: what came may have made its socket say something, which is written with the rest.
    pub(super) fn flush_later(&mut self, key: Key, unsent_before: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.socket.unsent_bytes() > unsent_before {
            connection.is_writable = true;
            self.mark_dirty(key);
        }
    }

    /// A read or write failed: closes the connection, and says why.
    pub(super) fn on_socket_error(&mut self, key: Key, error: &io::Error) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let remote = connection.remote;
        match error.get_ref().and_then(|inside| inside.downcast_ref::<Refusal>()) {
            Some(Refusal::Plaintext) => self.close(key, CloseReason::Plaintext, CloseMode::Now),
            Some(Refusal::Tls(failure, why)) => {
                let what = if let Session::Requesting(_) = connection.session { "to" } else { "from" };
                log::info!("TLS {what} {remote} failed ({}): {why}", failure.name());
                self.core.counters.tls_failures.count(failure.index());
                // An alert says why to the other side.
                self.close(key, CloseReason::TlsFailed, CloseMode::AfterWriting);
            }
            None => {
                log::debug!("{remote}: {error}");
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let reason = if refused { CloseReason::Refused } else { CloseReason::Lost };
                self.close(key, reason, CloseMode::Now);
            }
        }
    }

    /// A connection ends: its handshake is no longer waited for, and one that took too long is counted.
    pub(super) fn end_handshake(&mut self, key: Key, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if std::mem::take(&mut connection.awaits_handshake) {
            self.handshakes.cancel(|waiting| *waiting == key);
        }
        let is_late = matches!(reason, CloseReason::HandshakeTimeout | CloseReason::NoAnswer);
        if is_late && connection.socket.is_handshaking() {
            self.core.counters.tls_failures.count(TlsFailure::Timeout.index());
        }
    }
}
