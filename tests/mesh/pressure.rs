//! Links that fall behind.

use cfp::wire::{ErrorReason, Packet};

use crate::node::{Node, tell};
use crate::peer::{Home, link, send};
use crate::support::Client;

/// A link to a peer of this ID whose kernel takes little of what it does not read.
fn slow_link(node: &Node, id: u32, home: &Home) -> Client {
    let mut peer = Client::connect_with_receive_buffer(node.address, 4096);
    link(&mut peer, node, id, home);
    peer
}

/// The number at the start of the log line, behind its time and level, about packets that were dropped.
fn dropped(node: &Node) -> u64 {
    let line = node.server.wait_for_log("packets were queued for a lost link");
    let words: Vec<&str> = line.split(' ').collect();
    let place = words.iter().position(|word| *word == "packets").unwrap();
    words[place - 1].parse().unwrap()
}

#[test]
fn a_link_that_falls_behind_its_limit_is_closed_and_brought_back() {
    let (node, home) = (Node::start(7, &["--max-link-queue", "262144"]), Home::new());
    let mut stuck = slow_link(&node, 9, &home);
    let mut ana = node.guest("ana");
    let message = "x".repeat(60_000);
    while node.server.count_in_log("slow reader") == 0 {
        ana.say(&message);
        ana.receive();
    }
    let line = node.server.wait_for_log("slow reader");
    assert!(line.contains("link to server 9"), "{line}");
    let dropped = dropped(&node);
    assert!(dropped > 0 && node.metric("cfp_link_dropped_packets_total") == dropped);
    let mut again = home.accept();
    assert_eq!(again.receive()[0], 0xA0);
    send(&mut again, &format!("A1 00000009 00000001 {}", home.described(9)));
    node.wait_until_linked_with(&[9]);
    stuck.receive_to_end();
}

#[test]
fn packets_queued_for_a_link_that_is_lost_are_answered_with_an_error() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let stuck = slow_link(&node, 9, &home);
    let mut ana = node.guest("ana");
    // More than the kernel takes, but less than she would have to wait for.
    let message = "x".repeat(5_000);
    let mut sent: u64 = 0;
    while node.metric("cfp_link_queued_bytes{server=\"9\"}") < 100_000 {
        tell(&mut ana, 9, "bob", &message);
        sent += 1;
    }
    stuck.reset();
    node.wait_until_lost(9);
    let dropped = dropped(&node);
    assert!(dropped > 10 && dropped <= sent, "{dropped} of {sent}");
    for _ in 0..dropped {
        ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    }
}
