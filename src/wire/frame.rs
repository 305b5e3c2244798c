//! Framing: where one packet ends and the next begins.
//!
//! A packet has no overall length. Its layout has to be walked field by field, since each text brings its own count:
//!
//! ```text
//!  21 | 00000007 | 00000003 | a n a | 00000002 | h i |      MSGPRV
//!  code  fixed 4     count    text      count    text
//! ```
//!
//! [`scan`] walks the bytes that are there. Walking costs a few steps whatever the packet's size, so a packet that
//! comes in pieces is walked again from its start. Only its bytes are kept, and only up to the limit of each field. A
//! packet with an over-long field is not kept: a [`Skip`] of a few bytes remembers its place in the layout (D1).

use super::{Code, Descriptions, Neighbours};
use crate::limits;

/// The limits that framing enforces and that a configuration may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest message text.
    pub message_max_bytes: usize,
    /// Most descriptions of servers in a merge packet.
    pub descriptions_max: usize,
    /// Whether the codes of routed links have a layout (D24). Else they are unknown.
    pub has_routed_codes: bool,
}

impl Default for FrameLimits {
    fn default() -> Self {
        FrameLimits::DEFAULT
    }
}

impl FrameLimits {
    /// Those of a server without options.
    pub const DEFAULT: FrameLimits = FrameLimits {
        message_max_bytes: limits::MESSAGE_MAX_BYTES,
        descriptions_max: limits::DESCRIPTIONS_MAX,
        has_routed_codes: false,
    };

    /// Size of the largest packet that framing hands out: a PCKFWD, or a RELAY, with a message or with a chunk. No
    /// incomplete packet holds more.
    pub fn packet_max_bytes(&self) -> usize {
        let names = 2 * (4 + limits::NICKNAME_MAX_BYTES);
        let chunk = 4 + limits::FILE_NAME_MAX_BYTES + 4 + limits::CHUNK_BYTES;
        let header = if self.has_routed_codes { 17 } else { 5 };
        header + 1 + 4 + names + 4 + self.message_max_bytes.max(chunk)
    }

    /// What the first byte of a packet stands for.
    fn code(&self, byte: u8) -> Option<Code> {
        Code::from_byte(byte).filter(|code| self.has_routed_codes || !code.is_routed())
    }
}

/// What stands at the front of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// A whole packet of `len` bytes, no field of it over its limit.
    Packet {
        /// Its size in bytes.
        len: usize,
    },
    /// The start of a packet; nothing can be said before there are `total` bytes of it.
    Incomplete {
        /// Bytes needed, counted from the packet's start. Always more than there are.
        total: usize,
    },
    /// A packet to ignore because of a field over its limit, or a PCKFWD as the content of another packet: its first
    /// `head` bytes end right after what told so, the rest is skipped as it comes.
    Overlong {
        /// The packet's code.
        code: Code,
        /// Bytes up to and with the count that is too large.
        head: usize,
        /// Skips the rest.
        skip: Skip,
    },
    /// An unknown code, at the front or as a content. No length follows such a code (D2).
    Unknown {
        /// Bytes up to and with that code.
        len: usize,
    },
}

/// A part of a layout.
#[derive(Clone, Copy)]
enum Field {
    Fixed(usize),
    Text(Limit),
    Descriptions,
    Neighbours,
    /// A whole packet with its own code.
    Content,
}

#[derive(Clone, Copy)]
enum Limit {
    Nickname,
    Password,
    Message,
    FileName,
}

impl Limit {
    fn bytes(self, limits: &FrameLimits) -> usize {
        match self {
            Limit::Nickname => limits::NICKNAME_MAX_BYTES,
            Limit::Password => limits::PASSWORD_MAX_BYTES,
            Limit::Message => limits.message_max_bytes,
            Limit::FileName => limits::FILE_NAME_MAX_BYTES,
        }
    }
}

/// The fields after the code.
fn layout(code: Code) -> &'static [Field] {
    use Field::{Content, Descriptions, Fixed, Neighbours, Text};
    use Limit::{FileName, Message, Nickname, Password};
    match code {
        Code::AuthGst => &[Text(Nickname)],
        Code::AuthUsr => &[Text(Nickname), Text(Password)],
        Code::AuthRsp | Code::MrgDecl => &[Fixed(1)],
        Code::MsgPbl => &[Text(Message)],
        Code::MsgPrv | Code::MsgPblInc => &[Fixed(4), Text(Nickname), Text(Message)],
        Code::MsgPrvInc => &[Fixed(4), Text(Nickname), Text(Nickname), Text(Message)],
        Code::FileChnk => &[Fixed(4), Text(Nickname), Fixed(4), Text(FileName), Fixed(4 + limits::CHUNK_BYTES)],
        Code::FileChnkInc => {
            &[Fixed(4), Text(Nickname), Text(Nickname), Fixed(4), Text(FileName), Fixed(4 + limits::CHUNK_BYTES)]
        }
        Code::PckFwd => &[Fixed(4), Content],
        Code::Relay => &[Fixed(4 + 4 + 4 + 4), Content],
        Code::Links => &[Fixed(super::Descriptions::ENTRY_BYTES + 4 + 4), Neighbours],
        Code::Hold => &[Fixed(4 + 1)],
        Code::Hello => &[Fixed(4)],
        Code::MrgReq | Code::MrgRsp => &[Fixed(4), Descriptions],
        Code::Error => &[Text(Nickname), Fixed(1)],
    }
}

/// Says what stands at the front of `bytes`, which begin with a packet's code.
pub fn scan(bytes: &[u8], limits: &FrameLimits) -> Scan {
    scan_noting(bytes, limits, &mut false)
}

/// As [`scan`]; also sets `is_whole_known` if a packet is incomplete and all its counts are there.
fn scan_noting(bytes: &[u8], limits: &FrameLimits, is_whole_known: &mut bool) -> Scan {
    let Some(&first) = bytes.first() else { return Scan::Incomplete { total: 1 } };
    let Some(code) = limits.code(first) else { return Scan::Unknown { len: 1 } };
    walk(code, code, 1, bytes, limits, is_whole_known)
}

/// A packet that did not come to its end: what a log line says of a stream that stops in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// The packet's code.
    pub code: Code,
    /// Bytes of it that came.
    pub have: usize,
    /// The packet's length in bytes, or, if a count has not come yet, its least length.
    pub total: usize,
    /// Whether `total` is all of it.
    pub is_total_known: bool,
}

impl CutOff {
    /// Looks at the bytes that are left at the end of a stream. `None` if they do not begin a packet that was cut off.
    pub fn of(bytes: &[u8], limits: &FrameLimits) -> Option<CutOff> {
        let code = limits.code(*bytes.first()?)?;
        let mut is_total_known = false;
        match scan_noting(bytes, limits, &mut is_total_known) {
            Scan::Incomplete { total } => Some(CutOff { code, have: bytes.len(), total, is_total_known }),
            _ => None,
        }
    }
}

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let article =
            if self.code.name().starts_with(['A', 'E']) || self.code.name().starts_with("MRG") { "an" } else { "a" };
        let at_least = if self.is_total_known { "" } else { "at least " };
        let (name, have, total) = (self.code.name(), self.have, self.total);
        write!(f, "stopped inside {article} {name} ({have} of {at_least}{total} bytes)")
    }
}

/// Walks the layout of `inner`, whose fields begin at `position`; `code` is that of the whole packet.
fn walk(
    code: Code,
    inner: Code,
    mut position: usize,
    bytes: &[u8],
    limits: &FrameLimits,
    is_whole_known: &mut bool,
) -> Scan {
    for (index, field) in layout(inner).iter().enumerate() {
        let (unit, limit) = match *field {
            Field::Fixed(size) => {
                position += size;
                continue;
            }
            Field::Text(limit) => (1, limit.bytes(limits)),
            Field::Descriptions => (Descriptions::ENTRY_BYTES, limits.descriptions_max),
            Field::Neighbours => (Neighbours::ENTRY_BYTES, limits::ROUTED_LINKS_MAX),
            Field::Content => return content(code, position, bytes, limits, is_whole_known),
        };
        let Some(&count) = bytes.get(position..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Scan::Incomplete { total: position + 4 };
        };
        position += 4;
        let count = u32::from_be_bytes(count);
        if count as usize > limit {
            let skip = Skip::after(inner, index + 1, u64::from(count) * unit as u64);
            return Scan::Overlong { code, head: position, skip };
        }
        position += count as usize * unit;
    }
    *is_whole_known = true;
    if position > bytes.len() { Scan::Incomplete { total: position } } else { Scan::Packet { len: position } }
}

/// The content of a PCKFWD or a RELAY, whose code stands at `position`.
fn content(code: Code, position: usize, bytes: &[u8], limits: &FrameLimits, is_whole_known: &mut bool) -> Scan {
    match bytes.get(position).copied().map(content_code) {
        None => Scan::Incomplete { total: position + 1 },
        Some(None) => Scan::Unknown { len: position + 1 },
        Some(Some(Code::PckFwd)) => Scan::Overlong { code, head: position + 1, skip: Skip::after(Code::PckFwd, 0, 0) },
        Some(Some(inner)) => walk(code, inner, position + 1, bytes, limits, is_whole_known),
    }
}

/// What the first byte of a content stands for: the codes of routed links stand at the front of a packet only.
fn content_code(byte: u8) -> Option<Code> {
    Code::from_byte(byte).filter(|code| !code.is_routed())
}

/// The stream's place in the layout of an ignored packet. Nothing of the packet is kept but a count that arrives in
/// pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// Bytes of the current field still to drop.
    remaining: u64,
    /// Bytes that the current field announced.
    announced: u64,
    count: [u8; 4],
    count_len: u8,
    /// Index of the next field in the code's layout.
    field: u8,
    code: Code,
}

/// How far skipping came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// All bytes were taken, and the packet goes on.
    More,
    /// The packet is over.
    Done,
    /// The packet has a content, and that has an unknown code: it is over, one byte behind that code (D2).
    Unknown,
}

impl Skip {
    fn after(code: Code, field: usize, remaining: u64) -> Skip {
        Skip { remaining, announced: remaining, count: [0; 4], count_len: 0, field: field as u8, code }
    }

    /// Length of the field that is being skipped, in bytes, as the packet announced it.
    pub fn announced_bytes(&self) -> u64 {
        self.announced
    }

    /// Drops what belongs to the packet from the front of `bytes`.
    pub fn advance(&mut self, bytes: &mut &[u8]) -> Skipped {
        loop {
            let dropped = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(bytes.len());
            self.remaining -= dropped as u64;
            *bytes = bytes.split_at(dropped).1;
            if self.remaining > 0 {
                return Skipped::More;
            }
            let Some(field) = layout(self.code).get(usize::from(self.field)) else { return Skipped::Done };
            if let Field::Fixed(size) = *field {
                self.remaining = size as u64;
                self.field += 1;
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Skipped::More };
            *bytes = rest;
            if let Field::Content = *field {
                let Some(inner) = content_code(byte) else { return Skipped::Unknown };
                (self.code, self.field) = (inner, 0);
                continue;
            }
            if let Some(place) = self.count.get_mut(usize::from(self.count_len)) {
                *place = byte;
            }
            self.count_len += 1;
            if self.count_len == 4 {
                let unit = match *field {
                    Field::Descriptions => Descriptions::ENTRY_BYTES as u64,
                    Field::Neighbours => Neighbours::ENTRY_BYTES as u64,
                    Field::Fixed(_) | Field::Text(_) | Field::Content => 1,
                };
                self.remaining = u64::from(u32::from_be_bytes(self.count)) * unit;
                self.announced = self.remaining;
                self.count_len = 0;
                self.field += 1;
            }
        }
    }
}
