//! Waiting output in cases that chance seldom makes up: what is offered at once, what is kept, and who gets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::io::IoSlice;

use cfp::core::output::outbox::{Outbox, Output};
use cfp::limits::SLICES_PER_WRITE;
use cfp::wire::{Envelope, ServerId};

const EIGHT: ServerId = ServerId(8);
const NINE: ServerId = ServerId(9);

fn client(output: &Output) -> Outbox {
    let mut client = Outbox::default();
    client.join_public(output);
    client
}

fn link(server: ServerId, output: &mut Output) -> Outbox {
    let mut link = Outbox::default();
    link.enter_mesh(server, output);
    link
}

/// As the links get what somebody says in public.
fn say(message: &[u8], output: &mut Output) {
    output.link_batch.append(&Envelope::Forward(ServerId(0)), message);
}

/// All that one write would be offered.
fn offered(outbox: &Outbox, output: &mut Output) -> Vec<u8> {
    outbox.set_destination(output);
    let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
    let count = outbox.gather(output, &mut slices);
    slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn what_lies_in_one_piece_is_offered_without_gathering() {
    let mut output = Output::default();
    let (mut alone, mut in_the_room) = (Outbox::default(), client(&output));
    let (mut told, mut listening) = (link(EIGHT, &mut output), link(NINE, &mut output));
    alone.push(b"for one", &mut output);
    output.public.append(b"for all");
    told.push(b"for one", &mut output);
    assert_eq!(alone.only_slice(&output), Some(&b"for one"[..]));
    assert_eq!(in_the_room.only_slice(&output), Some(&b"for all"[..]));
    assert_eq!(told.only_slice(&output), Some(&b"for one"[..]));
    say(b"hi", &mut output);
    listening.set_destination(&mut output);
    assert_eq!(listening.only_slice(&output), Some(&b"\x50\0\0\0\x09hi"[..]));
    for outbox in [&mut alone, &mut in_the_room, &mut told, &mut listening] {
        outbox.discard(&mut output);
    }
}

#[test]
fn a_link_is_offered_the_batch_behind_its_own_packets_in_the_same_write() {
    let mut output = Output::default();
    let mut link = link(EIGHT, &mut output);
    link.push(b"own", &mut output);
    say(b"hi", &mut output);
    assert_eq!(offered(&link, &mut output), b"own\x50\0\0\0\x08hi");
    link.discard(&mut output);
}

#[test]
fn a_link_that_does_not_carry_gets_only_what_was_said_before_and_what_is_said_when_it_carries_again() {
    let mut output = Output::default();
    let mut link = link(EIGHT, &mut output);
    assert!(link.gets_public());
    say(b"one", &mut output);
    link.carry(EIGHT, false, &mut output);
    assert!(!link.gets_public());
    say(b"two", &mut output);
    assert_eq!(offered(&link, &mut output), b"\x50\0\0\0\x08one");
    link.carry(EIGHT, true, &mut output);
    assert!(link.gets_public());
    say(b"three", &mut output);
    assert_eq!(offered(&link, &mut output), b"\x50\0\0\0\x08one\x50\0\0\0\x08three");
    link.discard(&mut output);
}

#[test]
fn what_waited_for_a_lost_link_is_not_written_to_the_next_one() {
    let mut output = Output::default();
    let mut lost = link(EIGHT, &mut output);
    for packet in [&b"begun"[..], b"whole", b"another"] {
        lost.push(packet, &mut output);
    }
    lost.advance(2, &mut output);
    lost.discard(&mut output);
    let mut next = link(NINE, &mut output);
    next.push(b"new", &mut output);
    assert_eq!((next.private_bytes(), offered(&next, &mut output)), (3, b"new".to_vec()));
    let mut packet = Vec::new();
    assert!(next.pop_undelivered(&mut packet, &mut output) && packet == b"new");
    assert!(!next.pop_undelivered(&mut packet, &mut output));
    next.discard(&mut output);
    assert_eq!(output.held_bytes(), 0);
}

#[test]
fn a_client_that_leaves_in_the_turn_in_which_something_was_said_still_gets_it() {
    let mut output = Output::default();
    let mut client = client(&output);
    output.public.append(b"goodbye");
    client.leave(&mut output);
    output.public.trim();
    output.public.append(b"who was that?");
    assert_eq!(offered(&client, &mut output), b"goodbye");
    client.discard(&mut output);
    assert_eq!(output.public.pins(), 0);
}

#[test]
fn private_messages_take_sixteen_bytes_more_only_where_a_public_one_is_between_them() {
    let mut output = Output::default();
    let (mut one, mut other) = (client(&output), client(&output));
    output.public.append(b"x");
    one.push(b"first", &mut output);
    other.push(b"first", &mut output);
    output.public.append(b"y");
    for _ in 0..1_000 {
        one.push(b"second", &mut output);
    }
    other.push(&b"second".repeat(1_000), &mut output);
    assert_eq!(one.held_bytes(), other.held_bytes(), "each has two runs, which need no memory of their own");
    let all = [b"xfirsty".to_vec(), b"second".repeat(1_000)].concat();
    assert_eq!(offered(&one, &mut output), all);
    let mut alone = Outbox::default();
    alone.push(&[b"first".to_vec(), b"second".repeat(1_000)].concat(), &mut output);
    assert_eq!(one.held_bytes(), alone.held_bytes());
    for outbox in [&mut one, &mut other, &mut alone] {
        outbox.discard(&mut output);
    }
}
