//! The engine: the slab of connections, and one turn of the loop over them.
//!
//! ```text
//!  accept, mark ──▶ rounds: each ready connection, in rotation, one read; then what is private is written
//!                     │  bytes ─▶ inbox ─▶ packet ─▶ handler ─▶ effects ─▶ apply ─▶ outboxes   (input.rs, effects.rs)
//!                     ▼
//!                   password slice, flush: each outbox that has something, one write               (output.rs)
//!                     ▼
//!                   deadlines ─▶ free what was closed
//! ```
//!
//! It is generic over the [`Socket`], reads no clock and knows no poll: the reactor drives it in the program, the
//! simulator in the tests. Nothing is freed before the end of a turn.

mod asking;
mod bans;
pub mod cipher;
pub mod connection;
mod deadlines;
mod dialling;
mod effects;
pub mod ending;
mod handshakes;
mod input;
pub mod intake;
mod invariants;
mod memory;
mod metrics;
mod operators;
mod output;
mod pauses;
mod places;
mod proxied;
pub mod proxy_header;
mod rates;
mod routed;
mod scrapers;
pub mod secure;
pub mod socket;
mod table;
mod turned_away;
mod users;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

pub use table::Table;

use crate::core::engine::connection::Connection;
use crate::core::engine::ending::Ending;
use crate::core::engine::socket::Socket;
use crate::core::output::outbox::Output;
use crate::core::session::{Handshake, Session};
use crate::core::state::address::Remote;
use crate::core::state::bucket::Bucket;
use crate::core::state::config::Config;
use crate::core::state::effects::{CloseMode, CloseReason, Effects};
use crate::core::state::key::Key;
use crate::core::state::mesh::DialFor;
use crate::core::state::turns::Turns;
use crate::core::state::users::Users;
use crate::core::state::{Context, Core};
use crate::core::time::Millis;
use crate::limits;
use deadlines::Deadlines;
use intake::Intake;
use pauses::Paused;
use places::Quota;
use users::UsersWork;

/// What the kernel says of a connection. Flags only add up: what was ready stays so until a read or write says
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// There is input, or its end, or an error.
    pub readable: bool,
    /// Output is taken again.
    pub writable: bool,
    /// The other side has shut its sending side: a read will come to the end of input.
    pub read_closed: bool,
    /// The connection is broken.
    pub broken: bool,
}

/// What only the reactor can do.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Open a connection; the answer is [`Engine::on_dialled`].
    Dial {
        /// The owner of the answer.
        dial_for: DialFor,
        /// The address to connect to.
        address: SocketAddr,
    },
    /// Open a connection to ask a sibling whether it lives; the answer is [`Engine::on_ask_dialled`].
    Ask {
        /// The link that is silent.
        link: Key,
        /// The advertised address of its server.
        address: SocketAddr,
    },
    /// Look a host's addresses up; the answer is [`Engine::on_resolved`].
    Resolve {
        /// The owner of the answer.
        dial_for: DialFor,
        /// The host's name.
        host: String,
        /// The port that goes with it.
        port: u16,
    },
    /// Read the users file again; the answer is [`Engine::answer_operator`].
    Reload {
        /// The operator that waits for it.
        operator: Key,
    },
    /// Look at what the process uses; the answer is [`Engine::on_measured`].
    Measure {
        /// The operator or scraper that waits for the metrics.
        asked_by: Key,
    },
    /// Stop.
    Shutdown,
}

/// Space for this many connections to be served, so that the first of them allocates nothing.
const LANE_KEPT: usize = 16;

/// Connections to be served, in rotation. Each stands in one lane at most, once.
#[derive(Debug)]
struct Lanes {
    queue: VecDeque<Key>,
    /// Those that used more than a modest share in the last round.
    greedy: VecDeque<Key>,
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes { queue: VecDeque::new(), greedy: VecDeque::with_capacity(LANE_KEPT) }
    }
}

/// What this turn has used of its bounds.
#[derive(Debug, Default)]
struct Spent {
    /// Work: input handled, and what packets and writes cost besides.
    work_bytes: usize,
    /// The amount of work at which the served connection has used up its share.
    share_end_bytes: usize,
    /// Public messages. At the turn's end, all of them are written, or kept for readers that are behind.
    public_bytes: usize,
}

/// A server without its reactor.
#[derive(Debug)]
pub struct Engine<S> {
    core: Core,
    effects: Effects,
    connections: Table<S>,
    lanes: Lanes,
    /// Connections with private output.
    dirty: VecDeque<Key>,
    /// Receivers that fell behind while public messages were written; empty between two uses.
    public_behind: Vec<(Key, bool)>,
    /// Closed connections that are to be freed.
    closed: Vec<Key>,
    /// The facts for the log lines about connections' ends, kept until their queues are written.
    endings: BTreeMap<Key, Ending>,
    output: Output,
    intake: Intake,
    deadlines: Deadlines,
    /// Whose handshake waits for its turn.
    handshakes: Turns<Key>,
    /// When our certificate ends.
    certificate_end: Option<Millis>,
    /// What all sockets hold.
    sockets_bytes: usize,
    /// Connections under probe, and since when.
    probed_since: BTreeMap<Key, Millis>,
    /// What clients have in hand of `--max-rate`, if that is in force.
    rates: BTreeMap<Key, Bucket>,
    /// Connections that are not read from for a while.
    pauses: BTreeMap<Key, Paused>,
    /// The packet that is handled next has waited for a receiver's queue.
    has_waited: bool,
    spent: Spent,
    quota: Quota,
    /// Operators in order of arrival, closing ones included.
    operators: Vec<Key>,
    /// Scrapers in order of arrival, closing ones included.
    scrapers: Vec<Key>,
    requests: VecDeque<Request>,
    users_work: UsersWork,
    shutdown_since: Option<Millis>,
    /// The tree of a routed network that the links were told of last: how often it had changed, and our links.
    synced_tree: (u64, u64),
    /// How many of the links carried then.
    routed_carrying_links: usize,
    now: Millis,
}

impl<S: Socket> Engine<S> {
    /// A server that has just started.
    pub fn new(config: Config, users: Users) -> Engine<S> {
        Engine {
            core: Core::new(config, users),
            effects: Effects::default(),
            connections: Table::default(),
            lanes: Lanes::default(),
            dirty: VecDeque::new(),
            public_behind: Vec::new(),
            closed: Vec::new(),
            endings: BTreeMap::new(),
            output: Output::default(),
            intake: Intake::default(),
            deadlines: Deadlines::default(),
            handshakes: Turns::default(),
            certificate_end: None,
            sockets_bytes: 0,
            probed_since: BTreeMap::new(),
            rates: BTreeMap::new(),
            pauses: BTreeMap::new(),
            has_waited: false,
            spent: Spent::default(),
            quota: Quota::default(),
            operators: Vec::new(),
            scrapers: Vec::new(),
            requests: VecDeque::new(),
            users_work: UsersWork::default(),
            shutdown_since: None,
            synced_tree: (0, 0),
            routed_carrying_links: 0,
            now: Millis::default(),
        }
    }

    /// The shared state.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The shared state's counters, for what only the reactor sees.
    pub fn counters_mut(&mut self) -> &mut crate::core::state::counters::Counters {
        &mut self.core.counters
    }

    /// The connections.
    pub fn connections(&self) -> &Table<S> {
        &self.connections
    }

    /// A connection's socket, for the reactor to watch.
    pub fn socket_mut(&mut self, key: Key) -> Option<&mut S> {
        self.connections.get_mut(key).map(|connection| &mut connection.socket)
    }

    /// A connection was accepted. Returns its key, or `None` if a limit is reached: the socket is then closed.
    pub fn on_accepted(&mut self, socket: S, remote: Option<SocketAddr>, now: Millis) -> Option<Key> {
        self.now = now;
        self.core.counters.accepted += 1;
        let is_proxy = remote.is_some_and(|remote| self.core.config.is_proxy(remote.ip()));
        if !is_proxy && self.is_banned(remote) {
            return None;
        }
        if self.shutdown_since.is_some() || !self.make_room(Remote::new(remote)) {
            self.core.counters.close(CloseReason::TooMany);
            self.log_turned_away(remote);
            return None;
        }
        // A connection that was closed for a newcomer frees its descriptor before the next one is accepted.
        self.free_closed();
        let session = if is_proxy { Session::Proxied } else { Session::Handshake(Handshake::default()) };
        let key = self.connections.insert(|serial| Connection::new(socket, serial, remote, session, now));
        self.count(key);
        self.schedule(key);
        Some(key)
    }

    /// The kernel has said something of a connection.
    pub fn on_ready(&mut self, key: Key, readiness: Readiness) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_readable |= readiness.readable || readiness.read_closed;
        connection.end_is_near |= readiness.read_closed || readiness.broken;
        if readiness.writable && !connection.is_writable {
            connection.is_writable = true;
            self.mark_dirty(key);
        }
        if readiness.broken {
            self.on_broken(key);
            self.apply_effects();
        } else {
            self.free_nickname_of_left(key);
        }
        self.enqueue(key);
    }

    /// The kernel does not watch this connection: nothing will ever be said of it.
    pub fn on_unwatchable(&mut self, key: Key) {
        self.close(key, CloseReason::Lost, CloseMode::Now);
        self.apply_effects();
    }

    /// One turn: everything that can be done now, within the turn's bounds.
    pub fn turn(&mut self, now: Millis) {
        self.now = now;
        self.serve_rounds();
        self.advance_handshakes();
        self.advance_password_checks();
        self.advance_users_work();
        self.flush();
        self.on_deadlines();
        self.dial();
        self.settle_routes();
        self.finish_shutdown();
        self.bound_memory();
        self.free_closed();
    }

    /// Whether another turn has something to do at once.
    pub fn wants_turn(&self) -> bool {
        self.has_ready() || self.has_work() || !self.dirty.is_empty()
    }

    /// The next thing that the reactor has to do. Each answer comes in a later call.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// When a turn is due without anything happening before.
    pub fn next_deadline(&self) -> Option<Millis> {
        let shutdown = self.shutdown_since.map(|since| since + limits::DRAIN_MS);
        let mesh = self.core.mesh.next_deadline().filter(|_| self.shutdown_since.is_none());
        [self.deadlines.next(), shutdown, mesh].into_iter().flatten().min()
    }

    /// Stop: no input is handled any more, and the queues are written.
    pub fn begin_shutdown(&mut self, now: Millis) {
        self.now = now;
        self.shutdown_since.get_or_insert(now);
        let all: Vec<Key> = self.connections.iter().map(|(key, _)| key).collect();
        for key in all {
            self.close(key, CloseReason::Shutdown, CloseMode::AfterWriting);
        }
        self.apply_effects();
    }

    /// Whether a stop was asked for and everything is written and closed.
    pub fn is_shut_down(&self) -> bool {
        self.shutdown_since.is_some() && self.connections.is_empty()
    }

    fn enqueue(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.wants_service() && !connection.is_queued {
            connection.is_queued = true;
            let lane = if connection.is_greedy { &mut self.lanes.greedy } else { &mut self.lanes.queue };
            lane.push_back(key);
        }
    }

    /// Whether work waits that is done in pieces.
    fn has_work(&self) -> bool {
        let has_checks = !self.core.password_checks.is_empty() || !self.users_work.is_done();
        has_checks || !self.handshakes.is_empty()
    }

    /// Whether a connection wants to be served.
    fn has_ready(&self) -> bool {
        !self.lanes.queue.is_empty() || !self.lanes.greedy.is_empty()
    }

    fn mark_dirty(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push_back(key);
            self.spent.work_bytes += limits::WRITE_WORK_BYTES;
        }
    }

    /// Most bytes that may wait for this connection.
    fn queue_limit(&self, key: Key) -> usize {
        let config = &self.core.config;
        self.connections.get(key).map_or(config.max_queue_bytes, |c| c.session.queue_limit(config))
    }

    fn schedule(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let paused_until = self.pauses.get(&key).map(|paused| paused.pause.until);
        if let Some((when, _)) = connection.deadline(&self.core.config, self.probed_since.get(&key), paused_until) {
            self.deadlines.schedule(key, when, &mut connection.timer);
        }
    }

    fn finish_shutdown(&mut self) {
        if self.shutdown_since.is_some_and(|since| self.now.since(since) >= limits::DRAIN_MS) {
            let all: Vec<Key> = self.connections.iter().map(|(key, _)| key).collect();
            for key in all {
                self.close(key, CloseReason::Shutdown, CloseMode::Now);
            }
            self.apply_effects();
        }
    }

    fn free_closed(&mut self) {
        while let Some(key) = self.closed.pop() {
            self.uncount(key);
            self.operators.retain(|&other| other != key);
            self.scrapers.retain(|&other| other != key);
            self.probed_since.remove(&key);
            self.rates.remove(&key);
            let Some(mut connection) = self.connections.remove(key) else { continue };
            self.deadlines.cancel(key, &mut connection.timer);
        }
    }

    /// What a handler of this connection is given, beside its session.
    fn context<'a>(core: &'a mut Core, effects: &'a mut Effects, key: Key, remote: Remote, now: Millis) -> Context<'a> {
        let (remote, is_proxied) = (remote.address(), remote.is_proxied());
        Context { key, remote, is_proxied, certified_ids: None, now, has_waited: false, core, effects }
    }
}
