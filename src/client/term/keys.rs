//! What a terminal sends, as keys.

use crate::client::limits::LINE_MAX_BYTES;

/// A key, or what was pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A character with Ctrl, in small letters.
    Ctrl(char),
    /// A character with Alt.
    Alt(char),
    /// Text between the marks of a paste. `None` if it is longer than any message.
    Paste(Option<String>),
    /// Return.
    Enter,
    /// Return with Alt: a line break.
    Break,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    WordLeft,
    WordRight,
    Home,
    End,
    Escape,
}

const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";
/// The longest sequence that is waited for.
const SEQUENCE_MAX_BYTES: usize = 32;

/// Takes bytes as they come and makes keys of them.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    is_pasting: bool,
    pasted: Vec<u8>,
    is_too_long: bool,
}

impl Keys {
    /// Takes bytes; the keys that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.bytes.extend_from_slice(bytes);
        let mut keys = Vec::new();
        loop {
            if self.is_pasting {
                if !self.take_paste(&mut keys) {
                    return keys;
                }
                continue;
            }
            match next(&self.bytes) {
                Next::Key(key, len) => {
                    self.bytes.drain(..len);
                    keys.extend(key);
                }
                Next::Paste(len) => {
                    self.bytes.drain(..len);
                    self.is_pasting = true;
                }
                Next::More => return keys,
            }
        }
    }

    /// Whether a sequence may have begun that has not ended: an Escape key looks like that.
    pub fn is_waiting(&self) -> bool {
        !self.bytes.is_empty() && !self.is_pasting
    }

    /// Nothing more came for a moment.
    pub fn give_up_waiting(&mut self) -> Option<Key> {
        if !self.is_waiting() {
            return None;
        }
        let is_escape = self.bytes == b"\x1b";
        self.bytes.clear();
        is_escape.then_some(Key::Escape)
    }

    /// Takes pasted text; false if its end has not come.
    fn take_paste(&mut self, keys: &mut Vec<Key>) -> bool {
        let end = self.bytes.windows(PASTE_END.len()).position(|window| window == PASTE_END);
        // A part of the end mark may have come.
        let len = end.unwrap_or(self.bytes.len().saturating_sub(PASTE_END.len() - 1));
        let text: Vec<u8> = self.bytes.drain(..len).collect();
        if self.pasted.len() + text.len() <= LINE_MAX_BYTES {
            self.pasted.extend_from_slice(&text);
        } else {
            self.is_too_long = true;
        }
        if end.is_none() {
            return false;
        }
        self.bytes.drain(..PASTE_END.len());
        self.is_pasting = false;
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.pasted)).into_owned();
        keys.push(Key::Paste((!std::mem::take(&mut self.is_too_long)).then_some(text)));
        true
    }
}

enum Next {
    /// A key of so many bytes, or bytes that are none.
    Key(Option<Key>, usize),
    Paste(usize),
    /// More has to come.
    More,
}

fn next(bytes: &[u8]) -> Next {
    let Some(&first) = bytes.first() else { return Next::More };
    match first {
        b'\x1b' => escape_sequence(bytes),
        b'\r' | b'\n' => Next::Key(Some(Key::Enter), 1),
        b'\t' => Next::Key(Some(Key::Tab), 1),
        0x7f | 0x08 => Next::Key(Some(Key::Backspace), 1),
        0x1f => Next::Key(Some(Key::Ctrl('_')), 1),
        0..0x20 => Next::Key(Some(Key::Ctrl(char::from(first | 0x60))), 1),
        _ => character(bytes),
    }
}

/// A character of UTF-8; a byte that is none is passed over.
fn character(bytes: &[u8]) -> Next {
    let len = match bytes.first() {
        Some(0..0x80) => 1,
        Some(0xc2..0xe0) => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..0xf5) => 4,
        _ => return Next::Key(None, 1),
    };
    let whole = bytes.get(..len.min(bytes.len())).unwrap_or_default();
    match std::str::from_utf8(whole) {
        Ok(text) => Next::Key(text.chars().next().filter(|char| !char.is_control()).map(Key::Char), len),
        Err(error) if error.error_len().is_none() && bytes.len() < len => Next::More,
        Err(_) => Next::Key(None, 1),
    }
}

fn escape_sequence(bytes: &[u8]) -> Next {
    match bytes.get(1) {
        None => Next::More,
        Some(b'[') => control_sequence(bytes),
        Some(b'O') => match bytes.get(2) {
            None => Next::More,
            Some(&letter) => Next::Key(cursor_key(letter, b""), 3),
        },
        Some(b'\x1b') => Next::Key(Some(Key::Escape), 1),
        Some(b'\r' | b'\n') => Next::Key(Some(Key::Break), 2),
        Some(0x7f | 0x08) => Next::Key(Some(Key::Ctrl('w')), 2),
        Some(_) => match character(bytes.get(1..).unwrap_or_default()) {
            Next::Key(Some(Key::Char(char)), len) => Next::Key(Some(Key::Alt(char)), 1 + len),
            Next::Key(_, len) => Next::Key(None, 1 + len),
            more => more,
        },
    }
}

/// `ESC [`, parameters, a final byte (ECMA-48 section 5.4).
fn control_sequence(bytes: &[u8]) -> Next {
    let parameters = bytes.get(2..).unwrap_or_default();
    let Some(end) = parameters.iter().position(|byte| !(0x20..0x40).contains(byte)) else {
        // Nothing is that long.
        return if bytes.len() > SEQUENCE_MAX_BYTES { Next::Key(None, bytes.len()) } else { Next::More };
    };
    let len = 2 + end + 1;
    if bytes.starts_with(PASTE_BEGIN) {
        return Next::Paste(len);
    }
    let (parameters, last) = (parameters.get(..end).unwrap_or_default(), parameters.get(end).copied());
    let key = match (last, parameters) {
        (Some(b'~'), b"1" | b"7") => Some(Key::Home),
        (Some(b'~'), b"4" | b"8") => Some(Key::End),
        (Some(b'~'), b"3") => Some(Key::Delete),
        (Some(b'Z'), _) => Some(Key::BackTab),
        (Some(letter), modifiers) => cursor_key(letter, modifiers),
        (None, _) => None,
    };
    Next::Key(key, len)
}

fn cursor_key(letter: u8, modifiers: &[u8]) -> Option<Key> {
    // `1;5` is Ctrl, `1;3` is Alt.
    let is_word = modifiers.ends_with(b";5") || modifiers.ends_with(b";3");
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if is_word => Key::WordRight,
        b'D' if is_word => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        Keys::default().take(bytes)
    }

    #[test]
    fn keys_are_told_apart_however_their_bytes_are_cut() {
        let bytes = "aé日\r\x7f\x01\x1bb\x1b[A\x1bOC\x1b[1;5D\x1b[3~\x1b[Z\x1b[200~x\ny\x1b[201~\x1b\r".as_bytes();
        let expected = [
            Key::Char('a'),
            Key::Char('é'),
            Key::Char('日'),
            Key::Enter,
            Key::Backspace,
            Key::Ctrl('a'),
            Key::Alt('b'),
            Key::Up,
            Key::Right,
            Key::WordLeft,
            Key::Delete,
            Key::BackTab,
            Key::Paste(Some("x\ny".into())),
            Key::Break,
        ];
        assert_eq!(keys(bytes), expected);
        let mut one_by_one = Keys::default();
        let taken: Vec<Key> = bytes.iter().flat_map(|&byte| one_by_one.take(&[byte])).collect();
        assert_eq!(taken, expected);
    }

    #[test]
    fn an_escape_alone_is_a_key_after_a_moment_and_unknown_sequences_are_none() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"\x1b"), []);
        assert!(keys.is_waiting());
        assert_eq!(keys.give_up_waiting(), Some(Key::Escape));
        assert_eq!(keys.take(b"\x1b[99;99u\xff\x80x\x1b[200"), [Key::Char('x')]);
        assert_eq!(keys.give_up_waiting(), None);
        assert_eq!(keys.take(b"y"), [Key::Char('y')]);
    }

    #[test]
    fn a_paste_longer_than_any_message_is_said_and_takes_no_memory() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"\x1b[200~"), []);
        for _ in 0..100 {
            assert_eq!(keys.take(&[b'x'; 4096]), []);
        }
        assert!(keys.pasted.len() <= LINE_MAX_BYTES && keys.bytes.len() < 4096);
        assert_eq!(keys.take(b"\x1b[201~y"), [Key::Paste(None), Key::Char('y')]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_keys_however_they_are_cut(bytes: Vec<u8>, cut in 0usize..64) {
            let cut = cut.min(bytes.len());
            let mut parts = Keys::default();
            let mut taken = parts.take(&bytes[..cut]);
            taken.extend(parts.take(&bytes[cut..]));
            prop_assert_eq!(taken, keys(&bytes));
        }
    }
}
