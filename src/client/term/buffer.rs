//! The typed text and its cursor: what each editing key does. Positions are bytes, at borders of user-perceived characters.

use unicode_segmentation::UnicodeSegmentation;

use crate::client::limits::UNDO_MAX;

/// A text that is being typed.
#[derive(Debug, Default)]
pub struct Buffer {
    text: String,
    cursor: usize,
    /// What was cut last.
    cut: String,
    /// The last key has cut, too: a further cut is added.
    is_cutting: bool,
    undo: Vec<(String, usize)>,
    /// The last key was a character, which is undone together with those before it.
    is_typing: bool,
}

impl Buffer {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the next character goes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The text in front of the cursor.
    pub fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// The text behind the cursor.
    pub fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// Takes the text out: it was entered.
    pub fn take(&mut self) -> String {
        (self.cursor, self.is_typing, self.is_cutting) = (0, false, false);
        self.undo.clear();
        std::mem::take(&mut self.text)
    }

    /// Puts another text in its place, with the cursor at its end.
    pub fn set(&mut self, text: &str) {
        self.remember();
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// A typed character.
    pub fn insert_char(&mut self, char: char) {
        if !std::mem::replace(&mut self.is_typing, true) || char == ' ' {
            self.push_undo();
        }
        self.is_cutting = false;
        self.text.insert(self.cursor, char);
        self.cursor += char.len_utf8();
    }

    /// A text at the cursor.
    pub fn insert(&mut self, text: &str) {
        self.remember();
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    /// Puts `text` in the place of what stands between `from` and the cursor.
    pub fn replace(&mut self, from: usize, text: &str) {
        self.remember();
        if self.text.is_char_boundary(from) && from <= self.cursor {
            self.text.replace_range(from..self.cursor, text);
            self.cursor = from + text.len();
        }
    }

    /// One character to the left.
    pub fn left(&mut self) {
        self.end_run();
        self.cursor = self.previous();
    }

    /// One character to the right.
    pub fn right(&mut self) {
        self.end_run();
        self.cursor = self.following();
    }

    /// To the beginning of the word, or of the one before.
    pub fn word_left(&mut self) {
        self.end_run();
        self.cursor = self.word_start();
    }

    /// To the end of the word, or of the one after.
    pub fn word_right(&mut self) {
        self.end_run();
        self.cursor = self.word_end();
    }

    /// To the beginning of the line.
    pub fn home(&mut self) {
        self.end_run();
        self.cursor = self.line_start();
    }

    /// To the end of the line.
    pub fn end(&mut self) {
        self.end_run();
        self.cursor = self.line_end();
    }

    /// To the same column of the line above (-1) or below (1). Returns false if there is none.
    pub fn vertical(&mut self, by: isize) -> bool {
        self.end_run();
        let start = self.line_start();
        let column = self.text.get(start..self.cursor).unwrap_or_default().graphemes(true).count();
        let to = if by < 0 {
            let Some(end) = start.checked_sub(1) else { return false };
            self.text.get(..end).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1)
        } else {
            let end = self.line_end();
            if end >= self.text.len() {
                return false;
            }
            end + 1
        };
        let line = self.text.get(to..).unwrap_or_default().split('\n').next().unwrap_or_default();
        self.cursor = to + line.graphemes(true).take(column).map(str::len).sum::<usize>();
        true
    }

    /// Removes the character before the cursor.
    pub fn backspace(&mut self) {
        self.remove(self.previous(), self.cursor);
    }

    /// Removes the character at the cursor.
    pub fn delete(&mut self) {
        self.remove(self.cursor, self.following());
    }

    /// Cuts up to the beginning of the line.
    pub fn cut_to_start(&mut self) {
        self.cut(self.line_start(), self.cursor);
    }

    /// Cuts up to the end of the line, or the line break.
    pub fn cut_to_end(&mut self) {
        let end = if self.line_end() == self.cursor { self.following() } else { self.line_end() };
        self.cut(self.cursor, end);
    }

    /// Cuts the word before the cursor, up to a blank.
    pub fn cut_blank_word(&mut self) {
        let before = self.before().trim_end();
        let from = before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        self.cut(from, self.cursor);
    }

    /// Cuts up to the end of the word.
    pub fn cut_word(&mut self) {
        self.cut(self.cursor, self.word_end());
    }

    /// Inserts what was cut last.
    pub fn yank(&mut self) {
        let cut = self.cut.clone();
        self.insert(&cut);
    }

    /// Swaps the characters around the cursor.
    pub fn transpose(&mut self) {
        if self.cursor == self.text.len() {
            self.left();
        }
        let (from, to) = (self.previous(), self.following());
        let (first, second) =
            (self.text.get(from..self.cursor).unwrap_or_default(), self.text.get(self.cursor..to).unwrap_or_default());
        if !first.is_empty() && !second.is_empty() {
            let swapped = format!("{second}{first}");
            self.remember();
            self.text.replace_range(from..to, &swapped);
            self.cursor = to;
        }
    }

    /// Takes the last change back.
    pub fn undo(&mut self) {
        self.end_run();
        if let Some((text, cursor)) = self.undo.pop() {
            (self.text, self.cursor) = (text, cursor);
        }
    }

    fn previous(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn following(&self) -> usize {
        self.cursor + self.after().graphemes(true).next().map_or(0, str::len)
    }

    fn word_start(&self) -> usize {
        let words = self.before().unicode_word_indices().next_back();
        words.map_or(0, |(at, _)| at)
    }

    fn word_end(&self) -> usize {
        let words = self.after().unicode_word_indices().next();
        words.map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.after().find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    fn end_run(&mut self) {
        (self.is_typing, self.is_cutting) = (false, false);
    }

    /// What stands there now can be brought back.
    fn remember(&mut self) {
        self.end_run();
        self.push_undo();
    }

    fn push_undo(&mut self) {
        if self.undo.len() >= UNDO_MAX {
            self.undo.remove(0);
        }
        self.undo.push((self.text.clone(), self.cursor));
    }

    fn remove(&mut self, from: usize, to: usize) {
        if from < to {
            self.remember();
            self.text.replace_range(from..to, "");
            self.cursor = from;
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        let was_cutting = self.is_cutting;
        let removed = self.text.get(from..to).unwrap_or_default().to_owned();
        if removed.is_empty() {
            return;
        }
        let is_before = to == self.cursor;
        self.remove(from, to);
        self.cut = match (was_cutting, is_before) {
            (false, _) => removed,
            (true, true) => removed + &self.cut,
            (true, false) => std::mem::take(&mut self.cut) + &removed,
        };
        self.is_cutting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn buffer(text: &str) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.set(text);
        buffer
    }

    #[test]
    fn a_joined_character_is_passed_and_removed_as_one() {
        let mut buffer = buffer("a👩\u{200d}💻e\u{301}b");
        buffer.left();
        buffer.backspace();
        assert_eq!(buffer.text(), "a👩\u{200d}💻b");
        buffer.left();
        assert_eq!(buffer.cursor(), 1);
        buffer.delete();
        assert_eq!((buffer.text(), buffer.before()), ("ab", "a"));
        buffer.undo();
        buffer.undo();
        assert_eq!(buffer.text(), "a👩\u{200d}💻e\u{301}b");
    }

    #[test]
    fn words_are_passed_and_cut_and_brought_back() {
        let mut buffer = buffer("one two-three  four");
        buffer.word_left();
        assert_eq!(buffer.after(), "four");
        buffer.cut_blank_word();
        assert_eq!(buffer.text(), "one four");
        buffer.cut_blank_word();
        assert_eq!(buffer.text(), "four");
        buffer.end();
        buffer.yank();
        assert_eq!(buffer.text(), "fourone two-three  ");
        buffer.home();
        buffer.word_right();
        assert_eq!(buffer.before(), "fourone");
        buffer.cut_to_end();
        buffer.cut_to_start();
        assert_eq!(buffer.text(), "");
        buffer.yank();
        assert_eq!(buffer.text(), "fourone two-three  ");
    }

    #[test]
    fn the_cursor_goes_up_and_down_in_lines() {
        let mut buffer = buffer("one\ntwo and\nx");
        assert!(buffer.vertical(-1));
        assert_eq!(buffer.before(), "one\nt");
        buffer.end();
        assert!(buffer.vertical(-1) && !buffer.vertical(-1));
        assert_eq!(buffer.before(), "one");
        assert!(buffer.vertical(1) && buffer.vertical(1) && !buffer.vertical(1));
        buffer.home();
        assert_eq!(buffer.before(), "one\ntwo and\n");
    }

    #[test]
    fn the_characters_around_the_cursor_are_swapped() {
        let mut buffer = buffer("abc");
        buffer.transpose();
        assert_eq!(buffer.text(), "acb");
        buffer.home();
        buffer.transpose();
        assert_eq!(buffer.text(), "acb");
    }

    proptest! {
        #[test]
        fn whatever_is_done_the_cursor_stays_within_the_text(text in "(\\PC|[ab \n]){0,20}", keys: Vec<u8>) {
            let mut buffer = buffer(&text);
            for key in keys {
                match key % 20 {
                    0 => buffer.left(),
                    1 => buffer.right(),
                    2 => buffer.word_left(),
                    3 => buffer.word_right(),
                    4 => buffer.home(),
                    5 => buffer.end(),
                    6 => {
                        buffer.vertical(-1);
                    }
                    7 => {
                        buffer.vertical(1);
                    }
                    8 => buffer.backspace(),
                    9 => buffer.delete(),
                    10 => buffer.cut_to_start(),
                    11 => buffer.cut_to_end(),
                    12 => buffer.cut_blank_word(),
                    13 => buffer.cut_word(),
                    14 => buffer.yank(),
                    15 => buffer.transpose(),
                    16 => buffer.undo(),
                    17 => buffer.insert_char('\u{301}'),
                    18 => buffer.insert("👩\u{200d}💻"),
                    _ => buffer.replace(usize::from(key), "日"),
                }
                prop_assert!(buffer.text().is_char_boundary(buffer.cursor()));
                prop_assert_eq!(format!("{}{}", buffer.before(), buffer.after()), buffer.text());
            }
        }
    }
}
