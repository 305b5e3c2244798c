//! Bad input: it is skipped exactly, it is counted, and it does not affect other connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::random::Random;
use cfp::wire::{Code, Packet};
use support::client::encoded;
use support::{ID, Server};

/// The 65th ignored packet ends a connection.
const IGNORED_MAX: usize = 64;

#[test]
fn a_packet_that_announces_4_gib_costs_no_memory_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let (mut ana, mut bob, mut mallory) = (server.guest("ana"), server.guest("bob"), server.guest("mallory"));
    let before = server.resident_bytes();
    mallory.send_bytes(b"\x20\xff\xff\xff\xff");
    let megabyte = vec![b'x'; 1024 * 1024];
    for i in 0..32 {
        mallory.send_bytes(&megabyte);
        ana.tell("bob", &format!("{i}"));
        bob.expect_private("ana", "bob", &format!("{i}"));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 1024 * 1024, "grown by {grown} bytes");
    // Still connected, and still in the middle of that packet.
    bob.tell("mallory", "are you there?");
    mallory.expect_private("bob", "mallory", "are you there?");
}

#[test]
fn what_announces_4_gib_costs_nothing_in_any_packet_and_field() {
    let server = Server::start(&[]);
    let before = server.resident_bytes();
    let heads: &[&[u8]] = &[
        b"\x00",
        b"\x01",
        b"\x01\0\0\0\x03ana",
        b"\x20",
        b"\x21\0\0\0\x07",
        b"\x21\0\0\0\x07\0\0\0\x03bob",
        b"\x30\0\0\0\x07",
        b"\x31\0\0\0\x07\0\0\0\x03ana\0\0\0\x03bob",
        b"\x40\0\0\0\x07",
        b"\x40\0\0\0\x07\0\0\0\x03bob\0\0\0\x01",
        b"\x50\0\0\0\x07\x30\0\0\0\x08",
        b"\xa0\0\0\0\x08",
        b"\xa1\0\0\0\x08",
        b"\xf0",
    ];
    let mut connections = Vec::new();
    for head in heads {
        let mut connection = server.connect();
        connection.send_bytes_if_open(&[head, &b"\xff\xff\xff\xff"[..], &vec![0; 1024 * 1024]].concat());
        connections.push(connection);
    }
    server.guest("ana").expect_nothing_but_itself("ana");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 1024 * 1024, "grown by {grown} bytes");
}

#[test]
fn an_over_long_field_is_skipped_to_its_very_end() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    // The skipped bytes look like packets.
    let inner = encoded(&Packet::MsgPbl { message: "from inside" });
    let long: String = String::from_utf8(inner.repeat(64 * 1024 / inner.len() + 1)).unwrap();
    let mut bytes = Vec::new();
    Packet::MsgPbl { message: &long }.encode(&mut bytes);
    Packet::MsgPrv { destination: ID, receiver: &"x".repeat(65), message: &long }.encode(&mut bytes);
    Packet::MsgPrv { destination: ID, receiver: "bob", message: &long }.encode(&mut bytes);
    Packet::MsgPrv { destination: ID, receiver: "bob", message: "next" }.encode(&mut bytes);
    for piece in bytes.chunks(997) {
        ana.send_bytes(piece);
    }
    bob.expect_private("ana", "bob", "next");
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn texts_that_are_not_utf_8_are_passed_over() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    ana.send_bytes(b"\x20\0\0\0\x02\xc3\x28");
    ana.send_bytes(b"\x20\0\0\0\x03\xed\xa0\x80");
    ana.send_bytes(b"\x21\0\0\0\x07\0\0\0\x01\xff\0\0\0\x02hi");
    ana.send_bytes(b"\x21\0\0\0\x07\0\0\0\x03bob\0\0\0\x01\xff");
    ana.expect_nothing_but_itself("ana");
    bob.expect_nothing_but_itself("bob");
}

#[test]
fn an_unknown_code_is_one_byte() {
    let server = Server::start(&[]);
    let mut ana = server.guest("ana");
    let unknown: Vec<u8> = (0..=255).filter(|&byte| Code::from_byte(byte).is_none()).take(IGNORED_MAX).collect();
    ana.send_bytes(&unknown);
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn the_65th_ignored_packet_ends_a_client_after_everything_it_is_owed() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    let bad = b"\x20\0\0\0\x01\xff";
    ana.send_bytes(&bad.repeat(IGNORED_MAX));
    ana.say("the last word");
    ana.send_bytes(bad);
    ana.say("nobody hears this");
    ana.expect_public("ana", "the last word");
    ana.expect_end();
    server.wait_for_log("too many ignored packets");
    bob.expect_public("ana", "the last word");
    bob.expect_nothing_but_itself("bob");
    server.guest("ana");
}

#[test]
fn ignored_packets_before_the_login_are_counted_too() {
    let server = Server::start(&[]);
    let mut ana = server.connect();
    ana.send_bytes(&[0xee; IGNORED_MAX]);
    ana.log_in_as_guest("ana");
    ana.expect_nothing_but_itself("ana");
    ana.send_bytes(&[0xee]);
    ana.expect_end();
    let mut nobody = server.connect();
    nobody.send_bytes(&[0xee; IGNORED_MAX + 1]);
    nobody.expect_end();
}

#[test]
fn a_client_cannot_speak_as_a_server() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    let from_bob = encoded(&Packet::MsgPrvInc { origin: ID, sender: "bob", receiver: "bob", message: "forged" });
    ana.send(&Packet::MsgPblInc { origin: ID, sender: "bob", message: "forged" });
    ana.send_bytes(&from_bob);
    ana.send(&Packet::PckFwd { destination: ID, content: &from_bob });
    ana.send_bytes(&[&b"\x32\0\0\0\x07"[..], &from_bob].concat());
    ana.expect_nothing_but_itself("ana");
    bob.expect_nothing_but_itself("bob");
}

#[test]
fn noise_from_many_connections_disturbs_nobody() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    // A fixed seed: a failure can be repeated.
    let mut numbers = Random::new(1);
    let mut random = || numbers.below(u64::MAX);
    for i in 0..300 {
        let mut mallory = server.connect();
        let logs_in = i % 2 == 0;
        if logs_in {
            mallory.send_bytes_if_open(&encoded(&Packet::AuthGst { nickname: &format!("mallory {i}") }));
        }
        let noise: Vec<u8> = (0..random() % 3000)
            .map(|_| {
                let byte = random() as u8;
                // Half of it looks like codes and counts.
                if byte < 128 { [0x00, 0x01, 0x20, 0x21, 0x40, 0, 1, 7][usize::from(byte % 8)] } else { byte }
            })
            .collect();
        mallory.send_bytes_if_open(&noise);
        match random() % 3 {
            0 => mallory.reset(),
            1 => drop(mallory),
            _ => mallory.shut_sending_side(),
        }
        bob.tell("ana", &format!("{i}"));
    }
    let mut next = 0;
    while next < 300 {
        let bytes = ana.receive();
        match Packet::decode(&bytes).unwrap() {
            Packet::MsgPrvInc { sender: "bob", message, .. } => {
                assert_eq!(message, format!("{next}"));
                next += 1;
            }
            // Noise can be a message.
            Packet::MsgPblInc { sender, .. } | Packet::MsgPrvInc { sender, .. } => {
                assert!(sender.starts_with("mallory"), "{sender}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn connections_that_end_anywhere_leave_nothing_behind() {
    let server = Server::start(&["--max-clients", "8"]);
    let session = [
        encoded(&Packet::AuthGst { nickname: "ana" }),
        encoded(&Packet::MsgPbl { message: "hi" }),
        encoded(&Packet::MsgPrv { destination: ID, receiver: "ana", message: "hi" }),
    ]
    .concat();
    for cut in 0..session.len() {
        let mut ana = server.connect();
        ana.send_bytes_if_open(&session[..cut]);
        // Its end says that the server has noticed.
        ana.shut_sending_side();
        ana.receive_to_end();
    }
    for cut in 0..session.len() {
        let mut ana = server.connect();
        ana.send_bytes_if_open(&session[..cut]);
        ana.reset();
        let mut bob = server.connect();
        bob.shut_sending_side();
        bob.receive_to_end();
    }
    // All eight places are free.
    let mut clients: Vec<_> = (0..8).map(|i| server.guest(&format!("guest {i}"))).collect();
    clients[7].expect_nothing_but_itself("guest 7");
}
