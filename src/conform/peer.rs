//! One connection to the program under test.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::case::{Check, Seen, Stop};
use super::limits::RECEIVED_MAX_BYTES;
use super::log::Log;
use super::server::Target;
use crate::blocking::{Arrival, PacketStream, Stream};
use crate::wire::{Code, FrameLimits, Packet};

/// What the kit reads: the longest message that any server may allow, and all packets. So what a routed server should not
/// send here is shown as what it is.
pub const LIMITS: FrameLimits =
    FrameLimits { message_max_bytes: 16 << 20, descriptions_max: 65, has_routed_codes: true };

/// What a client begins with that asks itself whether all before was handled.
pub const QUESTION: &str = "still here? ";

/// A connection, as a client or as a server. What comes is compared as bytes: a packet that decodes well may still have
/// bytes of its own.
pub struct Peer {
    packets: PacketStream<Box<dyn Stream>>,
    log: Log,
    number: usize,
    patience: Duration,
    /// What every message and nickname of this run holds. Public messages without it are those of others. Of a client,
    /// there are none, and this is empty.
    mark: String,
    /// As what it is logged in; of a played server, what it is called.
    nickname: String,
}

impl Peer {
    /// Connects.
    pub fn connect(target: &Target, patience: Duration, mark: &str, log: &Log) -> Result<Peer, Stop> {
        match target.open() {
            Ok(stream) => Ok(Peer::new(stream, patience, mark, log)),
            Err(error) => Err(Stop::words(format!("a connection to {}", target.address), error.to_string())),
        }
    }

    /// A connection that is there.
    pub fn new(stream: Box<dyn Stream>, patience: Duration, mark: &str, log: &Log) -> Peer {
        // Without it, packets would be put together in the kernel: a worse test, but no wrong one.
        let _ = stream.tcp().set_nodelay(true);
        let (number, log) = (log.opened(stream.tcp()), log.clone());
        let packets = PacketStream::new(stream, LIMITS);
        Peer { packets, log, number, patience, mark: mark.to_owned(), nickname: String::new() }
    }

    /// As what it is logged in.
    pub fn nickname(&self) -> &str {
        &self.nickname
    }

    /// It is called so from now on.
    pub fn set_nickname(&mut self, nickname: impl Into<String>) {
        self.nickname = nickname.into();
        self.log.named(self.number, &self.nickname);
    }

    /// The own address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.packets.tcp().local_addr().ok()
    }

    /// Waits so long for what comes next.
    pub fn with_patience(mut self, patience: Duration) -> Peer {
        self.patience = patience;
        self
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &Packet<'_>) -> Check {
        self.send_bytes(&encoded(packet))
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Check {
        self.log.sent(self.number, bytes);
        match self.write(bytes) {
            Ok(()) => Ok(()),
            Err(error) if is_reset(error.kind()) => {
                Err(self.stop(Seen::Words("that the connection stays open".into()), Seen::End))
            }
            Err(error) => Err(self.stop(Seen::Words("that input is taken".into()), Seen::Words(error.to_string()))),
        }
    }

    /// As [`Peer::send_bytes`], when the other side may close meanwhile.
    pub fn send_if_open(&mut self, bytes: &[u8]) {
        let _ = self.send_bytes(bytes);
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let end = Instant::now() + self.patience;
        self.packets.write(bytes, |packets| {
            // The other side may wait until we read.
            if packets.decoder().kept_bytes() < RECEIVED_MAX_BYTES {
                let _ = packets.read(Some(Duration::ZERO));
            }
            if Instant::now() < end { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
        })
    }

    /// Says that nothing more comes from here.
    pub fn shut_sending_side(&mut self) {
        let _ = self.packets.stream().shut_sending_side();
    }

    /// What comes next.
    pub fn next(&mut self) -> Seen {
        let end = Instant::now() + self.log.patience(self.patience);
        let arrival = self.packets.next_until(Some(end));
        let is_nothing = matches!(arrival, Ok(Arrival::Nothing));
        let mut bytes = Vec::new();
        if let Ok(Arrival::Frame(frame)) = arrival {
            bytes.extend_from_slice(self.packets.decoder().bytes(&frame));
            if frame.fault.is_none() {
                return Seen::Bytes(bytes);
            }
            // Nobody can say where the next packet begins.
            let _ = self.packets.read(Some(Duration::ZERO));
        }
        bytes.extend(self.packets.decoder().take_rest());
        match bytes.is_empty() {
            false => Seen::Bytes(bytes),
            true if is_nothing => {
                self.log.waited_in_vain();
                Seen::Nothing
            }
            true => Seen::End,
        }
    }

    /// The next packet that concerns the case: no public message of others, and no news of servers, unless it is `wanted`.
    pub fn next_of_ours(&mut self, wanted: Option<Code>) -> Seen {
        loop {
            let seen = self.next();
            let Seen::Bytes(bytes) = &seen else { return seen };
            let code = bytes.first().copied().and_then(Code::from_byte);
            let content_at = |at: usize| bytes.get(at).copied().and_then(Code::from_byte);
            let is_public = match code {
                Some(Code::PckFwd) => content_at(5) == Some(Code::MsgPblInc),
                Some(Code::Relay) => content_at(17) == Some(Code::MsgPblInc),
                _ => code == Some(Code::MsgPblInc),
            };
            let is_ours = bytes.windows(self.mark.len().max(1)).any(|window| window == self.mark.as_bytes());
            let is_news = matches!(code, Some(Code::MrgReq | Code::Links | Code::Hold)) && wanted != code;
            if !(is_public && !is_ours || is_news) {
                return seen;
            }
        }
    }

    /// The next packet must be this one.
    pub fn expect(&mut self, packet: &Packet<'_>) -> Check {
        let expected = encoded(packet);
        self.next_must_be(Some(packet.code()), Seen::Bytes(expected), |seen, expected| seen == expected)
    }

    /// As [`Peer::expect`], for a PCKFWD under either of the two codes that the RFC gives it (D4).
    pub fn expect_forward(&mut self, packet: &Packet<'_>) -> Check {
        let expected = encoded(packet);
        self.next_must_be(Some(packet.code()), Seen::Bytes(expected), |seen, expected| match (seen, expected) {
            (Seen::Bytes(seen), Seen::Bytes(expected)) => {
                let is_forward = seen.first().copied().and_then(Code::from_byte) == Some(Code::PckFwd);
                is_forward && seen.get(1..) == expected.get(1..)
            }
            _ => false,
        })
    }

    /// The connection must end, with nothing more to say.
    pub fn expect_end(&mut self) -> Check {
        self.next_must_be(None, Seen::End, |seen, expected| seen == expected)
    }

    fn next_must_be(&mut self, code: Option<Code>, expected: Seen, fits: fn(&Seen, &Seen) -> bool) -> Check {
        let mut passed_over = None;
        loop {
            let seen = self.next_of_ours(code);
            if fits(&seen, &expected) {
                return Ok(());
            }
            match seen {
                Seen::Bytes(bytes) if self.may_come_between(&bytes) => passed_over = Some(bytes),
                seen => {
                    let shown = if seen == Seen::Nothing { passed_over.map(Seen::Bytes) } else { None };
                    return Err(self.stop(expected, shown.unwrap_or(seen)));
                }
            }
        }
    }

    /// An own public message comes back or not (D6). A [`QUESTION`] may be public, too.
    fn may_come_between(&self, bytes: &[u8]) -> bool {
        match Packet::decode(bytes) {
            Ok(Packet::MsgPblInc { sender, message, .. }) => sender == self.nickname || message.starts_with(QUESTION),
            _ => false,
        }
    }

    /// A deviation, with what was sent before.
    pub fn stop(&self, expected: Seen, seen: Seen) -> Stop {
        let closed = if seen == Seen::Nothing { self.log.closed_by_other(self.number) } else { Vec::new() };
        let stop = Stop::deviation(expected, seen).of(self.log.name(self.number), self.log.last());
        match closed.as_slice() {
            [] => stop,
            names => stop.hint(format!("the other side has closed {}", names.join(", "))),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.log.closed(self.number);
    }
}

/// A packet's bytes.
pub fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}
