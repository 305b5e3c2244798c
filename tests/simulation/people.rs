//! The people at the other ends: clients that talk, vandals, operators.

use std::collections::VecDeque;
use std::io::ErrorKind;

use cfp::core::engine::socket::{Received, Socket};
use cfp::wire::{AuthResponse, FrameLimits, Packet, Scan, ServerId, scan};

use super::dice::Dice;
use super::ledger::Class;
use super::pipes::PipeEnd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Talker,
    Vandal,
    Operator,
}

#[derive(Debug)]
pub struct Person {
    pub role: Role,
    pub number: usize,
    pub host: usize,
    pub end: Option<PipeEnd>,
    pub logged_in_at: Option<u64>,
    pub is_reading: bool,
    pub has_half_closed: bool,
    pub errors: usize,
    /// What an operator was told.
    pub answer: String,
    out: VecDeque<u8>,
    input: Vec<u8>,
}

/// A received packet.
#[derive(Debug)]
pub enum Got {
    LoggedIn,
    Item { number: usize, class: Class, origin: ServerId, sender: String },
}

impl Person {
    pub fn new(role: Role, number: usize, host: usize, end: PipeEnd) -> Person {
        Person {
            role,
            number,
            host,
            end: Some(end),
            logged_in_at: None,
            is_reading: true,
            has_half_closed: false,
            errors: 0,
            answer: String::new(),
            out: VecDeque::new(),
            input: Vec::new(),
        }
    }

    pub fn nickname(number: usize) -> String {
        format!("p{number}")
    }

    pub fn is_logged_in(&self) -> bool {
        self.logged_in_at.is_some() && self.end.is_some()
    }

    pub fn may_talk(&self) -> bool {
        self.role == Role::Talker && self.is_logged_in() && !self.has_half_closed && self.out.len() < 200_000
    }

    pub fn say(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.send(&bytes);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        if !self.has_half_closed {
            self.out.extend(bytes);
        }
        self.flush();
    }

    /// Writes what the pipe takes.
    pub fn flush(&mut self) {
        while !self.out.is_empty() {
            let Some(end) = &mut self.end else { return };
            let bytes = self.out.make_contiguous();
            match end.write(bytes) {
                Ok(sent) => drop(self.out.drain(..sent.bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = None,
            }
        }
        if self.has_half_closed
            && let Some(end) = &mut self.end
        {
            let _ = end.shutdown_write();
        }
    }

    /// Reads all input.
    pub fn read(&mut self) -> Vec<Got> {
        let mut buffer = [0; 4096];
        let mut got = Vec::new();
        while self.is_reading
            && let Some(end) = &mut self.end
        {
            match end.read(&mut buffer) {
                Ok(Received::Bytes { count, .. }) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => self.end = None,
            }
        }
        match self.role {
            Role::Operator => {
                self.answer.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.input)));
                if self.answer.ends_with('\n')
                    && self.answer.lines().any(|line| line == "ok" || line.starts_with("error"))
                {
                    self.end = None;
                }
            }
            Role::Talker | Role::Vandal => self.parse(&mut got),
        }
        got
    }

    fn parse(&mut self, got: &mut Vec<Got>) {
        let limits = FrameLimits { message_max_bytes: 1 << 20, ..FrameLimits::DEFAULT };
        let mut position = 0;
        while position < self.input.len() {
            let rest = &self.input[position..];
            let len = match scan(rest, &limits) {
                Scan::Packet { len } => len,
                Scan::Incomplete { .. } => break,
                // What it sent first happened to be the first byte of TLS.
                _ if self.role == Role::Vandal => return self.input.clear(),
                other => panic!("person {} at {} was sent {other:?}", self.number, self.host),
            };
            let packet = Packet::decode(&rest[..len]).expect("what a server sends is sound");
            let mut item = |number: Option<usize>, class, origin, sender: &str| {
                got.extend(number.map(|number| Got::Item { number, class, origin, sender: sender.to_owned() }));
            };
            match packet {
                Packet::AuthRsp { response: AuthResponse::Accepted } => got.push(Got::LoggedIn),
                Packet::AuthRsp { .. } => assert_eq!(self.role, Role::Vandal, "nicknames are used once"),
                Packet::MsgPblInc { origin, sender, message } => {
                    item(number_in(message), Class::Public, origin, sender);
                }
                Packet::MsgPrvInc { origin, sender, message, .. } => {
                    item(number_in(message), Class::Private, origin, sender);
                }
                Packet::FileChnkInc { origin, sender, chunk, .. } => {
                    item(Some(chunk.transfer_id as usize), Class::Chunk, origin, sender);
                }
                Packet::Error { .. } => self.errors += 1,
                other => assert_eq!(self.role, Role::Vandal, "a client has got {other:?}"),
            }
            position += len;
        }
        self.input.drain(..position);
    }
}

/// The number of an item in a message; what vandals say has none.
fn number_in(message: &str) -> Option<usize> {
    message.strip_prefix('#')?.split('#').next()?.parse().ok()
}

/// Something that no client should send.
pub fn garbage(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    match dice.below(8) {
        0 => bytes.extend((0..dice.between(1, 60)).map(|_| dice.below(256) as u8)),
        1 => Packet::AuthGst { nickname: ["", "v\n", "vandal"][dice.below(3)] }.encode(&mut bytes),
        2 => Packet::AuthUsr { nickname: "vandal", password: "x" }.encode(&mut bytes),
        3 => {
            Packet::MrgReq { server: ServerId(dice.below(14) as u32), siblings: Default::default() }.encode(&mut bytes)
        }
        4 => Packet::MsgPblInc { origin: ServerId(3), sender: "p0", message: "#0#" }.encode(&mut bytes),
        5 => {
            Packet::MsgPbl { message: "from a vandal" }.encode(&mut bytes);
            let at = dice.below(bytes.len());
            bytes[at] = 0xff;
        }
        6 => {
            Packet::MsgPrv { destination: ServerId(10), receiver: "p1", message: "ha" }.encode(&mut bytes);
            bytes.truncate(dice.below(bytes.len()) + 1);
        }
        _ => {
            let inner = [0x30, 0, 0, 0, 3, 0, 0, 0, 2, b'p', b'0', 0, 0, 0, 3, b'#', b'0', b'#'];
            Packet::PckFwd { destination: ServerId(3), content: &inner }.encode(&mut bytes);
        }
    }
    bytes
}
