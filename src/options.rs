//! The command line, typed.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use getopts::{Matches, Options as Getopts};

use crate::core::config::Config;
use crate::limits;
use crate::wire::{Nickname, ServerId};

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Box<Options>),
    /// Look at the options and the users file, and say what is wrong.
    Check(Box<Options>),
    /// Print a line for the users file for this nickname.
    HashPassword(String),
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

/// Everything that a server is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the core needs to know.
    pub config: Config,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The users file.
    pub users: Option<PathBuf>,
    /// Whether `--max-clients` was given; else it follows from the descriptor limit.
    pub max_clients: Option<usize>,
}

/// A mistake on the command line: one line that says what is wrong and what is expected.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes the arguments (without the program's name) as text.
pub fn texts(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, UsageError> {
    let text = |argument: OsString| {
        argument.into_string().map_err(|bytes| UsageError(format!("argument {bytes:?}: expected UTF-8")))
    };
    arguments.into_iter().map(text).collect()
}

/// Reads the arguments (without the program's name).
pub fn parse(arguments: &[String]) -> Result<Command, UsageError> {
    let matches = getopts().parse(arguments).map_err(|error| UsageError(error.to_string()))?;
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    if matches.opt_present("version") {
        return Ok(Command::Version);
    }
    if let Some(extra) = matches.free.first() {
        return Err(UsageError(format!("unexpected argument '{extra}'")));
    }
    if let Some(nickname) = matches.opt_str("hash-password") {
        if Nickname::parse(&nickname).is_none() {
            return Err(UsageError(format!(
                "--hash-password {nickname:?}: not a legal nickname (1 to 64 bytes, no control characters, no outer blanks)"
            )));
        }
        if nickname.starts_with('#') {
            return Err(UsageError(format!(
                "--hash-password {nickname:?}: a line that starts with # is a comment in the users file"
            )));
        }
        return Ok(Command::HashPassword(nickname));
    }
    let options = Box::new(options(&matches)?);
    Ok(if matches.opt_present("check") { Command::Check(options) } else { Command::Serve(options) })
}

/// The text of `--help`.
pub fn usage() -> String {
    getopts().usage("Usage: cfp-server --id N [options]\n\nA server for the Chat Fusion Protocol.")
}

fn getopts() -> Getopts {
    let mut options = Getopts::new();
    options
        .optopt("i", "id", "this server's ID, 0 to 4294967295 (required)", "N")
        .optopt("l", "listen", "where to listen; port 0 takes a free one (default 0.0.0.0:7777)", "IP:PORT")
        .optopt("u", "users", "the registered users (default none: guests only)", "FILE")
        .optflag("", "no-guests", "registered users only")
        .optopt("", "max-clients", "connections held at once (default: what the descriptor limit leaves room for)", "N")
        .optopt("", "max-message", "longest message text (default 65536)", "BYTES")
        .optopt("", "max-queue", "most output one client may be behind with (default 1048576)", "BYTES")
        .optopt("", "max-per-address", "connections at once from one address, or IPv6 /64 (default no limit)", "N")
        .optopt("", "max-memory", "most queued output and input together (default 67108864)", "BYTES")
        .optopt("", "handshake-timeout", "time to log in or merge in (default 10)", "SECONDS")
        .optopt("", "hash-password", "read a password, print its line for the users file, exit", "NICKNAME")
        .optflag("", "check", "check the options and the users file, exit")
        .optflag("h", "help", "print this, exit")
        .optflag("V", "version", "print the version, exit");
    options
}

fn options(matches: &Matches) -> Result<Options, UsageError> {
    let id: u32 = number(matches, "id", 0, u64::from(u32::MAX))?
        .ok_or_else(|| UsageError("--id N is missing: every server of a network needs an ID of its own".into()))?;
    let mut config = Config::new(ServerId(id));
    config.no_guests = matches.opt_present("no-guests");
    config.max_per_address = number(matches, "max-per-address", 1, u64::MAX)?;
    let ceiling = limits::MESSAGE_CEILING_BYTES as u64;
    set(&mut config.frame.message_max_bytes, number(matches, "max-message", 1, ceiling)?);
    set(&mut config.max_queue_bytes, number(matches, "max-queue", 1024, u64::MAX)?);
    set(&mut config.max_memory_bytes, number(matches, "max-memory", 64 * 1024, u64::MAX)?);
    let seconds: Option<u64> = number(matches, "handshake-timeout", 1, 86_400)?;
    set(&mut config.handshake_ms, seconds.map(|seconds| seconds * 1000));
    let max_clients = number(matches, "max-clients", 1, u64::MAX)?;
    set(&mut config.max_clients, max_clients);
    let users = matches.opt_str("users").map(PathBuf::from);
    if config.no_guests && users.is_none() {
        return Err(UsageError("--no-guests without --users FILE would let nobody in".into()));
    }
    Ok(Options { config, listen: address(matches, "listen", "0.0.0.0:7777")?, users, max_clients })
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn number<T: TryFrom<u64>>(matches: &Matches, name: &str, min: u64, max: u64) -> Result<Option<T>, UsageError> {
    let Some(text) = matches.opt_str(name) else { return Ok(None) };
    let value = text.parse::<u64>().ok().filter(|value| (min..=max).contains(value));
    let converted = value.and_then(|value| T::try_from(value).ok());
    match converted {
        Some(value) => Ok(Some(value)),
        None if max == u64::MAX => Err(UsageError(format!("--{name} {text}: expected a number of at least {min}"))),
        None => Err(UsageError(format!("--{name} {text}: expected a number from {min} to {max}"))),
    }
}

fn address(matches: &Matches, name: &str, default: &str) -> Result<SocketAddr, UsageError> {
    let text = matches.opt_str(name).unwrap_or_else(|| default.to_owned());
    text.parse()
        .map_err(|_| UsageError(format!("--{name} {text}: expected IP:PORT, like 127.0.0.1:7777 or [::1]:7777")))
}
