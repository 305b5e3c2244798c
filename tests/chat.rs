//! People talk on one server: in public, in private, and with mistakes answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::wire::{ErrorReason, Packet, ServerId};
use support::client::encoded;
use support::{ID, Server};

#[test]
fn a_public_message_comes_to_everybody_and_back_to_its_sender() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    ana.say("hi");
    bob.say("hello");
    ana.expect_public("ana", "hi");
    let first = bob.receive();
    assert_eq!(first, b"\x30\0\0\0\x07\0\0\0\x03ana\0\0\0\x02hi");
    for client in [&mut ana, &mut bob] {
        client.expect_public("bob", "hello");
    }
}

#[test]
fn nobody_hears_what_was_said_before_the_login() {
    let server = Server::start(&[]);
    let mut ana = server.guest("ana");
    let mut bob = server.connect();
    ana.say("early");
    ana.expect_public("ana", "early");
    bob.log_in_as_guest("bob");
    bob.expect_nothing_but_itself("bob");
}

#[test]
fn ten_clients_see_all_messages_in_one_order() {
    let server = Server::start(&[]);
    let names: Vec<String> = (0..10).map(|i| format!("guest {i}")).collect();
    let mut clients: Vec<_> = names.iter().map(|name| server.guest(name)).collect();
    for round in 0..20 {
        for client in &mut clients {
            client.say(&format!("message {round}"));
        }
    }
    let mut order_of = |i: usize| -> Vec<Vec<u8>> { (0..200).map(|_| clients[i].receive()).collect() };
    let first = order_of(0);
    for i in 1..10 {
        assert!(order_of(i) == first, "client {i} sees another order");
    }
    for (i, name) in names.iter().enumerate() {
        let own: Vec<_> = first
            .iter()
            .filter(|bytes| matches!(Packet::decode(bytes), Ok(Packet::MsgPblInc { sender, .. }) if sender == name))
            .collect();
        let sent: Vec<_> = (0..20)
            .map(|round| encoded(&Packet::MsgPblInc { origin: ID, sender: name, message: &format!("message {round}") }))
            .collect();
        assert!(own.into_iter().eq(&sent), "the order of client {i}");
    }
}

#[test]
fn two_hundred_clients_hear_one() {
    let server = Server::start(&[]);
    let mut clients: Vec<_> = (0..200).map(|i| server.guest(&format!("guest {i}"))).collect();
    clients[77].say("is this on?");
    for client in &mut clients {
        client.expect_public("guest 77", "is this on?");
    }
}

#[test]
fn a_private_message_comes_to_its_receiver_and_to_nobody_else() {
    let server = Server::start(&[]);
    let (mut ana, mut bob, mut eve) = (server.guest("ana"), server.guest("bob"), server.guest("eve"));
    ana.tell("bob", "psst");
    assert_eq!(bob.receive(), b"\x31\0\0\0\x07\0\0\0\x03ana\0\0\0\x03bob\0\0\0\x04psst");
    ana.expect_nothing_but_itself("ana");
    eve.expect_nothing_but_itself("eve");
}

#[test]
fn messages_to_nobody_and_to_unknown_servers_are_answered_with_an_error_each() {
    let server = Server::start(&[]);
    let mut ana = server.guest("ana");
    for (destination, receiver, reason) in [
        (ID, "bob", ErrorReason::UnknownReceiver),
        (ID, "", ErrorReason::UnknownReceiver),
        (ID, " ana", ErrorReason::UnknownReceiver),
        (ServerId(8), "ana", ErrorReason::UnknownServer),
        (ServerId(u32::MAX), "bob", ErrorReason::UnknownServer),
    ] {
        ana.send(&Packet::MsgPrv { destination, receiver, message: "hi" });
        ana.expect(&Packet::Error { sender: "ana", reason });
    }
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn a_message_is_passed_on_byte_by_byte_whatever_it_holds() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    let longest = "é".repeat(32 * 1024);
    for message in ["", "\0", "\r\n\x1b[31m", "日本語 🦀", &longest] {
        ana.say(message);
        ana.tell("bob", message);
        bob.expect_public("ana", message);
        bob.expect_private("ana", "bob", message);
        ana.expect_public("ana", message);
    }
}

#[test]
fn nicknames_that_differ_in_one_byte_are_different_people() {
    let server = Server::start(&[]);
    let names = ["Ana", "ana", "anä", "ana\u{308}", "a na", &"x".repeat(64)];
    let mut clients: Vec<_> = names.iter().map(|name| server.guest(name)).collect();
    for (i, name) in names.iter().enumerate() {
        clients[(i + 1) % names.len()].tell(name, "you");
        clients[i].expect_private(names[(i + 1) % names.len()], name, "you");
    }
}

#[test]
fn bytes_that_come_one_at_a_time_are_the_same_packets() {
    let server = Server::start(&[]);
    let mut bob = server.guest("bob");
    let mut ana = server.connect();
    let session = [
        encoded(&Packet::AuthGst { nickname: "ana" }),
        encoded(&Packet::MsgPbl { message: "slowly" }),
        encoded(&Packet::MsgPrv { destination: ID, receiver: "bob", message: "very slowly" }),
    ];
    for byte in session.concat() {
        ana.send_bytes(&[byte]);
    }
    bob.expect_public("ana", "slowly");
    bob.expect_private("ana", "bob", "very slowly");
}

#[test]
fn hundreds_of_packets_in_one_write_are_all_handled_in_order() {
    let server = Server::start(&[]);
    let mut bob = server.guest("bob");
    let mut ana = server.connect();
    let mut session = encoded(&Packet::AuthGst { nickname: "ana" });
    for i in 0..700 {
        Packet::MsgPbl { message: &format!("public {i}") }.encode(&mut session);
        Packet::MsgPrv { destination: ID, receiver: "bob", message: &format!("private {i}") }.encode(&mut session);
    }
    ana.send_bytes(&session);
    for i in 0..700 {
        bob.expect_public("ana", &format!("public {i}"));
        bob.expect_private("ana", "bob", &format!("private {i}"));
    }
}

#[test]
fn a_client_that_shuts_its_sending_side_has_everything_handled_and_written() {
    let server = Server::start(&[]);
    let mut bob = server.guest("bob");
    let mut ana = server.connect();
    let mut session = encoded(&Packet::AuthGst { nickname: "ana" });
    for i in 0..300 {
        Packet::MsgPbl { message: &format!("{i}") }.encode(&mut session);
    }
    ana.send_bytes(&session);
    ana.shut_sending_side();
    ana.expect(&Packet::AuthRsp { response: cfp::wire::AuthResponse::Accepted });
    for i in 0..300 {
        ana.expect_public("ana", &format!("{i}"));
        bob.expect_public("ana", &format!("{i}"));
    }
    ana.expect_end();
    server.guest("ana");
}

#[test]
fn a_client_that_resets_its_connection_gives_its_nickname_back_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    ana.say("bye");
    bob.expect_public("ana", "bye");
    ana.reset();
    server.wait_for_log("client \"ana\"");
    let mut ana = server.guest("ana");
    bob.tell("ana", "welcome back");
    ana.expect_private("bob", "ana", "welcome back");
}
