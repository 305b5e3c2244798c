//! The vectors, written from packets.

use std::net::Ipv4Addr;

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{
    AuthResponse, Code, DeclineReason, Description, Descriptions, ErrorReason, FileChunk, Packet, ServerId,
};
use serde_json::{Value, json};

use crate::support::ID;
use crate::support::client::encoded;

/// The server at the other end of a link.
pub const SIBLING: ServerId = ServerId(8);
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);

/// What a session or a state needs.
pub const MERGING: &str = "merging from the player's address is permitted";
pub const DENSE: &str = "a dense server";

/// Everything.
pub fn all() -> Value {
    json!({
        "version": 2,
        "about": "Test vectors of the Chat Fusion Protocol; docs/vectors.md explains them. Bytes are in hexadecimal.",
        "layouts": crate::fields::layouts(),
        "packets": packets(),
        "states": states(),
        "ignored": crate::ignored::all(),
        "sessions": sessions(),
    })
}

/// In hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A packet as names and values.
pub fn described(packet: &Packet<'_>) -> Value {
    let chunk_of = |chunk: &FileChunk<'_>| {
        let FileChunk { transfer_id, file_name, chunks, content } = chunk;
        json!({"transfer_id": transfer_id, "file_name": file_name, "chunks": chunks, "content": hex(*content)})
    };
    let with_chunk = |mut fields: Value, chunk| {
        fields.as_object_mut().unwrap().extend(chunk_of(chunk).as_object().unwrap().clone());
        fields
    };
    let servers = |siblings: &Descriptions<'_>| -> Value {
        let each = |it: Description| json!({"server": it.server.0, "address": it.address.to_string(), "port": it.port});
        siblings.iter().map(each).collect()
    };
    let fields = match packet {
        Packet::AuthGst { nickname } => json!({"nickname": nickname}),
        Packet::AuthUsr { nickname, password } => json!({"nickname": nickname, "password": password}),
        Packet::AuthRsp { response } => json!({"response": *response as u8}),
        Packet::MsgPbl { message } => json!({"message": message}),
        Packet::MsgPrv { destination, receiver, message } => {
            json!({"destination": destination.0, "receiver": receiver, "message": message})
        }
        Packet::MsgPblInc { origin, sender, message } => {
            json!({"origin": origin.0, "sender": sender, "message": message})
        }
        Packet::MsgPrvInc { origin, sender, receiver, message } => {
            json!({"origin": origin.0, "sender": sender, "receiver": receiver, "message": message})
        }
        Packet::FileChnk { destination, receiver, chunk } => {
            with_chunk(json!({"destination": destination.0, "receiver": receiver}), chunk)
        }
        Packet::FileChnkInc { origin, sender, receiver, chunk } => {
            with_chunk(json!({"origin": origin.0, "sender": sender, "receiver": receiver}), chunk)
        }
        Packet::PckFwd { destination, content } => {
            json!({"destination": destination.0, "content": described(&Packet::decode(content).unwrap())})
        }
        Packet::MrgReq { server, siblings } | Packet::MrgRsp { server, siblings } => {
            json!({"server": server.0, "siblings": servers(siblings)})
        }
        Packet::MrgDecl { reason } => json!({"reason": *reason as u8}),
        Packet::Error { sender, reason } => json!({"sender": sender, "reason": *reason as u8}),
        Packet::Relay { header, content } => json!({
            "destination": header.destination.0, "origin": header.origin.0, "incarnation": header.incarnation,
            "number": header.number, "content": described(&Packet::decode(content).unwrap()),
        }),
        Packet::Links { server, incarnation, version, neighbours } => {
            let each = |(server, stamp): (ServerId, u32)| json!({"server": server.0, "stamp": stamp});
            json!({
                "server": server.server.0, "address": server.address.to_string(), "port": server.port,
                "incarnation": incarnation, "version": version,
                "neighbours": neighbours.iter().map(each).collect::<Value>(),
            })
        }
        Packet::Hold { server, is_held } => json!({"server": server.0, "is_held": u8::from(*is_held)}),
        Packet::Hello { stamp } => json!({"stamp": stamp}),
    };
    json!({"name": packet.code().name(), "fields": fields})
}

fn packets() -> Value {
    use {AuthResponse as Response, DeclineReason as Decline};
    let (full, mut last) = ([0xA5; CHUNK_BYTES], [0; CHUNK_BYTES]);
    last[..2].copy_from_slice(b"hi");
    let chunk = |chunks, content| FileChunk { transfer_id: 42, file_name: "hi.txt", chunks, content };
    let one = descriptions(&[(8, ADDRESS, 7778)]);
    let two = descriptions(&[(8, ADDRESS, 7778), (u32::MAX, Ipv4Addr::LOCALHOST, 65_535)]);
    let longest_nickname = "n".repeat(64);
    let public = Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" };
    let private = Packet::MsgPrvInc { origin: ID, sender: "ana", receiver: "bob", message: "psst" };
    let file = Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "bob", chunk: chunk(1, &last) };
    let error = Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver };
    let inner = [public, private, file, error].map(|packet| encoded(&packet));
    let forward = |content| Packet::PckFwd { destination: SIBLING, content };
    let merge = |bytes| Descriptions::new(bytes).unwrap();
    let vectors = [
        ("a guest logs in", Packet::AuthGst { nickname: "ana" }),
        ("the shortest nickname", Packet::AuthGst { nickname: "x" }),
        ("the longest nickname, 64 bytes", Packet::AuthGst { nickname: &longest_nickname }),
        ("a size counts bytes and not characters", Packet::AuthGst { nickname: "zoé" }),
        ("a registered user logs in", Packet::AuthUsr { nickname: "maria", password: "open sesame" }),
        ("the empty password", Packet::AuthUsr { nickname: "maria", password: "" }),
        ("accepted", Packet::AuthRsp { response: Response::Accepted }),
        ("the nickname belongs to a registered user", Packet::AuthRsp { response: Response::Registered }),
        ("wrong nickname or password", Packet::AuthRsp { response: Response::WrongPassword }),
        ("the nickname is in use", Packet::AuthRsp { response: Response::InUse }),
        ("a public message", Packet::MsgPbl { message: "hi" }),
        ("an empty message", Packet::MsgPbl { message: "" }),
        ("bytes of UTF-8, of one to four each", Packet::MsgPbl { message: "aé€😀" }),
        ("a private message", Packet::MsgPrv { destination: ID, receiver: "bob", message: "psst" }),
        ("the highest server ID", Packet::MsgPrv { destination: ServerId(u32::MAX), receiver: "bob", message: "x" }),
        ("a public message arrives", public),
        ("a private message arrives", private),
        ("a chunk in the middle", Packet::FileChnk { destination: ID, receiver: "bob", chunk: chunk(3, &full) }),
        ("the last chunk, padded", Packet::FileChnk { destination: ID, receiver: "bob", chunk: chunk(1, &last) }),
        ("a chunk arrives", file),
        ("a public message is forwarded", forward(&inner[0])),
        ("a private message is forwarded", forward(&inner[1])),
        ("a chunk is forwarded", forward(&inner[2])),
        ("an error is forwarded", forward(&inner[3])),
        ("a lone server asks", Packet::MrgReq { server: SIBLING, siblings: Descriptions::default() }),
        ("a server that describes itself asks", Packet::MrgReq { server: SIBLING, siblings: merge(&one) }),
        ("a lone server answers", Packet::MrgRsp { server: ID, siblings: Descriptions::default() }),
        ("a server with two siblings answers", Packet::MrgRsp { server: ID, siblings: merge(&two) }),
        ("declined: merged already", Packet::MrgDecl { reason: Decline::AlreadyMerged }),
        ("declined: too many servers", Packet::MrgDecl { reason: Decline::ServerLimit }),
        ("declined: one ID for two servers", Packet::MrgDecl { reason: Decline::IdConflict }),
        ("no such server", Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer }),
        ("no such receiver", error),
    ];
    let each = |about: &str, packet: &Packet<'_>, is_routed: bool| {
        let by = match packet.code() {
            Code::AuthGst | Code::AuthUsr | Code::MsgPbl | Code::MsgPrv | Code::FileChnk => "client",
            Code::AuthRsp | Code::MsgPblInc | Code::MsgPrvInc | Code::FileChnkInc | Code::Error => "server to client",
            _ if is_routed => "routed server to routed server",
            _ => "server to server",
        };
        json!({"about": about, "from": by, "packet": described(packet), "bytes": hex(&encoded(packet))})
    };
    let mut all: Vec<Value> = vectors.iter().map(|(about, packet)| each(about, packet, false)).collect();
    crate::routed::packets(&mut |about, packet| all.push(each(about, packet, true)));
    all.into()
}

/// The bytes of descriptions.
pub fn descriptions(servers: &[(u32, Ipv4Addr, u32)]) -> Vec<u8> {
    let each =
        |&(id, address, port): &(u32, Ipv4Addr, u32)| [id.to_be_bytes(), address.octets(), port.to_be_bytes()].concat();
    servers.iter().flat_map(each).collect()
}

/// The steps of a session.
#[derive(Default)]
pub struct Steps(pub Vec<Value>);

impl Steps {
    fn add(mut self, on: &str, what: &str, bytes: &[u8], names: &str) -> Steps {
        self.0.push(json!({"on": on, what: hex(bytes), "packets": names}));
        self
    }
    pub fn send(self, on: &str, packet: Packet<'_>) -> Steps {
        self.add(on, "send", &encoded(&packet), packet.code().name())
    }
    pub fn receive(self, on: &str, packet: Packet<'_>) -> Steps {
        self.add(on, "receive", &encoded(&packet), packet.code().name())
    }
    /// All must be so but the bytes from here up to there.
    pub fn receive_but(mut self, on: &str, packet: Packet<'_>, unknown: &[(usize, usize)]) -> Steps {
        let bytes = crate::routed::hex_but(&encoded(&packet), unknown);
        self.0.push(json!({"on": on, "receive": bytes, "packets": packet.code().name()}));
        self
    }
    fn bytes(self, on: &str, bytes: &[u8], names: &str) -> Steps {
        self.add(on, "send", bytes, names)
    }
    pub fn mark(mut self, on: &str, what: &str) -> Steps {
        self.0.push(json!({"on": on, what: true}));
        self
    }
    pub fn guest(self, nickname: &str) -> Steps {
        self.send(nickname, Packet::AuthGst { nickname })
            .receive(nickname, Packet::AuthRsp { response: AuthResponse::Accepted })
    }
    pub fn tells(self, on: &str, destination: u32, receiver: &str, message: &str) -> Steps {
        self.send(on, Packet::MsgPrv { destination: ServerId(destination), receiver, message })
    }
    pub fn hears(self, on: &str, sender: &str, message: &str) -> Steps {
        self.receive(on, Packet::MsgPblInc { origin: ID, sender, message })
    }
    fn gets(self, on: &str, sender: &str, message: &str) -> Steps {
        self.gets_from(on, ID.0, sender, message)
    }
    pub fn gets_from(self, on: &str, origin: u32, sender: &str, message: &str) -> Steps {
        self.receive(on, Packet::MsgPrvInc { origin: ServerId(origin), sender, receiver: on, message })
    }
    fn forwards(self, on: &str, content: Packet<'_>) -> Steps {
        self.send(on, Packet::PckFwd { destination: ID, content: &encoded(&content) })
    }
    fn takes_forward(self, on: &str, to: ServerId, content: Packet<'_>) -> Steps {
        self.receive(on, Packet::PckFwd { destination: to, content: &encoded(&content) })
    }
    fn link(self, on: &str, server: ServerId) -> Steps {
        self.send(on, Packet::MrgReq { server, siblings: Descriptions::default() })
            .receive(on, Packet::MrgRsp { server: ID, siblings: Descriptions::default() })
    }
}

/// How a connection comes into each state, and what tells that it still works.
fn states() -> Value {
    let question = Packet::MsgPrvInc { origin: SIBLING, sender: "eve", receiver: "nobody", message: "?" };
    let answer = Packet::Error { sender: "eve", reason: ErrorReason::UnknownReceiver };
    let state =
        |needs: &[&str], before: Steps, probe: Steps| json!({"needs": needs, "before": before.0, "probe": probe.0});
    let accepted = Packet::AuthRsp { response: AuthResponse::Accepted };
    let guest = Packet::AuthGst { nickname: "it" };
    json!({
        "newcomer": state(&[], Steps::default(), Steps::default().send("it", guest).receive("it", accepted)),
        "client": state(
            &[],
            Steps::default().guest("it"),
            Steps::default().tells("it", 7, "it", "still here").gets("it", "it", "still here"),
        ),
        "link": state(
            &[MERGING, DENSE],
            Steps::default().link("it", SIBLING),
            Steps::default().forwards("it", question).takes_forward("it", SIBLING, answer),
        ),
    })
}

fn sessions() -> Value {
    let mut last = [0; CHUNK_BYTES];
    last[..2].copy_from_slice(b"hi");
    let file = |content| FileChunk { transfer_id: 7, file_name: "two.bin", chunks: 2, content };
    let full = [0x5A; CHUNK_BYTES];
    let refused = |response| Packet::AuthRsp { response };
    let unknown = |sender, reason| Packet::Error { sender, reason };
    let nine = ServerId(9);
    let from_nine = Packet::MsgPblInc { origin: nine, sender: "eve", message: "hi from 9" };
    let to_nine = Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" };
    let private_to_nine = Packet::MsgPrvInc { origin: ID, sender: "ana", receiver: "eve", message: "psst" };
    let too_many: Vec<_> = (20..30).map(|id| (id, ADDRESS, 7000 + id)).collect();
    let cut = encoded(&Packet::AuthGst { nickname: "ana" });
    let both = [encoded(&Packet::AuthGst { nickname: "bob" }), encoded(&Packet::MsgPbl { message: "hi" })].concat();
    let sessions = [
        (
            "two guests talk",
            vec![],
            Steps::default()
                .guest("ana")
                .send("bob", Packet::AuthGst { nickname: "ana" })
                .receive("bob", refused(AuthResponse::InUse))
                .guest("bob")
                .send("ana", Packet::MsgPbl { message: "hi" })
                .hears("ana", "ana", "hi")
                .hears("bob", "ana", "hi")
                .tells("bob", 7, "ana", "psst")
                .gets("ana", "bob", "psst"),
        ),
        (
            "a registered user logs in",
            vec!["registered user maria, password: open sesame"],
            Steps::default()
                .send("maria", Packet::AuthGst { nickname: "maria" })
                .receive("maria", refused(AuthResponse::Registered))
                .send("maria", Packet::AuthUsr { nickname: "maria", password: "wrong" })
                .receive("maria", refused(AuthResponse::WrongPassword))
                .send("maria", Packet::AuthUsr { nickname: "nobody", password: "open sesame" })
                .receive("maria", refused(AuthResponse::WrongPassword))
                .send("maria", Packet::AuthUsr { nickname: "maria", password: "open sesame" })
                .receive("maria", refused(AuthResponse::Accepted))
                .send("again", Packet::AuthUsr { nickname: "maria", password: "open sesame" })
                .receive("again", refused(AuthResponse::InUse)),
        ),
        (
            "what cannot be delivered is answered",
            vec![],
            Steps::default()
                .guest("ana")
                .tells("ana", 7, "nobody", "x")
                .receive("ana", unknown("ana", ErrorReason::UnknownReceiver))
                .tells("ana", 4_000_000_000, "bob", "x")
                .receive("ana", unknown("ana", ErrorReason::UnknownServer)),
        ),
        (
            "a file of two chunks",
            vec![],
            Steps::default()
                .guest("ana")
                .guest("bob")
                .send("ana", Packet::FileChnk { destination: ID, receiver: "bob", chunk: file(&full) })
                .send("ana", Packet::FileChnk { destination: ID, receiver: "bob", chunk: file(&last) })
                .receive("bob", Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "bob", chunk: file(&full) })
                .receive("bob", Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "bob", chunk: file(&last) }),
        ),
        (
            "a packet in pieces, two packets in one, and a half-close",
            vec![],
            Steps::default()
                .bytes("ana", &cut[..3], "AUTHGST, its first 3 bytes")
                .bytes("ana", &cut[3..6], "AUTHGST, 3 bytes more")
                .bytes("ana", &cut[6..], "AUTHGST, the rest")
                .receive("ana", refused(AuthResponse::Accepted))
                .bytes("bob", &both, "AUTHGST, MSGPBL")
                .mark("bob", "shut")
                .receive("bob", refused(AuthResponse::Accepted))
                .hears("bob", "bob", "hi")
                .mark("bob", "end")
                .hears("ana", "bob", "hi"),
        ),
        (
            "two servers merge and their clients talk",
            vec![MERGING, DENSE],
            Steps::default()
                .guest("ana")
                .link("9", nine)
                .send("ana", Packet::MsgPbl { message: "hi" })
                .hears("ana", "ana", "hi")
                .takes_forward("9", nine, to_nine)
                .forwards("9", from_nine)
                .receive("ana", from_nine)
                .tells("ana", 9, "eve", "psst")
                .takes_forward("9", nine, private_to_nine)
                .forwards("9", unknown("ana", ErrorReason::UnknownReceiver))
                .receive("ana", unknown("ana", ErrorReason::UnknownReceiver))
                .send("again", Packet::MrgReq { server: nine, siblings: Descriptions::default() })
                .receive("again", Packet::MrgDecl { reason: DeclineReason::AlreadyMerged })
                .mark("again", "end"),
        ),
        (
            "a merge that would make eleven servers is declined",
            vec![MERGING, DENSE],
            Steps::default()
                .send(
                    "9",
                    Packet::MrgReq { server: nine, siblings: Descriptions::new(&descriptions(&too_many)).unwrap() },
                )
                .receive("9", Packet::MrgDecl { reason: DeclineReason::ServerLimit })
                .mark("9", "end"),
        ),
        (
            "a merge under the server's own ID is declined",
            vec![MERGING, DENSE],
            Steps::default()
                .send("7", Packet::MrgReq { server: ID, siblings: Descriptions::default() })
                .receive("7", Packet::MrgDecl { reason: DeclineReason::IdConflict })
                .mark("7", "end"),
        ),
    ];
    let each =
        |(about, needs, steps): (&str, Vec<&str>, Steps)| json!({"about": about, "needs": needs, "steps": steps.0});
    sessions.into_iter().map(each).chain(crate::routed::sessions()).collect()
}
