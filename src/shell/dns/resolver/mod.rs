//! Names to IPv4 addresses without blocking: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! ```text
//!  start ──▶ literal, hosts, localhost ───────────────────────────────────────▶ poll_answer
//!        └─▶ poll_transmit ──▶ name server ──▶ on_datagram ──▶ addresses ─────▶ poll_answer
//!                 ▲                                 │
//!                 ├──── the next name to try ◀──────┤ no such name, no address
//!                 └──── the next server ◀───────────┴ failure; on_deadline: silence
//! ```
//!
//! libc's resolver blocks, and does not work in a static binary. This one has no socket, clock or file: its owner has
//! them, and after each call takes what `poll_transmit` and `poll_answer` have and looks at `next_deadline` again.

mod message;
mod query;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use sha2::{Digest, Sha256};

use self::query::{Query, Step};
use self::settings::Settings;
pub use self::settings::is_host_name;
use crate::core::time::Millis;
use crate::limits::{DNS_ANSWER_MAX_BYTES, LOOKUPS_MAX};

/// Looks up many names at once.
pub struct Resolver {
    /// Queries that wait for a name server, by their owner's id. At most [`LOOKUPS_MAX`].
    lookups: BTreeMap<u64, Query>,
    /// What `poll_answer` has not handed over yet: one at most for each id.
    answers: VecDeque<(u64, Result<Vec<Ipv4Addr>, ResolveError>)>,
    query_ids: QueryIds,
}

/// Why a name has no addresses. Shown in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// This is neither an IPv4 address nor a name that the DNS could hold.
    InvalidName,
    /// No such name, under any of the search domains either.
    NotFound,
    /// The name exists, but not with an IPv4 address.
    NoAddress,
    /// A name server answered, but could not tell, or did not want to.
    ServerFailed,
    /// No name server said anything in time.
    NoServerAnswered,
    /// resolv.conf has name servers, none of them with an IPv4 address.
    NoUsableServer,
    /// [`LOOKUPS_MAX`] others are under way.
    TooManyLookups,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolveError::InvalidName => "not a host name",
            ResolveError::NotFound => "name not found",
            ResolveError::NoAddress => "name has no IPv4 address",
            ResolveError::ServerFailed => "name server failed",
            ResolveError::NoServerAnswered => "no name server answered",
            ResolveError::NoUsableServer => "no name server with an IPv4 address",
            ResolveError::TooManyLookups => "too many names looked up at once",
        })
    }
}

impl std::error::Error for ResolveError {}

impl Resolver {
    /// A resolver with nothing to do. Anybody who knows `seed` can forge answers, so it must be random.
    pub fn new(seed: u64) -> Resolver {
        Resolver { lookups: BTreeMap::new(), answers: VecDeque::new(), query_ids: QueryIds { seed, count: 0 } }
    }

    /// Begins to look up `host`, with `/etc/hosts` and `/etc/resolv.conf` as they read now (empty if there is no such
    /// file). There will be one answer under `id`, at once if no name server has to be asked. An earlier lookup of the
    /// same id is cancelled.
    pub fn start(&mut self, id: u64, host: &str, hosts: &str, resolv_conf: &str, now: Millis) {
        self.cancel(id);
        if let Some(answer) = settings::local_answer(host, hosts) {
            self.answers.push_back((id, answer));
            return;
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            self.answers.push_back((id, Err(ResolveError::TooManyLookups)));
            return;
        }
        let settings = Settings::parse(resolv_conf);
        match Query::new(settings.names_to_try(host), &settings, self.query_ids.next(), now) {
            Some(lookup) => drop(self.lookups.insert(id, lookup)),
            None => self.answers.push_back((id, Err(ResolveError::NoUsableServer))),
        }
    }

    /// Forgets a lookup: nothing more is sent or answered for it.
    pub fn cancel(&mut self, id: u64) {
        self.lookups.remove(&id);
        self.answers.retain(|(answered, _)| *answered != id);
    }

    /// Something came in. Anybody can send it: what no asked server said about an open question is ignored.
    pub fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Millis) {
        if bytes.len() > DNS_ANSWER_MAX_BYTES {
            return;
        }
        let Some((id, step)) = self
            .lookups
            .iter_mut()
            .find_map(|(&id, lookup)| lookup.on_datagram(from, bytes, now, &mut self.query_ids).map(|step| (id, step)))
        else {
            return;
        };
        self.take(id, step);
    }

    /// The time of `next_deadline` has come.
    pub fn on_deadline(&mut self, now: Millis) {
        let due: Vec<u64> =
            self.lookups.iter().filter(|(_, lookup)| lookup.deadline() <= now).map(|(&id, _)| id).collect();
        for id in due {
            if let Some(lookup) = self.lookups.get_mut(&id) {
                let step = lookup.on_deadline(now, &mut self.query_ids);
                self.take(id, step);
            }
        }
    }

    /// When `on_deadline` wants to be called, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.lookups.values().map(Query::deadline).min()
    }

    /// A datagram to send, and to which name server. Sending it is worth one try: a lost one is asked again.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.lookups.values_mut().find_map(Query::poll_transmit)
    }

    /// A lookup that has ended: its addresses, at least one, in the order in which to try them.
    pub fn poll_answer(&mut self) -> Option<(u64, Result<Vec<Ipv4Addr>, ResolveError>)> {
        self.answers.pop_front()
    }

    /// Nothing under way, nothing to take: its owner may close its socket.
    pub fn is_idle(&self) -> bool {
        self.lookups.is_empty() && self.answers.is_empty()
    }

    fn take(&mut self, id: u64, step: Step) {
        if let Step::Done(answer) = step {
            self.lookups.remove(&id);
            self.answers.push_back((id, answer));
        }
    }
}

/// Ids of queries. An answer proves itself mostly with its id (RFC 5452), so a server that has seen some ids must not
/// be able to foresee the next. Hence a hash of a secret, and not a plain generator.
struct QueryIds {
    seed: u64,
    count: u64,
}

impl QueryIds {
    fn next(&mut self) -> u16 {
        self.count = self.count.wrapping_add(1);
        let digest =
            Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(self.count.to_be_bytes()).finalize();
        digest.iter().take(2).fold(0, |id, byte| id << 8 | u16::from(*byte))
    }
}
