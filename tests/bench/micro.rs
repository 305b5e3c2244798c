//! How fast packets are framed, decoded and encoded: `cargo bench`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{FileChunk, FrameLimits, Packet, Scan, ServerId, scan};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

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
