//! What is to be ignored, and in which state of a connection.

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{AuthResponse, Code, DeclineReason, Descriptions, ErrorReason, FileChunk, Packet, ServerId};
use serde_json::{Value, json};

use crate::support::ID;
use crate::support::client::encoded;
use crate::written::{SIBLING, hex};

/// Bytes of a text of this count: the count, then `x` as often.
fn text(count: u32) -> Vec<u8> {
    [&count.to_be_bytes()[..], &vec![b'x'; count as usize]].concat()
}

/// Every row.
pub fn all() -> Value {
    let (mut rows, content) = (Vec::new(), [0; CHUNK_BYTES]);
    let mut row = |state: &str, decision: &str, why: &str, bytes: Vec<u8>| {
        rows.push(json!({"state": state, "decision": decision, "why": why, "bytes": hex(&bytes)}));
    };
    let raw = |code: Code, fields: &[&[u8]]| [&[code.byte()][..], &fields.concat()].concat();
    let chunk = |file_name, chunks| FileChunk { transfer_id: 1, file_name, chunks, content: &content };
    let file = |file_name, chunks| {
        encoded(&Packet::FileChnk { destination: ID, receiver: "it", chunk: chunk(file_name, chunks) })
    };
    let public = |origin, sender| encoded(&Packet::MsgPblInc { origin, sender, message: "hi" });
    let forward = |destination, content: &[u8]| encoded(&Packet::PckFwd { destination, content });
    let not_utf8 = [0, 0, 0, 2, 0xC3, 0x28];
    let id = ID.0.to_be_bytes();
    let guest = encoded(&Packet::AuthGst { nickname: "eve" });
    let message = encoded(&Packet::MsgPbl { message: "hi" });
    let private = encoded(&Packet::MsgPrv { destination: ID, receiver: "it", message: "hi" });
    let error = encoded(&Packet::Error { sender: "it", reason: ErrorReason::UnknownServer });
    let alone = Descriptions::default();
    let asked = encoded(&Packet::MrgReq { server: SIBLING, siblings: alone });
    let answered = encoded(&Packet::MrgRsp { server: SIBLING, siblings: alone });
    let declined = encoded(&Packet::MrgDecl { reason: DeclineReason::ServerLimit });
    let accepted = encoded(&Packet::AuthRsp { response: AuthResponse::Accepted });

    let new = "newcomer";
    row(new, "D2", "an unknown code is one byte", vec![0x77]);
    row(new, "D2", "three unknown codes", vec![0x02, 0x11, 0xFF]);
    row(new, "D24", "the codes of routed links are unknown elsewhere", vec![0x51, 0x52, 0x53, 0x54]);
    row(new, "D7", "an empty nickname", raw(Code::AuthGst, &[&text(0)]));
    row(new, "D7", "a nickname of 65 bytes", raw(Code::AuthGst, &[&text(65)]));
    row(new, "D7", "a nickname with a control character", encoded(&Packet::AuthGst { nickname: "a\nb" }));
    row(new, "D7", "a nickname that begins with a blank", encoded(&Packet::AuthGst { nickname: " eve" }));
    row(new, "D7", "a nickname that ends with a blank", encoded(&Packet::AuthGst { nickname: "eve\u{a0}" }));
    row(new, "D1", "a nickname that is not UTF-8", raw(Code::AuthGst, &[&not_utf8]));
    row(new, "D7", "a registered login with a nickname of 65 bytes", raw(Code::AuthUsr, &[&text(65), &text(1)]));
    row(new, "D1", "a password that is not UTF-8", raw(Code::AuthUsr, &[&text(3), &not_utf8]));
    row(new, "D1", "a public message before the login", message.clone());
    row(new, "D1", "a private message before the login", private.clone());
    row(new, "D1", "a file chunk before the login", file("f", 1));
    row(new, "D1", "an answer to a login, which only a server sends", accepted.clone());
    row(new, "D1", "a public message as only a server sends it", public(ID, "eve"));
    row(new, "D1", "an error, which only a server sends", error.clone());
    row(new, "D1", "an answer to a merge that nobody asked for", answered.clone());
    row(new, "D1", "a decline of a merge that nobody asked for", declined);
    row(new, "D5", "a forwarded packet is skipped with its content", forward(ID, &public(SIBLING, "eve")));
    let mut synonym = forward(ID, &public(SIBLING, "eve"));
    synonym[0] = 0x32;
    row(new, "D4", "the same under the RFC's other code", synonym);
    row(new, "D5", "a forwarded packet in a forwarded packet", forward(ID, &forward(ID, &public(SIBLING, "eve"))));

    let client = "client";
    row(client, "D8", "a second login", guest.clone());
    row(client, "D8", "a merge request from a client", asked);
    row(client, "D2", "an unknown code is one byte", vec![0x77]);
    row(client, "D24", "the codes of routed links are unknown elsewhere", vec![0x51, 0x52, 0x53, 0x54]);
    row(client, "D1", "a public message that is not UTF-8", raw(Code::MsgPbl, &[&not_utf8]));
    row(client, "D1", "a private message that is not UTF-8", raw(Code::MsgPrv, &[&id, &text(1), &not_utf8]));
    row(client, "D1", "a receiver that is not UTF-8", raw(Code::MsgPrv, &[&id, &not_utf8, &text(1)]));
    row(client, "D7", "a receiver of 65 bytes", raw(Code::MsgPrv, &[&id, &text(65), &text(1)]));
    row(client, "D11", "a transfer of no chunks", file("f", 0));
    row(client, "D11", "a file without a name", file("", 1));
    row(client, "D11", "a file name of 256 bytes", file(&"n".repeat(256), 1));
    row(client, "D1", "a public message as only a server sends it", public(ID, "it"));
    row(client, "D1", "an answer to a login, which only a server sends", accepted);
    row(client, "D1", "an error, which only a server sends", error.clone());
    row(client, "D19", "a forwarded packet, which only a server sends", forward(ID, &public(SIBLING, "eve")));
    row(client, "D1", "an answer to a merge that nobody asked for", answered);

    let link = "link";
    row(link, "D19", "a forwarded packet for another server", forward(ServerId(9), &public(SIBLING, "eve")));
    row(link, "D19", "a forwarded packet of another server", forward(ID, &public(ServerId(9), "eve")));
    row(link, "D5", "a forwarded packet in a forwarded packet", forward(ID, &forward(ID, &public(SIBLING, "eve"))));
    row(link, "D5", "a forwarded login", forward(ID, &guest));
    row(link, "D5", "a forwarded message as only a client sends it", forward(ID, &message));
    row(link, "D8", "a login on a link", guest);
    row(link, "D19", "a client's public message on a link", message);
    row(link, "D19", "a client's private message on a link", private);
    row(link, "D19", "a message that is not in a forwarded packet", public(SIBLING, "eve"));
    row(link, "D19", "an error that is not in a forwarded packet", error);
    row(link, "D1", "a forwarded message that is not UTF-8", {
        forward(ID, &raw(Code::MsgPblInc, &[&SIBLING.0.to_be_bytes(), &text(3), &not_utf8]))
    });
    Value::Array(rows)
}
