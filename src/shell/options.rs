//! The command line, typed.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::arguments::variables::{self, Variable};
use crate::arguments::{Arguments, Spec};
use crate::core::state::config::Config;
use crate::core::state::mesh::{HostPort, is_unicast};
use crate::limits;
use crate::shell::dns::resolver::is_host_name;
use crate::shell::transport::TlsOptions;
use crate::wire::{Nickname, ServerId};

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Box<Options>),
    /// Send a command to the server behind this control socket.
    Ask(PathBuf, String),
    /// Check the options and the users file, and say what is wrong.
    Check(Box<Options>),
    /// Print a line for the users file for this nickname.
    HashPassword(String),
    /// Give this nickname a password in the users file.
    AddUser(PathBuf, String),
    /// Take this nickname out of the users file.
    RemoveUser(PathBuf, String),
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
    /// The listen address.
    pub listen: SocketAddr,
    /// The users file.
    pub users: Option<PathBuf>,
    /// The address told to other servers, if an option or the listen address names one.
    pub advertise: Option<SocketAddrV4>,
    /// Servers to merge with.
    pub merge: Vec<HostPort>,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// The address for metrics over HTTP.
    pub metrics: Option<SocketAddr>,
    /// The files for TLS, if there are any.
    pub tls: Option<TlsOptions>,
    /// Whether `--max-clients` was given; else it follows from the descriptor limit.
    pub max_clients: Option<usize>,
    /// What the operator should know of the environment, in one line.
    pub warning: Option<String>,
}

/// A mistake on the command line or in the environment: one line that says what is wrong and what is expected.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was typed may hold line breaks, and this is one line.
        for char in self.0.chars() {
            if char.is_control() { write!(f, "{}", char.escape_default())? } else { f.write_char(char)? }
        }
        Ok(())
    }
}

impl From<String> for UsageError {
    fn from(problem: String) -> UsageError {
        UsageError(problem)
    }
}

/// Reads the arguments (without the program's name), and no variable of the environment.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    parse_with(arguments, std::iter::empty())
}

/// Reads the arguments (without the program's name), and the variables for the options that are not among them.
pub fn parse_with(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Command, UsageError> {
    let known = getopts();
    let mut matches = known.parse(arguments)?;
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    if matches.opt_present("version") {
        return Ok(Command::Version);
    }
    known.add_environment(&mut matches, environment)?;
    if let Some(extra) = matches.free.first() {
        return Err(UsageError(format!("unexpected argument {extra:?}")));
    }
    let commands: Vec<&str> = COMMANDS.into_iter().filter(|name| matches.opt_present(name)).collect();
    match commands.as_slice() {
        [] => Ok(Command::Serve(Box::new(options(&matches)?))),
        ["check"] => Ok(Command::Check(Box::new(options(&matches)?))),
        ["hash-password"] => Ok(Command::HashPassword(nickname(&matches, "hash-password")?)),
        ["add-user"] => Ok(Command::AddUser(users_to_change(&matches, "add-user")?, nickname(&matches, "add-user")?)),
        ["remove-user"] => {
            Ok(Command::RemoveUser(users_to_change(&matches, "remove-user")?, nickname(&matches, "remove-user")?))
        }
        ["ask"] => ask(&matches),
        [one, other, ..] => Err(UsageError(format!("--{one} and --{other}: one thing at a time"))),
        [other] => Err(UsageError(format!("--{other}: not known"))),
    }
}

/// Options that make the program do something else than serve; one at a time.
const COMMANDS: [&str; 5] = ["hash-password", "add-user", "remove-user", "ask", "check"];

/// Options that no variable gives: what the program does is said where it is started.
const WITHOUT_VARIABLE: [&str; 7] = ["hash-password", "add-user", "remove-user", "ask", "check", "help", "version"];

/// The text of `--help`.
pub fn usage() -> String {
    getopts().usage(
        "Usage: cfp-server --id N [options]\n\nA server for the Chat Fusion Protocol. The variable in [brackets] gives an \
         option, too: a list with commas\nor blanks between its values, a flag as 1 or 0. The command line wins.",
    )
}

/// The variables that give options, in the order of `--help`.
pub fn variables() -> Vec<Variable> {
    getopts().variables().to_vec()
}

fn getopts() -> Spec {
    let mut options = Spec::with_variables("CFP_", &WITHOUT_VARIABLE);
    options
        .optopt("i", "id", "this server's ID, 0 to 4294967295 (required)", "N")
        .optopt("l", "listen", "the listen address; port 0 takes a free one (default 0.0.0.0:7777)", "IP:PORT")
        .optopt("a", "advertise", "the IPv4 address told to other servers (default: the listen address)", "IP:PORT")
        .optmulti("m", "merge", "merge with this server; may be repeated", "HOST:PORT")
        .optflag(
            "",
            "routed",
            "servers link only where a merge was asked for, and pass packets on; all of the network or none",
        )
        .optmulti("p", "allow-peer", "accept merge requests from these addresses too; may be repeated", "CIDR")
        .optopt("", "tls-cert", "the certificate for TLS, with those of its CAs (default none: no TLS)", "FILE")
        .optopt("", "tls-key", "the certificate's private key", "FILE")
        .optflag("", "require-tls", "close connections that do not begin with TLS")
        .optopt(
            "",
            "peer-ca",
            "the CA of the network's servers: links are TLS, by certificates that name cfp-ID",
            "FILE",
        )
        .optmulti("", "proxy-from", "take the client's address from the PROXY header of these; may be repeated", "CIDR")
        .optopt("u", "users", "the registered users (default none: guests only)", "FILE")
        .optflag("", "no-guests", "registered users only")
        .optopt("c", "control", "a Unix socket for the operator (default none)", "PATH")
        .optflag("", "no-control", "no control socket, although --control was given before")
        .optopt("", "metrics", "serve metrics over HTTP at this address (default none)", "IP:PORT")
        .optopt(
            "",
            "max-clients",
            "client connections at once (default: what the descriptor limit leaves room for)",
            "N",
        )
        .optopt("", "max-message", "longest message text (default 65536)", "BYTES")
        .optopt("", "max-queue", "most output one client may be behind with (default 1048576)", "BYTES")
        .optopt("", "max-link-queue", "most output a link may be behind with (default 16777216)", "BYTES")
        .optopt("", "max-per-address", "connections at once from one address, or IPv6 /64 (default no limit)", "N")
        .optopt("", "max-rate", "most that one client may send in a second (default no limit)", "BYTES")
        .optopt("", "max-memory", "most queued output and input together (default 67108864)", "BYTES")
        .optopt("", "handshake-timeout", "time to log in or merge in (default 10)", "SECONDS")
        .optopt("", "hash-password", "read a password, print its line for the users file, exit", "NICKNAME")
        .optopt("", "add-user", "read a password, add the nickname to --users or change its password, exit", "NICKNAME")
        .optopt("", "remove-user", "take the nickname out of --users, exit", "NICKNAME")
        .optopt("", "ask", "send one command to the server behind --control, print its answer, exit", "COMMAND")
        .optflag("", "check", "check the options and the users file, exit")
        .optflag("h", "help", "print this, exit")
        .optflag("V", "version", "print the version, exit");
    options
}

fn ask(matches: &Arguments) -> Result<Command, UsageError> {
    let control = matches.opt_str_unless("control", "no-control");
    let control =
        control.ok_or_else(|| UsageError("--ask needs --control PATH, the socket of the server to ask".into()))?;
    let command = matches.opt_str("ask").unwrap_or_default();
    if command.contains(char::is_control) {
        return Err(UsageError(format!("--ask {command:?}: expected one command, without control characters")));
    }
    Ok(Command::Ask(control.into(), command))
}

fn users_to_change(matches: &Arguments, name: &str) -> Result<PathBuf, UsageError> {
    let users = matches.opt_str("users");
    users.map(PathBuf::from).ok_or_else(|| UsageError(format!("--{name} needs --users FILE: the file to change")))
}

fn options(matches: &Arguments) -> Result<Options, UsageError> {
    let id: u32 = matches.number("id", 0..=u32::MAX.into())?.ok_or_else(|| {
        UsageError("--id N (or CFP_ID) is missing: every server of a network needs an ID of its own".into())
    })?;
    let mut config = Config::new(ServerId(id));
    config.no_guests = matches.opt_present("no-guests");
    config.max_per_address = matches.number("max-per-address", 1..)?;
    config.max_rate_bytes = matches.number("max-rate", 1..)?;
    if matches.opt_present("routed") {
        // The start sets the time.
        config.route(0);
    }
    let ceiling = limits::MESSAGE_CEILING_BYTES as u64;
    set(&mut config.frame.message_max_bytes, matches.number("max-message", 1..=ceiling)?);
    set(&mut config.max_queue_bytes, matches.number("max-queue", 1024..)?);
    set(&mut config.max_link_queue_bytes, matches.number("max-link-queue", 1024..)?);
    set(&mut config.max_memory_bytes, matches.number("max-memory", 64 * 1024..)?);
    check_queues(matches, &config)?;
    let seconds: Option<u64> = matches.number("handshake-timeout", 1..=86_400)?;
    set(&mut config.handshake_ms, seconds.map(|seconds| seconds * 1000));
    let max_clients = matches.number("max-clients", 1..)?;
    set(&mut config.max_clients, max_clients);
    let users = matches.opt_str("users").map(PathBuf::from);
    if config.no_guests && users.is_none() {
        let no_guests = matches.name_of("no-guests");
        return Err(UsageError(format!("{no_guests} without --users FILE would let nobody in")));
    }
    config.allow_peers = matches
        .opt_strs("allow-peer")
        .iter()
        .map(|text| network(matches, "allow-peer", text))
        .collect::<Result<_, _>>()?;
    config.proxies =
        matches.opt_strs("proxy-from").iter().map(|text| proxies(matches, text)).collect::<Result<_, _>>()?;
    let tls = tls(matches)?;
    config.requires_tls = tls.as_ref().is_some_and(|tls| tls.is_required);
    config.has_peer_ca = tls.as_ref().is_some_and(|tls| tls.peer_ca.is_some());
    let merge = matches.opt_strs("merge").iter().map(|text| name(matches, text)).collect::<Result<Vec<_>, _>>()?;
    let listen = matches.address("listen")?;
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 7777)));
    let advertise = matches.opt_str("advertise").map(|text| advertised(matches, &text)).transpose()?;
    let control = matches.opt_str_unless("control", "no-control").map(PathBuf::from);
    let metrics = matches.address("metrics")?;
    let told = advertise.map(|address| *address.ip()).or(match listen.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    if let Some(told) = told {
        check_reachable(told, &merge)?;
    }
    let warning = variables::warning(&matches.unknown_variables);
    Ok(Options { config, listen, users, advertise, merge, control, metrics, tls, max_clients, warning })
}

/// Whether there is room for one message: else the longest would close its receiver.
fn check_queues(matches: &Arguments, config: &Config) -> Result<(), UsageError> {
    let (message, packet) = (config.frame.message_max_bytes, config.frame.packet_max_bytes());
    let queues = [
        ("max-queue", config.max_queue_bytes, packet),
        ("max-link-queue", config.max_link_queue_bytes, packet),
        ("max-memory", config.max_memory_bytes, config.memory_min_bytes()),
    ];
    match queues.into_iter().find(|(_, bytes, min)| bytes < min) {
        Some((name, bytes, min)) => Err(UsageError(format!(
            "{} {bytes}: no room for the longest message (--max-message {message}); say at least {min}, or a smaller --max-message",
            matches.name_of(name)
        ))),
        None => Ok(()),
    }
}

/// Whether the servers of `--merge` can reach the address that they are told.
pub(crate) fn check_reachable(told: Ipv4Addr, merge: &[HostPort]) -> Result<(), UsageError> {
    match merge.iter().find(|name| !is_this_machine(&name.host)) {
        Some(elsewhere) if told.is_loopback() => Err(UsageError(format!(
            "--merge {elsewhere} is another machine, which could not reach us at a loopback address; say --advertise IP:PORT"
        ))),
        _ => Ok(()),
    }
}

fn nickname(matches: &Arguments, name: &str) -> Result<String, UsageError> {
    let nickname = matches.opt_str(name).unwrap_or_default();
    let is_legal = Nickname::parse(&nickname).is_some() && !nickname.starts_with('#');
    is_legal.then_some(nickname.clone()).ok_or_else(|| {
        UsageError(format!(
            "--{name} {nickname:?}: not a nickname that a users file can hold (1 to 64 bytes, no control characters, no outer blanks, no '#' at its start)"
        ))
    })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn name(matches: &Arguments, text: &str) -> Result<HostPort, UsageError> {
    HostPort::parse(text)
        .filter(|name| {
            name.host.parse::<IpAddr>().is_ok() || is_host_name(name.host.strip_suffix('.').unwrap_or(&name.host))
        })
        .ok_or_else(|| mistake(matches, "merge", text, "expected HOST:PORT, like chat.example:7777"))
}

/// The options for TLS, which need one another.
fn tls(matches: &Arguments) -> Result<Option<TlsOptions>, UsageError> {
    let all = ["tls-cert", "tls-key", "require-tls", "peer-ca"];
    let Some(given) = all.into_iter().find(|name| matches.opt_present(name)) else { return Ok(None) };
    if cfg!(not(feature = "tls")) {
        return Err(UsageError(format!(
            "{}: this cfp-server was built without TLS (the feature tls, which is on by default)",
            matches.name_of(given)
        )));
    }
    let file = |name: &str| {
        let path = matches.opt_str(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        path.ok_or_else(|| UsageError(format!("{} needs --{name} FILE, which is missing", matches.name_of(given))))
    };
    let peer_ca = matches.opt_present("peer-ca").then(|| file("peer-ca")).transpose()?;
    let is_required = matches.opt_present("require-tls");
    Ok(Some(TlsOptions { certificate: file("tls-cert")?, key: file("tls-key")?, peer_ca, is_required }))
}

/// Networks of proxies. From everywhere would mean that anybody may name any address as their own.
fn proxies(matches: &Arguments, text: &str) -> Result<IpNet, UsageError> {
    let network = network(matches, "proxy-from", text)?;
    if network.prefix_len() == 0 {
        let problem = "anybody could name any address; name the proxies alone, like 192.0.2.7";
        return Err(mistake(matches, "proxy-from", text, problem));
    }
    Ok(network)
}

fn network(matches: &Arguments, name: &str, text: &str) -> Result<IpNet, UsageError> {
    let one = || text.parse().map(IpAddr::into);
    let expected = "expected a network or an address, like 192.0.2.0/24 or 192.0.2.7";
    text.parse().or_else(|_| one()).map_err(|_| mistake(matches, name, text, expected))
}

fn advertised(matches: &Arguments, text: &str) -> Result<SocketAddrV4, UsageError> {
    let address: Option<SocketAddrV4> = text.parse().ok();
    let is_dialable = |address: &SocketAddrV4| address.port() != 0 && is_unicast(*address.ip());
    let expected = "expected an IPv4 address and port that others reach, like 192.0.2.7:7777";
    address.filter(is_dialable).ok_or_else(|| mistake(matches, "advertise", text, expected))
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A value that its option can't have, named as it was given.
fn mistake(matches: &Arguments, name: &str, text: &str, problem: &str) -> UsageError {
    UsageError(matches.mistake(name, text, problem))
}
