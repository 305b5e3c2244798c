//! The command line, typed.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::limits::DOWNLOADS_MAX_BYTES;
use crate::shell::arguments::Spec;
use crate::wire::Nickname;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Chat.
    Chat(Options),
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

/// Everything that the client is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `HOST:PORT`.
    pub server: String,
    /// Who we are.
    pub nickname: String,
    /// Where the password is, for a registered user.
    pub password_file: Option<PathBuf>,
    /// Ask for the password on the terminal.
    pub ask_password: bool,
    /// Where received files go; nothing for the default folder.
    pub download: Option<PathBuf>,
    /// What the files that come in may come to together, in bytes.
    pub max_download_bytes: u64,
}

/// A mistake on the command line, in one line.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the arguments (without the program's name).
///
/// # Errors
/// What is wrong with them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let matches = getopts().parse(arguments).map_err(UsageError)?;
    if matches.opt_present("help") {
        return Ok(Request::Help);
    }
    if matches.opt_present("version") {
        return Ok(Request::Version);
    }
    let [server, nickname] = matches.free.as_slice() else {
        return Err(UsageError("HOST:PORT and NICKNAME are needed, and nothing else".into()));
    };
    let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    if port.and_then(|port| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
        return Err(UsageError(format!("{server:?}: not a HOST:PORT")));
    }
    if Nickname::parse(nickname).is_none() {
        return Err(UsageError(format!(
            "{nickname:?}: not a legal nickname (1 to 64 bytes, no control characters, no outer blanks)"
        )));
    }
    let max_download_bytes = match matches.opt_str("max-download") {
        None => DOWNLOADS_MAX_BYTES,
        Some(text) => {
            text.parse().map_err(|_| UsageError(format!("--max-download {text:?}: not a number of bytes")))?
        }
    };
    Ok(Request::Chat(Options {
        server: server.clone(),
        nickname: nickname.clone(),
        password_file: matches.opt_str("password-file").map(PathBuf::from),
        ask_password: matches.opt_present("ask-password"),
        download: matches.opt_str("download").map(PathBuf::from),
        max_download_bytes,
    }))
}

/// The text of `--help`.
pub fn usage() -> String {
    let mut text = getopts()
        .usage("Usage: cfp-client HOST:PORT NICKNAME [options]\n\nChat on a server for the Chat Fusion Protocol.");
    text.push_str("\nTyped, or read from standard input:\n");
    for (form, meaning) in super::command::HELP {
        text.push_str(&format!("    {form:<28}  {meaning}\n"));
    }
    text
}

fn getopts() -> Spec {
    let mut options = Spec::new();
    options
        .optopt(
            "p",
            "password-file",
            "log in as a registered user, with the password in this file's first line",
            "FILE",
        )
        .optflag("P", "ask-password", "log in as a registered user, with a password asked for on the terminal")
        .optopt(
            "d",
            "download",
            "the folder that takes received files (default ./cfp-received), made when it is needed",
            "DIR",
        )
        .optopt("", "max-download", "most that the files coming in may come to together (default 16 GiB)", "BYTES")
        .optflag("h", "help", "print this, exit")
        .optflag("V", "version", "print the version, exit");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Request, UsageError> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn server_and_nickname_are_enough_and_options_may_stand_anywhere() {
        let Ok(Request::Chat(options)) = parsed(&["[::1]:7777", "ana", "--download", "d", "--password-file=f"]) else {
            unreachable!("these are fine");
        };
        assert_eq!((options.server.as_str(), options.nickname.as_str()), ("[::1]:7777", "ana"));
        assert_eq!((options.download, options.password_file), (Some("d".into()), Some("f".into())));
        assert_eq!(parsed(&["-h"]), Ok(Request::Help));
        assert_eq!(parsed(&["--version"]), Ok(Request::Version));
    }

    #[test]
    fn a_mistake_is_said_in_one_line() {
        for bad in [
            &[][..],
            &["localhost:7777"],
            &["localhost", "ana"],
            &[":7777", "ana"],
            &["localhost:x", "ana"],
            &["localhost:0", "ana"],
            &["localhost:70000", "ana"],
            &["localhost:7777", " ana"],
            &["localhost:7777", "ana", "more"],
            &["localhost:7777", "ana", "--password=secret"],
            &["localhost:7777", "ana", "--max-download", "1G"],
        ] {
            assert!(parsed(bad).is_err_and(|error| !error.to_string().contains('\n')), "{bad:?}");
        }
    }
}
