//! The context of one connection: socket, inbox, outbox, state.

use std::net::SocketAddr;

use crate::core::engine::intake::KeptInput;
use crate::core::engine::socket::Socket;
use crate::core::output::outbox::{Outbox, Output};
use crate::core::session::Session;
use crate::core::state::address::Remote;
use crate::core::state::config::Config;
use crate::core::state::effects::CloseReason;
use crate::core::time::Millis;
use crate::limits::{LINGER_MS, LINK_SILENCE_MS, MID_PACKET_MS, PROBE_MS, STALLED_READER_MS};
use crate::wire::CutOff;

/// The phase of a connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In use.
    Open,
    /// Its input is over or no longer read; its queue is being written.
    Draining(CloseReason),
    /// All is written and the sending side shut; the other side may close first, for a while.
    Lingering(CloseReason),
    /// Over; its place is freed at the end of the turn.
    Closed,
}

/// The deadlines of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Close it for this reason.
    Close(CloseReason),
    /// Tell it that its password was wrong.
    Answer,
    /// Let the kernel be patient with it again.
    EndProbe,
    /// Its pause is over.
    Resume,
    /// Ask whether the server at its other end lives.
    Ask,
}

/// An entry of the slab. Small, since every idle client has one: what only few connections have is kept elsewhere.
#[derive(Debug)]
pub struct Connection<S> {
    /// The stream.
    pub socket: S,
    /// Identity: the slab index alone may stand for another connection later.
    pub serial: u32,
    /// The other end.
    pub remote: Remote,
    /// The state, with its handler.
    pub session: Session,
    /// Input that is not handled yet, if there is any. [`Intake`](super::intake::Intake) takes it out and puts it back.
    pub inbox: Option<Box<KeptInput>>,
    /// Output that is not written yet.
    pub outbox: Outbox,
    /// The phase of its end.
    pub phase: Phase,
    /// The inbox holds input to be handled before anything is read.
    pub has_backlog: bool,
    /// The kernel may have input for us (or the end of it).
    pub is_readable: bool,
    /// The kernel has said that the end of input is near: a short read does not mean that it is drained.
    pub end_is_near: bool,
    /// The kernel took all of the last write.
    pub is_writable: bool,
    /// Nothing that is written reaches the other side any more. What the kernel has of its input is still handled.
    pub is_broken: bool,
    /// The end of its input was read.
    pub is_input_over: bool,
    /// Whether it is in the queue of connections to be served.
    pub is_queued: bool,
    /// Used more than a modest share when it was served last: others go first.
    pub is_greedy: bool,
    /// Whether it is in the list of connections with private output.
    pub is_dirty: bool,
    /// Not read from for a while; the engine knows why, and until when.
    pub is_paused: bool,
    /// Its next packet has waited for a receiver's queue, and does so no second time.
    pub has_waited: bool,
    /// Its handshake waits for its turn.
    pub awaits_handshake: bool,
    /// Counts for `--max-clients`: accepted, and no link to a server.
    pub is_counted: bool,
    /// Counts for `--max-per-address`.
    pub is_address_counted: bool,
    /// Has never been a client or a link, and gives its place to a newcomer if all are taken.
    pub is_stranger: bool,
    /// Packets ignored so far.
    pub ignored: u8,
    /// When it was accepted or dialled.
    pub opened: Millis,
    /// When it was last read from.
    pub read_at: Millis,
    /// Since when the server waits for the other side: to take its queue or, while lingering, to close. `NEVER` if it
    /// does not wait.
    pub blocked_since: Millis,
    /// When the engine will look at its deadlines; the true one may be later.
    pub timer: Millis,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read and thrown away while lingering.
    pub lingered_bytes: u32,
}

impl<S> Connection<S> {
    /// A connection that has just come up.
    pub fn new(socket: S, serial: u32, remote: Option<SocketAddr>, session: Session, now: Millis) -> Connection<S> {
        Connection {
            socket,
            serial,
            remote: Remote::new(remote),
            session,
            inbox: None,
            outbox: Outbox::default(),
            phase: Phase::Open,
            has_backlog: false,
            is_readable: false,
            end_is_near: false,
            is_writable: true,
            is_broken: false,
            is_input_over: false,
            is_queued: false,
            is_greedy: false,
            is_dirty: false,
            is_paused: false,
            has_waited: false,
            awaits_handshake: false,
            is_counted: false,
            is_address_counted: false,
            is_stranger: false,
            ignored: 0,
            opened: now,
            read_at: now,
            blocked_since: Millis::NEVER,
            timer: Millis::NEVER,
            bytes_in: 0,
            bytes_out: 0,
            lingered_bytes: 0,
        }
    }

    /// Whether its packets are handled.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether its packets have to wait: for the end of a pause, for its handshake, for a password check, for a command's
    /// answer.
    pub fn is_held(&self) -> bool {
        self.is_paused || self.awaits_handshake || self.session.is_busy()
    }

    /// Whether there is something to do for it without a word from the kernel.
    pub fn wants_service(&self) -> bool {
        match self.phase {
            Phase::Open => !self.is_held() && (self.has_backlog || self.is_readable),
            Phase::Lingering(_) => self.is_readable,
            Phase::Draining(_) | Phase::Closed => false,
        }
    }

    /// Whether it may have input that was not read since `when`.
    pub fn may_have_spoken_since(&self, when: Millis) -> bool {
        self.is_open() && self.wants_service() && self.read_at < when
    }

    /// When the server at the other end of this link is to be asked whether it lives. The first time it is asked also if
    /// it is not silent: its answer shows that it can be asked.
    pub fn ask_at(&self) -> Option<Millis> {
        let liveness = self.session.as_sibling().filter(|_| self.is_open())?.liveness;
        let quiet_since = liveness.asked_at.map_or(self.opened, |asked_at| asked_at.max(liveness.heard_at));
        Some(quiet_since + LINK_SILENCE_MS)
    }

    /// It had to wait and is read from again: its stop in the middle of a packet was ours.
    pub fn resume(&mut self, now: Millis) {
        self.is_paused = false;
        if let Some(kept) = &mut self.inbox {
            kept.since = now;
        }
    }

    /// The packet in the middle of which its input stands.
    pub fn cut_off(&self, config: &Config) -> Option<CutOff> {
        self.inbox.as_ref().filter(|_| self.session.speaks_packets())?.cut_off(&config.frame)
    }

    /// Bytes of output that wait, also what its socket has taken and not sent.
    pub fn pending_bytes(&self, output: &Output) -> usize
    where
        S: Socket,
    {
        self.outbox.pending_bytes(output) + self.socket.unsent_bytes()
    }

    /// Bytes of input that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |kept| kept.bytes())
    }

    /// Memory that they take.
    pub fn kept_held_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |kept| kept.held_bytes())
    }

    /// The next thing that is due without any input, and when. `probed_since` is when the connection came under probe,
    /// `paused_until` when its pause ends.
    pub fn deadline(
        &self,
        config: &Config,
        probed_since: Option<&Millis>,
        paused_until: Option<Millis>,
    ) -> Option<(Millis, Due)> {
        let close = |when: Millis, reason| Some((when, Due::Close(reason)));
        let patience = match self.phase {
            Phase::Lingering(reason) => return close(self.blocked_since + LINGER_MS, reason),
            Phase::Closed => return None,
            Phase::Draining(_) => None,
            Phase::Open => {
                self.session.time_limit(config).and_then(|(limit_ms, reason)| close(self.opened + limit_ms, reason))
            }
        };
        let is_patience_bounded = self.is_open() && self.session.is_client() && !self.has_backlog && !self.is_held();
        let mid_packet = self.inbox.as_ref().filter(|_| is_patience_bounded);
        let mid_packet = mid_packet.and_then(|kept| close(kept.since + MID_PACKET_MS, CloseReason::MidPacket));
        let is_blocked = self.blocked_since != Millis::NEVER;
        let stalled = close(self.blocked_since + STALLED_READER_MS, CloseReason::Stalled).filter(|_| is_blocked);
        let probe = probed_since.map(|&since| (since + PROBE_MS, Due::EndProbe));
        let resume = paused_until.map(|until| (until, Due::Resume));
        let answer = self.session.answer_at().map(|at| (at, Due::Answer));
        let ask = self.ask_at().map(|when| (when, Due::Ask));
        [patience, mid_packet, stalled, probe, resume, answer, ask].into_iter().flatten().min()
    }
}

/// Every idle client has one of these, besides its socket, nickname and place in the directory: ten thousand of them
/// shall stay below 300 bytes each.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Connection<()>>() <= 160);
