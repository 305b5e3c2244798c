//! The line editor around its prompt: history, completion, and what comes in drawn above.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter, Helper};

use super::Context;
use super::command::{Command, NAMES, NAMES_WITH_SOMEBODY};
use super::limits::HISTORY_LINES;
use super::recipient::Recipient;
use super::screen::{Canvas, Screen, rows};
use super::{output, signals};

const PROMPT: &str = "> ";

/// What the editor hands over.
#[derive(Debug)]
pub enum Typed {
    /// A line.
    Line(String),
    /// The end of the input.
    End,
}

/// Reads lines from the terminal until the user leaves or the terminal is gone. `hand_over` returns whether to go on.
///
/// # Errors
/// If there is no usable terminal.
pub fn run(context: Arc<Context>, mut hand_over: impl FnMut(Typed) -> bool) -> Result<(), ReadlineError> {
    let Screen::Terminal(canvas) = &context.screen else { return Ok(()) };
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .auto_add_history(true)
        .completion_type(CompletionType::Circular)
        // The canvas hooks into the painting of the prompt, so it must be called. Whether there are colours is its business.
        .color_mode(ColorMode::Forced)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor: Editor<Painter, MemHistory> = Editor::with_history(config, history)?;
    editor.set_helper(Some(Painter(context.clone())));
    wake_on_news(context.clone(), editor.create_external_printer()?)?;
    loop {
        let typed = match editor.readline(PROMPT) {
            Ok(line) => {
                take_off_screen(canvas, &line);
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => signals::interrupt(&context),
            Err(_) => Typed::End,
        };
        // The last line, after which the terminal is an ordinary one again.
        let is_last = match &typed {
            Typed::Line(line) => Command::parse(line) == Ok(Command::Quit),
            Typed::End => true,
        };
        if is_last {
            canvas.close();
        }
        if !hand_over(typed) || is_last {
            return Ok(());
        }
    }
}

/// Whenever there is something to draw, makes the editor draw.
fn wake_on_news(context: Arc<Context>, mut printer: impl ExternalPrinter + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("drawing".into()).spawn(move || {
        let Screen::Terminal(canvas) = &context.screen else { return };
        // Up and down again: it prints nothing itself, it makes the editor paint its prompt. (In the screen's first row
        // it can't go up, and the prompt moves down by one row, once.)
        while canvas.wait_for_news() && printer.print("\x1b[A\n".to_owned()).is_ok() {}
    })?;
    Ok(())
}

/// A line that was entered comes back as a message or has another effect, so it need not stay.
fn take_off_screen(canvas: &Canvas, line: &str) {
    if let Some(rows) = rows(&format!("{PROMPT}{line}"), columns()) {
        let _ = output::write_all(io::stdout(), canvas.erase(rows).as_bytes());
    }
}

fn columns() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

/// What the editor asks while it draws and completes.
struct Painter(Arc<Context>);

impl Helper for Painter {}

impl Hinter for Painter {
    type Hint = String;
}

impl Validator for Painter {}

impl Highlighter for Painter {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        match &self.0.screen {
            Screen::Terminal(canvas) => Cow::Owned(canvas.draw(columns()) + &canvas.prompt(prompt)),
            Screen::Plain(_) => Cow::Borrowed(prompt),
        }
    }
}

impl Completer for Painter {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or_default();
        let seen: Vec<Recipient> = self.0.seen().iter().cloned().collect();
        Ok(complete(before, &seen, names_like))
    }
}

/// Completions of the text before the cursor, and the position of the part that they replace.
fn complete(before: &str, seen: &[Recipient], paths: impl Fn(&str) -> Vec<String>) -> (usize, Vec<String>) {
    let starting = |candidates: Vec<String>, part: &str| {
        let fitting = candidates.into_iter().filter(|candidate| candidate.starts_with(part)).collect();
        (before.len() - part.len(), fitting)
    };
    let command = NAMES_WITH_SOMEBODY.iter().find_map(|name| before.strip_prefix(name));
    match command {
        Some(rest) => match Recipient::parse(rest) {
            Some((_, rest)) if before.starts_with("/file ") && rest.starts_with(' ') => {
                let part = rest.trim_start();
                starting(paths(part), part)
            }
            Some((_, rest)) if !rest.is_empty() => (before.len(), Vec::new()),
            _ => starting(seen.iter().map(|address| address.typed() + " ").collect(), rest),
        },
        None if before.starts_with('/') && !before.contains(' ') => {
            starting(NAMES.iter().map(|&name| name.to_owned()).collect(), before)
        }
        None => {
            let part = before.rsplit(' ').next().unwrap_or_default();
            let mut names: Vec<String> = seen.iter().map(|address| address.nickname.clone()).collect();
            names.retain(|name| !part.is_empty() && !name.contains(char::is_whitespace));
            names.dedup();
            starting(names, part)
        }
    }
}

/// Files and folders whose path begins like this.
fn names_like(part: &str) -> Vec<String> {
    const ENTRIES_MAX: usize = 10_000;
    let (folder, start) = part.rsplit_once('/').map_or(("", part), |(folder, start)| (folder, start));
    let is_rooted = part.starts_with('/') && folder.is_empty();
    let read = if is_rooted {
        "/"
    } else if folder.is_empty() {
        "."
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(read) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .take(ENTRIES_MAX)
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_meant = name.starts_with(start) && (!name.starts_with('.') || start.starts_with('.'));
            // A name with odd characters would draw itself.
            let is_plain = !name.chars().any(super::escape::is_treacherous);
            let slash = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
            let prefix = part.get(..part.len() - start.len()).unwrap_or_default();
            (is_meant && is_plain).then(|| format!("{prefix}{name}{slash}"))
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::ServerId;

    #[test]
    fn commands_nicknames_and_paths_are_completed() {
        let seen = ["ben", "two words", "bea"].map(|nickname| Recipient::new(ServerId(7), nickname));
        let completed = |before: &str| complete(before, &seen, |part| vec![format!("{part}.txt")]);
        assert_eq!(completed("/m"), (0, vec!["/msg ".to_owned()]));
        assert_eq!(completed("/msg be"), (5, vec!["ben@7 ".to_owned(), "bea@7 ".to_owned()]));
        assert_eq!(completed("/msg \"tw"), (5, vec!["\"two words\"@7 ".to_owned()]));
        assert_eq!(completed("/msg ben@7 be"), (13, vec![]));
        assert_eq!(completed("/file ben@7 a/b"), (12, vec!["a/b.txt".to_owned()]));
        assert_eq!(completed("hello be"), (6, vec!["ben".to_owned(), "bea".to_owned()]));
        assert_eq!(completed("hello "), (6, vec![]));
    }
}
