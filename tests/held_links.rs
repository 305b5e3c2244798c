//! Files that come over a link for a receiver that is behind: the link waits, but not for long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::users::Users;
use cfp::limits::{CHUNK_BYTES, LINK_HOLD_MS};
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

    /// Whether eve was told.
    fn eve_was_told(&self) -> bool {
        let told = self.eve.take_output();
        assert!(told.is_empty() || told == word_for("eve"));
        !told.is_empty()
    }
}

fn chunk(index: u32) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: u32::MAX, content: &[index as u8; CHUNK_BYTES] };
    encoded(&Packet::FileChnkInc { origin: OTHER, sender: "ana", receiver: "bob", chunk })
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
        room.rig.advance(LINK_HOLD_MS / 4);
    }
    for (index, packet) in split(&got).into_iter().enumerate() {
        assert!(packet == chunk(index as u32), "chunk {index}");
    }
    assert!(room.eve_was_told());
    assert!(room.link.take_output().is_empty(), "nothing failed");
}

#[test]
fn a_link_waits_only_so_long_for_a_receiver_that_takes_nothing_and_then_no_more() {
    let mut room = Room::new();
    room.send(500);
    room.rig.advance(LINK_HOLD_MS - 1);
    assert!(!room.eve_was_told());
    room.rig.advance(1);
    assert!(room.eve_was_told());
    room.send(100);
    assert!(room.eve_was_told(), "one that stays behind gets no second pause");
    // Once it has drained it is like everybody else.
    room.rig.take(&room.bob, usize::MAX);
    room.bob.stop_taking();
    room.send(500);
    assert!(!room.eve_was_told());
}

#[test]
fn a_receiver_that_stays_behind_is_closed_and_the_sender_of_the_file_gets_errors() {
    let mut room = Room::new();
    room.send(2000);
    room.rig.advance(LINK_HOLD_MS);
    assert!(room.bob.is_closed() && room.eve_was_told());
    let errors = room.link.take_output();
    let error = encoded(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let error = encoded(&Packet::PckFwd { destination: OTHER, content: &error });
    let errors = split(&errors);
    assert!(errors.len() > 500 && errors.iter().all(|packet| *packet == error));
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
fn a_link_that_waits_may_end() {
    let mut room = Room::new();
    room.send(500);
    room.rig.reset(&room.link);
    room.rig.advance(10 * LINK_HOLD_MS);
    assert!(room.rig.is_open(&room.bob) && !room.eve_was_told());
}

#[test]
fn messages_for_a_receiver_that_is_behind_hold_up_no_link() {
    let mut room = Room::new();
    let ana = room.rig.guest("ana of this server");
    let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: u32::MAX, content: &[0; CHUNK_BYTES] };
    let packet = encoded(&Packet::FileChnk { destination: support::ID, receiver: "bob", chunk });
    room.rig.send(&ana, &packet.repeat(500));
    let message = forwarded(&word_for("bob"));
    room.rig.send(&room.link, &message);
    room.send(0);
    assert!(room.eve_was_told());
}
