//! Poll, the listeners, dialling, signals, the clock. It turns the kernel's events into calls of the engine, one turn
//! after the other. Only the resolver's socket is registered with the poll elsewhere, in `dns/socket.rs`.

use std::io;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

use crate::core::engine::{Engine, Readiness, Request};
use crate::core::state::key::Key;
use crate::core::state::mesh::DialFor;
use crate::core::time::Millis;
use crate::limits;
use crate::shell::acceptor::Acceptor;
use crate::shell::control::ControlListener;
use crate::shell::dns;
use crate::shell::logging;
use crate::shell::process::Process;
use crate::shell::reload::Reload;
use crate::shell::socket::Stream;
use crate::shell::systemd::Systemd;
use crate::shell::transport::{Security, Transport, stream_of};
use crate::shell::users_file::UsersFile;

// A token holds a slab index and a serial number. With fewer bits every connection would get the listener's token.
const _: () = assert!(usize::BITS >= 64);

const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const CONTROL: Token = Token(usize::MAX - 2);
const LOOKUP: Token = Token(usize::MAX - 3);
const METRICS: Token = Token(usize::MAX - 4);

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It was asked to, and everything was written or had its time.
    Drained,
    /// It was asked twice.
    Hurried,
}

/// What the server listens at.
#[derive(Debug)]
pub struct Listeners {
    /// Clients and servers.
    pub clients: TcpListener,
    /// Operators.
    pub control: Option<ControlListener>,
    /// Scrapers of metrics.
    pub metrics: Option<TcpListener>,
}

/// The listeners. All are closed as soon as a stop is asked for.
#[derive(Default)]
struct Doors {
    clients: Option<Acceptor<TcpListener>>,
    operators: Option<Acceptor<ControlListener>>,
    scrapers: Option<Acceptor<TcpListener>>,
}

/// The loop, with everything it holds.
#[allow(missing_debug_implementations, reason = "the signals have none")]
pub struct Reactor {
    poll: Poll,
    signals: Signals,
    doors: Doors,
    engine: Engine<Transport>,
    users_file: Option<UsersFile>,
    reload: Reload,
    security: Security,
    lookup: dns::Socket,
    /// The bound on each buffer of a socket that dials. Accepted sockets inherit it from their listener.
    socket_buffer_bytes: Option<usize>,
    systemd: Systemd,
    process: Process,
    started: Instant,
}

impl Doors {
    fn wants_turn(&self) -> bool {
        self.clients.as_ref().is_some_and(Acceptor::wants_turn)
            || self.operators.as_ref().is_some_and(Acceptor::wants_turn)
            || self.scrapers.as_ref().is_some_and(Acceptor::wants_turn)
    }

    fn next_deadline(&self) -> Option<Millis> {
        let clients = self.clients.as_ref().and_then(Acceptor::next_deadline);
        let operators = self.operators.as_ref().and_then(Acceptor::next_deadline);
        let scrapers = self.scrapers.as_ref().and_then(Acceptor::next_deadline);
        [clients, operators, scrapers].into_iter().flatten().min()
    }
}

impl Reactor {
    /// Watches the listeners and signals.
    pub fn new(
        engine: Engine<Transport>,
        listeners: Listeners,
        users_file: Option<UsersFile>,
        security: Security,
        lookup: dns::Socket,
        socket_buffer_bytes: Option<usize>,
    ) -> io::Result<Reactor> {
        let Listeners { mut clients, mut control, mut metrics } = listeners;
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        poll.registry().register(&mut clients, LISTENER, Interest::READABLE)?;
        if let Some(control) = &mut control {
            poll.registry().register(&mut control.listener, CONTROL, Interest::READABLE)?;
        }
        if let Some(metrics) = &mut metrics {
            poll.registry().register(metrics, METRICS, Interest::READABLE)?;
        }
        Ok(Reactor {
            poll,
            signals,
            doors: Doors {
                clients: Some(Acceptor::new(clients)),
                operators: control.map(Acceptor::new),
                scrapers: metrics.map(Acceptor::new),
            },
            engine,
            users_file,
            reload: Reload::default(),
            security,
            lookup,
            socket_buffer_bytes,
            systemd: Systemd::new(),
            process: Process::start(),
            started: Instant::now(),
        })
    }

    /// Runs until a stop is asked for.
    pub fn run(mut self) -> io::Result<Stop> {
        let mut events = Events::with_capacity(limits::EVENTS_PER_TURN);
        self.systemd.on_ready();
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let began = Instant::now();
            let now = self.now();
            let mut has_signal = self.mark_ready(&events, now);
            // Before deadlines are judged, every event that the kernel has is marked. One poll returns a limited
            // number. A connection that seems late may have sent something while the process was stopped.
            let mut polls = 1 + self.engine.connections().len() / limits::EVENTS_PER_TURN;
            let mut may_have_more = self.engine.next_deadline().is_some_and(|when| when <= now) || is_full(&events);
            while may_have_more && polls > 0 {
                match self.poll.poll(&mut events, Some(Duration::ZERO)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => {
                        result?;
                        has_signal |= self.mark_ready(&events, now);
                        may_have_more = is_full(&events);
                    }
                }
                polls -= 1;
            }
            if has_signal && self.on_signals(now) {
                return Ok(Stop::Hurried);
            }
            logging::on_deadline();
            self.accept(now);
            self.lookup.on_turn(self.poll.registry(), LOOKUP, now);
            self.answer_lookups(now);
            self.engine.turn(now);
            self.do_requests(now);
            self.advance_reload(now);
            self.security.on_turn(now);
            let core = self.engine.core();
            self.systemd.on_turn(now, core.directory.len(), core.mesh.links().count());
            let turn_us = began.elapsed().as_micros();
            self.engine.counters_mut().turns.observe(u64::try_from(turn_us).unwrap_or(u64::MAX));
            if self.engine.is_shut_down() {
                return Ok(Stop::Drained);
            }
        }
    }

    /// Hands on what the kernel says. Returns whether a signal has come.
    fn mark_ready(&mut self, events: &Events, now: Millis) -> bool {
        let mut has_signal = false;
        for event in events {
            match event.token() {
                LISTENER => on_ready(&mut self.doors.clients),
                SIGNALS => has_signal = true,
                CONTROL => on_ready(&mut self.doors.operators),
                METRICS => on_ready(&mut self.doors.scrapers),
                LOOKUP => self.lookup.on_readable(now),
                token => self.engine.on_ready(key(token), readiness(event)),
            }
        }
        has_signal
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn timeout(&self) -> Option<Duration> {
        let has_work = self.engine.wants_turn() || self.lookup.wants_turn() || self.reload.wants_turn();
        if self.doors.wants_turn() || has_work {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.engine.next_deadline(),
            self.doors.next_deadline(),
            self.lookup.next_deadline(),
            self.systemd.next_deadline(),
            self.security.next_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min().map(|next| Duration::from_millis(next.since(self.now())));
        let left = [next, logging::next_deadline()].into_iter().flatten().min()?;
        // One millisecond more than the rest: a poll that ends a fraction early would find nothing to do.
        Some(if left.is_zero() { left } else { left + Duration::from_millis(1) })
    }

    /// Returns whether the loop has to end at once.
    fn on_signals(&mut self, now: Millis) -> bool {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            if signal == SIGXFSZ {
                // The log's file has reached its size limit (ulimit -f). Its lines are dropped, and the server goes on.
            } else if signal == SIGHUP {
                self.begin_reload(None, now);
            } else if self.doors.clients.is_none() {
                return true;
            } else {
                self.begin_shutdown(now);
            }
        }
        false
    }

    fn begin_shutdown(&mut self, now: Millis) {
        self.systemd.on_stopping();
        log::info!("stopping: writing out what is queued");
        self.doors = Doors::default();
        self.reload = Reload::default();
        self.engine.begin_shutdown(now);
    }

    /// Reads the users file again, in slices: [`Reactor::advance_reload`].
    fn begin_reload(&mut self, operator: Option<Key>, now: Millis) {
        if self.users_file.is_some() {
            self.reload.request(operator);
            return;
        }
        // Said without a users file, too: a manager that asked for it waits for the end.
        self.systemd.on_reloading();
        let read = self.security.reload(now);
        self.systemd.on_ready();
        let answer = match read {
            Ok(None) => "error the server has no users file\n".to_owned(),
            Ok(certificate) => self.on_certificate(certificate, now) + "ok\n",
            Err(problem) => self.on_reload_failed(&problem),
        };
        if let Some(operator) = operator {
            self.engine.answer_operator(operator, &answer);
        }
    }

    fn on_reload_failed(&self, problem: &str) -> String {
        let kept = self.kept();
        log::error!("{problem}; {kept} read before stay in force");
        format!("error {problem}; {kept} read before stay in force\n")
    }

    fn advance_reload(&mut self, now: Millis) {
        let Some(file) = &self.users_file else { return };
        if self.reload.is_wanted() {
            self.systemd.on_reloading();
        }
        let Some(ended) = self.reload.advance(file, &mut self.security, &mut self.engine, now) else { return };
        self.systemd.on_ready();
        let answer = match ended.result {
            Ok(change) => {
                log::info!("users file read again: {change}");
                format!("{change}\n{}ok\n", self.on_certificate(ended.certificate, now))
            }
            Err(problem) => self.on_reload_failed(&problem),
        };
        for operator in ended.operators {
            self.engine.answer_operator(operator, &answer);
        }
    }

    /// A certificate was read again: what it is, for the log and the answer.
    fn on_certificate(&mut self, certificate: Option<String>, now: Millis) -> String {
        let Some(certificate) = certificate else { return String::new() };
        log::info!("TLS: {certificate}");
        if let Some(warning) = self.security.warning() {
            log::warn!("{warning}");
        }
        self.engine.set_certificate_end(self.security.seconds_left(), now);
        format!("{certificate}\n")
    }

    /// What a reload that fails leaves as it was.
    fn kept(&self) -> &'static str {
        match (self.users_file.is_some(), self.security.describe().is_some()) {
            (true, true) => "the users and the certificate",
            (_, false) => "the users",
            (false, true) => "the certificate",
        }
    }

    fn accept(&mut self, now: Millis) {
        let Reactor { doors, engine, poll, security, .. } = self;
        let mut failed = 0;
        if let Some(acceptor) = &mut doors.clients {
            let accept = TcpListener::accept;
            failed += acceptor.accept_ready(now, "clients", limits::ACCEPTS_PER_TURN, accept, |(socket, peer)| {
                let key = engine.on_accepted(security.accepted(Stream::Tcp(socket)), Some(peer), now);
                watch(poll, engine, key);
            });
        }
        let few = limits::OPERATOR_ACCEPTS_PER_TURN;
        if let Some(acceptor) = &mut doors.operators {
            let accept = |control: &ControlListener| control.listener.accept();
            failed += acceptor.accept_ready(now, "operators", few, accept, |(socket, _)| {
                let key = engine.on_operator(security.plain(Stream::Unix(socket)), now);
                watch(poll, engine, key);
            });
        }
        if let Some(acceptor) = &mut doors.scrapers {
            failed += acceptor.accept_ready(now, "scrapers", few, TcpListener::accept, |(socket, peer)| {
                let key = engine.on_scraper(security.plain(Stream::Tcp(socket)), Some(peer), now);
                watch(poll, engine, key);
            });
        }
        engine.counters_mut().accept_errors += failed;
    }

    fn answer_lookups(&mut self, now: Millis) {
        while let Some(answer) = self.lookup.poll_answer(now) {
            self.engine.on_resolved(answer.dial_for, answer.port, answer.addresses, now);
        }
    }

    fn do_requests(&mut self, now: Millis) {
        while let Some(request) = self.engine.poll_request() {
            self.do_request(request, now);
            // A name that needed no name server is known at once, and becomes the next request.
            self.answer_lookups(now);
        }
    }

    fn do_request(&mut self, request: Request, now: Millis) {
        match request {
            Request::Dial { dial_for, address } => {
                let socket = Stream::connect(address, self.socket_buffer_bytes).map_err(|error| error.to_string());
                let socket = socket.map(|stream| self.security.dialled(stream, dial_for));
                let key = self.engine.on_dialled(dial_for, address, socket, now);
                watch(&self.poll, &mut self.engine, key);
            }
            Request::Ask { link, address } => {
                let socket = Stream::connect(address, self.socket_buffer_bytes).map_err(|error| error.to_string());
                let linked = self.engine.connections().get(link).and_then(|link| link.session.as_sibling());
                let Some(server) = linked.map(|sibling| sibling.server()) else { return };
                let socket = socket.map(|stream| self.security.dialled(stream, DialFor::Server(server)));
                let key = self.engine.on_ask_dialled(link, address, socket, now);
                watch(&self.poll, &mut self.engine, key);
            }
            Request::Resolve { dial_for, host, port } => {
                self.lookup.start(dial_for, host, port);
                // Most hosts files are read at once, and then the answer is the next request.
                self.lookup.on_turn(self.poll.registry(), LOOKUP, now);
            }
            Request::Reload { operator } => {
                self.begin_reload(Some(operator), now);
            }
            Request::Measure { asked_by } => self.engine.on_measured(asked_by, &self.process.measure(), now),
            Request::Shutdown => self.begin_shutdown(now),
        }
    }
}

/// Registers a connection once, for everything; it is never registered again.
fn watch(poll: &Poll, engine: &mut Engine<Transport>, key: Option<Key>) {
    let Some(key) = key else { return };
    let Some(socket) = engine.socket_mut(key).map(stream_of) else { return };
    if let Err(error) = poll.registry().register(socket, token(key), Interest::READABLE | Interest::WRITABLE) {
        log::warn!("cannot watch a connection: {error}");
        engine.on_unwatchable(key);
    }
}

fn on_ready<L>(acceptor: &mut Option<Acceptor<L>>) {
    if let Some(acceptor) = acceptor {
        acceptor.on_ready();
    }
}

/// Whether the poll may have had more to say.
fn is_full(events: &Events) -> bool {
    events.iter().nth(limits::EVENTS_PER_TURN - 1).is_some()
}

fn readiness(event: &mio::event::Event) -> Readiness {
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        read_closed: event.is_read_closed(),
        broken: event.is_error() || (event.is_read_closed() && event.is_write_closed()),
    }
}

/// A key fits a token: index in the low half, serial in the high one.
fn token(key: Key) -> Token {
    Token(usize::try_from(u64::from(key.serial) << 32 | u64::from(key.index)).unwrap_or(usize::MAX))
}

fn key(token: Token) -> Key {
    let token = token.0 as u64;
    Key { index: token as u32, serial: (token >> 32) as u32 }
}
