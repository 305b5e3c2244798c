//! One write for each connection that has output: private output at the end of a round, public messages at the end of
//! the turn.

use std::io::{self, IoSlice};

use super::Engine;
use crate::core::engine::connection::{Connection, Phase};
use crate::core::engine::socket::{Sent, Socket};
use crate::core::output::outbox::{Outbox, Output};
use crate::core::session::Session;
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;

/// What one write came to.
struct Written {
    bytes: usize,
    is_broken: bool,
}

impl<S: Socket> Engine<S> {
    /// Writes every outbox that has something of its own, once. What was said in public before comes along.
    pub(super) fn flush_private(&mut self) {
        // A connection that becomes dirty again meanwhile has its next write in the next round or turn.
        for _ in 0..self.dirty.len() {
            let Some(key) = self.dirty.pop_front() else { break };
            self.flush_dirty(key);
        }
        self.apply_effects();
    }

    /// The end of the turn's output: writes every outbox that has something. Nothing public outlives the turn but as
    /// what a slow reader is behind with.
    pub(super) fn flush(&mut self) {
        self.flush_private();
        if self.spent.public_bytes > 0 {
            self.spent.public_bytes = 0;
            self.flush_public();
            self.apply_effects();
        }
    }

    /// Public messages have come: every client has output, and so has every link if a client of ours sent one.
    fn flush_public(&mut self) {
        let mut behind = std::mem::take(&mut self.public_behind);
        for (key, connection) in self.connections.iter_mut() {
            if !connection.outbox.gets_public() {
                continue;
            }
            let written = write(connection, &mut self.output, self.now);
            self.core.counters.bytes_out += written.bytes as u64;
            let is_behind = connection.outbox.private_bytes() > 0
                || connection.outbox.pinned_at().is_some()
                || connection.session.as_sibling().is_some()
                || connection.socket.held_bytes() != connection.socket.counted_bytes();
            if written.is_broken || is_behind || self.core.pressure.is_past_high_water(key) {
                behind.push((key, written.is_broken));
            }
        }
        self.output.link_batch.clear();
        for (key, is_broken) in behind.drain(..) {
            self.after_write(key, is_broken);
        }
        self.public_behind = behind;
    }

    fn flush_dirty(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_dirty = false;
        if matches!(connection.phase, Phase::Lingering(_) | Phase::Closed) {
            return;
        }
        let written = write(connection, &mut self.output, self.now);
        if written.bytes > 0 {
            match &mut connection.session {
                Session::Requesting(requesting) => self.core.mesh.on_request_sent(requesting.dial_for()),
                Session::Asking(asking) => asking.is_sent = true,
                _ => {}
            }
        }
        self.core.counters.bytes_out += written.bytes as u64;
        self.after_write(key, written.is_broken);
    }

    fn after_write(&mut self, key: Key, is_broken: bool) {
        self.count_held(key);
        if is_broken {
            self.on_broken(key);
            return;
        }
        let Some(connection) = self.connections.get(key) else { return };
        let pending_bytes = connection.pending_bytes(&self.output);
        if connection.session.as_sibling().is_some() {
            self.core.unanswered.set_behind(key, pending_bytes > 0, self.now);
        }
        if pending_bytes == 0 && matches!(connection.phase, Phase::Draining(_)) {
            self.finish_draining(key);
            return;
        }
        let has_drained = pending_bytes <= connection.session.low_water(&self.core.config);
        if pending_bytes > 0 && connection.is_writable {
            // More slices than one write takes.
            self.mark_dirty(key);
        }
        if has_drained {
            self.release_waiting(key);
        } else {
            self.check_queue(key);
            self.release_served(key);
        }
        self.schedule(key);
    }
}

/// One write of what waits for a connection.
fn write<S: Socket>(connection: &mut Connection<S>, output: &mut Output, now: Millis) -> Written {
    let mut written = Written { bytes: 0, is_broken: false };
    if connection.pending_bytes(output) == 0 {
        connection.blocked_since = Millis::NEVER;
        return written;
    }
    if connection.is_writable {
        connection.outbox.set_destination(output);
        match offer(&mut connection.socket, &connection.outbox, output) {
            Ok(sent) => {
                connection.bytes_out += sent.bytes as u64;
                connection.is_writable = !sent.is_stuck;
                connection.blocked_since = if connection.is_writable { Millis::NEVER } else { now };
                written.bytes = sent.bytes;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                connection.is_writable = false;
                connection.blocked_since = connection.blocked_since.min(now);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => written.is_broken = true,
        }
    }
    connection.outbox.advance(written.bytes, output);
    written
}

/// Offers the socket the next bytes.
fn offer<S: Socket>(socket: &mut S, outbox: &Outbox, output: &Output) -> io::Result<Sent> {
    if let Some(slice) = outbox.only_slice(output) {
        return socket.write(slice);
    }
    let mut slices = [IoSlice::new(&[]); limits::SLICES_PER_WRITE];
    let count = outbox.gather(output, &mut slices);
    socket.write_vectored(slices.get(..count).unwrap_or(&[]))
}
