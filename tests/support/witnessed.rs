//! An engine with a few connections, and what must hold of it whatever comes in.

use std::collections::VecDeque;
use std::net::SocketAddr;

use cfp::core::engine::{Engine, Readiness, Request};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::mesh::{DialFor, HostPort};
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits;
use cfp::wire::{Code, FrameLimits, Packet, ServerId};

use crate::metered_pipe::PipeEnd;
use crate::reference::{self, Event};

/// Connections at once, beside the witness's.
pub const SLOTS: usize = 4;
/// Small, so that short inputs reach every limit.
const MESSAGE_MAX_BYTES: usize = 40;
/// Input that one run may feed in: repeated sends would otherwise make it slow.
const FED_MAX_BYTES: usize = 24 * 1024;
/// Password `pw`, hashed in three steps.
const USERS: &str = "reg:$pbkdf2-sha256$i=3,l=32$c2FsdHNhbHQ$Gw9J7ot0OEClxhiPitRxDqdFt+B56mDlJBu2/LKXQl0";
/// An address from which requests to merge are accepted, and one from which they are not.
const PERMITTED: &str = "127.0.0.1:";
const NOT_PERMITTED: &str = "192.0.2.1:";
const READABLE: Readiness = Readiness { readable: true, writable: false, read_closed: false, broken: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, read_closed: false, broken: false };

struct Client {
    key: Key,
    pipe: PipeEnd,
}

/// The server, four clients that follow the input, and a witness. The witness is a well-behaved client that is there
/// from the start and must not be affected by the others.
pub struct Server {
    engine: Engine<PipeEnd>,
    slots: [Option<Client>; SLOTS],
    witness: Client,
    /// What the server wrote to each connection that is gone.
    outputs: Vec<Vec<u8>>,
    /// Dials that were asked for and have no answer yet.
    dials: VecDeque<(DialFor, SocketAddr)>,
    now: Millis,
    fed_bytes: usize,
}

#[allow(dead_code, reason = "not every program that has this module needs all of it")]
impl Server {
    pub fn new() -> Server {
        let config = Config {
            frame: FrameLimits { message_max_bytes: MESSAGE_MAX_BYTES, ..FrameLimits::DEFAULT },
            max_clients: SLOTS + 1,
            max_per_address: Some(2),
            max_queue_bytes: 8 * 1024,
            max_link_queue_bytes: 8 * 1024,
            max_memory_bytes: 12 * 1024,
            advertise: Some("127.0.0.1:7777".parse().unwrap()),
            ..Config::new(ServerId(7))
        };
        let mut engine = Engine::new(config, Users::parse(USERS).unwrap());
        let now = Millis(1_000);
        let witness = accept(&mut engine, "127.0.0.9:9000", now).unwrap();
        engine.merge_at_start(HostPort { host: "127.0.0.1".to_owned(), port: 7790 }, now);
        let (outputs, dials) = (Vec::new(), VecDeque::new());
        let mut server = Server { engine, slots: Default::default(), witness, outputs, dials, now, fed_bytes: 0 };
        server.witness_says(&Packet::AuthGst { nickname: "witness" });
        server.run_until_idle();
        assert_eq!(server.witness.pipe.0.borrow().output, [0x10, 0]);
        server
    }

    /// A client sends `bytes` so many times.
    pub fn send(&mut self, slot: usize, bytes: &[u8], times: usize) {
        let Some(client) = self.client(slot) else { return };
        let (key, pipe) = (client.key, client.pipe.clone());
        if pipe.0.borrow().is_ended {
            return;
        }
        for _ in 0..times {
            self.fed_bytes += bytes.len();
            if self.fed_bytes > FED_MAX_BYTES {
                break;
            }
            pipe.0.borrow_mut().input.extend(bytes);
        }
        self.engine.on_ready(key, READABLE);
    }

    /// How much is read at once of what a client sends.
    pub fn set_read_max(&mut self, slot: usize, bytes: usize) {
        let Some(client) = self.client(slot) else { return };
        client.pipe.0.borrow_mut().read_max_bytes = bytes.max(1);
    }

    /// How much a client takes from here on, 0: nothing.
    pub fn set_room(&mut self, slot: usize, bytes: usize) {
        let Some(client) = self.client(slot) else { return };
        client.pipe.0.borrow_mut().room_bytes = bytes;
        let key = client.key;
        if bytes > 0 {
            self.engine.on_ready(key, WRITABLE);
        }
    }

    /// A client shuts its sending side.
    pub fn end(&mut self, slot: usize) {
        let Some(client) = self.client(slot) else { return };
        client.pipe.0.borrow_mut().is_ended = true;
        let key = client.key;
        self.engine.on_ready(key, Readiness { read_closed: true, ..READABLE });
    }

    /// A connection breaks.
    pub fn reset(&mut self, slot: usize) {
        let Some(client) = self.client(slot) else { return };
        client.pipe.0.borrow_mut().is_reset = true;
        let key = client.key;
        self.engine.on_ready(key, Readiness { readable: true, writable: true, read_closed: true, broken: true });
    }

    /// What the server dialled answers, or does not.
    pub fn answer_dial(&mut self, slot: usize, succeeds: bool) {
        if self.slots[slot].is_some() {
            return;
        }
        let Some((dial_for, address)) = self.dials.pop_front() else { return };
        let pipe = PipeEnd::new();
        let socket = if succeeds { Ok(pipe.clone()) } else { Err("refused".to_owned()) };
        if let Some(key) = self.engine.on_dialled(dial_for, address, socket, self.now) {
            self.slots[slot] = Some(Client { key, pipe });
            self.engine.on_ready(key, WRITABLE);
        }
    }

    /// One turn, `ms` later.
    pub fn turn(&mut self, ms: u64) {
        self.now = self.now + ms;
        self.engine.turn(self.now);
        self.engine.assert_invariants();
        while let Some(request) = self.engine.poll_request() {
            if let Request::Dial { dial_for, address } = request {
                self.dials.push_back((dial_for, address));
            }
        }
        for client in &mut self.slots {
            if let Some(gone) = client.take_if(|client| self.engine.connections().get(client.key).is_none()) {
                self.outputs.push(gone.pipe.0.borrow().output.clone());
            }
        }
    }

    /// Turns until there is nothing to do.
    pub fn run_until_idle(&mut self) {
        // Each turn reads, writes or works on a password. The input is bounded, and so must this be.
        let most_turns = 2 * FED_MAX_BYTES;
        for _ in 0..most_turns {
            if !self.engine.wants_turn() {
                return;
            }
            self.turn(0);
        }
        panic!("the loop spins");
    }

    /// Whether a client's connection is over.
    pub fn is_gone(&self, slot: usize) -> bool {
        self.slots[slot].is_none()
    }

    /// The end: every client takes its output, the witness still talks, and a stop leaves nothing behind.
    pub fn finish(mut self) {
        self.run_until_idle();
        for slot in 0..SLOTS {
            if self.slots[slot].is_some() {
                self.set_room(slot, usize::MAX);
            }
        }
        self.run_until_idle();
        self.witness_says(&Packet::MsgPbl { message: "the end" });
        self.run_until_idle();
        let heard = publics(&self.witness.pipe.0.borrow().output.clone());
        let last = Packet::MsgPblInc { origin: ServerId(7), sender: "witness", message: "the end" };
        assert_eq!(heard.last(), Some(&encoded(&last)), "nothing that others do costs a client anything");

        let open: Vec<_> = self.slots.iter().flatten().map(|client| client.pipe.0.clone()).collect();
        self.engine.begin_shutdown(self.now);
        self.run_until_idle();
        self.turn(limits::DRAIN_MS);
        self.turn(0);
        assert!(self.engine.is_shut_down());
        self.engine.assert_invariants();

        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.extend(open.iter().map(|pipe| pipe.borrow().output.clone()));
        for output in outputs {
            check_output(&output, &heard);
        }
    }

    fn client(&mut self, slot: usize) -> Option<&Client> {
        if self.slots[slot].is_none() {
            let address = [PERMITTED, NOT_PERMITTED][slot / 2].to_owned() + &(5000 + slot).to_string();
            self.slots[slot] = accept(&mut self.engine, &address, self.now);
        }
        self.slots[slot].as_ref()
    }

    fn witness_says(&mut self, packet: &Packet<'_>) {
        self.witness.pipe.0.borrow_mut().input.extend(encoded(packet));
        self.engine.on_ready(self.witness.key, READABLE);
    }
}

fn accept(engine: &mut Engine<PipeEnd>, address: &str, now: Millis) -> Option<Client> {
    let peer: SocketAddr = address.parse().unwrap();
    let pipe = PipeEnd::new();
    let key = engine.on_accepted(pipe.clone(), Some(peer), now)?;
    Some(Client { key, pipe })
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// The public messages in what a client got.
fn publics(output: &[u8]) -> Vec<Vec<u8>> {
    let (events, _) = reference::events(output, MESSAGE_MAX_BYTES, false);
    let packets = events.into_iter().filter_map(|event| match event {
        Event::Packet(bytes) if bytes[0] == 0x30 => Some(bytes),
        _ => None,
    });
    packets.collect()
}

/// Whole packets that a server may send; public messages in the one order and without a gap (D6); before a login
/// succeeded, nothing but answers to logins; and on a link to a server, nothing but the packets of links (D19).
fn check_output(output: &[u8], heard: &[Vec<u8>]) {
    let (mut is_client, mut is_link) = (false, false);
    for event in reference::events(output, MESSAGE_MAX_BYTES, false).0 {
        let Event::Packet(bytes) = event else { panic!("{event:02x?} is no packet") };
        let packet = Packet::decode(&bytes).unwrap();
        match packet {
            Packet::AuthRsp { .. } => {
                assert!(!is_client && !is_link, "nobody logs in twice");
                is_client = bytes[1] == 0;
            }
            Packet::MsgPblInc { .. } | Packet::MsgPrvInc { .. } | Packet::FileChnkInc { .. } | Packet::Error { .. } => {
                assert!(is_client);
            }
            Packet::MrgReq { server, siblings } | Packet::MrgRsp { server, siblings } => {
                assert!(!is_client && server == ServerId(7) && siblings.len() <= limits::DESCRIPTIONS_MAX);
                is_link = true;
            }
            Packet::MrgDecl { .. } => assert!(!is_client && !is_link),
            Packet::PckFwd { content, .. } => {
                assert!(is_link && is_forwardable(Packet::decode(content).unwrap().code()));
            }
            _ => panic!("{packet:?} is not for a client"),
        }
        assert_ne!(bytes[0], 0x32);
        assert_eq!(Code::from_byte(bytes[0]), Some(packet.code()));
    }
    let got = publics(output);
    let in_order = got.is_empty() || heard.windows(got.len()).any(|window| window == got);
    assert!(in_order, "everybody gets the same public messages in the same order");
}

/// Whether a PCKFWD may carry it (D5).
fn is_forwardable(code: Code) -> bool {
    matches!(code, Code::MsgPblInc | Code::MsgPrvInc | Code::FileChnkInc | Code::Error)
}
