//! The layer that encrypts, with a toy for a cipher: cut anywhere, blocked anywhere, ended anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/metered_pipe.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod metered_pipe;
#[path = "support/toy.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod toy;

use std::net::SocketAddr;
use std::rc::Rc;

use cfp::core::engine::secure::{Secure, Shared};
use cfp::core::engine::socket::Socket;
use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::counters::TlsFailure;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::key::Key;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::{EMPTY_READ_BYTES, HANDSHAKE_MS, HANDSHAKES_PER_ADDRESS_MAX, HANDSHAKES_PER_TURN};
use cfp::limits::{HANDSHAKES_WAITING_MAX, READ_BYTES, RECORD_BYTES};
use cfp::wire::{Packet, ServerId};
use metered_pipe::PipeEnd;
use toy::ToyCiphers;

const READABLE: Readiness = Readiness { readable: true, writable: false, read_closed: false, broken: false };
const WRITABLE: Readiness = Readiness { readable: false, writable: true, read_closed: false, broken: false };

struct Server {
    engine: Engine<Secure<PipeEnd, ToyCiphers>>,
    shared: Rc<Shared<ToyCiphers>>,
}

#[derive(Clone)]
struct Client {
    key: Key,
    pipe: PipeEnd,
}

impl Server {
    fn new(is_required: bool) -> Server {
        let engine = Engine::new(Config::new(ServerId(7)), Users::none());
        Server { engine, shared: Shared::new(ToyCiphers { is_required }) }
    }

    fn connect(&mut self, address: &str) -> Client {
        let (pipe, peer): (PipeEnd, SocketAddr) = (PipeEnd::new(), address.parse().unwrap());
        let socket = Secure::accepted(pipe.clone(), &self.shared);
        Client { key: self.engine.on_accepted(socket, Some(peer), Millis(0)).unwrap(), pipe }
    }

    fn send(&mut self, client: &Client, bytes: &[u8]) {
        client.pipe.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(client.key, READABLE);
        self.turn();
    }

    fn turn(&mut self) {
        loop {
            self.engine.turn(Millis(0));
            self.engine.assert_invariants();
            if !self.engine.wants_turn() {
                break;
            }
        }
    }

    /// The client takes so many bytes more.
    fn take(&mut self, client: &Client, bytes: usize) {
        client.pipe.0.borrow_mut().room_bytes = bytes;
        self.engine.on_ready(client.key, WRITABLE);
        self.turn();
    }

    fn is_there(&self, client: &Client) -> bool {
        self.engine.connections().get(client.key).is_some()
    }

    /// A client with the toy's encryption that is logged in.
    fn guest(&mut self, nickname: &str) -> Client {
        let client = self.connect("192.0.2.1:4000");
        self.send(&client, &toy::handshake());
        self.send(&client, &toy::sealed(&encoded(&Packet::AuthGst { nickname })));
        assert_eq!(output(&client).0, [0x10, 0]);
        client
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.engine.core().counters.closed.get(reason.index())
    }
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// What has come, opened, and whether its end was said.
fn output(client: &Client) -> (Vec<u8>, bool) {
    toy::opened(&std::mem::take(&mut client.pipe.0.borrow_mut().output))
}

/// A login and two messages, and the answer.
fn session() -> (Vec<u8>, Vec<u8>) {
    let said = [
        encoded(&Packet::AuthGst { nickname: "ana" }),
        encoded(&Packet::MsgPbl { message: "one" }),
        encoded(&Packet::MsgPbl { message: "two" }),
    ]
    .concat();
    let heard = |message| encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message });
    (said, [vec![0x10, 0], heard("one"), heard("two")].concat())
}

#[test]
fn records_cut_at_every_byte_and_packets_cut_at_every_record_say_the_same() {
    let (said, heard) = session();
    for record_bytes in [1, 2, 3, 7, said.len()] {
        let records: Vec<u8> = said.chunks(record_bytes).flat_map(toy::sealed).collect();
        let all = [toy::handshake(), records].concat();
        for cut in 1..all.len() {
            let mut server = Server::new(false);
            let client = server.connect("192.0.2.1:4000");
            server.send(&client, &all[..cut]);
            server.send(&client, &all[cut..]);
            assert_eq!(output(&client), (heard.clone(), false), "records of {record_bytes}, cut at {cut}");
        }
        // Byte by byte, and read byte by byte.
        let mut server = Server::new(false);
        let client = server.connect("192.0.2.1:4000");
        for byte in &all {
            server.send(&client, &[*byte]);
        }
        assert_eq!(output(&client).0, heard);
        let mut server = Server::new(false);
        let client = server.connect("192.0.2.1:4000");
        client.pipe.0.borrow_mut().read_max_bytes = 1;
        for _ in 0..all.len() {
            server.send(&client, &[]);
        }
        server.send(&client, &all);
        for _ in 0..all.len() {
            server.engine.on_ready(client.key, READABLE);
            server.turn();
        }
        assert_eq!(output(&client).0, heard, "read byte by byte");
    }
}

#[test]
fn a_write_that_is_blocked_anywhere_goes_on_where_it_was_and_keeps_one_record_at_the_most() {
    let mut server = Server::new(false);
    let (slow, ana) = (server.guest("slow"), server.guest("ana"));
    let text = "x".repeat(60_000);
    for room in [0, 1, 4, 5, 6, 100, RECORD_BYTES, RECORD_BYTES + 5, RECORD_BYTES + 6, 40_000] {
        slow.pipe.0.borrow_mut().room_bytes = room;
        server.send(&ana, &sealed_in_pieces(&encoded(&Packet::MsgPbl { message: &text })));
        let socket = &server.engine.connections().get(slow.key).unwrap().socket;
        let socket_bytes = socket.held_bytes();
        assert_eq!(socket.counted_bytes(), socket_bytes);
        assert!(socket_bytes <= 2 * (RECORD_BYTES + 5), "{room}: {socket_bytes} are kept");
        for _ in 0..20 {
            server.take(&slow, 777);
        }
        slow.pipe.0.borrow_mut().room_bytes = usize::MAX;
        server.take(&slow, usize::MAX);
        let expected = encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: &text });
        assert_eq!(output(&slow), (expected, false), "with room for {room}");
        output(&ana);
    }
}

/// As records of the largest size.
fn sealed_in_pieces(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(RECORD_BYTES).flat_map(toy::sealed).collect()
}

#[test]
fn an_end_that_is_said_comes_after_all_that_was_said_before_it() {
    let (said, heard) = session();
    let all = [toy::handshake(), toy::sealed(&said), toy::end()].concat();
    for cut in 1..=all.len() {
        let mut server = Server::new(false);
        let client = server.connect("192.0.2.1:4000");
        server.send(&client, &all[..cut]);
        server.send(&client, &all[cut..]);
        assert_eq!(output(&client), (heard.clone(), true), "cut at {cut}");
        assert!(!server.is_there(&client));
        assert_eq!(server.closed(CloseReason::Left), 1);
    }
}

#[test]
fn our_own_end_waits_for_a_reader_that_is_slow() {
    let mut server = Server::new(false);
    let client = server.guest("ana");
    client.pipe.0.borrow_mut().room_bytes = 0;
    server.engine.begin_shutdown(Millis(0));
    server.turn();
    assert!(server.is_there(&client) && !client.pipe.0.borrow().is_shut);
    server.take(&client, 3);
    assert!(!client.pipe.0.borrow().is_shut, "the end is not all there");
    server.take(&client, usize::MAX);
    assert!(client.pipe.0.borrow().is_shut);
    assert_eq!(output(&client), (Vec::new(), true));
}

#[test]
fn what_can_t_be_followed_is_told_and_closed_before_and_after_the_handshake() {
    for before in [Vec::new(), toy::handshake()] {
        let mut server = Server::new(false);
        let client = server.connect("192.0.2.1:4000");
        server.send(&client, &[before, toy::record(0x16, b""), toy::record(0x99, b"")].concat());
        let (_, has_alert) = output(&client);
        assert!(has_alert, "the other side learns it");
        assert_eq!(server.closed(CloseReason::TlsFailed), 1);
        assert_eq!(server.engine.core().counters.tls_failures.get(TlsFailure::Protocol.index()), 1);
    }
}

#[test]
fn what_the_cipher_has_to_say_is_written_without_being_asked() {
    let mut server = Server::new(false);
    let client = server.guest("ana");
    server.send(&client, &toy::record(toy::PING, b""));
    assert_eq!(client.pipe.0.borrow_mut().output, toy::record(toy::PING, b""));
}

#[test]
fn records_without_content_are_work_and_others_have_their_turn_meanwhile() {
    let mut server = Server::new(false);
    let (flooder, ana) = (server.guest("flooder"), server.guest("ana"));
    let flood = toy::sealed(b"").repeat(64 * READ_BYTES / 5);
    flooder.pipe.0.borrow_mut().input.extend(&flood);
    ana.pipe.0.borrow_mut().input.extend(toy::sealed(&encoded(&Packet::MsgPbl { message: "hi" })));
    for client in [&flooder, &ana] {
        server.engine.on_ready(client.key, READABLE);
    }
    server.engine.turn(Millis(0));
    let heard = encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: "hi" });
    assert_eq!(output(&ana).0, heard);
    for _ in 0..3 {
        let before = flooder.pipe.0.borrow().input.len();
        server.engine.turn(Millis(0));
        let taken = before - flooder.pipe.0.borrow().input.len();
        assert!(taken > 0 && taken <= 2 * EMPTY_READ_BYTES, "{taken} bytes were taken in one turn");
    }
    server.turn();
    assert!(server.is_there(&flooder) && flooder.pipe.0.borrow().input.is_empty());
}

#[test]
fn whoever_does_not_encrypt_where_that_is_required_is_closed_without_a_word() {
    let mut server = Server::new(true);
    let client = server.connect("192.0.2.1:4000");
    server.send(&client, &encoded(&Packet::AuthGst { nickname: "ana" }));
    assert!(client.pipe.0.borrow().output.is_empty() && !server.is_there(&client));
    assert_eq!(server.closed(CloseReason::Plaintext), 1);
}

#[test]
fn handshakes_are_done_a_few_in_a_turn_addresses_in_turn_and_too_many_of_one_are_turned_away() {
    let mut server = Server::new(false);
    let hello = toy::record(0x16, b"hello");
    let flood: Vec<Client> = (0..HANDSHAKES_PER_ADDRESS_MAX + 10)
        .map(|port| server.connect(&format!("192.0.2.1:{}", 1000 + port)))
        .collect();
    let good = server.connect("192.0.2.2:4000");
    for client in flood.iter().chain([&good]) {
        client.pipe.0.borrow_mut().input.extend(&hello);
        server.engine.on_ready(client.key, READABLE);
    }
    server.engine.turn(Millis(0));
    let answered = |clients: &[Client]| clients.iter().filter(|c| !c.pipe.0.borrow().output.is_empty()).count();
    while answered(std::slice::from_ref(&good)) == 0 {
        server.engine.turn(Millis(0));
    }
    assert!(answered(&flood) < 4 * HANDSHAKES_PER_TURN, "the other address has its turn early");
    server.turn();
    assert_eq!(server.closed(CloseReason::TlsFailed), 10);
    assert_eq!(answered(&flood), HANDSHAKES_PER_ADDRESS_MAX);
}

#[test]
fn where_too_many_handshakes_wait_the_oldest_of_the_largest_network_gives_way_and_nobody_else() {
    let mut server = Server::new(false);
    let before = server.connect("192.0.2.1:4000");
    // Each from a network of 64 bits of its own, all of them in one of 48.
    let flood: Vec<Client> =
        (0..HANDSHAKES_WAITING_MAX).map(|i| server.connect(&format!("[2001:db8:1:{i:x}::1]:4000"))).collect();
    let after = server.connect("192.0.2.2:4000");
    for client in [&before].into_iter().chain(&flood).chain([&after]) {
        client.pipe.0.borrow_mut().input.extend(&toy::record(0x16, b"hello"));
        server.engine.on_ready(client.key, READABLE);
    }
    server.turn();
    let is_answered = |client: &Client| !client.pipe.0.borrow().output.is_empty();
    assert!(is_answered(&before) && is_answered(&after));
    let gone: Vec<usize> = (0..flood.len()).filter(|&i| !is_answered(&flood[i])).collect();
    assert_eq!(gone, [0, 1], "as many as were too many, the oldest first");
    assert_eq!(server.closed(CloseReason::TlsFailed), 2);
}

#[test]
fn a_handshake_is_counted_when_it_is_done() {
    let mut server = Server::new(false);
    let client = server.connect("192.0.2.1:4000");
    for (kind, count) in [(&b"hello"[..], 0), (b"finished", 1)] {
        server.send(&client, &toy::record(0x16, kind));
        assert_eq!(server.engine.core().counters.tls_handshakes, count);
    }
    server.send(&client, &toy::sealed(&encoded(&Packet::AuthGst { nickname: "ana" })));
    assert_eq!(server.engine.core().counters.tls_handshakes, 1);
}

#[test]
fn a_handshake_that_takes_too_long_is_counted_as_one_and_no_other_end_is() {
    let mut server = Server::new(false);
    let (slow, done, lost) =
        (server.connect("192.0.2.1:4000"), server.connect("192.0.2.2:4000"), server.connect("192.0.2.3:4000"));
    for client in [&slow, &done, &lost] {
        server.send(client, &toy::record(0x16, b"hello"));
    }
    server.send(&done, &toy::record(0x16, b"finished"));
    lost.pipe.0.borrow_mut().is_reset = true;
    server.send(&lost, b"");
    let timeouts = |server: &Server| server.engine.core().counters.tls_failures.get(TlsFailure::Timeout.index());
    assert_eq!(timeouts(&server), 0);
    server.engine.turn(Millis(HANDSHAKE_MS));
    assert_eq!(server.closed(CloseReason::HandshakeTimeout), 2);
    assert_eq!(timeouts(&server), 1);
}

#[test]
fn who_leaves_before_its_handshake_has_its_turn_takes_nobody_else_s() {
    let mut server = Server::new(false);
    let clients: Vec<Client> =
        (0..HANDSHAKES_PER_TURN + 3).map(|port| server.connect(&format!("192.0.2.1:{}", 1000 + port))).collect();
    for client in &clients {
        client.pipe.0.borrow_mut().input.extend(&toy::record(0x16, b"hello"));
        server.engine.on_ready(client.key, READABLE);
    }
    server.engine.turn(Millis(0));
    let waits = |client: &Client| client.pipe.0.borrow().output.is_empty();
    let waiting: Vec<&Client> = clients.iter().filter(|client| waits(client)).collect();
    assert_eq!(waiting.len(), 3);
    server.engine.on_unwatchable(waiting[1].key);
    server.turn();
    assert_eq!(waiting.into_iter().map(waits).collect::<Vec<bool>>(), [false, true, false]);
}

#[test]
fn who_has_left_is_told_our_end_all_the_same() {
    let mut server = Server::new(false);
    let client = server.guest("ana");
    client.pipe.0.borrow_mut().is_ended = true;
    server.engine.on_ready(client.key, Readiness { read_closed: true, ..READABLE });
    server.turn();
    assert_eq!(output(&client), (Vec::new(), true));
    assert!(!server.is_there(&client));
}
