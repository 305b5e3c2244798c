//! The real engine over pipes, with a clock that the test moves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use cfp::core::engine::{Engine, Readiness, Request};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::mesh::DialFor;
use cfp::core::state::process::ProcessFigures;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::Keepalive;
use cfp::wire::{AuthResponse, Descriptions, Packet, ServerId};

use super::ID;
use super::client::encoded;
use super::metered_pipe::PipeEnd;

/// Turns that any amount of work in these tests comes to at most.
const TURNS_MAX: usize = 1_000_000;

/// The address of all peers.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// A server without sockets and clock.
pub struct Rig {
    pub engine: Engine<PipeEnd>,
    now: Millis,
    /// Connections that the engine wanted, to ask siblings whether they live.
    asked: Vec<Peer>,
    /// Connections that the engine dialled to merge, if it could.
    dialled: Vec<Peer>,
    /// Whether dials succeed at once. Otherwise they get no answer.
    pub connects_dials: bool,
    /// Whether such a connection is refused, and whether it is made if it is not.
    pub refuses_questions: bool,
    pub connects_questions: bool,
}

/// The other end of a connection.
pub struct Peer {
    key: Key,
    pipe: PipeEnd,
}

impl Rig {
    /// A server that has just started.
    pub fn new(users: Users) -> Rig {
        Rig::of(Engine::new(Config::new(ID), users))
    }

    /// A server with these limits, and no users.
    pub fn with_config(config: Config) -> Rig {
        Rig::of(Engine::new(config, Users::none()))
    }

    /// A server with these limits and users.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn with_users(config: Config, users: Users) -> Rig {
        Rig::of(Engine::new(config, users))
    }

    fn of(engine: Engine<PipeEnd>) -> Rig {
        Rig {
            engine,
            now: Millis(0),
            asked: Vec::new(),
            dialled: Vec::new(),
            connects_dials: false,
            refuses_questions: false,
            connects_questions: true,
        }
    }

    /// The connections that the engine has opened since the last call to ask siblings whether they live.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn take_asked(&mut self) -> Vec<Peer> {
        std::mem::take(&mut self.asked)
    }

    /// The connections that the engine has dialled since the last call, to merge.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn take_dialled(&mut self) -> Vec<Peer> {
        std::mem::take(&mut self.dialled)
    }

    fn dial(&mut self, dial_for: DialFor, address: SocketAddr) {
        if self.connects_dials {
            let pipe = PipeEnd::new();
            let key = self.engine.on_dialled(dial_for, address, Ok(pipe.clone()), self.now);
            self.dialled.extend(key.map(|key| Peer { key, pipe }));
        }
    }

    fn ask(&mut self, link: Key, address: SocketAddr) {
        let pipe = PipeEnd::new();
        if !self.connects_questions {
            pipe.0.borrow_mut().room_bytes = 0;
        }
        let socket = if self.refuses_questions { Err("refused".to_owned()) } else { Ok(pipe.clone()) };
        let key = self.engine.on_ask_dialled(link, address, socket, self.now);
        self.asked.extend(key.map(|key| Peer { key, pipe }));
    }

    /// What the clock of the test says, in milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now.0
    }

    /// A new connection, whose kernel takes everything.
    pub fn connect(&mut self) -> Peer {
        let pipe = PipeEnd::new();
        let key = self.engine.on_accepted(pipe.clone(), Some(LOOPBACK), self.now).expect("there is room");
        Peer { key, pipe }
    }

    /// A server with these options.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn with(config: Config) -> Rig {
        Rig::with_config(config)
    }

    /// A new connection from this address.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn connect_from(&mut self, from: SocketAddr) -> Peer {
        self.try_connect_from(from).expect("there is room")
    }

    /// A new connection, if there is a place for it.
    pub fn try_connect_from(&mut self, from: SocketAddr) -> Option<Peer> {
        let pipe = PipeEnd::new();
        let key = self.engine.on_accepted(pipe.clone(), Some(from), self.now)?;
        Some(Peer { key, pipe })
    }

    /// A guest who is logged in.
    pub fn guest(&mut self, nickname: &str) -> Peer {
        let peer = self.connect();
        self.send(&peer, &encoded(&Packet::AuthGst { nickname }));
        assert_eq!(peer.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }));
        peer
    }

    /// An operator on the control socket.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn operator(&mut self) -> Peer {
        let pipe = PipeEnd::new();
        let key = self.engine.on_operator(pipe.clone(), self.now).expect("an operator gets in");
        Peer { key, pipe }
    }

    /// A scraper of metrics, from this address.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn scraper(&mut self, from: SocketAddr) -> Peer {
        let pipe = PipeEnd::new();
        let key = self.engine.on_scraper(pipe.clone(), Some(from), self.now).expect("a scraper gets in");
        Peer { key, pipe }
    }

    /// Bytes come in, and everything is done that can be done.
    pub fn send(&mut self, peer: &Peer, bytes: &[u8]) {
        self.arrive(peer, bytes);
        self.run_until_idle();
    }

    /// Bytes have come in; nothing is done yet.
    pub fn arrive(&mut self, peer: &Peer, bytes: &[u8]) {
        peer.pipe.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(peer.key, Readiness { readable: true, ..Readiness::default() });
    }

    /// The other end takes so many bytes more, and everything is done that can be done.
    pub fn take(&mut self, peer: &Peer, bytes: usize) {
        self.let_take(peer, bytes);
        self.run_until_idle();
    }

    /// The other end takes so many bytes more; nothing is done yet.
    pub fn let_take(&mut self, peer: &Peer, bytes: usize) {
        let room_bytes = peer.pipe.0.borrow().room_bytes;
        peer.pipe.0.borrow_mut().room_bytes = room_bytes.saturating_add(bytes);
        self.engine.on_ready(peer.key, Readiness { writable: true, ..Readiness::default() });
    }

    /// The peer's connection breaks.
    pub fn reset(&mut self, peer: &Peer) {
        peer.pipe.0.borrow_mut().is_reset = true;
        self.engine.on_ready(peer.key, Readiness { readable: true, writable: true, read_closed: true, broken: true });
        self.run_until_idle();
    }

    /// The peer shuts its sending side behind what it has sent.
    pub fn shut(&mut self, peer: &Peer) {
        peer.pipe.0.borrow_mut().is_ended = true;
        self.engine.on_ready(peer.key, Readiness { readable: true, read_closed: true, ..Readiness::default() });
        self.run_until_idle();
    }

    /// Another server, merged with this one.
    pub fn link(&mut self, server: ServerId) -> Peer {
        let link = self.connect();
        self.send(&link, &encoded(&Packet::MrgReq { server, siblings: Descriptions::default() }));
        assert!(self.is_link(&link));
        link.take_output();
        link
    }

    /// Whether the peer's packets are handled.
    pub fn is_open(&self, peer: &Peer) -> bool {
        self.engine.connections().get(peer.key).is_some_and(|connection| connection.is_open())
    }

    /// Whether the peer is another server.
    pub fn is_link(&self, peer: &Peer) -> bool {
        self.engine.connections().get(peer.key).is_some_and(|connection| connection.session.as_sibling().is_some())
    }

    /// Turns, until nothing is left to do.
    pub fn run_until_idle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            if !self.engine.wants_turn() {
                return;
            }
        }
        panic!("the engine spins");
    }

    /// One turn.
    pub fn turn(&mut self) {
        self.engine.turn(self.now);
        while let Some(request) = self.engine.poll_request() {
            match request {
                Request::Measure { asked_by } => {
                    self.engine.on_measured(asked_by, &ProcessFigures::default(), self.now);
                }
                Request::Ask { link, address } => self.ask(link, address),
                Request::Dial { dial_for, address } => self.dial(dial_for, address),
                _ => {}
            }
        }
        self.engine.assert_invariants();
    }

    /// Time goes on, with a turn whenever one is due.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.engine.next_deadline().filter(|&due| due <= end) {
            assert!(due >= self.now, "a deadline that is past and stays is a loop that spins");
            self.now = due;
            self.run_until_idle();
        }
        self.now = end;
        self.run_until_idle();
    }

    /// Time goes on, and there is but one turn.
    pub fn advance_in_one_turn(&mut self, ms: u64) {
        self.now = self.now + ms;
        self.turn();
    }
}

impl Peer {
    /// Everything that has come since the last call.
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.pipe.0.borrow_mut().output)
    }

    /// What it has sent and the server has not read, in bytes.
    pub fn unread_bytes(&self) -> usize {
        self.pipe.0.borrow().input.len()
    }

    /// From now on its output is counted, not kept.
    pub fn keep_no_output(&self) {
        self.pipe.0.borrow_mut().keeps_output = false;
    }

    /// Bytes that it has got so far.
    pub fn got_bytes(&self) -> u64 {
        self.pipe.0.borrow().written_bytes
    }

    /// System calls of the server for this connection so far.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn calls(&self) -> u64 {
        self.pipe.0.borrow().calls
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.pipe.0) == 1
    }

    /// Whether the server has shut its sending side.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn has_end(&self) -> bool {
        self.pipe.0.borrow().is_shut
    }

    /// A signal comes during the server's next read.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn interrupt_next_read(&self) {
        self.pipe.0.borrow_mut().is_interrupted = true;
    }

    /// A signal comes during the server's next write.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn interrupt_next_write(&self) {
        self.pipe.0.borrow_mut().is_write_interrupted = true;
    }

    /// A signal comes when the server looks the next time at what has come.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn interrupt_next_peek(&self) {
        self.pipe.0.borrow_mut().is_peek_interrupted = true;
    }

    /// The connection is broken, and the server learns of it when it writes.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn break_quietly(&self) {
        self.pipe.0.borrow_mut().is_reset = true;
    }

    /// From now on the kernel takes nothing more.
    pub fn stop_taking(&self) {
        self.pipe.0.borrow_mut().room_bytes = 0;
    }

    /// The settings that the kernel was given, in order.
    pub fn keepalives(&self) -> Vec<Keepalive> {
        self.pipe.0.borrow().keepalives.clone()
    }
}
