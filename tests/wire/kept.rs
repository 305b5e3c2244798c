//! What an inbox keeps between two walks.

use cfp::limits::POOL_BUFFER_MAX_BYTES;
use cfp::wire::pool::BufferPool;
use cfp::wire::{Code, FrameLimits, Inbox, Input};

use crate::{hex, text};

#[test]
fn a_packet_that_is_kept_behind_a_skipped_one_comes_again_alone() {
    let limits = FrameLimits::default();
    let mut pool = BufferPool::default();
    let mut inbox = Inbox::default();
    // An over-long nickname; its last three bytes come with the next read, in front of a packet.
    let start = [hex("00"), text(65)].concat();
    let (first, last) = start.split_at(start.len() - 3);
    let mut input = first;
    assert!(matches!(inbox.next(&mut input, &limits), Input::Overlong { .. }));
    assert_eq!(inbox.next(&mut input, &limits), Input::Pending);
    inbox.keep(input, &mut pool);

    let read = [last, &hex("20 00000002 6869"), &hex("10 00")].concat();
    let mut input = &read[..];
    let before = input;
    assert_eq!(inbox.next(&mut input, &limits), Input::Packet(&hex("20 00000002 6869")));
    inbox.keep_with_packet(before, input, &mut pool);

    let kept = inbox.take_kept();
    assert_eq!(kept, hex("20 00000002 6869 10 00"));
}

#[test]
fn a_skipped_packet_that_is_kept_is_told_again() {
    let limits = FrameLimits::default();
    let stream = [hex("01 00000003 616e61"), text(1025), hex("10 00")].concat();
    for cut in 0..12 {
        let mut pool = BufferPool::default();
        let mut inbox = Inbox::default();
        let mut input = &stream[..cut];
        assert_eq!(inbox.next(&mut input, &limits), Input::Pending);
        inbox.keep(input, &mut pool);
        let mut input = &stream[cut..];
        let before = input;
        assert!(matches!(inbox.next(&mut input, &limits), Input::Overlong { .. }));
        inbox.keep_with_packet(before, input, &mut pool);

        let kept = inbox.take_kept();
        assert_eq!(kept, stream);
        let mut input = &kept[..];
        let head = &stream[..12];
        assert_eq!(inbox.next(&mut input, &limits), Input::Overlong { code: Code::AuthUsr, head });
        assert_eq!(inbox.next(&mut input, &limits), Input::Packet(&[0x10, 0]));
    }
}

#[test]
fn a_connection_that_sent_a_large_packet_does_not_hold_on_to_its_room() {
    let limits = FrameLimits::default();
    let mut pool = BufferPool::default();
    let mut inbox = Inbox::default();
    let packet = [hex("20"), text(60_000)].concat();
    let (start, end) = packet.split_at(50_000);
    inbox.keep(start, &mut pool);
    // The end of it, and one byte of the next.
    let read = [end, &hex("20")].concat();
    let mut input = &read[..];
    assert_eq!(inbox.next(&mut input, &limits), Input::Packet(&packet));
    assert_eq!(inbox.next(&mut input, &limits), Input::Pending);
    inbox.keep(input, &mut pool);
    let kept = inbox.take_kept();
    assert_eq!(kept, hex("20"));
    assert!(kept.capacity() <= POOL_BUFFER_MAX_BYTES, "{}", kept.capacity());
}

#[test]
fn a_packet_that_comes_byte_by_byte_is_moved_few_times_and_holds_no_more_than_its_size() {
    let limits = FrameLimits::default();
    let mut pool = BufferPool::default();
    let mut inbox = Inbox::default();
    let packet = [hex("20"), text(60_000)].concat();
    let (first, rest) = packet.split_at(5);
    inbox.keep(first, &mut pool);
    let mut sizes = vec![inbox.held_bytes()];
    for byte in &rest[..rest.len() - 1] {
        assert_eq!(inbox.next(&mut &[*byte][..], &limits), Input::Pending);
        if sizes.last() != Some(&inbox.held_bytes()) {
            sizes.push(inbox.held_bytes());
        }
    }
    let mut doubled = vec![5];
    while doubled.last() != Some(&packet.len()) {
        doubled.push(packet.len().min(2 * doubled[doubled.len() - 1]));
    }
    assert_eq!(sizes, doubled);
}
