//! How many columns text takes. Terminals differ about that: the most that any of them takes counts here, because a row that
//! is too long would be wrapped by the terminal itself, and its rest would stand unmarked at the beginning of a row. (East
//! Asian fonts that show Greek or Cyrillic letters wide are left out: they would halve every row of others.)

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Columns of one user-perceived character, be it joined or not.
pub fn grapheme_columns(grapheme: &str) -> usize {
    let columns: usize = grapheme.chars().map(char_columns).sum();
    // Asked to be shown as an emoji, which some terminals show wide.
    if grapheme.contains('\u{fe0f}') { columns.max(2) } else { columns }
}

/// Columns of a text without control characters.
pub fn columns_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).map(grapheme_columns).sum() }
}

/// The user-perceived characters of a text with their columns. One that is wider than `columns_max` is cut: people can be
/// joined to people without end.
pub fn pieces(text: &str, columns_max: usize) -> impl Iterator<Item = (&str, usize)> {
    text.graphemes(true).flat_map(move |grapheme| {
        let columns = grapheme_columns(grapheme);
        let chars = if columns > columns_max { grapheme } else { "" };
        let whole = (columns <= columns_max).then_some((grapheme, columns));
        whole.into_iter().chain(
            chars
                .char_indices()
                .map(|(at, char)| (chars.get(at..at + char.len_utf8()).unwrap_or_default(), char_columns(char))),
        )
    })
}

fn char_columns(char: char) -> usize {
    match char.width().unwrap_or(0) {
        // Of flags, some terminals show each of their two letters wide.
        _ if matches!(char, '\u{1f1e6}'..='\u{1f1ff}') => 2,
        0 if !has_no_columns(char) => 1,
        columns => columns,
    }
}

/// Whether every terminal shows a character that has no width in the one before: the combining characters of Unicode 3.2,
/// on which all tables agree. What came later, and a few letters that are drawn over the next one, take a column on some
/// terminals. (A range may run over characters that have a width.)
fn has_no_columns(char: char) -> bool {
    matches!(char,
        '\u{300}'..='\u{34f}' | '\u{360}'..='\u{486}' | '\u{488}'..='\u{5a1}' | '\u{5a3}'..='\u{5b9}'
        | '\u{5bb}'..='\u{5c4}' | '\u{64b}'..='\u{655}' | '\u{670}'..='\u{7b0}' | '\u{901}'..='\u{902}'
        | '\u{93c}'..='\u{954}' | '\u{962}'..='\u{9bc}' | '\u{9c1}'..='\u{9cd}' | '\u{9e2}'..='\u{9e3}'
        | '\u{a02}'..='\u{a4d}' | '\u{a70}'..='\u{a71}' | '\u{a81}'..='\u{acd}' | '\u{b01}'..='\u{b3c}'
        | '\u{b3f}'..='\u{b43}' | '\u{b4d}' | '\u{b56}' | '\u{b82}' | '\u{bc0}'..='\u{bcd}'
        | '\u{c3e}'..='\u{c56}' | '\u{cbf}' | '\u{cc6}' | '\u{ccc}'..='\u{ccd}' | '\u{d41}'..='\u{d43}'
        | '\u{d4d}' | '\u{dca}' | '\u{dd2}'..='\u{dd6}' | '\u{e31}'..='\u{eb9}' | '\u{ebb}'..='\u{ecd}'
        | '\u{f18}'..='\u{f87}' | '\u{f90}'..='\u{1032}' | '\u{1036}'..='\u{1039}' | '\u{1058}'..='\u{1059}'
        | '\u{1161}'..='\u{11ff}' | '\u{1712}'..='\u{1714}' | '\u{1732}'..='\u{1733}'
        | '\u{1752}'..='\u{1773}' | '\u{17b7}'..='\u{17d3}' | '\u{180b}'..='\u{180d}' | '\u{18a9}'
        | '\u{200c}'..='\u{200d}' | '\u{20d0}'..='\u{20ea}' | '\u{302a}'..='\u{302d}'
        | '\u{3099}'..='\u{309a}' | '\u{fb1e}'..='\u{fe23}' | '\u{1d167}'..='\u{1d169}'
        | '\u{1d17b}'..='\u{1d1ad}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::escape::escaped;
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

    #[test]
    fn characters_of_all_kinds_take_what_terminals_give_them() {
        for (text, columns) in [
            ("abc", 3),
            ("日本", 4),
            ("e\u{301}", 1),
            ("हिन्दी", 5),
            ("ภาษาไทยที่", 8),
            ("عَرَبِيّ", 4),
            ("שָׁלוֹם", 4),
            ("한국", 4),
            ("👩\u{200d}💻", 4),
            ("❤\u{fe0f}", 2),
            ("🇩🇪", 4),
            ("\u{d4e}ക", 2),
        ] {
            assert_eq!(columns_of(text), columns, "{text}");
        }
    }

    #[test]
    fn only_what_is_combined_or_escaped_has_no_columns() {
        for char in ('\0'..=char::MAX).filter(|&char| char_columns(char) == 0) {
            let category = char.general_category();
            let is_mark = matches!(category, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
            // The second and third part of a Korean syllable, and what joins letters.
            let is_joined = matches!(char, '\u{1161}'..='\u{11ff}' | '\u{200c}' | '\u{200d}');
            let is_escaped = escaped(char.encode_utf8(&mut [0; 4])).starts_with('\\');
            assert!(is_mark || is_joined || is_escaped, "{char:?} {category:?}");
        }
    }
}
