//! Whom a private message or a file goes to, and who sent one: a nickname and the server it belongs to.

use std::fmt;

use crate::wire::visible::is_treacherous_in_name;
use crate::wire::{Nickname, ServerId};

/// A client of some server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its nickname.
    pub nickname: String,
    /// Its server.
    pub server: ServerId,
}

impl Recipient {
    /// A person who has sent something to us.
    pub fn new(server: ServerId, nickname: &str) -> Recipient {
        Recipient { nickname: nickname.to_owned(), server }
    }

    /// Whether it is that one.
    pub fn is(&self, server: ServerId, nickname: &str) -> bool {
        self.server == server && self.nickname == nickname
    }

    /// Reads `NICKNAME@ID` from the front of `text`, a nickname with blanks in quotes, and gives what follows too.
    /// In quotes, `\"` and `\\` stand for themselves, and `\u{202e}` for that character.
    pub fn parse(text: &str) -> Option<(Recipient, &str)> {
        let (nickname, rest) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let word = text.split(char::is_whitespace).next()?;
                let (nickname, _) = word.rsplit_once('@')?;
                (nickname.to_owned(), text.get(nickname.len()..)?)
            }
        };
        Nickname::parse(&nickname)?;
        let rest = rest.strip_prefix('@')?;
        let digits = rest.split(char::is_whitespace).next()?;
        let rest = rest.get(digits.len()..)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some((Recipient { nickname, server: ServerId(digits.parse().ok()?) }, rest))
    }

    /// Reads a nickname alone, in quotes if it has blanks, from the front of `text`, and gives what follows too.
    pub fn parse_nickname(text: &str) -> Option<(String, &str)> {
        let (nickname, rest) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let word = text.split(char::is_whitespace).next()?;
                (word.to_owned(), text.get(word.len()..)?)
            }
        };
        let is_end = rest.is_empty() || rest.starts_with(char::is_whitespace);
        (is_end && Nickname::parse(&nickname).is_some()).then_some((nickname, rest))
    }
}

/// As it is typed, which is safe to show: [`Recipient::parse`] reads it back.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipient { nickname, server } = self;
        let needs_quotes = |char: char| char.is_whitespace() || char == '"' || is_treacherous_in_name(char);
        if !nickname.contains(needs_quotes) {
            return write!(f, "{nickname}@{server}");
        }
        f.write_str("\"")?;
        for char in nickname.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                _ if is_treacherous_in_name(char) => write!(f, "{}", char.escape_unicode())?,
                _ => write!(f, "{char}")?,
            }
        }
        write!(f, "\"@{server}")
    }
}

/// Reads up to the closing quote, which must be there.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut nickname = String::new();
    let mut rest = text;
    loop {
        let char = rest.chars().next()?;
        rest = rest.get(char.len_utf8()..)?;
        match char {
            '"' => return Some((nickname, rest)),
            '\\' => match rest.strip_prefix("u{").and_then(|hex| hex.split_once('}')) {
                Some((hex, after)) => {
                    nickname.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                    rest = after;
                }
                None => {
                    let escaped = rest.chars().next()?;
                    nickname.push(escaped);
                    rest = rest.get(escaped.len_utf8()..)?;
                }
            },
            _ => nickname.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(String, u32, &str)> {
        Recipient::parse(text).map(|(to, rest)| (to.nickname, to.server.0, rest))
    }

    #[test]
    fn a_nickname_and_a_server_are_read_and_the_rest_is_left() {
        assert_eq!(parsed("ben@7 hi  there"), Some(("ben".into(), 7, " hi  there")));
        assert_eq!(parsed("ben@7"), Some(("ben".into(), 7, "")));
        assert_eq!(parsed("\"two words\"@4294967295 x"), Some(("two words".into(), u32::MAX, " x")));
        assert_eq!(parsed("\"a\\\"b\\\\c\"@1"), Some(("a\"b\\c".into(), 1, "")));
        assert_eq!(parsed("a@b@3 x"), Some(("a@b".into(), 3, " x")));
        assert_eq!(parsed("\"a\\u{202e}b\"@1"), Some(("a\u{202e}b".into(), 1, "")));
    }

    #[test]
    fn what_is_no_recipient_is_not_read() {
        for bad in [
            "",
            "ben",
            "ben@",
            "ben@x",
            "ben@-1",
            "ben@+1",
            "ben@4294967296",
            "@7",
            "\"ben@7",
            "\"\"@7",
            "\" a\"@7",
            "ben @7",
        ] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_of_a_recipient_is_safe_and_reads_as_that_recipient(nickname in "[^\\p{Cc}]{1,20}", server: u32) {
            prop_assume!(Nickname::parse(&nickname).is_some());
            let to = Recipient { nickname, server: ServerId(server) };
            let typed = format!("{to} tail");
            prop_assert!(!typed.contains(super::super::escape::is_treacherous), "{typed:?}");
            prop_assert_eq!(Recipient::parse(&typed), Some((to, " tail")));
        }
    }
}
