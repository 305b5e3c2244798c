//! The protocol's bytes: what each packet looks like, and what becomes of a stream of bytes, good or bad.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/feed.rs"]
mod feed;
#[path = "support/metered_pipe.rs"]
mod metered_pipe;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/toy.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod toy;

#[path = "wire/kept.rs"]
mod kept;
#[path = "wire/layouts.rs"]
mod layouts;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/records.rs"]
mod records;
#[path = "wire/skips.rs"]
mod skips;
#[path = "wire/streams.rs"]
mod streams;

/// Bytes from hexadecimal digits, blanks between them wherever it helps.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter(|char| !char.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// A text as it stands in a packet: its count, then `count` bytes of it.
fn text(count: usize) -> Vec<u8> {
    let mut bytes = (count as u32).to_be_bytes().to_vec();
    bytes.resize(4 + count, b'x');
    bytes
}

/// Property tests of this file run so often; what they find becomes a test of its own, so no seeds are kept.
fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
