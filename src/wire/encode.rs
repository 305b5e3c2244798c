//! From packets to bytes.

use super::{Code, FileChunk, Packet, ServerId};

impl Packet<'_> {
    /// Appends the packet's bytes to `out`.
    ///
    /// Texts are written with a `u32` count; none that a caller of ours has comes near 4 GiB, since framing caps them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code().byte());
        match *self {
            Packet::AuthGst { nickname } => text(out, nickname),
            Packet::AuthUsr { nickname, password } => {
                text(out, nickname);
                text(out, password);
            }
            Packet::AuthRsp { response } => out.push(response as u8),
            Packet::MsgPbl { message } => text(out, message),
            Packet::MsgPrv { destination, receiver, message } => {
                number(out, destination.0);
                text(out, receiver);
                text(out, message);
            }
            Packet::MsgPblInc { origin, sender, message } => {
                number(out, origin.0);
                text(out, sender);
                text(out, message);
            }
            Packet::MsgPrvInc { origin, sender, receiver, message } => {
                number(out, origin.0);
                text(out, sender);
                text(out, receiver);
                text(out, message);
            }
            Packet::FileChnk { destination, receiver, chunk } => {
                number(out, destination.0);
                text(out, receiver);
                file_chunk(out, &chunk);
            }
            Packet::FileChnkInc { origin, sender, receiver, chunk } => {
                number(out, origin.0);
                text(out, sender);
                text(out, receiver);
                file_chunk(out, &chunk);
            }
            Packet::PckFwd { destination, content } => {
                number(out, destination.0);
                out.extend_from_slice(content);
            }
            Packet::MrgReq { server, siblings } | Packet::MrgRsp { server, siblings } => {
                number(out, server.0);
                number(out, siblings.len() as u32);
                out.extend_from_slice(siblings.as_bytes());
            }
            Packet::MrgDecl { reason } => out.push(reason as u8),
            Packet::Error { sender, reason } => {
                text(out, sender);
                out.push(reason as u8);
            }
        }
    }
}

/// What stands before a packet that is forwarded to a client of `destination`: a PCKFWD up to its content.
pub fn forward_header(destination: ServerId) -> [u8; 5] {
    let [a, b, c, d] = destination.0.to_be_bytes();
    [Code::PckFwd.byte(), a, b, c, d]
}

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}

fn file_chunk(out: &mut Vec<u8>, chunk: &FileChunk<'_>) {
    number(out, chunk.transfer_id);
    text(out, chunk.file_name);
    number(out, chunk.chunks);
    out.extend_from_slice(chunk.content);
}
