//! The cost of a delivery in system calls and allocations. They are counted, so the machine's noise does not matter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::alloc::System;

use cfp::core::engine::{Engine, Readiness};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::{CHUNK_BYTES, READ_BYTES, ROUNDS_WORK_BYTES};
use cfp::wire::{Descriptions, FileChunk, Packet, ServerId};
use metered_pipe::PipeEnd;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "support/metered_pipe.rs"]
mod metered_pipe;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ID: ServerId = ServerId(7);

/// A socket whose other side takes everything at once, and whose calls are counted.
fn socket() -> PipeEnd {
    let socket = PipeEnd::new();
    socket.0.borrow_mut().keeps_output = false;
    socket
}

struct Room {
    engine: Engine<PipeEnd>,
    members: Vec<(Key, PipeEnd)>,
}

impl Room {
    fn of(members: usize) -> Room {
        let mut room = Room { engine: Engine::new(Config::new(ID), Users::none()), members: Vec::new() };
        for index in 0..members {
            let socket = socket();
            let key = room.engine.on_accepted(socket.clone(), None, Millis(0)).unwrap();
            room.members.push((key, socket));
            room.send(index, &encoded(&Packet::AuthGst { nickname: &format!("member{index}") }));
        }
        room
    }

    /// Another server merges; its connection counts as one more member.
    fn merge_with(&mut self, server: u32) {
        let socket = socket();
        let key = self.engine.on_accepted(socket.clone(), None, Millis(0)).unwrap();
        self.members.push((key, socket));
        let request = Packet::MrgReq { server: ServerId(server), siblings: Descriptions::default() };
        self.send(self.members.len() - 1, &encoded(&request));
    }

    /// One member's bytes arrive, and the loop turns until it has nothing to do.
    fn send(&mut self, member: usize, bytes: &[u8]) {
        let (key, socket) = &self.members[member];
        socket.0.borrow_mut().input.extend(bytes);
        self.engine.on_ready(*key, Readiness { readable: true, ..Readiness::default() });
        self.engine.turn(Millis(0));
        while self.engine.wants_turn() {
            self.engine.turn(Millis(0));
        }
    }

    fn calls(&self) -> u64 {
        self.members.iter().map(|(_, socket)| socket.0.borrow().calls).sum()
    }

    fn written_bytes(&self) -> u64 {
        self.members.iter().map(|(_, socket)| socket.0.borrow().written_bytes).sum()
    }

    /// System calls and allocations of the second of two equal inputs, and the bytes that it made us write.
    fn cost(&mut self, member: usize, bytes: &[u8]) -> (u64, usize, u64) {
        self.send(member, bytes);
        self.members[member].1.0.borrow_mut().input.reserve(bytes.len());
        let (calls, written) = (self.calls(), self.written_bytes());
        let region = Region::new(ALLOCATOR);
        self.send(member, bytes);
        let change = region.change();
        (self.calls() - calls, change.allocations + change.reallocations, self.written_bytes() - written)
    }
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// One test, since allocations are counted for the whole process: another test's would be among them.
#[test]
fn a_delivery_costs_its_share_of_one_read_and_one_write_and_allocates_nothing() {
    a_burst_in_a_room_is_one_read_and_one_write_for_each_member();
    a_burst_to_other_servers_is_one_write_for_each();
    private_messages_are_one_read_and_one_write();
    file_chunks_are_one_read_and_one_write();
    the_silent_cost_nothing();
    a_room_beside_a_file_is_written_to_once_for_several_reads_of_it();
}

fn a_burst_in_a_room_is_one_read_and_one_write_for_each_member() {
    let mut room = Room::of(100);
    let burst = encoded(&Packet::MsgPbl { message: &"x".repeat(64) }).repeat(256);
    let delivered = encoded(&Packet::MsgPblInc { origin: ID, sender: "member3", message: &"x".repeat(64) }).len();
    assert_eq!(room.cost(3, &burst), (1 + 100, 0, 100 * 256 * delivered as u64));
}

fn a_burst_to_other_servers_is_one_write_for_each() {
    let mut room = Room::of(1);
    (1..=9).for_each(|server| room.merge_with(100 + server));
    let message = "x".repeat(64);
    let burst = encoded(&Packet::MsgPbl { message: &message }).repeat(256);
    let delivered = encoded(&Packet::MsgPblInc { origin: ID, sender: "member0", message: &message });
    let forwarded = encoded(&Packet::PckFwd { destination: ServerId(101), content: &delivered });
    let bytes = 256 * (delivered.len() + 9 * forwarded.len()) as u64;
    assert_eq!(room.cost(0, &burst), (1 + 1 + 9, 0, bytes));
}

fn private_messages_are_one_read_and_one_write() {
    let mut room = Room::of(100);
    let message = "x".repeat(64);
    let burst = encoded(&Packet::MsgPrv { destination: ID, receiver: "member9", message: &message }).repeat(8);
    let delivered = Packet::MsgPrvInc { origin: ID, sender: "member3", receiver: "member9", message: &message };
    assert_eq!(room.cost(3, &burst), (1 + 1, 0, 8 * encoded(&delivered).len() as u64));
}

fn file_chunks_are_one_read_and_one_write() {
    let mut room = Room::of(10);
    let chunk = FileChunk { transfer_id: 1, file_name: "a.bin", chunks: 8, content: &[7; CHUNK_BYTES] };
    let burst = encoded(&Packet::FileChnk { destination: ID, receiver: "member9", chunk }).repeat(8);
    let delivered = Packet::FileChnkInc { origin: ID, sender: "member3", receiver: "member9", chunk };
    assert_eq!(room.cost(3, &burst), (1 + 1, 0, 8 * encoded(&delivered).len() as u64));
}

fn the_silent_cost_nothing() {
    let mut room = Room::of(1000);
    let burst = encoded(&Packet::MsgPrv { destination: ID, receiver: "member9", message: "hi" }).repeat(8);
    let (calls, allocations, _) = room.cost(3, &burst);
    assert_eq!((calls, allocations), (2, 0));
}

fn a_room_beside_a_file_is_written_to_once_for_several_reads_of_it() {
    const READS: usize = 30;
    let mut room = Room::of(10);
    let chunk = FileChunk { transfer_id: 1, file_name: "a.bin", chunks: 8, content: &[7; CHUNK_BYTES] };
    let chunk = encoded(&Packet::FileChnk { destination: ID, receiver: "member9", chunk });
    let message = encoded(&Packet::MsgPbl { message: "hi" });
    let delivered = encoded(&Packet::MsgPblInc { origin: ID, sender: "member3", message: "hi" }).len() as u64;
    let (sender, speaker, listener) = (room.members[0].clone(), room.members[3].clone(), room.members[5].1.clone());
    sender.1.0.borrow_mut().input.extend(&chunk.repeat(READS * READ_BYTES / chunk.len()));
    let readable = Readiness { readable: true, ..Readiness::default() };
    room.engine.on_ready(sender.0, readable);
    let (calls, bytes) = (listener.0.borrow().calls, listener.0.borrow().written_bytes);
    let mut turns = 0;
    while turns == 0 || room.engine.wants_turn() {
        turns += 1;
        speaker.1.0.borrow_mut().input.extend(&message);
        room.engine.on_ready(speaker.0, readable);
        room.engine.turn(Millis(0));
        assert_eq!(listener.0.borrow().written_bytes - bytes, turns * delivered, "nothing public outlives a turn");
    }
    assert_eq!(listener.0.borrow().calls - calls, turns);
    assert!(turns <= READS as u64 / 5, "{turns} turns and writes for {READS} reads");
    assert!(turns as usize * ROUNDS_WORK_BYTES >= READS * READ_BYTES, "and no more than a few reads in one");
}
