//! Bytes as a person reads them: a packet's fields apart, its name and values beside it, and where two packets differ.

use std::fmt::Write;

use crate::wire::{CHUNK_BYTES, Code};

/// Longest run of bytes that is shown whole.
const SHOWN_MAX_BYTES: usize = 48;
/// Longest text that is shown whole, in characters.
const TEXT_MAX_CHARS: usize = 40;

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Byte,
    Text,
    Chunk,
    Descriptions,
    Description,
    Neighbours,
    Packet,
}

/// A field of a packet: its name, and its bytes as they stand.
struct Field<'a> {
    name: &'static str,
    kind: Kind,
    bytes: &'a [u8],
}

fn layout(code: Code) -> &'static [(&'static str, Kind)] {
    use Kind::{Byte, Chunk, Description, Descriptions, Neighbours, Number, Packet, Text};
    match code {
        Code::AuthGst => &[("nickname", Text)],
        Code::AuthUsr => &[("nickname", Text), ("password", Text)],
        Code::AuthRsp => &[("response", Byte)],
        Code::MsgPbl => &[("message", Text)],
        Code::MsgPrv => &[("destination", Number), ("receiver", Text), ("message", Text)],
        Code::MsgPblInc => &[("origin", Number), ("sender", Text), ("message", Text)],
        Code::MsgPrvInc => &[("origin", Number), ("sender", Text), ("receiver", Text), ("message", Text)],
        Code::FileChnk => &[
            ("destination", Number),
            ("receiver", Text),
            ("transfer ID", Number),
            ("file name", Text),
            ("number of chunks", Number),
            ("content", Chunk),
        ],
        Code::FileChnkInc => &[
            ("origin", Number),
            ("sender", Text),
            ("receiver", Text),
            ("transfer ID", Number),
            ("file name", Text),
            ("number of chunks", Number),
            ("content", Chunk),
        ],
        Code::PckFwd => &[("destination", Number), ("packet", Packet)],
        Code::Relay => &[
            ("destination", Number),
            ("origin", Number),
            ("incarnation", Number),
            ("number", Number),
            ("packet", Packet),
        ],
        Code::Links => &[("server", Description), ("incarnation", Number), ("version", Number), ("links", Neighbours)],
        Code::Hold => &[("server", Number), ("wait", Byte)],
        Code::Hello => &[("stamp", Number)],
        Code::MrgReq | Code::MrgRsp => &[("server", Number), ("siblings", Descriptions)],
        Code::MrgDecl => &[("reason", Byte)],
        Code::Error => &[("sender", Text), ("reason", Byte)],
    }
}

/// The fields of the packet at the front, as far as they go, and what stands behind it.
fn fields(bytes: &[u8]) -> (Vec<Field<'_>>, &[u8]) {
    let mut found = Vec::new();
    let Some((&first, mut rest)) = bytes.split_first() else { return (found, bytes) };
    let Some(code) = Code::from_byte(first) else { return (found, rest) };
    for &(name, kind) in layout(code) {
        if rest.is_empty() {
            break;
        }
        let count = || rest.first_chunk().map_or(0, |count| u32::from_be_bytes(*count) as usize);
        let wanted = match kind {
            Kind::Number => 4,
            Kind::Byte => 1,
            Kind::Chunk => CHUNK_BYTES,
            Kind::Text => count().saturating_add(4),
            Kind::Description => 12,
            Kind::Descriptions => count().saturating_mul(12).saturating_add(4),
            Kind::Neighbours => count().saturating_mul(8).saturating_add(4),
            Kind::Packet => rest.len() - fields(rest).1.len(),
        };
        let (bytes, behind) = rest.split_at(wanted.min(rest.len()));
        found.push(Field { name, kind, bytes });
        rest = behind;
    }
    (found, rest)
}

/// Hexadecimal digits; a long run is cut in its middle.
pub fn hex(bytes: &[u8]) -> String {
    let digits = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if bytes.len() <= SHOWN_MAX_BYTES {
        return digits(bytes);
    }
    let (head, rest) = bytes.split_at(SHOWN_MAX_BYTES / 2);
    let (middle, tail) = rest.split_at(rest.len() - 4);
    format!("{}… {} bytes …{}", digits(head), middle.len(), digits(tail))
}

/// All of it, for programs.
pub fn all_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// `30 00000007 00000003:616e61 00000002:6869`: the fields of the packets apart, a size and its text joined by a colon.
pub fn grouped(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while let Some(first) = bytes.first() {
        let (found, behind) = fields(bytes);
        let separator = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{separator}{first:02x}");
        for field in found {
            let (count, content) = match field.kind {
                Kind::Text | Kind::Descriptions | Kind::Neighbours => field.bytes.split_at(field.bytes.len().min(4)),
                Kind::Packet => {
                    let _ = write!(text, " {}", grouped(field.bytes));
                    continue;
                }
                _ => (&[][..], field.bytes),
            };
            let colon = if count.is_empty() || content.is_empty() { "" } else { ":" };
            let _ = write!(text, " {}{colon}{}", hex(count), hex(content));
        }
        bytes = behind;
    }
    text
}

/// `MSGPBLINC origin 7, sender "ana", message "hi"` for the packets in the bytes.
pub fn described(mut bytes: &[u8]) -> String {
    let mut packets = Vec::new();
    while let Some(&first) = bytes.first() {
        if packets.len() == 3 {
            packets.push(format!("and {} bytes more", bytes.len()));
            break;
        }
        let (found, behind) = fields(bytes);
        packets.push(match Code::from_byte(first) {
            None => format!("0x{first:02x}, which is no code"),
            Some(code) => {
                let whole = layout(code).len() == found.len() && found.iter().all(Field::is_whole);
                let values: Vec<String> = found.iter().map(Field::value).collect();
                let cut = if whole { "" } else { " (cut off)" };
                let values = if values.is_empty() { String::new() } else { format!(" {}", values.join(", ")) };
                let meaning = found.last().and_then(|last| meaning(code, last)).unwrap_or_default();
                format!("{}{values}{meaning}{cut}", code.name())
            }
        });
        bytes = behind;
    }
    packets.join("; ")
}

/// What the number at the end of an answer says.
fn meaning(code: Code, last: &Field<'_>) -> Option<&'static str> {
    match (code, last.bytes) {
        (Code::AuthRsp, [0]) => Some(" (accepted)"),
        (Code::AuthRsp, [1]) => Some(" (the nickname is registered)"),
        (Code::AuthRsp, [2]) => Some(" (wrong nickname or password)"),
        (Code::AuthRsp, [3]) => Some(" (the nickname is in use)"),
        (Code::MrgDecl, [0]) => Some(" (merged already)"),
        (Code::MrgDecl, [1]) => Some(" (more than ten servers)"),
        (Code::MrgDecl, [2]) => Some(" (an ID would be there twice)"),
        (Code::Error, [0]) => Some(" (unknown server)"),
        (Code::Error, [1]) => Some(" (unknown receiver)"),
        _ => None,
    }
}

impl Field<'_> {
    fn number(&self) -> Option<u32> {
        self.bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn is_whole(&self) -> bool {
        let number = self.number().map_or(usize::MAX, |number| number as usize);
        match self.kind {
            Kind::Number => self.bytes.len() == 4,
            Kind::Byte | Kind::Packet => !self.bytes.is_empty(),
            Kind::Chunk => self.bytes.len() == CHUNK_BYTES,
            Kind::Text => self.bytes.len().checked_sub(4) == Some(number),
            Kind::Description => self.bytes.len() == 12,
            Kind::Descriptions => self.bytes.len().checked_sub(4) == Some(number.saturating_mul(12)),
            Kind::Neighbours => self.bytes.len().checked_sub(4) == Some(number.saturating_mul(8)),
        }
    }

    fn value(&self) -> String {
        let behind_count = self.bytes.get(4..).unwrap_or_default();
        let value = match self.kind {
            Kind::Byte => self.bytes.first().map_or_else(String::new, u8::to_string),
            Kind::Number => self.number().map_or_else(|| hex(self.bytes), |number| number.to_string()),
            Kind::Chunk => format!("of {} bytes", self.bytes.len()),
            Kind::Packet => format!("[{}]", described(self.bytes)),
            Kind::Text => {
                let text = String::from_utf8_lossy(behind_count);
                let mut shown: String = text.chars().take(TEXT_MAX_CHARS).collect();
                if text.chars().count() > TEXT_MAX_CHARS {
                    let _ = write!(shown, "… ({} bytes)", behind_count.len());
                }
                format!("{shown:?}")
            }
            Kind::Description => self.bytes.first_chunk().map_or_else(|| hex(self.bytes), description),
            Kind::Descriptions => {
                let all: Vec<String> = behind_count.as_chunks::<12>().0.iter().map(description).collect();
                format!("[{}]", all.join(", "))
            }
            Kind::Neighbours => {
                let each = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
                    let (id, stamp) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                    format!("to {id} with the stamp {stamp}")
                };
                let all: Vec<String> = behind_count.as_chunks::<8>().0.iter().map(each).collect();
                format!("[{}]", all.join(", "))
            }
        };
        format!("{} {value}", self.name)
    }
}

fn description(&[a, b, c, d, e, f, g, h, i, j, k, l]: &[u8; 12]) -> String {
    let (id, port) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([i, j, k, l]));
    format!("{id} at {e}.{f}.{g}.{h}:{port}")
}

/// What is different, in a sentence.
pub fn difference(expected: &[u8], seen: &[u8]) -> Option<String> {
    let (&code, &seen_code) = (expected.first()?, seen.first()?);
    if code != seen_code {
        return Some(format!("the packet's code is {seen_code:02x}, and should be {code:02x}"));
    }
    let ((wanted, _), (found, behind)) = (fields(expected), fields(seen));
    for (wanted, found) in wanted.iter().zip(&found) {
        if wanted.bytes == found.bytes {
            continue;
        }
        if let (Kind::Packet, Kind::Packet) = (wanted.kind, found.kind) {
            return difference(wanted.bytes, found.bytes);
        }
        let (name, number) = (wanted.name, |field: &Field<'_>| field.number());
        let (is, should) = (number(found), number(wanted));
        if matches!(wanted.kind, Kind::Number | Kind::Text | Kind::Descriptions | Kind::Neighbours) && is != should {
            if is.map(u32::swap_bytes) == should {
                let advice = "numbers are big-endian (RFC 2)";
                return Some(format!("the number in \"{name}\" has its bytes in the wrong order: {advice}"));
            }
            let what = if let Kind::Number = wanted.kind { "is" } else { "has the size" };
            return Some(format!(
                "\"{name}\" {what} {}, and should {} {}",
                is.map_or("cut off".to_owned(), |is| is.to_string()),
                if what == "is" { "be" } else { "have" },
                should.unwrap_or_default()
            ));
        }
        return Some(format!("\"{name}\" is different"));
    }
    if found.len() < wanted.len() {
        let missing = wanted.get(found.len()).map_or("", |field| field.name);
        return Some(format!("the packet ends before \"{missing}\""));
    }
    (!behind.is_empty()).then(|| format!("{} bytes too many stand behind the packet", behind.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Packet, ServerId};

    fn bytes(packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_packet_is_shown_with_its_fields_apart_and_its_values_beside() {
        let inner = bytes(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: "hi" });
        assert_eq!(grouped(&inner), "30 00000007 00000003:616e61 00000002:6869");
        assert_eq!(described(&inner), r#"MSGPBLINC origin 7, sender "ana", message "hi""#);
        let forward = bytes(&Packet::PckFwd { destination: ServerId(8), content: &inner });
        assert_eq!(grouped(&forward), "50 00000008 30 00000007 00000003:616e61 00000002:6869");
        assert_eq!(
            described(&forward),
            r#"PCKFWD destination 8, packet [MSGPBLINC origin 7, sender "ana", message "hi"]"#
        );
        let links = b"\x52\0\0\0\x09\x7f\0\0\x01\0\0\0\x50\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\x07\0\0\0\x03";
        let text = "LINKS server 9 at 127.0.0.1:80, incarnation 1, version 2, links [to 7 with the stamp 3]";
        assert_eq!(described(links), text);
        assert_eq!(grouped(links), "52 000000097f00000100000050 00000001 00000002 00000001:0000000700000003");
        assert_eq!(described(&inner[..9]), "MSGPBLINC origin 7, sender \"\" (cut off)");
        assert_eq!(grouped(&[0x77, 0x10, 0x00]), "77 10 00");
        assert_eq!(described(&[0x77]), "0x77, which is no code");
    }

    #[test]
    fn anything_can_be_shown() {
        for length in 0..80 {
            for first in 0..=255 {
                let mut bytes = vec![0xFF; length];
                bytes.insert(0, first);
                assert!(!grouped(&bytes).is_empty() && !described(&bytes).is_empty());
                let _ = difference(&bytes, &[first; 9]);
            }
        }
    }

    #[test]
    fn what_differs_is_named() {
        let packet = |origin, sender| bytes(&Packet::MsgPblInc { origin: ServerId(origin), sender, message: "hi" });
        let expected = packet(7, "ana");
        let says = |seen: &[u8], text: &str| {
            let difference = difference(&expected, seen).unwrap();
            assert!(difference.contains(text), "{difference}");
        };
        says(&packet(8, "ana"), "\"origin\" is 8, and should be 7");
        says(&packet(7 << 24, "ana"), "big-endian");
        says(&packet(7, "bob"), "\"sender\" is different");
        says(&packet(7, "maria"), "\"sender\" has the size 5, and should have 3");
        says(&[0x31], "code is 31, and should be 30");
        says(&expected[..12], "ends before \"message\"");
        says(&[&expected[..], &[0]].concat(), "1 bytes too many");
        assert_eq!(difference(&expected, &expected), None);
    }
}
