//! Bans: keeping nicknames and addresses out (D59).

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::session::ban::{parse_ban, parse_unban};
use crate::core::state::address::Remote;
use crate::core::state::bans::Banned;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// `ban`: closes the connections that it is about, and refuses them from now on.
    pub(super) fn ban(&mut self, text: &str) -> String {
        let directory = &self.core.directory;
        let (banned, duration_ms) = match parse_ban(text, |name| directory.find(name).is_some()) {
            Ok(ban) => ban,
            Err(problem) => return format!("error {problem}\n"),
        };
        let until = duration_ms.map_or(Millis::NEVER, |duration_ms| self.now + duration_ms);
        if !self.core.bans.add(&banned, until, self.now) {
            return format!("error too many bans: {}, take one back with unban\n", limits::BANS_MAX);
        }
        let closed: Vec<Key> = match &banned {
            Banned::Network(network) => self.clients_from(*network),
            Banned::Nickname(nickname) => self.core.directory.find(nickname).into_iter().collect(),
        };
        let count = closed.len();
        for key in closed {
            self.close(key, CloseReason::Banned, CloseMode::AfterWriting);
        }
        log::info!("the operator banned {banned}; {count} connections of it are closed");
        "ok\n".to_owned()
    }

    /// `unban`.
    pub(super) fn unban(&mut self, text: &str) -> String {
        match parse_unban(text) {
            Ok(banned) if self.core.bans.remove(&banned, self.now) => "ok\n".to_owned(),
            Ok(_) => "error no such ban\n".to_owned(),
            Err(problem) => format!("error {problem}\n"),
        }
    }

    /// `bans`: the banned, and the seconds that are left.
    pub(super) fn ban_list(&self) -> String {
        let mut text = String::new();
        for (banned, left_ms) in self.core.bans.iter(self.now) {
            let _ = match left_ms {
                Some(left_ms) => writeln!(text, "{banned}\t{}", left_ms.div_ceil(1000)),
                None => writeln!(text, "{banned}\t-"),
            };
        }
        text + "ok\n"
    }

    /// Whether a new connection is refused for its address. It is counted, and otherwise nothing is done for it.
    pub(super) fn is_banned(&mut self, remote: Option<SocketAddr>) -> bool {
        let is_banned = self.core.bans.has_remote(remote, self.now);
        if is_banned {
            self.core.counters.close(CloseReason::Banned);
            log::debug!("closed a connection from {}: {}", Remote::new(remote), CloseReason::Banned);
        }
        is_banned
    }

    /// Clients and newcomers. Links to other servers stay: `forget` and the allow-list are for them.
    fn clients_from(&self, network: ipnet::IpNet) -> Vec<Key> {
        let is_there = |address: SocketAddr| network.contains(&address.ip().to_canonical());
        let clients = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.is_counted && connection.remote.address().is_some_and(is_there));
        clients.map(|(key, _)| key).collect()
    }
}
