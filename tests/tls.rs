//! TLS 1.3 on the same port (D40 to D43, D48), through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/certificates.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod certificates;
#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
#[path = "support/program.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod program;
#[path = "support/records.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod records;
mod support;

#[path = "tls/client.rs"]
mod client;
#[path = "tls/conform.rs"]
mod conform;
#[path = "tls/files.rs"]
mod files;
#[path = "tls/library.rs"]
mod library;
#[path = "tls/links.rs"]
mod links;
#[path = "tls/others.rs"]
mod others;
#[path = "tls/records.rs"]
mod raw;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use certificates::{Folder, connect, shake_hands, slices};
use cfp::tls::Trust;
use cfp::wire::{Code, Packet};
use node::{Node, wait_until};
use support::Client;
use support::client::encoded;

fn node(folder: &Folder, more: &[&str]) -> Node {
    Node::start(7, &[slices(&folder.options("cert")), more.to_vec()].concat())
}

fn failures(node: &Node, reason: &str) -> u64 {
    node.metric(&format!("cfp_tls_handshake_failures_total{{reason=\"{reason}\"}}"))
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn clients_with_and_without_tls_talk_on_one_port() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let (mut secret, mut open) = (connect(node.address, &folder.path("cert.pem")), Client::connect(node.address));
    secret.log_in_as_guest("ana");
    open.log_in_as_guest("bob");
    secret.say("hi");
    secret.expect_public("ana", "hi");
    open.expect_public("ana", "hi");
    open.tell("ana", &"x".repeat(60_000));
    secret.expect_private("bob", "ana", &"x".repeat(60_000));
    assert_eq!((node.metric("cfp_tls_connections"), node.metric("cfp_tls_handshakes_total")), (1, 1));
    node.server.wait_for_log("TLS: certificate for localhost, until 2");
    node.server.wait_for_log("--require-tls ends that");
    let left = node.metric("cfp_tls_certificate_seconds_left");
    assert!((89 * 86_400..=90 * 86_400).contains(&left), "{left}");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn megabytes_pass_from_one_to_the_other() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut ana = connect(node.address, &folder.path("cert.pem"));
    let mut bob = connect(node.address, &folder.path("cert.pem"));
    ana.log_in_as_guest("ana");
    bob.log_in_as_guest("bob");
    let text = "y".repeat(65_000);
    for _ in 0..64 {
        ana.tell("bob", &text);
        bob.expect_private("ana", "bob", &text);
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn whoever_must_use_tls_and_does_not_is_closed_without_a_word() {
    let folder = Folder::new();
    let node = node(&folder, &["--require-tls"]);
    node.server.wait_for_log("TLS is required");
    for code in Code::ALL.map(Code::byte).into_iter().chain([0xFF, 0x15, 0x17]) {
        let mut client = Client::connect(node.address);
        client.send_bytes(&[code]);
        assert!(client.receive_to_end().is_empty(), "{code:#x}");
    }
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"plaintext\"}"), Code::ALL.len() as u64 + 3);
    connect(node.address, &folder.path("cert.pem")).log_in_as_guest("ana");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn what_is_no_tls_or_stops_halfway_is_closed_in_time() {
    let folder = Folder::new();
    let node = node(&folder, &["--handshake-timeout", "1"]);
    let (no_tls, too_long, silent, empty) = (
        [0x16; 64].to_vec(),
        b"\x16\x03\x01\x41\x01".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\x16\x03\x03\x00\x00".repeat(65),
    );
    let mut clients: Vec<Client> = [&no_tls, &too_long, &silent, &empty]
        .map(|bytes| {
            let mut client = Client::connect(node.address);
            client.send_bytes_if_open(bytes);
            client
        })
        .into();
    for client in &mut clients {
        client.receive_to_end();
    }
    assert_eq!((failures(&node, "timeout"), failures(&node, "not_tls")), (2, 2));
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"tls_failed\"}"), 2);
    // A byte a time is as slow as saying nothing.
    let mut slow = Client::connect(node.address);
    let bytes = [&silent[..], &[0; 500]].concat();
    for byte in bytes {
        slow.send_bytes_if_open(&[byte]);
        if slow.is_silent_for(Duration::from_millis(20)) {
            continue;
        }
        break;
    }
    slow.receive_to_end();
    assert_eq!(failures(&node, "timeout"), 3);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn the_end_of_input_is_the_end_whether_it_is_said_or_not() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut bob = Client::connect(node.address);
    bob.log_in_as_guest("bob");
    for is_said in [true, false] {
        let tcp = TcpStream::connect(node.address).unwrap();
        let stream = shake_hands(tcp, &Trust::File(folder.path("cert.pem").into())).unwrap();
        let login = encoded(&Packet::AuthGst { nickname: "ana" });
        (&stream).write_all(&[login, encoded(&Packet::MsgPbl { message: "the last" })].concat()).unwrap();
        if is_said {
            stream.shutdown_write().unwrap();
        } else {
            stream.tcp().shutdown(Shutdown::Write).unwrap();
        }
        bob.expect_public("ana", "the last");
        // What waits is written, then the other side's own end.
        let mut rest = Vec::new();
        stream.tcp().set_read_timeout(Some(support::PATIENCE)).unwrap();
        (&stream).read_to_end(&mut rest).unwrap();
        assert_eq!(rest[..2], [0x10, 0]);
        assert!(rest.ends_with(b"the last"));
    }
    wait_until(|| node.metric("cfp_tls_connections") == 0, || "they are gone".to_owned());
    node.server.expect_in_log("\"ana\" from 127.0.0.1:", 2);
    node.server.expect_in_log("ended: left", 2);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_reader_that_is_slow_costs_one_record_and_gets_everything() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let mut slow: Vec<_> = (0..8)
        .map(|index| {
            let tcp = Client::connect_with_receive_buffer(node.address, 4096).into_stream();
            let stream = shake_hands(tcp, &Trust::File(folder.path("cert.pem").into())).unwrap();
            (&stream).write_all(&encoded(&Packet::AuthGst { nickname: &format!("slow{index}") })).unwrap();
            stream
        })
        .collect();
    let mut bob = Client::connect(node.address);
    bob.log_in_as_guest("bob");
    wait_until(|| node.status("clients") == "9", || "all are in".to_owned());
    let text = "z".repeat(50_000);
    for _ in 0..14 {
        bob.say(&text);
        bob.expect_public("bob", &text);
    }
    // The log keeps what they have in common; besides it, each has at most one record.
    let queued = node.metric("cfp_queued_bytes");
    let (log, each) = (14 * 50_100 + 2 * 64 * 1024, 17 * 1024);
    assert!(queued <= log + 8 * each, "{queued}");
    for stream in &mut slow {
        let mut got = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while got.len() < 2 + 14 * (1 + 4 + 4 + 3 + 4 + 50_000) {
            let count = (&*stream).read(&mut buffer).unwrap();
            assert!(count > 0);
            got.extend_from_slice(&buffer[..count]);
        }
        assert!(got[2..].chunks(50_016).all(|packet| packet[16..].iter().all(|&byte| byte == b'z')));
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn handshakes_take_turns_and_a_flood_from_one_address_is_turned_away() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    // A ClientHello as openssl sends it, over and over, and no more.
    let hello = client_hello();
    let mut flood: Vec<Client> = (0..400).map(|_| Client::connect(node.address)).collect();
    for client in &mut flood {
        client.send_bytes_if_open(&hello);
    }
    let mut good = certificates::connect_from([127, 0, 0, 2].into(), node.address, &folder.path("cert.pem"));
    good.log_in_as_guest("ana");
    let mut plain = Client::connect(node.address);
    plain.log_in_as_guest("bob");
    assert_eq!(node.metric("cfp_tls_handshakes_total"), 1);
    for client in &mut flood {
        client.shut_sending_side();
    }
}

/// The first record of a client.
fn client_hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let tcp = TcpStream::connect(address).unwrap();
        let _ = shake_hands(tcp, &Trust::Fingerprint([0; 32]));
    });
    let (mut peer, _) = listener.accept().unwrap();
    let mut hello = vec![0; 4096];
    let count = peer.read(&mut hello).unwrap();
    drop(peer);
    thread.join().unwrap();
    hello[..count].to_vec()
}
