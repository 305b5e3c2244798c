//! The command line, typed.

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::limits::DOWNLOADS_MAX_BYTES;
use super::paths;
use super::recipient::Recipient;
use super::security::{TlsOptions, TrustOption};
use super::term::canvas::Style;
use crate::arguments::{Arguments, Spec, fingerprint};
use crate::wire::{Nickname, ServerId};

/// The port where none is given: the server's default.
const DEFAULT_PORT: u16 = 7777;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Chat.
    Chat(Box<Options>),
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
    /// TLS, if it is wanted.
    pub tls: Option<TlsOptions>,
    /// The nickname.
    pub nickname: String,
    /// The file with the password, for a registered user.
    pub password_file: Option<PathBuf>,
    /// Ask for the password on the terminal.
    pub ask_password: bool,
    /// The folder for received files; `None` for the default folder.
    pub download: Option<PathBuf>,
    /// What all files may come to that are taken, in bytes.
    pub max_download_bytes: u64,
    /// Senders whose files are taken without asking.
    pub accept: Vec<Recipient>,
    /// Whether all others' files are taken unasked, or none at all.
    pub files: Files,
    /// What the terminal shows, and how it calls.
    pub style: Style,
    /// The file that every line goes to, too.
    pub log: Option<PathBuf>,
    /// Typed lines are kept over restarts.
    pub keeps_history: bool,
    /// Standard output and input are objects, for programs.
    pub is_json: bool,
    /// A lost connection is made anew, also without a terminal.
    pub reconnects: bool,
}

/// The policy for files of other senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Files that the user accepts, if there is a terminal.
    Asked,
    /// Files of every sender.
    All,
    /// No files, not even of named senders.
    No,
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
/// The mistake in them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let matches = getopts().parse(arguments).map_err(UsageError)?;
    if matches.opt_present("help") {
        return Ok(Request::Help);
    }
    if matches.opt_present("version") {
        return Ok(Request::Version);
    }
    let [server, nickname] = matches.free.as_slice() else {
        return Err(UsageError("HOST[:PORT] and NICKNAME are needed, and nothing else".into()));
    };
    let server = with_port(server).ok_or_else(|| UsageError(format!("{server:?}: not a HOST or HOST:PORT")))?;
    if Nickname::parse(nickname).is_none() {
        return Err(UsageError(format!(
            "{nickname:?}: not a legal nickname (1 to 64 bytes, no control characters, no outer blanks)"
        )));
    }
    let max_download_bytes = matches.number("max-download", ..).map_err(UsageError)?;
    let mut accept = Vec::new();
    for text in matches.opt_strs("accept") {
        accept.push(somebody(&text).ok_or_else(|| UsageError(format!("--accept {text:?}: not a NICKNAME@ID")))?);
    }
    let files = match (matches.opt_present("accept-all"), matches.opt_present("no-files")) {
        (false, false) => Files::Asked,
        (true, false) => Files::All,
        (false, true) if accept.is_empty() => Files::No,
        _ => return Err(UsageError("--no-files contradicts --accept and --accept-all".into())),
    };
    let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
    let tls = tls(&matches, host.trim_start_matches('[').trim_end_matches(']'))?;
    Ok(Request::Chat(Box::new(Options {
        server,
        tls,
        nickname: nickname.clone(),
        password_file: matches.opt_str("password-file").map(paths::expand),
        ask_password: matches.opt_present("ask-password"),
        download: matches.opt_str("download").map(paths::expand),
        max_download_bytes: max_download_bytes.unwrap_or(DOWNLOADS_MAX_BYTES),
        accept,
        files,
        style: Style {
            has_seconds: matches.opt_present("seconds"),
            has_bell: !matches.opt_present("no-bell"),
            has_notifications: matches.opt_present("notify"),
        },
        log: matches.opt_str("log").map(paths::expand),
        keeps_history: !matches.opt_present("no-history"),
        is_json: matches.opt_present("json"),
        reconnects: matches.opt_present("reconnect"),
    })))
}

/// `HOST:PORT`; without a port, with that of the protocol. An IPv6 address without a port needs no brackets.
fn with_port(server: &str) -> Option<String> {
    if server.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{server}]:{DEFAULT_PORT}"));
    }
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let whole = if has_port { server.to_owned() } else { format!("{server}:{DEFAULT_PORT}") };
    let (host, port) = whole.rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    (!host.is_empty() && !host.contains(char::is_whitespace) && is_port).then_some(whole)
}

/// `NICKNAME@ID`. An argument needs no quotes if a nickname has blanks, but may have them as a typed line does.
fn somebody(text: &str) -> Option<Recipient> {
    if let Some((address, "")) = Recipient::parse(text) {
        return Some(address);
    }
    let (nickname, server) = text.rsplit_once('@')?;
    Nickname::parse(nickname)?;
    let is_number = !server.is_empty() && server.bytes().all(|byte| byte.is_ascii_digit());
    Some(Recipient { nickname: nickname.to_owned(), server: ServerId(server.parse().ok().filter(|_| is_number)?) })
}

/// TLS to this host, if it is wanted.
fn tls(matches: &Arguments, host: &str) -> Result<Option<TlsOptions>, UsageError> {
    let needing = ["ca", "tls-name", "fingerprint"].into_iter().find(|name| matches.opt_present(name));
    if !matches.opt_present("tls") {
        return needing.map_or(Ok(None), |name| Err(UsageError(format!("--{name} needs --tls"))));
    }
    if cfg!(not(feature = "tls")) {
        let how = "this cfp-client was built without TLS (the feature tls, which is on by default)";
        return Err(UsageError(format!("--tls: {how}")));
    }
    let trust = match (matches.opt_str("ca"), matches.opt_str("fingerprint")) {
        (None, None) => TrustOption::System,
        (Some(path), None) => TrustOption::File(paths::expand(path)),
        (None, Some(text)) => fingerprint(&text).map(TrustOption::Fingerprint).ok_or_else(|| {
            UsageError(format!(
                "--fingerprint {text:?}: not a SHA-256 (64 hexadecimal digits, as the server's log has it)"
            ))
        })?,
        (Some(_), Some(_)) => return Err(UsageError("--ca and --fingerprint: one of them".into())),
    };
    let name = matches.opt_str("tls-name").unwrap_or_else(|| host.to_owned());
    Ok(Some(TlsOptions { name, trust }))
}

/// The text of `--help`.
pub fn usage() -> String {
    let mut text = getopts()
        .usage("Usage: cfp-client HOST[:PORT] NICKNAME [options]\n\nChat on a server for the Chat Fusion Protocol.");
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
        .optflag("", "tls", "speak TLS with the server, and with no other")
        .optopt("", "ca", "the CA of its certificate (default: those that this system trusts)", "FILE")
        .optopt("", "tls-name", "the name in its certificate (default: HOST)", "NAME")
        .optopt("", "fingerprint", "take this very certificate and no other", "SHA256")
        .optmulti("", "accept", "take this person's files without asking; may be repeated", "NICKNAME@ID")
        .optflag("", "accept-all", "take every sender's files without asking")
        .optflag("", "no-files", "take no files")
        .optopt("", "max-download", "most that all files taken may come to (default 1 GiB)", "BYTES")
        .optflag("", "seconds", "show times with seconds")
        .optflag("", "no-bell", "do not ring the bell for private messages and for your nickname")
        .optflag("", "notify", "tell the desktop of them, too, by the terminal (OSC 9)")
        .optopt("", "log", "append every line to this file, too", "FILE")
        .optflag("", "no-history", "do not keep typed lines for the next run")
        .optflag("", "json", "write an object a line on standard output, and take objects on standard input")
        .optflag("", "reconnect", "without a terminal, too, connect anew when the connection is lost")
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
    fn a_host_alone_means_the_port_of_the_protocol() {
        for (given, meant) in [
            ("localhost", "localhost:7777"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("::1", "[::1]:7777"),
            ("[::1]", "[::1]:7777"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(with_port(given).as_deref(), Some(meant));
        }
    }

    #[test]
    fn whose_files_are_taken_is_named_as_it_is_typed_or_without_quotes() {
        let Ok(Request::Chat(options)) =
            parsed(&["x:1", "ana", "--accept", "\"two words\"@7", "--accept=two words@8", "--accept", "a@b@9"])
        else {
            unreachable!("these are fine");
        };
        let expected = [(7, "two words"), (8, "two words"), (9, "a@b")];
        assert_eq!(options.accept, expected.map(|(server, name)| Recipient::new(ServerId(server), name)));
        assert_eq!(options.files, Files::Asked);
    }

    #[test]
    fn a_mistake_is_said_in_one_line() {
        for bad in [
            &[][..],
            &["localhost:7777"],
            &["", "ana"],
            &["localhost:", "ana"],
            &[":7777", "ana"],
            &["localhost:x", "ana"],
            &["localhost:0", "ana"],
            &["localhost:70000", "ana"],
            &["localhost:7777", " ana"],
            &["localhost:7777", "ana", "more"],
            &["localhost:7777", "ana", "--password=secret"],
            &["localhost:7777", "ana", "--ca", "ca.pem"],
            &["localhost:7777", "ana", "--tls", "--fingerprint", "abc"],
            &["localhost:7777", "ana", "--max-download", "1G"],
            &["localhost:7777", "ana", "--max-download", ""],
            &["localhost:7777", "ana", "--accept", ""],
            &["localhost:7777", "ana", "--accept", "bob"],
            &["localhost:7777", "ana", "--accept", "bob@"],
            &["localhost:7777", "ana", "--accept", "bob@7 x"],
            &["localhost:7777", "ana", "--accept", "bob@+7"],
            &["localhost:7777", "ana", "--accept", "@7"],
            &["localhost:7777", "ana", "--no-files", "--accept-all"],
            &["localhost:7777", "ana", "--no-files", "--accept", "bob@7"],
            &["localhost:7777", "ana", "--download", ""],
            &["localhost:7777", "ana", "--password-file", ""],
        ] {
            assert!(parsed(bad).is_err_and(|error| !error.to_string().contains('\n')), "{bad:?}");
        }
    }
}
