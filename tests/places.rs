//! The places of `--max-clients` and `--max-per-address`, and which connection is closed for a new one (D62).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::config::Config;
use cfp::core::state::counters::Counters;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::users::Users;
use cfp::limits;
use cfp::wire::{AuthResponse, Packet};
use node::{Node, wait_until};
use support::client::encoded;
use support::pipe::{Peer, Rig};
use support::{Client, ID};

const MALLORY: &str = "192.0.2.66:1";
const ANA: &str = "192.0.2.1:1";
const BOB: &str = "192.0.2.2:1";
const PROXY: &str = "192.0.2.200:1";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn rig(max_clients: usize, max_per_address: Option<usize>) -> Rig {
    Rig::with_config(Config { max_clients, max_per_address, ..Config::new(ID) })
}

fn strangers(rig: &mut Rig, from: &str, count: usize) -> Vec<Peer> {
    let one = |_| {
        rig.advance(1);
        rig.connect_from(at(from))
    };
    (0..count).map(one).collect()
}

fn guest(rig: &mut Rig, from: &str, nickname: &str) -> Peer {
    let peer = rig.connect_from(at(from));
    log_in(rig, &peer, nickname);
    peer
}

fn log_in(rig: &mut Rig, peer: &Peer, nickname: &str) {
    rig.send(peer, &encoded(&Packet::AuthGst { nickname }));
    assert_eq!(peer.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }), "{nickname}");
}

fn closed(counters: &Counters, reason: CloseReason) -> u64 {
    counters.closed.get(reason.index())
}

#[test]
fn a_newcomer_gets_the_oldest_place_of_the_address_that_holds_most_as_nobody() {
    let mut rig = rig(10, None);
    let early = strangers(&mut rig, BOB, 1);
    let inside = guest(&mut rig, MALLORY, "mallory");
    let crowd = strangers(&mut rig, MALLORY, 8);
    let ana = guest(&mut rig, ANA, "ana");
    assert!(crowd[0].is_closed() && !crowd[1].is_closed(), "the oldest of the crowd");
    assert!(rig.is_open(&early[0]) && rig.is_open(&inside) && rig.is_open(&ana));
    // However many more come from there, they take each other's places.
    let more = strangers(&mut rig, MALLORY, 100);
    assert!(rig.is_open(&early[0]) && rig.is_open(&inside) && rig.is_open(&ana));
    assert!(more[92].is_closed() && more[93..].iter().all(|peer| rig.is_open(peer)));
    assert_eq!(rig.engine.connections().len(), 10);
    let counters = &rig.engine.core().counters;
    assert_eq!((closed(counters, CloseReason::GaveWay), closed(counters, CloseReason::TooMany)), (101, 0));
}

#[test]
fn a_network_of_64_bits_is_one_address() {
    let mut rig = rig(6, None);
    let home = strangers(&mut rig, "[2001:db8:1::1]:1", 2);
    let crowd: Vec<Peer> =
        (0..4).flat_map(|index| strangers(&mut rig, &format!("[2001:db8:2::{index:x}]:1"), 1)).collect();
    guest(&mut rig, ANA, "ana");
    assert!(crowd[0].is_closed() && home.iter().all(|peer| rig.is_open(peer)));
}

#[test]
fn among_addresses_with_as_many_the_oldest_gives_way() {
    let mut rig = rig(3, None);
    // The addresses are in no order of time.
    let one_each: Vec<Peer> = [BOB, MALLORY, ANA].into_iter().flat_map(|from| strangers(&mut rig, from, 1)).collect();
    let newcomer = strangers(&mut rig, "192.0.2.99:1", 1);
    assert!(one_each[0].is_closed() && rig.is_open(&one_each[1]) && rig.is_open(&one_each[2]));
    assert!(rig.is_open(&newcomer[0]));
}

#[test]
fn who_is_logged_in_never_gives_way_and_then_the_newcomer_is_turned_away() {
    let mut rig = rig(4, None);
    let guests: Vec<Peer> = (0..4).map(|index| guest(&mut rig, MALLORY, &format!("guest{index}"))).collect();
    assert!(rig.try_connect_from(at(ANA)).is_none());
    assert!(guests.iter().all(|peer| rig.is_open(peer)));
    assert_eq!(closed(&rig.engine.core().counters, CloseReason::TooMany), 1);
    // A client that has left makes room.
    rig.reset(&guests[0]);
    guest(&mut rig, ANA, "ana");
}

#[test]
fn who_is_put_out_as_a_stranger_and_stays_gives_way_too() {
    let mut rig = rig(3, None);
    let crowd = strangers(&mut rig, MALLORY, 3);
    for peer in &crowd {
        // Closed, and it waits for the other side to close first.
        rig.send(peer, &[0xFF; limits::IGNORED_PACKETS_MAX as usize + 1]);
        assert!(!rig.is_open(peer) && !peer.is_closed());
    }
    guest(&mut rig, ANA, "ana");
    assert!(crowd[0].is_closed() && !crowd[1].is_closed());
}

#[test]
fn who_waits_for_a_password_check_is_nobody_yet_and_its_check_ends_with_it() {
    let hash = "$pbkdf2-sha256$i=100000,l=32$c2FsdHNhbHQ$Gw9J7ot0OEClxhiPitRxDqdFt+B56mDlJBu2/LKXQl0";
    let users = Users::parse(&format!("reg:{hash}")).unwrap();
    let mut rig = Rig::with_users(Config { max_clients: 2, ..Config::new(ID) }, users);
    let crowd = strangers(&mut rig, MALLORY, 2);
    for peer in &crowd {
        rig.arrive(peer, &encoded(&Packet::AuthUsr { nickname: "reg", password: "no" }));
    }
    rig.turn();
    assert_eq!(rig.engine.core().password_checks.len(), 2);
    let _ana = guest_in_a_turn(&mut rig);
    assert!(crowd[0].is_closed() && !crowd[1].is_closed());
    assert_eq!(rig.engine.core().password_checks.len(), 1);
}

/// Without waiting for what else there is to do.
fn guest_in_a_turn(rig: &mut Rig) -> Peer {
    let peer = rig.connect_from(at(ANA));
    rig.arrive(&peer, &encoded(&Packet::AuthGst { nickname: "ana" }));
    rig.turn();
    assert_eq!(peer.take_output(), [0x10, 0]);
    peer
}

#[test]
fn half_a_merge_request_holds_no_place_against_a_newcomer_and_a_link_holds_none_at_all() {
    let mut rig = rig(1, None);
    let link = rig.link(cfp::wire::ServerId(9));
    let half = rig.connect();
    rig.send(&half, &[0xA0, 0, 0, 0]);
    let ana = guest(&mut rig, ANA, "ana");
    assert!(half.is_closed() && rig.is_link(&link) && rig.is_open(&ana));
}

#[test]
fn at_an_address_with_a_limit_the_oldest_of_its_own_gives_way() {
    let mut rig = rig(100, Some(3));
    let inside = guest(&mut rig, ANA, "ana");
    let crowd = strangers(&mut rig, ANA, 2);
    let elsewhere = strangers(&mut rig, BOB, 3);
    let colleague = guest(&mut rig, ANA, "colleague");
    assert!(crowd[0].is_closed() && rig.is_open(&crowd[1]) && rig.is_open(&inside) && rig.is_open(&colleague));
    assert!(elsewhere.iter().all(|peer| rig.is_open(peer)));
    guest(&mut rig, ANA, "third");
    // All three are logged in.
    assert!(crowd[1].is_closed() && rig.try_connect_from(at(ANA)).is_none());
    assert_eq!(closed(&rig.engine.core().counters, CloseReason::TooMany), 1);
}

fn behind_a_proxy(max_clients: usize, max_per_address: Option<usize>) -> Rig {
    let proxies = vec!["192.0.2.200/32".parse().unwrap()];
    Rig::with_config(Config { max_clients, max_per_address, proxies, ..Config::new(ID) })
}

fn header(from: &str) -> Vec<u8> {
    format!("PROXY TCP4 {from} 192.0.2.200 4000 7777\r\n").into_bytes()
}

#[test]
fn through_a_proxy_the_address_counts_that_it_names() {
    let mut rig = behind_a_proxy(6, None);
    let crowd = strangers(&mut rig, PROXY, 4);
    let bob = strangers(&mut rig, PROXY, 1).remove(0);
    crowd.iter().for_each(|peer| rig.send(peer, &header("192.0.2.66")));
    rig.send(&bob, &header("192.0.2.2"));
    let carol = strangers(&mut rig, PROXY, 1).remove(0);
    rig.send(&carol, &header("192.0.2.3"));
    let ana = strangers(&mut rig, PROXY, 1).remove(0);
    rig.send(&ana, &header("192.0.2.1"));
    log_in(&mut rig, &ana, "ana");
    assert!(crowd[0].is_closed() && crowd[1..].iter().chain([&bob, &carol]).all(|peer| rig.is_open(peer)));
}

#[test]
fn those_for_whom_a_proxy_says_nothing_are_one_crowd() {
    let mut rig = behind_a_proxy(5, Some(2));
    let mute = strangers(&mut rig, PROXY, 3);
    let direct = strangers(&mut rig, BOB, 2);
    // The proxy's address has no limit as long as its header names no client.
    let ana = strangers(&mut rig, PROXY, 1).remove(0);
    rig.send(&ana, &header("192.0.2.1"));
    log_in(&mut rig, &ana, "ana");
    assert!(mute[0].is_closed() && mute[1..].iter().chain(&direct).all(|peer| rig.is_open(peer)));
    // Connections of one client address are closed for each other when the header names it.
    rig.send(&mute[1], &header("192.0.2.2"));
    assert!(direct[0].is_closed() && rig.is_open(&direct[1]) && rig.is_open(&mute[1]));
    for peer in [&direct[1], &mute[1]] {
        log_in(&mut rig, peer, if std::ptr::eq(peer, &mute[1]) { "bob" } else { "carol" });
    }
    rig.send(&mute[2], &header("192.0.2.2"));
    assert!(mute[2].is_closed() && rig.is_open(&direct[1]) && rig.is_open(&mute[1]));
}

#[test]
fn scrapers_from_one_network_of_64_bits_take_no_place_from_another_address() {
    let mut rig = rig(10, None);
    let check = rig.scraper(at(ANA));
    for index in 0..3 * limits::SCRAPERS_MAX {
        rig.scraper(at(&format!("[2001:db8:2::{index:x}]:1")));
        rig.run_until_idle();
    }
    assert!(rig.is_open(&check));
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out_and_the_log_says_who_gave_way() {
    let node = Node::start(7, &["--max-clients", "5"]);
    let from = |last: u8| Client::connect_from(Ipv4Addr::new(127, 0, 0, last), node.address);
    let mut crowd: Vec<Client> = (0..5).map(|_| from(66)).collect();
    wait_until(|| node.status("client_connections") == "5", || "all places are taken".to_owned());
    // One after the other: before it logs in, each is a newcomer like the others.
    let guest = |index: usize| {
        let mut guest = from(2);
        guest.log_in_as_guest(&format!("guest{index}"));
        guest
    };
    let _guests: Vec<Client> = (0..5).map(guest).collect();
    crowd.iter_mut().for_each(Client::expect_end);
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"gave_way\"}"), 5);
    let line = node.server.wait_for_log("that had not logged in, for a new one from 127.0.0.2:");
    assert!(line.contains("INFO") && line.contains("from 127.0.0.66:"), "{line}");
    assert!(line.contains("--max-clients is reached"), "{line}");
    // A crowd is said once.
    node.server.expect_in_log("for a new one from", 1);
    from(3).expect_end();
    node.server.wait_for_log("--max-clients is reached (5 of 5 are held");
}

#[test]
fn a_storm_of_newcomers_needs_no_descriptors_beyond_the_places() {
    // Far more in one turn than descriptors are left.
    let server = support::Server::start_with_descriptors(64, &["--max-clients", "16"]);
    let crowd: Vec<Client> =
        (0..400).map(|_| Client::connect_from(Ipv4Addr::new(127, 0, 0, 66), server.address())).collect();
    let mut ana = Client::connect(server.address());
    ana.log_in_as_guest("ana");
    assert_eq!(server.count_in_log("cannot accept a connection"), 0);
    drop(crowd);
}
