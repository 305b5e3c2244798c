//! Text from others, made harmless for a screen, a log and the control socket.

use std::fmt;

/// Whether the character does something to the text around it instead of standing there: control characters (Cc),
/// format characters (Cf, the bidirectional ones first of all) and line separators.
pub fn is_treacherous(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1345f}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The same check for a nickname, which is stricter: no blank but U+0020, and nothing invisible.
pub fn is_treacherous_in_name(char: char) -> bool {
    is_treacherous(char)
        || (char.is_whitespace() && char != ' ')
        // What Unicode says may be left out where it can't be shown, variation selectors among them; and a blank of Braille.
        || matches!(char,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{e0080}'..='\u{e0fff}')
}

/// A nickname as a field of a line. A character that would change how the line looks is written as `\u{202e}`, and a
/// backslash as two. If it begins with `error `, that blank becomes `\u{20}`, because an answer of the control socket
/// ends with such a line. Most nicknames need no escapes; different ones are written differently.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a>(pub &'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.strip_prefix("error ") {
            Some(rest) => {
                f.write_str("error\\u{20}")?;
                rest
            }
            None => self.0,
        };
        for char in text.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                _ if is_treacherous_in_name(char) => write!(f, "{}", char.escape_unicode())?,
                _ => write!(f, "{char}")?,
            }
        }
        Ok(())
    }
}

/// The nickname that is written in this form. Text that is no escape is taken as it is.
pub fn unescape(field: &str) -> String {
    let (mut text, mut rest) = (String::new(), field);
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let in_braces = escape.strip_prefix("u{").and_then(|hex| hex.split_once('}'));
        let escaped = in_braces
            .and_then(|(hex, after)| Some((u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?, after)));
        (text, rest) = match (escaped, escape.strip_prefix('\\')) {
            (Some((char, after)), _) => (text + char.encode_utf8(&mut [0; 4]), after),
            (None, after) => (text + "\\", after.unwrap_or(escape)),
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_be_taken_for_something_else_is_escaped_and_all_else_is_not() {
        let shown = |nickname| Field(nickname).to_string();
        for plain in ["ana", "two words", "日本語", "error", "errors x", "ok", "no error here"] {
            assert_eq!(shown(plain), plain);
        }
        assert_eq!(shown("error no such thing"), "error\\u{20}no such thing");
        assert_eq!(shown("a\u{202e}b\u{3164}c\u{200d}"), "a\\u{202e}b\\u{3164}c\\u{200d}");
        assert_eq!(shown("a\\u{202e}"), "a\\\\u{202e}");
        for (field, nickname) in
            [("a\\b", "a\\b"), ("\\u{110000}", "\\u{110000}"), ("x\\", "x\\"), ("\\u{20", "\\u{20")]
        {
            assert_eq!(unescape(field), nickname);
        }
    }

    proptest! {
        #[test]
        fn no_field_ends_an_answer_and_different_nicknames_differ(a in "(error )?\\PC{0,8}[\\\\u{}20e\u{202e} ]{0,6}", b in "(error )?\\PC{0,2}[\\\\u{}20e\u{202e} ]{0,6}") {
            let (shown_a, shown_b) = (Field(&a).to_string(), Field(&b).to_string());
            prop_assert!(!shown_a.starts_with("error "));
            prop_assert!(!shown_a.chars().any(is_treacherous_in_name));
            prop_assert_eq!(a == b, shown_a == shown_b);
            prop_assert_eq!(unescape(&shown_a), a);
        }
    }
}
