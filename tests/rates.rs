//! `--max-rate`: a hard bound on what each client may send in a second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::config::Config;
use cfp::limits::{CHUNK_BYTES, MID_PACKET_MS};
use cfp::wire::{FileChunk, Packet, ServerId};
use support::client::{encoded, split};
use support::pipe::Rig;
use support::{ID, Server};

const RATE: usize = 10_000;

fn says(message: &str) -> Vec<u8> {
    encoded(&Packet::MsgPbl { message })
}

fn rig(max_rate_bytes: Option<usize>) -> Rig {
    Rig::with_config(Config { max_rate_bytes, ..Config::new(ID) })
}

#[test]
fn a_client_sends_no_more_than_allowed_in_a_second_and_others_are_not_concerned() {
    let mut rig = rig(Some(RATE));
    let (ana, bob, zoe) = (rig.guest("ana"), rig.guest("bob"), rig.guest("zoe"));
    let packet = says(&"x".repeat(95));
    rig.arrive(&ana, &packet.repeat(3_000));
    rig.run_until_idle();
    let mut handled = split(&zoe.take_output()).len() * packet.len();
    assert!(handled <= RATE, "a second's worth at once: {handled}");
    for second in 1..=10 {
        rig.advance(1_000);
        rig.send(&bob, &says("hi"));
        let packets = split(&zoe.take_output()).len();
        handled += (packets - 1) * packet.len();
        let allowed = (second + 1) * RATE;
        assert!(handled <= allowed && handled > allowed - RATE / 4, "{handled} of {allowed} bytes");
    }
    rig.advance(30_000);
    assert_eq!(handled + split(&zoe.take_output()).len() * packet.len(), 3_000 * packet.len(), "all of it is heard");
}

#[test]
fn files_count_too_and_so_does_what_comes_before_the_login_and_what_is_ignored() {
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: u32::MAX, content: &[7; CHUNK_BYTES] };
    let file = encoded(&Packet::FileChnk { destination: ID, receiver: "zoe", chunk });
    let skipped = b"\x20\xff\xff\xff\xff".to_vec();
    for (logs_in, bytes) in
        [(true, file.repeat(100)), (false, vec![b'x'; 100_000]), (true, [skipped, file].concat().repeat(90))]
    {
        let mut rig = rig(Some(RATE));
        let zoe = rig.guest("zoe");
        let ana = if logs_in { rig.guest("ana") } else { rig.connect() };
        let bytes = if logs_in { bytes } else { [b"\x01\xff\xff\xff\xff".to_vec(), bytes].concat() };
        rig.send(&ana, &bytes);
        rig.advance(1_000);
        let read = bytes.len() - ana.unread_bytes();
        assert!(read <= 2 * RATE && read > RATE, "{read} bytes were read in a second, logged in: {logs_in}");
        assert!(rig.is_open(&zoe));
    }
}

#[test]
fn without_the_option_and_for_a_link_there_is_no_bound() {
    let mut rig = rig(None);
    let (ana, zoe) = (rig.guest("ana"), rig.guest("zoe"));
    rig.send(&ana, &says(&"x".repeat(95)).repeat(3_000));
    assert_eq!(split(&zoe.take_output()).len(), 3_000);
    let mut rig = self::rig(Some(RATE));
    let (zoe, link) = (rig.guest("zoe"), rig.link(ServerId(8)));
    let said = encoded(&Packet::MsgPblInc { origin: ServerId(8), sender: "ana", message: &"x".repeat(95) });
    rig.send(&link, &encoded(&Packet::PckFwd { destination: ID, content: &said }).repeat(3_000));
    assert_eq!(split(&zoe.take_output()).len(), 3_000);
}

#[test]
fn who_has_to_wait_is_not_closed_for_a_stop_in_the_middle_of_a_packet_and_frees_its_nickname_when_it_leaves() {
    let mut rig = rig(Some(100));
    let (ana, zoe) = (rig.guest("ana"), rig.guest("zoe"));
    rig.send(&ana, &says(&"x".repeat(20_000)));
    rig.advance(2 * MID_PACKET_MS);
    assert!(rig.is_open(&ana));
    rig.shut(&ana);
    let other = rig.guest("ana");
    rig.advance(100_000);
    assert_eq!(split(&zoe.take_output()).len(), 1, "what it has sent is heard in its time");
    assert!(ana.is_closed() && rig.is_open(&other));
}

#[test]
fn the_program_takes_the_option() {
    let server = Server::start(&["--max-rate", "1000"]);
    let (mut ana, mut zoe) = (server.guest("ana"), server.guest("zoe"));
    let began = std::time::Instant::now();
    for number in 0..4 {
        ana.say(&format!("{number}{}", "x".repeat(990)));
    }
    for number in 0..4 {
        zoe.expect_public("ana", &format!("{number}{}", "x".repeat(990)));
    }
    // A second's worth came at once; it can't be less, however quick the machine.
    assert!(began.elapsed() > std::time::Duration::from_millis(2_500));
}
