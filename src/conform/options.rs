//! The command line.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::client::{self, Manner};
use super::limits::{PATIENCE_MAX_S, PATIENCE_S, PORT};
use super::security::{Security, TrustOption};
use super::server::{Setup, Target};
use super::{SECTIONS, client_cases, is_in, server_cases};
use crate::arguments::{Arguments, Spec, fingerprint, number};
use crate::wire::{Nickname, ServerId};

/// What is asked for.
pub enum Request {
    /// Check.
    Check(Box<Subject>, Output),
    /// Print the cases.
    List,
    /// Print the options.
    Help,
    /// Print the version.
    Version,
}

/// What is checked.
pub enum Subject {
    /// A server.
    Server(Setup),
    /// A client.
    Client(client::Setup),
}

/// Which cases are run, and how the result is told.
#[derive(Debug, Default)]
pub struct Output {
    sections: Vec<String>,
    cases: Vec<String>,
    /// JSON in place of lines.
    pub is_json: bool,
    /// Notes fail, too.
    pub is_strict: bool,
    /// Also write JUnit's XML there.
    pub junit: Option<PathBuf>,
}

impl Output {
    /// Whether the case is asked for.
    pub fn wants(&self, id: &str) -> bool {
        let is_all = self.sections.is_empty() && self.cases.is_empty();
        is_all || self.cases.iter().any(|case| case == id) || self.sections.iter().any(|section| is_in(id, section))
    }
}

/// The IDs that a server can have.
const IDS: RangeInclusive<u64> = 0..=u32::MAX as u64;

const USAGE: &str = "\
Usage: cfp-conform HOST:PORT --id ID [options]
       cfp-conform --client [--listen IP:PORT] [options]

Checks a server, or a client, of the Chat Fusion Protocol: a line for each sentence of the RFC and for each decision
on what the RFC leaves open. Exit status: 0 if nothing fails, 1 if something does, 2 for a mistake on this line.";

/// The text of `--help`.
pub fn usage() -> String {
    spec().usage(USAGE)
}

fn spec() -> Spec {
    let mut spec = Spec::new();
    spec.optopt("i", "id", "the server's ID (with --client: of the server that is played; default 7)", "ID")
        .optopt("", "user", "a registered user of the server, who is not connected", "NICKNAME")
        .optopt("", "password", "that user's password", "PASSWORD")
        .optmulti("", "second", "another server, merged with the first; may be repeated", "HOST:PORT")
        .optmulti("", "second-id", "its ID; as often as --second", "ID")
        .optopt("", "port", "the port at which a server is played (default 9207; 0 for any)", "PORT")
        .optflag("", "tls", "connect with TLS, as --ca or --fingerprint says")
        .optopt(
            "",
            "ca",
            "the CA of the server's certificate, which names HOST, or a certificate that signed itself",
            "FILE",
        )
        .optopt("", "fingerprint", "take this very certificate and no other", "SHA256")
        .optflag("", "routed", "the server is one of a routed network (D24 to D39)")
        .optflag("", "slow", "run also what takes a minute")
        .optflag("", "client", "check a client: play a server for it")
        .optopt("l", "listen", "the address at which that server listens (default 127.0.0.1:7777)", "IP:PORT")
        .optopt("", "run", "the command that starts the client; without it, a person is told what to do", "COMMAND")
        .optopt("", "run-user", "the command that logs in as a registered user", "COMMAND")
        .optopt("", "say", "what is typed to say something in public (default {text})", "LINE")
        .optopt("", "tell", "what is typed to say something in private", "LINE")
        .optopt("", "send", "what is typed to send a file", "LINE")
        .optopt("", "leave", "what is typed to leave; without it, the input ends", "LINE")
        .optopt("", "download", "the folder in which the client puts received files", "DIR")
        .optmulti(
            "s",
            "section",
            "only this section of the RFC, D for all decisions, D9 for one; may be repeated",
            "SECTION",
        )
        .optmulti("c", "case", "only this case; may be repeated", "CASE")
        .optopt("", "patience", "the longest wait for an answer, in seconds (default 5)", "SECONDS")
        .optflag("", "strict", "another reading of a decision fails, too")
        .optflag("", "json", "print JSON")
        .optopt("", "junit", "also write JUnit's XML", "FILE")
        .optflag("", "list", "print the cases, and exit")
        .optflag("h", "help", "print this, and exit")
        .optflag("V", "version", "print the version, and exit");
    spec
}

/// Reads the arguments, without the program's name. The error is one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let matches = spec().parse(arguments)?;
    for (name, request) in [("help", Request::Help), ("version", Request::Version), ("list", Request::List)] {
        if matches.opt_present(name) {
            return Ok(request);
        }
    }
    let patience = matches.number("patience", 1..=PATIENCE_MAX_S)?.unwrap_or(PATIENCE_S);
    let patience = Duration::from_secs(patience);
    let is_client = matches.opt_present("client");
    let only = if is_client {
        ["user", "password", "second", "second-id", "port", "tls", "ca", "fingerprint", "routed", "slow"].as_slice()
    } else {
        &["listen", "run", "run-user", "say", "tell", "send", "leave", "download"]
    };
    if let Some(name) = only.iter().find(|name| matches.opt_present(name)) {
        return Err(format!(
            "--{name} is for a {}",
            if is_client { "server, not for a client" } else { "client: --client" }
        ));
    }
    let subject = if is_client { client(&matches, patience)? } else { server(&matches, patience)? };
    Ok(Request::Check(Box::new(subject), output(&matches, is_client)?))
}

fn server(matches: &Arguments, patience: Duration) -> Result<Subject, String> {
    let [address] = matches.free.as_slice() else {
        return Err("HOST:PORT of the server is needed, and nothing else".into());
    };
    let id = matches.number("id", IDS)?.ok_or("--id ID is needed: the server's ID, which is in its packets")?;
    let (seconds, second_ids) = (matches.opt_strs("second"), matches.opt_strs("second-id"));
    if seconds.len() != second_ids.len() {
        return Err("--second HOST:PORT and --second-id ID: as many of one as of the other".into());
    }
    let trust = trust(matches)?;
    let mut others = Vec::new();
    for (second, second_id) in seconds.iter().zip(&second_ids) {
        let id = number(second_id, IDS).map_err(|problem| matches.mistake("second-id", second_id, &problem))?;
        others.push(target(second, id, trust.as_ref())?);
    }
    let user = match (matches.opt_str("user"), matches.opt_str("password")) {
        (None, None) => None,
        (Some(user), Some(password)) if Nickname::parse(&user).is_some() => Some((user, password)),
        (Some(user), Some(_)) => return Err(format!("--user {user:?}: not a legal nickname")),
        _ => return Err("--user NICKNAME and --password PASSWORD need each other".into()),
    };
    let target = target(address, id, trust.as_ref())?;
    let port = matches.number("port", 0..=u16::MAX.into())?.unwrap_or(PORT);
    Ok(Subject::Server(Setup {
        target,
        others,
        user,
        patience,
        is_slow: matches.opt_present("slow"),
        is_routed: matches.opt_present("routed"),
        port,
    }))
}

fn target(place: &str, id: u32, trust: Option<&TrustOption>) -> Result<Target, String> {
    Ok(Target { address: resolve(place)?, id: ServerId(id), security: Security::new(place, trust)? })
}

/// How the server is recognised, if there is TLS.
fn trust(matches: &Arguments) -> Result<Option<TrustOption>, String> {
    let (ca, text) = (matches.opt_str("ca"), matches.opt_str("fingerprint"));
    let trust = match (matches.opt_present("tls"), ca, text) {
        (false, None, None) => return Ok(None),
        (false, ..) => return Err("--ca and --fingerprint need --tls".into()),
        (true, Some(path), None) => TrustOption::File(path.into()),
        (true, None, Some(text)) => TrustOption::Fingerprint(
            fingerprint(&text)
                .ok_or_else(|| matches.mistake("fingerprint", &text, "expected a SHA-256: 64 hexadecimal digits"))?,
        ),
        (true, ..) => return Err("--tls needs --ca FILE or --fingerprint SHA256, one of them".into()),
    };
    Ok(Some(trust))
}

fn client(matches: &Arguments, patience: Duration) -> Result<Subject, String> {
    if let Some(extra) = matches.free.first() {
        return Err(format!("{extra:?}: with --client, --listen says where the client connects to"));
    }
    let listen = matches.address("listen")?.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7777)));
    let manner = match matches.opt_str("run") {
        Some(run) => Manner::Program {
            run,
            run_user: matches.opt_str("run-user"),
            say: matches.opt_str("say").unwrap_or_else(|| "{text}".to_owned()),
            tell: matches.opt_str("tell"),
            send: matches.opt_str("send"),
            leave: matches.opt_str("leave"),
        },
        None => match ["run-user", "say", "tell", "send", "leave"].into_iter().find(|name| matches.opt_present(name)) {
            Some(name) => return Err(format!("--{name} needs --run")),
            None => Manner::Person,
        },
    };
    let id = ServerId(matches.number("id", IDS)?.unwrap_or(7));
    let download = matches.opt_str("download").map(PathBuf::from);
    Ok(Subject::Client(client::Setup { listen, id, manner, download, patience }))
}

fn output(matches: &Arguments, is_client: bool) -> Result<Output, String> {
    let cases = if is_client { client_cases() } else { server_cases() };
    let (sections, asked) = (matches.opt_strs("section"), matches.opt_strs("case"));
    for section in &sections {
        if !cases.iter().any(|(id, _)| is_in(id, section)) {
            let known: Vec<&str> = SECTIONS.iter().map(|section| section.number).collect();
            return Err(format!("--section {section:?}: no case is in it; there are {}, D1 …", known.join(", ")));
        }
    }
    if let Some(case) = asked.iter().find(|case| !cases.iter().any(|(id, _)| id == case)) {
        return Err(format!("--case {case:?}: there is none; see --list"));
    }
    Ok(Output {
        sections,
        cases: asked,
        is_json: matches.opt_present("json"),
        is_strict: matches.opt_present("strict"),
        junit: matches.opt_str("junit").map(PathBuf::from),
    })
}

/// The first address of a name, one of IPv4 if there is any: only these can be described in a merge.
fn resolve(place: &str) -> Result<SocketAddr, String> {
    let expected = |why: String| format!("{place:?}: expected HOST:PORT ({why})");
    let mut found: Vec<SocketAddr> = place.to_socket_addrs().map_err(|error| expected(error.to_string()))?.collect();
    found.sort_by_key(|address| !address.is_ipv4());
    found.first().copied().ok_or_else(|| expected("it has no address".into()))
}
