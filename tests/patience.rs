//! What happens when nothing happens: time limits, with a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use cfp::core::state::users::Users;
use cfp::limits::{CLIENT_KEEPALIVE, HANDSHAKE_MS, MID_PACKET_MS, PROBE_KEEPALIVE, PROBE_MS, STALLED_READER_MS};
use cfp::limits::{ERROR_WAIT_MS, EVENTS_PER_TURN, LINGER_MS, QUEUE_MAX_BYTES, READ_BYTES, TURN_WORK_BYTES};
use cfp::wire::{AuthResponse, Descriptions, ErrorReason, Packet, ServerId};
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};
use support::users::line;
use support::{ID, Server};

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
fn who_is_late_is_judged_after_all_that_it_has_sent_was_read_however_many_they_are() {
    let mut rig = Rig::new(Users::none());
    let half = public(&"x".repeat(1000));
    // More than a turn takes, with a lot from each.
    let count = 3 * TURN_WORK_BYTES / READ_BYTES;
    let clients: Vec<Peer> = (0..count).map(|i| rig.guest(&format!("guest {i}"))).collect();
    let nobody: Vec<Peer> = (0..count).map(|_| rig.connect()).collect();
    for client in &clients {
        rig.send(client, &half[..100]);
    }
    // The process is stopped for longer than all their limits, and meanwhile everything comes.
    for (i, (client, nobody)) in clients.iter().zip(&nobody).enumerate() {
        let private = encoded(&Packet::MsgPrv { destination: ID, receiver: "guest 0", message: "" });
        rig.arrive(client, &[&half[100..], &private.repeat(2_000)].concat());
        rig.arrive(nobody, &encoded(&Packet::AuthGst { nickname: &format!("late {i}") }));
    }
    rig.advance_in_one_turn(2 * MID_PACKET_MS);
    rig.run_until_idle();
    assert!(clients.iter().chain(&nobody).all(|peer| rig.is_open(peer)));
    assert_eq!(rig.engine.core().directory.len(), 2 * count);
    // A client that still says nothing, or sends without an end, is closed as before.
    let (silent, endless) = (rig.connect(), rig.connect());
    rig.send(&endless, b"\x20\xff\xff\xff\xff");
    for _ in 0..HANDSHAKE_MS / 100 {
        rig.arrive(&endless, &[b'x'; 1000]);
        rig.advance(100);
    }
    rig.arrive(&endless, &[b'x'; 1000]);
    rig.advance(LINGER_MS);
    assert!(silent.is_closed() && !rig.is_open(&endless));
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

/// More connections than one poll tells of.
#[test]
fn a_process_that_was_stopped_hears_whoever_spoke_meanwhile_before_it_closes_the_late() {
    // On a busy machine, to connect them all takes its time: then again, with more.
    let was_in_time = [4, 8, 16, 32].into_iter().any(|seconds| hears_whoever_spoke(Duration::from_secs(seconds)));
    assert!(was_in_time, "the machine is too busy for every try");
}

/// Returns whether all could connect within the time limit.
fn hears_whoever_spoke(limit: Duration) -> bool {
    use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let server = Server::start(&["--handshake-timeout", &limit.as_secs().to_string()]);
    let began = Instant::now();
    let mut clients: Vec<_> = (0..EVENTS_PER_TURN + 200).map(|_| server.connect()).collect();
    // The last one is in, and with it all that came before.
    clients[EVENTS_PER_TURN + 199].log_in_as_guest("last");
    server.signal(Signal::STOP);
    if began.elapsed() >= limit {
        server.signal(Signal::CONT);
        return false;
    }
    for (i, client) in clients[..EVENTS_PER_TURN + 199].iter_mut().enumerate() {
        client.send(&Packet::AuthGst { nickname: &format!("guest {i}") });
    }
    // Time has to pass while the process is stopped: that is what is tested.
    std::thread::sleep((limit + Duration::from_millis(500)).saturating_sub(began.elapsed()));
    server.signal(Signal::CONT);
    for client in &mut clients[..EVENTS_PER_TURN + 199] {
        client.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    }
    true
}

#[test]
fn an_error_for_a_packet_of_long_ago_is_not_passed_on() {
    let mut rig = Rig::new(Users::none());
    let (ana, link) = (rig.guest("ana"), rig.connect());
    rig.send(&link, &encoded(&Packet::MrgReq { server: ServerId(8), siblings: Descriptions::default() }));
    let told = encoded(&Packet::MsgPrv { destination: ServerId(8), receiver: "eve", message: "hi" });
    let error = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let answer = encoded(&Packet::PckFwd { destination: ID, content: &error });
    for (after_ms, is_passed_on) in [(0, true), (ERROR_WAIT_MS, true), (4 * ERROR_WAIT_MS / 3, false)] {
        rig.send(&ana, &told);
        rig.advance(after_ms);
        rig.send(&link, &answer);
        assert_eq!(!ana.take_output().is_empty(), is_passed_on, "after {after_ms} ms");
        rig.send(&link, &answer);
        assert!(ana.take_output().is_empty(), "a second one");
    }
    assert_eq!(rig.engine.core().unanswered.len(), 1);
    rig.reset(&ana);
    rig.run_until_idle();
    assert!(rig.engine.core().unanswered.is_empty(), "nothing is kept of a client that has left");
}
