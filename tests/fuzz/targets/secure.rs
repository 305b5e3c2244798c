//! TLS: arbitrary bytes, and genuine records with arbitrary content, before and after a handshake. The input is a list
//! of what one client does to a server, while another one without TLS looks on:
//!
//! ```text
//!  what | arguments | what | …
//! ```
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../support/metered_pipe.rs"]
mod metered_pipe;
#[path = "../../support/records.rs"]
#[allow(dead_code)]
mod records;

use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use cfp::core::engine::secure::{Secure, Shared};
use cfp::core::engine::socket::Socket;
use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::RECORD_MAX_BYTES;
use cfp::tls::{Files, Tls};
use cfp::wire::{Packet, ServerId};
use libfuzzer_sys::fuzz_target;
use metered_pipe::PipeEnd;
use records::{HANDSHAKE, Hello, KEY_UPDATE, KEY_UPDATE_REQUEST, Records};
use rustls::client::ClientConfig;

thread_local! {
    static SHARED: Rc<Shared<Tls>> = Shared::new(tls());
    static CONFIG: Arc<ClientConfig> = records::config();
}

/// With a certificate of this run alone.
fn tls() -> Tls {
    let folder = std::env::temp_dir().join(format!("cfp-fuzz-{}", std::process::id()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/make-certificate.sh");
    assert!(Command::new(script).arg(&folder).status().unwrap().success());
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let files = Files { certificate, key, peer_ca: None, id: ServerId(7), is_required: false };
    let (tls, _) = Tls::open(files).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    tls
}

fuzz_target!(|data: &[u8]| {
    let mut run = Run::new();
    let mut input = Script(data);
    while let Some(what) = input.byte() {
        match what % 14 {
            // Bytes as they are.
            0 => {
                let count = input.count();
                run.send(input.bytes(count));
            }
            // The next step of an honest handshake, whole or only its beginning.
            1 => run.step(usize::MAX),
            2 => run.step(input.count()),
            // A genuine record: of data, of any kind, cut, damaged, long.
            3 => {
                let count = input.count();
                run.seal(23, input.bytes(count), usize::MAX, None);
            }
            4 => {
                let (kind, count) = (input.byte().unwrap_or(0), input.count());
                run.seal(kind, input.bytes(count), usize::MAX, None);
            }
            5 => {
                let (most, count) = (input.count(), input.count());
                run.seal(23, input.bytes(count), most, None);
            }
            6 => {
                let (place, count) = (input.count(), input.count());
                run.seal(23, input.bytes(count), usize::MAX, Some(place));
            }
            7 => {
                let (kind, byte, count) = (20 + input.byte().unwrap_or(0) % 5, input.byte().unwrap_or(0), input.count());
                run.seal(kind, &vec![byte; 64 * count], usize::MAX, None);
            }
            // A change of keys, in one record or two.
            8 => run.update_keys(if input.count() % 2 == 0 { &KEY_UPDATE } else { &KEY_UPDATE_REQUEST }, None),
            9 => run.update_keys(&KEY_UPDATE_REQUEST, Some(1 + input.count() % 4)),
            10 => {
                let room = input.count();
                run.pipe.0.borrow_mut().room_bytes = if room == 255 { usize::MAX } else { room * room };
                run.engine.on_ready(run.key, WRITABLE);
                run.turn(1);
            }
            11 => run.pipe.0.borrow_mut().read_max_bytes = input.count().max(1),
            12 => {
                let is_reset = input.count() % 2 == 0;
                run.end(is_reset);
            }
            _ => {
                let time = input.count() as u64;
                run.turn(time * time);
            }
        }
    }
    run.finish();
});

const READABLE: Readiness = Readiness { readable: true, writable: false, read_closed: false, broken: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, read_closed: false, broken: false };

enum Side {
    Greeting(Box<Hello>),
    Talking(Box<Records>),
    /// The server's answer could not be followed: it answers what was no honest client's.
    Lost,
}

struct Run {
    engine: Engine<Secure<PipeEnd, Tls>>,
    now: u64,
    key: Key,
    pipe: PipeEnd,
    side: Side,
    onlooker: (Key, PipeEnd),
    /// Only honest steps of a handshake were sent so far.
    is_honest: bool,
}

impl Run {
    fn new() -> Run {
        let mut engine = Engine::new(Config::new(ServerId(7)), Users::none());
        let shared = SHARED.with(Rc::clone);
        let (pipe, onlooker) = (PipeEnd::new(), PipeEnd::new());
        let address = |text: &str| Some(text.parse().unwrap());
        let socket = Secure::accepted(pipe.clone(), &shared);
        let key = engine.on_accepted(socket, address("192.0.2.1:4000"), Millis(0)).unwrap();
        let socket = Secure::accepted(onlooker.clone(), &shared);
        let other = engine.on_accepted(socket, address("192.0.2.2:4000"), Millis(0)).unwrap();
        let side = CONFIG.with(|config| Side::Greeting(Box::new(Hello::new(config))));
        let mut run = Run { engine, now: 0, key, pipe, side, onlooker: (other, onlooker), is_honest: true };
        run.look_on(&Packet::AuthGst { nickname: "onlooker" });
        assert_eq!(run.heard_by_onlooker(), [0x10, 0]);
        run
    }

    fn look_on(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.onlooker.1.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(self.onlooker.0, READABLE);
        self.turn(1);
    }

    fn heard_by_onlooker(&self) -> Vec<u8> {
        std::mem::take(&mut self.onlooker.1.0.borrow_mut().output)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.is_honest &= bytes.is_empty();
        self.put(bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.pipe.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(self.key, READABLE);
        self.turn(1);
    }

    fn step(&mut self, most: usize) {
        let came = std::mem::take(&mut self.pipe.0.borrow_mut().output);
        let Side::Greeting(hello) = &mut self.side else { return self.open(came) };
        let Ok((out, is_over)) = hello.advance(&came) else {
            assert!(!self.is_honest, "an honest client can follow");
            self.side = Side::Lost;
            return;
        };
        if is_over && let Side::Greeting(hello) = std::mem::replace(&mut self.side, Side::Lost) {
            self.side = Side::Talking(Box::new(hello.finish()));
        }
        let out = out.get(..most).unwrap_or(&out).to_vec();
        self.is_honest &= most == usize::MAX;
        self.put(&out);
    }

    /// What the server says behind the handshake can be opened, whatever it was sent.
    fn open(&mut self, came: Vec<u8>) {
        if let Side::Talking(records) = &mut self.side {
            records.open(&came);
        }
    }

    /// A record of which only the beginning is sent, or one bit of which is wrong.
    fn seal(&mut self, kind: u8, bytes: &[u8], most: usize, damage: Option<usize>) {
        let Side::Talking(records) = &mut self.side else { return };
        let mut record = records.seal(kind, bytes);
        record.truncate(most);
        if let Some(place) = damage {
            let place = place % record.len();
            record[place] ^= 1 << (place % 8);
        }
        self.put(&record);
    }

    fn update_keys(&mut self, message: &[u8], cut: Option<usize>) {
        let Side::Talking(records) = &mut self.side else { return };
        let (first, second) = message.split_at(cut.unwrap_or(0));
        let mut bytes = if first.is_empty() { Vec::new() } else { records.seal(HANDSHAKE, first) };
        bytes.extend(records.seal(HANDSHAKE, second));
        records.keys_are_new();
        self.put(&bytes);
    }

    fn end(&mut self, is_reset: bool) {
        let mut pipe = self.pipe.0.borrow_mut();
        (pipe.is_ended, pipe.is_reset) = (true, pipe.is_reset || is_reset);
        drop(pipe);
        self.engine.on_ready(self.key, Readiness { read_closed: true, broken: is_reset, ..READABLE });
        self.turn(1);
    }

    fn turn(&mut self, ms: u64) {
        self.now += ms;
        for _ in 0..1_000 {
            self.engine.turn(Millis(self.now));
            self.engine.assert_invariants();
            if let Some(connection) = self.engine.connections().get(self.key) {
                // One record each way, and what answers to it.
                let held = connection.socket.counted_bytes();
                assert!(held <= 2 * RECORD_MAX_BYTES + 1024, "{held} bytes are held");
            }
            if !self.engine.wants_turn() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn finish(mut self) {
        self.heard_by_onlooker();
        self.pipe.0.borrow_mut().room_bytes = usize::MAX;
        self.engine.on_ready(self.key, WRITABLE);
        self.look_on(&Packet::MsgPrv { destination: ServerId(7), receiver: "onlooker", message: "still here" });
        assert!(self.heard_by_onlooker().ends_with(b"still here"), "the other client is served");
        let came = std::mem::take(&mut self.pipe.0.borrow_mut().output);
        self.open(came);
        self.end(true);
        self.onlooker.1.0.borrow_mut().is_ended = true;
        self.engine.on_ready(self.onlooker.0, Readiness { read_closed: true, ..READABLE });
        self.turn(600_000);
        assert_eq!(self.engine.connections().len(), 0, "nothing is left");
    }
}

/// The rest of the input.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn count(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
