//! How connections end: what the kernel has received is handled to its end, and the log has the figures of the real end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
#[path = "support/peer.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod peer;
mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use cfp::core::state::users::Users;
use cfp::limits::QUEUE_MAX_BYTES;
use cfp::wire::{Descriptions, Packet, ServerId};
use node::{Node, expect_public, wait_until};
use peer::Home;
use rustix::process::Signal;
use support::client::{encoded, split};
use support::pipe::Rig;
use support::{Client, ID, Server};

/// More than two reads of the server's take.
const MESSAGES: usize = 2_500;

fn message(number: usize) -> String {
    format!("{number:060}")
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

/// Sends these bytes while the server stands still, and closes with answers unread: the kernel resets the connection.
fn send_and_close_at_once(server: &Server, mut stream: TcpStream, bytes: &[u8]) {
    // The answer to the login is there, and is not read.
    stream.peek(&mut [0; 1]).unwrap();
    server.signal(Signal::STOP);
    stream.write_all(bytes).unwrap();
    wait_until_received(stream.local_addr().unwrap());
    drop(stream);
    server.signal(Signal::CONT);
}

#[test]
fn what_was_received_of_a_client_that_closed_with_answers_unread_is_handled_to_the_end() {
    let server = Server::start(&[]);
    let mut bob = server.guest("bob");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&encoded(&Packet::AuthGst { nickname: "ana" })).unwrap();
    let mut bytes = Vec::new();
    for number in 0..MESSAGES {
        // Packets to another client, to an unknown one, and to all: some are answered, some are not.
        Packet::MsgPbl { message: &message(number) }.encode(&mut bytes);
        Packet::MsgPrv { destination: ID, receiver: "nobody", message: "" }.encode(&mut bytes);
    }
    send_and_close_at_once(&server, stream, &bytes);
    for number in 0..MESSAGES {
        bob.expect_public("ana", &message(number));
    }
    // Her nickname is free, and the log says why she is gone.
    server.wait_for_log("\"ana\"");
    server.guest("ana");
}

#[test]
fn what_was_received_of_a_server_that_closed_with_packets_unread_is_handled_to_the_end() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut ana = node.guest("ana");
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.write_all(&peer::hex(&format!("A0 00000009 00000001 {}", home.described(9)))).unwrap();
    let mut bytes = Vec::new();
    for number in 0..MESSAGES {
        let content = encoded(&Packet::MsgPblInc { origin: ServerId(9), sender: "bob", message: &message(number) });
        Packet::PckFwd { destination: ID, content: &content }.encode(&mut bytes);
        let lost = Packet::MsgPrvInc { origin: ServerId(9), sender: "bob", receiver: "nobody", message: "" };
        Packet::PckFwd { destination: ID, content: &encoded(&lost) }.encode(&mut bytes);
    }
    send_and_close_at_once(&node.server, stream, &bytes);
    for number in 0..MESSAGES {
        expect_public(&mut ana, 9, "bob", &message(number));
    }
    node.wait_until_lost(9);
}

#[test]
fn an_operator_who_hangs_up_at_once_has_given_its_commands() {
    let node = Node::start(7, &[]);
    let mut bob = node.guest("bob");
    let mut operator = UnixStream::connect(node.control()).unwrap();
    operator.write_all(format!("{}kick bob\n", "help\n".repeat(2_000)).as_bytes()).unwrap();
    drop(operator);
    bob.expect_end();
}

#[test]
fn a_client_that_was_not_read_from_since_it_read_nothing_is_heard_to_the_end_when_it_is_gone() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    ana.stop_taking();
    let text = "x".repeat(1000);
    let said = encoded(&Packet::MsgPbl { message: &text });
    let count = 2 * QUEUE_MAX_BYTES / said.len();
    rig.send(&ana, &said.repeat(count));
    assert!(split(&bob.take_output()).len() < count, "her own echoes hold her back");
    rig.reset(&ana);
    assert!(ana.is_closed());
    // With the earlier ones, everything that she sent.
    assert_eq!(rig.engine.core().counters.packets_in.packets(cfp::wire::Code::MsgPbl), count as u64);
    assert_eq!(rig.engine.core().directory.len(), 1);
}

#[test]
fn a_nickname_is_free_at_once_when_its_holder_is_gone_although_what_it_said_still_waits() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.stop_taking();
    let text = "x".repeat(16 * 1024);
    let told = encoded(&Packet::MsgPrv { destination: ID, receiver: "bob", message: &text });
    for _ in 0..QUEUE_MAX_BYTES / told.len() {
        rig.send(&ana, &told);
    }
    rig.reset(&ana);
    let _again = rig.guest("ana");
    rig.take(&bob, usize::MAX);
    assert_eq!(split(&bob.take_output()).len(), QUEUE_MAX_BYTES / told.len());
    assert!(ana.is_closed());
}

#[test]
fn what_waits_for_a_link_that_broke_is_answered_although_more_comes_from_it() {
    let mut rig = Rig::new(Users::none());
    let (ana, link) = (rig.guest("ana"), rig.connect());
    rig.send(&link, &encoded(&Packet::MrgReq { server: ServerId(8), siblings: Descriptions::default() }));
    link.stop_taking();
    rig.send(&ana, &encoded(&Packet::MsgPrv { destination: ServerId(8), receiver: "eve", message: "hi" }));
    rig.send(&ana, &encoded(&Packet::MsgPrv { destination: ServerId(8), receiver: "eve", message: "hi" }));
    rig.reset(&link);
    assert!(link.is_closed());
    let error = encoded(&Packet::Error { sender: "ana", reason: cfp::wire::ErrorReason::UnknownServer });
    assert_eq!(ana.take_output(), error.repeat(2));
}

/// A reader that is far behind, and has shut its sending side.
fn behind(node: &Node) -> Client {
    let mut bob = Client::connect_with_receive_buffer(node.address, 4096);
    bob.log_in_as_guest("bob");
    let mut ana = node.guest("ana");
    let text = "x".repeat(64 * 1024);
    // More than the kernel takes, and less than makes the server stop reading from him.
    for _ in 0..5 {
        ana.say(&text);
        ana.expect_public("ana", &text);
    }
    bob.shut_sending_side();
    drop(ana);
    wait_until(|| node.status("clients") == "0", || "they have not left".to_owned());
    bob
}

#[test]
fn the_figures_in_the_log_are_those_of_the_real_end() {
    let node = Node::start(7, &[]);
    let mut bob = behind(&node);
    let got = bob.receive_to_end().len();
    assert!(got > 5 * 64 * 1024);
    let line = node.server.wait_for_log("\"bob\"");
    assert!(line.contains("ended: left (") && line.contains(" 0 queued"), "{line}");
    let out: usize = line.split(" out").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(out, got + 2, "with the answer to his login: {line}");
}

#[test]
fn what_is_given_up_of_a_queue_is_said_with_the_reason() {
    let node = Node::start(7, &[]);
    let bob = behind(&node);
    bob.reset();
    let line = node.server.wait_for_log("left; then: connection lost");
    assert!(line.contains("\"bob\"") && !line.contains(" 0 queued"), "{line}");
}
