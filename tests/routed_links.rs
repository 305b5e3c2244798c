//! A routed server and its neighbours: what it passes on, and what a lying member of the network can do, and what not
//! (D24 to D39).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use cfp::core::state::config::Config;
use cfp::core::state::counters::Ignored as Reason;
use cfp::limits::{
    FORGET_MS, ROUTED_ENTRIES_MAX, ROUTED_NEWS_BURST_BYTES, ROUTED_NEWS_RATE_BYTES, ROUTED_OWN_NEWS_BURST_BYTES,
};
use cfp::wire::{
    DeclineReason, Description, Descriptions, ErrorReason, FrameLimits, Neighbours, Packet, RelayHeader, Scan,
    ServerId, scan,
};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

const LIMITS: FrameLimits = FrameLimits { has_routed_codes: true, descriptions_max: 65, ..FrameLimits::DEFAULT };
/// The time at which every other server was started.
const INCARNATION: u32 = 1_000;
const LIAR: u32 = 20;
const HONEST: u32 = 30;

fn description(server: u32) -> Description {
    Description { server: ServerId(server), address: Ipv4Addr::from(0x7f00_0000 + server), port: 7777 }
}

fn described(server: u32) -> Vec<u8> {
    let mut bytes = server.to_be_bytes().to_vec();
    bytes.extend((0x7f00_0000 + server).to_be_bytes());
    bytes.extend(7777_u32.to_be_bytes());
    bytes
}

fn routed() -> Rig {
    let address = SocketAddrV4::new(Ipv4Addr::from(0x7f00_0000 + ID.0), 7777);
    let mut config = Config { advertise: Some(address), ..Config::new(ID) };
    config.route(INCARNATION);
    Rig::with_config(config)
}

fn links(server: u32, (incarnation, version): (u32, u32), neighbours: &[(u32, u32)]) -> Vec<u8> {
    let list: Vec<u8> =
        neighbours.iter().flat_map(|(id, stamp)| [id.to_be_bytes(), stamp.to_be_bytes()].concat()).collect();
    let neighbours = Neighbours::new(&list).unwrap();
    encoded(&Packet::Links { server: description(server), incarnation, version, neighbours })
}

fn request(server: u32) -> Vec<u8> {
    let mark = described(server).repeat(2);
    encoded(&Packet::MrgReq { server: ServerId(server), siblings: Descriptions::new(&mark).unwrap() })
}

/// A neighbour whose link has this stamp, which is the number of the links so far.
fn neighbour(rig: &mut Rig, server: u32, stamp: u32) -> Peer {
    let peer = rig.connect();
    rig.send(&peer, &request(server));
    assert!(rig.is_link(&peer));
    rig.send(&peer, &encoded(&Packet::Hello { stamp: 0 }));
    rig.send(&peer, &links(server, (INCARNATION, 1), &[(ID.0, stamp)]));
    peer.take_output();
    peer
}

fn relay(origin: u32, incarnation: u32, number: u32, message: &str) -> Vec<u8> {
    let header = RelayHeader { destination: ID, origin: ServerId(origin), incarnation, number };
    let content = encoded(&Packet::MsgPblInc { origin: ServerId(origin), sender: "eve", message });
    encoded(&Packet::Relay { header, content: &content })
}

fn reached(rig: &Rig) -> BTreeSet<u32> {
    let routed = rig.engine.core().mesh.routed().unwrap();
    routed.tree().routes.keys().map(|id| id.0).collect()
}

fn ignored(rig: &Rig, reason: Reason) -> u64 {
    rig.engine.core().counters.ignored.get(reason as usize)
}

/// The LINKS of one server among what a peer got: incarnation and version.
fn ages(output: &[u8], of: u32) -> Vec<(u32, u32)> {
    let (mut rest, mut found) = (output, Vec::new());
    while let Scan::Packet { len } = scan(rest, &LIMITS) {
        if let Packet::Links { server, incarnation, version, .. } = Packet::decode(&rest[..len]).unwrap()
            && server.server.0 == of
        {
            found.push((incarnation, version));
        }
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "{rest:?}");
    found
}

#[test]
fn a_neighbour_that_tells_of_no_links_at_all_again_and_again_is_read_from_later() {
    let mut rig = routed();
    let (honest, liar) = (neighbour(&mut rig, HONEST, 1), neighbour(&mut rig, LIAR, 2));
    honest.take_output();
    let flood: Vec<u8> = (1..=20_000).flat_map(|version| links(77, (INCARNATION, version), &[])).collect();
    rig.send(&liar, &flood);
    assert!(liar.unread_bytes() > 0, "the link is left unread");
    let told = honest.take_output().len();
    assert!(told <= ROUTED_NEWS_BURST_BYTES + 100, "{told} bytes went on");
    rig.advance(1000);
    let told = honest.take_output().len();
    assert!((1000..=ROUTED_NEWS_RATE_BYTES + 200).contains(&told), "{told} bytes went on in a second");
}

/// Has each liar send LINKS of invented servers for as long as it is read from, and time pass.
fn flood(rig: &mut Rig, liars: &[Peer], round: u32) {
    for (at, liar) in (0..).zip(liars) {
        let first = 1_000_000 * (at + 1) + 1_000 * round;
        let news: Vec<u8> = (first..first + 1_000).flat_map(|server| links(server, (INCARNATION, 1), &[])).collect();
        rig.send(liar, &news);
    }
    rig.advance(100);
}

#[test]
fn however_many_members_tell_of_links_again_and_again_our_neighbours_need_not_read_us_later_for_it() {
    let mut rig = routed();
    let honest = neighbour(&mut rig, HONEST, 1);
    let liars: Vec<Peer> = (0..4).map(|at| neighbour(&mut rig, LIAR + at, 2 + at)).collect();
    honest.take_output();
    let mut told = 0;
    for round in 0..50 {
        flood(&mut rig, &liars, round);
        told += honest.take_output().len();
        let taken = ROUTED_NEWS_BURST_BYTES + ROUTED_NEWS_RATE_BYTES * (round as usize + 1) / 10;
        assert!(told <= taken, "{told} bytes after {round} rounds, of which {taken} are read at once");
    }
    assert!(told > ROUTED_NEWS_RATE_BYTES, "{told}");
}

#[test]
fn while_members_tell_of_links_again_and_again_the_news_of_others_goes_on_the_newest_within_a_second() {
    let mut rig = routed();
    let (honest, other) = (neighbour(&mut rig, HONEST, 1), neighbour(&mut rig, HONEST + 1, 2));
    let liars: Vec<Peer> = (0..4).map(|at| neighbour(&mut rig, LIAR + at, 3 + at)).collect();
    for round in 0..30 {
        flood(&mut rig, &liars, round);
    }
    honest.take_output();
    for version in 2..=4 {
        rig.send(&other, &links(HONEST + 1, (INCARNATION, version), &[(ID.0, 2)]));
    }
    (30..40).for_each(|round| flood(&mut rig, &liars, round));
    assert_eq!(ages(&honest.take_output(), HONEST + 1).last(), Some(&(INCARNATION, 4)));
    // The liars have gone, and what had to wait comes to its end.
    liars.iter().for_each(|liar| rig.reset(liar));
    rig.advance(60_000);
    honest.take_output();
    rig.advance(FORGET_MS / 2);
    assert!(honest.take_output().is_empty());
}

#[test]
fn links_that_name_a_server_twice_are_ignored() {
    let mut rig = routed();
    let liar = neighbour(&mut rig, LIAR, 1);
    rig.send(&liar, &links(LIAR, (INCARNATION, 2), &[(ID.0, 1), (7, 2), (7, 3)]));
    assert_eq!(ignored(&rig, Reason::Value), 1);
    assert_eq!(reached(&rig), BTreeSet::from([LIAR]));
}

#[test]
fn a_peer_that_merges_and_leaves_again_and_again_is_declined_for_a_while_and_neighbours_hear_little_of_it() {
    let mut rig = routed();
    let honest = neighbour(&mut rig, HONEST, 1);
    let mut merges = 0;
    loop {
        let peer = rig.connect();
        rig.send(&peer, &request(LIAR));
        if !rig.is_link(&peer) {
            assert_eq!(peer.take_output(), encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
            break;
        }
        rig.send(&peer, &encoded(&Packet::Hello { stamp: 0 }));
        rig.reset(&peer);
        merges += 1;
        assert!(merges < 5_000, "it is never declined");
    }
    let told = honest.take_output().len();
    assert!(merges > 100 && told <= ROUTED_OWN_NEWS_BURST_BYTES + 200, "{merges} merges, {told} bytes");
    assert!(rig.is_link(&honest));
    rig.advance(1000);
    let peer = rig.connect();
    rig.send(&peer, &request(LIAR));
    assert!(rig.is_link(&peer), "a second later it may come");
}

#[test]
fn who_speaks_for_us_is_outdone_but_not_as_often_as_it_likes() {
    let mut rig = routed();
    let (honest, liar) = (neighbour(&mut rig, HONEST, 1), neighbour(&mut rig, LIAR, 2));
    honest.take_output();
    for incarnation in 2_000..6_000 {
        rig.send(&liar, &links(ID.0, (incarnation, 1), &[]));
    }
    let output = honest.take_output();
    assert!(output.len() <= ROUTED_OWN_NEWS_BURST_BYTES + 200, "{} bytes", output.len());
    rig.advance(10_000);
    let own = ages(&honest.take_output(), ID.0);
    assert!(own.iter().any(|&(incarnation, _)| incarnation >= 6_000), "the last word is ours: {own:?}");
    assert_eq!(reached(&rig), BTreeSet::from([LIAR, HONEST]));
}

#[test]
fn a_lie_about_us_that_no_incarnation_can_outdo_is_waited_out() {
    let mut rig = routed();
    let (honest, liar) = (neighbour(&mut rig, HONEST, 1), neighbour(&mut rig, LIAR, 2));
    honest.take_output();
    for version in [1, u32::MAX] {
        rig.send(&liar, &links(ID.0, (u32::MAX, version), &[]));
    }
    assert!(ages(&honest.take_output(), ID.0).is_empty());
    let steps = (FORGET_MS + FORGET_MS / 10) / 5_000;
    for _ in 0..steps {
        rig.advance(5_000);
        for peer in [&honest, &liar] {
            rig.send(peer, &encoded(&Packet::Hold { server: ServerId(LIAR), is_held: false }));
        }
    }
    let own = ages(&honest.take_output(), ID.0);
    assert!(matches!(own[..], [(INCARNATION, _)]), "it says again who its neighbours are: {own:?}");
}

#[test]
fn servers_that_a_liar_invents_leave_room_for_those_that_come() {
    let mut rig = routed();
    let (liar, honest) = (neighbour(&mut rig, LIAR, 1), neighbour(&mut rig, HONEST, 2));
    for server in 1_000..1_000 + ROUTED_ENTRIES_MAX as u32 {
        rig.advance(1);
        rig.send(&liar, &links(server, (INCARNATION, 1), &[]));
    }
    rig.advance(1);
    // A network of eleven has merged with our neighbour: all of its news comes at once.
    let mut news = Vec::new();
    for server in 40..50 {
        let next = if server < 49 { vec![(server - 1, 9), (server + 1, 9)] } else { vec![(server - 1, 9)] };
        let list = if server == 40 { vec![(HONEST, 9), (41, 9)] } else { next };
        news.extend(links(server, (INCARNATION, 1), &list));
    }
    news.extend(links(HONEST, (INCARNATION, 2), &[(ID.0, 2), (40, 9)]));
    rig.send(&honest, &news);
    assert_eq!(reached(&rig), [LIAR, HONEST].into_iter().chain(40..50).collect());
}

#[test]
fn a_number_that_its_origin_has_not_come_to_silences_it_no_longer_than_until_its_next_start() {
    let mut rig = routed();
    let peer = neighbour(&mut rig, LIAR, 1);
    // A server behind the liar, which can speak for it.
    rig.send(&peer, &links(LIAR, (INCARNATION, 2), &[(ID.0, 1), (40, 2)]));
    rig.send(&peer, &links(40, (INCARNATION, 1), &[(LIAR, 2)]));
    let guest = rig.guest("ana");
    let hears = |rig: &mut Rig, incarnation, number| {
        rig.send(&peer, &relay(40, incarnation, number, "hi"));
        !guest.take_output().is_empty()
    };
    assert!(!hears(&mut rig, u32::MAX, u32::MAX), "an incarnation that it never told of");
    assert!(hears(&mut rig, INCARNATION, 1));
    assert!(hears(&mut rig, INCARNATION, u32::MAX));
    assert!(!hears(&mut rig, INCARNATION, 2));
    rig.send(&peer, &links(40, (INCARNATION + 1, 1), &[(LIAR, 2)]));
    assert!(hears(&mut rig, INCARNATION + 1, 1));
}

#[test]
fn a_stamp_beyond_all_others_harms_no_link() {
    let mut rig = routed();
    let (liar, honest) = (neighbour(&mut rig, LIAR, 1), neighbour(&mut rig, HONEST, 2));
    rig.send(&liar, &links(LIAR, (u32::MAX, u32::MAX), &[(ID.0, 1), (77, u32::MAX)]));
    rig.send(&liar, &links(LIAR, (u32::MAX, u32::MAX), &[]));
    let late = neighbour(&mut rig, HONEST + 1, u32::MAX);
    assert_eq!(reached(&rig), BTreeSet::from([LIAR, HONEST, HONEST + 1]));
    assert!(rig.is_open(&honest) && rig.is_open(&late));
}

#[test]
fn who_tells_us_to_wait_for_servers_that_are_not_behind_it_holds_nobody_up() {
    let mut rig = routed();
    let (liar, honest) = (neighbour(&mut rig, LIAR, 1), neighbour(&mut rig, HONEST, 2));
    let guest = rig.guest("ana");
    for server in (0..2_000).chain([HONEST, ID.0, LIAR]) {
        rig.send(&liar, &encoded(&Packet::Hold { server: ServerId(server), is_held: true }));
    }
    honest.take_output();
    for number in 0..100 {
        let message = &format!("{number}{:1000}", "");
        rig.send(&guest, &encoded(&Packet::MsgPrv { destination: ServerId(HONEST), receiver: "bob", message }));
    }
    assert!(honest.take_output().len() > 100 * 1000, "nothing waits");
    assert_eq!(guest.unread_bytes(), 0);
    assert_eq!(rig.engine.core().mesh.routed().unwrap().held_servers(), BTreeSet::from([ServerId(LIAR)]));
}

/// Packets, and the answers to them, wait for the links of relays, and nobody knows for how long.
#[test]
fn an_error_that_comes_late_is_believed_as_long_as_a_server_out_of_reach_is_remembered() {
    let mut rig = routed();
    let peer = neighbour(&mut rig, HONEST, 1);
    let guest = rig.guest("ana");
    let content = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let mut number = 0;
    let mut hears_after = |ms: u64| {
        rig.send(&guest, &encoded(&Packet::MsgPrv { destination: ServerId(HONEST), receiver: "bob", message: "" }));
        for _ in 0..ms / 5_000 {
            rig.advance(5_000);
            rig.send(&peer, &encoded(&Packet::Hold { server: ServerId(LIAR), is_held: false }));
        }
        number += 1;
        let header = RelayHeader { destination: ID, origin: ServerId(HONEST), incarnation: INCARNATION, number };
        rig.send(&peer, &encoded(&Packet::Relay { header, content: &content }));
        guest.take_output() == content
    };
    assert!(hears_after(FORGET_MS));
    assert!(!hears_after(2 * FORGET_MS));
}

/// What came over a link, message by message, as it was addressed.
fn heard(output: &[u8], receiver: u32) -> Vec<String> {
    let (mut rest, mut found) = (output, Vec::new());
    while let Scan::Packet { len } = scan(rest, &LIMITS) {
        if let Packet::Relay { header, content } = Packet::decode(&rest[..len]).unwrap()
            && let Packet::MsgPblInc { origin, message, .. } = Packet::decode(content).unwrap()
        {
            assert_eq!((header.destination.0, header.origin), (receiver, origin));
            found.push(message.to_owned());
        }
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "{rest:?}");
    found
}

#[test]
fn a_public_message_goes_on_over_every_link_but_that_which_it_came_over_in_the_order_in_which_all_hear_it() {
    let mut rig = routed();
    let (one, two) = (neighbour(&mut rig, 31, 1), neighbour(&mut rig, 32, 2));
    let slow = neighbour(&mut rig, 33, 3);
    let guest = rig.guest("ana");
    slow.stop_taking();
    for round in 0..3 {
        // Some in one turn, some in turns of their own.
        for (peer, bytes) in [
            (&guest, encoded(&Packet::MsgPbl { message: &format!("{round} here") })),
            (&one, relay(31, INCARNATION, 2 * round + 1, &format!("{round} from 31"))),
            (&two, relay(32, INCARNATION, 2 * round + 1, &format!("{round} from 32"))),
            (&one, relay(31, INCARNATION, 2 * round + 2, &format!("{round} more"))),
            (&guest, encoded(&Packet::MsgPbl { message: &format!("{round} end") })),
        ] {
            if round == 1 { rig.arrive(peer, &bytes) } else { rig.send(peer, &bytes) }
        }
        rig.run_until_idle();
    }
    rig.take(&slow, usize::MAX);
    let mut told = Vec::new();
    let output = guest.take_output();
    let mut rest = output.as_slice();
    while let Scan::Packet { len } = scan(rest, &LIMITS) {
        let Packet::MsgPblInc { message, .. } = Packet::decode(&rest[..len]).unwrap() else { panic!("{rest:?}") };
        told.push(message.to_owned());
        rest = &rest[len..];
    }
    assert_eq!(told.len(), 15);
    let without = |text: &[&str]| {
        let all = told.iter().filter(|message| !text.iter().any(|text| message.ends_with(text)));
        all.cloned().collect::<Vec<String>>()
    };
    assert_eq!(heard(&slow.take_output(), 33), told);
    assert_eq!(heard(&one.take_output(), 31), without(&["from 31", "more"]));
    assert_eq!(heard(&two.take_output(), 32), without(&["from 32"]));
}

#[test]
fn news_that_waited_for_a_lost_link_is_no_packet_that_was_lost_with_it() {
    let mut rig = routed();
    let (near, far) = (neighbour(&mut rig, HONEST, 1), neighbour(&mut rig, HONEST + 1, 2));
    far.stop_taking();
    rig.send(&near, &links(77, (INCARNATION, 1), &[(HONEST, 3)]));
    rig.send(&near, &relay(HONEST, INCARNATION, 1, "hi"));
    rig.send(&near, &links(78, (INCARNATION, 1), &[(HONEST, 4)]));
    rig.reset(&far);
    assert_eq!(rig.engine.core().counters.link_packets_dropped, 1, "the message alone");
}
