//! Applying effects: the one place where the effects of handlers become queued bytes and closed connections.

use std::io;

use super::Engine;
use crate::core::engine::connection::Phase;
use crate::core::engine::ending::Ending;
use crate::core::engine::socket::Socket;
use crate::core::session::Pause;
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::key::Key;
use crate::core::state::pressure::Level;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{ErrorReason, Packet, ServerId};

impl<S: Socket> Engine<S> {
    /// Applies all effects, and those that arise from applying them.
    pub(super) fn apply_effects(&mut self) {
        while !self.effects.is_empty() {
            let list = self.effects.take_list();
            for effect in &list {
                self.apply(effect);
            }
            self.effects.recycle(list);
        }
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Send { to, bytes } => self.queue_bytes(*to, bytes.clone()),
            Effect::Relay { bytes, from } => self.relay_public(bytes.clone(), *from),
            Effect::Release(receiver) => self.release_waiting(*receiver),
            Effect::Publish { bytes, from_here } => self.publish(bytes.clone(), *from_here),
            Effect::Answer { key, text } => self.answer(*key, text),
            Effect::Close { key, reason, mode } => self.close(*key, *reason, *mode),
            Effect::Lives(link) => self.on_lives(*link, None),
            Effect::HasAsked { link, by } => self.on_lives(*link, Some(*by)),
            Effect::IsSilent(link) => self.on_silent(*link),
            Effect::Probe(key) => {
                if let Some(connection) = self.connections.get_mut(*key) {
                    connection.socket.set_keepalive(limits::PROBE_KEEPALIVE);
                    self.probed_since.insert(*key, self.now);
                    self.schedule(*key);
                }
            }
        }
    }

    /// A public message for every client here. If one of our own clients sent it, also for every other server.
    fn publish(&mut self, bytes: std::ops::Range<usize>, from_here: bool) {
        if from_here {
            self.refresh_routes();
        }
        let message = self.effects.bytes(bytes.clone());
        self.output.public.append(message);
        self.spent.public_bytes += message.len();
        self.core.counters.packets_out.count(message.first(), message.len(), self.core.directory.len());
        let links = if from_here { self.carrying_links() } else { 0 };
        if links > 0 {
            let envelope = self.core.mesh.envelope(ServerId::default(), &mut self.effects);
            let packet_bytes = self.output.link_batch.append(&envelope, self.effects.bytes(bytes));
            self.core.counters.packets_out.count(Some(&envelope.code().byte()), packet_bytes, links);
        }
    }

    pub(super) fn queue_bytes(&mut self, to: Key, bytes: std::ops::Range<usize>) {
        let Some(connection) = self.connections.get_mut(to) else { return };
        let is_link = connection.session.as_sibling().is_some();
        if !connection.is_open() || connection.is_broken && !is_link {
            return;
        }
        let bytes = self.effects.bytes(bytes);
        let speaks_packets = usize::from(connection.session.speaks_packets());
        self.core.counters.packets_out.count(bytes.first(), bytes.len(), speaks_packets);
        connection.outbox.push(bytes, &mut self.output);
        self.on_queued(to);
    }

    /// Something was queued for this connection alone.
    fn on_queued(&mut self, to: Key) {
        self.mark_dirty(to);
        self.check_queue(to);
    }

    /// Holds a queue to its limit and notes when it passes its high-water mark. A reader is slow only when the kernel
    /// does not take what waits for it: until it was offered that, the turn's own bounds hold.
    pub(super) fn check_queue(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let limit = connection.session.queue_limit(&self.core.config);
        let pending_bytes = connection.pending_bytes(&self.output);
        if pending_bytes > limit && !connection.is_writable {
            self.close(key, CloseReason::SlowReader, CloseMode::Now);
            return;
        }
        let is_past = pending_bytes > connection.session.high_water(&self.core.config);
        if connection.is_open() && (is_past || self.core.pressure.is_past_high_water(key)) {
            let level = Level {
                gets_public: connection.outbox.gets_public(),
                is_link: connection.session.as_sibling().is_some(),
                is_stuck: !connection.is_writable,
                pending_bytes,
                limit_bytes: limit,
                taken_bytes: connection.bytes_out,
            };
            self.core.pressure.note(key, level, self.now);
        }
    }

    /// Closes a connection, or begins to. Its nickname is free from here on, and senders that wait for it go on.
    pub(super) fn close(&mut self, key: Key, reason: CloseReason, mode: CloseMode) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match (connection.phase, mode) {
            (Phase::Closed, _) | (Phase::Draining(_) | Phase::Lingering(_), CloseMode::AfterWriting) => return,
            (Phase::Open, _) => self.end_session(key, reason),
            (Phase::Draining(_) | Phase::Lingering(_), CloseMode::Now) => {}
        }
        if mode == CloseMode::Now {
            self.log_end(key, Some(reason));
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        match mode {
            CloseMode::AfterWriting => {
                connection.phase = Phase::Draining(reason);
                connection.outbox.leave(&mut self.output);
                self.mark_dirty(key);
            }
            CloseMode::Now => {
                connection.phase = Phase::Closed;
                self.closed.push(key);
                self.report_undelivered(key);
                if let Some(connection) = self.connections.get_mut(key) {
                    self.sockets_bytes -= connection.socket.counted_bytes();
                    connection.socket.set_counted(0);
                    connection.outbox.discard(&mut self.output);
                }
            }
        }
    }

    /// All is written: lets the other side close first, unless it has already shut its sending side.
    pub(super) fn finish_draining(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Phase::Draining(reason) = connection.phase else { return };
        // A peer that has shut its sending side needs no end of ours, except over TLS: there the end is a record.
        let has_left = connection.is_input_over;
        let shut =
            if has_left && !connection.socket.is_encrypted() { Ok(()) } else { connection.socket.shutdown_write() };
        let is_stuck = shut.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.count_held(key);
        if is_stuck {
            // It waits like other output.
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_writable = false;
                connection.blocked_since = connection.blocked_since.min(self.now);
            }
            self.schedule(key);
            return;
        }
        if has_left || shut.is_err() {
            self.close(key, reason, CloseMode::Now);
            return;
        }
        self.log_end(key, None);
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.phase = Phase::Lingering(reason);
        connection.blocked_since = self.now;
        // What was not read while it drained is still there.
        connection.is_readable = true;
        self.schedule(key);
        self.enqueue(key);
    }

    /// The part of closing that the rest of the server notices.
    fn end_session(&mut self, key: Key, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.core.counters.close(reason);
        let cut_off = connection.cut_off(&self.core.config);
        let may_merge = self.core.mesh.permits_some(connection.remote.address());
        self.endings.insert(key, Ending::new(connection, reason, cut_off, may_merge));
        self.intake.discard(connection);
        connection.has_backlog = false;
        connection.is_paused = false;
        if let Some(Pause { receiver: Some(receiver), .. }) = self.pauses.remove(&key).map(|paused| paused.pause) {
            self.core.pressure.stop_waiting(receiver, key);
        }
        self.core.pressure.forget(key);
        self.end_handshake(key, reason);
        let Some(connection) = self.connections.get_mut(key) else { return };
        let mut context = Self::context(&mut self.core, &mut self.effects, key, connection.remote, self.now);
        connection.session.on_end(reason, cut_off, &mut context);
        self.release_waiting(key);
    }

    /// A packet that was queued for a lost link and never began to be written is answered with ERROR 0 (D21). Each
    /// answer takes less space than the packet that it replaces.
    fn report_undelivered(&mut self, link: Key) {
        let (mut packet, mut answer, mut dropped) = (Vec::new(), Vec::new(), 0);
        while let Some(connection) = self.connections.get_mut(link)
            && connection.outbox.pop_undelivered(&mut packet, &mut self.output)
        {
            dropped += u64::from(Self::is_of_a_client(&packet));
            let own = self.core.config.id;
            let Some((origin, sender)) = Self::sender_of_undelivered(&packet, own) else { continue };
            if origin != own {
                self.report_to_origin(origin, sender);
            } else if let Some(client) = self.core.directory.find(sender)
                && let Some(connection) = self.connections.get_mut(client)
            {
                answer.clear();
                Packet::Error { sender, reason: ErrorReason::UnknownServer }.encode(&mut answer);
                self.core.counters.packets_out.count(answer.first(), answer.len(), 1);
                connection.outbox.push(&answer, &mut self.output);
                self.on_queued(client);
            }
        }
        self.core.counters.link_packets_dropped += dropped;
        if dropped > 0 {
            log::warn!("{dropped} packets were queued for a lost link and are dropped");
        }
    }

    /// Nothing that is written to this connection arrives any more: its other side is gone. Input that the kernel has
    /// is handled to its end, as after a half-close (D56). The read that finds no more closes the connection.
    pub(super) fn on_broken(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_open() {
            self.close(key, CloseReason::Lost, CloseMode::Now);
            return;
        }
        if std::mem::replace(&mut connection.is_broken, true) {
            return;
        }
        (connection.is_readable, connection.end_is_near) = (true, true);
        // The queue of a link is answered with ERROR 0 when it ends; other queues are dropped.
        if connection.session.as_sibling().is_none() {
            connection.outbox.discard(&mut self.output);
            connection.blocked_since = Millis::NEVER;
        }
        connection.session.free_nickname(&mut self.core.directory);
        self.release_waiting(key);
        self.enqueue(key);
    }
}
