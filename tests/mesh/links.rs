//! What a link carries, and what comes of everything else on it.

use crate::node::{Node, expect_nothing_else, expect_private, expect_public, tell};
use crate::peer::{Home, expect, hex, link, linked, send, text};
use crate::support::Client;

/// A server, a client of it, and a link from a peer.
struct Scene {
    node: Node,
    ana: Client,
    home: Home,
    peer: Client,
}

fn scene() -> Scene {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let (peer, ana) = (linked(&node, 9, &home), node.guest("ana"));
    Scene { node, ana, home, peer }
}

/// A MSGPBLINC as hexadecimal digits.
fn public(origin: u32, sender: &str, message: &str) -> String {
    format!("30 {origin:08x} {} {}", text(sender), text(message))
}

fn ignored(node: &Node, reason: &str) -> u64 {
    node.metric(&format!("cfp_ignored_packets_total{{reason=\"{reason}\"}}"))
}

#[test]
fn forwarded_packets_reach_the_clients_here() {
    let Scene { node: _node, home: _home, mut ana, mut peer } = scene();
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "hi")));
    expect_public(&mut ana, 9, "bob", "hi");
    send(&mut peer, &format!("50 00000007 31 00000009 {} {} {}", text("bob"), text("ana"), text("psst")));
    expect_private(&mut ana, 9, "bob", "ana", "psst");
    let chunk = format!("00000063 {} 00000003 {}", text("a.txt"), "5a".repeat(1024));
    let chunk = format!("41 00000009 {} {} {chunk}", text("bob"), text("ana"));
    send(&mut peer, &format!("50 00000007 {chunk}"));
    expect(&mut ana, &chunk);
    for reason in 0..=1 {
        tell(&mut ana, 9, "zoe", "psst");
        peer.receive();
        send(&mut peer, &format!("50 00000007 F0 {} 0{reason}", text("ana")));
        expect(&mut ana, &format!("F0 {} 0{reason}", text("ana")));
    }
}

#[test]
fn what_clients_here_send_is_forwarded_byte_for_byte() {
    let Scene { node: _node, home: _home, mut ana, mut peer } = scene();
    ana.say("hi");
    expect(&mut peer, &format!("50 00000009 {}", public(7, "ana", "hi")));
    tell(&mut ana, 9, "bob", "psst");
    expect(&mut peer, &format!("50 00000009 31 00000007 {} {} {}", text("ana"), text("bob"), text("psst")));
    let chunk = format!("00000063 {} 00000003 {}", text("a.txt"), "5a".repeat(1024));
    send(&mut ana, &format!("40 00000009 {} {chunk}", text("bob")));
    expect(&mut peer, &format!("50 00000009 41 00000007 {} {} {chunk}", text("ana"), text("bob")));
}

#[test]
fn what_was_said_before_reaches_every_server_before() {
    let Scene { node, home: _home, mut ana, peer: mut nine } = scene();
    let home = Home::new();
    let mut eight = linked(&node, 8, &home);
    assert_eq!(nine.receive()[0], 0xA0);
    let chunk = format!("00000063 {} 00000003 {}", text("a.txt"), "5a".repeat(1024));
    send(
        &mut ana,
        &format!(
            "20 {} 40 00000009 {} {chunk} 20 {} 21 00000009 {} {} 20 {}",
            text("one"),
            text("bob"),
            text("two"),
            text("bob"),
            text("psst"),
            text("three")
        ),
    );
    let said = |peer: &mut Client, id: u32, message| {
        expect(peer, &format!("50 {id:08x} {}", public(7, "ana", message)));
    };
    said(&mut nine, 9, "one");
    expect(&mut nine, &format!("50 00000009 41 00000007 {} {} {chunk}", text("ana"), text("bob")));
    said(&mut nine, 9, "two");
    expect(&mut nine, &format!("50 00000009 31 00000007 {} {} {}", text("ana"), text("bob"), text("psst")));
    said(&mut nine, 9, "three");
    ["one", "two", "three"].into_iter().for_each(|message| said(&mut eight, 8, message));
}

#[test]
fn an_unknown_receiver_is_answered_with_an_error_to_the_origin() {
    let Scene { node, home: _home, mut ana, mut peer } = scene();
    send(&mut peer, &format!("50 00000007 31 00000009 {} {} {}", text("bob"), text("zoe"), text("psst")));
    expect(&mut peer, &format!("50 00000009 F0 {} 01", text("bob")));
    // An error for a client that is gone is dropped.
    send(&mut peer, &format!("50 00000007 F0 {} 01", text("zoe")));
    expect_nothing_else(&mut ana, 7, "ana");
    node.wait_until_linked_with(&[9]);
}

#[test]
fn an_error_that_answers_nothing_is_not_passed_on_and_is_counted() {
    let Scene { node, home: _home, mut ana, mut peer } = scene();
    let (other_home, mut bob) = (Home::new(), node.guest("bob"));
    let mut other = linked(&node, 8, &other_home);
    assert_eq!(peer.receive()[0], 0xA0);
    let error = |name| format!("50 00000007 F0 {} 01", text(name));
    let before = ignored(&node, "misaddressed");
    // She has sent packets to a client of her own server, to all, and to another server, but none to that one.
    tell(&mut ana, 7, "bob", "psst");
    expect_private(&mut bob, 7, "ana", "bob", "psst");
    ana.say("hi");
    expect_public(&mut ana, 7, "ana", "hi");
    expect_public(&mut bob, 7, "ana", "hi");
    tell(&mut ana, 8, "eve", "psst");
    (0..2).for_each(|_| drop(other.receive()));
    for _ in 0..100 {
        send(&mut peer, &error("ana"));
        send(&mut peer, &error("bob"));
    }
    // One ERROR for one packet, whatever its reason. A second one is ignored, and so is one for an unknown client.
    tell(&mut bob, 9, "eve", "psst");
    (0..2).for_each(|_| drop(peer.receive()));
    for name in ["bob", "bob", "nobody", "eve"] {
        send(&mut peer, &error(name));
    }
    send(&mut peer, &format!("50 00000007 {}", public(9, "eve", "honest")));
    bob.expect(&cfp::wire::Packet::Error { sender: "bob", reason: cfp::wire::ErrorReason::UnknownReceiver });
    expect_public(&mut bob, 9, "eve", "honest");
    expect_public(&mut ana, 9, "eve", "honest");
    assert_eq!(ignored(&node, "misaddressed") - before, 201);
    send(&mut other, &error("ana"));
    ana.expect(&cfp::wire::Packet::Error { sender: "ana", reason: cfp::wire::ErrorReason::UnknownReceiver });
    expect_nothing_else(&mut ana, 7, "ana");
}

#[test]
fn pckfwd_under_its_other_code_is_taken_and_never_sent() {
    let Scene { node: _node, home: _home, mut ana, mut peer } = scene();
    send(&mut peer, &format!("32 00000007 {}", public(9, "bob", "hi")));
    expect_public(&mut ana, 9, "bob", "hi");
    ana.say("hello");
    assert_eq!(peer.receive()[0], 0x50);
}

#[test]
fn a_server_cannot_speak_for_another_one() {
    let Scene { node, home: _home, mut ana, mut peer } = scene();
    let spoofed = [
        format!("50 00000007 {}", public(8, "bob", "spoofed")),
        format!("50 00000007 {}", public(7, "bob", "spoofed")),
        format!("50 00000007 31 00000008 {} {} {}", text("bob"), text("ana"), text("spoofed")),
        format!("50 00000008 {}", public(9, "bob", "for somebody else")),
        format!("50 00000009 {}", public(9, "bob", "for itself")),
        "A0 00000008 00000000".to_owned(),
        "A1 00000008 00000000".to_owned(),
    ];
    let before = ignored(&node, "misaddressed");
    for packet in &spoofed {
        send(&mut peer, packet);
    }
    // The link is still there, and this is the first that she sees.
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "honest")));
    expect_public(&mut ana, 9, "bob", "honest");
    assert_eq!(ignored(&node, "misaddressed") - before, spoofed.len() as u64);
    node.wait_until_linked_with(&[9]);
}

#[test]
fn packets_that_do_not_belong_on_a_link_are_ignored_and_it_stays() {
    let Scene { node, home: _home, mut ana, mut peer } = scene();
    let others = [
        format!("00 {}", text("bob")),
        format!("01 {} {}", text("bob"), text("secret")),
        "10 00".to_owned(),
        format!("20 {}", text("hi")),
        format!("21 00000007 {} {}", text("ana"), text("hi")),
        public(9, "bob", "not forwarded"),
        format!("F0 {} 00", text("ana")),
        // Forwarded, and not of the four that may be.
        format!("50 00000007 20 {}", text("hi")),
        "50 00000007 A0 00000009 00000000".to_owned(),
    ];
    let before = ignored(&node, "state");
    // More often than a client could.
    for _ in 0..10 {
        for packet in &others {
            send(&mut peer, packet);
        }
    }
    let malformed = [
        // A forwarded packet within a forwarded one.
        format!("50 00000007 50 00000007 {}", public(9, "bob", "nested")),
        format!("50 00000007 32 00000007 {}", public(9, "bob", "nested")),
        // Not UTF-8.
        format!("50 00000007 30 00000009 {} 00000001 ff", text("bob")),
        // An impossible sender.
        format!("50 00000007 {}", public(9, " bob", "hi")),
        format!("50 00000007 {}", public(9, &"x".repeat(65), "hi")),
        // A message longer than is allowed here.
        format!("50 00000007 30 00000009 {} 00010001 {}", text("bob"), "61".repeat(65_537)),
        "A2 07".to_owned(),
    ];
    for packet in &malformed {
        send(&mut peer, packet);
    }
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "honest")));
    expect_public(&mut ana, 9, "bob", "honest");
    assert_eq!(ignored(&node, "state") - before, 10 * others.len() as u64);
    node.wait_until_linked_with(&[9]);
}

#[test]
fn an_unknown_code_closes_the_link_and_it_is_dialled_anew() {
    let Scene { node, mut ana, home, mut peer } = scene();
    for unknown in ["77", "50 00000007 77"] {
        send(&mut peer, unknown);
        peer.expect_end();
        node.server.wait_for_log("out of frame");
        peer = home.accept();
        assert_eq!(peer.receive()[0], 0xA0);
        send(&mut peer, &format!("A1 00000009 00000001 {}", home.described(9)));
        node.wait_until_linked_with(&[9]);
        send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "back again")));
        expect_public(&mut ana, 9, "bob", "back again");
    }
}

#[test]
fn a_misread_length_does_not_make_a_link_mute_it_is_closed_and_dialled_anew() {
    let Scene { node, mut ana, home, mut peer } = scene();
    // A MSGPRVINC without its receiver: the next packet's code is read as a part of a length.
    let without_receiver = format!("50 00000007 31 00000009 {} {}", text("x"), text("hi"));
    let sound = format!("50 00000007 {}", public(9, "bob", "nobody hears me"));
    peer.send_bytes_if_open(&hex(&[without_receiver, sound.repeat(75)].concat()));
    peer.receive_to_end();
    node.server.wait_for_log("out of frame");
    let mut peer = home.accept();
    assert_eq!(peer.receive()[0], 0xA0);
    send(&mut peer, &format!("A1 00000009 00000001 {}", home.described(9)));
    node.wait_until_linked_with(&[9]);
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "back again")));
    expect_public(&mut ana, 9, "bob", "back again");
}

#[test]
fn a_length_that_no_server_allows_closes_a_link_whatever_field_of_whatever_packet_it_stands_in() {
    let (bob, ana) = (text("bob"), text("ana"));
    for head in [
        "00".to_owned(),
        format!("01 {bob}"),
        "20".to_owned(),
        format!("21 00000007 {ana}"),
        "30 00000009".to_owned(),
        format!("50 00000007 30 00000009 {bob}"),
        "50 00000007 31 00000009".to_owned(),
        format!("50 00000007 31 00000009 {bob}"),
        format!("50 00000007 31 00000009 {bob} {ana}"),
        "50 00000007 41 00000009".to_owned(),
        format!("50 00000007 41 00000009 {bob}"),
        format!("50 00000007 41 00000009 {bob} {ana} 00000001"),
        "50 00000007 F0".to_owned(),
        "50 00000007 50 00000007 F0".to_owned(),
        // Behind a field that is skipped.
        format!("50 00000007 30 00000009 {}", text(&"x".repeat(65))),
    ] {
        let Scene { node: _node, mut ana, home: _home, mut peer } = scene();
        // As much as some server may allow is skipped. The test need not send it all to see that the link stays.
        peer.send_bytes_if_open(&hex(&format!("{head} 01000001")));
        peer.expect_end();
        expect_nothing_else(&mut ana, 7, "ana");
    }
    let Scene { node, mut ana, home: _home, mut peer } = scene();
    send(&mut peer, "50 00000007 30 00000009 00000003 626f62 01000000");
    peer.send_bytes(&vec![b'x'; 16 << 20]);
    send(&mut peer, "A0 00000009 00155555");
    peer.send_bytes(&vec![b'x'; 0x15_5555 * 12]);
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "in frame")));
    expect_public(&mut ana, 9, "bob", "in frame");
    // Descriptions are twelve bytes each.
    send(&mut peer, "A0 00000009 00155556");
    peer.expect_end();
    node.wait_until_lost(9);
}

#[test]
fn a_link_may_come_from_either_side_again_after_it_was_lost() {
    let Scene { node, mut ana, home, peer } = scene();
    drop(peer);
    node.wait_until_lost(9);
    let mut peer = Client::connect(node.address);
    // Its own dial may be under way: the peer's has the higher ID.
    link(&mut peer, &node, 9, &home);
    send(&mut peer, &format!("50 00000007 {}", public(9, "bob", "back again")));
    expect_public(&mut ana, 9, "bob", "back again");
}
