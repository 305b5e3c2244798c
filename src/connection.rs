//! The context of one connection: socket, inbox, outbox, state.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use crate::core::config::Config;
use crate::core::effects::CloseReason;
use crate::core::key::Key;
use crate::limits::{Keepalive, LINGER_MS, MID_PACKET_MS, PROBE_MS, STALLED_READER_MS};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::time::Millis;
use crate::wire::Inbox;

/// A non-blocking stream of bytes, as the kernel has them: in the program a socket, in the simulator a pipe end.
pub trait Socket {
    /// Reads what is there. `Ok(0)` is the end of input, `WouldBlock` means that nothing is there yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes as much as fits now; `WouldBlock` where nothing does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// The same, gathered.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Tells the other side that nothing more comes.
    fn shutdown_write(&mut self) -> io::Result<()>;
    /// Tells the kernel how patient to be with a peer that says nothing.
    fn set_keepalive(&mut self, keepalive: Keepalive);
}

/// Where a connection is in its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In use.
    Open,
    /// Its input is over or no longer looked at; what is queued is being written.
    Draining(CloseReason),
    /// All is written and the sending side shut; the other side may close first, until then.
    Lingering(CloseReason, Millis),
    /// Over; its place is freed at the end of the turn.
    Closed,
}

/// What is due on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Close it for this reason.
    Close(CloseReason),
    /// Let the kernel be patient with it again.
    EndProbe,
}

/// An entry of the slab.
#[derive(Debug)]
pub struct Connection<S> {
    /// The stream.
    pub socket: S,
    /// Identity: the slab index alone may stand for another connection later.
    pub serial: u32,
    /// The other end, where it has an address.
    pub peer: Option<SocketAddr>,
    /// The state, with its handler.
    pub session: Session,
    /// Input that is not handled yet.
    pub inbox: Inbox,
    /// Output that is not written yet.
    pub outbox: Outbox,
    /// Where it is in its end.
    pub phase: Phase,
    /// The inbox holds input to be handled before anything is read.
    pub has_backlog: bool,
    /// The kernel may have input for us (or the end of it).
    pub is_readable: bool,
    /// The kernel has said that the end of input is near: a short read does not mean that it is drained.
    pub end_is_near: bool,
    /// The kernel took all of the last write.
    pub is_writable: bool,
    /// On the list of those that want to be served.
    pub is_queued: bool,
    /// On the list of those that have something of their own to write.
    pub is_dirty: bool,
    /// The receiver whose queue must drain before this connection is read from.
    pub waiting_for: Option<Key>,
    /// Packets ignored so far.
    pub ignored: u32,
    /// When it was accepted or dialled.
    pub opened: Millis,
    /// When something was last read.
    pub last_read: Millis,
    /// Since when the kernel takes nothing of what waits.
    pub blocked_since: Option<Millis>,
    /// Since when it is being probed.
    pub probed_since: Option<Millis>,
    /// When the engine will look at its deadlines; the true one may be later.
    pub timer: Option<Millis>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes read and thrown away while lingering.
    pub lingered_bytes: u64,
}

impl<S> Connection<S> {
    /// A connection that has just come up.
    pub fn new(socket: S, serial: u32, peer: Option<SocketAddr>, session: Session, now: Millis) -> Connection<S> {
        Connection {
            socket,
            serial,
            peer,
            session,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            phase: Phase::Open,
            has_backlog: false,
            is_readable: false,
            end_is_near: false,
            is_writable: true,
            is_queued: false,
            is_dirty: false,
            waiting_for: None,
            ignored: 0,
            opened: now,
            last_read: now,
            blocked_since: None,
            probed_since: None,
            timer: None,
            bytes_in: 0,
            bytes_out: 0,
            lingered_bytes: 0,
        }
    }

    /// Whether its packets are handled.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether its packets have to wait: for a receiver, or for a password check.
    pub fn is_held(&self) -> bool {
        self.waiting_for.is_some() || self.session.is_checking_password()
    }

    /// Whether there is something to do for it without a word from the kernel.
    pub fn wants_service(&self) -> bool {
        match self.phase {
            Phase::Open => !self.is_held() && (self.has_backlog || self.is_readable),
            Phase::Lingering(..) => self.is_readable,
            Phase::Draining(_) | Phase::Closed => false,
        }
    }

    /// The next thing that is due without any input, and when.
    pub fn deadline(&self, config: &Config) -> Option<(Millis, Due)> {
        let close = |when: Millis, reason| Some((when, Due::Close(reason)));
        let patience = match self.phase {
            Phase::Lingering(reason, since) => return close(since + LINGER_MS, reason),
            Phase::Closed => return None,
            Phase::Draining(_) => None,
            Phase::Open if self.session.has_handshake_limit() => {
                close(self.opened + config.handshake_ms, CloseReason::HandshakeTimeout)
            }
            Phase::Open => None,
        };
        let mid_packet =
            if self.is_open() && self.session.is_client() && self.inbox.is_mid_packet() && !self.has_backlog {
                close(self.last_read + MID_PACKET_MS, CloseReason::MidPacket)
            } else {
                None
            };
        let stalled = self.blocked_since.and_then(|since| close(since + STALLED_READER_MS, CloseReason::Stalled));
        let probe = self.probed_since.map(|since| (since + PROBE_MS, Due::EndProbe));
        [patience, mid_packet, stalled, probe].into_iter().flatten().min()
    }
}
