//! Files between clients of one server, and senders that wait for slow receivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::Duration;

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};
use support::client::{encoded, split};
use support::{Client, ID, Server};

/// The content of chunk number `index`.
fn content(index: u32) -> [u8; CHUNK_BYTES] {
    std::array::from_fn(|i| (index as usize * 31 + i * 7) as u8)
}

fn chunk_to(destination: ServerId, receiver: &str, index: u32, chunks: u32) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 99, file_name: "photo.jpg", chunks, content: &content(index) };
    encoded(&Packet::FileChnk { destination, receiver, chunk })
}

/// What the receiver gets of it, from `ana`.
fn chunk_from_ana(receiver: &str, index: u32, chunks: u32) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 99, file_name: "photo.jpg", chunks, content: &content(index) };
    encoded(&Packet::FileChnkInc { origin: ID, sender: "ana", receiver, chunk })
}

/// All of `ana`'s file for `bob`.
fn file_for_bob(chunks: u32) -> Vec<u8> {
    (0..chunks).flat_map(|index| chunk_to(ID, "bob", index, chunks)).collect()
}

/// A receiver whose kernel takes little of what it does not read.
fn slow_reader(server: &Server, nickname: &str) -> Client {
    let mut client = Client::connect_with_receive_buffer(server.address(), 4096);
    client.log_in_as_guest(nickname);
    client
}

/// Sends `ana`'s file until the server takes no more of it. Returns the rest.
fn send_until_held<'a>(ana: &mut Client, file: &'a [u8]) -> &'a [u8] {
    let sent = ana.send_until_blocked(file, Duration::from_millis(300));
    assert!(sent < file.len(), "the sender has to wait");
    &file[sent..]
}

/// 24 MiB: more than queues and the kernel's buffers on both ways together.
const LARGE: u32 = 24 * 1024;

#[test]
fn a_file_arrives_chunk_by_chunk() {
    let server = Server::start(&[]);
    let (mut ana, mut bob, mut eve) = (server.guest("ana"), server.guest("bob"), server.guest("eve"));
    ana.send_bytes(&file_for_bob(50));
    for index in 0..50 {
        assert!(bob.receive() == chunk_from_ana("bob", index, 50), "chunk {index}");
    }
    ana.expect_nothing_but_itself("ana");
    eve.expect_nothing_but_itself("eve");
}

#[test]
fn each_chunk_that_goes_nowhere_is_answered_with_an_error() {
    let server = Server::start(&[]);
    let mut ana = server.guest("ana");
    for index in 0..3 {
        ana.send_bytes(&chunk_to(ID, "nobody", index, 3));
        ana.send_bytes(&chunk_to(ServerId(8), "ana", index, 3));
    }
    for _ in 0..3 {
        ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
        ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    }
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn a_file_name_is_passed_on_as_it_is_and_an_impossible_one_is_passed_over() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    let (longest, too_long) = ("x".repeat(255), "x".repeat(256));
    let mut send = |file_name: &str, chunks| {
        let chunk = FileChunk { transfer_id: 0, file_name, chunks, content: &content(0) };
        ana.send(&Packet::FileChnk { destination: ID, receiver: "bob", chunk });
    };
    for (name, chunks) in [("", 1), ("note.txt", 0), (too_long.as_str(), 1)] {
        send(name, chunks);
    }
    for file_name in ["../../etc/passwd", "a\0b\n", longest.as_str()] {
        send(file_name, u32::MAX);
        let chunk = FileChunk { transfer_id: 0, file_name, chunks: u32::MAX, content: &content(0) };
        bob.expect(&Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "bob", chunk });
    }
}

#[test]
fn a_message_that_was_sent_before_a_file_comes_before_it() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    for round in 0..20 {
        ana.tell("bob", &format!("file {round}"));
        ana.say(&format!("file {round} for bob"));
        ana.send_bytes(&file_for_bob(5));
    }
    for round in 0..20 {
        bob.expect_private("ana", "bob", &format!("file {round}"));
        bob.expect_public("ana", &format!("file {round} for bob"));
        for index in 0..5 {
            assert!(bob.receive() == chunk_from_ana("bob", index, 5), "file {round}, chunk {index}");
        }
    }
}

#[test]
fn a_file_to_a_slow_reader_arrives_whole_while_memory_stays_flat_and_others_talk() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    let (mut eve, mut zoe) = (server.guest("eve"), server.guest("zoe"));
    let file = file_for_bob(LARGE);
    let before = server.resident_bytes();
    let rest = send_until_held(&mut ana, &file);
    for i in 0..50 {
        eve.tell("zoe", &format!("{i}"));
        zoe.expect_private("eve", "zoe", &format!("{i}"));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 3 * 1024 * 1024, "grown by {grown} bytes");
    std::thread::scope(|scope| {
        scope.spawn(|| ana.send_bytes(rest));
        for index in 0..LARGE {
            assert!(bob.receive() == chunk_from_ana("bob", index, LARGE), "chunk {index}");
        }
    });
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 3 * 1024 * 1024, "grown by {grown} bytes");
    ana.expect_nothing_but_itself("ana");
    bob.expect_nothing_but_itself("bob");
}

#[test]
fn many_senders_wait_for_one_slow_reader_and_all_their_files_arrive() {
    let server = Server::start(&[]);
    let mut bob = slow_reader(&server, "bob");
    let senders = 8;
    std::thread::scope(|scope| {
        for i in 0..senders {
            let mut sender = server.guest(&format!("sender {i}"));
            scope.spawn(move || {
                sender.send_bytes(&file_for_bob(LARGE / 8));
                sender.expect_nothing_but_itself(&format!("sender {i}"));
            });
        }
        let mut next = vec![0; senders];
        for _ in 0..LARGE {
            let bytes = bob.receive();
            let Ok(Packet::FileChnkInc { sender, chunk, .. }) = Packet::decode(&bytes) else { panic!("no chunk") };
            let i: usize = sender.strip_prefix("sender ").unwrap().parse().unwrap();
            assert!(*chunk.content == content(next[i]), "chunk {} of {sender}", next[i]);
            next[i] += 1;
        }
        assert_eq!(next, vec![LARGE / 8; senders]);
    });
}

#[test]
fn a_sender_goes_on_when_the_receiver_it_waits_for_leaves() {
    let server = Server::start(&[]);
    let (mut ana, bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    send_until_held(&mut ana, &file_for_bob(LARGE));
    bob.reset();
    // What was not delivered any more is answered.
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    server.guest("bob");
}

#[test]
fn a_sender_that_shuts_its_side_while_it_waits_has_everything_delivered() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    let file = file_for_bob(LARGE);
    let sent = file.len() - send_until_held(&mut ana, &file).len();
    ana.shut_sending_side();
    // The last chunk may have been cut.
    let whole = sent / chunk_to(ID, "bob", 0, LARGE).len();
    for index in 0..whole as u32 {
        assert!(bob.receive() == chunk_from_ana("bob", index, LARGE), "chunk {index} of {whole}");
    }
    bob.expect_nothing_but_itself("bob");
    ana.expect_end();
}

#[test]
fn a_sender_that_resets_while_it_waits_leaves_whole_chunks_only() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (server.guest("ana"), slow_reader(&server, "bob"));
    send_until_held(&mut ana, &file_for_bob(LARGE));
    ana.reset();
    // Her nickname is free as soon as the reset is seen, although chunks of hers still wait.
    let login = Packet::AuthGst { nickname: "ana" };
    let is_free = || {
        let mut again = server.connect();
        again.send(&login);
        again.receive() == b"\x10\0"
    };
    while !is_free() {}
    bob.shut_sending_side();
    let received = bob.receive_to_end();
    for (index, packet) in split(&received).into_iter().enumerate() {
        assert!(packet == chunk_from_ana("bob", index as u32, LARGE), "chunk {index}");
    }
}

#[test]
fn two_who_send_each_other_files_and_read_late_both_get_them() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (slow_reader(&server, "ana"), slow_reader(&server, "bob"));
    let chunks = LARGE / 2;
    let (for_bob, for_ana): (Vec<u8>, Vec<u8>) =
        (file_for_bob(chunks), (0..chunks).flat_map(|index| chunk_to(ID, "ana", index, chunks)).collect());
    let ana_sent = ana.send_until_blocked(&for_bob, Duration::from_millis(300));
    let bob_sent = bob.send_until_blocked(&for_ana, Duration::from_millis(300));
    let chunk_bytes = chunk_to(ID, "bob", 0, chunks).len();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..bob_sent / chunk_bytes {
                ana.receive();
            }
        });
        for index in 0..(ana_sent / chunk_bytes) as u32 {
            assert!(bob.receive() == chunk_from_ana("bob", index, chunks), "chunk {index}");
        }
    });
}
