//! Poll, the listeners, dialling, signals, the clock. It turns what the kernel says into calls of the engine, one
//! turn after the other; nothing else of the program knows that there is a poll.

use std::io;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::control::ControlListener;
use crate::core::key::Key;
use crate::engine::{Engine, Readiness, Request};
use crate::limits;
use crate::lookup::Lookup;
use crate::socket::Stream;
use crate::supervisor::Supervisor;
use crate::time::Millis;
use crate::users_file::UsersFile;

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

/// The loop, with everything it holds.
#[allow(missing_debug_implementations, reason = "the signals have none")]
pub struct Reactor {
    poll: Poll,
    signals: Signals,
    /// Gone as soon as a stop is asked for.
    listener: Option<TcpListener>,
    control: Option<ControlListener>,
    metrics: Option<TcpListener>,
    /// The kernel may have connections for us.
    accept_ready: bool,
    /// No descriptor was left for a connection: not before then again.
    accept_again: Option<Millis>,
    engine: Engine<Stream>,
    users_file: Option<UsersFile>,
    lookup: Lookup,
    /// The bound on each buffer of a socket that dials; those that are accepted have it from their listener.
    socket_buffer_bytes: Option<usize>,
    supervisor: Supervisor,
    started: Instant,
}

impl Reactor {
    /// Watches the listeners and signals.
    pub fn new(
        engine: Engine<Stream>,
        mut listener: TcpListener,
        mut control: Option<ControlListener>,
        mut metrics: Option<TcpListener>,
        users_file: Option<UsersFile>,
        lookup: Lookup,
        socket_buffer_bytes: Option<usize>,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        if let Some(control) = &mut control {
            poll.registry().register(&mut control.listener, CONTROL, Interest::READABLE)?;
        }
        if let Some(metrics) = &mut metrics {
            poll.registry().register(metrics, METRICS, Interest::READABLE)?;
        }
        Ok(Reactor {
            metrics,
            poll,
            signals,
            listener: Some(listener),
            control,
            accept_ready: true,
            accept_again: None,
            engine,
            users_file,
            lookup,
            socket_buffer_bytes,
            supervisor: Supervisor::new(),
            started: Instant::now(),
        })
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) -> io::Result<Stop> {
        let mut events = Events::with_capacity(limits::EVENTS_PER_TURN);
        self.supervisor.on_ready();
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let began = Instant::now();
            let now = self.now();
            let mut has_signal = false;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_ready = true,
                    SIGNALS => has_signal = true,
                    CONTROL => self.accept_operators(now),
                    METRICS => self.accept_scrapers(now),
                    LOOKUP => self.lookup.on_readable(now),
                    token => self.engine.on_ready(key(token), readiness(event)),
                }
            }
            if has_signal && self.on_signals(now) {
                return Ok(Stop::Hurried);
            }
            self.accept(now);
            self.answer_lookups(now);
            self.engine.turn(now);
            self.do_requests(now);
            let core = self.engine.core();
            self.supervisor.on_turn(now, core.directory.len(), core.mesh.links().count());
            let turn_us = began.elapsed().as_micros();
            self.engine.counters_mut().turns.observe(u64::try_from(turn_us).unwrap_or(u64::MAX));
            if self.engine.is_shut_down() {
                return Ok(Stop::Drained);
            }
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn timeout(&self) -> Option<Duration> {
        let may_accept = self.accept_ready && self.accept_again.is_none() && self.listener.is_some();
        if may_accept || self.engine.wants_turn() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.engine.next_deadline(),
            self.accept_again,
            self.lookup.next_deadline(),
            self.supervisor.next_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min()?;
        // One more than what is left: a poll that ends a fraction early would come back with nothing to do.
        let left_ms = next.since(self.now());
        Some(Duration::from_millis(if left_ms == 0 { 0 } else { left_ms + 1 }))
    }

    /// Returns whether the loop has to end at once.
    fn on_signals(&mut self, now: Millis) -> bool {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            if signal == SIGHUP {
                self.reload(now);
            } else if self.listener.is_none() {
                return true;
            } else {
                self.begin_shutdown(now);
            }
        }
        false
    }

    fn begin_shutdown(&mut self, now: Millis) {
        self.supervisor.on_stopping();
        log::info!("stopping: writing out what is queued");
        self.listener = None;
        self.control = None;
        self.metrics = None;
        self.engine.begin_shutdown(now);
    }

    /// Reads the users file again; returns the answer to an operator who asked for it.
    fn reload(&mut self, now: Millis) -> String {
        // Said without a users file, too: a manager that asked for it waits for the end.
        self.supervisor.on_reloading();
        let users = self.users_file.as_ref().map_or(Ok(None), |file| file.read().map(Some));
        self.supervisor.on_ready();
        match users {
            Ok(None) => "error the server has no users file\n".to_owned(),
            Ok(Some(users)) => {
                let change = self.engine.set_users(users, now);
                log::info!("users file read again: {change}");
                format!("{change}\nok\n")
            }
            Err(error) => {
                log::error!("{error}; the users read before stay in force");
                format!("error {error}; the users read before stay in force\n")
            }
        }
    }

    fn accept(&mut self, now: Millis) {
        if self.accept_again.is_some_and(|when| now >= when) {
            self.accept_again = None;
        }
        if !self.accept_ready || self.accept_again.is_some() {
            return;
        }
        let Some(listener) = &self.listener else { return };
        for _ in 0..limits::ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((socket, peer)) => {
                    let key = self.engine.on_accepted(Stream::Tcp(socket), Some(peer), now);
                    watch(&self.poll, &mut self.engine, key);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accept_ready = false;
                    return;
                }
                Err(error) if is_out_of_resources(&error) => {
                    self.engine.counters_mut().accept_errors += 1;
                    log::warn!("cannot accept a connection: {error}; new clients wait until there is room");
                    self.accept_again = Some(now + limits::ACCEPT_RETRY_MS);
                    return;
                }
                // The client was gone before we came to it.
                Err(_) => self.engine.counters_mut().accept_errors += 1,
            }
        }
    }

    fn accept_operators(&mut self, now: Millis) {
        let Some(control) = &self.control else { return };
        for _ in 0..limits::ACCEPTS_PER_TURN {
            match control.listener.accept() {
                Ok((socket, _)) => {
                    let key = self.engine.on_operator(Stream::Unix(socket), now);
                    watch(&self.poll, &mut self.engine, key);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("cannot accept an operator: {error}");
                    return;
                }
            }
        }
    }

    fn accept_scrapers(&mut self, now: Millis) {
        let Some(metrics) = &self.metrics else { return };
        for _ in 0..limits::ACCEPTS_PER_TURN {
            match metrics.accept() {
                Ok((socket, _)) => {
                    let key = self.engine.on_scraper(Stream::Tcp(socket), now);
                    watch(&self.poll, &mut self.engine, key);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("cannot accept a metrics request: {error}");
                    return;
                }
            }
        }
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
                let key = self.engine.on_dialled(dial_for, address, socket, now);
                watch(&self.poll, &mut self.engine, key);
            }
            Request::Resolve { dial_for, host, port } => {
                self.lookup.start(self.poll.registry(), LOOKUP, dial_for, &host, port, now);
            }
            Request::Reload { operator } => {
                let answer = self.reload(now);
                self.engine.answer_operator(operator, &answer);
            }
            Request::Shutdown => self.begin_shutdown(now),
        }
    }
}

/// Registers a connection once, for everything; it is never registered again.
fn watch(poll: &Poll, engine: &mut Engine<Stream>, key: Option<Key>) {
    let Some(key) = key else { return };
    let Some(socket) = engine.socket_mut(key) else { return };
    if let Err(error) = poll.registry().register(socket, token(key), Interest::READABLE | Interest::WRITABLE) {
        log::warn!("cannot watch a connection: {error}");
        engine.on_unwatchable(key);
    }
}

fn is_out_of_resources(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let out = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| out.contains(&errno))
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
