//! How fast packets are framed, decoded and encoded. Also the cost of a public message in the engine, without the
//! kernel, for each client and each link, and what a routed network adds: `cargo bench`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};

use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::routed::{Database, Entry, Place, Tree};
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::{CHUNK_BYTES, ROUTED_LINKS_MAX, ROUTED_MAX_SERVERS, SIBLINGS_MAX};
use cfp::wire::{
    Description, Descriptions, FileChunk, FrameLimits, Neighbours, Packet, RelayHeader, Scan, ServerId, forward_header,
    relay_header, scan,
};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use metered_pipe::PipeEnd;

#[path = "../support/metered_pipe.rs"]
mod metered_pipe;

/// Packets handled in one iteration, as many as one read may bring.
const PACKETS: usize = 64;

fn main() {
    divan::main();
}

/// A public message of 64 bytes.
fn message(out: &mut Vec<u8>) {
    let message = "the quick brown fox jumps over the lazy dog, and over the lazy d";
    assert_eq!(message.len(), 64);
    Packet::MsgPbl { message: black_box(message) }.encode(out);
}

/// One of about that size beyond ASCII.
fn accented(out: &mut Vec<u8>) {
    let message = "la naïveté où l’élève épèle à l’été, voilà déjà la fête ça va";
    Packet::MsgPbl { message: black_box(message) }.encode(out);
}

fn file_chunk(out: &mut Vec<u8>) {
    let content = [7; CHUNK_BYTES];
    let chunk = FileChunk { transfer_id: 1, file_name: "photo.jpg", chunks: 1000, content: black_box(&content) };
    Packet::FileChnk { destination: ServerId(7), receiver: black_box("somebody"), chunk }.encode(out);
}

fn packets(encode: fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..PACKETS {
        encode(&mut bytes);
    }
    bytes
}

fn bench_decode(bencher: Bencher<'_, '_>, encode: fn(&mut Vec<u8>)) {
    let bytes = packets(encode);
    let limits = FrameLimits::default();
    bencher.counter(BytesCount::of_slice(&bytes)).counter(ItemsCount::new(PACKETS)).bench(|| {
        let mut rest = black_box(bytes.as_slice());
        while let Scan::Packet { len } = scan(rest, &limits) {
            let (packet, behind) = rest.split_at(len);
            black_box(Packet::decode(packet).unwrap());
            rest = behind;
        }
    });
}

fn bench_encode(bencher: Bencher<'_, '_>, encode: fn(&mut Vec<u8>)) {
    let mut out = packets(encode);
    let counter = BytesCount::of_slice(&out);
    bencher.counter(counter).counter(ItemsCount::new(PACKETS)).bench_local(|| {
        out.clear();
        for _ in 0..PACKETS {
            encode(&mut out);
        }
        black_box(&out);
    });
}

#[divan::bench]
fn decode_msgpbl_64(bencher: Bencher<'_, '_>) {
    bench_decode(bencher, message);
}

#[divan::bench]
fn decode_msgpbl_accented(bencher: Bencher<'_, '_>) {
    bench_decode(bencher, accented);
}

#[divan::bench]
fn decode_filechnk(bencher: Bencher<'_, '_>) {
    bench_decode(bencher, file_chunk);
}

#[divan::bench]
fn encode_msgpbl_64(bencher: Bencher<'_, '_>) {
    bench_encode(bencher, message);
}

#[divan::bench]
fn encode_filechnk(bencher: Bencher<'_, '_>) {
    bench_encode(bencher, file_chunk);
}

fn say(engine: &mut Engine<PipeEnd>, key: Key, socket: &PipeEnd, bytes: &[u8]) {
    socket.0.borrow_mut().input.extend(bytes);
    engine.on_ready(key, Readiness { readable: true, ..Readiness::default() });
    while engine.wants_turn() {
        engine.turn(Millis(0));
    }
}

/// One client speaks, `window` messages in one read; so many more clients and links get them.
fn bench_publish(bencher: Bencher<'_, '_>, clients: usize, links: usize, window: usize) {
    let mut engine = Engine::new(Config::new(ServerId(7)), Users::none());
    let mut add = |packet: &Packet<'_>| {
        let (socket, mut bytes) = (PipeEnd::new(), Vec::new());
        packet.encode(&mut bytes);
        socket.0.borrow_mut().keeps_output = false;
        let key = engine.on_accepted(socket.clone(), None, Millis(0)).unwrap();
        say(&mut engine, key, &socket, &bytes);
        (key, socket)
    };
    let (speaker, socket) = add(&Packet::AuthGst { nickname: "speaker" });
    for index in 0..clients {
        add(&Packet::AuthGst { nickname: &format!("client {index}") });
    }
    for index in 0..links {
        add(&Packet::MrgReq { server: ServerId(100 + index as u32), siblings: Descriptions::default() });
    }
    let mut burst = Vec::new();
    (0..window).for_each(|_| message(&mut burst));
    bencher.counter(ItemsCount::new(window)).bench_local(|| say(&mut engine, speaker, &socket, &burst));
}

#[divan::bench(args = [1, 64])]
fn publish_to_nobody_else(bencher: Bencher<'_, '_>, window: usize) {
    bench_publish(bencher, 0, 0, window);
}

#[divan::bench(args = [1, 64])]
fn publish_to_nine_clients(bencher: Bencher<'_, '_>, window: usize) {
    bench_publish(bencher, SIBLINGS_MAX, 0, window);
}

#[divan::bench(args = [1, 64])]
fn publish_to_nine_links(bencher: Bencher<'_, '_>, window: usize) {
    bench_publish(bencher, 0, SIBLINGS_MAX, window);
}

/// The server under test.
const OWN: ServerId = ServerId(7);
/// The time at which all routed servers were started.
const INCARNATION: u32 = 1_000;

fn address(server: ServerId) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x7f00_0000 + server.0), 7777)
}

fn description(server: ServerId) -> Description {
    Description { server, address: *address(server).ip(), port: 7777 }
}

/// An engine with a client, and a link over which public messages come from a client of the server `origin`.
struct Receiving {
    engine: Engine<PipeEnd>,
    link: (Key, PipeEnd),
    origin: ServerId,
    number: u32,
    is_routed: bool,
}

impl Receiving {
    /// One that is dense, or routed and has so many links besides, in a network with so many servers behind the link.
    fn new(links: Option<usize>, servers_behind: u32) -> Receiving {
        let mut config = Config { advertise: Some(address(OWN)), ..Config::new(OWN) };
        if links.is_some() {
            config.route(INCARNATION);
        }
        let mut engine = Engine::new(config, Users::none());
        let mut add = |packets: &[Packet<'_>]| {
            let (socket, mut bytes) = (PipeEnd::new(), Vec::new());
            packets.iter().for_each(|packet| packet.encode(&mut bytes));
            socket.0.borrow_mut().keeps_output = false;
            let key = engine.on_accepted(socket.clone(), None, Millis(0)).unwrap();
            say(&mut engine, key, &socket, &bytes);
            (key, socket)
        };
        add(&[Packet::AuthGst { nickname: "listener" }]);
        let Some(links) = links else {
            let link = add(&[Packet::MrgReq { server: ServerId(100), siblings: Descriptions::default() }]);
            return Receiving { engine, link, origin: ServerId(100), number: 0, is_routed: false };
        };
        let mut all = Vec::new();
        for at in 0..=links as u32 {
            let server = ServerId(100 + at);
            let of = description(server);
            let mut own = [server.0.to_be_bytes(), of.address.octets(), of.port.to_be_bytes()].concat();
            own.extend_from_within(..);
            // Each link is the youngest so far, and its stamp the number of links.
            let list = [OWN.0.to_be_bytes(), (at + 1).to_be_bytes()].concat();
            let neighbours = Neighbours::new(&list).unwrap();
            all.push(add(&[
                Packet::MrgReq { server, siblings: Descriptions::new(&own).unwrap() },
                Packet::Hello { stamp: 0 },
                Packet::Links { server: of, incarnation: INCARNATION, version: 1, neighbours },
            ]));
        }
        let routed = engine.core().mesh.routed().unwrap();
        assert_eq!(routed.carrying().count(), links + 1);
        let mut receiving =
            Receiving { link: all.swap_remove(0), engine, origin: ServerId(100), number: 0, is_routed: true };
        receiving.add_servers_behind(servers_behind);
        receiving
    }

    /// Servers in a row behind the first link. Messages come from the last.
    fn add_servers_behind(&mut self, count: u32) {
        let row = |at: u32| if at == 0 { OWN } else { ServerId(99 + at) };
        for at in 1..=count + 1 {
            let mut list = [row(at - 1).0.to_be_bytes(), at.to_be_bytes()].concat();
            if at <= count {
                list.extend([row(at + 1).0.to_be_bytes(), (at + 1).to_be_bytes()].concat());
            }
            let (of, neighbours) = (description(row(at)), Neighbours::new(&list).unwrap());
            let mut bytes = Vec::new();
            Packet::Links { server: of, incarnation: INCARNATION, version: 2, neighbours }.encode(&mut bytes);
            say(&mut self.engine, self.link.0, &self.link.1, &bytes);
            self.origin = row(at);
        }
        assert_eq!(self.engine.core().mesh.route_lengths().get(&self.origin), Some(&count));
    }

    /// The next messages, as they come over the link.
    fn burst(&mut self) -> Vec<u8> {
        let message = "the quick brown fox jumps over the lazy dog, and over the lazy d";
        let origin = self.origin;
        let mut bytes = Vec::new();
        for _ in 0..PACKETS {
            self.number += 1;
            let header = RelayHeader { destination: OWN, origin, incarnation: INCARNATION, number: self.number };
            match self.is_routed {
                true => bytes.extend_from_slice(&relay_header(&header)),
                false => bytes.extend_from_slice(&forward_header(OWN)),
            }
            Packet::MsgPblInc { origin, sender: "speaker", message }.encode(&mut bytes);
        }
        bytes
    }
}

fn bench_receive(bencher: Bencher<'_, '_>, links: Option<usize>, servers_behind: u32) {
    let receiving = RefCell::new(Receiving::new(links, servers_behind));
    bencher.counter(ItemsCount::new(PACKETS)).with_inputs(|| receiving.borrow_mut().burst()).bench_local_values(
        |burst| {
            let Receiving { engine, link: (key, socket), .. } = &mut *receiving.borrow_mut();
            say(engine, *key, socket, &burst);
        },
    );
}

/// What relaying is compared with: a message comes from a sibling, and one client gets it.
#[divan::bench]
fn receive_from_a_sibling(bencher: Bencher<'_, '_>) {
    bench_receive(bencher, None, 0);
}

/// The same, and so many links of a routed network get it, too.
#[divan::bench(args = [0, 1, 2, 8, ROUTED_LINKS_MAX - 1])]
fn relay_to_links(bencher: Bencher<'_, '_>, links: usize) {
    bench_receive(bencher, Some(links), 0);
}

/// One link gets it, in a network of 64 servers.
#[divan::bench]
fn relay_in_a_large_network(bencher: Bencher<'_, '_>) {
    bench_receive(bencher, Some(1), ROUTED_MAX_SERVERS as u32 - 3);
}

/// 64 servers with 79 links, of which 16 are spares: all routes anew.
#[divan::bench]
fn tree_of_64_servers(bencher: Bencher<'_, '_>) {
    let mut near: Vec<Vec<(ServerId, u32)>> = vec![Vec::new(); ROUTED_MAX_SERVERS];
    let tree = (1..ROUTED_MAX_SERVERS).map(|at| (at, at / 3));
    let spares = (0..16).map(|at| (at * 3, 63 - at));
    for (stamp, (a, b)) in tree.chain(spares).enumerate() {
        near[a].push((ServerId(b as u32), stamp as u32));
        near[b].push((ServerId(a as u32), stamp as u32));
    }
    let mut database = Database::default();
    for (at, neighbours) in near.into_iter().enumerate() {
        let id = ServerId(at as u32);
        database.keep((id, address(id)), Entry { age: (1, 1), neighbours, unreached_since: Millis::NEVER });
    }
    let own: Place = (OWN, address(OWN));
    assert_eq!(Tree::of(&database, own).routes.len(), ROUTED_MAX_SERVERS - 1);
    bencher.bench_local(|| Tree::of(black_box(&database), own));
}
