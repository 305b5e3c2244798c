//! Users of merged servers talk with each other.

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};

use crate::node::{Node, expect_nothing_else, expect_private, expect_public, tell, wait_for_clique};

fn three() -> Vec<Node> {
    let nodes: Vec<Node> = (1..=3).map(|id| Node::start(id, &[])).collect();
    nodes[0].merge(&nodes[1]);
    nodes[2].merge(&nodes[0]);
    wait_for_clique(&nodes);
    nodes
}

#[test]
fn a_public_message_reaches_every_client_of_every_server_once_and_in_order() {
    let nodes = three();
    let mut clients: Vec<_> = (0..6).map(|i| (nodes[i % 3].id, nodes[i % 3].guest("ana"), "ana")).take(3).collect();
    clients.extend(nodes.iter().map(|node| (node.id, node.guest("bob"), "bob")));
    for round in 0..20 {
        clients[1].1.say(&format!("message {round}"));
    }
    let (origin, sender) = (clients[1].0, clients[1].2);
    for (server, client, nickname) in &mut clients {
        for round in 0..20 {
            expect_public(client, origin, sender, &format!("message {round}"));
        }
        expect_nothing_else(client, *server, nickname);
    }
}

#[test]
fn a_private_message_reaches_its_receiver_on_another_server_and_nobody_else() {
    let nodes = three();
    let mut ana = nodes[0].guest("ana");
    let mut bobs: Vec<_> = nodes.iter().map(|node| node.guest("bob")).collect();
    tell(&mut ana, 2, "bob", "psst");
    expect_private(&mut bobs[1], 1, "ana", "bob", "psst");
    tell(&mut bobs[1], 1, "ana", "what?");
    expect_private(&mut ana, 2, "bob", "ana", "what?");
    for (node, bob) in nodes.iter().zip(&mut bobs) {
        expect_nothing_else(bob, node.id, "bob");
    }
}

#[test]
fn an_error_finds_its_way_back_across_servers_to_the_client_whose_packet_failed() {
    let nodes = three();
    let (mut ana, mut eve, mut other_ana) = (nodes[0].guest("ana"), nodes[0].guest("eve"), nodes[1].guest("ana"));
    tell(&mut ana, 2, "nobody", "hi");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    tell(&mut ana, 4, "bob", "hi");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    let content = [0; CHUNK_BYTES];
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: 1, content: &content };
    ana.send(&Packet::FileChnk { destination: ServerId(3), receiver: "nobody", chunk });
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    expect_nothing_else(&mut ana, 1, "ana");
    expect_nothing_else(&mut eve, 1, "eve");
    expect_nothing_else(&mut other_ana, 2, "ana");
}

#[test]
fn a_file_arrives_on_another_server_byte_for_byte() {
    const CHUNKS: u32 = 3000;
    let nodes = three();
    let (mut ana, mut bob) = (nodes[0].guest("ana"), nodes[2].guest("bob"));
    let content = |index: u32| std::array::from_fn::<u8, CHUNK_BYTES, _>(|i| (index as usize * 31 + i * 7) as u8);
    let sender = std::thread::spawn(move || {
        tell(&mut ana, 3, "bob", "here is a file");
        for index in 0..CHUNKS {
            let content = content(index);
            let chunk = FileChunk { transfer_id: 99, file_name: "photo.jpg", chunks: CHUNKS, content: &content };
            ana.send(&Packet::FileChnk { destination: ServerId(3), receiver: "bob", chunk });
        }
        expect_nothing_else(&mut ana, 1, "ana");
    });
    expect_private(&mut bob, 1, "ana", "bob", "here is a file");
    for index in 0..CHUNKS {
        let content = content(index);
        let chunk = FileChunk { transfer_id: 99, file_name: "photo.jpg", chunks: CHUNKS, content: &content };
        bob.expect(&Packet::FileChnkInc { origin: ServerId(1), sender: "ana", receiver: "bob", chunk });
    }
    sender.join().unwrap();
}
