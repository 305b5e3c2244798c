//! Packets for property tests: strategies for all of them, and the bytes of each.
//!
//! A `Packet` borrows, and a strategy must own what it makes. So `Parts` owns every field that a packet may have, and
//! lends those that its code calls for.

use cfp::limits;
use cfp::wire::{
    AuthResponse, Code, DeclineReason, Description, Descriptions, ErrorReason, FileChunk, FrameLimits, Neighbours,
    Nickname, Packet, RelayHeader, ServerId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Every field of every packet; `code` says which of them count.
#[derive(Debug, Clone)]
pub struct Parts {
    pub code: Code,
    pub server: u32,
    /// Sender or nickname, and receiver.
    pub names: [String; 2],
    pub password: String,
    pub message: String,
    pub transfer_id: u32,
    pub file_name: String,
    pub chunks: u32,
    pub content: Box<[u8; limits::CHUNK_BYTES]>,
    /// Bytes of whole descriptions.
    pub descriptions: Vec<u8>,
    /// The header of a RELAY, and the first fields of LINKS.
    pub header: RelayHeader,
    /// Bytes of whole entries of LINKS.
    pub neighbours: Vec<u8>,
    pub response: AuthResponse,
    pub decline: DeclineReason,
    pub error: ErrorReason,
    /// What a PCKFWD or a RELAY carries: one whole packet.
    pub forwarded: Vec<u8>,
}

impl Parts {
    /// The packet, borrowed from its parts.
    pub fn packet(&self) -> Packet<'_> {
        let server = ServerId(self.server);
        let [name, receiver] = &self.names;
        let message = self.message.as_str();
        let siblings = Descriptions::new(&self.descriptions).unwrap();
        let chunk = FileChunk {
            transfer_id: self.transfer_id,
            file_name: &self.file_name,
            chunks: self.chunks,
            content: &self.content,
        };
        match self.code {
            Code::AuthGst => Packet::AuthGst { nickname: name },
            Code::AuthUsr => Packet::AuthUsr { nickname: name, password: &self.password },
            Code::AuthRsp => Packet::AuthRsp { response: self.response },
            Code::MsgPbl => Packet::MsgPbl { message },
            Code::MsgPrv => Packet::MsgPrv { destination: server, receiver, message },
            Code::MsgPblInc => Packet::MsgPblInc { origin: server, sender: name, message },
            Code::MsgPrvInc => Packet::MsgPrvInc { origin: server, sender: name, receiver, message },
            Code::FileChnk => Packet::FileChnk { destination: server, receiver, chunk },
            Code::FileChnkInc => Packet::FileChnkInc { origin: server, sender: name, receiver, chunk },
            Code::PckFwd => Packet::PckFwd { destination: server, content: &self.forwarded },
            Code::Relay => Packet::Relay { header: self.header, content: &self.forwarded },
            Code::Links => Packet::Links {
                server: Description { server, address: self.header.origin.0.into(), port: self.header.destination.0 },
                incarnation: self.header.incarnation,
                version: self.header.number,
                neighbours: Neighbours::new(&self.neighbours).unwrap(),
            },
            Code::Hold => Packet::Hold { server, is_held: self.chunks.is_multiple_of(2) },
            Code::Hello => Packet::Hello { stamp: self.server },
            Code::MrgReq => Packet::MrgReq { server, siblings },
            Code::MrgRsp => Packet::MrgRsp { server, siblings },
            Code::MrgDecl => Packet::MrgDecl { reason: self.decline },
            Code::Error => Packet::Error { sender: name, reason: self.error },
        }
    }

    /// The packet's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.packet().encode(&mut bytes);
        bytes
    }
}

/// What a PCKFWD may carry (D5).
const FORWARDABLE: [Code; 4] = [Code::MsgPblInc, Code::MsgPrvInc, Code::FileChnkInc, Code::Error];

/// A packet of any code that has a layout, each of its fields within the limits.
pub fn packet(limits: FrameLimits) -> impl Strategy<Value = Parts> {
    let codes: Vec<Code> = Code::ALL.into_iter().filter(|code| limits.has_routed_codes || !code.is_routed()).collect();
    (select(codes), parts(limits), select(&FORWARDABLE[..]), parts(limits)).prop_map(
        |(code, parts, inner_code, inner)| {
            let forwarded = Parts { code: inner_code, ..inner }.bytes();
            Parts { code, forwarded, ..parts }
        },
    )
}

/// Text of at most so many bytes, control characters and the like included.
pub fn text(max_bytes: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=max_bytes).prop_map(move |chars| {
        let mut text = String::new();
        for char in chars {
            if text.len() + char.len_utf8() <= max_bytes {
                text.push(char);
            }
        }
        text
    })
}

/// A legal nickname.
#[allow(dead_code, reason = "not every test file that has this module needs it")]
pub fn nickname() -> impl Strategy<Value = String> {
    text(limits::NICKNAME_MAX_BYTES).prop_filter("not a legal nickname", |text| Nickname::parse(text).is_some())
}

fn parts(limits: FrameLimits) -> impl Strategy<Value = Parts> {
    let texts = (
        text(limits::NICKNAME_MAX_BYTES),
        text(limits::NICKNAME_MAX_BYTES),
        // Long enough to need more than one byte of its count; the limits themselves have tests of their own.
        text(300),
        text(limits.message_max_bytes.min(300)),
        text(limits::FILE_NAME_MAX_BYTES).prop_filter("a file has a name", |name| !name.is_empty()),
    );
    let numbers = (any::<u32>(), any::<u32>(), 1..=u32::MAX);
    let descriptions =
        (0..=limits.descriptions_max).prop_flat_map(|count| vec(any::<u8>(), count * Descriptions::ENTRY_BYTES));
    let neighbours =
        (0..=limits::ROUTED_LINKS_MAX).prop_flat_map(|count| vec(any::<u8>(), count * Neighbours::ENTRY_BYTES));
    let header =
        (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(to, from, incarnation, number)| {
            RelayHeader { destination: ServerId(to), origin: ServerId(from), incarnation, number }
        });
    let values = (
        select(vec![
            AuthResponse::Accepted,
            AuthResponse::Registered,
            AuthResponse::WrongPassword,
            AuthResponse::InUse,
        ]),
        select(vec![DeclineReason::AlreadyMerged, DeclineReason::ServerLimit, DeclineReason::IdConflict]),
        select(vec![ErrorReason::UnknownServer, ErrorReason::UnknownReceiver]),
    );
    (texts, numbers, content(), (descriptions, neighbours, header), values).prop_map(
        |(
            (name, receiver, password, message, file_name),
            (server, transfer_id, chunks),
            content,
            (descriptions, neighbours, header),
            (response, decline, error),
        )| Parts {
            code: Code::AuthGst,
            server,
            names: [name, receiver],
            password,
            message,
            transfer_id,
            file_name,
            chunks,
            content,
            descriptions,
            header,
            neighbours,
            response,
            decline,
            error,
            forwarded: Vec::new(),
        },
    )
}

/// A chunk's bytes, padded with zeroes as the last chunk of a file is.
fn content() -> impl Strategy<Value = Box<[u8; limits::CHUNK_BYTES]>> {
    vec(any::<u8>(), 0..=limits::CHUNK_BYTES).prop_map(|mut bytes| {
        bytes.resize(limits::CHUNK_BYTES, 0);
        bytes.into_boxed_slice().try_into().unwrap()
    })
}
