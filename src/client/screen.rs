//! The target of lines for the user: plain standard output, objects on standard output, or above the prompt of a
//! terminal. The log file gets them too.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::escape::{Visible, VisibleNickname};
use super::json::{self, Field};
use super::log_file::LogFile;
use super::output;
use super::recipient::Recipient;
use super::term::canvas::Canvas;

/// One line.
#[derive(Debug, Clone)]
pub enum Line {
    /// A message. Its text is as it came: each target makes it safe in its own way.
    Said(Said),
    /// Something of our own that is good to know.
    Notice(Report),
    /// Something that went wrong.
    Problem(Report),
}

/// A message.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its sender; of [`Way::FromUs`] its receiver.
    pub who: Recipient,
    /// Which way it went.
    pub way: Way,
    /// The text.
    pub text: String,
    /// We have said it.
    pub is_own: bool,
    /// It names us.
    pub is_mention: bool,
    /// It announces a file, which the terminal says in a line of its own.
    pub is_announcement: bool,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To everybody.
    Public,
    /// To us alone.
    ToUs,
    /// From us to one.
    FromUs,
}

/// A line of the client's own, and for programs what it is about. The text is safe to show: its maker has escaped every
/// text of others.
#[derive(Debug, Clone)]
pub struct Report {
    /// For people.
    pub text: String,
    /// What happened, for programs: the schema in docs/client.md.
    pub event: &'static str,
    /// More about it, for programs.
    pub fields: Vec<(&'static str, Field)>,
    /// Whether people at a terminal see it.
    pub is_on_terminal: bool,
    /// Whether it is one of the plain lines for scripts.
    pub is_in_lines: bool,
    /// Whether it is one of the objects for programs: what an object has said already is not.
    pub is_in_objects: bool,
}

impl From<String> for Report {
    fn from(text: String) -> Report {
        Report { text, event: "", fields: Vec::new(), is_on_terminal: true, is_in_lines: true, is_in_objects: true }
    }
}

impl Report {
    /// With what programs get.
    pub fn about(text: impl Into<String>, event: &'static str, fields: Vec<(&'static str, Field)>) -> Report {
        Report { event, fields, ..Report::from(text.into()) }
    }

    /// For people at a terminal and for programs, but none of the lines that scripts get.
    pub fn besides_lines(self) -> Report {
        Report { is_in_lines: false, ..self }
    }

    /// For programs alone.
    pub fn for_programs(event: &'static str, fields: Vec<(&'static str, Field)>) -> Report {
        Report { event, fields, is_on_terminal: false, is_in_lines: false, ..Report::from(String::new()) }
    }
}

impl Said {
    /// `[7] ana`, `[7] ana -> you` or `you -> bob@7`, safe to show.
    pub fn head(&self) -> String {
        let Recipient { nickname, server } = &self.who;
        match self.way {
            Way::Public => format!("[{server}] {}", VisibleNickname(nickname)),
            Way::ToUs => format!("[{server}] {} -> you", VisibleNickname(nickname)),
            Way::FromUs => format!("you -> {}", self.who),
        }
    }
}

/// The place that shows lines.
#[derive(Debug)]
pub struct Screen {
    /// How they are shown.
    pub kind: Kind,
    log: Mutex<Option<LogFile>>,
}

/// How lines are shown.
#[derive(Debug)]
pub enum Kind {
    /// Line by line, for scripts.
    Plain(Printer),
    /// An object a line, for programs.
    Json(Printer),
    /// Around a prompt.
    Terminal(Box<Canvas>),
}

impl Screen {
    /// A screen without a log.
    pub fn new(kind: Kind) -> Screen {
        Screen { kind, log: Mutex::default() }
    }

    /// The terminal, if there is one.
    pub fn canvas(&self) -> Option<&Canvas> {
        match &self.kind {
            Kind::Terminal(canvas) => Some(canvas),
            _ => None,
        }
    }

    /// Whether there is a prompt.
    pub fn is_terminal(&self) -> bool {
        self.canvas().is_some()
    }

    /// Whether scripts read it line by line: who writes a private message there knows it.
    pub fn is_in_lines(&self) -> bool {
        matches!(self.kind, Kind::Plain(_))
    }

    /// Whether a line could not be printed.
    pub fn has_failed(&self) -> bool {
        matches!(&self.kind, Kind::Plain(printer) | Kind::Json(printer) if printer.has_failed.load(Ordering::Acquire))
    }

    /// Shows a line. On a terminal that does not keep up this waits.
    pub fn show(&self, line: Line) {
        self.put(line, true);
    }

    /// Shows a line without waiting: for the few that answer typed commands. If they are too many for a terminal that
    /// takes nothing, they are counted.
    pub fn show_now(&self, line: Line) {
        self.put(line, false);
    }

    /// Something of our own that is good to know.
    pub fn notice(&self, text: impl Into<String>) {
        self.show_now(Line::Notice(text.into().into()));
    }

    /// Something that went wrong.
    pub fn problem(&self, text: impl Into<String>) {
        self.show_now(Line::Problem(text.into().into()));
    }

    /// From now on, every line goes to this file, too.
    ///
    /// # Errors
    /// What the disk says.
    pub fn log_to(&self, path: &Path) -> io::Result<()> {
        *lock(&self.log) = Some(LogFile::open(path)?);
        Ok(())
    }

    /// The file that lines go to no more, if there was one.
    pub fn end_log(&self) -> Option<String> {
        lock(&self.log).take().map(|log| log.shown_path())
    }

    /// The file that lines go to.
    pub fn log_path(&self) -> Option<String> {
        lock(&self.log).as_ref().map(LogFile::shown_path)
    }

    fn put(&self, line: Line, may_wait: bool) {
        let now = Timestamp::now();
        let text = plain(&line);
        let trouble =
            if text.is_empty() { None } else { lock(&self.log).as_mut().and_then(|log| log.write(&text, now).err()) };
        match &self.kind {
            Kind::Plain(printer) => {
                if !matches!(&line, Line::Notice(report) | Line::Problem(report) if !report.is_in_lines) {
                    printer.print(text + "\n");
                }
            }
            Kind::Json(printer) => {
                if !matches!(&line, Line::Notice(report) | Line::Problem(report) if !report.is_in_objects) {
                    printer.print(json::line(&line, now) + "\n");
                }
            }
            Kind::Terminal(canvas) => canvas.push(line, now, may_wait),
        }
        if let Some(error) = trouble {
            // The log takes no line about itself before it takes lines again.
            let text =
                format!("the log {}: {error}; what can't be written is lost", self.log_path().unwrap_or_default());
            let report = Report::from(text);
            match &self.kind {
                Kind::Plain(printer) => printer.print(format!("* {}\n", report.text)),
                Kind::Json(printer) => printer.print(json::line(&Line::Problem(report), now) + "\n"),
                Kind::Terminal(canvas) => canvas.push(Line::Problem(report), now, false),
            }
        }
    }
}

/// Standard output, for scripts.
#[derive(Debug, Default)]
pub struct Printer {
    /// Lines don't mix.
    printing: Mutex<()>,
    has_failed: AtomicBool,
}

impl Printer {
    /// Prints a line. If it cannot be printed, a line on standard error says so once, and the exit status shows it.
    /// Typed lines are still sent, so the client goes on.
    fn print(&self, line: String) {
        let _printing = lock(&self.printing);
        let printed = output::write_all(io::stdout(), line.as_bytes());
        if let Err(error) = printed
            && !self.has_failed.swap(true, Ordering::AcqRel)
        {
            output::complain(format_args!("standard output: {error}; what can't be printed is lost"));
        }
    }
}

/// The line as scripts and the log get it; empty if it is for programs alone.
pub fn plain(line: &Line) -> String {
    match line {
        Line::Said(said) => format!("{}: {}", said.head(), Visible(&said.text)),
        Line::Notice(report) | Line::Problem(report) if report.text.is_empty() => String::new(),
        Line::Notice(report) | Line::Problem(report) => format!("* {}", report.text),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServerId;

    #[test]
    fn plain_lines_have_no_time_no_color_and_no_line_break() {
        let said = |way| {
            let who = Recipient::new(ServerId(7), "two words");
            plain(&Line::Said(Said {
                who,
                way,
                text: "hi\nyou".into(),
                is_own: false,
                is_mention: false,
                is_announcement: false,
            }))
        };
        assert_eq!(said(Way::Public), "[7] two words: hi\\nyou");
        assert_eq!(said(Way::ToUs), "[7] two words -> you: hi\\nyou");
        assert_eq!(said(Way::FromUs), "you -> \"two words\"@7: hi\\nyou");
        assert_eq!(plain(&Line::Problem("x".to_owned().into())), "* x");
    }
}
