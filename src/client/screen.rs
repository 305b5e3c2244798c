//! The target of lines for the user: plain standard output, or above the prompt of a terminal.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use unicode_width::UnicodeWidthChar;

use super::limits::{SCREEN_OWN_LINES, SCREEN_QUEUE_BYTES, SCREEN_QUEUE_LINES, STATUS_MS};
use super::output;
use super::progress::Progress;

/// One line, safe to show: its maker has escaped every text of others.
#[derive(Debug, Clone)]
pub enum Line {
    /// A message: its sender, and its text.
    Message {
        /// `[7] ana` or `[7] ana -> you`.
        from: String,
        /// The text.
        text: String,
        /// For us alone (or from us to one).
        is_private: bool,
    },
    /// Something of our own that is good to know.
    Notice(String),
    /// Something that went wrong.
    Problem(String),
}

/// The place that shows lines.
#[derive(Debug)]
pub enum Screen {
    /// Line by line, for scripts.
    Plain(Plain),
    /// Around a prompt.
    Terminal(Canvas),
}

impl Screen {
    /// Plain lines to standard output.
    pub fn plain() -> Screen {
        Screen::Plain(Plain::default())
    }

    /// Whether there is a prompt.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Screen::Terminal(_))
    }

    /// Whether a line could not be printed.
    pub fn has_failed(&self) -> bool {
        matches!(self, Screen::Plain(plain) if plain.has_failed.load(Ordering::Acquire))
    }

    /// Shows a line. On a terminal that does not keep up this waits.
    pub fn show(&self, line: &Line) {
        self.put(line, true);
    }

    /// Shows a line without waiting: for the few that answer typed commands. If they are too many for a terminal that
    /// takes nothing, they are counted.
    pub fn show_now(&self, line: &Line) {
        self.put(line, false);
    }

    /// Something of our own that is good to know.
    pub fn notice(&self, text: impl Into<String>) {
        self.show_now(&Line::Notice(text.into()));
    }

    /// Something that went wrong.
    pub fn problem(&self, text: impl Into<String>) {
        self.show_now(&Line::Problem(text.into()));
    }

    fn put(&self, line: &Line, may_wait: bool) {
        match self {
            Screen::Plain(printer) => printer.print(line),
            Screen::Terminal(canvas) => canvas.push(line, may_wait),
        }
    }
}

/// Standard output, for scripts.
#[derive(Debug, Default)]
pub struct Plain {
    /// Lines don't mix.
    printing: Mutex<()>,
    has_failed: AtomicBool,
}

impl Plain {
    /// Prints a line. If it cannot be printed, a line on standard error says so once, and the exit status shows it.
    /// Typed lines are still sent, so the client goes on.
    fn print(&self, line: &Line) {
        let _printing = lock(&self.printing);
        let printed = output::write_all(io::stdout(), (plain(line) + "\n").as_bytes());
        if let Err(error) = printed
            && !self.has_failed.swap(true, Ordering::AcqRel)
        {
            output::complain(format_args!("standard output: {error}; what can't be printed is lost"));
        }
    }
}

fn plain(line: &Line) -> String {
    match line {
        Line::Message { from, text, .. } => format!("{from}: {text}"),
        Line::Notice(text) | Line::Problem(text) => format!("* {text}"),
    }
}

/// The terminal while the line editor has it.
///
/// The editor draws the prompt and calls [`Canvas::draw`] each time, with the cursor at the beginning of the cleared
/// prompt's first row. New lines go there, so they stand above the prompt, and no other code has to know the typed
/// text. The status line, if there is one, stays between the two:
///
/// ```text
///  12:01 [7] ana: hi                     what was drawn before
///  12:02 [7] ben: hello                  what came meanwhile
///  ↑ photo.jpg ███░░░░░ 40% 1.2 MB/s     the status line: drawn over next time
///  > some text, being typed              the editor's
/// ```
#[derive(Debug)]
pub struct Canvas {
    state: Mutex<State>,
    /// Lines were taken, or the canvas is closed.
    room: Condvar,
    /// There is something to draw.
    news: Condvar,
    has_colors: bool,
    progress: Progress,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    lines_bytes: usize,
    has_news: bool,
    has_status: bool,
    is_closed: bool,
    /// Shown while nothing is under way.
    standing: String,
    /// Lines of our own that found no room.
    left_out: u64,
}

impl Canvas {
    /// An empty one. Colours are used unless `NO_COLOR` is set.
    pub fn new(progress: Progress) -> Canvas {
        let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Canvas { state: Mutex::default(), room: Condvar::new(), news: Condvar::new(), has_colors, progress }
    }

    /// Sets what the status line says while no file is under way; empty for nothing.
    pub fn set_standing(&self, text: &str) {
        let mut state = lock(&self.state);
        text.clone_into(&mut state.standing);
        state.has_news = true;
        self.news.notify_all();
    }

    /// What to draw before the prompt, from the beginning of the prompt's first row, which is clear.
    pub fn draw(&self, columns: usize) -> String {
        let mut state = lock(&self.state);
        let mut drawing = String::new();
        if std::mem::take(&mut state.has_status) {
            // Up to the status line, which is always one row, and clear from there.
            drawing.push_str("\x1b[A\x1b[J");
        }
        for line in std::mem::take(&mut state.lines) {
            drawing.push_str(&line);
            drawing.push('\n');
        }
        let left_out = std::mem::take(&mut state.left_out);
        if left_out > 0 {
            drawing.push_str(&format!("* {left_out} lines found no room and are left out\n"));
        }
        state.lines_bytes = 0;
        state.has_news = false;
        let status = match self.progress.status() {
            status if status.is_empty() => state.standing.clone(),
            status => status,
        };
        let status = fitting(&status, columns.saturating_sub(1));
        if !status.is_empty() {
            let _ = writeln!(drawing, "{}", self.painted(DIM, status));
            state.has_status = true;
        }
        self.room.notify_all();
        drawing
    }

    /// Takes a typed line, which has just been entered, off the screen: it comes back as a message. `rows` is what it
    /// takes with its prompt.
    pub fn erase(&self, rows: usize) -> String {
        let has_status = std::mem::take(&mut lock(&self.state).has_status);
        format!("\x1b[{}A\r\x1b[J", rows + usize::from(has_status))
    }

    /// The prompt as it is painted.
    pub fn prompt(&self, prompt: &str) -> String {
        self.painted("1", prompt)
    }

    /// Waits until there is something to draw; false when the canvas is closed.
    pub fn wait_for_news(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed {
                return false;
            }
            if state.has_news {
                state.has_news = false;
                return true;
            }
            let pause = Duration::from_millis(STATUS_MS);
            let waited = self.news.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            let is_status_stale = state.has_status || !self.progress.status().is_empty();
            if waited.1.timed_out() && is_status_stale {
                state.has_news = true;
            }
        }
    }

    /// The editor has left the terminal: what waits and what comes from now on is simply printed.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        for line in std::mem::take(&mut state.lines) {
            print_to_terminal(line);
        }
        self.room.notify_all();
        self.news.notify_all();
    }

    fn push(&self, line: &Line, may_wait: bool) {
        let line = self.formatted(line);
        let mut state = lock(&self.state);
        while may_wait && !state.is_closed && state.is_full() {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            print_to_terminal(line);
            return;
        }
        if state.lines.len() >= SCREEN_OWN_LINES || state.lines_bytes >= 2 * SCREEN_QUEUE_BYTES {
            state.left_out += 1;
            return;
        }
        state.lines_bytes += line.len();
        state.lines.push_back(line);
        state.has_news = true;
        self.news.notify_all();
    }

    fn formatted(&self, line: &Line) -> String {
        let time = self.painted(DIM, &jiff::ZonedDateTime::now().strftime("%H:%M").to_string());
        match line {
            Line::Message { from, text, is_private } => {
                let color = if *is_private { "1;35" } else { sender_color(from) };
                format!("{time} {}: {text}", self.painted(color, from))
            }
            Line::Notice(text) => format!("{time} {}", self.painted(DIM, &format!("* {text}"))),
            Line::Problem(text) => format!("{time} {}", self.painted("31", &format!("* {text}"))),
        }
    }

    fn painted(&self, color: &str, text: &str) -> String {
        if self.has_colors { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.lines.len() >= SCREEN_QUEUE_LINES || self.lines_bytes >= SCREEN_QUEUE_BYTES
    }
}

/// If the terminal is gone, a signal says so.
fn print_to_terminal(line: String) {
    let _ = output::write_all(io::stdout(), (line + "\n").as_bytes());
}

const DIM: &str = "2";

/// The limiter for everything that one sender says.
fn sender_color(from: &str) -> &'static str {
    const COLORS: [&str; 5] = ["32", "33", "34", "36", "1;34"];
    let sum = from.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    COLORS.get(sum % COLORS.len()).copied().unwrap_or_default()
}

/// The beginning of `text` that fits into so many columns.
fn fitting(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, char) in text.char_indices() {
        used += char.width().unwrap_or(0);
        if used > columns {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Rows that a text takes from the left edge; `None` if it has more than plain characters, so that they cannot be
/// known.
pub fn rows(text: &str, columns: usize) -> Option<usize> {
    let (mut row, mut column) = (0, 0);
    for char in text.chars() {
        if char == '\n' {
            (row, column) = (row + 1, 0);
            continue;
        }
        let width = char.width().filter(|&width| width > 0)?;
        column += width;
        if column > columns {
            (row, column) = (row + 1, width);
        }
    }
    Some(if column == columns { row + 2 } else { row + 1 })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::progress::Direction;

    fn canvas(progress: &Progress) -> Canvas {
        Canvas { has_colors: false, ..Canvas::new(progress.clone()) }
    }

    fn without_times(drawing: &str) -> String {
        drawing
            .lines()
            .map(|line| line.get(6..).filter(|_| line.get(2..3) == Some(":")).unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn lines_are_drawn_once_and_in_order() {
        let canvas = canvas(&Progress::default());
        canvas.push(&Line::Message { from: "[7] ana".into(), text: "hi".into(), is_private: false }, false);
        canvas.push(&Line::Notice("note".into()), false);
        assert_eq!(without_times(&canvas.draw(80)), "[7] ana: hi\n* note");
        assert_eq!(canvas.draw(80), "");
    }

    #[test]
    fn the_status_line_is_cut_to_one_row_and_drawn_over() {
        let progress = Progress::default();
        let canvas = canvas(&progress);
        let meter = progress.begin(Direction::Sending, "日本語".repeat(20), 100);
        let first = canvas.draw(20);
        assert_eq!(first, "↑ 日本語日本語日本\n");
        canvas.push(&Line::Notice("note".into()), false);
        let second = canvas.draw(20);
        assert!(second.starts_with("\x1b[A\x1b[J") && second.ends_with(&first), "{second:?}");
        drop(meter);
        assert_eq!(canvas.draw(20), "\x1b[A\x1b[J");
        assert_eq!(canvas.draw(20), "");
    }

    #[test]
    fn rows_are_counted_as_the_editor_counts_them() {
        let cases =
            [("> ", 1), ("> 345678", 1), ("> 34567890", 2), ("> 345678901", 2), ("> 日本語日", 2), ("> a\nb", 2)];
        for (text, expected) in cases {
            assert_eq!(rows(text, 10), Some(expected), "{text:?}");
        }
        assert_eq!(rows("e\u{301}", 10), None);
        assert_eq!(rows("a\tb", 10), None);
    }

    #[test]
    fn plain_lines_have_no_time_and_no_color() {
        let line = Line::Message { from: "[7] ana -> you".into(), text: "hi".into(), is_private: true };
        assert_eq!(plain(&line), "[7] ana -> you: hi");
        assert_eq!(plain(&Line::Problem("x".into())), "* x");
    }
}
