//! What handlers want done. Plain data, applied by the engine in one place.

use std::ops::Range;

use super::key::Key;
use crate::limits::{EFFECTS_KEPT, EFFECTS_KEPT_BYTES};
use crate::wire::listed::listed;
use crate::wire::{Envelope, Packet, RelayHeader, relay_header};

listed! {
    /// Why a connection ended.
    pub enum CloseReason {
        /// The other side closed, and has everything (D22).
        Left => "left", "left";
        /// The other side reset it, or the kernel gave it up.
        Lost => "lost", "connection lost";
        /// It did not log in or merge in time (D8).
        HandshakeTimeout => "handshake_timeout", "did not log in or merge in time";
        /// Five logins failed (D8).
        LoginTries => "login_tries", "too many failed logins";
        /// Too many ignored packets (D3).
        IgnoredPackets => "ignored_packets", "too many ignored packets";
        /// It stopped in the middle of a packet (D3).
        MidPacket => "mid_packet", "stopped in the middle of a packet";
        /// More output waits for it than its limit.
        SlowReader => "slow_reader", "slow reader: more is queued for it than its limit";
        /// It took nothing of what waits for it.
        Stalled => "stalled", "slow reader: takes nothing of what is queued for it";
        /// All queues together were over their limit, and of its address most was held.
        Memory => "memory", "largest queue when all queues together were over --max-memory";
        /// The kept input of all newcomers was over its bound, and this address had the most of it.
        KeptInput => "kept_input", "held most of the input that came before logins, when that was over its bound";
        /// Too many password checks were waiting.
        PasswordChecks => "password_checks", "too many password checks are waiting";
        /// One connection more than `--max-clients`, or `--max-per-address`, allows.
        TooMany => "too_many", "too many connections";
        /// It was idle, or its address had most of the places, and a newer connection has its place now.
        GaveWay => "gave_way", "gave its place to a newer connection";
        /// The users file changed: its nickname is now registered, or is no longer.
        UsersChanged => "users_changed", "the users file changed";
        /// The operator closed it.
        Kicked => "kicked", "closed by the operator";
        /// The operator keeps its address or its nickname out.
        Banned => "banned", "banned by the operator";
        /// Another connection to the same server stays instead (D18).
        Superseded => "superseded", "another link to the same server stays";
        /// It asked to merge, from an address that may not (D20).
        NotPermitted => "not_permitted", "may not merge with us; --allow-peer would permit its address";
        /// It asked to merge, and came through a proxy (D47).
        ProxiedMerge => "proxied_merge", "may not merge with us: it came through a proxy";
        /// It came from a proxy's address, and did not begin with a PROXY header (D46).
        ProxyHeader => "proxy_header", "no PROXY header came first, as it must from an address of --proxy-from";
        /// It does not encrypt, and must (D43).
        Plaintext => "plaintext", "no TLS, which --require-tls asks for";
        /// TLS failed.
        TlsFailed => "tls_failed", "TLS failed";
        /// Its certificate is not that of the server that it says it is (D44).
        NotTheServer => "not_the_server", "no certificate that names the server that it says it is";
        /// The merge was declined, by us or by the other side.
        Declined => "declined", "the merge was declined";
        /// The answer to our request to merge does not fit us, or merges that raced don't fit together.
        Unfit => "unfit", "does not fit into our network";
        /// No server listens at the dialled address.
        Refused => "refused", "connection refused";
        /// The server that we dialled did not answer in time.
        NoAnswer => "no_answer", "no answer in time";
        /// A link's server was asked whether it lives, and did not answer (D57).
        Silent => "silent", "silent, and does not answer when it is asked";
        /// An unknown code on a link, or a length that no server allows: its bytes can't be followed any more (D19).
        OutOfFrame => "out_of_frame", "out of frame: an unknown code, or a length that no server allows";
        /// The server stops.
        Shutdown => "shutdown", "the server stops";
    }
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// The queue is written first. Further input is not handled.
    AfterWriting,
    /// At once; the queue is dropped.
    Now,
}

/// One thing to do. Byte ranges point into [`Effects::bytes`].
#[derive(Debug)]
pub enum Effect {
    /// Queue these bytes for one connection.
    Send {
        /// The connection that gets it.
        to: Key,
        /// Whole packets.
        bytes: Range<usize>,
    },
    /// Queue a MSGPBLINC for every client of this server. If one of them sent it, queue it for every sibling, too.
    Publish {
        /// The packet.
        bytes: Range<usize>,
        /// Whether its sender is a client of this server.
        from_here: bool,
    },
    /// Queue a RELAY with a MSGPBLINC for every link that carries, except for one (D34).
    Relay {
        /// The packet, for whatever destination.
        bytes: Range<usize>,
        /// The link that it came over.
        from: Key,
    },
    /// Senders that wait for this receiver go on.
    Release(Key),
    /// Close a connection.
    Close {
        /// Which one.
        key: Key,
        /// Why.
        reason: CloseReason,
        /// With or without writing its queue.
        mode: CloseMode,
    },
    /// Answer an operator whose command took its time.
    Answer {
        /// The operator's connection.
        key: Key,
        /// Whole lines.
        text: String,
    },
    /// Find out whether the other end of a connection is still there. If not, the connection ends within seconds.
    Probe(Key),
    /// The other end of this link lives: it has answered.
    Lives(Key),
    /// It has asked for something over the connection `by`.
    HasAsked {
        /// The link.
        link: Key,
        /// The connection.
        by: Key,
    },
    /// The other end of this link was asked whether it lives, and has not answered.
    IsSilent(Key),
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

    /// Queues a packet for a link, in an envelope.
    pub fn forward(&mut self, link: Key, envelope: &Envelope, packet: &Packet<'_>) {
        let bytes = self.append(|out| {
            envelope.encode(out);
            packet.encode(out);
        });
        self.list.push(Effect::Send { to: link, bytes });
    }

    /// Queues bytes that are whole packets already.
    pub fn send_encoded(&mut self, to: Key, encoded: &[u8]) {
        let bytes = self.append(|out| out.extend_from_slice(encoded));
        self.list.push(Effect::Send { to, bytes });
    }

    /// Queues an encoded packet on its way through a routed network for a link.
    pub fn relay(&mut self, link: Key, header: &RelayHeader, content: &[u8]) {
        let bytes = self.append(|out| Packet::Relay { header: *header, content }.encode(out));
        self.list.push(Effect::Send { to: link, bytes });
    }

    /// Queues an encoded MSGPBLINC of another server for all clients here, and for all links that carry, except for the
    /// one that it came over.
    pub fn publish_and_relay(&mut self, from: Key, header: &RelayHeader, content: &[u8]) {
        let bytes = self.append(|out| {
            out.extend_from_slice(&relay_header(header));
            out.extend_from_slice(content);
        });
        self.list.push(Effect::Publish { bytes: bytes.end - content.len()..bytes.end, from_here: false });
        self.list.push(Effect::Relay { bytes, from });
    }

    /// Queues a public message of a client of ours for all clients and siblings.
    pub fn publish(&mut self, packet: &Packet<'_>) {
        let bytes = self.append(|out| packet.encode(out));
        self.list.push(Effect::Publish { bytes, from_here: true });
    }

    /// Queues an encoded MSGPBLINC of another server for all clients here.
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
            self.list.shrink_to(EFFECTS_KEPT);
            self.bytes.clear();
            self.bytes.shrink_to(EFFECTS_KEPT_BYTES);
        }
    }

    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }
}
