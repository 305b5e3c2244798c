//! Ignored input is skipped exactly, and not stored, whatever length it announces (D1, D2, D5).

use cfp::wire::pool::BufferPool;
use cfp::wire::{Code, FrameLimits, Inbox, Input, Scan, Skip, Skipped, scan};

use crate::feed::Feed;
use crate::reference::Event;
use crate::{hex, text};

/// A packet to see that the stream goes on at the right position.
const NEXT: [u8; 2] = [0x10, 0x00];

/// Feeds bytes in one read, then byte by byte.
fn events(stream: &[u8]) -> Vec<Event> {
    let limits = FrameLimits::default();
    let mut at_once = Feed::new(limits);
    at_once.all(stream, std::iter::empty());
    let mut by_bytes = Feed::new(limits);
    stream.iter().for_each(|&byte| by_bytes.all(&[byte], std::iter::empty()));
    assert_eq!(at_once.events, by_bytes.events);
    assert!(!by_bytes.inbox.is_mid_packet());
    at_once.events
}

fn next() -> Event {
    Event::Packet(NEXT.to_vec())
}

#[test]
fn an_unknown_code_is_one_byte() {
    let stream = [hex("FF 02"), NEXT.to_vec(), hex("51"), NEXT.to_vec()].concat();
    assert_eq!(events(&stream), [Event::Unknown, Event::Unknown, next(), Event::Unknown, next()]);
}

#[test]
fn an_unknown_code_in_a_forward_is_six_bytes() {
    for forward in ["50", "32"] {
        let stream = [hex(forward), hex("00000008 FF"), NEXT.to_vec()].concat();
        assert_eq!(events(&stream), [Event::Unknown, next()]);
    }
}

#[test]
fn a_forward_in_a_forward_is_one_ignored_packet() {
    let inner = hex("30 00000007 00000003 616e61 00000002 6869");
    for (outer, nested) in [("50", "50"), ("50", "32"), ("32", "50")] {
        let start = [hex(outer), hex("00000008"), hex(nested)].concat();
        let ignored = Event::Overlong(Code::PckFwd, start.clone());
        let twice = [start.clone(), hex("00000008"), inner.clone(), NEXT.to_vec()].concat();
        assert_eq!(events(&twice), [ignored.clone(), next()]);
        let deep = [start, hex("00000008 50 00000009 32 0000000A"), inner.clone(), NEXT.to_vec()].concat();
        assert_eq!(events(&deep), [ignored, next()]);
    }
}

#[test]
fn a_forward_in_a_forward_ends_where_its_content_does() {
    let start = hex("50 00000008 50");
    for (content, unknown) in [
        (hex("00000009 10 00"), false),
        (hex("00000009 A0 00000007 00000001 00000007 7f000001 00001e61"), false),
        ([hex("00000009 20"), text(70_000)].concat(), false),
        (hex("00000009 99"), true),
    ] {
        let stream = [start.clone(), content, NEXT.to_vec()].concat();
        let mut expected = vec![Event::Overlong(Code::PckFwd, start.clone())];
        expected.extend(unknown.then_some(Event::Unknown));
        expected.push(next());
        assert_eq!(events(&stream), expected);
    }
}

#[test]
fn every_field_behind_an_overlong_one_is_skipped_too() {
    let long = text(65);
    let limits = FrameLimits::default();
    for (packet, head) in [
        ([hex("00"), long.clone()].concat(), 5),
        ([hex("01"), long.clone(), text(9)].concat(), 5),
        // A second field over its limit, and one of nothing.
        ([hex("01"), long.clone(), text(2000)].concat(), 5),
        ([hex("01"), long.clone(), text(0)].concat(), 5),
        ([hex("01"), text(3), text(2000)].concat(), 12),
        ([hex("21 00000008"), long.clone(), text(70_000)].concat(), 9),
        ([hex("31 00000008"), long.clone(), text(64), text(5)].concat(), 9),
        ([hex("31 00000008"), text(64), long.clone(), text(5)].concat(), 77),
        ([hex("40 00000008"), long.clone(), hex("00000005"), text(9), vec![0x20; 1028]].concat(), 9),
        ([hex("40 00000008"), text(1), hex("00000005"), text(256), vec![0x20; 1028]].concat(), 18),
        ([hex("41 00000008"), text(1), long.clone(), hex("00000005"), text(300), vec![0x20; 1028]].concat(), 14),
        ([hex("A0 00000007 0000000B"), vec![0x20; 132]].concat(), 9),
        ([hex("F0"), long, hex("00")].concat(), 5),
    ] {
        for forward in [vec![], hex("50 00000008")] {
            let stream = [forward.clone(), packet.clone(), NEXT.to_vec()].concat();
            let code = Code::from_byte(stream[0]).unwrap();
            let told = Event::Overlong(code, stream[..forward.len() + head].to_vec());
            assert_eq!(events(&stream), [told, next()]);

            // Nothing of it is kept, whatever the pieces.
            let mut feed = Feed::new(limits);
            feed.all(&stream[..forward.len() + head], std::iter::empty());
            for &byte in &stream[forward.len() + head..stream.len() - NEXT.len()] {
                assert!(feed.inbox.is_mid_packet());
                feed.all(&[byte], std::iter::empty());
                assert_eq!(feed.inbox.kept_bytes(), 0);
            }
            assert!(!feed.inbox.is_mid_packet());
        }
    }
}

fn skip_of(start: &[u8]) -> Skip {
    let Scan::Overlong { head, skip, .. } = scan(start, &FrameLimits::default()) else { panic!("{start:02x?}") };
    assert_eq!(head, start.len());
    skip
}

/// Advances `skip` by so many bytes, which must all belong to the packet and not end it.
fn advance(skip: &mut Skip, mut bytes: u64) {
    let buffer = [0; 64 * 1024];
    while bytes > 0 {
        let mut input = &buffer[..buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        bytes -= input.len() as u64;
        assert_eq!(skip.advance(&mut input), Skipped::More);
        assert!(input.is_empty());
    }
}

#[test]
fn four_gigabytes_are_skipped_to_the_byte() {
    let most = u64::from(u32::MAX);
    for (start, bytes) in [
        (hex("20 FFFFFFFF"), most),
        (hex("50 00000008 30 00000007 00000000 FFFFFFFF"), most),
        (hex("A0 00000007 FFFFFFFF"), 12 * most),
    ] {
        let mut skip = skip_of(&start);
        advance(&mut skip, bytes - 1);
        let mut input = &[1, 2, 3][..];
        assert_eq!(skip.advance(&mut input), Skipped::Done);
        assert_eq!(input, [2, 3]);
    }
    // Nickname and password, both of 4 GiB.
    let mut skip = skip_of(&hex("01 FFFFFFFF"));
    advance(&mut skip, most);
    assert_eq!(skip.advance(&mut &[0xFF; 4][..]), Skipped::More);
    advance(&mut skip, most - 1);
    let mut input = &[1, 2, 3][..];
    assert_eq!(skip.advance(&mut input), Skipped::Done);
    assert_eq!(input, [2, 3]);
}

#[test]
fn an_inbox_keeps_nothing_of_four_gigabytes() {
    let limits = FrameLimits::default();
    let mut pool = BufferPool::default();
    let mut inbox = Inbox::default();
    let start = hex("20 FFFFFFFF");
    let mut input = &start[..];
    assert!(matches!(inbox.next(&mut input, &limits), Input::Overlong { code: Code::MsgPbl, .. }));
    // 65,535 reads of 64 KiB are 64 KiB short of 4 GiB, and the count was one byte less than that.
    let read = vec![0x20; 64 * 1024];
    for _ in 0..65_535 {
        let mut input = &read[..];
        assert_eq!(inbox.next(&mut input, &limits), Input::Pending);
        inbox.keep(input, &mut pool);
        assert_eq!(inbox.kept_bytes(), 0);
        assert!(inbox.is_mid_packet());
    }
    let last = [&read[1..], &NEXT].concat();
    let mut input = &last[..];
    assert_eq!(inbox.next(&mut input, &limits), Input::Packet(&NEXT));
    assert!(input.is_empty());
    inbox.keep(input, &mut pool);
    assert!(!inbox.is_mid_packet());
}
