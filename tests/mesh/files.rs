//! Files across servers: back-pressure goes over the link, but delays other users only for a short time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};

use crate::node::{Node, expect_public};
use crate::support::Client;
use crate::support::client::encoded;

/// The content of chunk number `index`.
fn content(index: u32) -> [u8; CHUNK_BYTES] {
    std::array::from_fn(|i| (index as usize * 31 + i * 7) as u8)
}

/// Sends chunks of a file of `ana` on server 1 to `bob` on server 2, who reads at a fixed rate. Checks that each of
/// them comes, and in order. Ignores public messages between them.
fn carry(ana: &mut Client, bob: &mut Client, chunks: u32, chunks_per_second: Option<u32>) {
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..chunks {
                let chunk = FileChunk { transfer_id: 9, file_name: "a.bin", chunks, content: &content(index) };
                ana.send(&Packet::FileChnk { destination: ServerId(2), receiver: "bob", chunk });
            }
        });
        for index in 0..chunks {
            let bytes = next_chunk(bob);
            let chunk = FileChunk { transfer_id: 9, file_name: "a.bin", chunks, content: &content(index) };
            let packet = Packet::FileChnkInc { origin: ServerId(1), sender: "ana", receiver: "bob", chunk };
            assert!(bytes == encoded(&packet), "chunk {index}");
            if let Some(pace) = chunks_per_second {
                let due = began + Duration::from_secs_f64(f64::from(index) / f64::from(pace));
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    });
}

/// The next packet that is no public message.
fn next_chunk(client: &mut Client) -> Vec<u8> {
    loop {
        let bytes = client.receive();
        if !matches!(Packet::decode(&bytes), Ok(Packet::MsgPblInc { .. })) {
            return bytes;
        }
    }
}

/// Sends chunks to `bob`, who reads nothing, until his server has closed him and the sender was told.
fn send_to_a_deaf_receiver(ana: &mut Client, two: &Node) {
    let chunk = FileChunk { transfer_id: 9, file_name: "a.bin", chunks: u32::MAX, content: &content(0) };
    let chunk = encoded(&Packet::FileChnk { destination: ServerId(2), receiver: "bob", chunk });
    while two.server.count_in_log("slow reader") == 0 {
        ana.send_bytes(&chunk.repeat(64));
    }
    ana.send_bytes(&chunk);
    let error = Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver };
    assert!(next_chunk(ana) == encoded(&error));
}

/// How long public messages from server 1 to server 2 take, one after the other, until it is over.
fn chat(eve: &mut Client, zoe: &mut Client, is_over: &AtomicBool) -> Vec<Duration> {
    let mut delays = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        eve.say("is the line free?");
        expect_public(zoe, 1, "eve", "is the line free?");
        delays.push(began.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    delays
}

/// Has `eve` and `zoe` chat across while `work` is done.
fn chat_during(one: &Node, two: &Node, work: impl FnOnce()) -> Vec<Duration> {
    let (mut eve, mut zoe) = (one.guest("eve"), two.guest("zoe"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let chat = scope.spawn(|| chat(&mut eve, &mut zoe, &is_over));
        work();
        is_over.store(true, Ordering::Relaxed);
        chat.join().unwrap()
    })
}

#[test]
fn a_large_file_to_a_receiver_that_is_slower_than_the_link_arrives_whole() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    let mut ana = one.guest("ana");
    let mut bob = Client::connect_with_receive_buffer(two.address, 64 * 1024);
    bob.log_in_as_guest("bob");
    carry(&mut ana, &mut bob, 16 * 1024, Some(8 * 1024));
    assert_eq!(two.server.count_in_log("slow reader"), 0);
}

#[test]
fn a_receiver_that_reads_nothing_is_closed_its_sender_hears_of_it_and_others_talk_on() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    let (mut ana, _bob) = (one.guest("ana"), two.guest("bob"));
    let delays = chat_during(&one, &two, || send_to_a_deaf_receiver(&mut ana, &two));
    assert!(!delays.is_empty());
    let line = two.server.wait_for_log("slow reader");
    assert!(line.contains("client \"bob\""), "{line}");
    assert_eq!((one.server.count_in_log("lost the link"), two.server.count_in_log("lost the link")), (0, 0));
}

#[test]
#[ignore = "measures"]
fn figures_of_chat_across_while_a_file_goes_across() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    let show = |what: &str, mut delays: Vec<Duration>| {
        delays.sort_unstable();
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        println!(
            "{what}: median {:.1?}, 99 % {:.1?}, longest {:.1?} ({} messages)",
            at(50),
            at(99),
            at(100),
            delays.len()
        );
    };
    for (what, chunks, pace) in [
        ("50 MiB to a receiver that reads all it gets", 50 * 1024, None),
        ("50 MiB to one that reads 20 MiB/s", 50 * 1024, Some(20 * 1024)),
        ("24 MiB to one that reads 2 MiB/s", 24 * 1024, Some(2 * 1024)),
    ] {
        let (mut ana, mut bob) = (one.guest("ana"), two.guest("bob"));
        show(what, chat_during(&one, &two, || carry(&mut ana, &mut bob, chunks, pace)));
    }
    let (mut ana, _bob) = (one.guest("ana"), two.guest("bob"));
    show("a file to one that reads nothing", chat_during(&one, &two, || send_to_a_deaf_receiver(&mut ana, &two)));
}
