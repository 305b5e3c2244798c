//! What goes before a file: a private message with what FILECHNK does not carry.
//!
//! ```text
//!  [file] report, final.pdf, 20480 bytes, sha256 9f86d0…0f00a08, transfer 17
//! ```
//!
//! People on other clients can read it; ours reads it from the right, since a name may hold anything.

use std::fmt;

use crate::limits::{CHUNK_BYTES, FILE_NAME_MAX_BYTES};

/// What the sender says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it is called.
    pub name: String,
    /// Its exact size in bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// The transfer ID of its chunks.
    pub transfer_id: u32,
}

impl Announcement {
    /// Reads an announcement; `None` for any other message.
    pub fn parse(message: &str) -> Option<Announcement> {
        let (rest, transfer_id) = message.strip_prefix("[file] ")?.rsplit_once(", transfer ")?;
        let (rest, sha256) = rest.rsplit_once(", sha256 ")?;
        let (name, size) = rest.strip_suffix(" bytes")?.rsplit_once(", ")?;
        // No chunk can carry such a name (D11), so the announcement would be kept for ever.
        if name.is_empty() || name.len() > FILE_NAME_MAX_BYTES {
            return None;
        }
        Some(Announcement {
            name: name.to_owned(),
            size: number(size)?,
            sha256: from_hex(sha256)?,
            transfer_id: number(transfer_id)?,
        })
    }

    /// Chunks that such a file has; `None` if they would be too many.
    pub fn chunks(&self) -> Option<u32> {
        chunks_of(self.size)
    }
}

/// Chunks of a file of `size` bytes. An empty file has one too (D11).
pub fn chunks_of(size: u64) -> Option<u32> {
    u32::try_from(size.div_ceil(CHUNK_BYTES as u64).max(1)).ok()
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Announcement { name, size, sha256, transfer_id } = self;
        write!(f, "[file] {name}, {size} bytes, sha256 ")?;
        sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ", transfer {transfer_id}")
    }
}

/// `parse` alone would take `+7` too.
fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reads_as_the_interface_says() {
        let announcement = Announcement { name: "a, b.txt".into(), size: 1025, sha256: [0xab; 32], transfer_id: 9 };
        let text = format!("[file] a, b.txt, 1025 bytes, sha256 {}, transfer 9", "ab".repeat(32));
        assert_eq!(announcement.to_string(), text);
        assert_eq!(Announcement::parse(&text), Some(announcement));
    }

    #[test]
    fn other_messages_are_none() {
        let hex = "ab".repeat(32);
        for text in [
            String::new(),
            "[file] ".into(),
            format!("file x, 1 bytes, sha256 {hex}, transfer 9"),
            format!("[file] x, 1 bytes, sha256 {hex}, transfer 4294967296"),
            format!("[file] x, 1 bytes, sha256 {hex}, transfer +9"),
            format!("[file] x, -1 bytes, sha256 {hex}, transfer 9"),
            format!("[file] x, 1 bytes, sha256 {hex}0, transfer 9"),
            format!("[file] x, 1 bytes, sha256 {}é, transfer 9", &hex[..62]),
            format!("[file] x, 1 byte, sha256 {hex}, transfer 9"),
            format!("[file] , 1 bytes, sha256 {hex}, transfer 9"),
            format!("[file] {}, 1 bytes, sha256 {hex}, transfer 9", "x".repeat(FILE_NAME_MAX_BYTES + 1)),
        ] {
            assert_eq!(Announcement::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_file_has_as_many_chunks_as_it_begins_kibibytes_and_at_least_one() {
        let sizes = [0, 1, 1023, 1024, 1025, u64::from(u32::MAX) * 1024];
        assert_eq!(sizes.map(chunks_of), [Some(1), Some(1), Some(1), Some(1), Some(2), Some(u32::MAX)]);
        assert_eq!(chunks_of(u64::from(u32::MAX) * 1024 + 1), None);
        assert_eq!(chunks_of(u64::MAX), None);
    }

    #[test]
    fn the_longest_name_that_a_chunk_can_carry_is_announced() {
        let name = "x".repeat(FILE_NAME_MAX_BYTES);
        let announcement = Announcement { name, size: 1, sha256: [0; 32], transfer_id: 9 };
        assert_eq!(Announcement::parse(&announcement.to_string()), Some(announcement));
    }

    proptest! {
        #[test]
        fn whatever_the_name_it_is_read_back(
            name in prop_oneof![".{1,63}", Just("x, 1 bytes, sha256 00, transfer 3".to_owned())],
            size: u64, sha256: [u8; 32], transfer_id: u32
        ) {
            let announcement = Announcement { name, size, sha256, transfer_id };
            prop_assert_eq!(Announcement::parse(&announcement.to_string()), Some(announcement));
        }
    }
}
