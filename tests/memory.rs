//! Which connections may use up the server's memory, and which are closed for it: the bounds on input before a login,
//! and on all queues.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::config::Config;
use cfp::limits::{NEWCOMER_KEPT_BYTES, NEWCOMER_KEPT_TOTAL_BYTES, NEWCOMER_MESSAGE_MAX_BYTES};
use cfp::wire::{AuthResponse, Code, Descriptions, Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

const KIB: usize = 1024;

fn rig(max_memory_bytes: usize) -> Rig {
    Rig::with(Config { max_memory_bytes, ..Config::new(ID) })
}

/// An address for each number.
fn from(number: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0a00_0000 + number), 4000).into()
}

fn guest(rig: &mut Rig, from: SocketAddr, nickname: &str) -> Peer {
    let peer = rig.connect_from(from);
    rig.send(&peer, &encoded(&Packet::AuthGst { nickname }));
    assert_eq!(peer.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }));
    peer
}

/// A guest with about this much private output: its own messages to itself, which it does not read.
fn slow_guest(rig: &mut Rig, from: SocketAddr, nickname: &str, bytes: usize) -> Peer {
    let peer = guest(rig, from, nickname);
    peer.stop_taking();
    let message = "x".repeat(1000);
    let packet = encoded(&Packet::MsgPrv { destination: ID, receiver: nickname, message: &message });
    rig.send(&peer, &packet.repeat(bytes / 1024));
    peer
}

/// The first bytes of a message of 64 KiB.
fn half_message(bytes: usize) -> Vec<u8> {
    let mut half = encoded(&Packet::MsgPbl { message: &"x".repeat(64 * KIB) });
    half.truncate(bytes);
    half
}

/// Most of a message as long as it is kept of a stranger.
fn most_of_a_short_message() -> Vec<u8> {
    let mut packet = encoded(&Packet::MsgPbl { message: &"x".repeat(NEWCOMER_MESSAGE_MAX_BYTES) });
    packet.truncate(4000);
    packet
}

#[test]
fn a_stranger_keeps_eight_kib_at_most_whatever_it_sends() {
    let login = encoded(&Packet::AuthUsr { nickname: &"n".repeat(64), password: &"p".repeat(1024) });
    let chunk = [&[0x22, 0, 0, 0, 7, 0, 0, 0, 1, b'r', 0, 0, 0, 1, 0, 0, 0, 200][..], &[b'f'; 1100]].concat();
    let forwarded = [&[0x50, 0, 0, 0, 7][..], &half_message(60 * KIB)].concat();
    for bytes in
        [half_message(60 * KIB), most_of_a_short_message(), login[..login.len() - 1].to_vec(), chunk, forwarded]
    {
        let mut rig = rig(64 << 20);
        let stranger = rig.connect();
        // By and by, and at once.
        for piece in bytes.chunks(700) {
            rig.send(&stranger, piece);
            assert!(rig.engine.queued_bytes() <= NEWCOMER_KEPT_BYTES, "{}", rig.engine.queued_bytes());
        }
        let hasty = rig.connect();
        rig.send(&hasty, &bytes);
        assert!(rig.engine.queued_bytes() <= 2 * NEWCOMER_KEPT_BYTES, "{}", rig.engine.queued_bytes());
    }
}

#[test]
fn what_a_stranger_sends_too_much_of_is_ignored_and_it_may_log_in_behind() {
    let mut rig = rig(64 << 20);
    let early = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
    let login = encoded(&Packet::AuthGst { nickname: "ana" });
    let said = encoded(&Packet::MsgPbl { message: &"y".repeat(60 * KIB) });
    let stranger = rig.connect();
    rig.send(&stranger, &[early, login, said].concat());
    let heard = Packet::MsgPblInc { origin: ID, sender: "ana", message: &"y".repeat(60 * KIB) };
    let expected = [encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }), encoded(&heard)].concat();
    assert!(stranger.take_output() == expected, "nothing of what follows the login is lost");
}

#[test]
fn strangers_together_keep_a_mebibyte_and_the_address_with_most_of_it_pays() {
    let mut rig = rig(64 << 20);
    let login = encoded(&Packet::AuthGst { nickname: "ana" });
    let innocent = rig.connect_from(from(1));
    rig.send(&innocent, &login[..3]);
    let mut attackers = Vec::new();
    for number in 0..2000 {
        let attacker = rig.connect_from(from(2 + number % 100));
        rig.send(&attacker, &most_of_a_short_message());
        assert!(rig.engine.queued_bytes() <= NEWCOMER_KEPT_TOTAL_BYTES);
        attackers.push(attacker);
    }
    assert!(attackers.iter().filter(|attacker| attacker.is_closed()).count() > 1000);
    rig.send(&innocent, &login[3..]);
    assert_eq!(innocent.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }));
}

#[test]
fn whoever_is_slow_for_a_moment_does_not_pay_for_a_thousand_strangers_or_senders() {
    for is_logged_in in [false, true] {
        let mut rig = rig(16 << 20);
        let slow = slow_guest(&mut rig, from(1), "slow", 250 * KIB);
        let attackers: Vec<Peer> = (0..1025)
            .map(|number| {
                let attacker = match is_logged_in {
                    true => guest(&mut rig, from(2 + number), &format!("guest{number}")),
                    false => rig.connect_from(from(2 + number)),
                };
                rig.send(&attacker, &if is_logged_in { half_message(60 * KIB) } else { most_of_a_short_message() });
                attacker
            })
            .collect();
        assert!(rig.is_open(&slow), "logged in: {is_logged_in}");
        let closed = attackers.iter().filter(|attacker| attacker.is_closed()).count();
        assert!(!is_logged_in || closed > 700, "{closed} were closed");
    }
}

#[test]
fn the_address_that_holds_most_in_total_pays_not_the_largest_queue() {
    let mut rig = rig(1 << 20);
    let slow = slow_guest(&mut rig, from(1), "slow", 200 * KIB);
    let attackers: Vec<Peer> =
        (0..40).map(|number| slow_guest(&mut rig, from(2), &format!("guest{number}"), 50 * KIB)).collect();
    assert!(rig.is_open(&slow));
    assert!(attackers.iter().any(Peer::is_closed));
    assert!(!attackers.iter().all(Peer::is_closed), "no more than needed");
}

#[test]
fn the_addresses_of_one_ipv6_network_are_one() {
    let mut rig = rig(1 << 20);
    let slow = slow_guest(&mut rig, "[2001:db8:1::1]:4000".parse().unwrap(), "slow", 200 * KIB);
    for number in 0..40 {
        let from = format!("[2001:db8:2::{number}]:4000").parse().unwrap();
        slow_guest(&mut rig, from, &format!("guest{number}"), 50 * KIB);
    }
    assert!(rig.is_open(&slow));
}

#[test]
fn where_all_share_one_address_the_largest_goes_and_then_the_next() {
    let mut rig = rig(600 * KIB);
    let peers: Vec<Peer> = [100, 50, 150, 200, 75]
        .iter()
        .enumerate()
        .map(|(number, kib)| slow_guest(&mut rig, from(1), &format!("guest{number}"), kib * KIB))
        .collect();
    let still = slow_guest(&mut rig, from(1), "last", 120 * KIB);
    assert!(rig.is_open(&still));
    let closed: Vec<bool> = peers.iter().map(Peer::is_closed).collect();
    assert_eq!(closed, [false, false, false, true, false]);
}

#[test]
fn strangers_go_before_those_who_are_in_and_links_go_last() {
    let mut rig = rig(400 * KIB);
    let link = rig.connect_from(SocketAddr::from(([127, 0, 0, 1], 4000)));
    rig.send(&link, &encoded(&Packet::MrgReq { server: ServerId(9), siblings: Descriptions::default() }));
    assert!(rig.is_link(&link));
    link.stop_taking();
    let speaker = guest(&mut rig, from(1), "speaker");
    let message = "x".repeat(1000);
    let away = encoded(&Packet::MsgPrv { destination: ServerId(9), receiver: "r", message: &message });
    rig.send(&speaker, &away.repeat(120));
    // As much as strangers may keep: they are from addresses that hold little.
    let strangers: Vec<Peer> = (0..20)
        .map(|number| {
            let stranger = rig.connect_from(from(100 + number));
            rig.send(&stranger, &most_of_a_short_message());
            stranger
        })
        .collect();
    let logging_in = rig.connect_from(from(2));
    rig.send(&logging_in, &[0]);
    let guests: Vec<Peer> =
        (0..3).map(|number| slow_guest(&mut rig, from(3 + number), &format!("guest{number}"), 75 * KIB)).collect();
    assert!(guests.iter().all(|guest| rig.is_open(guest)), "strangers go first");
    assert!(strangers.iter().any(Peer::is_closed));
    slow_guest(&mut rig, from(7), "one more", 60 * KIB);
    slow_guest(&mut rig, from(8), "and one more", 60 * KIB);
    assert!(rig.is_link(&link), "a link goes last");
    assert!(rig.is_open(&logging_in), "somebody who logs in does not pay for those who are in");
}

#[test]
fn what_waits_for_links_does_not_push_out_the_clients() {
    let mut rig = rig(400 * KIB);
    let links: Vec<Peer> = (9..13)
        .map(|id| {
            let link = rig.connect_from(SocketAddr::from(([127, 0, 0, id], 4000)));
            let request = Packet::MrgReq { server: ServerId(id.into()), siblings: Descriptions::default() };
            rig.send(&link, &encoded(&request));
            assert!(rig.is_link(&link));
            link.stop_taking();
            link
        })
        .collect();
    let slow = slow_guest(&mut rig, from(1), "slow", 50 * KIB);
    let message = "x".repeat(1000);
    for (number, id) in (9..13).cycle().take(16).enumerate() {
        let speaker = guest(&mut rig, from(100 + number as u32), &format!("speaker{number}"));
        let away = encoded(&Packet::MsgPrv { destination: ServerId(id), receiver: "r", message: &message });
        rig.send(&speaker, &away.repeat(30));
    }
    assert!(rig.is_open(&slow));
    assert!(links.iter().any(Peer::is_closed));
    assert!(links.iter().any(|link| rig.is_link(link)));
}

#[test]
fn those_who_are_behind_with_what_all_have_yet_to_get_share_it() {
    let mut rig = rig(700 * KIB);
    let behind: Vec<Peer> = (0..10)
        .map(|number| {
            let peer = guest(&mut rig, from(100 + number), &format!("behind{number}"));
            peer.stop_taking();
            peer
        })
        .collect();
    let private = slow_guest(&mut rig, from(2), "private", 200 * KIB);
    // More than the other has, and kept once for all ten.
    let say = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
    // Nine senders: one alone would be slowed, because readers are behind.
    for number in 0..9 {
        let speaker = guest(&mut rig, from(200 + number), &format!("speaker{number}"));
        rig.send(&speaker, &say);
    }
    assert!(!rig.is_open(&private), "it holds more than each of the others does");
    assert!(behind.iter().filter(|peer| rig.is_open(peer)).count() >= 9);
}

#[test]
fn a_turn_takes_no_more_than_what_a_copy_for_each_link_leaves_of_the_memory() {
    let said_in_a_turn = |links: u32| {
        let mut rig = rig(400 * KIB);
        let _links: Vec<Peer> = (0..links)
            .map(|number| {
                let link = rig.connect_from(SocketAddr::from(([127, 0, 0, 9 + number as u8], 4000)));
                let request = Packet::MrgReq { server: ServerId(100 + number), siblings: Descriptions::default() };
                rig.send(&link, &encoded(&request));
                assert!(rig.is_link(&link));
                link
            })
            .collect();
        let speakers: Vec<Peer> =
            (0..10).map(|number| guest(&mut rig, from(number), &format!("guest{number}"))).collect();
        let say = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
        speakers.iter().for_each(|speaker| rig.arrive(speaker, &say));
        rig.turn();
        rig.engine.core().counters.packets_in.packets(Code::MsgPbl)
    };
    assert_eq!([0, 1, 9].map(said_in_a_turn), [5, 4, 1], "what is said in public alone bounds the first one");
}

#[test]
fn a_turn_takes_less_of_what_is_said_in_public_the_more_clients_get_it() {
    let mut rig = rig(64 << 20);
    let guests: Vec<Peer> = (0..400).map(|number| guest(&mut rig, from(number), &format!("guest{number}"))).collect();
    let say = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
    guests.iter().take(10).for_each(|speaker| rig.arrive(speaker, &say));
    rig.turn();
    // A four-hundredth of 32 MiB is less than twice as much.
    assert_eq!(rig.engine.core().counters.packets_in.packets(Code::MsgPbl), 2);
}

#[test]
fn who_is_in_the_middle_of_a_packet_does_not_pay_for_slow_readers_that_hold_more_than_half() {
    let mut rig = rig(1 << 20);
    let speaker = guest(&mut rig, from(1), "speaker");
    rig.send(&speaker, &half_message(30 * KIB));
    let slow: Vec<Peer> =
        (0..40).map(|number| slow_guest(&mut rig, from(2), &format!("guest{number}"), 50 * KIB)).collect();
    assert!(rig.is_open(&speaker) && slow.iter().any(Peer::is_closed));
}

#[test]
fn of_one_address_the_connection_goes_that_holds_most_however_long_the_server_has_run() {
    let mut rig = rig(700 * KIB);
    let say = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
    let speaker = guest(&mut rig, from(1), "speaker");
    for _ in 0..20 {
        rig.send(&speaker, &say);
    }
    let behind = guest(&mut rig, from(2), "behind");
    behind.stop_taking();
    rig.send(&speaker, &say);
    let private = slow_guest(&mut rig, from(2), "private", 400 * KIB);
    for number in 0..3 {
        slow_guest(&mut rig, from(3 + number), &format!("slow{number}"), 150 * KIB);
    }
    assert!(rig.is_open(&behind) && !rig.is_open(&private));
}

#[test]
fn whoever_is_behind_with_what_is_said_in_public_holds_that_alone_if_nobody_else_is() {
    let mut rig = rig(700 * KIB);
    let behind = guest(&mut rig, from(1), "behind");
    behind.stop_taking();
    let say = encoded(&Packet::MsgPbl { message: &"x".repeat(60 * KIB) });
    // Nine senders: one alone would be slowed, because a reader is behind.
    for number in 0..9 {
        let speaker = guest(&mut rig, from(200 + number), &format!("speaker{number}"));
        rig.send(&speaker, &say);
    }
    let private = slow_guest(&mut rig, from(2), "private", 240 * KIB);
    assert!(rig.is_open(&private) && !rig.is_open(&behind));
}
