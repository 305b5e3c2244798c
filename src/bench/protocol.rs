//! The protocol of the server under test: CFP, or what the floor and other servers speak in its place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::connections::{Connections, Members, Receiver};
use super::message::{Frame, Hello, MESSAGE_BYTES, numbered};
use super::server::ServerUnderTest;
use super::{Fault, Result, rivals};
use crate::limits::CHUNK_BYTES;
use crate::wire::{FileChunk, FrameLimits, Packet, Scan, ServerId, scan};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolKind {
    /// A CFP server.
    Cfp,
    /// The floor: the sender sends what receivers are to get.
    Floor,
    /// Redis's RESP2: SUBSCRIBE and PUBLISH.
    Redis,
    /// NATS's text protocol.
    Nats,
    /// MQTT 3.1.1 with quality of service 0.
    Mqtt,
}

impl ProtocolKind {
    /// Its name on the command line.
    pub fn parse(name: &str) -> Option<ProtocolKind> {
        Some(match name {
            "cfp" => ProtocolKind::Cfp,
            "floor" => ProtocolKind::Floor,
            "redis" => ProtocolKind::Redis,
            "nats" => ProtocolKind::Nats,
            "mqtt" => ProtocolKind::Mqtt,
            _ => return None,
        })
    }
}

/// A language and the names used in one run.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The language.
    pub language: ProtocolKind,
    /// The server that messages come from and go to.
    origin: ServerId,
    /// Part of every nickname, so that two runs against one server use different nicknames.
    tag: u16,
}

/// What one sender sends and what one receiver gets for it.
pub struct Route {
    /// As it is sent.
    pub sent: Frame,
    /// As it is delivered.
    pub delivered: Frame,
}

impl Protocol {
    /// For a run against this server. One of CFP is asked for its ID by a guest of its own.
    pub fn open(server: &ServerUnderTest) -> Result<Protocol> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let tag = (std::process::id().wrapping_mul(31).wrapping_add(run) & 0xFFFF) as u16;
        let mut protocol = Protocol { language: server.language, origin: ServerId(7), tag };
        if server.language == ProtocolKind::Cfp {
            protocol.origin = server_id(server, &protocol, 99_999)?;
        }
        Ok(protocol)
    }

    /// Whether a receiver of public messages cannot send them. Then one more connection sends them.
    pub fn has_separate_publisher(&self) -> bool {
        !matches!(self.language, ProtocolKind::Cfp | ProtocolKind::Floor)
    }

    /// The server messages come from.
    pub fn origin(&self) -> ServerId {
        self.origin
    }

    /// The nickname of a member: 10 bytes.
    pub fn nickname(&self, member: usize) -> String {
        format!("{:04x}-{member:05}", self.tag)
    }

    /// What a member says first. `is_publisher`: it gets no messages.
    pub fn hello(&self, member: usize, is_publisher: bool) -> Hello {
        match self.language {
            ProtocolKind::Cfp | ProtocolKind::Floor => {
                let nickname = self.nickname(member);
                Hello { greeting: encode(&Packet::AuthGst { nickname: &nickname }), answer: vec![0x10, 0] }
            }
            ProtocolKind::Redis => rivals::redis_hello(&self.nickname(member), is_publisher),
            ProtocolKind::Nats => rivals::nats_hello(&self.nickname(member), is_publisher),
            ProtocolKind::Mqtt => rivals::mqtt_hello(&self.nickname(member), is_publisher),
        }
    }

    /// Public messages of `sender`.
    pub fn public(&self, sender: usize) -> Route {
        let (sender, message) = (self.nickname(sender), numbered(MESSAGE_BYTES));
        let text = text(&message);
        let sent = encode(&Packet::MsgPbl { message: text });
        let delivered = encode(&Packet::MsgPblInc { origin: self.origin, sender: &sender, message: text });
        self.route(rivals::ROOM, &message, &sent, &delivered)
    }

    /// Private messages of `sender` to `receiver`.
    pub fn private(&self, sender: usize, receiver: usize) -> Route {
        let (sender, receiver, message) = (self.nickname(sender), self.nickname(receiver), numbered(MESSAGE_BYTES));
        let (origin, text) = (self.origin, text(&message));
        let sent = encode(&Packet::MsgPrv { destination: origin, receiver: &receiver, message: text });
        let delivered = encode(&Packet::MsgPrvInc { origin, sender: &sender, receiver: &receiver, message: text });
        self.route(&receiver, &message, &sent, &delivered)
    }

    /// Chunks of a file that `sender` sends to `receiver` (CFP and the floor only).
    pub fn file(&self, sender: usize, receiver: usize, chunks: u32) -> Result<Route> {
        let (sender, receiver, content) = (self.nickname(sender), self.nickname(receiver), numbered(CHUNK_BYTES));
        let content = content.first_chunk().ok_or_else(|| Fault::Wrong("a chunk is shorter than a chunk".into()))?;
        let chunk = FileChunk { transfer_id: 1, file_name: "bench.bin", chunks, content };
        let sent = encode(&Packet::FileChnk { destination: self.origin, receiver: &receiver, chunk });
        let delivered =
            encode(&Packet::FileChnkInc { origin: self.origin, sender: &sender, receiver: &receiver, chunk });
        Ok(self.route(&receiver, content, &sent, &delivered))
    }

    fn route(&self, topic: &str, message: &[u8], sent: &[u8], delivered: &[u8]) -> Route {
        let (sent, delivered) = match self.language {
            ProtocolKind::Cfp => return Route { sent: Frame::new(sent), delivered: Frame::new(delivered) },
            ProtocolKind::Floor => return Route { sent: Frame::new(delivered), delivered: Frame::new(delivered) },
            ProtocolKind::Redis => rivals::redis_message(topic, message),
            ProtocolKind::Nats => rivals::nats_message(topic, message),
            ProtocolKind::Mqtt => rivals::mqtt_message(topic, message),
        };
        Route { sent: Frame::new(&sent), delivered: Frame::new(&delivered) }
    }
}

/// A packet's bytes.
pub fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn text(message: &[u8]) -> &str {
    std::str::from_utf8(message).unwrap_or_default()
}

/// Logs in, says something and looks which server it comes back from.
fn server_id(server: &ServerUnderTest, protocol: &Protocol, guest: usize) -> Result<ServerId> {
    let mut connections = Connections::to(server)?;
    let member = connections.connect(None, server.address)?;
    connections.members().send(member, &protocol.hello(guest, false).greeting)?;
    connections.members().send(member, &encode(&Packet::MsgPbl { message: "cfp-bench" }))?;
    let mut echo = Echo { nickname: protocol.nickname(guest), origin: None };
    loop {
        if let Some(origin) = echo.origin {
            return Ok(origin);
        }
        connections.turn_or_stall(&mut echo)?;
    }
}

/// Waits for what it has said itself. Others may talk meanwhile.
struct Echo {
    nickname: String,
    origin: Option<ServerId>,
}

impl Receiver for Echo {
    fn on_bytes(&mut self, _: usize, bytes: &mut &[u8], _at: Instant, _: &mut Members) -> Result<()> {
        while let Scan::Packet { len } = scan(bytes, &FrameLimits::default()) {
            let (packet, rest) = bytes.split_at(len);
            match Packet::decode(packet) {
                Ok(Packet::MsgPblInc { origin, sender, .. }) if sender == self.nickname => self.origin = Some(origin),
                Ok(Packet::AuthRsp { response }) if response as u8 != 0 => {
                    return Err(Fault::Wrong(format!("login answered with {response:?}")));
                }
                _ => {}
            }
            *bytes = rest;
        }
        Ok(())
    }
}
