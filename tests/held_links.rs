//! What comes over a link for a receiver that is behind: the link is paused, but never for long, and never for more than
//! a part of the time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::users::Users;
use cfp::limits::{CHUNK_BYTES, DEAD_READER_MS, LINK_PAUSE_MS, LINK_RELIEF_BYTES};
use cfp::wire::{Descriptions, ErrorReason, FileChunk, Packet, ServerId};
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

/// The server at the other end of the link.
const OTHER: ServerId = ServerId(8);

/// A server with a link to another one, and two clients: `bob`, whose kernel takes nothing, and `eve`.
struct Room {
    rig: Rig,
    link: Peer,
    bob: Peer,
    eve: Peer,
}

impl Room {
    fn new() -> Room {
        let mut rig = Rig::new(Users::none());
        let (link, bob, eve) = (rig.connect(), rig.guest("bob"), rig.guest("eve"));
        rig.send(&link, &encoded(&Packet::MrgReq { server: OTHER, siblings: Descriptions::default() }));
        assert!(rig.is_link(&link));
        link.take_output();
        bob.stop_taking();
        Room { rig, link, bob, eve }
    }

    /// `ana` of the other server has sent `bob` so many chunks, and then told `eve` something.
    fn send(&mut self, chunks: u32) {
        let mut bytes: Vec<u8> = (0..chunks).flat_map(|index| forwarded(&chunk(index))).collect();
        bytes.extend(forwarded(&word_for("eve")));
        self.rig.send(&self.link, &bytes);
    }

    /// What the other server has sent, and this one has not handled yet. Bob's queue alone is not that.
    fn unhandled_bytes(&self) -> usize {
        let kept: usize = self.rig.engine.connections().iter().map(|(_, connection)| connection.kept_bytes()).sum();
        self.link.unread_bytes() + kept
    }

    /// Whether eve was told.
    fn eve_was_told(&self) -> bool {
        let told = self.eve.take_output();
        assert!(told.is_empty() || told == word_for("eve"));
        !told.is_empty()
    }
}

fn chunk(index: u32) -> Vec<u8> {
    chunk_for("bob", index)
}

fn chunk_for(receiver: &str, index: u32) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: u32::MAX, content: &[index as u8; CHUNK_BYTES] };
    encoded(&Packet::FileChnkInc { origin: OTHER, sender: "ana", receiver, chunk })
}

fn word_for(receiver: &str) -> Vec<u8> {
    encoded(&Packet::MsgPrvInc { origin: OTHER, sender: "ana", receiver, message: "psst" })
}

fn forwarded(content: &[u8]) -> Vec<u8> {
    encoded(&Packet::PckFwd { destination: support::ID, content })
}

#[test]
fn a_link_waits_for_a_receiver_that_is_behind_and_the_whole_file_arrives() {
    let mut room = Room::new();
    room.send(4000);
    assert!(!room.eve_was_told(), "the link is not read from");
    let mut got = Vec::new();
    while got.len() < 4000 * chunk(0).len() {
        room.rig.take(&room.bob, 64 * 1024);
        got.extend(room.bob.take_output());
        room.rig.advance(LINK_PAUSE_MS / 4);
    }
    for (index, packet) in split(&got).into_iter().enumerate() {
        assert!(packet == chunk(index as u32), "chunk {index}");
    }
    assert!(room.eve_was_told());
    assert!(room.link.take_output().is_empty(), "nothing failed");
}

#[test]
fn after_a_pause_so_much_of_a_link_is_handled_before_the_next() {
    let mut room = Room::new();
    room.send(2000);
    let mut unread = room.unhandled_bytes();
    for _ in 0..3 {
        room.rig.advance(LINK_PAUSE_MS - 1);
        assert_eq!(room.unhandled_bytes(), unread, "it is paused");
        room.rig.advance(1);
        let handled = unread - room.unhandled_bytes();
        assert!(handled >= LINK_RELIEF_BYTES as usize, "{handled} bytes are handled");
        assert!(handled < LINK_RELIEF_BYTES as usize + 4 * chunk(0).len(), "and then it is paused again: {handled}");
        unread -= handled;
    }
}

#[test]
fn after_a_short_pause_a_part_of_it_is_handled() {
    let mut room = Room::new();
    room.send(2000);
    room.rig.advance(LINK_PAUSE_MS / 10);
    let unread = room.unhandled_bytes();
    // As much as a pause waits for.
    room.rig.take(&room.bob, 32 * 1024);
    let handled = unread - room.unhandled_bytes();
    assert!(handled >= LINK_RELIEF_BYTES as usize / 10, "{handled} bytes are handled");
    assert!(handled < LINK_RELIEF_BYTES as usize / 10 + 4 * chunk(0).len(), "{handled} bytes are handled");
}

/// Two receivers that go past their marks again and again, by what they tell themselves, and files for both of them.
#[test]
fn receivers_that_take_turns_at_being_behind_silence_no_link() {
    let mut room = Room::new();
    let zed = room.rig.guest("zed");
    zed.stop_taking();
    let long = "x".repeat(60_000);
    let to_itself = |name| encoded(&Packet::MsgPrv { destination: support::ID, receiver: name, message: &long });
    let mut heard = 0;
    for step in 0..2_500_u64 {
        // The far side always has chunks under way for both, and now and then a public message.
        let missing = (512 * 1024_usize).saturating_sub(room.link.unread_bytes()) / (2 * chunk(0).len());
        let chunks = [forwarded(&chunk_for("bob", 1)), forwarded(&chunk_for("zed", 1))].concat().repeat(missing);
        room.rig.arrive(&room.link, &chunks);
        if step % 10 == 0 {
            let said = Packet::MsgPblInc { origin: OTHER, sender: "ana", message: "hi" };
            room.rig.arrive(&room.link, &forwarded(&encoded(&said)));
        }
        // Each drains for a moment, then fills itself up again.
        for (peer, name, phase) in [(&room.bob, "bob", 0), (&zed, "zed", 12)] {
            match (step + phase) % 24 {
                0 => {
                    room.rig.let_take(peer, 300 * 1024);
                    room.rig.arrive(peer, &to_itself(name).repeat(5));
                }
                23 => peer.stop_taking(),
                _ => {}
            }
            peer.take_output();
        }
        room.rig.advance(10);
        heard += split(&room.eve.take_output()).len();
    }
    // 250 were said. The last ones stand behind half a megabyte of chunks, which takes a second.
    assert!(heard > 230, "{heard} of 250 messages were heard");
}

#[test]
fn a_receiver_that_takes_nothing_is_closed_and_the_sender_of_the_file_gets_errors() {
    let mut room = Room::new();
    room.send(4000);
    room.rig.advance(2 * DEAD_READER_MS);
    assert!(room.bob.is_closed());
    room.rig.advance(10 * DEAD_READER_MS);
    assert!(room.eve_was_told());
    let errors = room.link.take_output();
    let error = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let error = encoded(&Packet::PckFwd { destination: OTHER, content: &error });
    let errors = split(&errors);
    assert!(errors.len() > 3000 && errors.iter().all(|packet| *packet == error));
}

#[test]
fn a_receiver_that_takes_too_little_for_what_comes_is_not_closed_for_it() {
    let mut room = Room::new();
    room.send(4000);
    let mut got = 0;
    for _ in 0..300 {
        room.rig.take(&room.bob, 1024);
        room.rig.advance(100);
        got += room.bob.take_output().len();
    }
    assert!(room.rig.is_open(&room.bob) && got == 300 * 1024);
    assert!(room.eve_was_told(), "the link has gone on");
    assert!(!room.link.take_output().is_empty(), "the sender knows that not all arrives");
}

#[test]
fn a_link_goes_on_at_once_when_the_receiver_leaves() {
    let mut room = Room::new();
    room.send(500);
    assert!(!room.eve_was_told());
    room.rig.reset(&room.bob);
    assert!(room.eve_was_told());
}

#[test]
fn a_link_that_waits_may_end_and_what_was_received_of_it_is_handled() {
    let mut room = Room::new();
    room.send(500);
    assert!(!room.eve_was_told());
    room.rig.reset(&room.link);
    room.rig.advance(10 * LINK_PAUSE_MS);
    assert!(room.rig.is_open(&room.bob) && room.link.is_closed() && room.eve_was_told());
}

#[test]
fn a_few_messages_for_a_receiver_that_is_behind_hold_up_no_link() {
    let mut room = Room::new();
    let ana = room.rig.guest("ana of this server");
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: u32::MAX, content: &[0; CHUNK_BYTES] };
    let packet = encoded(&Packet::FileChnk { destination: support::ID, receiver: "bob", chunk });
    room.rig.send(&ana, &packet.repeat(500));
    let message = forwarded(&word_for("bob"));
    room.rig.send(&room.link, &message.repeat(20));
    room.send(0);
    assert!(room.eve_was_told());
}
