//! From packets to bytes.

use super::{Code, Description, FileChunk, Packet, RelayHeader, ServerId};

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
            Packet::Relay { header, content } => {
                // The code is there already.
                out.extend_from_slice(relay_header(&header).split_first().map_or(&[], |(_, fields)| fields));
                out.extend_from_slice(content);
            }
            Packet::Links { server, incarnation, version, neighbours } => {
                description(out, &server);
                number(out, incarnation);
                number(out, version);
                number(out, neighbours.len() as u32);
                out.extend_from_slice(neighbours.as_bytes());
            }
            Packet::Hold { server, is_held } => {
                number(out, server.0);
                out.push(u8::from(is_held));
            }
            Packet::Hello { stamp } => number(out, stamp),
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

/// What stands before a packet on its way to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// A PCKFWD: to a client of this server, which is linked with us.
    Forward(ServerId),
    /// A RELAY: through a routed network.
    Relay(RelayHeader),
}

impl Envelope {
    /// Appends its bytes to `out`; the packet's own come behind.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Envelope::Forward(destination) => out.extend_from_slice(&forward_header(*destination)),
            Envelope::Relay(header) => out.extend_from_slice(&relay_header(header)),
        }
    }

    /// The code that is sent.
    pub fn code(&self) -> Code {
        match self {
            Envelope::Forward(_) => Code::PckFwd,
            Envelope::Relay(_) => Code::Relay,
        }
    }

    /// Writes another destination into a packet in an envelope: it stands behind the code, in either.
    pub fn set_destination(packet: &mut [u8], destination: ServerId) {
        if let Some(place) = packet.get_mut(1..5) {
            place.copy_from_slice(&destination.0.to_be_bytes());
        }
    }
}

/// Bytes of a RELAY before its content.
pub const RELAY_HEADER_BYTES: usize = 17;

/// What stands before a packet that is forwarded to a client of `destination`: a PCKFWD up to its content.
pub fn forward_header(destination: ServerId) -> [u8; 5] {
    let [a, b, c, d] = destination.0.to_be_bytes();
    [Code::PckFwd.byte(), a, b, c, d]
}

/// What stands before a packet on its way through a routed network: a RELAY up to its content. The destination stands
/// where a PCKFWD has it.
pub fn relay_header(header: &RelayHeader) -> [u8; RELAY_HEADER_BYTES] {
    let fields = [header.destination.0, header.origin.0, header.incarnation, header.number];
    let fields = fields.into_iter().fold(0, |all, field| all << 32 | u128::from(field));
    let mut bytes = [Code::Relay.byte(); RELAY_HEADER_BYTES];
    let [_, rest @ ..] = &mut bytes;
    *rest = fields.to_be_bytes();
    bytes
}

/// Appends a server's description, as it stands in packets.
fn description(out: &mut Vec<u8>, description: &Description) {
    number(out, description.server.0);
    out.extend_from_slice(&description.address.octets());
    number(out, description.port);
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
