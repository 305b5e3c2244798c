//! A network whose servers are stopped and started again one at a time, as docs/operations.md describes an upgrade.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::net::SocketAddr;

use cfp::wire::{ErrorReason, Packet};
use node::{Node, expect_nothing_else, expect_private, expect_public, fresh_address, tell, wait_for_clique};
use support::Client;

/// Server `id` at its address, with `--merge` for all the others: so it is dialled, and dials, whichever is up first.
fn start(id: u32, addresses: &[SocketAddr]) -> Node {
    let address = addresses[id as usize - 1];
    let others = addresses.iter().filter(|other| **other != address).map(SocketAddr::to_string);
    let arguments: Vec<String> = others.flat_map(|other| ["--merge".to_owned(), other]).collect();
    Node::start_at(id, address, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn name(id: u32) -> String {
    format!("guest {id}")
}

/// Every client sends a message, and every client gets it.
fn expect_talk(guests: &mut [Client]) {
    for speaker in 1..=guests.len() as u32 {
        guests[speaker as usize - 1].say("still there?");
        guests.iter_mut().for_each(|guest| expect_public(guest, speaker, &name(speaker), "still there?"));
    }
}

/// A conversation between two other servers goes on: everything arrives, in order, with nothing between.
fn expect_conversation(guests: &mut [Client], from: u32, to: u32) {
    let texts: Vec<String> = (0..100).map(|i| format!("message {i}")).collect();
    texts.iter().for_each(|text| tell(&mut guests[from as usize - 1], to, &name(to), text));
    texts.iter().for_each(|text| expect_private(&mut guests[to as usize - 1], from, &name(from), &name(to), text));
}

#[test]
fn while_one_server_after_the_other_is_replaced_clients_of_the_others_miss_nothing_but_its_users() {
    let addresses: Vec<SocketAddr> = (0..3).map(|_| fresh_address()).collect();
    let mut nodes: Vec<Node> = (1..=3).map(|id| start(id, &addresses)).collect();
    wait_for_clique(&nodes);
    let mut guests: Vec<Client> = nodes.iter().map(|node| node.guest(&name(node.id))).collect();
    expect_talk(&mut guests);
    for victim in 1..=3_u32 {
        let (one, two) = (victim % 3 + 1, (victim + 1) % 3 + 1);
        let index = victim as usize - 1;
        expect_conversation(&mut guests, one, two);

        // What its users have said is written out to the others.
        guests[index].say("last words");
        expect_public(&mut guests[index], victim, &name(victim), "last words");
        assert_eq!(nodes[index].ask("shutdown"), ["ok"]);
        for id in [one, two] {
            expect_public(&mut guests[id as usize - 1], victim, &name(victim), "last words");
        }
        expect_conversation(&mut guests, one, two);
        guests[index].expect_end();
        nodes[index].server.wait_for_log("stopped");
        for id in [one, two] {
            nodes[id as usize - 1].wait_until_lost(victim);
        }

        // A message to its users gets an ERROR at once.
        let sender = &mut guests[one as usize - 1];
        tell(sender, victim, &name(victim), "are you there?");
        sender.expect(&Packet::Error { sender: &name(one), reason: ErrorReason::UnknownServer });
        expect_conversation(&mut guests, two, one);

        nodes[index] = start(victim, &addresses);
        expect_conversation(&mut guests, one, two);
        wait_for_clique(&nodes);
        guests[index] = nodes[index].guest(&name(victim));
        expect_talk(&mut guests);
        (1..=3).for_each(|id| expect_nothing_else(&mut guests[id as usize - 1], id, &name(id)));
    }
}
