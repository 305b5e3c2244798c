//! The typed text as rows, and where the cursor is among them.
//!
//! No row is wrapped by the terminal: each is shorter than the screen is wide, so that the number of rows is known
//! whatever the terminal thinks of a character's width, and also after the terminal has become narrower.

use unicode_segmentation::UnicodeSegmentation;

use super::width::{columns_of, pieces};
use crate::client::escape::escaped;

/// In front of the first row.
pub const PROMPT: &str = "> ";
/// In front of each further line of text.
const FURTHER: &str = "  ";
/// A screen narrower than this has no prompt: its columns are for the text.
const PROMPT_MIN_COLUMNS: usize = 8;

/// Rows, and the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The rows, each shorter than the columns.
    pub rows: Vec<String>,
    /// The row of the cursor.
    pub cursor_row: usize,
    /// What of its row stands before the cursor.
    pub before_cursor: String,
}

/// Lays out `text` behind a prompt, with the cursor at a byte of it.
pub fn layout(prompt: &str, text: &str, cursor: usize, columns: usize) -> Layout {
    let width = columns.saturating_sub(1).max(1);
    let has_prompt = columns >= PROMPT_MIN_COLUMNS;
    let mut rows = Vec::new();
    let mut row = if has_prompt { prompt.to_owned() } else { String::new() };
    let mut column = columns_of(&row);
    let mut at_cursor = None;
    for (at, grapheme) in text.grapheme_indices(true) {
        if grapheme == "\n" {
            if at == cursor {
                at_cursor = Some((rows.len(), row.len()));
            }
            rows.push(std::mem::take(&mut row));
            row.push_str(if has_prompt { FURTHER } else { "" });
            column = columns_of(&row);
            continue;
        }
        let shown = if grapheme == "\t" { "    ".into() } else { escaped(grapheme) };
        for (number, (piece, taken)) in pieces(&shown, width).enumerate() {
            if column + taken > width && column > 0 {
                rows.push(std::mem::take(&mut row));
                column = 0;
            }
            if at == cursor && number == 0 {
                at_cursor = Some((rows.len(), row.len()));
            }
            row.push_str(piece);
            column += taken;
        }
    }
    let (cursor_row, before) = at_cursor.unwrap_or((rows.len(), row.len()));
    rows.push(row);
    let before_cursor = rows.get(cursor_row).and_then(|row| row.get(..before)).unwrap_or_default().to_owned();
    Layout { rows, cursor_row, before_cursor }
}

impl Layout {
    /// A row with the cursor behind it.
    pub fn of_row(row: &str) -> Layout {
        Layout { rows: vec![row.to_owned()], cursor_row: 0, before_cursor: row.to_owned() }
    }

    /// The rows around the cursor, at most so many: a prompt that is higher than the screen would be drawn again and again
    /// into what has scrolled off.
    pub fn cut_to(&mut self, rows_max: usize) {
        let rows_max = rows_max.max(1);
        if self.rows.len() <= rows_max {
            return;
        }
        let last_first = self.rows.len() - rows_max;
        let first = (self.cursor_row + 1).saturating_sub(rows_max).min(last_first);
        self.rows.drain(..first);
        self.rows.truncate(rows_max);
        self.cursor_row -= first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str, cursor: usize, columns: usize) -> (Vec<String>, usize, String) {
        let Layout { rows, cursor_row, before_cursor } = layout(PROMPT, text, cursor, columns);
        (rows, cursor_row, before_cursor)
    }

    #[test]
    fn text_goes_over_as_many_rows_as_it_takes_and_the_cursor_is_among_them() {
        let expected = (vec!["> 0123456".to_owned(), "789".to_owned()], 1, "7".to_owned());
        assert_eq!(rows("0123456789", 8, 10), expected);
        let expected = (vec!["> a".to_owned(), "  b".to_owned()], 1, "  b".to_owned());
        assert_eq!(rows("a\nb", 3, 10), expected);
        assert_eq!(rows("a\nb", 1, 10).1, 0);
        let expected = (vec!["> 日本語".to_owned(), "日本".to_owned()], 1, "日本".to_owned());
        assert_eq!(rows("日本語日本", 15, 10), expected);
        assert_eq!(rows("\x1b\t", 0, 40).0, ["> \\u{1b}    "]);
    }

    #[test]
    fn a_prompt_higher_than_the_screen_shows_the_rows_around_the_cursor() {
        let text = "0123456789".repeat(10);
        for (cursor, first) in [(0, "> 01"), (50, "0123"), (100, "5678")] {
            let mut layout = layout(PROMPT, &text, cursor, 5 + 4);
            let before = layout.before_cursor.clone();
            layout.cut_to(4);
            assert_eq!(layout.rows.len(), 4);
            assert!(
                layout.rows.get(layout.cursor_row).is_some_and(|row| row.starts_with(&before)),
                "{layout:?} {first}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_row_is_as_wide_as_the_screen(text in "(\\PC|[\n\t]|(👩\u{200d}){1,30}|\u{d4e}{1,50}){0,80}", columns in 9usize..40) {
            let layout = layout(PROMPT, &text, text.len(), columns);
            for row in &layout.rows {
                prop_assert!(columns_of(row) < columns, "{row:?}");
            }
            prop_assert_eq!(layout.cursor_row, layout.rows.len() - 1);
        }
    }
}
