//! Routed servers as real processes: the annex's tables, three in a row, who merges with whom (D24 to D37).

use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};

use crate::node::{Node, expect_nothing_else, expect_private, expect_public, tell, wait_until};
use crate::peer::{Home, described, expect, hex, send, text};
use crate::support::Client;

/// A routed server.
pub fn routed(id: u32) -> Node {
    Node::start(id, &["--routed"])
}

/// The routing table: server, next server, path length.
pub fn routes(node: &Node) -> Vec<[u32; 3]> {
    let lines = node.ask("routes");
    let (last, rows) = lines.split_last().unwrap();
    assert_eq!(last, "ok");
    let row = |line: &String| line.split('\t').map(|field| field.parse().unwrap()).collect::<Vec<u32>>();
    rows.iter().map(|line| row(line).try_into().unwrap()).collect()
}

/// Waits until a server has this table.
pub fn wait_for_routes(node: &Node, expected: &[[u32; 3]]) {
    wait_until(|| routes(node) == expected, || format!("server {} has {:?}", node.id, routes(node)));
}

/// Servers 1, 2, 3, … each merged with the next.
fn row(count: u32) -> Vec<Node> {
    let nodes: Vec<Node> = (1..=count).map(routed).collect();
    for pair in nodes.windows(2) {
        pair[0].merge(&pair[1]);
    }
    for node in &nodes {
        wait_until(|| routes(node).len() + 1 == nodes.len(), || format!("server {} has {:?}", node.id, routes(node)));
    }
    nodes
}

#[test]
fn the_two_tables_of_the_annex_come_out_to_the_number() {
    let nodes: Vec<Node> = [1, 2, 3, 4, 5, 6, 26].into_iter().map(routed).collect();
    let [a, b, c, d, e, f, z] = &nodes[..] else { unreachable!() };
    for (one, other) in [(a, b), (d, e), (b, c), (e, f), (b, e)] {
        one.merge(other);
    }
    let of_e = [[1, 2, 1], [2, 2, 0], [3, 2, 1], [4, 4, 0], [6, 6, 0]];
    wait_for_routes(e, &of_e);
    z.merge(e);
    wait_for_routes(z, &[[1, 5, 2], [2, 5, 1], [3, 5, 2], [4, 5, 1], [5, 5, 0], [6, 5, 1]]);
    wait_for_routes(e, &[&of_e[..], &[[26, 26, 0]]].concat());
    wait_for_routes(a, &[[2, 2, 0], [3, 2, 1], [4, 2, 2], [5, 2, 1], [6, 2, 2], [26, 2, 2]]);
    assert_eq!([e.status("mode"), e.status("servers"), z.status("path_length_max")], ["routed", "7", "2"]);
    // Everybody hears everybody, once.
    let mut guests: Vec<Client> = nodes.iter().map(|node| node.guest(&format!("of {}", node.id))).collect();
    for (place, node) in nodes.iter().enumerate() {
        let sender = format!("of {}", node.id);
        guests[place].say("hello");
        guests.iter_mut().for_each(|guest| expect_public(guest, node.id, &sender, "hello"));
    }
    for (guest, node) in guests.iter_mut().zip(&nodes) {
        expect_nothing_else(guest, node.id, &format!("of {}", node.id));
    }
}

fn chunk(content: &[u8; 1024]) -> FileChunk<'_> {
    FileChunk { transfer_id: 7, file_name: "f", chunks: 300, content }
}

#[test]
fn three_in_a_row_pass_on_messages_files_and_errors_and_the_ends_never_dial_each_other() {
    let nodes = row(3);
    let (mut ana, mut bob, mut carl) = (nodes[0].guest("ana"), nodes[1].guest("bob"), nodes[2].guest("carl"));
    ana.say("hi all");
    for guest in [&mut ana, &mut bob, &mut carl] {
        expect_public(guest, 1, "ana", "hi all");
    }
    carl.say("hi");
    for guest in [&mut ana, &mut bob, &mut carl] {
        expect_public(guest, 3, "carl", "hi");
    }
    tell(&mut ana, 3, "carl", "psst");
    expect_private(&mut carl, 1, "ana", "carl", "psst");
    tell(&mut carl, 1, "ana", "psst too");
    expect_private(&mut ana, 3, "carl", "ana", "psst too");
    // A file: each chunk as it was sent, in order.
    let content = |number: u32| {
        let mut content = [0; 1024];
        content.iter_mut().enumerate().for_each(|(at, byte)| *byte = (number as usize * 31 + at * 7) as u8);
        content
    };
    for number in 0..300 {
        let content = content(number);
        ana.send(&Packet::FileChnk { destination: ServerId(3), receiver: "carl", chunk: chunk(&content) });
    }
    for number in 0..300 {
        let (content, origin) = (content(number), ServerId(1));
        let chunk = chunk(&content);
        carl.expect(&Packet::FileChnkInc { origin, sender: "ana", receiver: "carl", chunk });
    }
    // An unknown receiver is said by its server, an unknown server by our own.
    tell(&mut ana, 3, "nobody", "psst");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    tell(&mut ana, 9, "nobody", "psst");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    for (guest, server, name) in [(&mut ana, 1, "ana"), (&mut bob, 2, "bob"), (&mut carl, 3, "carl")] {
        expect_nothing_else(guest, server, name);
    }
    // Each knows its neighbours, and the ends have one link.
    assert_eq!(nodes[0].siblings(), [(2, nodes[1].place(), "linked".to_owned())]);
    assert_eq!(nodes[2].siblings(), [(2, nodes[1].place(), "linked".to_owned())]);
    assert_eq!(nodes[0].status("mesh_complete"), "1");
    let relayed = nodes[1].metric("cfp_packets_total{code=\"RELAY\",direction=\"in\"}");
    assert!(relayed >= 300, "{relayed}");
}

#[test]
fn what_is_for_a_server_that_is_out_of_reach_is_answered_with_an_error_by_who_finds_that() {
    let mut nodes = row(3);
    let mut ana = nodes[0].guest("ana");
    let address = nodes[2].address;
    drop(nodes.pop());
    nodes[0].server.wait_for_log("server 3 is out of reach");
    tell(&mut ana, 3, "carl", "are you there?");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    wait_for_routes(&nodes[0], &[[2, 2, 0]]);
    // It comes back under its ID, and needs to be asked by nobody else.
    let back = Node::start_at(3, address, &["--routed"]);
    back.merge(&nodes[1]);
    wait_for_routes(&nodes[0], &[[2, 2, 0], [3, 2, 1]]);
    let mut carl = back.guest("carl");
    tell(&mut ana, 3, "carl", "welcome");
    expect_private(&mut carl, 1, "ana", "carl", "welcome");
}

#[test]
fn a_link_that_closes_a_ring_is_a_spare_and_takes_over_when_another_is_lost() {
    let mut nodes = row(3);
    nodes[2].merge(&nodes[0]);
    nodes[0].server.wait_for_log("the link to server 3 closes a ring: it is a spare");
    assert_eq!(routes(&nodes[0]), [[2, 2, 0], [3, 2, 1]], "the older links carry");
    let state = |node: &Node, id| node.siblings().into_iter().find(|sibling| sibling.0 == id).map(|sibling| sibling.2);
    wait_until(|| state(&nodes[2], 1).as_deref() == Some("spare"), || format!("{:?}", nodes[2].siblings()));
    let (mut ana, mut carl) = (nodes[0].guest("ana"), nodes[2].guest("carl"));
    ana.say("one");
    expect_public(&mut carl, 1, "ana", "one");
    drop(nodes.remove(1));
    for node in &nodes {
        wait_until(|| routes(node).len() == 1, || format!("{:?}", routes(node)));
    }
    ana.say("two");
    expect_public(&mut carl, 1, "ana", "two");
    carl.say("three");
    ana.receive();
    ana.receive();
    expect_public(&mut ana, 3, "carl", "three");
    assert_eq!(state(&nodes[0], 3).as_deref(), Some("linked"));
}

#[test]
fn a_dense_and_a_routed_server_do_not_merge_and_each_says_why() {
    let (dense, routed) = (Node::start(1, &[]), routed(2));
    assert_eq!(dense.ask(&format!("merge {}", routed.address)), ["error server limit"]);
    routed.server.wait_for_log("it is not routed: start it with --routed");
    assert_eq!(routed.ask(&format!("merge {}", dense.address)), ["error server limit, or not a routed server"]);
    dense.server.wait_for_log("it is routed, and we are not: start both with --routed, or neither");
    assert!(dense.siblings().is_empty() && routed.siblings().is_empty());
    assert_eq!(dense.status("mode"), "dense");
}

#[test]
fn a_server_of_another_make_that_accepts_is_not_taken() {
    let node = routed(2);
    let home = Home::new();
    let place = home.address.to_string();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {place}")));
        let mut peer = home.accept();
        let own = described(2, &node.place());
        expect(&mut peer, &format!("A0 00000002 00000002 {own} {own}"));
        send(&mut peer, &format!("A1 00000009 00000001 {}", home.described(9)));
        assert_eq!(answer.join().unwrap(), ["error not a routed server"]);
    });
    node.server.wait_for_log("does not fit: it is not routed: start it with --routed");
    // One that asks without the mark is declined.
    let mut peer = Client::connect(node.address);
    send(&mut peer, &format!("A0 00000009 00000001 {}", home.described(9)));
    expect(&mut peer, "A2 01");
}

/// A routed peer of this ID that describes itself, linked with `node` by the stamp 1.
fn linked_peer(node: &Node, id: u32, home: &Home) -> Client {
    let mut peer = Client::connect(node.address);
    let own = home.described(id);
    send(&mut peer, &format!("A0 {id:08x} 00000002 {own} {own} 54 00000000"));
    let node_id = node.id;
    let itself = described(node_id, &node.place());
    expect(&mut peer, &format!("A1 {node_id:08x} 00000002 {itself} {itself}"));
    expect(&mut peer, "54 00000000");
    let links = peer.receive();
    assert_eq!((links[0], &links[links.len() - 8..]), (0x52, &hex(&format!("{id:08x} 00000001"))[..]));
    send(&mut peer, &format!("52 {own} 00000005 00000001 00000001 {node_id:08x} 00000001"));
    wait_for_routes(node, &[[id, id, 0]]);
    peer
}

#[test]
fn a_peer_speaks_for_itself_and_those_behind_it_once_and_in_order() {
    let (node, home) = (routed(2), Home::new());
    let mut peer = linked_peer(&node, 9, &home);
    let mut bob = node.guest("bob");
    let public = |origin: u32, message: &str| format!("30 {origin:08x} {} {}", text("eve"), text(message));
    let relay = |origin: u32, incarnation: u32, number: u32, content: &str| {
        format!("51 00000002 {origin:08x} {incarnation:08x} {number:08x} {content}")
    };
    let packets = [
        relay(9, 5, 1, &public(9, "one")),
        relay(9, 5, 1, &public(9, "twice")),
        relay(9, 5, 3, &public(9, "three")),
        relay(9, 5, 2, &public(9, "late")),
        // In the name of others: of this server, of one that nobody knows, and of one in the content alone.
        relay(2, 9, 1, &public(2, "yours")),
        relay(7, 9, 1, &public(7, "nobody's")),
        relay(9, 5, 4, &public(7, "nobody's")),
        // For another server than this one.
        format!("51 00000009 00000009 00000005 00000005 {}", public(9, "astray")),
        // News runs ahead of packets, so it has to come first that the server was started anew.
        relay(9, 6, 1, &public(9, "early")),
        format!("52 {} 00000006 00000001 00000001 00000002 00000001", home.described(9)),
        relay(9, 6, 1, &public(9, "started anew")),
    ];
    send(&mut peer, &packets.concat());
    for message in ["one", "three", "started anew"] {
        expect_public(&mut bob, 9, "eve", message);
    }
    expect_nothing_else(&mut bob, 2, "bob");
    assert_eq!(node.metric("cfp_ignored_packets_total{reason=\"late\"}"), 3);
    assert_eq!(node.metric("cfp_ignored_packets_total{reason=\"misaddressed\"}"), 4);
    // What bob says goes to the peer, with its first number.
    bob.say("hi");
    let relayed = peer.receive();
    assert_eq!(relayed[..9], hex("51 00000009 00000002"));
    assert_eq!(relayed[13..17], hex("00000001"));
    assert_eq!(relayed[17..], hex(&format!("30 00000002 {} {}", text("bob"), text("hi"))));
    // A code without a layout there closes the link.
    send(&mut peer, "55");
    node.server.wait_for_log("out of frame");
}
