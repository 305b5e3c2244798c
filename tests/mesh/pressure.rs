//! Links and receivers that fall behind.

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};

use crate::node::{Node, expect_private, tell};
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
    // More than the kernel takes; less than where she would have to wait.
    let message = "x".repeat(60_000);
    let mut sent: u64 = 0;
    while node.metric("cfp_link_queued_bytes{server=\"9\"}") < 1_000_000 {
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

#[test]
fn a_receiver_that_does_not_read_is_closed_on_its_server_and_its_sender_gets_errors() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &["--max-queue", "65536"]));
    one.merge(&two);
    let mut ana = one.guest("ana");
    let mut bob = Client::connect_with_receive_buffer(two.address, 4096);
    bob.log_in_as_guest("bob");
    let mut eve = two.guest("eve");
    let content = [1; CHUNK_BYTES];
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: u32::MAX, content: &content };
    while two.server.count_in_log("slow reader") == 0 {
        for _ in 0..64 {
            ana.send(&Packet::FileChnk { destination: ServerId(2), receiver: "bob", chunk });
        }
    }
    let line = two.server.wait_for_log("slow reader");
    assert!(line.contains("client \"bob\""), "{line}");
    ana.send(&Packet::FileChnk { destination: ServerId(2), receiver: "bob", chunk });
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    // The link did not suffer.
    tell(&mut ana, 2, "eve", "still there?");
    expect_private(&mut eve, 1, "ana", "eve", "still there?");
    assert_eq!(one.server.count_in_log("lost the link"), 0);
}
