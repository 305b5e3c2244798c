//! One run of the client: the login, typed lines, and the end.

mod input;
mod login;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::Context;
use super::command::{Command, HELP};
use super::consent::{Consent, FilePolicy};
use super::disk::Folder;
use super::editor::{self, Typed};
use super::escape::{Visible, VisibleNickname};
use super::limits::{INPUT_QUEUE_LINES, RECONNECT_MAX_MS, RECONNECT_MIN_MS, STEADY_MS, TICK_MS};
use super::link::{Failure, Leftover, Link};
use super::options::{self, Files, Options, Request};
use super::outbox::Message;
use super::output::{self, failed, usage_error};
use super::password;
use super::progress::Progress;
use super::reader::{self, End};
use super::recipient::Recipient;
use super::screen::{Canvas, Line, Screen};
use super::security::Security;
use super::{files, signals, writer};
use crate::wire::AuthResponse;

/// The program: reads the command line, runs, and says how it went.
pub fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => output::print(&options::usage()),
        Ok(Request::Version) => output::print(concat!("cfp-client ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Chat(options)) => run(options),
        Err(error) => usage_error(error),
    }
}

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
    Typed(String),
    /// A line that can't be used, or input that can't be read, and why.
    Unusable(String),
    InputEnd,
    Opened(Box<Result<(Link, Leftover), Failure>>),
    Ended(End),
}

fn run(options: Options) -> ExitCode {
    let folder = match &options.download {
        Some(path) => match Folder::open(path) {
            Ok(folder) => folder,
            Err(error) => return usage_error(format_args!("--download {}: {error}", path.display())),
        },
        None => Folder::default_one(),
    };
    folder.remove_left_behind();
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && has_cursor();
    let password = match &options.password_file {
        Some(path) => match password::read_file(path) {
            Ok(password) => Some(password),
            Err(error) => return usage_error(format_args!("--password-file {}: {error}", path.display())),
        },
        None => None,
    };
    let security = match Security::new(options.tls.as_ref()) {
        Ok(security) => security,
        Err(problem) => return usage_error(problem),
    };
    if options.ask_password && !is_terminal {
        return usage_error("--ask-password needs a terminal; --password-file FILE does not");
    }
    let progress = Progress::default();
    let screen = if is_terminal { Screen::Terminal(Canvas::new(progress.clone())) } else { Screen::plain() };
    let policy = match options.files {
        Files::All => FilePolicy::Everybody,
        Files::No => FilePolicy::Nobody,
        Files::Asked if is_terminal => FilePolicy::Ask,
        Files::Asked => FilePolicy::Named,
    };
    let consent = Consent::new(policy, options.accept);
    let context = Arc::new(Context::new(screen, progress, folder, consent, options.max_download_bytes));
    if let Err(error) = signals::handle(context.clone()) {
        return failed(format_args!("no signal handlers: {error}"));
    }
    let mut identity = Identity { server: options.server, security, nickname: options.nickname, password };
    if options.ask_password && identity.password.is_none() {
        match password::ask("password: ") {
            Ok(Some(password)) => identity.password = Some(password),
            Ok(None) => return failed("no password"),
            Err(error) => return failed(format_args!("asking for the password: {error}")),
        }
    }
    let (link, leftover) = match login::log_in(&mut identity, is_terminal) {
        Ok(opened) => opened,
        Err(reason) => return failed(reason),
    };
    let (events, incoming) = sync_channel(INPUT_QUEUE_LINES);
    let mut session = Session {
        context,
        identity,
        is_terminal,
        events,
        link: None,
        retry_ms: RECONNECT_MIN_MS,
        connected_ms: 0,
        ticked_ms: 0,
        is_finishing: false,
        loss: String::new(),
    };
    let code = session.run((link, leftover), &incoming);
    if let Screen::Terminal(canvas) = &session.context.screen {
        canvas.close();
    }
    while session.context.is_told_to_end.load(Ordering::Acquire) {
        // The end by a signal is under way, and its exit status says so.
        thread::park();
    }
    session.context.terminal.restore();
    code
}

struct Session {
    context: Arc<Context>,
    identity: Identity,
    is_terminal: bool,
    events: SyncSender<Event>,
    link: Option<Arc<Link>>,
    retry_ms: u64,
    connected_ms: u64,
    ticked_ms: u64,
    is_finishing: bool,
    /// Why there is no connection.
    loss: String,
}

impl Session {
    fn run(&mut self, opened: (Link, Leftover), incoming: &Receiver<Event>) -> ExitCode {
        self.begin(opened);
        self.read_input();
        loop {
            let event = match incoming.recv_timeout(self.tick()) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return ExitCode::FAILURE,
            };
            let end = match event {
                // After `/quit` nothing counts any more.
                Event::Typed(_) | Event::Unusable(_) if self.is_finishing => None,
                Event::Typed(line) => self.on_line(&line),
                Event::Unusable(why) => {
                    self.context.fail(why);
                    None
                }
                Event::InputEnd => self.finish(),
                Event::Opened(opened) => self.on_opened(*opened),
                Event::Ended(end) => self.on_ended(end),
            };
            if let Some(code) = end {
                return code;
            }
        }
    }

    /// What time brings. Returns when the next tick is due.
    fn tick(&mut self) -> Duration {
        let now_ms = self.context.now_ms();
        let elapsed_ms = now_ms.saturating_sub(std::mem::replace(&mut self.ticked_ms, now_ms));
        let Some(link) = &self.link else {
            // While there is a connection, its reader does this.
            self.context.answer(|downloads, say| downloads.on_time(downloads.now_ms() + elapsed_ms, say));
            return Duration::from_millis(TICK_MS);
        };
        let (settled, is_unsettled) = {
            let mut recent = link.recent();
            (recent.settled(now_ms), recent.is_unsettled())
        };
        settled.into_iter().for_each(|line| self.context.screen.notice(line));
        Duration::from_millis(if is_unsettled { TICK_MS / 10 } else { TICK_MS })
    }

    fn begin(&mut self, (link, leftover): (Link, Leftover)) {
        let link = Arc::new(link);
        self.link = Some(link.clone());
        *self.context.link() = Some(link.clone());
        self.connected_ms = self.context.now_ms();
        let text = format!("connected to {} as {}", self.identity.server, VisibleNickname(&self.identity.nickname));
        match &self.context.screen {
            Screen::Terminal(canvas) => {
                canvas.set_standing("");
                self.context.screen.notice(text + "; /help shows what can be typed");
            }
            // A script that reads the messages does not have to know that one, but it may want to wait for it.
            Screen::Plain(_) => output::complain(text),
        }
        let (context, writer_link) = (self.context.clone(), link.clone());
        thread::spawn(move || writer::write(&context, &writer_link));
        let (context, events) = (self.context.clone(), self.events.clone());
        thread::spawn(move || {
            let end = reader::read(&context, &link, leftover);
            *context.link() = None;
            let _ = events.send(Event::Ended(end));
        });
    }

    fn read_input(&self) {
        let events = self.events.clone();
        if self.is_terminal {
            let context = self.context.clone();
            thread::spawn(move || {
                let ended = editor::run(context, |typed| {
                    events
                        .send(match typed {
                            Typed::Line(line) => Event::Typed(line),
                            Typed::End => Event::InputEnd,
                        })
                        .is_ok()
                });
                if ended.is_err() {
                    let _ = events.send(Event::InputEnd);
                }
            });
        } else {
            thread::spawn(move || input::read_lines(io::stdin().lock(), |event| events.send(event).is_ok()));
        }
    }

    fn on_line(&mut self, line: &str) -> Option<ExitCode> {
        match Command::parse(line) {
            Ok(Command::Nothing) => {}
            Ok(Command::Say(text)) => self.say(Message::Public(text)),
            Ok(Command::Tell(to, text)) => {
                if self.is_terminal {
                    let text = Visible(&text).to_string();
                    self.context.screen.show_now(&Line::Message {
                        from: format!("you -> {to}"),
                        text,
                        is_private: true,
                    });
                }
                self.say(Message::Private(to, text));
            }
            Ok(Command::File(to, path)) => self.send_file(to, path),
            Ok(Command::Accept(meant)) => files::accept(&self.context, &meant),
            Ok(Command::Refuse(meant)) => files::refuse(&self.context, &meant),
            Ok(Command::Cancel(meant)) => files::cancel(&self.context, self.link.as_deref(), &meant),
            Ok(Command::Quit) => return self.finish(),
            Ok(Command::Help) => {
                for (form, meaning) in HELP {
                    self.context.screen.notice(format!("{form:<28}  {meaning}"));
                }
            }
            Err(mistake) => self.context.fail(mistake.to_string()),
        }
        None
    }

    fn say(&self, message: Message) {
        let may_wait = !self.is_terminal;
        match &self.link {
            None => self.context.fail("not sent: not connected"),
            Some(link) => {
                if link.say(message, may_wait).is_err() && !link.is_stopped() {
                    self.context.fail("not sent: too much waits to be sent already");
                }
            }
        }
    }

    fn send_file(&self, to: Recipient, path: PathBuf) {
        let Some(link) = self.link.clone() else { return self.context.fail("not sent: not connected") };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let transfer_id = self.context.next_transfer_id.fetch_add(1, Ordering::Relaxed);
        let Some(outgoing) = link.reserve_upload(to, name, transfer_id, !self.is_terminal) else {
            if !link.is_stopped() {
                self.context.fail("not sent: too many files are being sent already");
            }
            return;
        };
        let context = self.context.clone();
        thread::spawn(move || writer::prepare_upload(&context, &link, outgoing, &path));
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

    fn on_ended(&mut self, end: End) -> Option<ExitCode> {
        let link = self.link.take()?;
        let is_complete = matches!(end, End::Closed) && link.is_half_closed();
        for line in link.recent().on_end((!is_complete).then_some("the connection was lost")) {
            self.context.screen.notice(line);
        }
        link.unsent().into_iter().for_each(|line| self.context.fail(line));
        if self.is_finishing {
            return Some(match end {
                _ if is_complete && self.has_failed() => ExitCode::FAILURE,
                _ if is_complete => ExitCode::SUCCESS,
                end => failed(lost(&self.identity.server, &end)),
            });
        }
        self.loss = lost(&self.identity.server, &end);
        if self.context.now_ms().saturating_sub(self.connected_ms) >= STEADY_MS {
            self.retry_ms = RECONNECT_MIN_MS;
        }
        if !self.is_terminal {
            return Some(failed(&self.loss));
        }
        self.context.screen.problem(format!("{}; trying again", self.loss));
        self.try_again();
        None
    }

    /// Whether the exit status tells of a failure. A person has read the line about it.
    fn has_failed(&self) -> bool {
        !self.is_terminal && (self.context.has_failed.load(Ordering::Acquire) || self.context.screen.has_failed())
    }

    fn try_again(&mut self) {
        // A random quarter more or less, so that the clients of a restarted server do not all come back at once.
        let spread = u64::from(getrandom::u32().unwrap_or_default()) % (self.retry_ms / 2 + 1);
        let delay = Duration::from_millis(self.retry_ms - self.retry_ms / 4 + spread);
        self.retry_ms = (self.retry_ms * 2).min(RECONNECT_MAX_MS);
        if let Screen::Terminal(canvas) = &self.context.screen {
            canvas.set_standing(&format!("not connected; next try in {} s", delay.as_secs_f32().ceil()));
        }
        let (identity, events) = (self.identity.clone(), self.events.clone());
        thread::spawn(move || {
            thread::sleep(delay);
            let opened =
                Link::open(&identity.server, &identity.security, &identity.nickname, identity.password.as_deref());
            let _ = events.send(Event::Opened(Box::new(opened)));
        });
    }

    fn on_opened(&mut self, opened: Result<(Link, Leftover), Failure>) -> Option<ExitCode> {
        match opened {
            Ok(opened) => self.begin(opened),
            // The server may still hold our old connection for alive.
            Err(Failure::Unreachable(_) | Failure::Refused(AuthResponse::InUse)) => self.try_again(),
            Err(failure) => return Some(failed(login::describe(&failure, &self.identity))),
        }
        None
    }
}

fn lost(server: &str, end: &End) -> String {
    match end {
        End::Closed => format!("lost the connection to {server}: the server closed it"),
        End::Broken(error) => format!("lost the connection to {server}: {error}"),
    }
}

/// Whether the terminal can move its cursor; the line editor does not do without.
fn has_cursor() -> bool {
    !std::env::var("TERM").is_ok_and(|term| matches!(term.as_str(), "dumb" | "cons25" | "emacs"))
}
