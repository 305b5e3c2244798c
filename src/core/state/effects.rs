//! What handlers want done. Plain data, applied by the engine in one place.

use std::ops::Range;

use super::key::Key;
use crate::wire::{Packet, ServerId, forward_header};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// The other side closed, and has everything (D22).
    Left,
    /// The other side reset it, or the kernel gave it up.
    Lost,
    /// It did not log in or merge in time (D8).
    HandshakeTimeout,
    /// Five logins failed (D8).
    LoginTries,
    /// Too many ignored packets (D3).
    IgnoredPackets,
    /// It stopped in the middle of a packet (D3).
    MidPacket,
    /// More output waits for it than its limit.
    SlowReader,
    /// It took nothing of what waits for it.
    Stalled,
    /// All queues together were over their limit, and its queue was the largest.
    Memory,
    /// Too many password checks were waiting.
    PasswordChecks,
    /// One connection more than `--max-clients`, or `--max-per-address`, allows.
    TooMany,
    /// The users file changed: its nickname is now registered, or is no longer.
    UsersChanged,
    /// The operator closed it.
    Kicked,
    /// Another connection to the same server stays instead (D18).
    Superseded,
    /// It asked to merge, from an address that may not (D20).
    NotPermitted,
    /// The merge was declined, by us or by the other side.
    Declined,
    /// The answer to our request to merge does not fit us, or merges that raced don't fit together.
    Unfit,
    /// Nobody listens where we dialled.
    Refused,
    /// The server that we dialled did not answer in time.
    NoAnswer,
    /// An unknown code on a link: its bytes can't be followed any more (D19).
    OutOfFrame,
    /// The server stops.
    Shutdown,
}

impl CloseReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [CloseReason; 21] = [
        CloseReason::Left,
        CloseReason::Lost,
        CloseReason::HandshakeTimeout,
        CloseReason::LoginTries,
        CloseReason::IgnoredPackets,
        CloseReason::MidPacket,
        CloseReason::SlowReader,
        CloseReason::Stalled,
        CloseReason::Memory,
        CloseReason::PasswordChecks,
        CloseReason::TooMany,
        CloseReason::UsersChanged,
        CloseReason::Kicked,
        CloseReason::Superseded,
        CloseReason::NotPermitted,
        CloseReason::Declined,
        CloseReason::Unfit,
        CloseReason::Refused,
        CloseReason::NoAnswer,
        CloseReason::OutOfFrame,
        CloseReason::Shutdown,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Left => "left",
            CloseReason::Lost => "lost",
            CloseReason::HandshakeTimeout => "handshake_timeout",
            CloseReason::LoginTries => "login_tries",
            CloseReason::IgnoredPackets => "ignored_packets",
            CloseReason::MidPacket => "mid_packet",
            CloseReason::SlowReader => "slow_reader",
            CloseReason::Stalled => "stalled",
            CloseReason::Memory => "memory",
            CloseReason::PasswordChecks => "password_checks",
            CloseReason::TooMany => "too_many",
            CloseReason::UsersChanged => "users_changed",
            CloseReason::Kicked => "kicked",
            CloseReason::Superseded => "superseded",
            CloseReason::NotPermitted => "not_permitted",
            CloseReason::Declined => "declined",
            CloseReason::Unfit => "unfit",
            CloseReason::Refused => "refused",
            CloseReason::NoAnswer => "no_answer",
            CloseReason::OutOfFrame => "out_of_frame",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CloseReason::Left => "left",
            CloseReason::Lost => "connection lost",
            CloseReason::HandshakeTimeout => "did not log in or merge in time",
            CloseReason::LoginTries => "too many failed logins",
            CloseReason::IgnoredPackets => "too many ignored packets",
            CloseReason::MidPacket => "stopped in the middle of a packet",
            CloseReason::SlowReader => "slow reader: more is queued for it than its limit",
            CloseReason::Stalled => "slow reader: takes nothing of what is queued for it",
            CloseReason::Memory => "largest queue when all queues together were over --max-memory",
            CloseReason::PasswordChecks => "too many password checks are waiting",
            CloseReason::TooMany => "too many connections",
            CloseReason::UsersChanged => "the users file changed",
            CloseReason::Kicked => "closed by the operator",
            CloseReason::Superseded => "another link to the same server stays",
            CloseReason::NotPermitted => "may not merge with us; --allow-peer would permit its address",
            CloseReason::Declined => "the merge was declined",
            CloseReason::Unfit => "does not fit into our network",
            CloseReason::Refused => "connection refused",
            CloseReason::NoAnswer => "no answer in time",
            CloseReason::OutOfFrame => "an unknown code on a link: out of frame",
            CloseReason::Shutdown => "the server stops",
        })
    }
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// What is queued is written first. Its input is no longer looked at.
    AfterWriting,
    /// At once; what is queued is thrown away.
    Now,
}

/// One thing to do. Byte ranges point into [`Effects::bytes`].
#[derive(Debug)]
pub enum Effect {
    /// Queue these bytes for one connection.
    Send {
        /// For whom.
        to: Key,
        /// Whole packets.
        bytes: Range<usize>,
    },
    /// Queue a MSGPBLINC for every client of this server, and, where it comes from one of them, for every sibling.
    Publish {
        /// The packet.
        bytes: Range<usize>,
        /// Whether its sender is a client of this server.
        from_here: bool,
    },
    /// Close a connection.
    Close {
        /// Which one.
        key: Key,
        /// Why.
        reason: CloseReason,
        /// With or without writing what is queued.
        mode: CloseMode,
    },
    /// Answer an operator whose command took its time.
    Answer {
        /// The operator's connection.
        key: Key,
        /// Whole lines.
        text: String,
    },
    /// Find out whether the other end of a connection is still there: it is gone within seconds where it isn't.
    Probe(Key),
}

/// The effects of one handler call, and the bytes they speak of.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
    bytes: Vec<u8>,
}

impl Effects {
    /// Queues a packet for a connection.
    pub fn send(&mut self, to: Key, packet: &Packet<'_>) {
        let bytes = self.append(|out| packet.encode(out));
        self.list.push(Effect::Send { to, bytes });
    }

    /// Queues a packet for a connection, wrapped into a PCKFWD to a client of `destination`.
    pub fn forward(&mut self, link: Key, destination: ServerId, packet: &Packet<'_>) {
        let bytes = self.append(|out| {
            out.extend_from_slice(&forward_header(destination));
            packet.encode(out);
        });
        self.list.push(Effect::Send { to: link, bytes });
    }

    /// Queues bytes that are whole packets already.
    pub fn send_encoded(&mut self, to: Key, encoded: &[u8]) {
        let bytes = self.append(|out| out.extend_from_slice(encoded));
        self.list.push(Effect::Send { to, bytes });
    }

    /// Queues a public message of a client of ours for everybody.
    pub fn publish(&mut self, packet: &Packet<'_>) {
        let bytes = self.append(|out| packet.encode(out));
        self.list.push(Effect::Publish { bytes, from_here: true });
    }

    /// Queues an encoded MSGPBLINC of another server for everybody here.
    pub fn publish_encoded(&mut self, encoded: &[u8]) {
        let bytes = self.append(|out| out.extend_from_slice(encoded));
        self.list.push(Effect::Publish { bytes, from_here: false });
    }

    /// Closes a connection.
    pub fn close(&mut self, key: Key, reason: CloseReason, mode: CloseMode) {
        self.list.push(Effect::Close { key, reason, mode });
    }

    /// Any other effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What is to be done, in order.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The bytes of a range in an effect.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or(&[])
    }

    /// Takes the list out to be applied; the bytes stay until [`Effects::recycle`].
    pub fn take_list(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.list)
    }

    /// Gives the applied list's memory back. The bytes go when nothing new was said meanwhile.
    pub fn recycle(&mut self, mut applied: Vec<Effect>) {
        applied.clear();
        if self.list.is_empty() {
            self.list = applied;
            self.bytes.clear();
        }
    }

    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }
}
