//! The thread that has the terminal: it takes keys, and draws.
//!
//! What it has drawn last, status rows and prompt, is cleared and drawn anew below new lines. It knows how many rows that
//! took, and never clears more than these: so nothing that was said is ever cleared, whatever becomes of the rows when
//! the screen changes its size. (Terminals that wrap old rows anew may leave a piece of an old prompt there.)

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::canvas::Canvas;
use super::complete::Completion;
use super::history::History;
use super::keys::{Key, Keys};
use super::prompt::{Layout, PROMPT, layout};
use super::raw::{self, Raw};
use super::wrap::fitting;
use crate::client::command::Command;
use crate::client::limits::{ESCAPE_MS, KEYS_READ_BYTES, MESSAGE_MAX_BYTES, STATUS_MS};
use crate::client::{Context, output, signals};

/// What the editor hands over.
#[derive(Debug)]
pub enum Typed {
    /// A line that can be carried out.
    Command(Box<Command>),
    /// The end of the input.
    End,
}

/// Reads lines from the terminal until the user leaves or the terminal is gone. `hand_over` returns whether to go on.
///
/// # Errors
/// If there is no usable terminal.
pub fn run(context: &Arc<Context>, history: History, hand_over: impl FnMut(Typed) -> bool) -> io::Result<()> {
    let Some(canvas) = context.screen.canvas() else { return Ok(()) };
    let raw = Raw::begin()?;
    let mut editor = Editor {
        context,
        canvas,
        raw: &raw,
        buffer: Buffer::default(),
        history,
        mode: Mode::Typing,
        completion: None,
        is_mistaken: false,
        region: Region::default(),
        drawn: String::new(),
    };
    let ended = editor.run(hand_over);
    let _ = output::write_all(io::stdout(), editor.region.clearing().as_bytes());
    raw.leave();
    canvas.close(raw::size().0);
    ended
}

struct Editor<'a> {
    context: &'a Arc<Context>,
    canvas: &'a Canvas,
    raw: &'a Raw,
    buffer: Buffer,
    history: History,
    mode: Mode,
    completion: Option<Completion>,
    /// The text has just been refused as a command.
    is_mistaken: bool,
    region: Region,
    /// Status rows and prompt as they were drawn last.
    drawn: String,
}

/// What keys do.
#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Typing,
    /// Ctrl-R: looks for a part of an entry of the history, so many back.
    Searching {
        part: String,
        back: usize,
    },
    /// Asks whether to send so many lines.
    Asking {
        lines: usize,
    },
}

/// The rows that are drawn over.
#[derive(Debug, Default)]
struct Region {
    is_drawn: bool,
    /// The row of the cursor.
    cursor_row: usize,
}

impl Region {
    /// Goes to its beginning, and clears from there.
    fn clearing(&self) -> String {
        match (self.is_drawn, self.cursor_row) {
            (false, _) => String::new(),
            (true, 0) => "\r\x1b[J".to_owned(),
            (true, rows) => format!("\r\x1b[{rows}A\x1b[J"),
        }
    }
}

impl Editor<'_> {
    fn run(&mut self, mut hand_over: impl FnMut(Typed) -> bool) -> io::Result<()> {
        let mut keys = Keys::default();
        let mut bytes = vec![0; KEYS_READ_BYTES];
        let mut read_last = Instant::now();
        loop {
            let has_more = self.draw()?;
            let timeout_ms = match () {
                () if has_more => Some(0),
                () if keys.is_waiting() => Some(ESCAPE_MS),
                () if self.canvas.is_moving() => Some(STATUS_MS),
                () => None,
            };
            let ready = self.raw.wait(self.canvas.woken(), timeout_ms)?;
            if ready.is_continued {
                self.raw.enter()?;
                // Others have written there meanwhile.
                self.region = Region::default();
            }
            if ready.is_resized || ready.is_continued {
                self.drawn.clear();
            }
            let taken = if ready.has_keys {
                match rustix::io::read(io::stdin(), &mut bytes) {
                    // The terminal is gone.
                    Ok(0) => {
                        hand_over(Typed::End);
                        return Ok(());
                    }
                    Ok(len) => {
                        read_last = Instant::now();
                        keys.take(bytes.get(..len).unwrap_or_default())
                    }
                    Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                    Err(error) => return Err(error.into()),
                }
            } else if read_last.elapsed() >= Duration::from_millis(ESCAPE_MS) {
                keys.give_up_waiting().into_iter().collect()
            } else {
                vec![]
            };
            for key in taken {
                let Some(typed) = self.on_key(key) else { continue };
                let is_last = match &typed {
                    Typed::Command(command) => **command == Command::Quit,
                    Typed::End => true,
                };
                if is_last {
                    self.draw_all()?;
                }
                if !hand_over(typed) || is_last {
                    return Ok(());
                }
            }
        }
    }

    fn on_key(&mut self, key: Key) -> Option<Typed> {
        match self.mode {
            Mode::Asking { .. } => return self.on_answer(&key),
            Mode::Searching { .. } => {
                if self.search(&key) {
                    return None;
                }
            }
            Mode::Typing => {}
        }
        let is_mistaken = std::mem::take(&mut self.is_mistaken);
        if !matches!(key, Key::Tab | Key::BackTab) {
            self.completion = None;
        }
        match key {
            // What was refused stays, but who goes on with another command wants that one.
            Key::Char('/') if is_mistaken => {
                self.buffer.set("/");
            }
            Key::Char(char) => self.type_char(char),
            Key::Paste(text) => self.paste(text),
            Key::Break => self.buffer.insert("\n"),
            Key::Enter => return self.enter(false),
            Key::Tab => self.complete(false),
            Key::BackTab => self.complete(true),
            Key::Backspace => self.buffer.backspace(),
            Key::Ctrl('d') if self.buffer.text().is_empty() => return Some(Typed::End),
            Key::Delete | Key::Ctrl('d') => self.buffer.delete(),
            Key::Left | Key::Ctrl('b') => self.buffer.left(),
            Key::Right | Key::Ctrl('f') => self.buffer.right(),
            Key::WordLeft | Key::Alt('b') => self.buffer.word_left(),
            Key::WordRight | Key::Alt('f') => self.buffer.word_right(),
            Key::Home | Key::Ctrl('a') => self.buffer.home(),
            Key::End | Key::Ctrl('e') => self.buffer.end(),
            Key::Up if self.buffer.vertical(-1) => {}
            Key::Down if self.buffer.vertical(1) => {}
            Key::Up | Key::Ctrl('p') => {
                if let Some(entry) = self.history.previous(self.buffer.text()) {
                    self.buffer.set(entry);
                }
            }
            Key::Down | Key::Ctrl('n') => {
                if let Some(entry) = self.history.following() {
                    self.buffer.set(entry);
                }
            }
            Key::Ctrl('k') => self.buffer.cut_to_end(),
            Key::Ctrl('u') => self.buffer.cut_to_start(),
            Key::Ctrl('w') => self.buffer.cut_blank_word(),
            Key::Alt('d') => self.buffer.cut_word(),
            Key::Ctrl('y') => self.buffer.yank(),
            Key::Ctrl('t') => self.buffer.transpose(),
            Key::Ctrl('_') => self.buffer.undo(),
            Key::Ctrl('r') => self.mode = Mode::Searching { part: String::new(), back: 0 },
            Key::Ctrl('l') => self.canvas.clear(),
            Key::Ctrl('c') => signals::interrupt(self.context),
            Key::Ctrl('z') => {
                self.forget_region();
                let _ = self.raw.suspend();
            }
            Key::Ctrl(_) | Key::Alt(_) | Key::Escape => {}
        }
        None
    }

    /// A receiver that `/reply` means must be seen before the text is typed: somebody may write at that moment.
    fn type_char(&mut self, char: char) {
        self.buffer.insert_char(char);
        if char == ' ' && matches!(self.buffer.text(), "/reply " | "/r ") {
            let receiver = self.context.people().reply_to().cloned();
            if let Some(receiver) = receiver {
                self.buffer.set(&format!("/msg {receiver} "));
            }
        }
    }

    /// Pasted text has its line breaks, but not the last one: it is no word to send it. What else does something to a
    /// terminal is left out.
    fn paste(&mut self, text: Option<String>) {
        let Some(text) = text.filter(|text| self.buffer.text().len() + text.len() <= 2 * MESSAGE_MAX_BYTES) else {
            self.context.screen.problem(format!("not pasted: a message has {MESSAGE_MAX_BYTES} bytes at most"));
            return;
        };
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect();
        self.buffer.insert(text.trim_end_matches('\n'));
    }

    /// Return: hands the text over if it can be carried out. Otherwise it stays.
    fn enter(&mut self, is_confirmed: bool) -> Option<Typed> {
        let text = self.buffer.text();
        let command = match Command::parse(text, &self.context.people()) {
            Ok(command) => command,
            Err(mistake) => {
                self.is_mistaken = true;
                self.context.screen.problem(mistake.to_string());
                return None;
            }
        };
        let lines = command.message().map_or(1, |text| text.lines().count());
        if lines > 1 && !is_confirmed {
            self.mode = Mode::Asking { lines };
            return None;
        }
        let text = self.buffer.take();
        if let Err(error) = self.history.add(&text) {
            self.context.screen.problem(format!("the history can't be kept: {error}"));
        }
        (command != Command::Nothing).then(|| Typed::Command(Box::new(command)))
    }

    fn on_answer(&mut self, key: &Key) -> Option<Typed> {
        match key {
            Key::Char('y' | 'Y') | Key::Enter => {
                self.mode = Mode::Typing;
                self.enter(true)
            }
            Key::Char('n' | 'N') | Key::Escape | Key::Ctrl('c' | 'g') => {
                self.mode = Mode::Typing;
                None
            }
            _ => None,
        }
    }

    /// A key while the history is searched; whether it was one for the search.
    fn search(&mut self, key: &Key) -> bool {
        let Mode::Searching { part, back } = &mut self.mode else { return false };
        match key {
            Key::Char(char) => {
                part.push(*char);
                *back = 0;
            }
            Key::Backspace => {
                part.pop();
                *back = 0;
            }
            Key::Ctrl('r') => {
                if let Some((found, _)) = self.history.search(part, *back)
                    && self.history.search(part, found + 1).is_some()
                {
                    *back = found + 1;
                }
            }
            Key::Escape | Key::Ctrl('g' | 'c') => self.mode = Mode::Typing,
            _ => {
                if let Some((_, entry)) = self.history.search(part, *back).filter(|_| !part.is_empty()) {
                    self.buffer.set(entry);
                }
                self.mode = Mode::Typing;
                // Return only takes the entry over.
                return *key == Key::Enter;
            }
        }
        true
    }

    fn complete(&mut self, is_back: bool) {
        match &mut self.completion {
            Some(completion) => completion.step(is_back),
            None => {
                let people = self.context.people().for_completion();
                self.completion = Completion::of(self.buffer.before(), &people);
            }
        }
        let Some(completion) = &self.completion else { return };
        self.buffer.replace(completion.from, completion.shown());
        if completion.is_only() {
            self.completion = None;
        }
    }

    /// Draws until nothing waits.
    fn draw_all(&mut self) -> io::Result<()> {
        while self.draw()? {}
        Ok(())
    }

    /// Draws what is new. Returns whether there is more.
    fn draw(&mut self) -> io::Result<bool> {
        let (columns, rows) = raw::size();
        let drawing = self.canvas.take(columns);
        let (region, after) = self.region(columns, rows);
        if drawing.rows.is_empty() && !drawing.clears && after == self.drawn {
            return Ok(false);
        }
        let mut out = self.region.clearing();
        if drawing.clears {
            // What was said scrolls off, it is not lost.
            out.push_str(&"\n".repeat(rows));
            out.push_str("\x1b[H\x1b[J");
        }
        out.push_str(&drawing.rows);
        out.push_str(&after);
        // Everywhere, as the terminal may be raw or not.
        let out = out.replace('\n', "\r\n");
        self.region = region;
        self.drawn = after;
        output::write_all(io::stdout(), out.as_bytes())?;
        Ok(drawing.has_more)
    }

    /// Status rows and prompt, with the cursor where it belongs.
    fn region(&self, columns: usize, rows: usize) -> (Region, String) {
        let question = match self.mode {
            Mode::Asking { lines } => format!("send {lines} lines as one message? y sends them, n goes back"),
            _ => String::new(),
        };
        let width = columns.saturating_sub(1).max(1);
        // A small screen is for what is said, but keys that answer a question must not do so unseen.
        let status_rows = if rows > 3 || !question.is_empty() { rows.saturating_sub(1) } else { 0 };
        let status = self.canvas.status(&question, width, status_rows);
        let (prompt, mut layout) = match &self.mode {
            Mode::Asking { .. } if status.is_empty() => (String::new(), Layout::of_row(fitting(&question, width))),
            _ => self.prompt(columns),
        };
        layout.cut_to(rows.saturating_sub(status.len() + 1));
        let strong = |row: &str| match row.strip_prefix(prompt.as_str()) {
            Some(rest) if !prompt.is_empty() => self.canvas.strong(&prompt) + rest,
            _ => row.to_owned(),
        };
        let mut shown: Vec<String> = status;
        let above = shown.len();
        shown.extend(layout.rows.iter().map(|row| strong(row)));
        let mut text = shown.join("\n");
        let up = layout.rows.len() - 1 - layout.cursor_row;
        if up > 0 {
            text.push_str(&format!("\x1b[{up}A"));
        }
        // The same characters again put the cursor where the terminal thinks that they end.
        text.push('\r');
        text.push_str(&strong(&layout.before_cursor));
        (Region { is_drawn: true, cursor_row: above + layout.cursor_row }, text)
    }

    fn prompt(&self, columns: usize) -> (String, Layout) {
        if let Mode::Searching { part, back } = &self.mode {
            let prompt = format!("search \"{part}\": ");
            let entry = self.history.search(part, *back).filter(|_| !part.is_empty()).map_or("", |(_, entry)| entry);
            let laid_out = layout("", &(prompt + entry), usize::MAX, columns);
            return (String::new(), laid_out);
        }
        (PROMPT.to_owned(), layout(PROMPT, self.buffer.text(), self.buffer.cursor(), columns))
    }

    /// Clears it. The next drawing begins at the cursor.
    fn forget_region(&mut self) {
        let _ = output::write_all(io::stdout(), self.region.clearing().as_bytes());
        self.region = Region::default();
        self.drawn.clear();
    }
}
