//! What a socket may answer beside bytes: signals, an end, and errors that only a write shows; also before a proxy's
//! header.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::config::Config;
use cfp::core::state::counters::TlsFailure;
use cfp::core::time::Millis;
use cfp::limits;
use cfp::wire::{AuthResponse, ErrorReason, Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 9_000);
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4000 7777\r\n";

fn hi() -> Vec<u8> {
    encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" })
}

fn say_hi(rig: &mut Rig, ana: &Peer) {
    rig.send(ana, &encoded(&Packet::MsgPbl { message: "hi" }));
}

#[test]
fn a_write_that_was_interrupted_is_done_again() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.interrupt_next_write();
    say_hi(&mut rig, &ana);
    assert_eq!((bob.take_output(), ana.take_output()), (hi(), hi()));
}

#[test]
fn a_connection_that_a_write_finds_broken_is_closed() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.break_quietly();
    say_hi(&mut rig, &ana);
    assert!(bob.is_closed() && rig.is_open(&ana));
}

#[test]
fn a_connection_that_breaks_while_the_server_waits_for_its_end_is_closed_at_once() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, operator) = (rig.guest("ana"), rig.operator());
    rig.send(&operator, b"kick ana\n");
    assert!(ana.has_end() && !ana.is_closed());
    ana.break_quietly();
    rig.send(&ana, b"");
    assert!(ana.is_closed());
}

#[test]
fn a_server_that_stops_waits_so_long_for_who_does_not_read_and_no_longer() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.stop_taking();
    say_hi(&mut rig, &ana);
    rig.engine.begin_shutdown(Millis(rig.now_ms()));
    rig.run_until_idle();
    rig.advance(limits::DRAIN_MS - 1);
    assert!(!bob.is_closed() && !rig.engine.is_shut_down());
    rig.advance_in_one_turn(1);
    assert!(bob.is_closed() && rig.engine.is_shut_down());
}

#[test]
fn the_time_in_which_an_error_comes_back_stands_still_while_the_link_is_behind() {
    for is_behind in [true, false] {
        let mut rig = Rig::with(Config::new(ID));
        let (ana, link) = (rig.guest("ana"), rig.link(ServerId(8)));
        if is_behind {
            link.stop_taking();
        }
        rig.send(&ana, &encoded(&Packet::MsgPrv { destination: ServerId(8), receiver: "zoe", message: "psst" }));
        // It takes so little that the packet waits all the time, and is not given up.
        for _ in 0..8 {
            rig.advance(limits::ERROR_WAIT_MS / 4);
            rig.take(&link, usize::from(is_behind));
        }
        rig.take(&link, usize::MAX);
        let error = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
        rig.send(&link, &encoded(&Packet::PckFwd { destination: ID, content: &error }));
        let expected = if is_behind { error } else { Vec::new() };
        assert_eq!(ana.take_output(), expected, "behind: {is_behind}");
    }
}

#[test]
fn a_newcomer_without_tls_that_is_too_late_is_no_failure_of_tls() {
    let mut rig = Rig::with(Config::new(ID));
    let newcomer = rig.connect();
    rig.advance(10 * 60_000);
    let counters = &rig.engine.core().counters;
    assert!(newcomer.is_closed() && TlsFailure::ALL.iter().all(|why| counters.tls_failures.get(why.index()) == 0));
}

/// Says so much to `zoe` on server 8 that it has to wait.
fn fill(rig: &mut Rig, sender: &Peer) {
    let message = "x".repeat(16 * 1024);
    let away = encoded(&Packet::MsgPrv { destination: ServerId(8), receiver: "zoe", message: &message });
    while sender.unread_bytes() == 0 {
        rig.send(sender, &away);
    }
}

#[test]
fn what_a_link_brings_is_handled_although_it_takes_nothing() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, bob, link) = (rig.guest("ana"), rig.guest("bob"), rig.link(ServerId(8)));
    link.stop_taking();
    fill(&mut rig, &ana);
    let psst = Packet::MsgPrvInc { origin: ServerId(8), sender: "zoe", receiver: "bob", message: "psst" };
    rig.send(&link, &encoded(&Packet::PckFwd { destination: ID, content: &encoded(&psst) }));
    assert_eq!(bob.take_output(), encoded(&psst));
}

#[test]
fn who_does_not_read_its_own_messages_goes_on_when_it_has_taken_a_packet_of_the_longest_kind() {
    let mut rig = Rig::with(Config::new(ID));
    let ana = rig.guest("ana");
    ana.stop_taking();
    let message = "x".repeat(16 * 1024);
    let to_herself = encoded(&Packet::MsgPrv { destination: ID, receiver: "ana", message: &message });
    while ana.unread_bytes() == 0 {
        rig.send(&ana, &to_herself);
    }
    rig.take(&ana, 2 * limits::CHUNK_PAUSE_BYTES);
    assert_eq!(ana.unread_bytes(), to_herself.len());
    rig.take(&ana, limits::OWN_PAUSE_BYTES + 2 * limits::CHUNK_PAUSE_BYTES);
    assert_eq!(ana.unread_bytes(), 0);
}

#[test]
fn who_takes_nothing_of_what_is_said_in_public_is_closed_in_time() {
    let mut rig = Rig::with(Config::new(ID));
    let (ana, bob, link) = (rig.guest("ana"), rig.guest("bob"), rig.link(ServerId(8)));
    bob.stop_taking();
    link.stop_taking();
    say_hi(&mut rig, &ana);
    rig.advance(10 * 60_000);
    assert!(bob.is_closed() && link.is_closed());
}

fn behind_proxy() -> (Rig, Peer) {
    let mut rig = Rig::with(Config { proxies: vec!["10.0.0.0/24".parse().unwrap()], ..Config::new(ID) });
    let peer = rig.connect_from(PROXY);
    (rig, peer)
}

fn login() -> Vec<u8> {
    encoded(&Packet::AuthGst { nickname: "ana" })
}

fn accepted() -> Vec<u8> {
    encoded(&Packet::AuthRsp { response: AuthResponse::Accepted })
}

fn bytes_in(rig: &mut Rig) -> usize {
    let operator = rig.operator();
    rig.send(&operator, b"metrics\n");
    let text = String::from_utf8(operator.take_output()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("cfp_received_bytes_total ")).unwrap();
    line.parse::<usize>().unwrap() - "metrics\n".len()
}

#[test]
fn a_header_that_comes_in_pieces_and_between_signals_is_read_and_counted_once() {
    let (mut rig, peer) = behind_proxy();
    let (front, back) = HEADER.split_at(9);
    rig.send(&peer, b"");
    peer.interrupt_next_peek();
    rig.send(&peer, front);
    assert!(rig.is_open(&peer));
    peer.interrupt_next_peek();
    rig.send(&peer, &[back, &login()].concat());
    assert_eq!(peer.take_output(), accepted());
    assert_eq!(bytes_in(&mut rig), HEADER.len() + login().len());
}

#[test]
fn a_proxys_connection_that_ends_before_its_header_is_closed_at_once() {
    for sent in [&b""[..], &HEADER[..9]] {
        let (mut rig, peer) = behind_proxy();
        rig.send(&peer, sent);
        assert!(!peer.is_closed());
        rig.shut(&peer);
        assert!(peer.is_closed(), "{} bytes", sent.len());
    }
}

#[test]
fn a_proxys_connection_that_breaks_before_its_header_is_closed_at_once() {
    let (mut rig, peer) = behind_proxy();
    rig.reset(&peer);
    assert!(peer.is_closed());
}
