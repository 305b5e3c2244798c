//! What a socket may answer beside bytes: signals, an end, and errors that only a write shows; also before a proxy's
//! header.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::config::Config;
use cfp::wire::{AuthResponse, Packet};
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
