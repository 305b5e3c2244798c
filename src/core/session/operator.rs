//! An operator on the control socket: lines of text.

use crate::core::state::mesh::HostPort;
use crate::core::time::Millis;
use crate::wire::ServerId;

/// An operator's connection.
#[derive(Debug, Default)]
pub struct Operator {
    /// A command of this connection is under way; the next one waits for its answer.
    pub is_waiting: bool,
    /// When it connected, or gave its last command.
    pub active_at: Millis,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// How the server does.
    Status,
    /// The logged-in clients.
    Clients,
    /// The other servers.
    Siblings,
    /// The routing table.
    Routes,
    /// Merge with the server there.
    Merge(HostPort),
    /// Give a lost server up.
    Forget(ServerId),
    /// Give up the merges with this name that wait.
    ForgetMerge(HostPort),
    /// Close a client.
    Kick(String),
    /// Keep a nickname or an address out; how that is written is in [`ban`](super::ban).
    Ban(String),
    /// Let it in again.
    Unban(String),
    /// The bans.
    Bans,
    /// Read the users file again.
    Reload,
    /// The metrics, in Prometheus' text format.
    Metrics,
    /// Stop.
    Shutdown,
    /// The commands.
    Help,
}

/// What `help` prints: every command, one a line.
pub const HELP: &str = "\
status\tnames and values: the state of the server, and its limits
clients\tnickname, guest or user, address, queued bytes, seconds connected
siblings\tserver ID, advertised address, state, seconds in that state; merges that wait, with the last error
routes\teach server that is reached: server ID, the next server on the way, servers between us and it
merge HOST:PORT\tmerge with this server
forget ID\tgive up a lost server
forget HOST:PORT\tgive up a merge that waits
kick NICKNAME\tclose a client
ban WHO [DURATION]\tclose a nickname, an address or a network, and refuse it (for 30m, 2h, 1d, or until a stop)
unban WHO\ttake a ban away
bans\teach ban, seconds left
reload\tread the users file again
metrics\tnumbers for Prometheus
shutdown\tstop
help\tthis list
";

impl Command {
    /// Reads a line. The error is what stands behind `error`.
    pub fn parse(line: &str) -> Result<Command, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let command = match (word, rest) {
            ("merge", place) => Command::Merge(HostPort::parse(place).ok_or("expected merge HOST:PORT")?),
            ("forget", what) => match what.trim().parse() {
                Ok(id) => Command::Forget(ServerId(id)),
                Err(_) => Command::ForgetMerge(HostPort::parse(what).ok_or("expected forget ID or forget HOST:PORT")?),
            },
            ("kick", "") => return Err("expected kick NICKNAME".to_owned()),
            ("kick", nickname) => Command::Kick(nickname.to_owned()),
            ("ban", whom) => Command::Ban(whom.to_owned()),
            ("unban", whom) => Command::Unban(whom.to_owned()),
            ("bans", "") => Command::Bans,
            ("status", "") => Command::Status,
            ("clients", "") => Command::Clients,
            ("siblings", "") => Command::Siblings,
            ("routes", "") => Command::Routes,
            ("reload", "") => Command::Reload,
            ("metrics", "") => Command::Metrics,
            ("shutdown", "") => Command::Shutdown,
            ("help", "") => Command::Help,
            _ => return Err(format!("unknown command {word:?}, try help")),
        };
        Ok(command)
    }
}
