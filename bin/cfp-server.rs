//! The server's command: parse, start the log, run, turn an error into one line and an exit status.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use cfp::core::state::users::users_line;
use cfp::limits;
use cfp::shell::options::{self, Command, Options};
use cfp::shell::reactor::Stop;
use cfp::shell::users_file::{UserEdit, UsersFile};
use cfp::shell::{logging, start};
use cfp::wire::Nickname;

fn main() -> ExitCode {
    let command = options::texts(std::env::args_os().skip(1)).and_then(|arguments| options::parse(&arguments));
    let result = match command {
        Ok(Command::Help) => print(&options::usage()),
        Ok(Command::Version) => print(&format!("cfp-server {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::HashPassword(nickname)) => hash_password(&nickname),
        Ok(Command::AddUser(file, nickname)) => add_user(&UsersFile::new(file), &nickname),
        Ok(Command::RemoveUser(file, nickname)) => remove_user(&UsersFile::new(file), &nickname),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Ask(control, command)) => match cfp::shell::control::ask(&control, &command, &mut io::stdout()) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(problem) => Err(problem),
        },
        Ok(Command::Serve(options)) => return serve(*options),
        Err(error) => {
            eprintln!("cfp-server: {error}\nTry 'cfp-server --help'.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn serve(options: Options) -> ExitCode {
    logging::start();
    match start::start(options) {
        Ok(reactor) => match reactor.run() {
            Ok(Stop::Drained) => {
                log::info!("stopped");
                ExitCode::SUCCESS
            }
            Ok(Stop::Hurried) => fail("asked to stop twice: ended at once"),
            Err(error) => fail(&format!("the loop cannot go on: {error}")),
        },
        Err(problem) => fail(&problem),
    }
}

fn check(options: &Options) -> Result<(), String> {
    let file = options.users.clone().map(UsersFile::new);
    let users = start::read_users(file.as_ref())?;
    if let Some(warning) = file.and_then(|file| file.warning()) {
        eprintln!("cfp-server: {warning}");
    }
    print(&format!("options are fine, {} registered users\n", users.len()))
}

fn hash_password(nickname: &str) -> Result<(), String> {
    let (nickname, password, salt) = new_password(nickname)?;
    let began = std::time::Instant::now();
    let line = users_line(nickname, &password, &salt);
    eprintln!("cfp-server: one check of this password takes {} ms of this machine", began.elapsed().as_millis());
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
    let password = read_password().map_err(|error| format!("cannot read the password: {error}"))?;
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

/// One line from standard input, without echo where that is a terminal.
fn read_password() -> io::Result<String> {
    let stdin = io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        eprint!("Password: ");
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        let read = stdin.lock().read_line(&mut line);
        tcsetattr(&stdin, OptionalActions::Now, &before)?;
        eprintln!();
        read?;
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| format!("standard output: {error}"))
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("cfp-server: {problem}");
    ExitCode::FAILURE
}
