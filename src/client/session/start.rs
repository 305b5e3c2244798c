//! The beginning of a run.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::input::Gate;
use super::login::{self, NoLogin};
use super::{Identity, Session};
use crate::client::consent::{Consent, FilePolicy};
use crate::client::disk::Folder;
use crate::client::limits::{INPUT_QUEUE_LINES, RECONNECT_MIN_MS};
use crate::client::options::{self, Files, Options, Request};
use crate::client::output::{self, failed, usage_error};
use crate::client::progress::Progress;
use crate::client::screen::{Kind, Printer, Screen};
use crate::client::security::Security;
use crate::client::term::canvas::Canvas;
use crate::client::term::history::History;
use crate::client::term::raw;
use crate::client::{Context, password, paths, signals};

/// The program: reads the command line, runs, and says how it went.
pub fn main() -> ExitCode {
    match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => output::print(&options::usage()),
        Ok(Request::Version) => output::print(concat!("cfp-client ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Chat(options)) => run(*options),
        Err(error) => usage_error(error),
    }
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
    let is_terminal = !options.is_json && io::stdin().is_terminal() && io::stdout().is_terminal() && has_cursor();
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
    let kind = match (is_terminal, options.is_json) {
        (true, _) => match Canvas::new(progress.clone(), options.style) {
            Ok(canvas) => Kind::Terminal(Box::new(canvas)),
            Err(error) => return failed(error),
        },
        (false, true) => Kind::Json(Printer::default()),
        (false, false) => Kind::Plain(Printer::default()),
    };
    let screen = Screen::new(kind);
    if let Some(path) = &options.log
        && let Err(error) = screen.log_to(path)
    {
        return usage_error(format_args!("--log {}: {error}", path.display()));
    }
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
    let reconnects = is_terminal || options.reconnects;
    let (opened, loss) = match login::log_in(&mut identity, context.screen.canvas()) {
        Ok(opened) => (Some(opened), String::new()),
        // A bot may be started before its server.
        Err(NoLogin::Unreachable(reason)) if !is_terminal && reconnects => (None, reason),
        Err(NoLogin::Unreachable(reason) | NoLogin::Refused(reason)) => return failed(reason),
    };
    let history = remember(&context, is_terminal && options.keeps_history);
    if opened.is_none() {
        output::complain(&loss);
    }
    let (events, incoming) = sync_channel(INPUT_QUEUE_LINES);
    let mut session = Session {
        context,
        identity,
        is_terminal,
        is_json: options.is_json,
        reconnects,
        events,
        gate: Arc::new(Gate::default()),
        deferred: Default::default(),
        link: None,
        link_number: 0,
        dial_number: 0,
        is_renaming: false,
        retiring: None,
        retry_ms: RECONNECT_MIN_MS,
        retry_at_ms: 0,
        connected_ms: 0,
        ticked_ms: 0,
        is_finishing: false,
        late: String::new(),
        loss,
        reason: String::new(),
    };
    session.ticked_ms = session.context.now_ms();
    let code = session.run(opened, history, &incoming);
    if let Some(canvas) = session.context.screen.canvas() {
        canvas.close(raw::size().0);
    }
    while session.context.is_told_to_end.load(Ordering::Acquire) {
        // The end by a signal is under way, and its exit status says so.
        thread::park();
    }
    session.context.terminal.restore();
    code
}

/// What was kept from earlier runs: who is ignored, and typed lines.
fn remember(context: &Context, keeps_history: bool) -> History {
    let trouble = |what: &str, error: &io::Error| {
        if context.screen.is_terminal() {
            context.screen.problem(format!("{what} can't be kept: {error}"));
        }
    };
    let folder = match paths::state_folder() {
        Ok(folder) => folder,
        Err(error) => {
            trouble("the history and who is ignored", &error);
            return History::default();
        }
    };
    if let Err(error) = context.people().keep_ignored_in(folder.join("ignored")) {
        trouble("who is ignored", &error);
    }
    if !keeps_history {
        return History::default();
    }
    match paths::make_private(&folder).and_then(|()| History::open(&folder.join("history"))) {
        Ok(history) => history,
        Err(error) => {
            trouble("the history", &error);
            History::default()
        }
    }
}

/// Whether the terminal can move its cursor; the line editor does not do without.
fn has_cursor() -> bool {
    !std::env::var("TERM").is_ok_and(|term| matches!(term.as_str(), "dumb" | "cons25" | "emacs"))
}
