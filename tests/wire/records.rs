//! Streams through the layer that encrypts: in records of any size, which come in reads of any size. They mean what they
//! mean without it.

use cfp::core::engine::secure::{Secure, Shared};
use cfp::core::engine::socket::{Received, Socket};
use cfp::limits::{READ_BYTES, RECORD_BYTES};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cases;
use crate::feed::Feed;
use crate::metered_pipe::PipeEnd;
use crate::reference;
use crate::streams::{LIMITS, choices, damaged, junk, packets_to_cut, stretch};
use crate::toy::{self, ToyCiphers};

/// Sizes of records and of reads, most of them small. 0 is all that is left.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..=8usize, 1..=60usize, 1..=3000usize, Just(0)], 0..100)
}

/// The next size, of at most what is left.
fn next(sizes: &mut impl Iterator<Item = usize>, left: usize) -> usize {
    sizes.next().filter(|&size| size > 0).unwrap_or(left).min(left)
}

/// All of a client's bytes: the handshake, and `stream` in records of these sizes, with an empty record here and there.
fn sealed(mut stream: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut sizes, mut bytes) = (sizes.iter().copied(), toy::handshake());
    while !stream.is_empty() {
        let size = next(&mut sizes, stream.len().min(RECORD_BYTES));
        let (piece, rest) = stream.split_at(size);
        bytes.extend(toy::sealed(piece));
        if size % 5 == 4 {
            bytes.extend(toy::sealed(b""));
        }
        stream = rest;
    }
    bytes
}

/// What the reads of these sizes give, one after the other.
fn opened(mut bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (pipe, shared) = (PipeEnd::new(), Shared::new(ToyCiphers { is_required: false }));
    let (mut sizes, mut pieces) = (sizes.iter().copied(), Vec::new());
    let mut socket = Secure::accepted(pipe.clone(), &shared);
    let mut buffer = vec![0; READ_BYTES];
    while !bytes.is_empty() {
        let (read, rest) = bytes.split_at(next(&mut sizes, bytes.len()));
        bytes = rest;
        pipe.0.borrow_mut().input.extend(read);
        while let Ok(mut received) = socket.read(&mut buffer) {
            if let Received::Handshake { .. } = received {
                received = socket.advance_handshake(&mut buffer).unwrap();
            }
            let Received::Bytes { count, .. } = received else { panic!("{received:?}") };
            pieces.push(buffer[..count].to_vec());
        }
    }
    pieces
}

/// `stream`, in such records and reads, tells what the reference says.
fn check(stream: &[u8], records: &[usize], reads: &[usize], choices: Vec<u8>) -> Result<(), TestCaseError> {
    let pieces = opened(&sealed(stream, records), reads);
    prop_assert_eq!(pieces.concat(), stream);
    let (mut feed, mut choices) = (Feed::new(LIMITS), choices.into_iter());
    let mut choice = || choices.next().unwrap_or(0);
    for piece in &pieces {
        feed.read(piece, &mut choice);
    }
    feed.resume(&mut choice);
    let (events, at_boundary) = reference::events(stream, LIMITS.message_max_bytes, false);
    prop_assert_eq!(feed.events, events);
    prop_assert_eq!(feed.inbox.is_mid_packet(), !at_boundary);
    Ok(())
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn good_and_bad_packets_mean_the_same(
        stretches in vec(stretch(LIMITS), 0..12), records in sizes(), reads in sizes(), choices in choices(),
    ) {
        let stream: Vec<Vec<u8>> = stretches.into_iter().map(|(bytes, _)| bytes).collect();
        check(&stream.concat(), &records, &reads, choices)?;
    }

    #[test]
    fn any_bytes_mean_the_same(stream in junk(), records in sizes(), reads in sizes(), choices in choices()) {
        check(&stream, &records, &reads, choices)?;
    }

    #[test]
    fn a_damaged_stream_means_the_same(
        stretches in vec(stretch(LIMITS), 1..8),
        damages in vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6),
        records in sizes(),
        reads in sizes(),
        choices in choices(),
    ) {
        let stream: Vec<Vec<u8>> = stretches.into_iter().map(|(bytes, _)| bytes).collect();
        check(&damaged(stream.concat(), &damages), &records, &reads, choices)?;
    }
}

#[test]
fn one_packet_means_the_same_wherever_a_record_or_a_read_cuts_it() {
    for packet in packets_to_cut() {
        let stream = [packet.clone(), packet].concat();
        for cut in 1..stream.len() {
            check(&stream, &[cut], &[], Vec::new()).unwrap();
        }
        for cut in 1..sealed(&stream, &[700, 700]).len() {
            check(&stream, &[700, 700], &[cut], Vec::new()).unwrap();
        }
    }
}
