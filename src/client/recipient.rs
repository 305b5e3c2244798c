//! Whom a private message or a file goes to, and who sent one: a nickname and the server it belongs to.

use std::fmt;

use super::escape::VisibleNickname;
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
    /// In quotes, `\"` and `\\` stand for themselves.
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

    /// As it is typed; [`Recipient::parse`] reads it back.
    pub fn typed(&self) -> String {
        if self.nickname.contains(char::is_whitespace) || self.nickname.starts_with('"') {
            let escaped = self.nickname.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"@{}", self.server)
        } else {
            format!("{}@{}", self.nickname, self.server)
        }
    }
}

/// As it is shown to people.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nickname.contains(char::is_whitespace) {
            let shown = VisibleNickname(&self.nickname).to_string();
            if shown.starts_with('"') {
                write!(f, "{shown}@{}", self.server)
            } else {
                write!(f, "\"{shown}\"@{}", self.server)
            }
        } else {
            write!(f, "{}@{}", VisibleNickname(&self.nickname), self.server)
        }
    }
}

/// Reads up to the closing quote, which must be there.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut nickname = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((nickname, text.get(at + 1..)?)),
            '\\' => nickname.push(chars.next()?.1),
            _ => nickname.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(String, u32, &str)> {
        Recipient::parse(text).map(|(address, rest)| (address.nickname, address.server.0, rest))
    }

    #[test]
    fn a_nickname_and_a_server_are_read_and_the_rest_is_left() {
        assert_eq!(parsed("ben@7 hi  there"), Some(("ben".into(), 7, " hi  there")));
        assert_eq!(parsed("ben@7"), Some(("ben".into(), 7, "")));
        assert_eq!(parsed("\"two words\"@4294967295 x"), Some(("two words".into(), u32::MAX, " x")));
        assert_eq!(parsed("\"a\\\"b\\\\c\"@1"), Some(("a\"b\\c".into(), 1, "")));
        assert_eq!(parsed("a@b@3 x"), Some(("a@b".into(), 3, " x")));
    }

    #[test]
    fn what_is_no_address_is_not_read() {
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
        fn what_is_typed_for_an_address_reads_as_that_address(nickname in "[^\\p{Cc}]{1,20}", server: u32) {
            prop_assume!(Nickname::parse(&nickname).is_some());
            let address = Recipient { nickname, server: ServerId(server) };
            let typed = format!("{} tail", address.typed());
            prop_assert_eq!(Recipient::parse(&typed), Some((address, " tail")));
        }
    }
}
