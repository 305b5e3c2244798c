//! One name on its way: which full name is asked for, which server is asked, and what to do next.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use super::message::{self, Reply};
use super::settings::Settings;
use super::{QueryIds, ResolveError};
use crate::core::time::Millis;
use crate::limits::LOOKUP_MS;

/// What an event made of a lookup.
pub(super) enum Step {
    /// It goes on.
    Waiting,
    /// It has ended.
    Done(Result<Vec<Ipv4Addr>, ResolveError>),
}

pub(super) struct Query {
    /// Full names still to try, the first of them being asked for. Never empty.
    names: VecDeque<String>,
    /// Never empty.
    servers: Vec<Server>,
    /// Index of the server that is being asked.
    current: usize,
    attempts: u32,
    timeout_ms: u64,
    /// One for each name, for all servers: a late answer counts too.
    query_id: u16,
    is_unsent: bool,
    server_until: Millis,
    lookup_until: Millis,
    /// The worst that was heard of the names before, to be told at the end.
    verdict: ResolveError,
}

struct Server {
    address: SocketAddr,
    /// How often it was asked for the present name.
    asked: u32,
    /// It answered for the present name, but of no use.
    has_failed: bool,
}

impl Query {
    /// Begins with the first of `names`, or `None` without names or servers.
    pub fn new(names: Vec<String>, settings: &Settings, query_id: u16, now: Millis) -> Option<Query> {
        if names.is_empty() || settings.servers.is_empty() {
            return None;
        }
        let servers = settings.servers.iter().map(|&address| Server { address, asked: 0, has_failed: false }).collect();
        let mut lookup = Query {
            names: names.into(),
            servers,
            current: 0,
            attempts: settings.attempts,
            timeout_ms: settings.timeout_ms,
            query_id,
            is_unsent: false,
            server_until: now,
            lookup_until: now + LOOKUP_MS,
            verdict: ResolveError::NotFound,
        };
        lookup.ask(0, now);
        Some(lookup)
    }

    /// `None` if the datagram does not answer our question.
    pub fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Millis, ids: &mut QueryIds) -> Option<Step> {
        let index = self.servers.iter().position(|server| server.address == from && server.asked > 0)?;
        let reply = message::read_reply(bytes, self.query_id, self.names.front()?)?;
        Some(match reply {
            Reply::Addresses(addresses) => Step::Done(Ok(addresses)),
            Reply::NoName => self.next_name(index, now, ids),
            Reply::NoAddress => {
                self.note(ResolveError::NoAddress);
                self.next_name(index, now, ids)
            }
            Reply::Failed => {
                if let Some(server) = self.servers.get_mut(index) {
                    server.has_failed = true;
                }
                // A late failure does not disturb the query to the next server.
                if index == self.current { self.next_server(now, ids) } else { Step::Waiting }
            }
        })
    }

    /// The server said nothing in time, or the whole lookup took too long.
    pub fn on_deadline(&mut self, now: Millis, ids: &mut QueryIds) -> Step {
        if now < self.lookup_until {
            return self.next_server(now, ids);
        }
        let has_heard = self.verdict == ResolveError::ServerFailed || self.servers.iter().any(|it| it.has_failed);
        Step::Done(Err(if has_heard { ResolveError::ServerFailed } else { ResolveError::NoServerAnswered }))
    }

    pub fn deadline(&self) -> Millis {
        self.server_until.min(self.lookup_until)
    }

    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if !std::mem::take(&mut self.is_unsent) {
            return None;
        }
        Some((self.servers.get(self.current)?.address, message::query(self.query_id, self.names.front()?)?))
    }

    /// The other servers in turn, then all of them again, each as often as resolv.conf allows.
    fn next_server(&mut self, now: Millis, ids: &mut QueryIds) -> Step {
        let count = self.servers.len();
        let mut in_turn = (1..=count).filter_map(|offset| (self.current + offset).checked_rem(count));
        let may_ask = |index: &usize| {
            self.servers.get(*index).is_some_and(|server| !server.has_failed && server.asked < self.attempts)
        };
        if let Some(index) = in_turn.find(may_ask) {
            self.ask(index, now);
            return Step::Waiting;
        }
        match self.servers.iter().position(|server| server.has_failed) {
            Some(heard) => {
                self.note(ResolveError::ServerFailed);
                self.next_name(heard, now, ids)
            }
            // Another name would get no answer either.
            None => Step::Done(Err(ResolveError::NoServerAnswered)),
        }
    }

    /// Goes on with a server that is known to be there: a dead first one costs its time only once.
    fn next_name(&mut self, server: usize, now: Millis, ids: &mut QueryIds) -> Step {
        self.names.pop_front();
        if self.names.is_empty() {
            return Step::Done(Err(self.verdict));
        }
        for server in &mut self.servers {
            server.asked = 0;
            server.has_failed = false;
        }
        self.query_id = ids.next();
        self.ask(server, now);
        Step::Waiting
    }

    fn ask(&mut self, index: usize, now: Millis) {
        self.current = index;
        self.server_until = now + self.timeout_ms;
        self.is_unsent = true;
        if let Some(server) = self.servers.get_mut(index) {
            server.asked += 1;
        }
    }

    /// The error that is reported: a name server's failure before a name without an address, and that before a name
    /// that does not exist. A failure leaves open whether the name exists.
    fn note(&mut self, verdict: ResolveError) {
        if self.verdict != ResolveError::ServerFailed {
            self.verdict = verdict;
        }
    }
}
