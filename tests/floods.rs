//! A sender of too much is slowed before a receiver is closed (D49). The real engine, and a minute on a clock of the
//! test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::config::Config;
use cfp::limits::{CHUNK_BYTES, DEAD_READER_MS, QUEUE_MAX_BYTES};
use cfp::wire::{FileChunk, Packet, ServerId};
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

/// The server at the other end of a link.
const OTHER: ServerId = ServerId(8);
/// How finely time passes.
const STEP_MS: u64 = 5;
/// What a flooder always has under way: what the kernel holds of a connection.
const UNDER_WAY_BYTES: usize = 256 * 1024;

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

fn forwarded(content: &Packet<'_>) -> Vec<u8> {
    encoded(&Packet::PckFwd { destination: ID, content: &encoded(content) })
}

/// A reader with a fixed rate, in pieces every `every_ms`: a kernel asks for more in pieces too.
struct Reader {
    peer: Peer,
    bytes_per_second: usize,
    every_ms: u64,
}

/// A sender that repeats one message, as fast as it is read from.
struct Flooder {
    peer: Peer,
    packet: Vec<u8>,
    sent_bytes: usize,
}

impl Flooder {
    fn new(peer: Peer, packet: Vec<u8>) -> Flooder {
        peer.keep_no_output();
        Flooder { peer, packet, sent_bytes: 0 }
    }

    fn handled_bytes(&self) -> usize {
        self.sent_bytes - self.peer.unread_bytes()
    }
}

/// A sender of occasional messages.
struct Talker {
    peer: Peer,
    packet: Vec<u8>,
    every_ms: u64,
}

struct Room {
    rig: Rig,
    readers: Vec<Reader>,
    flooders: Vec<Flooder>,
    talkers: Vec<Talker>,
}

impl Room {
    fn new() -> Room {
        let rig = Rig::with_config(Config::new(ID));
        Room { rig, readers: Vec::new(), flooders: Vec::new(), talkers: Vec::new() }
    }

    /// The kernel holds nothing for a reader: what it does not read waits on the server.
    fn reader(&mut self, nickname: &str, bytes_per_second: usize, every_ms: u64) {
        let peer = self.rig.guest(nickname);
        peer.keep_no_output();
        peer.stop_taking();
        self.readers.push(Reader { peer, bytes_per_second, every_ms });
    }

    /// Thirty readers of 1 MB/s each, smooth or in pieces.
    fn thirty_readers(&mut self) {
        for number in 0..30 {
            self.reader(&format!("reader{number}"), 1_000_000, if number % 2 == 0 { STEP_MS } else { 400 });
        }
    }

    fn flooder(&mut self, nickname: &str, packet: Vec<u8>) {
        let peer = self.rig.guest(nickname);
        self.flooders.push(Flooder::new(peer, packet));
    }

    fn talker(&mut self, nickname: &str, packet: Vec<u8>, every_ms: u64) {
        let peer = self.rig.guest(nickname);
        peer.keep_no_output();
        self.talkers.push(Talker { peer, packet, every_ms });
    }

    fn step(&mut self) {
        for flooder in &mut self.flooders {
            let missing = UNDER_WAY_BYTES.saturating_sub(flooder.peer.unread_bytes());
            let packets = missing / flooder.packet.len();
            if packets > 0 && self.rig.is_open(&flooder.peer) {
                flooder.sent_bytes += packets * flooder.packet.len();
                self.rig.arrive(&flooder.peer, &flooder.packet.repeat(packets));
            }
        }
        let now_ms = self.rig.now_ms();
        for talker in self.talkers.iter().filter(|talker| now_ms.is_multiple_of(talker.every_ms)) {
            self.rig.arrive(&talker.peer, &talker.packet);
        }
        for reader in self.readers.iter().filter(|reader| now_ms.is_multiple_of(reader.every_ms)) {
            if self.rig.is_open(&reader.peer) {
                let bytes = reader.bytes_per_second * reader.every_ms as usize / 1000;
                self.rig.let_take(&reader.peer, bytes);
            }
        }
        self.rig.advance(STEP_MS);
    }

    fn run_for(&mut self, ms: u64) {
        (0..ms / STEP_MS).for_each(|_| self.step());
    }

    fn assert_that_all_readers_are_there(&self) {
        let gone: Vec<usize> = (0..self.readers.len()).filter(|&i| !self.rig.is_open(&self.readers[i].peer)).collect();
        assert!(gone.is_empty(), "closed: {gone:?}");
    }

    /// What the floods came to, in bytes a second.
    fn flood_rate(&self) -> usize {
        self.flooders.iter().map(Flooder::handled_bytes).sum::<usize>() * 1000 / self.rig.now_ms() as usize
    }

    /// A minute of it: no reader is closed, and the flood is slowed to what the readers take, but not stopped.
    fn assert_that_a_minute_passes(&mut self) {
        self.run_for(60_000);
        self.assert_that_all_readers_are_there();
        let rate = self.flood_rate();
        assert!(rate < 8_000_000, "{rate} bytes of flood a second");
        assert!(rate > 50_000, "{rate} bytes of flood a second");
    }
}

#[test]
fn one_who_floods_in_public_throws_nobody_out() {
    for message in ["x".repeat(60_000), "x".repeat(100)] {
        let mut room = Room::new();
        room.thirty_readers();
        room.flooder("mallory", says(&message));
        room.assert_that_a_minute_passes();
    }
}

#[test]
fn one_who_floods_with_empty_messages_throws_nobody_out() {
    let mut room = Room::new();
    room.thirty_readers();
    room.flooder("mallory", says(""));
    room.assert_that_a_minute_passes();
}

#[test]
fn several_who_flood_in_public_throw_nobody_out() {
    let mut room = Room::new();
    room.thirty_readers();
    for number in 0..10 {
        room.flooder(&format!("mallory{number}"), says(&"x".repeat(if number % 2 == 0 { 60_000 } else { 100 })));
    }
    room.assert_that_a_minute_passes();
}

#[test]
fn many_who_each_say_a_little_throw_nobody_out() {
    let mut room = Room::new();
    room.thirty_readers();
    // 300 × 10 KB/s: three times what the readers take.
    for number in 0..300 {
        room.talker(&format!("talker{number}"), says(&"x".repeat(1_000)), 100);
    }
    room.run_for(20_000);
    room.assert_that_all_readers_are_there();
}

#[test]
fn many_who_say_something_long_at_the_same_moment_throw_nobody_out() {
    let mut room = Room::new();
    room.thirty_readers();
    for number in 0..200 {
        room.talker(&format!("talker{number}"), says(&"x".repeat(60_000)), 10_000);
    }
    room.run_for(20_000);
    room.assert_that_all_readers_are_there();
}

#[test]
fn private_floods_throw_out_no_victim() {
    let mut room = Room::new();
    (0..5).for_each(|number| room.reader(&format!("victim{number}"), 1_000_000, 400));
    for number in 0..20 {
        let message = "x".repeat(if number % 2 == 0 { 60_000 } else { 100 });
        room.flooder(&format!("mallory{number}"), tells(&format!("victim{}", number % 5), &message));
    }
    room.run_for(60_000);
    room.assert_that_all_readers_are_there();
    let rate = room.flood_rate();
    assert!((1_000_000..20_000_000).contains(&rate), "{rate} bytes of flood a second");
}

#[test]
fn files_and_floods_together_throw_out_no_victim() {
    let mut room = Room::new();
    (0..5).for_each(|number| room.reader(&format!("victim{number}"), 1_000_000, 400));
    for number in 0..10 {
        let victim = format!("victim{}", number % 5);
        room.flooder(&format!("file{number}"), sends_chunk(&victim));
        room.flooder(&format!("private{number}"), tells(&victim, &"x".repeat(60_000)));
    }
    room.flooder("public", says(&"x".repeat(60_000)));
    room.run_for(60_000);
    room.assert_that_all_readers_are_there();
}

/// A room with a link over which a flood comes.
fn with_flood_from_another_server(room: &mut Room, content: &Packet<'_>) {
    let peer = room.rig.link(OTHER);
    room.flooders.push(Flooder::new(peer, forwarded(content)));
}

#[test]
fn one_who_floods_in_public_from_another_server_throws_nobody_out() {
    for message in ["x".repeat(60_000), String::new()] {
        let mut room = Room::new();
        room.thirty_readers();
        let packet = Packet::MsgPblInc { origin: OTHER, sender: "mallory", message: &message };
        with_flood_from_another_server(&mut room, &packet);
        // One here besides.
        room.flooder("eve", says(&message));
        room.assert_that_a_minute_passes();
    }
}

#[test]
fn one_who_floods_in_private_from_another_server_throws_nobody_out() {
    for message in ["x".repeat(60_000), "x".repeat(100)] {
        let mut room = Room::new();
        room.thirty_readers();
        let packet = Packet::MsgPrvInc { origin: OTHER, sender: "mallory", receiver: "reader7", message: &message };
        with_flood_from_another_server(&mut room, &packet);
        room.assert_that_a_minute_passes();
    }
}

#[test]
fn one_who_floods_with_a_file_from_another_server_throws_nobody_out() {
    let mut room = Room::new();
    room.thirty_readers();
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: u32::MAX, content: &[7; CHUNK_BYTES] };
    let packet = Packet::FileChnkInc { origin: OTHER, sender: "mallory", receiver: "reader7", chunk };
    with_flood_from_another_server(&mut room, &packet);
    room.assert_that_a_minute_passes();
}

#[test]
fn who_floods_is_slowed_while_a_link_is_behind_and_the_link_stays() {
    let mut room = Room::new();
    let link = room.rig.link(OTHER);
    link.keep_no_output();
    link.stop_taking();
    room.readers.push(Reader { peer: link, bytes_per_second: 512 * 1024, every_ms: 250 });
    room.flooder("mallory", says(&"x".repeat(60_000)));
    room.assert_that_a_minute_passes();
    assert!(room.rig.engine.queued_bytes() < 2 * QUEUE_MAX_BYTES, "little waits for it");
}

/// The longest delay of `ana`'s messages, one every 100 ms, to `zoe`, who reads everything.
fn longest_delay_ms(room: &mut Room, ms: u64) -> u64 {
    let (ana, zoe) = (room.rig.guest("ana"), room.rig.guest("zoe"));
    ana.keep_no_output();
    let said = |text: &str| encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: text });
    let (mut longest_ms, mut waits) = (0, None::<(u64, String)>);
    let end_ms = room.rig.now_ms() + ms;
    while room.rig.now_ms() < end_ms {
        let now_ms = room.rig.now_ms();
        if waits.is_none() && now_ms.is_multiple_of(100) {
            let text = format!("at {now_ms}");
            room.rig.arrive(&ana, &says(&text));
            waits = Some((now_ms, text));
        }
        room.step();
        let got = zoe.take_output();
        if let Some((since_ms, text)) = waits.clone() {
            longest_ms = longest_ms.max(room.rig.now_ms() - since_ms);
            if split(&got).iter().any(|packet| *packet == said(&text)) {
                waits = None;
            }
        }
    }
    assert!(waits.is_none(), "all is heard");
    longest_ms
}

#[test]
fn a_reader_that_reads_nothing_is_closed_and_meanwhile_nobody_waits_for_it() {
    for with_flood in [false, true] {
        let mut room = Room::new();
        (0..10).for_each(|number| room.reader(&format!("reader{number}"), 10_000_000, STEP_MS));
        if with_flood {
            room.flooder("mallory", says(&"x".repeat(60_000)));
        }
        (0..3).for_each(|number| room.reader(&format!("dead{number}"), 0, STEP_MS));
        let longest_ms = longest_delay_ms(&mut room, 31_000);
        assert!(longest_ms <= 100, "{longest_ms} ms, with a flood: {with_flood}");
        let (living, dead) = room.readers.split_at(10);
        assert!(living.iter().all(|reader| room.rig.is_open(&reader.peer)));
        assert!(dead.iter().all(|reader| !room.rig.is_open(&reader.peer)));
    }
}

#[test]
fn readers_that_read_hardly_anything_silence_no_room_and_not_even_a_flooder() {
    let mut room = Room::new();
    (0..20).for_each(|number| room.reader(&format!("slow{number}"), 1, 1_000));
    room.flooder("mallory", says(&"x".repeat(1_000)));
    let longest_ms = longest_delay_ms(&mut room, 20_000);
    assert!(longest_ms <= 100, "{longest_ms} ms");
    assert!(room.flood_rate() > 1_000_000, "they are closed, and the room goes on: {}", room.flood_rate());
}

#[test]
fn nobody_is_slowed_while_all_keep_up() {
    let mut room = Room::new();
    (0..30).for_each(|number| {
        room.reader(&format!("reader{number}"), usize::MAX / 10_000, 1_000);
    });
    room.flooder("mallory", says(&"x".repeat(60_000)));
    room.rig.run_until_idle();
    for _ in 0..10 {
        room.step();
        assert_eq!(room.flooders[0].peer.unread_bytes(), 0, "all that comes is handled at once");
    }
}

#[test]
fn while_somebody_is_behind_who_says_little_overtakes_who_says_much() {
    let mut room = Room::new();
    room.thirty_readers();
    for number in 0..5 {
        room.flooder(&format!("mallory{number}"), says(&"x".repeat(60_000)));
    }
    let longest_ms = longest_delay_ms(&mut room, 20_000);
    assert!(longest_ms <= 100, "{longest_ms} ms");
    room.assert_that_all_readers_are_there();
}

#[test]
fn while_somebody_is_behind_those_who_flood_get_on_alike() {
    let mut room = Room::new();
    // Behind all the time.
    room.reader("slow", 260_000, STEP_MS);
    (0..4).for_each(|number| room.flooder(&format!("mallory{number}"), says(&"x".repeat(5_000))));
    room.run_for(2_000);
    let handled = |room: &Room| room.flooders.iter().map(Flooder::handled_bytes).collect::<Vec<_>>();
    let before = handled(&room);
    room.run_for(10_000);
    let each: Vec<usize> = handled(&room).iter().zip(before).map(|(after, before)| after - before).collect();
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    assert!(*least > most * 2 / 3, "{each:?}");
    let packets = room.rig.engine.core().counters.packets_in.packets(cfp::wire::Code::MsgPbl);
    let said = handled(&room).iter().map(|bytes| bytes / room.flooders[0].packet.len()).sum::<usize>() as u64;
    assert!(packets.abs_diff(said) <= 4 * 14, "each is counted once, however often it had to wait: {packets}, {said}");
}

#[test]
fn who_was_slowed_goes_on_as_soon_as_all_have_drained() {
    let mut room = Room::new();
    room.reader("slow", 0, STEP_MS);
    room.flooder("mallory", says(&"x".repeat(60_000)));
    room.run_for(50);
    let before = room.flooders[0].handled_bytes();
    room.rig.let_take(&room.readers[0].peer, usize::MAX / 2);
    room.rig.run_until_idle();
    assert!(room.flooders[0].handled_bytes() > before, "without a moment's delay");
}

#[test]
fn a_small_queue_makes_no_reader_slow_who_keeps_up_with_the_floor() {
    let mut room = Room::new();
    room.rig = Rig::with_config(Config { max_queue_bytes: 64 * 1024, ..Config::new(ID) });
    (0..5).for_each(|number| room.reader(&format!("reader{number}"), 1_000_000, STEP_MS));
    room.flooder("mallory", says(&"x".repeat(1_000)));
    room.flooder("eve", tells("reader1", &"x".repeat(10_000)));
    room.run_for(10_000);
    room.assert_that_all_readers_are_there();
}

#[test]
fn a_link_that_takes_nothing_slows_who_floods_until_it_is_given_up_and_is_not_filled_up() {
    let mut room = Room::new();
    let link = room.rig.link(OTHER);
    link.keep_no_output();
    link.stop_taking();
    room.flooder("mallory", says(&"x".repeat(60_000)));
    let longest_ms = longest_delay_ms(&mut room, 20_000);
    assert!(longest_ms <= 100, "{longest_ms} ms");
    assert!(room.rig.is_link(&link), "a pause of its network costs a link nothing");
}

#[test]
fn an_operator_who_does_not_read_slows_nobody() {
    let mut room = Room::new();
    let operator = room.rig.operator();
    operator.stop_taking();
    room.rig.send(&operator, &b"metrics\n".repeat(100));
    room.flooder("mallory", says(&"x".repeat(60_000)));
    room.run_for(100);
    assert_eq!(room.flooders[0].peer.unread_bytes(), 0);
}

#[test]
fn a_reader_that_takes_nothing_slows_who_says_much_for_a_second_and_is_then_filled_up_and_closed() {
    let mut room = Room::new();
    // Its queue is so long that it would take minutes at the rate that passes in any case.
    let max_queue_bytes = 32 * 1024 * 1024;
    room.rig = Rig::with_config(Config { max_queue_bytes, max_memory_bytes: usize::MAX, ..Config::new(ID) });
    room.reader("dead", 0, STEP_MS);
    room.flooder("mallory", says(&"x".repeat(60_000)));
    room.run_for(DEAD_READER_MS / 2);
    assert!(room.rig.is_open(&room.readers[0].peer));
    room.run_for(2 * DEAD_READER_MS);
    assert!(!room.rig.is_open(&room.readers[0].peer));
}
