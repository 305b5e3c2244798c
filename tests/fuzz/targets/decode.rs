//! Bytes to packets. Any stream, in any pieces, must give the result of the plain reference, and be kept within the
//! limit. Each of its packets must be encoded to its bytes again.
//!
//! ```text
//!  n | n choices: sizes of reads, where handling stops | the stream
//! ```
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../support/feed.rs"]
mod feed;
#[path = "../../support/reference.rs"]
mod reference;

use cfp::wire::{Code, FrameLimits, Malformed, Packet};
use libfuzzer_sys::fuzz_target;

/// Short messages, so that short inputs reach every limit.
const LIMITS: FrameLimits = FrameLimits { message_max_bytes: 40, ..FrameLimits::DEFAULT };
/// Those of a link of a routed network.
const ROUTED: FrameLimits = FrameLimits { descriptions_max: 65, has_routed_codes: true, ..LIMITS };

fuzz_target!(|data: &[u8]| {
    for limits in [LIMITS, ROUTED] {
        read(data, limits);
    }
});

fn read(data: &[u8], limits: FrameLimits) {
    let Some((&count, data)) = data.split_first() else { return };
    let (choices, stream) = data.split_at(usize::from(count).min(data.len()));
    let mut feed = feed::Feed::new(limits);
    feed.all(stream, choices.iter().copied());

    let (events, at_boundary) = reference::events(stream, limits.message_max_bytes, limits.has_routed_codes);
    assert_eq!(feed.events, events);
    assert_eq!(feed.inbox.is_mid_packet(), !at_boundary);
    for event in &events {
        if let reference::Event::Packet(bytes) = event {
            check(bytes);
        }
    }
}

/// A framed packet is never malformed as a frame; a decoded packet is encoded to its bytes again.
fn check(bytes: &[u8]) {
    let packet = match Packet::decode(bytes) {
        Ok(packet) => packet,
        Err(malformed) => return assert_ne!(malformed, Malformed::Frame),
    };
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    assert_eq!(encoded[1..], bytes[1..]);
    assert_eq!(Code::from_byte(bytes[0]), Some(packet.code()));
    assert_eq!(encoded[0], packet.code().byte());
    match packet {
        Packet::PckFwd { content, .. } | Packet::Relay { content, .. } => check(content),
        Packet::Links { neighbours, .. } => assert_eq!(neighbours.iter().count(), neighbours.len()),
        Packet::MrgReq { siblings, .. } | Packet::MrgRsp { siblings, .. } => {
            assert_eq!(siblings.iter().count(), siblings.len());
        }
        _ => {}
    }
}
