//! What happens when nothing happens: time limits, with a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::users::Users;
use cfp::limits::{CLIENT_KEEPALIVE, HANDSHAKE_MS, MID_PACKET_MS, PROBE_KEEPALIVE, PROBE_MS, STALLED_READER_MS};
use cfp::limits::{LINGER_MS, QUEUE_MAX_BYTES};
use cfp::wire::{AuthResponse, Packet};
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};
use support::users::line;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn public(message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPbl { message })
}

/// Private messages to `receiver` until its queue is past its high-water mark, and its senders wait.
fn fill(rig: &mut Rig, sender: &Peer, receiver: &str) {
    let message = "x".repeat(16 * 1024);
    let packet = encoded(&Packet::MsgPrv { destination: ID, receiver, message: &message });
    for _ in 0..QUEUE_MAX_BYTES / packet.len() {
        rig.send(sender, &packet);
    }
}

#[test]
fn a_connection_has_its_time_to_log_in_and_not_more() {
    let mut rig = Rig::new(Users::none());
    let (silent, busy) = (rig.connect(), rig.connect());
    rig.advance(HANDSHAKE_MS - 1);
    assert!(!silent.is_closed());
    rig.send(&busy, &encoded(&Packet::AuthUsr { nickname: "ana", password: "x" }));
    rig.advance(1 + LINGER_MS);
    assert!(silent.is_closed() && busy.is_closed());
    assert_eq!(busy.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::WrongPassword }));
}

#[test]
fn a_client_may_be_silent_for_ever() {
    let mut rig = Rig::new(Users::none());
    let ana = rig.guest("ana");
    rig.advance(30 * DAY_MS);
    rig.send(&ana, &public("hi"));
    assert_eq!(ana.take_output(), encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" }));
}

#[test]
fn a_login_that_waits_for_the_servers_processor_does_not_run_out_of_time() {
    let users = line("maria", "open sesame").replace("i=1000", "i=100000");
    let mut rig = Rig::new(Users::parse(&users).unwrap());
    let maria = rig.connect();
    rig.arrive(&maria, &encoded(&Packet::AuthUsr { nickname: "maria", password: "x" }));
    rig.turn();
    rig.advance_in_one_turn(10 * HANDSHAKE_MS);
    rig.advance_in_one_turn(10 * HANDSHAKE_MS);
    assert!(!maria.is_closed());
    rig.run_until_idle();
    assert_eq!(maria.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::WrongPassword }));
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_packet_is_closed_after_a_minute() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    let packet = public("hello");
    rig.send(&ana, &packet[..3]);
    // In the middle of a packet that is skipped.
    rig.send(&bob, b"\x20\xff\xff\xff\xffx");
    rig.advance(MID_PACKET_MS - 1);
    rig.send(&ana, &packet[3..4]);
    rig.advance(1 + LINGER_MS);
    assert!(!ana.is_closed() && bob.is_closed());
    rig.advance(MID_PACKET_MS);
    assert!(ana.is_closed());
}

#[test]
fn a_client_that_is_not_read_from_is_not_blamed_for_the_middle_of_a_packet() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    let packet = public("hello");
    rig.send(&ana, &packet[..3]);
    // She reads so slowly that nothing of hers is read either, the rest of her packet included.
    ana.stop_taking();
    fill(&mut rig, &bob, "ana");
    rig.send(&ana, &packet[3..]);
    for _ in 0..2 * MID_PACKET_MS / 10_000 {
        rig.advance(10_000);
        rig.take(&ana, 1);
    }
    assert!(rig.is_open(&ana));
    rig.take(&ana, usize::MAX);
    let hello = encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hello" });
    assert!(split(&ana.take_output()).contains(&hello.as_slice()));
}

#[test]
fn a_reader_that_takes_nothing_is_closed_and_one_that_takes_little_is_not() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob, eve) = (rig.guest("ana"), rig.guest("bob"), rig.guest("eve"));
    for reader in [&bob, &eve] {
        reader.stop_taking();
    }
    rig.send(&ana, &public("hi"));
    for _ in 0..3 {
        rig.advance(STALLED_READER_MS / 2);
        rig.take(&eve, 1);
    }
    assert!(bob.is_closed() && !eve.is_closed());
    rig.take(&eve, usize::MAX);
    rig.advance(DAY_MS);
    assert!(!eve.is_closed());
}

#[test]
fn senders_go_on_when_the_reader_they_wait_for_is_given_up() {
    let mut rig = Rig::new(Users::none());
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.stop_taking();
    fill(&mut rig, &ana, "bob");
    rig.send(&ana, &public("hi"));
    assert!(ana.take_output().is_empty(), "what follows the message that waits, waits too");
    rig.advance(STALLED_READER_MS);
    assert!(bob.is_closed());
    assert!(ana.take_output().ends_with(&encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" })));
}

#[test]
fn who_holds_a_nickname_that_its_user_wants_again_is_probed_for_a_while() {
    let mut rig = Rig::new(Users::parse(&line("maria", "open sesame")).unwrap());
    let login = encoded(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    let (first, second) = (rig.connect(), rig.connect());
    rig.send(&first, &login);
    assert!(first.keepalives().is_empty());
    rig.send(&second, &login);
    assert_eq!(second.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::InUse }));
    assert_eq!(first.keepalives(), [PROBE_KEEPALIVE]);
    rig.advance(PROBE_MS);
    assert_eq!(first.keepalives(), [PROBE_KEEPALIVE, CLIENT_KEEPALIVE]);
    assert!(!first.is_closed());
}
