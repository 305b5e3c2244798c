//! What a connection is, and what its packets then mean: a file for each state, and the enum that ties them.
//!
//! A connection's first accepted packet settles what it is (D8). A packet that does not fit its state is ignored, and
//! that is decided in one place for each state: the last arm of its `on_packet`.

mod asking;
pub mod ban;
mod client;
mod handshake;
mod merging;
pub mod operator;
mod relay;
mod requesting;
pub mod scraper;
mod sibling;
#[cfg(test)]
mod tests;

pub use asking::Asking;
pub use client::Client;
pub use handshake::Handshake;
pub use operator::Operator;
pub use requesting::Requesting;
pub use scraper::Scraper;
pub use sibling::Sibling;

use crate::core::state::Context;
use crate::core::state::config::Config;
use crate::core::state::counters::Ignored;
use crate::core::state::directory::Directory;
use crate::core::state::effects::CloseReason;
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{Code, CutOff, Packet};

/// The state of a connection. Small, since every idle client has one: what only few connections are is in a box.
#[derive(Debug)]
pub enum Session {
    /// A newcomer from a proxy, which has to name the client's address first (D46).
    Proxied,
    /// A newcomer.
    Handshake(Handshake),
    /// A logged-in client.
    Client(Client),
    /// We dialled, and asked to merge.
    Requesting(Box<Requesting>),
    /// We dialled, and asked whether a sibling lives.
    Asking(Box<Asking>),
    /// A link to another server.
    Sibling(Box<Sibling>),
    /// An operator on the control socket.
    Operator(Operator),
    /// A scraper of metrics, over HTTP: one request, one answer.
    Scraper(Scraper),
    /// On its way out, or not yet anything: its packets mean nothing.
    Closing {
        /// Most output that may still wait for it: what it was allowed as what it was.
        queue_limit_bytes: usize,
    },
}

/// Why a connection is not read from for a while, and its next packet not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// What for.
    pub reason: PauseReason,
    /// Whose queue it waits for: it ends when that has drained, or when the receiver has taken some.
    pub receiver: Option<Key>,
    /// When it ends in any case.
    pub until: Millis,
}

/// What a pause is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The receiver is written to before the turn ends; only then it is known whether it is behind.
    Write,
    /// A file chunk, for a receiver that is behind.
    Chunk,
    /// Many private messages to receivers that are behind.
    Private,
    /// Many public messages while a receiver is behind.
    Public,
    /// The client's own queue is past its high-water mark.
    Own,
    /// `--max-rate`.
    Rate,
    /// Much news of links, in a routed network.
    News,
}

impl Pause {
    /// Until `receiver` was written to in this turn.
    fn for_write(receiver: Key, now: Millis) -> Pause {
        Pause { reason: PauseReason::Write, receiver: Some(receiver), until: now }
    }
}

/// Who sends: limits of framing follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// A newcomer.
    Newcomer,
    /// A client, or whatever else is no link.
    Client,
    /// Another server.
    Link,
}

/// What a handler made of a packet.
#[derive(Debug)]
pub enum Verdict {
    /// It was done, or answered.
    Handled,
    /// It is an ignored packet (D1).
    Ignored(Ignored),
    /// It can't be handled now; nothing was done.
    Pause(Pause),
    /// It was done, and the connection is something else now.
    Become(Session),
}

/// As log lines name it.
impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Session::Client(client) => write!(f, "client {:?}", client.nickname()),
            Session::Sibling(sibling) => write!(f, "link to server {}", sibling.server()),
            Session::Requesting(_) => f.write_str("merge request"),
            Session::Asking(asking) => write!(f, "question to server {}", asking.server()),
            Session::Operator(_) => f.write_str("operator"),
            Session::Scraper(_) => f.write_str("metrics request"),
            Session::Proxied | Session::Handshake(_) | Session::Closing { .. } => f.write_str("connection"),
        }
    }
}

impl Session {
    /// A whole packet has arrived.
    pub fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_packet(packet, context),
            Session::Client(client) => client.on_packet(packet, context),
            Session::Requesting(requesting) => requesting.on_packet(packet, context),
            Session::Asking(asking) => asking.on_packet(packet, context),
            Session::Sibling(sibling) => sibling.on_packet(packet, context),
            Session::Proxied | Session::Operator(_) | Session::Scraper(_) | Session::Closing { .. } => {
                Verdict::Ignored(Ignored::State)
            }
        }
    }

    /// A packet with a field over its limit has begun to arrive; `head` are its bytes up to that field.
    pub fn on_overlong(&mut self, code: Code, head: &[u8], context: &mut Context<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_overlong(code, head, context),
            Session::Requesting(requesting) if code == Code::MrgRsp => requesting.on_too_many_descriptions(context),
            Session::Asking(asking) if code == Code::MrgRsp => asking.on_sign_of_life(context),
            _ => Verdict::Ignored(Ignored::Overlong),
        }
    }

    /// The password of this connection's login was looked at.
    pub fn on_password_checked(&mut self, nickname: &str, is_right: bool, context: &mut Context<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_password_checked(nickname, is_right, context),
            _ => Verdict::Handled,
        }
    }

    /// The answer to a wrong password, which was put off, is due.
    pub fn on_answer_due(&mut self, context: &mut Context<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_answer_due(context),
            _ => Verdict::Handled,
        }
    }

    /// When that is.
    pub fn answer_at(&self) -> Option<Millis> {
        match self {
            Session::Handshake(handshake) => handshake.answer_at(),
            _ => None,
        }
    }

    /// The connection is on its way out: what it was ends here. `cut_off` is the packet in the middle of which its input
    /// stands.
    pub fn on_end(&mut self, reason: CloseReason, cut_off: Option<CutOff>, context: &mut Context<'_>) {
        let gone = Session::Closing { queue_limit_bytes: self.queue_limit(&context.core.config) };
        match std::mem::replace(self, gone) {
            Session::Handshake(handshake) => handshake.on_end(context),
            Session::Client(client) => client.on_end(context),
            Session::Requesting(requesting) => requesting.on_end(reason, cut_off, context),
            Session::Asking(asking) => asking.on_end(reason, context),
            Session::Sibling(sibling) => sibling.on_end(context),
            Session::Operator(_) => context.core.mesh.on_operator_gone(context.key),
            Session::Proxied | Session::Scraper(_) | Session::Closing { .. } => {}
        }
    }

    /// Whether its next packet has to wait: for a password check, or for an operator's command that takes its time.
    pub fn is_busy(&self) -> bool {
        match self {
            Session::Handshake(handshake) => handshake.is_checking_password(),
            Session::Operator(operator) => operator.is_waiting,
            Session::Scraper(scraper) => scraper.is_waiting(),
            _ => false,
        }
    }

    /// How long it may stay what it is, and why it is closed then. A login that waits for our own processor does not
    /// run out of time.
    pub fn time_limit(&self, config: &Config) -> Option<(u64, CloseReason)> {
        match self {
            Session::Handshake(handshake) if !handshake.is_checking_password() => {
                Some((config.handshake_ms + handshake.waited_ms(), CloseReason::HandshakeTimeout))
            }
            Session::Proxied => Some((config.handshake_ms, CloseReason::ProxyHeader)),
            Session::Requesting(_) => Some((limits::DIAL_MS, CloseReason::NoAnswer)),
            Session::Asking(_) => Some((limits::ASK_ANSWER_MS, CloseReason::NoAnswer)),
            Session::Scraper(_) => Some((limits::SCRAPE_MS, CloseReason::HandshakeTimeout)),
            _ => None,
        }
    }

    /// Most output that may wait for it, in bytes.
    pub fn queue_limit(&self, config: &Config) -> usize {
        match self {
            Session::Sibling(_) => config.max_link_queue_bytes,
            Session::Operator(_) | Session::Scraper(_) => limits::OPERATOR_QUEUE_MAX_BYTES,
            Session::Closing { queue_limit_bytes } => *queue_limit_bytes,
            _ => config.max_queue_bytes,
        }
    }

    /// The high-water mark of its queue in bytes: beyond it, senders wait if they can be made to.
    pub fn high_water(&self, config: &Config) -> usize {
        let share = self.queue_limit(config) / limits::HIGH_WATER_DIVISOR;
        match self {
            Session::Sibling(_) => share.min(limits::LINK_HIGH_WATER_BYTES),
            Session::Operator(_) => share.min(limits::OPERATOR_HIGH_WATER_BYTES),
            _ => share,
        }
    }

    /// The low-water mark: they go on when the queue has drained to this. It is below the high-water mark, so that they
    /// do not stop and go with every packet.
    pub fn low_water(&self, config: &Config) -> usize {
        self.high_water(config) / 2
    }

    /// The keepalive settings for a peer of this kind that sends nothing.
    pub fn keepalive(&self) -> limits::Keepalive {
        match self {
            Session::Sibling(_) => limits::LINK_KEEPALIVE,
            _ => limits::CLIENT_KEEPALIVE,
        }
    }

    /// Whether it speaks the protocol, not text.
    pub fn speaks_packets(&self) -> bool {
        !matches!(self, Session::Operator(_) | Session::Scraper(_))
    }

    /// Whether it is a client, or may become one: patience with it is bounded (D3).
    pub fn is_client(&self) -> bool {
        matches!(self, Session::Handshake(_) | Session::Client(_))
    }

    /// Whether it is not read from while it does not take its output. A link is read from all the same, because the
    /// users of a whole server stand behind it.
    pub fn is_paced_by_its_reading(&self) -> bool {
        self.is_client() || matches!(self, Session::Operator(_))
    }

    /// Whether it is a newcomer: it has no role yet, and a stranger can open as many as it likes.
    pub fn is_newcomer(&self) -> bool {
        matches!(self, Session::Handshake(_) | Session::Requesting(_) | Session::Asking(_) | Session::Scraper(_))
    }

    /// What its packets are read as.
    pub fn speaks(&self) -> Speaks {
        match self {
            Session::Sibling(_) => Speaks::Link,
            _ if self.is_newcomer() => Speaks::Newcomer,
            _ => Speaks::Client,
        }
    }

    /// A client whose nickname is free from now on, although not all that it has sent is handled yet.
    pub fn free_nickname(&mut self, directory: &mut Directory) {
        if let Session::Client(client) = self {
            client.free_nickname(directory);
        }
    }

    /// It was not read from for so long.
    pub fn on_paused(&mut self, ms: u64) {
        if let Session::Sibling(sibling) = self {
            sibling.on_paused(ms);
        }
    }

    /// The link to another server.
    pub fn as_sibling(&self) -> Option<&Sibling> {
        match self {
            Session::Sibling(sibling) => Some(sibling),
            _ => None,
        }
    }

    /// The link to another server, to change it.
    pub fn as_sibling_mut(&mut self) -> Option<&mut Sibling> {
        match self {
            Session::Sibling(sibling) => Some(sibling),
            _ => None,
        }
    }

    /// The logged-in client.
    pub fn as_client(&self) -> Option<&Client> {
        match self {
            Session::Client(client) => Some(client),
            _ => None,
        }
    }
}
