//! Signals: stopping with everything written, stopping at once, reading the users file again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::TcpStream;

use cfp::wire::{AuthResponse, Packet};
use rustix::process::Signal;
use support::client::{encoded, split};
use support::users::UsersFile;
use support::{Client, ID, Server};

/// A server that lets queues grow far beyond what the kernel buffers, so that a stop finds output queued.
fn server_with_long_queues() -> Server {
    Server::start(&["--max-queue", "67108864", "--max-memory", "268435456"])
}

/// A client whose kernel takes little of what it does not read.
fn slow_reader(server: &Server, nickname: &str) -> Client {
    let mut client = Client::connect_with_receive_buffer(server.address(), 4096);
    client.log_in_as_guest(nickname);
    client
}

/// `ana` says so many messages of 64 KiB, and has seen that all are taken.
fn flood(ana: &mut Client, count: usize) -> Vec<String> {
    let messages: Vec<String> = (0..count).map(|i| format!("{i:064}").repeat(1024)).collect();
    for message in &messages {
        ana.say(message);
        ana.expect_public("ana", message);
    }
    messages
}

fn expect_flood(received: &[u8], messages: &[String]) {
    let packets = split(received);
    assert_eq!(packets.len(), messages.len());
    for (packet, message) in packets.into_iter().zip(messages) {
        assert!(packet == encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message }));
    }
}

#[test]
fn sigterm_and_sigint_stop_an_idle_server_with_exit_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&[]);
        let (mut ana, mut nobody, address) = (server.guest("ana"), server.connect(), server.address());
        server.signal(signal);
        ana.expect_end();
        nobody.expect_end();
        drop((ana, nobody));
        assert_eq!(server.wait_for_exit().code(), Some(0));
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn everything_queued_arrives_before_a_stop() {
    let server = server_with_long_queues();
    let (mut ana, mut bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    let messages = flood(&mut ana, 200);
    server.signal(Signal::TERM);
    server.wait_for_log("stopping");
    expect_flood(&bob.receive_to_end(), &messages);
    ana.expect_end();
    drop((ana, bob));
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn everything_queued_arrives_before_a_stop_also_at_who_has_sent_much_and_still_sends() {
    let server = server_with_long_queues();
    let (mut ana, mut bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    // A message far over the limit, which is skipped.
    let size: u32 = 20 * 1024 * 1024;
    bob.send_bytes(&[&[0x20], &size.to_be_bytes()[..], &vec![b'x'; size as usize]].concat());
    bob.expect_nothing_but_itself("bob");
    let messages = flood(&mut ana, 160);
    server.signal(Signal::TERM);
    server.wait_for_log("stopping");
    bob.send_until_blocked(&vec![0xff; 512 * 1024], std::time::Duration::from_millis(200));
    expect_flood(&bob.receive_to_end(), &messages);
    drop((ana, bob));
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn who_does_not_read_does_not_keep_the_server_from_stopping() {
    let server = server_with_long_queues();
    let (mut ana, bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    flood(&mut ana, 200);
    server.signal(Signal::TERM);
    drop(ana);
    assert_eq!(server.wait_for_exit().code(), Some(0));
    drop(bob);
}

#[test]
fn a_second_sigterm_ends_the_server_at_once_with_exit_status_1() {
    let server = server_with_long_queues();
    let (mut ana, bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    flood(&mut ana, 200);
    server.signal(Signal::TERM);
    server.wait_for_log("stopping");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit().code(), Some(1));
    drop(bob);
}

#[test]
fn sighup_reads_the_users_again_and_closes_whose_login_no_longer_stands() {
    let users = UsersFile::new(&[("maria", "open sesame"), ("pia", "one"), ("rosa", "same")]);
    let server = Server::start(&["--users", users.path()]);
    let log_in = |nickname: &str, password: &str| {
        let mut client = server.connect();
        client.send(&Packet::AuthUsr { nickname, password });
        client.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
        client
    };
    let (mut maria, mut rosa) = (log_in("maria", "open sesame"), log_in("rosa", "same"));
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    users.write(&[("pia", "two"), ("rosa", "same"), ("bob", "mine now"), ("carl", "new")]);
    server.signal(Signal::HUP);
    let line = server.wait_for_log("users file read again");
    assert!(line.ends_with("2 added, 1 removed, 1 changed"), "{line}");
    // A removed user, and a guest whose nickname is now registered.
    maria.expect_end();
    bob.expect_end();
    ana.expect_nothing_but_itself("ana");
    rosa.expect_nothing_but_itself("rosa");
    log_in("bob", "mine now");
    log_in("pia", "two");
    server.guest("maria");
}

#[test]
fn a_bad_users_file_changes_nothing_on_sighup() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut ana = server.guest("ana");
    users.write_text(&format!("{}no colon\n", support::users::line("ana", "mine now")));
    server.signal(Signal::HUP);
    let line = server.wait_for_log("ERROR");
    assert!(line.contains(users.path()) && line.contains("line 2"), "{line}");
    ana.expect_nothing_but_itself("ana");
    let mut maria = server.connect();
    maria.send(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    maria.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    std::fs::remove_file(users.path()).unwrap();
    server.signal(Signal::HUP);
    maria.expect_nothing_but_itself("maria");
}

#[test]
fn sighup_without_a_users_file_is_nothing() {
    let server = Server::start(&[]);
    let mut ana = server.guest("ana");
    server.signal(Signal::HUP);
    ana.expect_nothing_but_itself("ana");
    server.signal(Signal::TERM);
    ana.expect_end();
    drop(ana);
    assert_eq!(server.wait_for_exit().code(), Some(0));
}
