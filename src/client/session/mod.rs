//! One run of the client: the login, typed lines, and the end.

mod commands;
mod connection;
mod input;
mod login;
mod start;

use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use super::Context;
use super::command::{BYTE_ORDER_MARK, Command, Mistake};
use super::json::{self, Field};
use super::limits::TICK_MS;
use super::link::Link;
use super::output::failed;
use super::reader::End;
use super::screen::{Line, Report};
use super::security::Security;
use super::term::editor::{self, Typed};
use super::term::history::History;
use crate::blocking::LoginError;
use crate::wire::Decoder;
use commands::Done;
use connection::Retiring;
use input::Gate;

pub use start::main;

/// Our login at the server.
#[derive(Debug, Clone)]
struct Identity {
    server: String,
    security: Security,
    nickname: String,
    password: Option<String>,
}

/// What can happen.
enum Event {
    /// A line of a script.
    Typed(String),
    /// A command of a person.
    Command(Box<Command>),
    /// A line that can't be used, or input that can't be read, and why.
    Unusable(String),
    InputEnd,
    /// A try to connect, by its number, has worked or not.
    Opened(u64, Box<Opened>),
    /// A connection, by its number, has ended.
    Ended(u64, End),
}

/// What came of a try to connect.
struct Opened {
    identity: Identity,
    result: Result<(Link, Decoder), LoginError>,
}

struct Session {
    context: Arc<Context>,
    identity: Identity,
    is_terminal: bool,
    is_json: bool,
    /// A lost connection is made anew.
    reconnects: bool,
    events: SyncSender<Event>,
    gate: Arc<Gate>,
    /// What a script has typed while there is no connection.
    deferred: VecDeque<Event>,
    link: Option<Arc<Link>>,
    /// The number of the connection, and of the latest try to connect.
    link_number: u64,
    dial_number: u64,
    /// A login under another nickname is under way.
    is_renaming: bool,
    retiring: Option<Retiring>,
    retry_ms: u64,
    /// When the next try is due.
    retry_at_ms: u64,
    connected_ms: u64,
    ticked_ms: u64,
    is_finishing: bool,
    /// What was said last about messages that have not come back.
    late: String,
    /// Why there is no connection, and why the last try did not bring one.
    loss: String,
    /// The same in short, for the status row.
    reason: String,
}

impl Session {
    fn run(&mut self, opened: Option<(Link, Decoder)>, history: History, incoming: &Receiver<Event>) -> ExitCode {
        match opened {
            Some(opened) => self.begin(opened),
            None => self.try_again(),
        }
        self.read_input(history);
        loop {
            let event = match incoming.recv_timeout(self.tick()) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return ExitCode::FAILURE,
            };
            if let Some(code) = self.on_event(event) {
                return code;
            }
            while self.has_connection()
                && let Some(event) = self.deferred.pop_front()
            {
                if let Some(code) = self.handle(event) {
                    return code;
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<ExitCode> {
        let is_input = matches!(event, Event::Typed(_) | Event::Unusable(_) | Event::InputEnd);
        if is_input && !self.has_connection() && self.waits_for_connection() && !self.is_finishing {
            self.deferred.push_back(event);
            return None;
        }
        self.handle(event)
    }

    fn handle(&mut self, event: Event) -> Option<ExitCode> {
        match event {
            // After `/quit` nothing counts any more.
            Event::Typed(_) | Event::Command(_) | Event::Unusable(_) if self.is_finishing => None,
            Event::Typed(line) => self.on_line(&line),
            Event::Command(command) => self.carry_out(*command, None),
            Event::Unusable(why) => {
                self.context.fail(why);
                None
            }
            Event::InputEnd => self.finish(),
            Event::Opened(number, opened) => self.on_opened(number, *opened),
            Event::Ended(number, end) => self.on_ended(number, end),
        }
    }

    /// Whether there is a connection, as far as its threads know: that it has ended may stand behind other events.
    fn has_connection(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.is_stopped())
    }

    /// Whether what a script types waits until there is a connection.
    fn waits_for_connection(&self) -> bool {
        !self.is_terminal && self.reconnects
    }

    /// What time brings. Returns when the next tick is due.
    fn tick(&mut self) -> Duration {
        let now_ms = self.context.now_ms();
        let elapsed_ms = now_ms.saturating_sub(std::mem::replace(&mut self.ticked_ms, now_ms));
        if let Some(canvas) = self.context.screen.canvas() {
            canvas.on_time();
        }
        self.retire_if_due(now_ms);
        let Some(link) = self.link.clone() else {
            // While there is a connection, its reader does this.
            self.context.answer(|downloads, say| downloads.on_time(downloads.now_ms() + elapsed_ms, say));
            self.say_when_next(now_ms);
            return Duration::from_millis(TICK_MS);
        };
        let (settled, is_unsettled) = {
            let mut recent = link.recent();
            (recent.settled(now_ms), recent.is_unsettled())
        };
        for file in settled {
            let report = Report::about(file.line, "file_sent", file.file.fields());
            self.context.screen.show_now(Line::Notice(report));
        }
        let own = self.context.people().own();
        link.on_tick(own, &self.identity.nickname, now_ms);
        let late = link.pending().late(now_ms);
        self.show_late(late);
        Duration::from_millis(if is_unsettled { TICK_MS / 10 } else { TICK_MS })
    }

    /// Shows which of our messages have not come back.
    fn show_late(&mut self, late: String) {
        if late == self.late {
            return;
        }
        if let Some(canvas) = self.context.screen.canvas() {
            canvas.set_pending(&late);
        }
        if !late.is_empty() {
            let fields = vec![("text", Field::from(late.as_str()))];
            self.context.screen.show_now(Line::Notice(Report::for_programs("pending", fields)));
        }
        self.late = late;
    }

    fn read_input(&self, history: History) {
        let events = self.events.clone();
        if self.is_terminal {
            let context = self.context.clone();
            thread::spawn(move || {
                let ended = editor::run(&context, history, |typed| {
                    events
                        .send(match typed {
                            Typed::Command(command) => Event::Command(command),
                            Typed::End => Event::InputEnd,
                        })
                        .is_ok()
                });
                if ended.is_err() {
                    let _ = events.send(Event::InputEnd);
                }
            });
        } else {
            let (gate, is_json) = (self.gate.clone(), self.is_json);
            thread::spawn(move || {
                input::read_lines(io::stdin().lock(), is_json, |event| {
                    gate.wait();
                    events.send(event).is_ok()
                });
            });
        }
    }

    /// A line of a script.
    fn on_line(&mut self, line: &str) -> Option<ExitCode> {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        let (id, command) = if self.is_json && line.trim_start().starts_with('{') {
            match json::request(line) {
                Ok(request) => (request.id.clone(), Command::of(request, &self.context.people())),
                Err(json::Refused { id, problem }) => (id, Err(Mistake::Object(problem))),
            }
        } else {
            (None, Command::parse(line, &self.context.people()))
        };
        match command {
            Ok(command) => self.carry_out(command, id),
            Err(mistake) => {
                self.answer_failed(mistake.to_string(), id);
                None
            }
        }
    }

    /// Carries a command out, and answers it.
    fn carry_out(&mut self, command: Command, id: Option<String>) -> Option<ExitCode> {
        match self.on_command(command) {
            Done::Fine => self.answer_done(id, Vec::new()),
            Done::Begun(number) => self.answer_done(id, vec![("number", number.into())]),
            Done::Failed(problem, lines) => {
                self.answer_failed(problem, id);
                lines.into_iter().for_each(|line| self.notice(line));
            }
            Done::End(code) => {
                self.answer_done(id, Vec::new());
                return code;
            }
        }
        None
    }

    /// Says that a command failed.
    fn answer_failed(&self, problem: String, id: Option<String>) {
        self.context.note_failure();
        let fields = id.map(|id| ("id", id.into())).into_iter().collect();
        self.context.screen.show_now(Line::Problem(Report::about(problem, "command_failed", fields)));
    }

    /// Says that a command was carried out, if its program wants to know.
    fn answer_done(&self, id: Option<String>, more: Vec<(&'static str, Field)>) {
        let Some(id) = id else { return };
        let fields = [vec![("id", id.into())], more].concat();
        self.context.screen.show_now(Line::Notice(Report::for_programs("done", fields)));
    }

    /// Leaves, after everything was sent.
    fn finish(&mut self) -> Option<ExitCode> {
        self.is_finishing = true;
        self.context.answer(|downloads, say| downloads.on_leaving(say));
        let Some(link) = &self.link else {
            return Some(failed(&self.loss));
        };
        if self.is_terminal && link.uploads_len() > 0 {
            self.context.screen.notice("leaving as soon as the files are sent; Ctrl-C leaves at once");
        }
        link.finish();
        None
    }

    /// Whether the exit status tells of a failure. A person has read the line about it.
    fn has_failed(&self) -> bool {
        !self.is_terminal && (self.context.has_failed.load(Ordering::Acquire) || self.context.screen.has_failed())
    }
}
