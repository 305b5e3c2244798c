//! Nicknames (D7).

use crate::limits::NICKNAME_MAX_BYTES;

/// A legal nickname: 1 to 64 bytes of UTF-8 without control characters (Unicode category Cc) and without white space
/// at either end. Two are equal when their bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nickname<'a>(&'a str);

impl<'a> Nickname<'a> {
    /// The text as a nickname; `None` if it is no legal one.
    pub fn parse(text: &'a str) -> Option<Nickname<'a>> {
        let legal = !text.is_empty()
            && text.len() <= NICKNAME_MAX_BYTES
            && !text.chars().any(char::is_control)
            && text.trim().len() == text.len();
        legal.then_some(Nickname(text))
    }

    /// Its text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_is_1_to_64_bytes_without_control_characters_or_outer_blanks() {
        let longest = "x".repeat(64);
        for good in ["ana", "é", "two words", "a,b:c@7", "\u{200d}", longest.as_str()] {
            assert!(Nickname::parse(good).is_some(), "{good:?}");
        }
        let too_long = "x".repeat(65);
        let too_many_bytes = "é".repeat(33);
        let bad =
            ["", " ana", "ana ", "\u{a0}ana", "a\nb", "a\u{7f}", "a\u{85}b", "\u{3000}", &too_long, &too_many_bytes];
        for bad in bad {
            assert!(Nickname::parse(bad).is_none(), "{bad:?}");
        }
    }
}
