//! Records that no usual client makes: messages of the handshake in pieces, records cut anywhere, and ones without
//! content. And how encrypted connections end.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use cfp::core::engine::secure::{Secure, Shared};
use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::key::Key;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::RECORD_BYTES;
use cfp::tls::{Files, Tls};
use cfp::wire::{Packet, ServerId};
use rustix::process::Signal;
use rustls::client::ClientConfig;

use crate::certificates::Folder;
use crate::node::{Node, wait_until};
use crate::records::{CLOSE_NOTIFY, DATA, HANDSHAKE, Hello, KEY_UPDATE, KEY_UPDATE_REQUEST, Records, config};
use crate::support::client::encoded;
use crate::support::metered_pipe::PipeEnd;
use crate::support::{Client, PATIENCE};
use crate::{failures, node};

const READABLE: Readiness = Readiness { readable: true, writable: false, read_closed: false, broken: false };

/// An engine over pipes, with TLS.
struct Pipes {
    engine: Engine<Secure<PipeEnd, Tls>>,
    shared: Rc<Shared<Tls>>,
    now: Millis,
}

#[derive(Clone)]
struct End {
    key: Key,
    pipe: PipeEnd,
}

impl Pipes {
    fn new(folder: &Folder) -> Pipes {
        let (certificate, key) = (folder.path("cert.pem").into(), folder.path("key.pem").into());
        let (tls, _) =
            Tls::open(Files { certificate, key, peer_ca: None, id: ServerId(7), is_required: false }).unwrap();
        let engine = Engine::new(Config::new(ServerId(7)), Users::none());
        Pipes { engine, shared: Shared::new(tls), now: Millis(0) }
    }

    fn connect(&mut self) -> End {
        let (pipe, peer): (PipeEnd, SocketAddr) = (PipeEnd::new(), "192.0.2.1:4000".parse().unwrap());
        let socket = Secure::accepted(pipe.clone(), &self.shared);
        End { key: self.engine.on_accepted(socket, Some(peer), self.now).unwrap(), pipe }
    }

    /// Sends bytes, and returns what comes back.
    fn exchange(&mut self, end: &End, bytes: &[u8]) -> Vec<u8> {
        end.pipe.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(end.key, READABLE);
        loop {
            self.engine.turn(self.now);
            self.engine.assert_invariants();
            if !self.engine.wants_turn() {
                return std::mem::take(&mut end.pipe.0.borrow_mut().output);
            }
        }
    }

    /// Connections whose records could not be followed.
    fn offences(&self) -> u64 {
        self.engine.core().counters.closed.get(CloseReason::TlsFailed.index())
    }

    fn is_there(&self, end: &End) -> bool {
        self.engine.connections().get(end.key).is_some()
    }

    fn shake_hands(&mut self, config: &Arc<ClientConfig>) -> (End, Records) {
        let end = self.connect();
        (end.clone(), Records::shake_hands(config, |said| self.exchange(&end, said)))
    }
}

/// A login and two messages, and what comes back.
fn session() -> (Vec<u8>, Vec<u8>) {
    let say = |message| encoded(&Packet::MsgPbl { message });
    let said = [encoded(&Packet::AuthGst { nickname: "ana" }), say("one"), say("two")].concat();
    let heard = |message| encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message });
    (said, [vec![0x10, 0], heard("one"), heard("two")].concat())
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn records_cut_at_every_byte_and_packets_cut_at_every_record_say_the_same() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    let (said, heard) = session();
    for record_bytes in [1, 3, 7, said.len()] {
        let mut cut = 1;
        loop {
            let (end, mut records) = server.shake_hands(&config);
            let bytes: Vec<u8> = said.chunks(record_bytes).flat_map(|piece| records.seal(DATA, piece)).collect();
            let mut came = server.exchange(&end, &bytes[..cut]);
            came.extend(server.exchange(&end, &bytes[cut..]));
            assert_eq!(records.open_data(&came), (heard.clone(), false), "records of {record_bytes}, cut at {cut}");
            let goodbye = records.seal(21, &CLOSE_NOTIFY);
            assert_eq!(records.open_data(&server.exchange(&end, &goodbye)), (Vec::new(), true));
            assert!(!server.is_there(&end));
            cut += 1;
            if cut == bytes.len() {
                break;
            }
        }
    }
}

/// The first message of a client, in records of at most so many bytes.
fn hello_in_records(hello: &[u8], record_bytes: usize) -> Vec<u8> {
    let record = |piece: &[u8]| [&[HANDSHAKE, 3, 1], &(piece.len() as u16).to_be_bytes()[..], piece].concat();
    hello[5..].chunks(record_bytes).flat_map(record).collect()
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn the_first_message_may_come_in_any_number_of_records_and_reads() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    for record_bytes in [1, 2, 3, 4, 5, 50, 100, 200] {
        for read_bytes in [1, 7, 60, usize::MAX] {
            let (mut hello, end) = (Hello::new(&config), server.connect());
            let (first, _) = hello.advance(&[]).unwrap();
            let mut answer = Vec::new();
            for read in hello_in_records(&first, record_bytes).chunks(read_bytes) {
                answer.extend(server.exchange(&end, read));
            }
            let (last, is_over) = hello.advance(&answer).unwrap();
            assert!(is_over, "records of {record_bytes} in reads of {read_bytes}");
            let mut records = hello.finish();
            let login = [last, records.seal(DATA, &encoded(&Packet::AuthGst { nickname: "ana" }))].concat();
            assert_eq!(records.open_data(&server.exchange(&end, &login)).0, [0x10, 0]);
            server.exchange(&end, &records.seal(21, &CLOSE_NOTIFY));
        }
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_message_for_the_cipher_may_come_in_two_records_and_the_chat_goes_on() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    for (cut, is_together) in (1..KEY_UPDATE.len()).flat_map(|cut| [(cut, true), (cut, false)]) {
        let (end, mut records) = server.shake_hands(&config);
        let (said, heard) = session();
        let (first, second) = KEY_UPDATE_REQUEST.split_at(cut);
        let halves = [records.seal(HANDSHAKE, first), records.seal(HANDSHAKE, second)];
        records.keys_are_new();
        let mut came = Vec::new();
        if is_together {
            let all = [&halves.concat(), &records.seal(DATA, &said)[..]].concat();
            came.extend(server.exchange(&end, &all));
        } else {
            for half in halves {
                came.extend(server.exchange(&end, &half));
                // What is written meanwhile does not disturb the message that waits for its end.
                server.now = Millis(server.now.0 + 1);
            }
            came.extend(server.exchange(&end, &records.seal(DATA, &said)));
        }
        assert_eq!(records.open_data(&came).0, heard, "cut at {cut}");
        // And once more, with the new keys.
        let again = [records.update_keys(&KEY_UPDATE), records.seal(DATA, &encoded(&Packet::MsgPbl { message: "x" }))];
        let heard = encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: "x" });
        assert_eq!(records.open_data(&server.exchange(&end, &again.concat())).0, heard);
        server.exchange(&end, &records.seal(21, &CLOSE_NOTIFY));
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn half_a_message_for_the_cipher_survives_what_we_write_meanwhile_and_data_may_not_come_within_it() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    let (end, mut records) = server.shake_hands(&config);
    let (other, mut others) = server.shake_hands(&config);
    for (end, records, nickname) in [(&end, &mut records, "ana"), (&other, &mut others, "bob")] {
        let login = records.seal(DATA, &encoded(&Packet::AuthGst { nickname }));
        assert_eq!(records.open_data(&server.exchange(end, &login)).0, [0x10, 0]);
    }
    server.exchange(&end, &records.seal(HANDSHAKE, &KEY_UPDATE[..3]));
    for round in 0..3 {
        let text = format!("meanwhile {round}");
        server.exchange(&other, &others.seal(DATA, &encoded(&Packet::MsgPbl { message: &text })));
        let came = std::mem::take(&mut end.pipe.0.borrow_mut().output);
        let heard = encoded(&Packet::MsgPblInc { origin: ServerId(7), sender: "bob", message: &text });
        assert_eq!(records.open_data(&came).0, heard);
    }
    server.exchange(&end, &records.seal(HANDSHAKE, &KEY_UPDATE[3..]));
    records.keys_are_new();
    let came = server.exchange(&end, &records.seal(DATA, &encoded(&Packet::MsgPbl { message: "still here" })));
    assert!(records.open_data(&came).0.ends_with(b"still here"));
    // Data between the two halves is an offence.
    let halves = [records.seal(HANDSHAKE, &KEY_UPDATE[..2]), records.seal(DATA, b"x")].concat();
    assert_eq!(server.offences(), 0);
    server.exchange(&end, &halves);
    assert_eq!(server.offences(), 1);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_message_that_never_ends_is_not_kept() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    let (end, mut records) = server.shake_hands(&config);
    // It says that it has 16 MiB, and comes in ever more records.
    let mut piece = vec![24, 0xFF, 0xFF, 0xFF];
    for _ in 0..8 {
        piece.resize(RECORD_BYTES, 0);
        server.exchange(&end, &records.seal(HANDSHAKE, &piece));
        piece.clear();
    }
    assert_eq!(server.offences(), 1);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn what_comes_behind_our_own_end_is_thrown_away_unopened() {
    let (mut server, config) = (Pipes::new(&Folder::new()), config());
    let (end, mut records) = server.shake_hands(&config);
    let login = records.seal(DATA, &encoded(&Packet::AuthGst { nickname: "ana" }));
    let mut came = server.exchange(&end, &login);
    server.engine.begin_shutdown(server.now);
    came.extend(server.exchange(&end, &[]));
    assert_eq!(records.open_data(&came), (vec![0x10, 0], true));
    for garbage in [records.seal(DATA, b"late"), vec![0x17; 40], records.seal(HANDSHAKE, &KEY_UPDATE)] {
        assert_eq!(server.exchange(&end, &garbage), b"");
    }
    assert_eq!(server.offences(), 0);
}

/// A TLS client of the real server.
struct Raw {
    tcp: TcpStream,
    records: Records,
}

impl Raw {
    fn over(mut tcp: TcpStream) -> Raw {
        let mut hello = Hello::new(&config());
        let mut came = Vec::new();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let (out, is_over) = hello.advance(&came).unwrap();
            tcp.write_all(&out).unwrap();
            if is_over {
                return Raw { tcp, records: hello.finish() };
            }
            let mut buffer = vec![0; 16 * 1024];
            let count = tcp.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed");
            came = buffer[..count].to_vec();
        }
    }

    fn connect(node: &Node) -> Raw {
        Raw::over(Client::connect(node.address).into_stream())
    }

    fn guest(node: &Node, nickname: &str) -> Raw {
        let mut raw = Raw::connect(node);
        raw.send(&encoded(&Packet::AuthGst { nickname }));
        assert_eq!(raw.receive(2), [0x10, 0]);
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        let record = self.records.seal(DATA, bytes);
        self.tcp.write_all(&record).unwrap();
    }

    /// So many bytes of data, or more.
    fn receive(&mut self, count: usize) -> Vec<u8> {
        let (mut data, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while data.len() < count {
            let read = self.tcp.read(&mut buffer).unwrap();
            assert!(read > 0, "the server closed");
            data.extend(self.records.open_data(&buffer[..read]).0);
        }
        data
    }

    /// All data up to the end, and whether the server said that this is the end.
    fn receive_to_end(&mut self) -> (Vec<u8>, bool) {
        let mut came = Vec::new();
        self.tcp.read_to_end(&mut came).unwrap();
        self.records.open_data(&came)
    }

    fn into_stream(self) -> TcpStream {
        self.tcp
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn whoever_stalls_in_a_record_is_closed_in_time_and_others_chat_on() {
    let folder = Folder::new();
    let node = node(&folder, &["--handshake-timeout", "1"]);
    let (mut ana, mut bob) = (Raw::guest(&node, "ana"), Raw::guest(&node, "bob"));
    // The longest record there is, before and after the handshake, with nothing behind its header.
    let mut header = Client::connect(node.address);
    header.send_bytes(b"\x16\x03\x01\x41\x00");
    let mut late = Raw::connect(&node);
    late.tcp.write_all(b"\x17\x03\x03\x41\x00").unwrap();
    // Nothing but records without content. They need not wait for the time to be up.
    let mut empty = Raw::connect(&node);
    for _ in 0..65 {
        let record = empty.records.seal(DATA, b"");
        let _ = empty.tcp.write_all(&record);
    }
    for round in 0..20 {
        let text = format!("round {round}");
        ana.send(&encoded(&Packet::MsgPrv { destination: ServerId(7), receiver: "bob", message: &text }));
        assert!(bob.receive(text.len()).ends_with(text.as_bytes()));
    }
    header.receive_to_end();
    late.receive_to_end();
    let mut came = Vec::new();
    let _ = empty.tcp.read_to_end(&mut came);
    let late = || node.metric("cfp_closed_connections_total{reason=\"handshake_timeout\"}");
    wait_until(|| late() == 2, || node.ask("metrics").join("\n"));
    assert_eq!(failures(&node, "protocol"), 1);
    // Only the first had not shaken hands.
    assert_eq!(failures(&node, "timeout"), 1);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn changes_of_keys_without_end_are_an_offence_and_with_a_message_now_and_then_they_are_not() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut ana = Raw::guest(&node, "ana");
    for round in 0..100 {
        let text = format!("round {round}");
        let change = ana.records.update_keys(if round % 2 == 0 { &KEY_UPDATE } else { &KEY_UPDATE_REQUEST });
        ana.tcp.write_all(&change).unwrap();
        ana.send(&encoded(&Packet::MsgPbl { message: &text }));
        assert!(ana.receive(text.len()).ends_with(text.as_bytes()), "{text}");
    }
    let mut flooder = Raw::guest(&node, "flooder");
    for _ in 0..1000 {
        let change = flooder.records.update_keys(&KEY_UPDATE);
        if flooder.tcp.write_all(&change).is_err() {
            break;
        }
    }
    wait_until(|| failures(&node, "protocol") == 1, || node.ask("metrics").join("\n"));
    ana.send(&encoded(&Packet::MsgPbl { message: "still here" }));
    assert!(ana.receive(10).ends_with(b"still here"));
}

/// What is said before the end, and what may not be: half a packet, or half a record.
#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn an_end_in_the_middle_of_a_packet_or_record_loses_that_and_nothing_before_it() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut bob = Client::connect(node.address);
    bob.log_in_as_guest("bob");
    let whole = encoded(&Packet::MsgPbl { message: "whole" });
    let half = &encoded(&Packet::MsgPbl { message: "never heard" })[..9];
    let mut ends = 0;
    for cuts_record in [false, true] {
        for is_said in [false, true] {
            let mut ana = Raw::guest(&node, "ana");
            let last = ana.records.seal(DATA, &[&whole, half].concat());
            ana.tcp.write_all(&last).unwrap();
            if cuts_record {
                let record = ana.records.seal(DATA, b"never heard");
                ana.tcp.write_all(&record[..record.len() - 1]).unwrap();
            } else if is_said {
                let goodbye = ana.records.seal(21, &CLOSE_NOTIFY);
                ana.tcp.write_all(&goodbye).unwrap();
            }
            ana.tcp.shutdown(Shutdown::Write).unwrap();
            let (data, has_end) = ana.receive_to_end();
            assert!(data.ends_with(b"whole") && has_end, "{data:?}");
            bob.expect_public("ana", "whole");
            ends += 1;
            wait_until(|| node.server.count_in_log("ended: left") == ends, || "it ended as always".to_owned());
        }
    }
    bob.expect_nothing_but_itself("bob");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"tls_failed\"}"), 0);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_megabyte_that_waits_is_written_before_the_end_and_forgotten_after_a_reset() {
    let folder = Folder::new();
    let node = node(&folder, &["--max-queue", "8388608"]);
    let mut bob = Client::connect(node.address);
    bob.log_in_as_guest("bob");
    let text = "w".repeat(60_000);
    for end in ["said", "unsaid", "reset"] {
        let mut ana = Raw::over(Client::connect_with_receive_buffer(node.address, 4096).into_stream());
        ana.send(&encoded(&Packet::AuthGst { nickname: "ana" }));
        assert_eq!(ana.receive(2), [0x10, 0]);
        for _ in 0..25 {
            bob.tell("ana", &text);
        }
        bob.expect_nothing_but_itself("bob");
        assert!(node.metric("cfp_queued_bytes") > 1024 * 1024, "{}", node.metric("cfp_queued_bytes"));
        if end == "reset" {
            Client::new(ana.into_stream()).reset();
        } else {
            if end == "said" {
                let goodbye = ana.records.seal(21, &CLOSE_NOTIFY);
                ana.tcp.write_all(&goodbye).unwrap();
            }
            ana.tcp.shutdown(Shutdown::Write).unwrap();
            let expected =
                encoded(&Packet::MsgPrvInc { origin: ServerId(7), sender: "bob", receiver: "ana", message: &text });
            let (data, has_end) = ana.receive_to_end();
            assert!(data == expected.repeat(25) && has_end, "{end}: {} bytes", data.len());
        }
        wait_until(|| node.status("clients") == "1" && node.metric("cfp_queued_bytes") == 0, || end.to_owned());
        // Neither of them is told that anything was lost, and the name is free.
        bob.expect_nothing_but_itself("bob");
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn what_was_received_before_a_reset_is_handled_to_the_end() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut bob = Client::connect(node.address);
    bob.log_in_as_guest("bob");
    let mut ana = Raw::connect(&node);
    ana.send(&encoded(&Packet::AuthGst { nickname: "ana" }));
    // The answer is there, and is not read, so the kernel resets the connection.
    ana.tcp.peek(&mut [0; 1]).unwrap();
    let all: Vec<u8> = (0..2500)
        .flat_map(|number| ana.records.seal(DATA, &encoded(&Packet::MsgPbl { message: &format!("{number:060}") })))
        .collect();
    node.server.signal(Signal::STOP);
    ana.tcp.write_all(&all).unwrap();
    wait_until_received(ana.tcp.local_addr().unwrap());
    drop(ana);
    node.server.signal(Signal::CONT);
    for number in 0..2500 {
        bob.expect_public("ana", &format!("{number:060}"));
    }
    bob.expect_nothing_but_itself("bob");
}

/// Waits until the other side's kernel has acknowledged all that was sent from this address (proc(5)).
fn wait_until_received(from: SocketAddr) {
    let SocketAddr::V4(v4) = from else { panic!("{from} is no IPv4 address") };
    let local = format!("{:08X}:{:04X} ", u32::from_ne_bytes(v4.ip().octets()), v4.port());
    let is_sent = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.split_once(": ").is_some_and(|(_, rest)| rest.starts_with(&local)));
        line.is_some_and(|line| line.contains(" 00000000:"))
    };
    wait_until(is_sent, || "not everything is acknowledged".to_owned());
}
