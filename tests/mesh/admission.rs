//! Which requests are declined or turned away, in which order, and what then stays as it was.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::node::{Node, wait_until};
use crate::peer::{Home, described, expect, linked, linked_without_description, send};
use crate::support::Client;

/// The node must decline this request for this reason, then close, and have the siblings that it had.
fn expect_declined(node: &Node, request: &str, answer: &str) {
    let before = node.siblings();
    let mut peer = Client::connect(node.address);
    send(&mut peer, request);
    expect(&mut peer, answer);
    peer.expect_end();
    assert_eq!(node.siblings(), before, "{request}");
}

#[test]
fn more_than_ten_descriptions_are_declined_before_they_arrive() {
    let node = Node::start(7, &[]);
    expect_declined(&node, "A0 00000009 0000000B", "A2 01");
    node.server.wait_for_log("declined a merge with server 9 (-): its list has more than 10 servers, as only a routed");
    expect_declined(&node, "A0 00000009 FFFFFFFF", "A2 01");
    // Even from a server of our own ID, which would be a conflict.
    expect_declined(&node, "A0 00000007 0000000B", "A2 01");
}

#[test]
fn an_id_that_would_stand_for_two_servers_is_a_conflict() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let _link = linked(&node, 9, &home);
    let elsewhere = "127.0.0.1:9";
    expect_declined(&node, "A0 00000007 00000000", "A2 02");
    expect_declined(&node, &format!("A0 00000007 00000001 {}", described(7, elsewhere)), "A2 02");
    expect_declined(&node, &format!("A0 00000005 00000001 {}", described(7, elsewhere)), "A2 02");
    expect_declined(&node, &format!("A0 00000005 00000001 {}", described(9, elsewhere)), "A2 02");
    let twice = format!("{} {}", described(4, "127.0.0.1:1"), described(4, "127.0.0.1:2"));
    expect_declined(&node, &format!("A0 00000005 00000002 {twice}"), "A2 02");
}

#[test]
fn a_conflict_comes_before_already_merged_and_before_the_limit() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let _link = linked(&node, 9, &home);
    // The same ID elsewhere: linked already, and a conflict.
    expect_declined(&node, &format!("A0 00000009 00000001 {}", described(9, "127.0.0.1:9")), "A2 02");
    let mut list = described(7, "127.0.0.1:9");
    list.extend((20..29).map(|id| described(id, &format!("127.0.0.1:{id}"))));
    expect_declined(&node, &format!("A0 00000005 0000000A {list}"), "A2 02");
}

#[test]
fn already_merged_comes_before_the_limit() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let _link = linked(&node, 9, &home);
    let list: String = (20..30).map(|id| described(id, &format!("127.0.0.1:{id}"))).collect();
    expect_declined(&node, &format!("A0 00000009 0000000A {list}"), "A2 00");
    expect_declined(&node, &format!("A0 00000005 0000000A {list}"), "A2 01");
}

#[test]
fn a_request_from_a_linked_server_is_declined_and_the_link_stays() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut link = linked(&node, 9, &home);
    expect_declined(&node, &format!("A0 00000009 00000001 {}", home.described(9)), "A2 00");
    expect_declined(&node, "A0 00000009 00000000", "A2 00");
    let mut ana = node.guest("ana");
    ana.say("hi");
    expect(&mut link, "50 00000009 30 00000007 00000003 616e61 00000002 6869");
}

#[test]
fn a_link_whose_server_asks_again_is_probed() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    // Until a try was quick enough to tell a probe from the keepalive that would be due anyway.
    for id in 20.. {
        let link = linked(&node, id, &home);
        // The timer is there when what was sent has been acknowledged.
        wait_until(|| keepalive_ticks(node.address, &link).is_some(), || "no keepalive timer".to_owned());
        let before_ticks = keepalive_ticks(node.address, &link).unwrap_or(0);
        let began = Instant::now();
        expect_declined(&node, &format!("A0 {id:08x} 00000000"), "A2 00");
        let after_ticks = keepalive_ticks(node.address, &link).unwrap_or(u64::MAX);
        if began.elapsed() < Duration::from_secs(1) && before_ticks > 250 {
            assert!(after_ticks <= 100, "{before_ticks} ticks before and {after_ticks} after");
            return;
        }
        assert!(id < 50, "the machine is too busy for every try");
        drop(link);
        node.wait_until_lost(id);
        assert_eq!(node.ask(&format!("forget {id}")), ["ok"]);
    }
}

/// Hundredths of a second until the server's kernel sends the next keepalive probe to this peer (proc(5)).
fn keepalive_ticks(server: SocketAddr, peer: &Client) -> Option<u64> {
    let as_in_table = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("{address} is no IPv4 address") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let ends = format!("{} {} ", as_in_table(server), as_in_table(peer.local_address()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().find(|line| line.contains(&ends))?;
    let timer = line.split_whitespace().nth(5)?;
    u64::from_str_radix(timer.strip_prefix("02:")?, 16).ok()
}

#[test]
fn descriptions_that_nobody_could_dial_are_passed_over() {
    let (node, home, other_home) = (Node::start(7, &[]), Home::new(), Home::new());
    let mut peer = Client::connect(node.address);
    let mut list = home.described(9);
    for (id, place) in
        (20..).zip(["127.0.0.1:0", "127.0.0.1:65536", "224.0.0.1:7777", "255.255.255.255:7777", "0.0.0.0:7777"])
    {
        list += &described(id, place);
    }
    list += &other_home.described(5);
    send(&mut peer, &format!("A0 00000009 00000007 {list}"));
    expect(&mut peer, &format!("A1 00000007 00000001 {}", described(7, &node.place())));
    let known: Vec<u32> = node.siblings().into_iter().map(|sibling| sibling.0).collect();
    assert_eq!(known, [5, 9]);
    other_home.accept();
}

#[test]
fn a_self_description_that_nobody_could_dial_counts_as_none() {
    let node = Node::start(7, &[]);
    let mut peer = Client::connect(node.address);
    send(&mut peer, &format!("A0 00000009 00000001 {}", described(9, "127.0.0.1:0")));
    expect(&mut peer, "A1 00000007 00000000");
    assert_eq!(node.siblings(), [(9, "-".to_owned(), "linked".to_owned())]);
}

#[test]
fn our_own_id_with_our_own_address_in_a_list_is_us() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut peer = Client::connect(node.address);
    let own = described(7, &node.place());
    send(&mut peer, &format!("A0 00000009 00000002 {} {own}", home.described(9)));
    expect(&mut peer, &format!("A1 00000007 00000001 {own}"));
    node.wait_until_linked_with(&[9]);
}

#[test]
fn a_tenth_sibling_is_declined() {
    let node = Node::start(7, &[]);
    let links: Vec<Client> = (20..29).map(|id| linked_without_description(&node, id)).collect();
    assert_eq!(node.siblings().len(), 9);
    expect_declined(&node, "A0 00000005 00000000", "A2 01");
    drop(links);
    // A server that does not describe itself cannot be dialled: it keeps no place.
    wait_until(|| node.siblings().is_empty(), || format!("they are kept: {:?}", node.siblings()));
    node.server.wait_for_log("lost the link to server 28, which never said where it listens");
    linked_without_description(&node, 5);
}

#[test]
fn a_merge_request_from_a_client_is_ignored() {
    let node = Node::start(7, &[]);
    let mut ana = node.guest("ana");
    send(&mut ana, "A0 00000009 00000000");
    crate::node::expect_nothing_else(&mut ana, 7, "ana");
    assert!(node.siblings().is_empty());
}

/// An address of this machine that is not a loopback one. Nothing leaves the machine: what connects to an own address
/// stays on it, and connecting a datagram socket sends nothing.
fn outer_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().filter(|address| !address.ip().is_loopback() && !address.ip().is_unspecified())
}

#[test]
#[ignore = "needs an address that is not a loopback one: .ci/run runs it where there is one"]
fn a_stranger_is_closed_before_its_request_is_looked_at() {
    let outer = outer_address().expect("this machine has an address that is not a loopback one");
    let listen = SocketAddr::new(outer.ip(), 0);
    let node = Node::start_at(7, listen, &[]);
    // Not even a conflict, or too many descriptions, are answered.
    for request in ["A0 00000009 00000000", "A0 00000007 00000000", "A0 00000009 0000000B"] {
        let mut stranger = Client::connect(node.address);
        send(&mut stranger, request);
        stranger.expect_end();
    }
    let line = node.server.wait_for_log("--allow-peer");
    assert!(line.contains(&outer.ip().to_string()), "{line}");
    assert!(node.siblings().is_empty());
    // It may still be a client.
    node.guest("ana");

    let permitting = Node::start_at(8, listen, &["--allow-peer", &format!("{}/32", outer.ip())]);
    linked_without_description(&permitting, 9);
    // A server named with `--merge` may merge with us.
    assert_eq!(node.ask(&format!("merge {}", permitting.address)), ["ok"]);
    linked_without_description(&node, 5);
}
