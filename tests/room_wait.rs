//! While a file comes in, public messages wait for each other. Nobody may notice but by the clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::engine::Engine;
use cfp::core::state::config::Config;
use cfp::core::state::users::Users;
use cfp::limits::{CHUNK_BYTES, PUBLIC_WAIT_INPUT_BYTES, READ_BYTES};
use cfp::wire::{AuthResponse, Descriptions, FileChunk, Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

const LINKED: ServerId = ServerId(8);

fn said(text: &str) -> Vec<u8> {
    encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: text })
}

fn whispered(receiver: &str, text: &str) -> Vec<u8> {
    encoded(&Packet::MsgPrvInc { origin: ID, sender: "ana", receiver, message: text })
}

/// Ana talks, and somebody sends a file to somebody else.
struct Play {
    rig: Rig,
    ana: Peer,
    sender: Peer,
    _receiver: Peer,
}

impl Play {
    fn new(max_memory_bytes: usize) -> Play {
        let mut rig = Rig::new(Users::none());
        rig.engine = Engine::new(Config { max_memory_bytes, ..Config::new(ID) }, Users::none());
        let (ana, sender, receiver) = (rig.guest("ana"), rig.guest("sender"), rig.guest("receiver"));
        Play { rig, ana, sender, _receiver: receiver }
    }

    /// So much of the file arrives that it takes as many reads, and a bit more.
    fn file_arrives(&mut self, reads: usize) {
        let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &[7; CHUNK_BYTES] };
        let packet = encoded(&Packet::FileChnk { destination: ID, receiver: "receiver", chunk });
        self.rig.arrive(&self.sender, &packet.repeat(reads * READ_BYTES / packet.len() + 1));
    }

    fn ana_says(&mut self, text: &str) {
        self.rig.arrive(&self.ana, &encoded(&Packet::MsgPbl { message: text }));
    }

    /// The file keeps the server busy, and what Ana says waits.
    fn ana_says_beside_the_file(&mut self, text: &str) {
        self.file_arrives(100);
        self.ana_says(text);
        self.rig.turn();
    }

    fn ana_whispers(&mut self, receiver: &str, text: &str) {
        let packet = Packet::MsgPrv { destination: ID, receiver, message: text };
        self.rig.arrive(&self.ana, &encoded(&packet));
    }
}

#[test]
fn a_message_beside_a_file_goes_out_after_a_few_reads_of_it_and_else_at_once() {
    let mut play = Play::new(usize::MAX);
    let bob = play.rig.guest("bob");
    play.ana_says("alone");
    play.rig.turn();
    assert_eq!(bob.take_output(), said("alone"));
    play.file_arrives(100);
    play.ana_says("one");
    for _ in 1..PUBLIC_WAIT_INPUT_BYTES / READ_BYTES {
        play.rig.turn();
        assert_eq!(bob.take_output(), b"");
    }
    play.ana_says("two");
    play.rig.turn();
    assert_eq!(bob.take_output(), [said("one"), said("two")].concat());
}

#[test]
fn what_is_said_in_private_meanwhile_comes_behind_what_was_said_in_public_before() {
    let mut play = Play::new(usize::MAX);
    let bob = play.rig.guest("bob");
    play.ana_says_beside_the_file("one");
    play.ana_whispers("bob", "two");
    play.rig.turn();
    assert_eq!(bob.take_output(), [said("one"), whispered("bob", "two")].concat());
    play.ana_says("three");
    play.rig.run_until_idle();
    assert_eq!(bob.take_output(), said("three"));
}

#[test]
fn who_comes_meanwhile_gets_what_is_said_from_then_on() {
    let mut play = Play::new(usize::MAX);
    play.ana_says_beside_the_file("before");
    let bob = play.rig.connect();
    play.rig.arrive(&bob, &encoded(&Packet::AuthGst { nickname: "bob" }));
    play.rig.turn();
    play.ana_says("after");
    play.rig.run_until_idle();
    let accepted = encoded(&Packet::AuthRsp { response: AuthResponse::Accepted });
    assert_eq!(bob.take_output(), [accepted, said("after")].concat());
}

#[test]
fn who_is_closed_meanwhile_gets_what_was_said_before() {
    let mut play = Play::new(usize::MAX);
    let bob = play.rig.guest("bob");
    play.ana_says_beside_the_file("before");
    play.rig.engine.begin_shutdown(cfp::core::time::Millis(0));
    play.rig.run_until_idle();
    assert_eq!(bob.take_output(), said("before"));
}

#[test]
fn another_server_gets_the_same_in_the_same_order() {
    let mut play = Play::new(usize::MAX);
    let link = play.rig.connect();
    play.rig.send(&link, &encoded(&Packet::MrgReq { server: LINKED, siblings: Descriptions::default() }));
    link.take_output();
    play.ana_says_beside_the_file("one");
    let packet = Packet::MsgPrv { destination: LINKED, receiver: "bob", message: "two" };
    play.rig.arrive(&play.ana, &encoded(&packet));
    play.rig.turn();
    play.ana_says("three");
    play.rig.run_until_idle();
    let forwarded = |content: Vec<u8>| encoded(&Packet::PckFwd { destination: LINKED, content: &content });
    let all = [said("one"), whispered("bob", "two"), said("three")].map(forwarded).concat();
    assert_eq!(link.take_output(), all);
}

#[test]
fn where_memory_runs_out_meanwhile_nobody_else_loses_a_message() {
    let mut play = Play::new(400 * 1024);
    let (bob, slow) = (play.rig.guest("bob"), play.rig.guest("slow"));
    slow.stop_taking();
    let whisperers: Vec<Peer> = (0..9).map(|number| play.rig.guest(&format!("whisperer{number}"))).collect();
    let message = "x".repeat(50 * 1024);
    let whisper = encoded(&Packet::MsgPrv { destination: ID, receiver: "slow", message: &message });
    let (some, others) = whisperers.split_at(6);
    some.iter().for_each(|whisperer| play.rig.send(whisperer, &whisper));
    play.file_arrives(20);
    play.ana_says("hi");
    play.rig.turn();
    assert!(!slow.is_closed() && bob.take_output().is_empty());
    others.iter().for_each(|whisperer| play.rig.arrive(whisperer, &whisper));
    play.rig.run_until_idle();
    assert!(slow.is_closed(), "memory ran out");
    assert_eq!(bob.take_output(), said("hi"));
}
