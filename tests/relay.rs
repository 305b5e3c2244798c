//! A server between two others of a routed network: what it passes on, what it takes, and what it answers (D34, D35).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};

use cfp::core::state::config::Config;
use cfp::core::state::counters::Ignored;
use cfp::limits::{CHUNK_BYTES, CHUNK_PAUSE_MS, LINK_PAUSE_MS, LINK_RELIEF_BYTES};
use cfp::wire::{Code, Description, Descriptions, ErrorReason, FileChunk, Neighbours, Packet, RelayHeader, ServerId};
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

/// The two neighbours, and a server that nothing leads to.
const NEAR: ServerId = ServerId(8);
const FAR: ServerId = ServerId(9);
const NOWHERE: ServerId = ServerId(42);

/// Server 7, between servers 8 and 9.
struct Network {
    rig: Rig,
    near: Peer,
    far: Peer,
    /// Counts what comes from server 8.
    number: u32,
}

fn described(server: ServerId) -> Description {
    Description { server, address: Ipv4Addr::LOCALHOST, port: 7770 + server.0 }
}

/// Another server has merged with ours, and has told which link it has.
fn neighbour(rig: &mut Rig, server: ServerId, stamp: u32) -> Peer {
    let link = rig.connect();
    let Description { address, port, .. } = described(server);
    let own = [server.0.to_be_bytes(), address.octets(), port.to_be_bytes()].concat().repeat(2);
    rig.send(&link, &encoded(&Packet::MrgReq { server, siblings: Descriptions::new(&own).unwrap() }));
    rig.send(&link, &encoded(&Packet::Hello { stamp: 0 }));
    let list = [ID.0.to_be_bytes(), stamp.to_be_bytes()].concat();
    let neighbours = Neighbours::new(&list).unwrap();
    let news = Packet::Links { server: described(server), incarnation: 1, version: 1, neighbours };
    rig.send(&link, &encoded(&news));
    assert!(rig.is_link(&link));
    link
}

impl Network {
    fn new() -> Network {
        Network::with(Config::new(ID))
    }

    fn with(config: Config) -> Network {
        let mut config = Config { advertise: Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7777)), ..config };
        config.route(1_000);
        let mut rig = Rig::with_config(config);
        let (near, far) = (neighbour(&mut rig, NEAR, 1), neighbour(&mut rig, FAR, 2));
        near.take_output();
        far.take_output();
        Network { rig, near, far, number: 0 }
    }

    /// The next packet of server 8.
    fn relayed(&mut self, destination: ServerId, content: &[u8]) -> Vec<u8> {
        self.number += 1;
        let header = RelayHeader { destination, origin: NEAR, incarnation: 1, number: self.number };
        encoded(&Packet::Relay { header, content })
    }

    fn send(&mut self, destination: ServerId, content: &Packet<'_>) -> Vec<u8> {
        let packet = self.relayed(destination, &encoded(content));
        self.rig.send(&self.near, &packet);
        packet
    }

    fn ignored(&self, reason: Ignored) -> u64 {
        self.rig.engine.core().counters.ignored.get(reason as usize)
    }

    /// Packets passed on, and packets refused since a queue is full.
    fn counts(&self) -> (u64, u64) {
        let counters = &self.rig.engine.core().counters;
        (counters.relayed, counters.refused)
    }
}

fn private<'a>(sender: &'a str, message: &'a str) -> Packet<'a> {
    Packet::MsgPrvInc { origin: NEAR, sender, receiver: "zoe", message }
}

/// The destination and the content of each packet that was relayed to this server.
fn unpacked(output: &[u8]) -> Vec<(ServerId, Vec<u8>)> {
    let relay = |bytes: &[u8]| match Packet::decode(bytes).unwrap() {
        Packet::Relay { header, content } => (header.destination, content.to_vec()),
        other => panic!("{other:?}"),
    };
    split(output).into_iter().map(relay).collect()
}

/// What server 8 is told when a packet of its client `eve` can't go on.
fn failure() -> Vec<(ServerId, Vec<u8>)> {
    vec![(NEAR, encoded(&Packet::Error { sender: "eve", reason: ErrorReason::UnknownServer }))]
}

#[test]
fn what_is_for_another_server_goes_on_unchanged_and_only_once() {
    let mut network = Network::new();
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &[0; CHUNK_BYTES] };
    let contents = [
        private("eve", "hi"),
        Packet::FileChnkInc { origin: NEAR, sender: "eve", receiver: "zoe", chunk },
        Packet::Error { sender: "zoe", reason: ErrorReason::UnknownReceiver },
    ];
    for (index, content) in contents.iter().enumerate() {
        let packet = network.send(FAR, content);
        assert_eq!(network.far.take_output(), packet);
        assert_eq!(network.counts(), (index as u64 + 1, 0));
        network.rig.send(&network.near, &packet);
        assert!(network.far.take_output().is_empty(), "it has passed");
        assert_eq!(network.ignored(Ignored::Late), index as u64 + 1);
    }
    assert!(network.near.take_output().is_empty());
}

#[test]
fn what_is_for_a_client_here_is_delivered_and_for_nobody_is_answered() {
    let mut network = Network::new();
    let zoe = network.rig.guest("zoe");
    network.near.take_output();
    network.far.take_output();
    network.send(ID, &private("eve", "hi"));
    assert_eq!(zoe.take_output(), encoded(&private("eve", "hi")));
    network.rig.reset(&zoe);
    network.send(ID, &private("eve", "hi"));
    let error = Packet::Error { sender: "eve", reason: ErrorReason::UnknownReceiver };
    assert_eq!(unpacked(&network.near.take_output()), [(NEAR, encoded(&error))]);
    assert!(network.far.take_output().is_empty());
    assert_eq!(network.counts(), (0, 0));
}

#[test]
fn a_public_message_goes_on_over_all_other_links_and_to_the_clients_here() {
    let mut network = Network::new();
    let zoe = network.rig.guest("zoe");
    let public = Packet::MsgPblInc { origin: NEAR, sender: "eve", message: "hi" };
    network.send(ID, &public);
    assert_eq!(zoe.take_output(), encoded(&public));
    assert_eq!(unpacked(&network.far.take_output()), [(FAR, encoded(&public))]);
    assert!(network.near.take_output().is_empty());
    assert_eq!(network.counts(), (1, 0));
    // Each neighbour gets its own.
    network.send(FAR, &public);
    assert!(zoe.take_output().is_empty() && network.far.take_output().is_empty());
    assert_eq!(network.ignored(Ignored::Misaddressed), 1);
}

#[test]
fn what_names_another_origin_or_no_nickname_or_is_not_for_servers_goes_no_further() {
    let mut network = Network::new();
    let of_another = Packet::MsgPrvInc { origin: FAR, sender: "eve", receiver: "zoe", message: "hi" };
    let cases = [
        (of_another, Ignored::Misaddressed),
        (private("", "hi"), Ignored::Nickname),
        (Packet::MsgPbl { message: "hi" }, Ignored::State),
    ];
    for (content, reason) in cases {
        network.send(FAR, &content);
        assert_eq!(network.ignored(reason), 1, "{content:?}");
    }
    assert!(network.far.take_output().is_empty() && network.near.take_output().is_empty());
    assert_eq!(network.counts(), (0, 0));
}

#[test]
fn what_would_go_back_or_nowhere_is_answered_and_an_error_is_dropped() {
    let mut network = Network::new();
    for destination in [NEAR, NOWHERE] {
        network.send(destination, &private("eve", "hi"));
        assert_eq!(unpacked(&network.near.take_output()), failure(), "for server {destination}");
        network.send(destination, &Packet::Error { sender: "zoe", reason: ErrorReason::UnknownReceiver });
        assert!(network.near.take_output().is_empty(), "nobody is told");
    }
    assert!(network.far.take_output().is_empty());
    assert_eq!(network.counts(), (0, 0));
}

#[test]
fn what_has_no_room_in_the_queue_of_a_link_is_answered_and_the_neighbour_told_to_wait() {
    let mut network = Network::with(Config { max_link_queue_bytes: 256 * 1024, ..Config::new(ID) });
    network.far.stop_taking();
    let message = "x".repeat(60 * 1024);
    let passed: Vec<u8> = (0..3).flat_map(|_| network.send(FAR, &private("eve", &message))).collect();
    assert_eq!(network.counts(), (3, 0), "half of the queue is not full");
    let hold = |is_held| encoded(&Packet::Hold { server: FAR, is_held });
    assert_eq!(network.near.take_output(), hold(true), "once");
    network.send(FAR, &private("eve", &message));
    assert_eq!(network.counts(), (3, 1));
    assert_eq!(unpacked(&network.near.take_output()), failure());
    network.rig.take(&network.far, usize::MAX);
    assert_eq!(network.far.take_output(), passed);
    assert_eq!(network.near.take_output(), hold(false));
}

#[test]
fn our_own_clients_wait_with_their_files_for_a_server_that_a_neighbour_holds_back() {
    let mut network = Network::new();
    let ana = network.rig.guest("ana");
    let hold = |is_held| encoded(&Packet::Hold { server: FAR, is_held });
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &[0; CHUNK_BYTES] };
    let packet = encoded(&Packet::FileChnk { destination: FAR, receiver: "zoe", chunk });
    network.rig.send(&network.far, &hold(true));
    network.rig.send(&ana, &packet);
    network.rig.advance(CHUNK_PAUSE_MS - 1);
    assert!(network.far.take_output().is_empty());
    network.rig.send(&network.far, &hold(false));
    let sent = encoded(&Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "zoe", chunk });
    assert_eq!(unpacked(&network.far.take_output()), [(FAR, sent)]);
}

#[test]
fn after_a_pause_so_much_of_a_routed_link_is_handled_before_the_next() {
    let mut network = Network::new();
    let zoe = network.rig.guest("zoe");
    zoe.stop_taking();
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &[0; CHUNK_BYTES] };
    let content = encoded(&Packet::FileChnkInc { origin: NEAR, sender: "eve", receiver: "zoe", chunk });
    let all: Vec<u8> = (0..2000).flat_map(|_| network.relayed(ID, &content)).collect();
    network.rig.send(&network.near, &all);
    let packet_bytes = all.len() / 2000;
    let unhandled = |network: &Network| {
        let kept: usize = network.rig.engine.connections().iter().map(|(_, connection)| connection.kept_bytes()).sum();
        network.near.unread_bytes() + kept
    };
    let mut left = unhandled(&network);
    for _ in 0..2 {
        network.rig.advance(LINK_PAUSE_MS);
        let handled = left - unhandled(&network);
        let most = LINK_RELIEF_BYTES as usize + 4 * packet_bytes;
        assert!(handled >= LINK_RELIEF_BYTES as usize && handled < most, "{handled} bytes are handled");
        left -= handled;
    }
}

#[test]
fn whoever_has_sent_what_a_lost_link_did_not_take_is_told_here_and_elsewhere() {
    let mut network = Network::new();
    let ana = network.rig.guest("ana");
    network.far.stop_taking();
    network.send(FAR, &private("eve", "hi"));
    network.rig.send(&ana, &encoded(&Packet::MsgPrv { destination: FAR, receiver: "zoe", message: "hi" }));
    let error = |sender| encoded(&Packet::Error { sender, reason: ErrorReason::UnknownServer });
    // Another comes when the link is lost already, and its end is not read.
    network.rig.arrive(&ana, &encoded(&Packet::MsgPrv { destination: FAR, receiver: "zoe", message: "hi" }));
    network.rig.reset(&network.far);
    assert_eq!(ana.take_output(), error("ana").repeat(2));
    let told: Vec<Vec<u8>> = split(&network.near.take_output())
        .into_iter()
        .filter(|bytes| bytes[0] == Code::Relay.byte())
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(unpacked(&told.concat()), failure());
    assert_eq!(network.rig.engine.core().counters.link_packets_dropped, 3);
}

#[test]
fn whoever_has_sent_what_a_link_that_has_ended_did_not_take_is_told_at_once() {
    let mut network = Network::new();
    let ana = network.rig.guest("ana");
    network.far.stop_taking();
    network.rig.send(&ana, &encoded(&Packet::MsgPrv { destination: FAR, receiver: "zoe", message: "hi" }));
    assert!(ana.take_output().is_empty());
    network.rig.shut(&network.far);
    let error = Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer };
    assert_eq!(ana.take_output(), encoded(&error));
    assert!(network.far.is_closed());
}
