//! A line as rows of a terminal: words are wrapped, and each further row is indented under the first and marked, so that
//! no text can look like a line of its own.
//!
//! ```text
//!  12:01 [7] ana: the first row, and what does
//!               │ not fit into it
//!               │ after a line break of ana's
//! ```

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

use super::width::{columns_of, grapheme_columns, pieces};
use crate::client::escape::escaped;
use crate::client::limits::MESSAGE_BREAKS_MAX;

/// What stands in front of each further row, behind blanks.
const MARK: &str = "│ ";
const MARK_COLUMNS: usize = 2;
/// Columns from one tab stop to the next.
const TAB_COLUMNS: usize = 8;

/// A part of a line with its colour, an SGR parameter; empty for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The colour.
    pub color: String,
    /// The text.
    pub text: String,
}

impl Span {
    /// A part in a colour.
    pub fn new(color: &str, text: impl Into<String>) -> Span {
        Span { color: color.to_owned(), text: text.into() }
    }
}

/// The beginning of `text` that fits into so many columns.
pub fn fitting(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme_columns(grapheme);
        if used > columns {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// A text of the client's own as rows, wrapped at its blanks. What does not fit into so many is left out.
pub fn wrapped(text: &str, columns: usize, rows_max: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for mut word in text.split(' ') {
        if let Some(row) = rows.last_mut()
            && columns_of(row) + 1 + columns_of(word) <= columns
        {
            row.push(' ');
            row.push_str(word);
            continue;
        }
        while !word.is_empty() {
            let whole = fitting(word, columns);
            // A character wider than the screen.
            let len = if whole.is_empty() { word.graphemes(true).next().map_or(1, str::len) } else { whole.len() };
            let (row, rest) = word.split_at_checked(len).unwrap_or((word, ""));
            rows.push(row.to_owned());
            word = rest;
        }
    }
    rows.truncate(rows_max);
    rows
}

/// The rows of a line: `head`, which is safe to show, then `body`, whose text is of others. Each row ends with a line
/// break.
pub fn rows(head: &[Span], body: &Span, columns: usize) -> String {
    let head_columns = head.iter().map(|span| columns_of(&span.text)).sum();
    let mut rows = Rows::new(columns, head_columns);
    for span in head {
        rows.color(&span.color);
        rows.put_cut(&span.text);
    }
    rows.color(&body.color);
    rows.put_text(&body.text);
    rows.end()
}

/// Rows as they are put together.
struct Rows {
    out: String,
    columns: usize,
    indent: usize,
    column: usize,
    /// Where text begins in this row.
    text_from: usize,
    /// Blanks before the next word, if that comes into this row.
    blanks: usize,
    /// Nothing but the indentation is in this row.
    is_fresh: bool,
    color: String,
}

impl Rows {
    fn new(columns: usize, head_columns: usize) -> Rows {
        let columns = columns.max(1);
        let indent = match columns {
            _ if head_columns * 2 <= columns && head_columns >= MARK_COLUMNS => head_columns,
            16.. => 8,
            6.. => MARK_COLUMNS,
            _ => 0,
        };
        Rows {
            out: String::new(),
            columns,
            indent,
            column: 0,
            text_from: 0,
            blanks: 0,
            is_fresh: true,
            color: String::new(),
        }
    }

    fn color(&mut self, color: &str) {
        if self.color != color {
            if !self.color.is_empty() {
                self.out.push_str("\x1b[0m");
            }
            color.clone_into(&mut self.color);
            self.begin_color();
        }
    }

    fn begin_color(&mut self) {
        if !self.color.is_empty() {
            self.out.push_str("\x1b[");
            self.out.push_str(&self.color);
            self.out.push('m');
        }
    }

    fn end_color(&mut self) {
        if !self.color.is_empty() {
            self.out.push_str("\x1b[0m");
        }
    }

    fn next_row(&mut self) {
        self.end_color();
        self.out.push('\n');
        match self.indent.checked_sub(MARK_COLUMNS) {
            Some(blanks) => {
                self.out.extend(std::iter::repeat_n(' ', blanks));
                self.out.push_str(MARK);
                self.column = self.indent;
            }
            // Too narrow for more.
            None => {
                self.out.push_str(MARK.trim_end());
                self.column = 1;
            }
        }
        self.begin_color();
        (self.text_from, self.blanks, self.is_fresh) = (self.column, 0, true);
    }

    /// What fits into a further row, which has a mark at least.
    fn whole_row(&self) -> usize {
        self.columns.saturating_sub(self.indent.max(1))
    }

    fn left(&self) -> usize {
        self.columns.saturating_sub(self.column)
    }

    /// Puts characters one after the other, over as many rows as it takes.
    fn put_cut(&mut self, text: &str) {
        if text.is_ascii() && text.len() <= self.left() {
            self.put_whole(text, text.len());
            return;
        }
        for (piece, columns) in pieces(text, self.whole_row()) {
            if columns > self.left() && !self.is_fresh {
                self.next_row();
            }
            self.put_whole(piece, columns);
        }
    }

    fn put_whole(&mut self, text: &str, columns: usize) {
        self.out.push_str(text);
        self.column += columns;
        self.is_fresh = self.is_fresh && columns == 0;
    }

    fn put_text(&mut self, text: &str) {
        self.text_from = self.column;
        let mut breaks = 0;
        let mut rest = text;
        while let Some(at) = rest.find('\n').filter(|_| breaks < MESSAGE_BREAKS_MAX) {
            let paragraph = rest.get(..at).unwrap_or_default();
            self.put_paragraph(paragraph.strip_suffix('\r').unwrap_or(paragraph));
            self.next_row();
            rest = rest.get(at + 1..).unwrap_or_default();
            breaks += 1;
        }
        self.put_paragraph(rest);
    }

    fn put_paragraph(&mut self, text: &str) {
        let mut at_start = true;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_blank = is_blank(first);
            let end = rest.find(|char| self::is_blank(char) != is_blank).unwrap_or(rest.len());
            let (run, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if is_blank {
                self.put_blanks(run, at_start);
            } else {
                self.put_word(run);
            }
            (rest, at_start) = (after, false);
        }
    }

    /// Blanks at the end of a row are left out, blanks at the beginning of a line of text are not.
    fn put_blanks(&mut self, run: &str, at_start: bool) {
        let text_column = self.column.saturating_sub(self.text_from);
        let mut columns = 0;
        for char in run.chars() {
            columns += match char {
                '\t' => TAB_COLUMNS - (text_column + columns) % TAB_COLUMNS,
                char => char.width().unwrap_or(1),
            };
        }
        if !self.is_fresh || at_start {
            self.blanks = columns;
        }
    }

    fn put_word(&mut self, word: &str) {
        let shown = escaped(word);
        let columns = columns_of(&shown);
        let blanks = std::mem::take(&mut self.blanks);
        if blanks + columns > self.left() && columns <= self.whole_row() && !self.is_fresh {
            self.next_row();
        } else {
            let blanks = blanks.min(self.left() / 2);
            self.out.extend(std::iter::repeat_n(' ', blanks));
            self.column += blanks;
            self.is_fresh = self.is_fresh && blanks == 0;
        }
        if columns <= self.left() {
            self.put_whole(&shown, columns);
        } else {
            self.put_cut(&shown);
        }
    }

    fn end(mut self) -> String {
        self.end_color();
        self.out.push('\n');
        self.out
    }
}

/// Blanks of any kind: a row is wrapped at all but those that forbid it, and every kind is a plain blank on the screen.
fn is_blank(char: char) -> bool {
    (char.is_whitespace() && !matches!(char, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'))
        || matches!(char, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn plain(head: &str, text: &str, columns: usize) -> Vec<String> {
        let rows = rows(&[Span::new("", head)], &Span::new("", text), columns);
        rows.strip_suffix('\n').unwrap().split('\n').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_wrapped_and_further_rows_are_indented_and_marked() {
        assert_eq!(plain("ana: ", "one two three", 14), ["ana: one two", "   │ three"]);
        assert_eq!(plain("ana: ", "one\r\n\n  two", 14), ["ana: one", "   │ ", "   │   two"]);
        // A head that takes more than half of the row.
        assert_eq!(plain("a long head: ", "one two", 18), ["a long head: one", "      │ two"]);
    }

    #[test]
    fn only_a_word_longer_than_a_row_is_cut() {
        assert_eq!(plain("ana: ", "a 0123456789ABCDEF", 14), ["ana: a 0123456", "   │ 789ABCDEF"]);
        assert_eq!(plain("ana: ", "日本語日本語日", 14), ["ana: 日本語日", "   │ 本語日"]);
    }

    #[test]
    fn what_a_terminal_may_show_wide_does_not_make_it_wrap_a_row() {
        assert_eq!(plain("ana: ", &"🇩🇪".repeat(3), 14), ["ana: 🇩🇪🇩🇪", "   │ 🇩🇪"]);
        // On a terminal that gives each dot a column, the rest would stand unmarked at the beginning of a row.
        let dots = "\u{d4e}".repeat(9);
        assert_eq!(
            plain("ana: ", &format!("{dots}12:00 bob: x"), 14),
            [format!("ana: {dots}"), "   │ 12:00".into(), "   │ bob: x".into()]
        );
    }

    #[test]
    fn a_text_of_our_own_is_wrapped_at_its_blanks_and_bounded() {
        assert_eq!(wrapped("one two three", 8, 9), ["one two", "three"]);
        assert_eq!(wrapped("0123456789", 4, 2), ["0123", "4567"]);
        assert_eq!(wrapped("日本", 1, 9), ["日", "本"]);
    }

    #[test]
    fn hostile_characters_are_escapes_and_tabs_and_odd_blanks_are_blanks() {
        assert_eq!(plain("", "a\x1b[2J\u{202e}\rb", 80), ["a\\u{1b}[2J\\u{202e}\\rb"]);
        assert_eq!(plain("", "a\tb\u{3000}c\u{2800}d", 80), ["a       b  c d"]);
    }

    #[test]
    fn line_breaks_beyond_the_bound_are_shown_as_escapes() {
        let rows = plain("", &"a\n".repeat(MESSAGE_BREAKS_MAX + 3), 80);
        assert_eq!(rows.len(), MESSAGE_BREAKS_MAX + 1);
        assert!(rows.last().unwrap().ends_with("a\\na\\na\\n"), "{rows:?}");
    }

    #[test]
    fn colors_end_with_their_row() {
        let shown = rows(&[Span::new("2", "12:01 ")], &Span::new("31", "one two"), 12);
        assert_eq!(shown, "\x1b[2m12:01 \x1b[0m\x1b[31mone\x1b[0m\n    │ \x1b[31mtwo\x1b[0m\n");
    }

    proptest! {
        #[test]
        fn every_row_fits_and_every_further_row_is_marked(text in "(\\PC|[ \n\t]|[a-z]{1,30}|(👩\u{200d}){1,30}|\u{d4e}{1,50}){0,60}", columns in 3usize..60) {
            for (number, row) in plain("ana: ", &text, columns).iter().enumerate() {
                prop_assert!(columns_of(row) <= columns, "{row:?}");
                prop_assert!(number == 0 || row.trim_start_matches(' ').starts_with('│'), "{row:?}");
            }
        }
    }
}
