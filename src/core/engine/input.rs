//! From a ready connection to its handlers.

use std::io;

use super::Engine;
use crate::core::engine::connection::Phase;
use crate::core::engine::socket::{Received, Socket};
use crate::core::session::{Pause, PauseReason, Session, Verdict};
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::limits;
use crate::wire::{Code, Input, Packet};

/// What comes after a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next one.
    Packet,
    /// Nothing for now: the rest is kept.
    Stop,
    /// Nothing for now: the rest is kept, and this packet too.
    StopBefore,
}

impl<S: Socket> Engine<S> {
    /// Rounds in which each ready connection gets one read. They go on for a while if a connection has more. Then other
    /// connections are polled, and public messages are written.
    pub(super) fn serve_rounds(&mut self) {
        self.spent.work_bytes = 0;
        // However much the others have to say, one of the greedy is served in each turn.
        self.serve_next(true);
        loop {
            self.serve_round();
            self.flush_private();
            if !self.has_ready() || self.spent.work_bytes >= limits::ROUNDS_WORK_BYTES || self.turn_is_full() {
                break;
            }
        }
    }

    /// Serves the connections that used little in the last round, and with the rest of the turn the others.
    fn serve_round(&mut self) {
        for (is_greedy, count) in [(false, self.lanes.queue.len()), (true, self.lanes.greedy.len())] {
            for _ in 0..count {
                if self.turn_is_full() {
                    return;
                }
                self.serve_next(is_greedy);
            }
        }
    }

    fn serve_next(&mut self, is_greedy: bool) {
        let lane = if is_greedy { &mut self.lanes.greedy } else { &mut self.lanes.queue };
        let Some(key) = lane.pop_front() else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_queued = false;
        let before = self.spent.work_bytes;
        self.spent.work_bytes += limits::PACKET_WORK_BYTES;
        self.spent.share_end_bytes = before + limits::CONNECTION_WORK_BYTES;
        match connection.phase {
            Phase::Open if matches!(connection.session, Session::Proxied) => self.serve_proxied(key),
            Phase::Open => self.serve(key),
            Phase::Lingering(reason) => self.serve_lingering(key, reason),
            Phase::Draining(_) | Phase::Closed => {}
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.is_greedy = self.spent.work_bytes - before > limits::MODEST_WORK_BYTES;
        }
        self.schedule(key);
        self.enqueue(key);
    }

    /// A slice of the password work, and the answer if a check is done.
    pub(super) fn advance_password_checks(&mut self) {
        let Some((check, is_right)) = self.core.password_checks.advance() else { return };
        // The users file may have changed meanwhile.
        let is_right = is_right && self.core.users.find(&check.nickname) == Some(&check.stored);
        let Some(connection) = self.connections.get_mut(check.key) else { return };
        let mut context = Self::context(&mut self.core, &mut self.effects, check.key, connection.remote, self.now);
        let verdict = connection.session.on_password_checked(&check.nickname, is_right, &mut context);
        self.on_verdict(check.key, verdict);
        self.apply_effects();
        self.schedule(check.key);
        self.enqueue(check.key);
    }

    fn serve(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.has_waited = std::mem::take(&mut connection.has_waited);
        if !self.has_waited {
            self.pause_if_behind(key);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_held() {
            return;
        }
        if std::mem::take(&mut connection.has_backlog) {
            let mut inbox = self.intake.take(connection);
            let kept = inbox.take_kept();
            self.intake.put(connection, inbox, self.now);
            self.handle(key, &kept);
            self.intake.buffers.give(kept);
        }
        let share_is_used = self.share_is_used();
        let Some(connection) = self.connections.get_mut(key) else { return };
        let may_read = connection.is_readable && !connection.has_backlog && !share_is_used;
        if !connection.is_open() || connection.is_held() || !may_read {
            return;
        }
        let most = self.rate_allows(key);
        let Some(connection) = self.connections.get_mut(key).filter(|_| most > 0) else { return };
        connection.read_at = self.now;
        let mut buffer = std::mem::take(&mut self.intake.read_buffer);
        let is_newcomer = connection.session.is_newcomer();
        let kept_max_bytes = if is_newcomer { limits::NEWCOMER_KEPT_BYTES } else { most + connection.kept_bytes() };
        // At least one byte: reading none would look like the end.
        let room = kept_max_bytes.saturating_sub(connection.kept_bytes()).clamp(1, most);
        let unsent_before = connection.socket.unsent_bytes();
        // One that decrypts hands out whole records; what it is over is owed.
        let room = if connection.socket.is_encrypted() { limits::READ_BYTES } else { room };
        let received = connection.socket.read(buffer.get_mut(..room).unwrap_or_default());
        self.on_received(key, received, unsent_before, false, &buffer);
        self.intake.read_buffer = buffer;
        self.apply_effects();
    }

    /// A read of a connection. `is_handshake`: a handshake went on, without a read from the kernel.
    pub(super) fn on_received(
        &mut self,
        key: Key,
        received: io::Result<Received>,
        unsent_before: usize,
        is_handshake: bool,
        buffer: &[u8],
    ) {
        self.count_held(key);
        self.flush_later(key, unsent_before);
        let Some(connection) = self.connections.get_mut(key) else { return };
        match received {
            Ok(Received::End) => {
                connection.is_input_over = true;
                // A link is one thing in both directions: its other side never leaves halfway.
                let is_over = connection.session.as_sibling().is_some() || connection.is_broken;
                let mode = if is_over { CloseMode::Now } else { CloseMode::AfterWriting };
                self.close(key, CloseReason::Left, mode);
            }
            Ok(Received::Bytes { count, is_drained, records }) => {
                let has_more = !is_drained || connection.end_is_near;
                connection.is_readable = has_more || (is_handshake && connection.is_readable);
                let is_newcomer =
                    matches!(connection.session, Session::Handshake(_)) && !connection.socket.is_encrypted();
                if is_newcomer && connection.bytes_in == 0 && buffer.first() == Some(&limits::TLS_FIRST_BYTE) {
                    log::info!("a TLS client came to a server without a certificate, from {}", connection.remote);
                }
                connection.bytes_in += count as u64;
                if let Some(sibling) = connection.session.as_sibling_mut() {
                    sibling.liveness.heard_at = self.now;
                }
                self.core.counters.bytes_in += count as u64;
                self.charge_rate(key, count + records.overhead_bytes());
                self.handle(key, buffer.get(..count).unwrap_or(&[]));
                self.spent.work_bytes += records.work_bytes();
            }
            Ok(Received::Handshake { is_drained }) => {
                connection.is_readable = !is_drained || connection.end_is_near;
                self.await_handshake(key);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !connection.is_broken => {
                connection.is_readable = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.on_socket_error(key, &error),
        }
    }

    /// Throws away input of a connection that is closing.
    fn serve_lingering(&mut self, key: Key, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.socket.read(&mut self.intake.read_buffer) {
            Ok(Received::Bytes { count, records, .. }) if connection.lingered_bytes < limits::LINGER_MAX_BYTES => {
                connection.lingered_bytes += (count + records.overhead_bytes()) as u32;
                self.spent.work_bytes += count + records.work_bytes();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => connection.is_readable = false,
            _ => self.close(key, reason, CloseMode::Now),
        }
        self.apply_effects();
    }

    /// Takes `input` apart and has each packet handled, until all is taken or the connection has to wait.
    fn handle(&mut self, key: Key, input: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.session {
            Session::Operator(_) => return self.handle_lines(key, input),
            Session::Scraper(_) => return self.handle_http(key, input),
            _ => {}
        }
        let mut inbox = self.intake.take(connection);
        let mut speaks = connection.session.speaks();
        let mut rest = input;
        let stopped = loop {
            if self.turn_is_full() || self.share_is_used() {
                break Some((Next::Stop, rest));
            }
            let before = rest;
            self.spent.work_bytes += limits::PACKET_WORK_BYTES;
            let next = match inbox.next(&mut rest, &self.frame_limits(speaks)) {
                Input::Packet(bytes) => Some(self.on_packet(key, bytes)),
                Input::Overlong { code, head } => Some(self.on_overlong(key, code, head)),
                Input::Unknown => Some(self.on_unknown(key)),
                Input::Pending => None,
            };
            self.spent.work_bytes += before.len() - rest.len();
            if inbox.skipped_field_bytes() > limits::LINK_FIELD_MAX_BYTES && self.is_link(key) {
                self.on_out_of_frame(key);
            }
            match next {
                Some(Next::Packet) => match self.connections.get(key).filter(|connection| connection.is_open()) {
                    Some(connection) => speaks = connection.session.speaks(),
                    None => break Some((Next::Packet, before)),
                },
                Some(next) => break Some((next, before)),
                None => break None,
            }
        };
        match stopped {
            Some((Next::StopBefore, before)) => inbox.keep_with_packet(before, rest, &mut self.intake.buffers),
            _ => inbox.keep(rest, &mut self.intake.buffers),
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_open() {
            connection.has_backlog = stopped.is_some() && inbox.kept_bytes() > 0;
            self.intake.put(connection, inbox, self.now);
        }
    }

    fn on_packet(&mut self, key: Key, bytes: &[u8]) -> Next {
        let has_waited = std::mem::take(&mut self.has_waited);
        let packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(malformed) => {
                self.core.counters.packets_in.count(bytes.first(), bytes.len(), 1);
                return self.ignore(key, malformed.into());
            }
        };
        let Some(connection) = self.connections.get_mut(key) else { return Next::Stop };
        let mut context = Self::context(&mut self.core, &mut self.effects, key, connection.remote, self.now);
        context.has_waited = has_waited;
        context.certified_ids = connection.socket.certified_ids();
        let verdict = connection.session.on_packet(&packet, &mut context);
        match verdict {
            // It comes again, and has still waited then.
            Verdict::Pause(Pause { reason: PauseReason::Write, .. }) => connection.has_waited = has_waited,
            Verdict::Pause(_) => {}
            _ => self.core.counters.packets_in.count(bytes.first(), bytes.len(), 1),
        }
        self.after(key, verdict)
    }

    fn on_overlong(&mut self, key: Key, code: Code, head: &[u8]) -> Next {
        let Some(connection) = self.connections.get_mut(key) else { return Next::Stop };
        let mut context = Self::context(&mut self.core, &mut self.effects, key, connection.remote, self.now);
        context.certified_ids = connection.socket.certified_ids();
        let verdict = connection.session.on_overlong(code, head, &mut context);
        self.after(key, verdict)
    }

    /// An unknown code: one more ignored packet, but on a link it means that the bytes can't be followed (D19).
    fn on_unknown(&mut self, key: Key) -> Next {
        if self.is_link(key) {
            self.core.counters.ignore(Ignored::UnknownCode);
            self.on_out_of_frame(key);
            return Next::Stop;
        }
        self.ignore(key, Ignored::UnknownCode)
    }

    /// A link's bytes can't be followed any more: it is dialled anew.
    fn on_out_of_frame(&mut self, key: Key) {
        self.close(key, CloseReason::OutOfFrame, CloseMode::Now);
        self.apply_effects();
    }

    fn is_link(&self, key: Key) -> bool {
        self.connections.get(key).is_some_and(|connection| connection.session.as_sibling().is_some())
    }

    fn ignore(&mut self, key: Key, reason: Ignored) -> Next {
        self.after(key, Verdict::Ignored(reason))
    }

    fn after(&mut self, key: Key, verdict: Verdict) -> Next {
        let waits = matches!(verdict, Verdict::Pause(_));
        self.on_verdict(key, verdict);
        self.apply_effects();
        if !waits {
            self.pause_if_behind(key);
        }
        match self.connections.get(key) {
            Some(_) if waits => Next::StopBefore,
            Some(connection) if connection.is_open() && !connection.is_held() => Next::Packet,
            _ => Next::Stop,
        }
    }

    pub(super) fn on_verdict(&mut self, key: Key, verdict: Verdict) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match verdict {
            Verdict::Handled => {}
            Verdict::Ignored(reason) => {
                self.core.counters.ignore(reason);
                connection.ignored = connection.ignored.saturating_add(1);
                log::debug!("{}: ignored a packet ({})", connection.remote, reason.name());
                if connection.session.is_client() && connection.ignored > limits::IGNORED_PACKETS_MAX {
                    self.close(key, CloseReason::IgnoredPackets, CloseMode::AfterWriting);
                }
            }
            Verdict::Pause(pause) => self.pause(key, pause),
            Verdict::Become(session) => {
                // What it keeps counts as another's from here on.
                let inbox = self.intake.take(connection);
                connection.session = session;
                self.intake.put(connection, inbox, self.now);
                self.leave_strangers(key);
                let Some(connection) = self.connections.get_mut(key) else { return };
                // An idle client has no deadline, and keeps no entry.
                self.deadlines.cancel(key, &mut connection.timer);
                if let Some(client) = connection.session.as_client() {
                    log::debug!("{:?} logged in from {}", client.nickname(), connection.remote);
                    if connection.is_broken {
                        connection.session.free_nickname(&mut self.core.directory);
                    } else {
                        connection.outbox.join_public(&self.output);
                    }
                }
                if let Some(sibling) = connection.session.as_sibling() {
                    connection.outbox.enter_mesh(sibling.server(), &mut self.output);
                    connection.socket.set_keepalive(connection.session.keepalive());
                    self.uncount(key);
                }
                self.schedule(key);
            }
        }
    }

    /// Whether the connection that is served has had its share.
    fn share_is_used(&self) -> bool {
        self.spent.work_bytes >= self.spent.share_end_bytes
    }

    /// Whether this turn has used up its bound on work or on public messages.
    pub(super) fn turn_is_full(&self) -> bool {
        let clients = self.core.directory.len().max(1);
        let share =
            (limits::TURN_DELIVERY_BYTES / clients).clamp(limits::TURN_PUBLIC_MIN_BYTES, limits::TURN_PUBLIC_BYTES);
        let share = share.min(self.core.config.max_queue_bytes / limits::HIGH_WATER_DIVISOR);
        self.spent.public_bytes >= share || self.spent.work_bytes >= limits::TURN_WORK_BYTES || self.is_memory_full()
    }
}
