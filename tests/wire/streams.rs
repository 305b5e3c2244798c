//! Streams in pieces: wherever they are cut, and wherever handling stops and goes on, the result is the same.

use cfp::wire::{Code, FrameLimits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::feed::Feed;
use crate::reference::{self, Event};
use crate::{cases, hex, packets, text};

/// Short messages, so that short streams reach every limit.
pub(super) const LIMITS: FrameLimits = FrameLimits { message_max_bytes: 40, ..FrameLimits::DEFAULT };
/// Those of a link of a routed network.
const ROUTED: FrameLimits = FrameLimits { descriptions_max: 65, has_routed_codes: true, ..LIMITS };

/// Choices for a feed, most of them small, so that reads are small.
pub(super) fn choices() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![1..=8u8, 1..=60u8, any::<u8>()], 0..400)
}

/// A stretch of a stream that is not one good packet, and what it tells.
fn bad_stretch(limits: FrameLimits) -> impl Strategy<Value = (Vec<u8>, Event)> {
    let has_layout = move |byte| Code::from_byte(byte).is_some_and(|code| limits.has_routed_codes || !code.is_routed());
    let unknown = any::<u8>().prop_filter("a code", move |&byte| !has_layout(byte));
    let unknown_content =
        any::<u8>().prop_filter("a code", |&byte| Code::from_byte(byte).is_none_or(|code| code.is_routed()));
    let overlong = (41..3000usize, 65..3000usize, packets::packet(LIMITS)).prop_flat_map(|(message, name, inner)| {
        let told = |bytes: Vec<u8>, head| {
            let head = Event::Overlong(Code::from_byte(bytes[0]).unwrap(), bytes[..head].to_vec());
            (bytes, head)
        };
        select(vec![
            told([hex("20"), text(message)].concat(), 5),
            told([hex("21 00000008"), text(name), text(message)].concat(), 9),
            told([hex("01"), text(name), text(name)].concat(), 5),
            told([hex("F0"), text(name), hex("01")].concat(), 5),
            told([hex("50 00000008 50 00000009"), hex("10 00")].concat(), 6),
            told([hex("32 00000008 50 00000009"), inner.bytes()].concat(), 6),
            told(
                [hex("50 00000008 41 00000009"), text(name), text(3), vec![0; 4], text(0), vec![7; 1028]].concat(),
                14,
            ),
        ])
    });
    prop_oneof![
        unknown.prop_map(|byte| (vec![byte], Event::Unknown)),
        unknown_content.prop_map(|byte| ([hex("50 00000008"), vec![byte]].concat(), Event::Unknown)),
        overlong,
    ]
}

/// A stretch of either kind.
pub(super) fn stretch(limits: FrameLimits) -> impl Strategy<Value = (Vec<u8>, Event)> {
    let good = packets::packet(limits).prop_map(|parts| (parts.bytes(), Event::Packet(parts.bytes())));
    prop_oneof![2 => good, 1 => bad_stretch(limits)]
}

/// A link of a routed network, or any other connection, and what may come over it.
fn stretches(counts: std::ops::Range<usize>) -> impl Strategy<Value = (FrameLimits, Vec<(Vec<u8>, Event)>)> {
    select(vec![LIMITS, ROUTED]).prop_flat_map(move |limits| (Just(limits), vec(stretch(limits), counts.clone())))
}

/// Bytes that look like packets more often than chance would have it.
pub(super) fn junk() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<u8> = Code::ALL.into_iter().map(Code::byte).chain([0x32]).collect();
    vec(prop_oneof![select(known), 0..4u8, select(vec![40, 41, 64, 65, 255]), any::<u8>()], 0..600)
}

/// Changes to a stream: the change and its position.
pub(super) fn damaged(stream: Vec<u8>, damages: &[(Index, u8, u8)]) -> Vec<u8> {
    damages.iter().fold(stream, |mut stream, (place, what, byte)| {
        if stream.is_empty() {
            return stream;
        }
        let place = place.index(stream.len());
        match what % 4 {
            0 => stream[place] = *byte,
            1 => stream[place] ^= 1 << (byte % 8),
            2 => stream.insert(place, *byte),
            _ => drop(stream.remove(place)),
        }
        stream
    })
}

/// Feeds `stream` in pieces and compares with what it means.
fn check(stream: &[u8], choices: Vec<u8>, limits: FrameLimits) -> Result<(), TestCaseError> {
    let mut feed = Feed::new(limits);
    feed.all(stream, choices.into_iter());
    let (events, at_boundary) = reference::events(stream, LIMITS.message_max_bytes, limits.has_routed_codes);
    prop_assert_eq!(feed.events, events);
    prop_assert_eq!(feed.inbox.is_mid_packet(), !at_boundary);
    Ok(())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_stream_means_the_same_in_whatever_pieces_it_comes(
        (limits, stretches) in stretches(0..12),
        choices in choices(),
    ) {
        let (stretches, expected): (Vec<_>, Vec<_>) = stretches.into_iter().unzip();
        let mut feed = Feed::new(limits);
        feed.all(&stretches.concat(), choices.into_iter());
        prop_assert_eq!(feed.events, expected);
        prop_assert!(!feed.inbox.is_mid_packet());
        prop_assert_eq!(feed.inbox.kept_bytes(), 0);
    }

    #[test]
    fn any_bytes_at_all_are_framed_by_the_rules(stream in junk(), choices in choices()) {
        check(&stream, choices.clone(), LIMITS)?;
        check(&stream, choices, ROUTED)?;
    }

    #[test]
    fn a_damaged_stream_is_framed_by_the_rules(
        (limits, stretches) in stretches(1..8),
        damages in vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..6),
        choices in choices(),
    ) {
        let stream: Vec<Vec<u8>> = stretches.into_iter().map(|(bytes, _)| bytes).collect();
        check(&damaged(stream.concat(), &damages), choices, limits)?;
    }
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn messages_larger_than_a_read_are_put_together(
        sizes in vec(60_000..70_000usize, 1..6),
        choices in vec(160..=255u8, 0..40),
    ) {
        let stream = sizes.iter().map(|&size| [hex("20"), text(size)].concat()).collect::<Vec<_>>().concat();
        let limits = FrameLimits::default();
        let mut feed = Feed::new(limits);
        feed.all(&stream, choices.into_iter());
        prop_assert_eq!(feed.events, reference::events(&stream, limits.message_max_bytes, false).0);
        prop_assert!(!feed.inbox.is_mid_packet());
    }
}

/// Packets with something in them that matters when they are cut.
pub(super) fn packets_to_cut() -> [Vec<u8>; 4] {
    let chunk = [hex("41 00000008"), text(2), text(3), hex("00000005"), text(4), vec![0x20; 1028]].concat();
    let merge = [hex("A0 00000007 00000002"), vec![0x50; 24]].concat();
    let skipped = [hex("31 00000008"), text(65), text(2), text(50)].concat();
    [chunk.clone(), [hex("50 00000008"), chunk].concat(), merge, skipped]
}

#[test]
fn one_packet_means_the_same_wherever_it_is_cut() {
    for packet in packets_to_cut() {
        let stream = [packet.clone(), packet].concat();
        let (expected, _) = reference::events(&stream, LIMITS.message_max_bytes, false);
        for cut in 0..=stream.len() {
            let mut feed = Feed::new(LIMITS);
            feed.all(&stream[..cut], std::iter::empty());
            feed.all(&stream[cut..], std::iter::empty());
            assert_eq!(feed.events, expected, "cut at {cut}");
        }
    }
}
