//! How fast packets are framed, decoded and encoded. Also the cost of a public message in the engine, without the
//! kernel, for each client and each link: `cargo bench`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::{CHUNK_BYTES, SIBLINGS_MAX};
use cfp::wire::{Descriptions, FileChunk, FrameLimits, Packet, Scan, ServerId, scan};
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
