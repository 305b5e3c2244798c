//! The server's command: parse, start the log, run, turn an error into one line and an exit status.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use cfp::core::state::users::users_line;
use cfp::limits;
use cfp::shell::control;
use cfp::shell::options::{self, Command, Options};
use cfp::shell::reactor::Stop;
use cfp::shell::start::StartError;
use cfp::shell::stdio::{complain, print, show};
use cfp::shell::terminal::{self, ALL_SIGNALS};
use cfp::shell::users_file::{UserEdit, UsersFile};
use cfp::shell::{logging, start};
use cfp::wire::Nickname;

fn main() -> ExitCode {
    // Writes as every other message is written: it does not wait for ever if standard error takes nothing.
    std::panic::set_hook(Box::new(|panic| complain(&format!("cfp-server: {panic}\n"))));
    let command = options::parse_with(std::env::args_os().skip(1), std::env::vars_os());
    let result = match command {
        Ok(Command::Help) => show(&options::usage()),
        Ok(Command::Version) => show(&format!("cfp-server {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::HashPassword(nickname)) => hash_password(&nickname),
        Ok(Command::AddUser(file, nickname)) => add_user(&UsersFile::new(file), &nickname),
        Ok(Command::RemoveUser(file, nickname)) => remove_user(&UsersFile::new(file), &nickname),
        Ok(Command::Check(options)) => return check(*options),
        Ok(Command::Ask(control, command)) => match control::ask(&control, &command, &mut io::stdout()) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(problem) => Err(problem),
        },
        Ok(Command::Serve(options)) => return serve(*options),
        Err(error) => return mistake(&error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn serve(options: Options) -> ExitCode {
    if let Err(problem) = logging::start() {
        return mistake(&problem);
    }
    let reactor = match start::start(options) {
        Ok(reactor) => reactor,
        Err(error) => return cannot_start(&error),
    };
    let end = reactor.run();
    logging::finish();
    match end {
        Ok(Stop::Drained) => {
            log::info!("stopped");
            ExitCode::SUCCESS
        }
        Ok(Stop::Hurried) => fail("asked to stop twice: ended at once"),
        Err(error) => fail(&format!("the loop cannot go on: {error}")),
    }
}

fn check(options: Options) -> ExitCode {
    if let Err(problem) = logging::filters() {
        return mistake(&problem);
    }
    match start::check(&options) {
        Ok((users, warnings)) => {
            for warning in warnings {
                complain(&format!("cfp-server: {warning}\n"));
            }
            match print(&format!("options are fine, {} registered users\n", users.len())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(problem) => fail(&problem),
            }
        }
        Err(error) => cannot_start(&error),
    }
}

fn cannot_start(error: &StartError) -> ExitCode {
    match error {
        StartError::Usage(problem) => mistake(problem),
        StartError::Cannot(problem) => fail(problem),
    }
}

fn hash_password(nickname: &str) -> Result<(), String> {
    let (nickname, password, salt) = new_password(nickname)?;
    let began = std::time::Instant::now();
    let line = users_line(nickname, &password, &salt);
    let took_ms = began.elapsed().as_millis();
    complain(&format!("cfp-server: one check of this password takes {took_ms} ms of this machine\n"));
    print(&format!("{line}\n"))
}

fn add_user(file: &UsersFile, nickname: &str) -> Result<(), String> {
    let (nickname, password, salt) = new_password(nickname)?;
    match file.add(nickname, &password, &salt)? {
        UserEdit::Changed => {
            print(&format!("{:?} has another password; a running server learns of it with SIGHUP\n", nickname.as_str()))
        }
        _ => print(&format!("{:?} is added; a running server learns of it with SIGHUP\n", nickname.as_str())),
    }
}

fn remove_user(file: &UsersFile, nickname: &str) -> Result<(), String> {
    file.remove(Nickname::parse(nickname).ok_or("not a legal nickname")?)?;
    print(&format!("{nickname:?} is removed; a running server learns of it with SIGHUP\n"))
}

/// What a new line of the users file is made of.
fn new_password(nickname: &str) -> Result<(Nickname<'_>, String, [u8; 16]), String> {
    let nickname = Nickname::parse(nickname).ok_or("not a legal nickname")?;
    let password = read_password()?;
    if password.is_empty() {
        return Err("the password is empty: type one, or hand it over as a line on standard input".to_owned());
    }
    if password.len() > limits::PASSWORD_MAX_BYTES {
        return Err(format!("the password is longer than {} bytes", limits::PASSWORD_MAX_BYTES));
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| format!("no randomness for a salt: {error}"))?;
    Ok((nickname, password, salt))
}

/// One line from standard input. On a terminal the line is not echoed, and is asked for twice.
fn read_password() -> Result<String, String> {
    let problem = |error| format!("cannot read the password: {error}");
    if !io::stdin().is_terminal() {
        return terminal::read_password(io::stdin().lock()).map_err(problem);
    }
    let ask = |question| match terminal::ask(question, ALL_SIGNALS) {
        Ok(Some(password)) => Ok(password),
        Ok(None) => Err("no password was typed".to_owned()),
        Err(error) => Err(problem(error)),
    };
    let password = ask("Password: ")?;
    if ask("The same again: ")? == password { Ok(password) } else { Err("the two passwords differ".to_owned()) }
}

fn mistake(problem: &str) -> ExitCode {
    complain(&format!("cfp-server: {problem}\nTry 'cfp-server --help'.\n"));
    ExitCode::from(2)
}

fn fail(problem: &str) -> ExitCode {
    complain(&format!("cfp-server: {problem}\n"));
    ExitCode::FAILURE
}
