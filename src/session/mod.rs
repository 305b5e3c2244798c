//! What a connection is, and what its packets then mean: a file for each state, and the enum that ties them.
//!
//! A connection's first accepted packet settles what it is (D8). A packet that does not fit its state is ignored, and
//! that is decided in one place for each state: the last arm of its `on_packet`.

mod client;
mod handshake;

pub use client::Client;
pub use handshake::Handshake;

use crate::core::Turn;
use crate::core::counters::Ignored;
use crate::core::key::Key;
use crate::wire::{Code, Packet};

/// The state of a connection.
#[derive(Debug)]
pub enum Session {
    /// Nobody yet.
    Handshake(Handshake),
    /// A logged-in client.
    Client(Client),
    /// On its way out; its packets mean nothing any more.
    Gone,
}

/// What a handler made of a packet.
#[derive(Debug)]
pub enum Verdict {
    /// It was done, or answered.
    Handled,
    /// It is an ignored packet (D1).
    Ignored(Ignored),
    /// It can't be handled before this receiver's queue has drained; nothing was done.
    WaitFor(Key),
    /// It was done, and the connection is something else now.
    Become(Session),
}

impl Session {
    /// A whole packet has arrived.
    pub fn on_packet(&mut self, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_packet(packet, turn),
            Session::Client(client) => client.on_packet(packet, turn),
            Session::Gone => Verdict::Ignored(Ignored::State),
        }
    }

    /// A packet with a field over its limit has begun to arrive; `head` are its bytes up to that field.
    pub fn on_overlong(&mut self, code: Code, head: &[u8], turn: &mut Turn<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_overlong(code, head, turn),
            Session::Client(_) | Session::Gone => Verdict::Ignored(Ignored::Overlong),
        }
    }

    /// The password of this connection's login was looked at.
    pub fn on_password_checked(&mut self, nickname: &str, is_right: bool, turn: &mut Turn<'_>) -> Verdict {
        match self {
            Session::Handshake(handshake) => handshake.on_password_checked(nickname, is_right, turn),
            Session::Client(_) | Session::Gone => Verdict::Handled,
        }
    }

    /// The connection is on its way out: what it was ends here.
    pub fn on_end(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(self, Session::Gone) {
            Session::Handshake(handshake) => handshake.on_end(turn),
            Session::Client(client) => client.on_end(turn),
            Session::Gone => {}
        }
    }

    /// Whether it waits for a password check.
    pub fn is_checking_password(&self) -> bool {
        matches!(self, Session::Handshake(handshake) if handshake.is_checking_password())
    }

    /// Whether it must become something within the handshake time limit. A login that waits for our own processor
    /// does not run out of time.
    pub fn has_handshake_limit(&self) -> bool {
        matches!(self, Session::Handshake(handshake) if !handshake.is_checking_password())
    }

    /// Whether it is a client, or may become one: whoever must be patient with nobody.
    pub fn is_client(&self) -> bool {
        matches!(self, Session::Handshake(_) | Session::Client(_))
    }

    /// The logged-in client.
    pub fn as_client(&self) -> Option<&Client> {
        match self {
            Session::Client(client) => Some(client),
            _ => None,
        }
    }
}
