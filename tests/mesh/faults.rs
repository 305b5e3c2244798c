//! Servers that go and come back.

use cfp::wire::{ErrorReason, Packet};

use crate::node::{Node, expect_private, tell, wait_for_clique, wait_until};
use crate::peer::{Home, linked};

#[test]
fn a_server_that_was_killed_and_restarts_is_merged_again_without_help() {
    let mut nodes: Vec<Node> = (1..=3).map(|id| Node::start(id, &[])).collect();
    nodes[0].merge(&nodes[1]);
    nodes[1].merge(&nodes[2]);
    wait_for_clique(&nodes);
    let gone = nodes.remove(0);
    let (id, address) = (gone.id, gone.address);
    drop(gone);
    for node in &nodes {
        node.wait_until_lost(id);
    }
    nodes.push(Node::start_at(id, address, &[]));
    wait_for_clique(&nodes);

    let (mut ana, mut bob) = (nodes[0].guest("ana"), nodes[2].guest("bob"));
    tell(&mut ana, id, "bob", "there you are");
    expect_private(&mut bob, nodes[0].id, "ana", "bob", "there you are");
}

#[test]
fn a_server_that_restarts_at_once_and_dials_by_itself_is_merged_again() {
    let (one, mut two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    for _ in 0..3 {
        let address = two.address;
        drop(two);
        two = Node::start_at(2, address, &["--merge", &one.place()]);
        wait_for_clique([&one, &two]);
    }
}

#[test]
fn a_server_that_comes_back_under_another_address_is_taken_for_the_same() {
    let (one, two, three) = (Node::start(1, &[]), Node::start(2, &[]), Node::start(3, &[]));
    one.merge(&two);
    three.merge(&two);
    wait_for_clique([&one, &two, &three]);
    drop(two);
    one.wait_until_lost(2);
    three.wait_until_lost(2);
    let moved = Node::start(2, &[]);
    // As long as the old address has not failed to answer, the new one is a conflict.
    wait_until(
        || {
            let answer = moved.ask(&format!("merge {}", one.address));
            assert!(answer == ["ok"] || answer == ["error server id conflict"], "{answer:?}");
            answer == ["ok"]
        },
        || "it is never taken for the same".to_owned(),
    );
    wait_for_clique([&one, &moved, &three]);
    one.server.wait_for_log("too: whoever answers there has the ID");
    for node in [&one, &three] {
        assert!(node.siblings().contains(&(2, moved.place(), "linked".to_owned())), "{:?}", node.siblings());
    }
}

#[test]
fn what_is_sent_to_a_server_that_was_killed_fails_at_once() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    let mut ana = one.guest("ana");
    drop(two);
    one.wait_until_lost(2);
    for _ in 0..3 {
        tell(&mut ana, 2, "bob", "are you there?");
        ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    }
}

#[test]
fn a_server_that_is_forgotten_is_dialled_no_more() {
    let one = Node::start(1, &[]);
    let home = Home::new();
    let peer = linked(&one, 9, &home);
    assert_eq!(one.ask("forget 9"), ["error that server is linked"]);
    drop(peer);
    // It is dialled, and says nothing: that dial is given up too.
    let mut dialled = home.accept();
    dialled.receive();
    assert_eq!(one.ask("forget 9"), ["ok"]);
    dialled.expect_end();
    assert!(one.siblings().is_empty());
    assert_eq!(one.ask("forget 9"), ["error no such server"]);
    assert_eq!(one.status("mesh_complete"), "1");
}

#[test]
fn a_server_named_at_start_is_merged_with_again_under_that_name() {
    let two = Node::start_at(2, "127.0.0.1:0".parse().unwrap(), &[]);
    let (address, name) = (two.address, format!("localhost:{}", two.address.port()));
    let one = Node::start(1, &["--merge", &name]);
    wait_for_clique([&one, &two]);
    drop(two);
    one.wait_until_lost(2);
    let again = Node::start_at(2, address, &[]);
    wait_for_clique([&one, &again]);
}
