//! The effect of one receiver that is behind on its senders: little, whatever it and its friends do (D49, D50).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::config::Config;
use cfp::core::state::users::Users;
use cfp::limits::{CHUNK_BYTES, CHUNK_PAUSE_BYTES, CHUNK_PAUSE_MS, OWN_PAUSE_MS, QUEUE_MAX_BYTES};
use cfp::wire::{AuthResponse, ErrorReason, FileChunk, Packet, ServerId};
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

const LINKED: ServerId = ServerId(8);

fn says(message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPbl { message })
}

fn tells(receiver: &str, message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPrv { destination: ID, receiver, message })
}

fn sends_chunk(receiver: &str) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: u32::MAX, content: &[7; CHUNK_BYTES] };
    encoded(&Packet::FileChnk { destination: ID, receiver, chunk })
}

fn said(sender: &str, message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPblInc { origin: ID, sender, message })
}

fn failed(sender: &str, reason: ErrorReason) -> Vec<u8> {
    encoded(&Packet::Error { sender, reason })
}

/// Mallory takes as much as the test says, and her queue is past its mark. Ana sends to her, zoe listens.
struct Play {
    rig: Rig,
    mallory: Peer,
    helper: Peer,
    ana: Peer,
    zoe: Peer,
}

impl Play {
    fn new() -> Play {
        let mut rig = Rig::new(Users::none());
        let (mallory, helper) = (rig.guest("mallory"), rig.guest("helper"));
        let (ana, zoe) = (rig.guest("ana"), rig.guest("zoe"));
        mallory.stop_taking();
        rig.send(&mallory, &tells("mallory", &"x".repeat(60_000)).repeat(5));
        Play { rig, mallory, helper, ana, zoe }
    }

    /// For so long, mallory takes so much a second, and her helper tells her as much.
    fn level_is_kept_up(&mut self, ms: u64, bytes_per_second: usize) {
        for _ in 0..ms / 100 {
            self.rig.let_take(&self.mallory, bytes_per_second / 10);
            self.rig.arrive(&self.helper, &tells("mallory", &"x".repeat(bytes_per_second / 10 - 40)));
            self.rig.advance(100);
        }
    }

    /// Whether zoe has heard that.
    fn is_heard(&self, message: &str) -> bool {
        split(&self.zoe.take_output()).iter().any(|packet| *packet == said("ana", message))
    }
}

#[test]
fn who_tells_somebody_something_who_is_behind_is_read_from_at_once() {
    let mut play = Play::new();
    for round in 0..50 {
        let text = format!("round {round}");
        play.rig.send(&play.ana, &[tells("mallory", "are you there?"), says(&text)].concat());
        assert!(play.is_heard(&text), "{text}");
        play.level_is_kept_up(1_000, 6_500);
    }
}

#[test]
fn who_tells_her_a_lot_waits_a_second_at_most_between_two_packets() {
    let mut play = Play::new();
    let long = tells("mallory", &"x".repeat(60_000));
    play.rig.send(&play.ana, &[long.repeat(30), says("at last")].concat());
    play.rig.advance(30_000 - 1);
    assert!(play.is_heard("at last"));
}

#[test]
fn who_leaves_frees_its_nickname_whatever_waits_and_what_it_has_sent_is_delivered() {
    let mut play = Play::new();
    play.rig.send(&play.ana, &[sends_chunk("mallory").repeat(3), says("the end")].concat());
    play.rig.shut(&play.ana);
    assert!(play.rig.is_open(&play.ana) && !play.is_heard("the end"), "the chunk waits");
    let other = play.rig.guest("ana");
    assert!(play.rig.is_open(&other), "the nickname is free");
    play.rig.send(&other, &says("I am another"));
    assert!(play.is_heard("I am another"));
    play.rig.take(&play.mallory, usize::MAX);
    assert!(play.is_heard("the end"));
    let chunks = split(&play.mallory.take_output()).iter().filter(|packet| packet[0] == 0x41).count();
    assert_eq!(chunks, 3);
    assert!(play.ana.is_closed() && play.rig.is_open(&other), "only the first has left");
    play.rig.send(&other, &tells("ana", "me"));
    assert!(split(&other.take_output()).iter().any(|packet| packet[0] == 0x31));
}

#[test]
fn who_has_left_before_it_is_paused_frees_its_nickname_too() {
    let mut play = Play::new();
    play.rig.arrive(&play.ana, &[sends_chunk("mallory").repeat(3), says("the end")].concat());
    play.rig.shut(&play.ana);
    assert!(play.rig.is_open(&play.ana), "the chunk waits");
    play.rig.guest("ana");
}

#[test]
fn a_chunk_waits_until_its_receiver_has_taken_so_much_however_full_others_keep_its_queue() {
    let mut play = Play::new();
    play.rig.send(&play.ana, &[sends_chunk("mallory"), says("now")].concat());
    let rate = 6_500;
    let needed_ms = (CHUNK_PAUSE_BYTES * 1000 / rate) as u64;
    play.level_is_kept_up(needed_ms - 500, rate);
    assert!(!play.is_heard("now"));
    play.level_is_kept_up(1_000, rate);
    assert!(play.is_heard("now") && play.rig.is_open(&play.mallory));
}

#[test]
fn a_receiver_that_takes_too_little_for_a_chunk_that_waits_is_closed_as_a_slow_reader() {
    let mut play = Play::new();
    play.rig.send(&play.ana, &[sends_chunk("mallory"), says("now")].concat());
    for _ in 0..CHUNK_PAUSE_MS / 1_000 {
        assert!(play.rig.is_open(&play.mallory) && !play.is_heard("now"));
        play.rig.take(&play.mallory, 3_900);
        play.rig.advance(1_000);
    }
    assert!(play.mallory.is_closed() && play.is_heard("now"));
    let answer = failed("ana", ErrorReason::UnknownReceiver);
    assert!(split(&play.ana.take_output()).iter().any(|packet| *packet == answer), "the chunk went nowhere");
}

#[test]
fn a_file_to_a_receiver_that_takes_enough_arrives_whole_although_it_is_slow() {
    let mut play = Play::new();
    play.rig.arrive(&play.ana, &sends_chunk("mallory").repeat(300));
    for _ in 0..1_000 {
        play.rig.take(&play.mallory, 1_000);
        play.rig.advance(100);
    }
    let got = play.mallory.take_output();
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: u32::MAX, content: &[7; CHUNK_BYTES] };
    let chunk = encoded(&Packet::FileChnkInc { origin: ID, sender: "ana", receiver: "mallory", chunk });
    assert_eq!(got.windows(chunk.len()).filter(|window| *window == chunk).count(), 300);
    assert_eq!(play.rig.engine.core().counters.refused, 0);
}

#[test]
fn private_messages_fill_half_a_queue_and_are_refused_beyond() {
    let mut play = Play::new();
    let long = "x".repeat(60_000);
    // However many send them.
    let senders: Vec<Peer> = (0..50).map(|number| play.rig.guest(&format!("sender{number}"))).collect();
    for _ in 0..20 {
        senders.iter().for_each(|sender| play.rig.arrive(sender, &tells("mallory", &long)));
        play.rig.advance(1_000);
    }
    assert!(play.rig.is_open(&play.mallory));
    let refused = failed("sender7", ErrorReason::UnknownReceiver);
    let answers = senders[7].take_output();
    assert!(split(&answers).iter().any(|packet| *packet == refused));
    play.rig.take(&play.mallory, usize::MAX);
    let queued = play.mallory.take_output().len();
    assert!(queued > QUEUE_MAX_BYTES / 2 && queued < QUEUE_MAX_BYTES / 2 + 2 * 60_100, "{queued} bytes were queued");
    play.rig.send(&senders[7], &tells("mallory", "again"));
    assert!(!play.mallory.take_output().is_empty(), "there is room again");
}

#[test]
fn a_message_that_would_close_its_receiver_is_refused() {
    let mut rig = Rig::with_config(Config { max_queue_bytes: 96 * 1024, ..Config::new(ID) });
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    bob.stop_taking();
    rig.send(&ana, &tells("bob", &"x".repeat(30_000)));
    rig.send(&ana, &tells("bob", &"x".repeat(64 * 1024)));
    assert!(rig.is_open(&bob));
    rig.send(&ana, &tells("bob", &"x".repeat(1_000)));
    rig.advance(1_000);
    assert_eq!(ana.take_output(), failed("ana", ErrorReason::UnknownReceiver));
    rig.take(&bob, usize::MAX);
    assert_eq!(split(&bob.take_output()).len(), 2);
}

#[test]
fn who_is_flooded_in_private_can_still_speak() {
    let mut play = Play::new();
    // Bob reads 100 KB/s; others keep his queue past its mark.
    let bob = play.rig.guest("bob");
    bob.stop_taking();
    let senders: Vec<Peer> = (0..8).map(|number| play.rig.guest(&format!("sender{number}"))).collect();
    let mut heard = 0;
    for step in 0..300 {
        for sender in senders.iter().filter(|sender| sender.unread_bytes() < 100_000) {
            play.rig.arrive(sender, &tells("bob", &"x".repeat(10_000)));
        }
        if step % 20 == 0 {
            play.rig.arrive(&bob, &says("help"));
        }
        play.rig.let_take(&bob, 10_000);
        play.rig.advance(100);
        heard += split(&play.zoe.take_output()).iter().filter(|packet| **packet == said("bob", "help")).count();
    }
    assert!(heard >= 14, "{heard} of 15 times");
    assert!(play.rig.is_open(&bob));
}

#[test]
fn who_does_not_read_its_own_echoes_says_a_packet_a_second() {
    let mut rig = Rig::new(Users::none());
    let (ana, zoe) = (rig.guest("ana"), rig.guest("zoe"));
    ana.stop_taking();
    rig.arrive(&ana, &says(&"x".repeat(1_000)).repeat(2_000));
    rig.run_until_idle();
    zoe.take_output();
    rig.advance(10 * OWN_PAUSE_MS);
    let packets = split(&zoe.take_output()).len();
    assert!((9..=11).contains(&packets), "{packets} in ten seconds");
}

#[test]
fn a_link_that_is_behind_holds_nobody_up_who_tells_somebody_there_something() {
    let mut rig = Rig::new(Users::none());
    let (ana, zoe, link) = (rig.guest("ana"), rig.guest("zoe"), rig.link(LINKED));
    link.stop_taking();
    let flood = Packet::MsgPrv { destination: LINKED, receiver: "bob", message: &"x".repeat(60_000) };
    let flooder = rig.guest("flooder");
    rig.arrive(&flooder, &encoded(&flood).repeat(10));
    rig.run_until_idle();
    let tells = encoded(&Packet::MsgPrv { destination: LINKED, receiver: "bob", message: "hi" });
    rig.send(&ana, &[tells, says("now")].concat());
    assert!(split(&zoe.take_output()).iter().any(|packet| *packet == said("ana", "now")));
    rig.take(&link, usize::MAX);
    let got = link.take_output();
    assert!(got.windows(2).any(|window| window == b"hi"));
}

#[test]
fn a_receiver_that_keeps_up_is_never_behind_whatever_is_sent_to_it_in_one_turn() {
    let mut rig = Rig::new(Users::none());
    let bob = rig.guest("bob");
    let senders: Vec<Peer> = (0..200).map(|number| rig.guest(&format!("sender{number}"))).collect();
    senders.iter().for_each(|sender| rig.arrive(sender, &tells("bob", &"x".repeat(60_000))));
    rig.run_until_idle();
    assert_eq!(split(&bob.take_output()).len(), 200);
    assert_eq!(rig.engine.core().counters.refused, 0);
    assert!(senders.iter().all(|sender| sender.take_output().is_empty()));
}

#[test]
fn a_login_under_a_nickname_whose_holder_waits_is_refused_as_long_as_the_holder_is_there() {
    let mut play = Play::new();
    play.rig.send(&play.ana, &sends_chunk("mallory").repeat(3));
    let other = play.rig.connect();
    play.rig.send(&other, &encoded(&Packet::AuthGst { nickname: "ana" }));
    assert_eq!(other.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::InUse }));
}

#[test]
fn who_is_flooded_in_private_speaks_as_fast_as_it_reads() {
    let mut play = Play::new();
    let bob = play.rig.guest("bob");
    bob.stop_taking();
    let senders: Vec<Peer> = (0..20).map(|number| play.rig.guest(&format!("sender{number}"))).collect();
    let mut heard = 0;
    for step in 0..300 {
        for sender in senders.iter().filter(|sender| sender.unread_bytes() < 100_000) {
            play.rig.arrive(sender, &tells("bob", &"x".repeat(10_000)));
        }
        if step == 100 {
            play.rig.arrive(&bob, &says("help").repeat(10));
        }
        // 1 MB/s.
        play.rig.let_take(&bob, 10_000);
        play.rig.advance(10);
        heard += split(&play.zoe.take_output()).iter().filter(|packet| **packet == said("bob", "help")).count();
    }
    assert_eq!(heard, 10, "in two seconds");
}

#[test]
fn who_is_on_the_way_out_and_does_not_read_is_held_to_the_queue_limit_too() {
    let max_queue_bytes = 8 * 1024;
    let mut rig = Rig::with_config(Config { max_queue_bytes, ..Config::new(ID) });
    let (bob, eve, operator) = (rig.guest("bob"), rig.guest("eve"), rig.operator());
    bob.stop_taking();
    // What she says echoes to her: it shows how much was said.
    let echo_bytes = said("eve", "hi").len();
    let fitting = max_queue_bytes / echo_bytes;
    rig.send(&eve, &says("hi").repeat(fitting));
    for _ in 0..30 {
        rig.advance(500);
    }
    assert_eq!(eve.take_output().len(), fitting * echo_bytes);
    assert!(rig.is_open(&bob), "his queue is all but full");
    // In one turn: more than it may hold, and its end.
    rig.arrive(&eve, &says("hi").repeat(2));
    rig.arrive(&operator, b"kick bob\n");
    rig.turn();
    assert_eq!(eve.take_output().len(), 2 * echo_bytes);
    assert_eq!(operator.take_output(), b"ok\n");
    assert!(bob.is_closed());
}

#[test]
fn the_smallest_queues_that_are_allowed_have_room_for_the_longest_message() {
    let (long, other) = ("l".repeat(64), "o".repeat(64));
    let mut config = Config::new(ID);
    config.frame.message_max_bytes = 50_000;
    config.max_queue_bytes = config.frame.packet_max_bytes();
    config.max_link_queue_bytes = config.frame.packet_max_bytes();
    config.max_memory_bytes = config.memory_min_bytes();
    let message = "x".repeat(config.frame.message_max_bytes);
    let mut rig = Rig::with_config(config);
    let (sender, receiver, link) = (rig.guest(&long), rig.guest(&other), rig.link(LINKED));
    let astray = encoded(&Packet::MsgPrv { destination: LINKED, receiver: &other, message: &message });
    // In pieces, so that it is kept while it comes in, and to those whose kernels take nothing for a moment.
    for packet in [tells(&other, &message), says(&message), astray] {
        receiver.stop_taking();
        link.stop_taking();
        for piece in packet.chunks(7_000) {
            rig.send(&sender, piece);
        }
        rig.take(&receiver, usize::MAX);
        rig.take(&link, usize::MAX);
        assert!(receiver.take_output().len() + link.take_output().len() > message.len());
    }
    assert!(rig.is_open(&sender) && rig.is_open(&receiver) && rig.is_link(&link));
    assert_eq!(rig.engine.core().counters.link_packets_dropped, 0);
}
