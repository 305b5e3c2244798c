//! One packet at a time: its bytes, both ways.

use cfp::wire::{
    AuthResponse, Code, DeclineReason, Description, Descriptions, ErrorReason, FileChunk, FrameLimits, Malformed,
    Neighbours, Packet, RelayHeader, Scan, ServerId, forward_header, relay_header, scan,
};
use proptest::prelude::*;

use crate::{cases, hex, packets};

/// The limits of a link of a routed network, where every code has a layout.
const ROUTED: FrameLimits = FrameLimits { descriptions_max: 65, has_routed_codes: true, ..FrameLimits::DEFAULT };

fn check(packet: Packet<'_>, bytes: &[u8]) {
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    assert_eq!(encoded, bytes, "{packet:?}");
    assert_eq!(Packet::decode(bytes), Ok(packet));
    assert_eq!(scan(bytes, &FrameLimits::default()), Scan::Packet { len: bytes.len() }, "{packet:?}");
}

#[test]
fn the_example_of_the_protocol_is_read_and_written_byte_for_byte() {
    check(Packet::AuthGst { nickname: "ana" }, &hex("00 00000003 616e61"));
    check(Packet::AuthRsp { response: AuthResponse::Accepted }, &hex("10 00"));
    check(Packet::MsgPbl { message: "hi" }, &hex("20 00000002 6869"));
    check(
        Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: "hi" },
        &hex("30 00000007 00000003 616e61 00000002 6869"),
    );
    check(Packet::MrgRsp { server: ServerId(7), siblings: Descriptions::default() }, &hex("A1 00000007 00000000"));
}

/// Server E is 5, B is 2, Z is 26 and so on; each is at 192.0.2.ID:7777.
#[test]
fn the_packets_of_a_routed_link_have_the_layout_of_the_table_and_elsewhere_they_are_unknown_codes() {
    let public = hex("30 00000001 00000003 616e61 00000002 6869");
    let header = RelayHeader { destination: ServerId(5), origin: ServerId(1), incarnation: 0x6A1E_0000, number: 1 };
    let server = Description { server: ServerId(5), address: [192, 0, 2, 5].into(), port: 7777 };
    let list = hex("00000002 00000003  00000004 00000001  00000006 00000002  0000001A 00000004");
    let neighbours = Neighbours::new(&list).unwrap();
    assert_eq!(
        neighbours.iter().map(|(id, stamp)| (id.0, stamp)).collect::<Vec<_>>(),
        [(2, 3), (4, 1), (6, 2), (26, 4)]
    );
    let packets = [
        (
            Packet::Relay { header, content: &public },
            [hex("51 00000005 00000001 6A1E0000 00000001"), public.clone()].concat(),
        ),
        (
            Packet::Links { server, incarnation: 0x6A1E_0000, version: 4, neighbours },
            [hex("52 00000005 C0000205 00001E61  6A1E0000 00000004  00000004"), list.clone()].concat(),
        ),
        (Packet::Hold { server: ServerId(26), is_held: true }, hex("53 0000001A 01")),
        (Packet::Hold { server: ServerId(26), is_held: false }, hex("53 0000001A 00")),
        (Packet::Hello { stamp: 3 }, hex("54 00000003")),
    ];
    for (packet, bytes) in packets {
        let mut encoded = Vec::new();
        packet.encode(&mut encoded);
        assert_eq!(encoded, bytes, "{packet:?}");
        assert_eq!(Packet::decode(&bytes), Ok(packet));
        assert_eq!(scan(&bytes, &ROUTED), Scan::Packet { len: bytes.len() }, "{packet:?}");
        assert_eq!(scan(&bytes, &FrameLimits::DEFAULT), Scan::Unknown { len: 1 }, "{packet:?}");
        // A content is never one of them.
        for envelope in [hex("50 00000008"), relay_header(&header).to_vec()] {
            assert_eq!(scan(&[&envelope, &bytes[..]].concat(), &ROUTED), Scan::Unknown { len: envelope.len() + 1 });
        }
    }
    assert_eq!(Packet::decode(&hex("53 0000001A 02")), Err(Malformed::Value));
    // Its length is what framing reserves for the longest message.
    assert_eq!(ROUTED.packet_max_bytes(), FrameLimits::DEFAULT.packet_max_bytes() + 12);
}

#[test]
fn every_other_packet_has_the_layout_of_the_table() {
    check(Packet::AuthUsr { nickname: "ana", password: "pw" }, &hex("01 00000003 616e61 00000002 7077"));
    check(Packet::AuthRsp { response: AuthResponse::InUse }, &hex("10 03"));
    check(
        Packet::MsgPrv { destination: ServerId(8), receiver: "bob", message: "hi" },
        &hex("21 00000008 00000003 626f62 00000002 6869"),
    );
    let private = hex("31 00000007 00000003 616e61 00000003 626f62 00000002 6869");
    check(Packet::MsgPrvInc { origin: ServerId(7), sender: "ana", receiver: "bob", message: "hi" }, &private);

    let mut content = [0; 1024];
    content[..3].copy_from_slice(b"abc");
    let chunk = FileChunk { transfer_id: 5, file_name: "a.txt", chunks: 1, content: &content };
    let tail = [hex("00000005 00000005 612e747874 00000001 616263"), vec![0; 1021]].concat();
    check(
        Packet::FileChnk { destination: ServerId(8), receiver: "bob", chunk },
        &[hex("40 00000008 00000003 626f62"), tail.clone()].concat(),
    );
    check(
        Packet::FileChnkInc { origin: ServerId(7), sender: "ana", receiver: "bob", chunk },
        &[hex("41 00000007 00000003 616e61 00000003 626f62"), tail].concat(),
    );

    let forwarded = [hex("50 00000008"), private.clone()].concat();
    check(Packet::PckFwd { destination: ServerId(8), content: &private }, &forwarded);
    assert_eq!(forwarded[..5], forward_header(ServerId(8)));

    let descriptions = hex("00000007 7f000001 00001e61  00000009 0a000001 00010000");
    let siblings = Descriptions::new(&descriptions).unwrap();
    check(
        Packet::MrgReq { server: ServerId(7), siblings },
        &[hex("A0 00000007 00000002"), descriptions.clone()].concat(),
    );
    check(
        Packet::MrgRsp { server: ServerId(7), siblings },
        &[hex("A1 00000007 00000002"), descriptions.clone()].concat(),
    );
    let read: Vec<_> = siblings.iter().map(|each| (each.server.0, each.address.octets(), each.port)).collect();
    assert_eq!(read, [(7, [127, 0, 0, 1], 7777), (9, [10, 0, 0, 1], 65_536)]);

    check(Packet::MrgDecl { reason: DeclineReason::IdConflict }, &hex("A2 02"));
    check(Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver }, &hex("F0 00000003 616e61 01"));
}

#[test]
fn a_forward_under_the_code_of_section_9_is_read_and_never_written() {
    let inner = hex("F0 00000003 616e61 00");
    let synonym = [hex("32 00000008"), inner.clone()].concat();
    assert_eq!(scan(&synonym, &FrameLimits::default()), Scan::Packet { len: synonym.len() });
    let packet = Packet::decode(&synonym).unwrap();
    assert_eq!(packet, Packet::PckFwd { destination: ServerId(8), content: &inner });
    let mut encoded = Vec::new();
    packet.encode(&mut encoded);
    assert_eq!(encoded, [hex("50 00000008"), inner].concat());
}

#[test]
fn what_is_framed_and_makes_no_sense_is_malformed() {
    let chunk = |name: &str, chunks: u32| {
        let mut bytes = hex("40 00000008 00000001 62 00000005");
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(name.bytes());
        bytes.extend(chunks.to_be_bytes());
        bytes.extend([0; 1024]);
        bytes
    };
    for (bytes, expected) in [
        (hex("10 04"), Malformed::Value),
        (hex("A2 03"), Malformed::Value),
        (hex("F0 00000000 02"), Malformed::Value),
        (chunk("", 1), Malformed::Value),
        (chunk("n", 0), Malformed::Value),
        (hex("00 00000001 ff"), Malformed::NotUtf8),
        (hex("01 00000001 61 00000002 c3 28"), Malformed::NotUtf8),
        // The half of a surrogate pair, and a character cut short.
        (hex("20 00000003 eda080"), Malformed::NotUtf8),
        (hex("21 00000008 00000001 c3 00000000"), Malformed::NotUtf8),
        (hex("F0 00000001 80 00"), Malformed::NotUtf8),
    ] {
        assert_eq!(scan(&bytes, &FrameLimits::default()), Scan::Packet { len: bytes.len() }, "{bytes:02x?}");
        assert_eq!(Packet::decode(&bytes), Err(expected), "{bytes:02x?}");
    }
}

#[test]
fn an_empty_text_is_a_text() {
    check(Packet::AuthGst { nickname: "" }, &hex("00 00000000"));
    check(Packet::AuthUsr { nickname: "", password: "" }, &hex("01 00000000 00000000"));
    check(Packet::MsgPbl { message: "" }, &hex("20 00000000"));
    check(Packet::Error { sender: "", reason: ErrorReason::UnknownServer }, &hex("F0 00000000 00"));
}

#[test]
fn every_byte_but_the_fifteen_codes_is_unknown_where_no_routed_link_is() {
    let known = hex("00 01 10 20 21 30 31 32 40 41 50 A0 A1 A2 F0");
    for byte in 0..=255 {
        let scanned = scan(&[byte], &FrameLimits::default());
        assert_eq!(scanned == Scan::Unknown { len: 1 }, !known.contains(&byte), "{byte:02x}");
        let forwarded = scan(&[0x50, 0, 0, 0, 8, byte], &FrameLimits::default());
        assert_eq!(forwarded == Scan::Unknown { len: 6 }, !known.contains(&byte), "{byte:02x}");
        let is_routed = (0x51..=0x54).contains(&byte);
        assert_eq!(Code::from_byte(byte).is_some(), known.contains(&byte) || is_routed, "{byte:02x}");
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn every_packet_is_read_as_it_was_written(parts in packets::packet(ROUTED)) {
        let bytes = parts.bytes();
        let packet = Packet::decode(&bytes);
        prop_assert_eq!(packet, Ok(parts.packet()));
        prop_assert_eq!(packet.unwrap().code(), parts.code);
        prop_assert_eq!(scan(&bytes, &ROUTED), Scan::Packet { len: bytes.len() });
    }

    #[test]
    fn a_packet_cut_short_is_incomplete_and_says_no_more_than_it_needs(
        parts in packets::packet(ROUTED),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = parts.bytes();
        let start = &bytes[..cut.index(bytes.len())];
        let Scan::Incomplete { total } = scan(start, &ROUTED) else {
            return Err(TestCaseError::fail("not incomplete"));
        };
        prop_assert!(total > start.len() && total <= bytes.len());
        // What stands behind a code could be a whole packet of a content by chance, never of the packet around it.
        prop_assert!(Packet::decode(start).is_err() || matches!(parts.code, Code::PckFwd | Code::Relay));
    }

    #[test]
    fn whatever_is_read_is_written_again_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            let mut encoded = Vec::new();
            packet.encode(&mut encoded);
            prop_assert_eq!(&encoded[1..], &bytes[1..]);
            prop_assert_eq!(encoded[0], if bytes[0] == 0x32 { 0x50 } else { bytes[0] });
        }
    }
}
