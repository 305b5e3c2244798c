//! Text from others, made harmless: whatever it holds, it stays within its line and shows what it is made of.

use std::borrow::Cow;
use std::fmt;

pub use crate::wire::visible::is_treacherous;
use crate::wire::visible::is_treacherous_in_name;

/// A message as it is shown: control characters, line breaks among them, and characters that change the direction or
/// hide in the text, are written as escapes.
#[derive(Debug, Clone, Copy)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0, |char| is_treacherous(char) && !joins_letters(char))
    }
}

/// The same text, for a part of a row.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |char: char| char == ' ' || char.is_ascii_graphic();
    if text.chars().all(is_plain) { Cow::Borrowed(text) } else { Cow::Owned(Visible(text).to_string()) }
}

/// A nickname as it is shown. It is in quotes if it could be taken for the text around it, say `"ana: hi"`.
#[derive(Debug, Clone, Copy)]
pub struct VisibleNickname<'a>(pub &'a str);

impl fmt::Display for VisibleNickname<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `[7] NICKNAME: text` and `[7] NICKNAME -> you: text`: without these, the end of a nickname is unambiguous.
        if self.0.contains([':', '"']) || self.0.contains("->") {
            f.write_str("\"")?;
            write_escaped(f, &self.0.replace('"', "\\\""), is_treacherous_in_name)?;
            f.write_str("\"")
        } else {
            write_escaped(f, self.0, is_treacherous_in_name)
        }
    }
}

/// The beginning of `text`: whole characters, at most so many bytes.
pub fn beginning(text: &str, max_bytes: usize) -> &str {
    let end = text.char_indices().map(|(at, char)| at + char.len_utf8()).take_while(|&end| end <= max_bytes).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str, is_escaped: impl Fn(char) -> bool) -> fmt::Result {
    let mut plain_from = 0;
    for (at, char) in text.char_indices().filter(|&(_, char)| is_escaped(char)) {
        f.write_str(text.get(plain_from..at).unwrap_or_default())?;
        match char {
            '\n' | '\r' | '\t' => write!(f, "{}", char.escape_default())?,
            _ => write!(f, "{}", char.escape_unicode())?,
        }
        plain_from = at + char.len_utf8();
    }
    f.write_str(text.get(plain_from..).unwrap_or_default())
}

/// Persian, Indic scripts and emoji need these two in ordinary text.
fn joins_letters(char: char) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn control_and_bidirectional_characters_are_shown_as_escapes() {
        let shown = Visible("a\nb\r\x1b[2J\t\u{202e}\u{9b}\u{2028}\u{7f}").to_string();
        assert_eq!(shown, "a\\nb\\r\\u{1b}[2J\\t\\u{202e}\\u{9b}\\u{2028}\\u{7f}");
    }

    #[test]
    fn ordinary_text_of_any_script_is_shown_as_it_is() {
        for text in ["", "hi", "C:\\new", "žluťoučký", "日本語", "می\u{200c}خواهم", "👩\u{200d}💻", "[7] ana: hi"]
        {
            assert_eq!(Visible(text).to_string(), text);
        }
    }

    #[test]
    fn a_nickname_that_looks_like_the_rest_of_a_line_stands_in_quotes() {
        let shown = |nickname| VisibleNickname(nickname).to_string();
        assert_eq!(shown("two words"), "two words");
        assert_eq!(shown("ana: hi"), "\"ana: hi\"");
        assert_eq!(shown("ana -> you"), "\"ana -> you\"");
        assert_eq!(shown("\"ana\": x"), "\"\\\"ana\\\": x\"");
        assert_eq!(shown("a\u{200d}na\u{a0}x"), "a\\u{200d}na\\u{a0}x");
    }

    proptest! {
        #[test]
        fn nothing_shown_can_move_the_cursor(text in ".*\\PC*[\\x00-\\x1f\\x7f-\\x9f]?.*") {
            for shown in [Visible(&text).to_string(), VisibleNickname(&text).to_string()] {
                prop_assert!(!shown.chars().any(char::is_control));
                let turns = shown.contains(['\u{202e}', '\u{2066}', '\u{2028}']);
                prop_assert!(!turns);
            }
        }
    }
}
