//! The packets, as the handlers see them.

use std::net::Ipv4Addr;

use super::Code;
use crate::limits::CHUNK_BYTES;

/// The number that names a server on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub u32);

impl std::fmt::Display for ServerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Answer to a login (RFC section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AuthResponse {
    /// Logged in.
    Accepted = 0,
    /// A guest asked for the nickname of a registered user.
    Registered = 1,
    /// Wrong combination of nickname and password.
    WrongPassword = 2,
    /// The nickname is in use on this server.
    InUse = 3,
}

/// Why a merge was declined (RFC section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DeclineReason {
    /// The two servers have a link already.
    AlreadyMerged = 0,
    /// There would be more than ten servers.
    ServerLimit = 1,
    /// One server ID would stand for two servers.
    IdConflict = 2,
}

/// Why a private message or file chunk was not delivered (RFC section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorReason {
    /// The destination server is unknown or not connected.
    UnknownServer = 0,
    /// The receiver is unknown or not connected.
    UnknownReceiver = 1,
}

/// One packet; texts and contents are borrowed from the bytes it was read from.
///
/// Field names are those of `docs/protocol.md`, which has the layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the layouts in docs/protocol.md")]
pub enum Packet<'a> {
    AuthGst {
        nickname: &'a str,
    },
    AuthUsr {
        nickname: &'a str,
        password: &'a str,
    },
    AuthRsp {
        response: AuthResponse,
    },
    MsgPbl {
        message: &'a str,
    },
    MsgPrv {
        destination: ServerId,
        receiver: &'a str,
        message: &'a str,
    },
    MsgPblInc {
        origin: ServerId,
        sender: &'a str,
        message: &'a str,
    },
    MsgPrvInc {
        origin: ServerId,
        sender: &'a str,
        receiver: &'a str,
        message: &'a str,
    },
    FileChnk {
        destination: ServerId,
        receiver: &'a str,
        chunk: FileChunk<'a>,
    },
    FileChnkInc {
        origin: ServerId,
        sender: &'a str,
        receiver: &'a str,
        chunk: FileChunk<'a>,
    },
    /// `content` is one whole packet with its own code, not yet decoded.
    PckFwd {
        destination: ServerId,
        content: &'a [u8],
    },
    /// On routed links only, as the next three. `content` is one whole packet with its own code, not yet decoded.
    Relay {
        header: RelayHeader,
        content: &'a [u8],
    },
    Links {
        server: Description,
        incarnation: u32,
        version: u32,
        neighbours: Neighbours<'a>,
    },
    Hold {
        server: ServerId,
        is_held: bool,
    },
    Hello {
        stamp: u32,
    },
    MrgReq {
        server: ServerId,
        siblings: Descriptions<'a>,
    },
    MrgRsp {
        server: ServerId,
        siblings: Descriptions<'a>,
    },
    MrgDecl {
        reason: DeclineReason,
    },
    Error {
        sender: &'a str,
        reason: ErrorReason,
    },
}

/// What FILECHNK and FILECHNKINC have in common (D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileChunk<'a> {
    /// Tells transfers of one sender apart.
    pub transfer_id: u32,
    /// 1 to 255 bytes; a receiving client must treat it as hostile.
    pub file_name: &'a str,
    /// Chunks of the whole transfer, at least 1.
    pub chunks: u32,
    /// One chunk, padded with zero bytes if the file ends in it.
    pub content: &'a [u8; CHUNK_BYTES],
}

/// A server as merge packets describe it: 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The server.
    pub server: ServerId,
    /// The port at which it listens; more than 16 bits in the packet, so it may be none.
    ///
    /// It stands before the address here, unlike in the packet. LLVM 22 reads an address and 32 bits of port behind it as
    /// one number, and then takes 0.0.0.0:0 for the socket address that is made of both.
    pub port: u32,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
}

/// The descriptions of a merge packet, decoded as they are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptions<'a>(&'a [u8]);

impl<'a> Descriptions<'a> {
    /// Bytes of one description.
    pub const ENTRY_BYTES: usize = 12;

    /// The descriptions in `bytes`, which must be whole ones.
    pub fn new(bytes: &'a [u8]) -> Option<Descriptions<'a>> {
        bytes.len().is_multiple_of(Self::ENTRY_BYTES).then_some(Descriptions(bytes))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / Self::ENTRY_BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their bytes, as they stand in the packet.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Description> + use<'a> {
        self.0.as_chunks::<12>().0.iter().map(|&[a, b, c, d, e, f, g, h, i, j, k, l]| Description {
            server: ServerId(u32::from_be_bytes([a, b, c, d])),
            port: u32::from_be_bytes([i, j, k, l]),
            address: Ipv4Addr::new(e, f, g, h),
        })
    }
}

/// What stands before a packet on its way through a routed network (D32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayHeader {
    /// The server that it is for. A public message is for the neighbour that gets it.
    pub destination: ServerId,
    /// The server that sent it.
    pub origin: ServerId,
    /// The origin's time of start in seconds since 1970, as far as clocks go (D39).
    pub incarnation: u32,
    /// Counts what the origin has sent in this incarnation.
    pub number: u32,
}

/// A server's links, as LINKS lists them: the server at the other end and the stamp. Decoded as they are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Neighbours<'a>(&'a [u8]);

impl<'a> Neighbours<'a> {
    /// Bytes of one entry.
    pub const ENTRY_BYTES: usize = 8;

    /// The entries in `bytes`, which must be whole ones.
    pub fn new(bytes: &'a [u8]) -> Option<Neighbours<'a>> {
        bytes.len().is_multiple_of(Self::ENTRY_BYTES).then_some(Neighbours(bytes))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len() / Self::ENTRY_BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their bytes, as they stand in the packet.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = (ServerId, u32)> + use<'a> {
        let entries = self.0.as_chunks::<8>().0.iter();
        entries.map(|&[a, b, c, d, e, f, g, h]| {
            (ServerId(u32::from_be_bytes([a, b, c, d])), u32::from_be_bytes([e, f, g, h]))
        })
    }
}

/// A packet whose frame is sound and whose content is not: an ignored packet (D1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A text that is not UTF-8.
    NotUtf8,
    /// A number or an empty text that the layout does not allow.
    Value,
    /// Bytes that are not one whole packet. Framing never hands out such bytes.
    Frame,
}

impl<'a> Packet<'a> {
    /// Reads one whole packet. `bytes` is what [`scan`](super::scan) has framed: exactly one packet.
    pub fn decode(bytes: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let mut fields = Fields(bytes);
        let code = Code::from_byte(fields.u8()?).ok_or(Malformed::Frame)?;
        let packet = match code {
            Code::AuthGst => Packet::AuthGst { nickname: fields.text()? },
            Code::AuthUsr => Packet::AuthUsr { nickname: fields.text()?, password: fields.text()? },
            Code::AuthRsp => Packet::AuthRsp {
                response: match fields.u8()? {
                    0 => AuthResponse::Accepted,
                    1 => AuthResponse::Registered,
                    2 => AuthResponse::WrongPassword,
                    3 => AuthResponse::InUse,
                    _ => return Err(Malformed::Value),
                },
            },
            Code::MsgPbl => Packet::MsgPbl { message: fields.text()? },
            Code::MsgPrv => {
                Packet::MsgPrv { destination: fields.server()?, receiver: fields.text()?, message: fields.text()? }
            }
            Code::MsgPblInc => {
                Packet::MsgPblInc { origin: fields.server()?, sender: fields.text()?, message: fields.text()? }
            }
            Code::MsgPrvInc => Packet::MsgPrvInc {
                origin: fields.server()?,
                sender: fields.text()?,
                receiver: fields.text()?,
                message: fields.text()?,
            },
            Code::FileChnk => {
                Packet::FileChnk { destination: fields.server()?, receiver: fields.text()?, chunk: fields.chunk()? }
            }
            Code::FileChnkInc => Packet::FileChnkInc {
                origin: fields.server()?,
                sender: fields.text()?,
                receiver: fields.text()?,
                chunk: fields.chunk()?,
            },
            Code::PckFwd => Packet::PckFwd { destination: fields.server()?, content: fields.rest() },
            Code::Relay => Packet::Relay {
                header: RelayHeader {
                    destination: fields.server()?,
                    origin: fields.server()?,
                    incarnation: fields.u32()?,
                    number: fields.u32()?,
                },
                content: fields.rest(),
            },
            Code::Links => Packet::Links {
                server: fields.description()?,
                incarnation: fields.u32()?,
                version: fields.u32()?,
                neighbours: fields.neighbours()?,
            },
            Code::Hold => Packet::Hold {
                server: fields.server()?,
                is_held: match fields.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Malformed::Value),
                },
            },
            Code::Hello => Packet::Hello { stamp: fields.u32()? },
            Code::MrgReq => Packet::MrgReq { server: fields.server()?, siblings: fields.descriptions()? },
            Code::MrgRsp => Packet::MrgRsp { server: fields.server()?, siblings: fields.descriptions()? },
            Code::MrgDecl => Packet::MrgDecl {
                reason: match fields.u8()? {
                    0 => DeclineReason::AlreadyMerged,
                    1 => DeclineReason::ServerLimit,
                    2 => DeclineReason::IdConflict,
                    _ => return Err(Malformed::Value),
                },
            },
            Code::Error => Packet::Error {
                sender: fields.text()?,
                reason: match fields.u8()? {
                    0 => ErrorReason::UnknownServer,
                    1 => ErrorReason::UnknownReceiver,
                    _ => return Err(Malformed::Value),
                },
            },
        };
        if fields.0.is_empty() { Ok(packet) } else { Err(Malformed::Frame) }
    }

    /// The code it is sent under.
    pub fn code(&self) -> Code {
        match self {
            Packet::AuthGst { .. } => Code::AuthGst,
            Packet::AuthUsr { .. } => Code::AuthUsr,
            Packet::AuthRsp { .. } => Code::AuthRsp,
            Packet::MsgPbl { .. } => Code::MsgPbl,
            Packet::MsgPrv { .. } => Code::MsgPrv,
            Packet::MsgPblInc { .. } => Code::MsgPblInc,
            Packet::MsgPrvInc { .. } => Code::MsgPrvInc,
            Packet::FileChnk { .. } => Code::FileChnk,
            Packet::FileChnkInc { .. } => Code::FileChnkInc,
            Packet::PckFwd { .. } => Code::PckFwd,
            Packet::Relay { .. } => Code::Relay,
            Packet::Links { .. } => Code::Links,
            Packet::Hold { .. } => Code::Hold,
            Packet::Hello { .. } => Code::Hello,
            Packet::MrgReq { .. } => Code::MrgReq,
            Packet::MrgRsp { .. } => Code::MrgRsp,
            Packet::MrgDecl { .. } => Code::MrgDecl,
            Packet::Error { .. } => Code::Error,
        }
    }
}

/// The rest of a packet's bytes while its fields are read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Frame)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Frame)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|&[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn server(&mut self) -> Result<ServerId, Malformed> {
        self.u32().map(ServerId)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed::NotUtf8)
    }

    fn chunk(&mut self) -> Result<FileChunk<'a>, Malformed> {
        let chunk = FileChunk {
            transfer_id: self.u32()?,
            file_name: self.text()?,
            chunks: self.u32()?,
            content: self.array()?,
        };
        if chunk.file_name.is_empty() || chunk.chunks == 0 { Err(Malformed::Value) } else { Ok(chunk) }
    }

    fn descriptions(&mut self) -> Result<Descriptions<'a>, Malformed> {
        let count = self.u32()? as usize;
        let bytes = count.checked_mul(Descriptions::ENTRY_BYTES).ok_or(Malformed::Frame)?;
        self.take(bytes).map(Descriptions)
    }

    fn description(&mut self) -> Result<Description, Malformed> {
        let descriptions = Descriptions(self.take(Descriptions::ENTRY_BYTES)?);
        descriptions.iter().next().ok_or(Malformed::Frame)
    }

    fn neighbours(&mut self) -> Result<Neighbours<'a>, Malformed> {
        let count = self.u32()? as usize;
        let bytes = count.checked_mul(Neighbours::ENTRY_BYTES).ok_or(Malformed::Frame)?;
        self.take(bytes).map(Neighbours)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
