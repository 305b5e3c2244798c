//! What waits to be drawn on the terminal, and what it looks like.
//!
//! Lines are pushed by all threads. The editor's thread, which has the terminal, draws them above the prompt:
//!
//! ```text
//!  12:01 [7] ana: hi                     drawn once, never touched again
//!  12:02 [7] ben: hello
//!  not confirmed yet: "some text"        the status rows: drawn over next time
//!  ↑ photo.jpg ███░░░░░ 40% 1.2 MB/s
//!  > some text, being typed              the editor's
//! ```

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use super::palette::Palette;
use super::wrap::{self, Span, fitting};
use crate::client::escape::{Visible, VisibleNickname, beginning};
use crate::client::limits::{
    ALERT_MAX_BYTES, ALERT_MS, DRAW_BYTES, LINE_OVERHEAD_BYTES, SCREEN_OWN_LINES, SCREEN_QUEUE_BYTES,
    SCREEN_QUEUE_LINES, STATUS_ROWS_MAX,
};
use crate::client::output;
use crate::client::progress::Progress;
use crate::client::screen::{Line, Said, Way, lock};

/// Dim: times, and what is not important.
const DIM: &str = "2";
const PROBLEM: &str = "31";
const PRIVATE: &str = "1;35";
const OWN: &str = "1";
const MENTION: &str = "1;33;7";
const STRONG: &str = "1";

/// What the user wants to see and hear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Times have seconds.
    pub has_seconds: bool,
    /// Private messages and mentions ring the bell.
    pub has_bell: bool,
    /// They are sent to the desktop, too (OSC 9).
    pub has_notifications: bool,
}

/// The terminal while the line editor has it.
#[derive(Debug)]
pub struct Canvas {
    state: Mutex<State>,
    /// Lines were taken, or the canvas is closed.
    room: Condvar,
    /// Wakes the thread that draws.
    waker: UnixStream,
    woken: UnixStream,
    progress: Progress,
}

#[derive(Debug)]
struct State {
    lines: VecDeque<(Line, Timestamp)>,
    lines_bytes: usize,
    is_awake: bool,
    is_closed: bool,
    wants_clear: bool,
    /// Shown while no file is under way.
    standing: String,
    /// Own messages that have not come back.
    pending: String,
    /// Lines of our own that found no room.
    left_out: u64,
    painter: Painter,
}

/// Makes rows of lines, one after the other.
#[derive(Debug)]
struct Painter {
    has_colors: bool,
    style: Style,
    palette: Palette,
    zone: TimeZone,
    /// The time as it was shown last.
    clock: (i64, String),
    day: Option<Date>,
    alerted_ms: i64,
}

/// What to draw above the prompt.
#[derive(Debug, Default)]
pub struct Drawing {
    /// Rows, each with its line break.
    pub rows: String,
    /// There is more.
    pub has_more: bool,
    /// The screen is to be cleared.
    pub clears: bool,
}

impl Canvas {
    /// An empty one. Colours are used unless `NO_COLOR` is set.
    ///
    /// # Errors
    /// If the kernel has no more descriptors.
    pub fn new(progress: Progress, style: Style) -> io::Result<Canvas> {
        let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        progress.wake_with(waker.try_clone()?);
        let painter = Painter {
            has_colors,
            style,
            palette: Palette::default(),
            zone: TimeZone::system(),
            clock: (-1, String::new()),
            day: None,
            alerted_ms: 0,
        };
        let state = State {
            lines: VecDeque::new(),
            lines_bytes: 0,
            is_awake: false,
            is_closed: false,
            wants_clear: false,
            standing: String::new(),
            pending: String::new(),
            left_out: 0,
            painter,
        };
        Ok(Canvas { state: Mutex::new(state), room: Condvar::new(), waker, woken, progress })
    }

    /// Readable when there is something to draw; [`Canvas::take`] empties it.
    pub fn woken(&self) -> &UnixStream {
        &self.woken
    }

    /// Sets what the status line says while no file is under way; empty for nothing.
    pub fn set_standing(&self, text: &str) {
        let mut state = lock(&self.state);
        if state.standing != text {
            text.clone_into(&mut state.standing);
            self.wake(&mut state);
        }
    }

    /// Sets what is said about own messages that have not come back; empty for nothing.
    pub fn set_pending(&self, text: &str) {
        let mut state = lock(&self.state);
        if state.pending != text {
            text.clone_into(&mut state.pending);
            self.wake(&mut state);
        }
    }

    /// Clears the screen at the next drawing.
    pub fn clear(&self) {
        let mut state = lock(&self.state);
        state.wants_clear = true;
        self.wake(&mut state);
    }

    /// A new day is shown even if nothing is said.
    pub fn on_time(&self) {
        let mut state = lock(&self.state);
        let today = state.painter.date(Timestamp::now());
        if state.painter.day.is_some_and(|day| day != today) {
            self.wake(&mut state);
        }
    }

    /// Takes lines off the queue, as many as one drawing should have.
    pub fn take(&self, columns: usize) -> Drawing {
        // Whoever wakes us from now on has something new.
        let mut buffer = [0; 64];
        while io::Read::read(&mut &self.woken, &mut buffer).is_ok_and(|len| len > 0) {}
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.is_awake = false;
        let mut drawing = Drawing { clears: std::mem::take(&mut state.wants_clear), ..Drawing::default() };
        while drawing.rows.len() < DRAW_BYTES {
            let Some((line, at)) = state.lines.pop_front() else { break };
            state.lines_bytes = state.lines_bytes.saturating_sub(bytes_of(&line));
            state.painter.paint(&line, at, columns, &mut drawing.rows);
        }
        drawing.has_more = !state.lines.is_empty();
        if !drawing.has_more {
            let left_out = std::mem::take(&mut state.left_out);
            if left_out > 0 {
                drawing.rows.push_str(&format!("* {left_out} lines found no room and are left out\n"));
            }
            state.painter.paint_day(Timestamp::now(), columns, &mut drawing.rows);
        }
        self.room.notify_all();
        drawing
    }

    /// The rows between what was said and the prompt, each of which fits into the columns: at most so many. `question`
    /// stands first.
    pub fn status(&self, question: &str, columns: usize, rows_max: usize) -> Vec<String> {
        let state = lock(&self.state);
        let transfers = self.progress.status(columns);
        let (standing, standing_rows) =
            if transfers.is_empty() { (&state.standing, rows_max / 4) } else { (&transfers, 1) };
        let standing_rows = standing_rows.clamp(1, STATUS_ROWS_MAX);
        let pending = fitting(&state.pending, columns);
        let parts = [(STRONG, question, STATUS_ROWS_MAX), (DIM, pending, 1), (DIM, standing.as_str(), standing_rows)];
        let rows = parts.into_iter().flat_map(|(color, text, max)| {
            let rows =
                if max == 1 { vec![fitting(text, columns).to_owned()] } else { wrap::wrapped(text, columns, max) };
            rows.into_iter().filter(|row| !row.is_empty()).map(move |row| (color, row))
        });
        rows.take(rows_max).map(|(color, row)| state.painter.painted(color, &row)).collect()
    }

    /// Whether the status changes by itself.
    pub fn is_moving(&self) -> bool {
        self.progress.is_under_way()
    }

    /// A text that stands out, for the prompt.
    pub fn strong(&self, text: &str) -> String {
        lock(&self.state).painter.painted(STRONG, text)
    }

    /// The editor leaves the terminal: what waits and what comes from now on is simply printed.
    pub fn close(&self, columns: usize) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let mut rows = String::new();
        for (line, at) in std::mem::take(&mut state.lines) {
            state.painter.paint(&line, at, columns, &mut rows);
        }
        print_to_terminal(&rows);
        self.room.notify_all();
    }

    /// Adds a line.
    pub fn push(&self, line: Line, at: Timestamp, may_wait: bool) {
        let is_shown = match &line {
            Line::Said(said) => !said.is_announcement,
            Line::Notice(report) | Line::Problem(report) => report.is_on_terminal,
        };
        if !is_shown {
            return;
        }
        let mut state = lock(&self.state);
        while may_wait && !state.is_closed && state.is_full() {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            let mut rows = String::new();
            state.painter.paint(&line, at, usize::MAX, &mut rows);
            print_to_terminal(&rows);
            return;
        }
        if state.lines.len() >= SCREEN_OWN_LINES || state.lines_bytes >= 2 * SCREEN_QUEUE_BYTES {
            state.left_out += 1;
            return;
        }
        state.lines_bytes += bytes_of(&line);
        state.lines.push_back((line, at));
        self.wake(&mut state);
    }

    fn wake(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_awake, true) {
            // If it is full, the other side is awake.
            let _ = (&self.waker).write(&[1]);
        }
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.lines.len() >= SCREEN_QUEUE_LINES || self.lines_bytes >= SCREEN_QUEUE_BYTES
    }
}

/// What a line takes while it waits.
fn bytes_of(line: &Line) -> usize {
    LINE_OVERHEAD_BYTES
        + match line {
            Line::Said(said) => said.text.len(),
            Line::Notice(report) | Line::Problem(report) => report.text.len(),
        }
}

impl Painter {
    fn paint(&mut self, line: &Line, at: Timestamp, columns: usize, out: &mut String) {
        self.paint_day(at, columns, out);
        let time = Span::new(self.color(DIM), self.time(at) + " ");
        let rows = match line {
            Line::Said(said) => {
                let head = Span::new(self.head_color(said), said.head());
                let body = if said.is_mention || said.way == Way::ToUs { self.color(STRONG) } else { "" };
                self.alert(said, at, out);
                wrap::rows(&[time, head, Span::new("", ": ")], &Span::new(body, said.text.as_str()), columns)
            }
            Line::Notice(report) => {
                wrap::rows(&[time], &Span::new(self.color(DIM), format!("* {}", report.text)), columns)
            }
            Line::Problem(report) => {
                wrap::rows(&[time], &Span::new(self.color(PROBLEM), format!("* {}", report.text)), columns)
            }
        };
        out.push_str(&rows);
    }

    /// A row with the date, if another day has begun.
    fn paint_day(&mut self, at: Timestamp, columns: usize, out: &mut String) {
        let today = self.date(at);
        if self.day.replace(today).is_some_and(|day| day != today) {
            let text = today.strftime("── %A, %-d %B %Y ──").to_string();
            out.push_str(&self.painted(DIM, fitting(&text, columns)));
            out.push('\n');
        }
    }

    fn date(&self, at: Timestamp) -> Date {
        at.to_zoned_datetime(self.zone.clone()).date()
    }

    fn time(&mut self, at: Timestamp) -> String {
        let (unit, format) = if self.style.has_seconds { (1, "%H:%M:%S") } else { (60, "%H:%M") };
        let tick = at.as_second().div_euclid(unit);
        if self.clock.0 != tick {
            self.clock = (tick, at.to_zoned_datetime(self.zone.clone()).strftime(format).to_string());
        }
        self.clock.1.clone()
    }

    fn head_color(&mut self, said: &Said) -> &'static str {
        if !self.has_colors {
            return "";
        }
        match said.way {
            _ if said.is_mention && said.way == Way::Public => MENTION,
            Way::ToUs | Way::FromUs => PRIVATE,
            Way::Public if said.is_own => OWN,
            Way::Public => self.palette.color_of(&said.who),
        }
    }

    /// The bell and the desktop, not too often.
    fn alert(&mut self, said: &Said, at: Timestamp, out: &mut String) {
        let concerns_us = said.is_mention || said.way == Way::ToUs;
        let now_ms = at.as_millisecond();
        if !concerns_us || said.is_own || now_ms.abs_diff(self.alerted_ms) < ALERT_MS {
            return;
        }
        if self.style.has_bell {
            out.push('\x07');
        }
        if self.style.has_notifications {
            // In front of it a word of our own: some terminals read numbers there as commands.
            let text = format!("cfp: {}: {}", VisibleNickname(&said.who.nickname), Visible(&said.text));
            out.push_str(&format!("\x1b]9;{}\x1b\\", beginning(&text, ALERT_MAX_BYTES)));
        }
        self.alerted_ms = now_ms;
    }

    fn color(&self, color: &'static str) -> &'static str {
        if self.has_colors { color } else { "" }
    }

    fn painted(&self, color: &str, text: &str) -> String {
        if self.has_colors { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// If the terminal is gone, a signal says so.
fn print_to_terminal(rows: &str) {
    let _ = output::write_all(io::stdout(), rows.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::client::progress::Direction;
    use crate::client::recipient::Recipient;
    use crate::client::term::width::columns_of;
    use crate::wire::ServerId;

    fn canvas(progress: &Progress, style: Style) -> Canvas {
        let canvas = Canvas::new(progress.clone(), style).unwrap();
        {
            let mut state = lock(&canvas.state);
            state.painter.has_colors = false;
            state.painter.zone = TimeZone::UTC;
        }
        canvas
    }

    fn said(way: Way, text: &str) -> Line {
        let who = Recipient::new(ServerId(7), "ana");
        Line::Said(Said { who, way, text: text.into(), is_own: false, is_mention: false, is_announcement: false })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn notice(text: &str) -> Line {
        Line::Notice(text.to_owned().into())
    }

    fn drawn(canvas: &Canvas) -> String {
        // Today is another day than that of the lines.
        let rows = canvas.take(80).rows;
        rows.lines().filter(|row| !row.starts_with("──")).map(|row| row.to_owned() + "\n").collect()
    }

    #[test]
    fn lines_are_drawn_once_and_in_order() {
        let canvas = canvas(&Progress::default(), Style::default());
        canvas.push(said(Way::Public, "hi"), at(0), false);
        canvas.push(notice("note"), at(60), false);
        assert_eq!(drawn(&canvas), "08:00 [7] ana: hi\n08:01 * note\n");
        assert_eq!(drawn(&canvas), "");
    }

    #[test]
    fn a_new_day_has_a_row_and_times_have_seconds_if_they_are_wanted() {
        let canvas = canvas(&Progress::default(), Style { has_seconds: true, ..Style::default() });
        for second in [57_599, 57_600] {
            canvas.push(notice("x"), at(second), false);
        }
        let rows = canvas.take(80).rows;
        assert!(rows.starts_with("23:59:59 * x\n── Saturday, 16 January 2027 ──\n00:00:00 * x\n"), "{rows}");
    }

    #[test]
    fn the_bell_and_the_desktop_are_for_what_concerns_us_once_a_second_and_harmless() {
        let canvas =
            canvas(&Progress::default(), Style { has_bell: true, has_notifications: true, ..Style::default() });
        canvas.push(said(Way::Public, "public"), at(0), false);
        canvas.push(said(Way::ToUs, "a\x07\x1b\\b"), at(0), false);
        canvas.push(said(Way::ToUs, "more"), at(0), false);
        let rows = canvas.take(80).rows;
        assert_eq!(rows.matches('\x07').count(), 1, "{rows:?}");
        assert!(rows.contains("\x1b]9;cfp: ana: a\\u{7}\\u{1b}\\b\x1b\\"), "{rows:?}");
    }

    #[test]
    fn the_status_rows_fit_and_are_the_question_what_is_pending_and_the_transfers() {
        let progress = Progress::default();
        let canvas = canvas(&progress, Style::default());
        canvas.set_standing("not connected");
        assert_eq!(canvas.status("", 80, 9), ["not connected"]);
        assert_eq!(canvas.status("", 8, 12), ["not", "connecte", "d"]);
        assert_eq!(canvas.status("", 8, 3), ["not conn"]);
        let meter = progress.begin(Direction::Sending, "日本語".repeat(20), 100);
        canvas.set_pending("not confirmed yet: \"hi\"");
        assert_eq!(canvas.status("send it? y sends", 9, 2), ["send it?", "y sends"]);
        let rows = canvas.status("send?", 19, 9);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].as_str(), rows[1].as_str()), ("send?", "not confirmed yet: "));
        assert!(columns_of(&rows[2]) <= 19, "{rows:?}");
        drop(meter);
        canvas.set_pending("");
        assert_eq!(canvas.status("", 80, 9), ["not connected"]);
    }
}
