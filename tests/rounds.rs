//! Rounds of reads within a turn: their bounds, their order, and that no public message waits longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::engine::Engine;
use cfp::core::state::config::Config;
use cfp::core::state::users::Users;
use cfp::limits::{
    CHUNK_BYTES, CONNECTION_WORK_BYTES, PACKET_WORK_BYTES, READ_BYTES, ROUNDS_WORK_BYTES, TURN_WORK_BYTES,
    WRITE_WORK_BYTES,
};
use cfp::wire::{AuthResponse, Descriptions, FileChunk, Packet, ServerId};
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

const LINKED: ServerId = ServerId(8);

/// What handling one packet adds to a turn beyond its share: the packet itself, and a write for it.
const SLACK_BYTES: usize = 8 * 1024;

fn rig(config: Config) -> Rig {
    let mut rig = Rig::new(Users::none());
    rig.engine = Engine::new(config, Users::none());
    rig
}

fn says(message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPbl { message })
}

fn tells(receiver: &str, message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPrv { destination: ID, receiver, message })
}

fn said(text: &str) -> Vec<u8> {
    encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: text })
}

fn told(receiver: &str, text: &str) -> Vec<u8> {
    encoded(&Packet::MsgPrvInc { origin: ID, sender: "ana", receiver, message: text })
}

fn chunk_for(receiver: &str) -> Vec<u8> {
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &[7; CHUNK_BYTES] };
    encoded(&Packet::FileChnk { destination: ID, receiver, chunk })
}

/// Ana talks while a file passes between two others.
struct Play {
    rig: Rig,
    ana: Peer,
    sender: Peer,
    receiver: Peer,
}

impl Play {
    fn new() -> Play {
        let mut rig = rig(Config::new(ID));
        let (ana, sender, receiver) = (rig.guest("ana"), rig.guest("sender"), rig.guest("receiver"));
        Play { rig, ana, sender, receiver }
    }

    /// So much of the file arrives that it takes as many reads, and a bit more.
    fn file_arrives(&mut self, reads: usize) {
        let chunk = chunk_for("receiver");
        self.rig.arrive(&self.sender, &chunk.repeat(reads * READ_BYTES / chunk.len() + 1));
    }

    fn arrives(&mut self, packet: &[u8]) {
        self.rig.arrive(&self.ana, packet);
    }
}

#[test]
fn a_message_beside_a_file_goes_out_in_the_same_turn_after_a_few_reads_of_the_file() {
    let mut play = Play::new();
    let bob = play.rig.guest("bob");
    play.file_arrives(100);
    for text in ["one", "two"] {
        play.arrives(&says(text));
        play.receiver.take_output();
        play.rig.turn();
        assert_eq!(bob.take_output(), said(text));
        let file_bytes = play.receiver.take_output().len() - said(text).len();
        assert!(file_bytes > 4 * READ_BYTES, "the file goes on for some reads: {file_bytes}");
        assert!(file_bytes < ROUNDS_WORK_BYTES + READ_BYTES, "the room waits for few of them: {file_bytes}");
    }
}

#[test]
fn what_is_said_in_private_comes_behind_what_was_said_in_public_before_it_in_the_same_turn() {
    let mut play = Play::new();
    let bob = play.rig.guest("bob");
    play.file_arrives(100);
    play.arrives(&[says("one"), tells("bob", "two"), says("three")].concat());
    play.rig.turn();
    assert_eq!(bob.take_output(), [said("one"), told("bob", "two"), said("three")].concat());
}

#[test]
fn who_comes_in_a_turn_gets_what_is_said_after_that() {
    let mut play = Play::new();
    play.file_arrives(100);
    play.arrives(&says("before"));
    let bob = play.rig.connect();
    play.rig.arrive(&bob, &encoded(&Packet::AuthGst { nickname: "bob" }));
    let eve = play.rig.guest("eve");
    play.rig.arrive(&eve, &says("after"));
    play.rig.run_until_idle();
    let accepted = encoded(&Packet::AuthRsp { response: AuthResponse::Accepted });
    let after = encoded(&Packet::MsgPblInc { origin: ID, sender: "eve", message: "after" });
    assert_eq!(bob.take_output(), [accepted, after].concat());
}

#[test]
fn another_server_gets_the_same_in_the_same_order() {
    let mut play = Play::new();
    let link = play.rig.connect();
    play.rig.send(&link, &encoded(&Packet::MrgReq { server: LINKED, siblings: Descriptions::default() }));
    link.take_output();
    play.file_arrives(100);
    let packet = Packet::MsgPrv { destination: LINKED, receiver: "bob", message: "two" };
    play.arrives(&[says("one"), encoded(&packet), says("three")].concat());
    play.rig.turn();
    let forwarded = |content: Vec<u8>| encoded(&Packet::PckFwd { destination: LINKED, content: &content });
    let all = [said("one"), told("bob", "two"), said("three")].map(forwarded).concat();
    assert_eq!(link.take_output(), all);
}

#[test]
fn what_everybody_has_got_counts_for_nobodys_memory() {
    let mut rig = rig(Config { max_memory_bytes: 400 * 1024, ..Config::new(ID) });
    let ana = rig.guest("ana");
    let others: Vec<Peer> = (0..5).map(|number| rig.guest(&format!("other{number}"))).collect();
    // Each stands in the middle of a long message: 295 KiB are kept.
    let message = says(&"x".repeat(60 * 1024));
    others.iter().for_each(|other| rig.send(other, &message[..59 * 1024]));
    rig.send(&ana, &says(&"y".repeat(1000)).repeat(200));
    assert!(others.iter().all(|other| rig.is_open(other)), "200 KiB were said, and everybody has them");
    assert_eq!(ana.take_output().len(), 200 * said(&"y".repeat(1000)).len());
}

/// Packets of one sender that a turn handled, as the receiver has got them.
fn handled(receiver: &Peer) -> usize {
    split(&receiver.take_output()).len()
}

#[test]
fn kept_input_counts_when_it_is_handled_and_a_turn_takes_no_more_of_it_than_of_new_input() {
    let mut rig = rig(Config::new(ID));
    let bob = rig.guest("bob");
    let senders: Vec<Peer> = (0..400).map(|number| rig.guest(&format!("sender{number}"))).collect();
    bob.stop_taking();
    let chunks = chunk_for("bob").repeat(58);
    senders.iter().for_each(|sender| rig.arrive(sender, &chunks));
    rig.run_until_idle();
    let kept = rig.engine.queued_bytes();
    assert!(kept > 20 * 1024 * 1024, "they wait, with what was read of them: {kept}");
    // Each of them has more, which was not read.
    senders.iter().for_each(|sender| rig.arrive(sender, &chunks));
    bob.take_output();
    rig.let_take(&bob, usize::MAX);
    for _ in 0..20 {
        rig.turn();
        let bytes = bob.take_output().len();
        assert!(bytes < TURN_WORK_BYTES + READ_BYTES, "one turn handled {bytes} bytes");
    }
    rig.run_until_idle();
}

#[test]
fn a_connection_gets_no_more_than_its_share_of_small_packets_before_others_have_theirs() {
    let mut rig = rig(Config::new(ID));
    let (eve, zoe) = (rig.guest("eve"), rig.guest("zoe"));
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    // In one read; the first of the turn.
    rig.arrive(&eve, &tells("zoe", "").repeat(3000));
    rig.arrive(&ana, &tells("bob", "hi"));
    rig.turn();
    assert_eq!(handled(&bob), 1);
    let share = CONNECTION_WORK_BYTES / PACKET_WORK_BYTES;
    let rounds = ROUNDS_WORK_BYTES / CONNECTION_WORK_BYTES + 1;
    let of_eve = handled(&zoe);
    assert!(of_eve < rounds * share, "{of_eve} packets of one connection in a turn");
    rig.run_until_idle();
    assert_eq!(of_eve + handled(&zoe), 3000, "none is lost");
}

#[test]
fn however_many_flood_with_small_packets_a_turn_is_bounded_and_who_says_little_goes_first() {
    let mut rig = rig(Config::new(ID));
    let flooders: Vec<Peer> = (0..300).map(|number| rig.guest(&format!("flooder{number}"))).collect();
    let (ana, bob) = (rig.guest("ana"), rig.guest("bob"));
    flooders.iter().for_each(|flooder| rig.arrive(flooder, &tells("nobody", "").repeat(4000)));
    // All of them have had their first read, and have more.
    (0..40).for_each(|_| rig.turn());
    for _ in 0..3 {
        let before = rig.engine.core().counters.packets_in.packets(cfp::wire::Code::MsgPrv);
        rig.arrive(&ana, &tells("bob", "hi"));
        rig.turn();
        assert_eq!(handled(&bob), 1, "before the flooders' next packets");
        let packets = rig.engine.core().counters.packets_in.packets(cfp::wire::Code::MsgPrv) - before;
        let most = (TURN_WORK_BYTES + CONNECTION_WORK_BYTES + SLACK_BYTES) / PACKET_WORK_BYTES;
        assert!((packets as usize) < most, "{packets} packets in a turn");
    }
}

#[test]
fn packets_for_many_receivers_use_up_a_share_by_the_writes_that_they_cost() {
    let mut rig = rig(Config::new(ID));
    let sender = rig.guest("sender");
    let receivers: Vec<Peer> = (0..2_000).map(|number| rig.guest(&format!("receiver{number}"))).collect();
    let packets: Vec<u8> = (0..2_000).flat_map(|number| tells(&format!("receiver{number}"), "")).collect();
    rig.arrive(&sender, &packets);
    rig.turn();
    let written = receivers.iter().filter(|receiver| !receiver.take_output().is_empty()).count();
    let most = (ROUNDS_WORK_BYTES + CONNECTION_WORK_BYTES) / WRITE_WORK_BYTES;
    assert!(written > 0 && written <= most, "{written} writes in a turn");
}

#[test]
fn however_many_say_little_one_who_says_much_gets_on_in_each_turn() {
    let mut rig = rig(Config::new(ID));
    let (eve, zoe) = (rig.guest("eve"), rig.guest("zoe"));
    let crowd: Vec<Peer> = (0..1000).map(|number| rig.guest(&format!("talker{number}"))).collect();
    rig.arrive(&eve, &tells("zoe", "").repeat(20_000));
    rig.turn();
    for talkers in crowd.chunks(200) {
        zoe.take_output();
        // More than a turn takes, of connections that each stay within a modest share.
        talkers.iter().for_each(|talker| rig.arrive(talker, &tells("nobody", "").repeat(80)));
        rig.turn();
        assert!(handled(&zoe) > 0);
    }
}
