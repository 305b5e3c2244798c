//! The only file that names mio: poll, the listener, signals, the clock. It turns what the kernel says into calls of
//! the engine, one turn after the other.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::core::key::Key;
use crate::engine::{Engine, Readiness};
use crate::limits;
use crate::socket;
use crate::time::Millis;
use crate::users_file::UsersFile;

const LISTENER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);

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
    listener: Option<TcpListener>,
    /// The kernel may have connections for us.
    accept_ready: bool,
    /// No descriptor was left for a connection: not before then again.
    accept_again: Option<Millis>,
    engine: Engine<TcpStream>,
    users_file: Option<UsersFile>,
    started: Instant,
}

impl Reactor {
    /// Opens the listener and everything else that can fail.
    pub fn new(engine: Engine<TcpStream>, listen: SocketAddr, users_file: Option<UsersFile>) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let mut listener = socket::listen(listen)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Reactor {
            poll,
            signals,
            listener: Some(listener),
            accept_ready: true,
            accept_again: None,
            engine,
            users_file,
            started: Instant::now(),
        })
    }

    /// Where it listens: with the port that the kernel chose, where it was asked to.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) -> io::Result<Stop> {
        let mut events = Events::with_capacity(limits::EVENTS_PER_TURN);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let now = self.now();
            let mut has_signal = false;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_ready = true,
                    SIGNALS => has_signal = true,
                    token => self.engine.on_ready(key(token), readiness(event)),
                }
            }
            if has_signal && self.on_signals(now) {
                return Ok(Stop::Hurried);
            }
            self.accept(now);
            self.engine.turn(now);
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
        let next = self.engine.next_deadline().into_iter().chain(self.accept_again).min()?;
        Some(Duration::from_millis(next.since(self.now())))
    }

    /// Returns whether the loop has to end at once.
    fn on_signals(&mut self, now: Millis) -> bool {
        for signal in self.signals.pending() {
            if signal == SIGHUP {
                if let Some(file) = &self.users_file {
                    match file.read() {
                        Ok(users) => log::info!("users file read again: {}", self.engine.set_users(users, now)),
                        Err(error) => log::error!("{error}; the users read before stay in force"),
                    }
                }
            } else if self.listener.take().is_none() {
                return true;
            } else {
                log::info!("stopping: writing out what is queued");
                self.engine.begin_shutdown(now);
            }
        }
        false
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
                    if let Some(key) = self.engine.on_accepted(socket, Some(peer), now)
                        && let Err(error) = register(&self.poll, &mut self.engine, key)
                    {
                        log::warn!("cannot watch a connection from {peer}: {error}");
                        self.engine.on_ready(key, Readiness { readable: true, broken: true, ..Readiness::default() });
                    }
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
}

fn register(poll: &Poll, engine: &mut Engine<TcpStream>, key: Key) -> io::Result<()> {
    let Some(socket) = engine.socket_mut(key) else { return Ok(()) };
    poll.registry().register(socket, token(key), Interest::READABLE | Interest::WRITABLE)
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
