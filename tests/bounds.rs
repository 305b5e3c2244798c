//! Bounds and counts of the engine at their edges, one below and one beyond.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::effects::CloseReason;
use cfp::core::state::users::Users;
use cfp::limits;
use cfp::wire::{Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

fn rig() -> Rig {
    Rig::new(Users::none())
}

fn from(number: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0a00_0000 + number), 4000).into()
}

fn closed(rig: &Rig, reason: CloseReason) -> u64 {
    rig.engine.core().counters.closed.get(reason.index())
}

fn count_closed(peers: &[Peer]) -> usize {
    peers.iter().filter(|peer| peer.is_closed()).count()
}

#[test]
fn a_client_is_closed_for_one_ignored_packet_more_than_it_may_send() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    // What only servers send.
    let misplaced = encoded(&Packet::AuthGst { nickname: "ana" });
    rig.send(&ana, &misplaced.repeat(usize::from(limits::IGNORED_PACKETS_MAX)));
    assert!(rig.is_open(&ana));
    rig.send(&ana, &misplaced);
    assert!(!rig.is_open(&ana));
    assert_eq!(closed(&rig, CloseReason::IgnoredPackets), 1);
}

#[test]
fn a_link_whose_field_is_longer_than_any_message_can_be_is_closed() {
    let mut rig = rig();
    let longest = u32::try_from(limits::LINK_FIELD_MAX_BYTES).unwrap();
    for (server, count, is_open) in [(8, longest, true), (9, longest + 1, false)] {
        let link = rig.link(ServerId(server));
        rig.send(&link, &[&[0x20][..], &count.to_be_bytes()].concat());
        assert_eq!(rig.is_link(&link), is_open, "{count}");
    }
    assert_eq!(closed(&rig, CloseReason::OutOfFrame), 1);
    // A client's is skipped.
    let ana = rig.guest("ana");
    rig.send(&ana, b"\x20\xff\xff\xff\xff");
    assert!(rig.is_open(&ana));
}

#[test]
fn input_behind_the_end_is_thrown_away_up_to_a_bound() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    let operator = rig.operator();
    rig.send(&operator, b"kick ana\n");
    let piece = vec![0; 64 * 1024];
    let mut sent_bytes = 0;
    while !ana.is_closed() {
        rig.send(&ana, &piece);
        sent_bytes += piece.len() as u64;
        assert_eq!(ana.unread_bytes(), 0);
        assert!(sent_bytes <= u64::from(limits::LINGER_MAX_BYTES) + piece.len() as u64);
    }
    assert!(sent_bytes > u64::from(limits::LINGER_MAX_BYTES));
}

#[test]
fn bytes_are_counted_once_in_both_directions() {
    let mut rig = rig();
    let ana = rig.connect();
    let login = encoded(&Packet::AuthGst { nickname: "ana" });
    let said = encoded(&Packet::MsgPbl { message: "hello" });
    rig.send(&ana, &login);
    rig.send(&ana, &said);
    let heard = Packet::MsgPblInc { origin: ID, sender: "ana", message: "hello" };
    let (bytes_in, bytes_out) = ((login.len() + said.len()) as u64, (2 + encoded(&heard).len()) as u64);
    let counters = &rig.engine.core().counters;
    assert_eq!((counters.accepted, counters.bytes_in, counters.bytes_out), (1, bytes_in, bytes_out));
    let (_, connection) = rig.engine.connections().iter().next().unwrap();
    assert_eq!((connection.bytes_in, connection.bytes_out), (bytes_in, bytes_out));
    rig.engine.counters_mut().bytes_in += 1;
    assert_eq!(rig.engine.core().counters.bytes_in, bytes_in + 1);
}

#[test]
fn word_of_input_alone_makes_no_write_to_a_reader_that_is_stuck() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    ana.stop_taking();
    rig.send(&ana, &encoded(&Packet::MsgPbl { message: "hello" }));
    let before = ana.calls();
    rig.arrive(&ana, b"");
    rig.run_until_idle();
    assert_eq!(ana.calls() - before, 1, "one read");
}

#[test]
fn newcomers_below_the_bound_of_their_input_are_left_alone_and_beyond_it_no_more_go_than_needed() {
    let mut rig = rig();
    // A connection keeps a whole block for it.
    let mut packet = encoded(&Packet::MsgPbl { message: &"x".repeat(limits::NEWCOMER_MESSAGE_MAX_BYTES) });
    packet.truncate(4000);
    let most = limits::NEWCOMER_KEPT_TOTAL_BYTES;
    let mut newcomers = Vec::new();
    let mut kept_bytes = 0;
    while count_closed(&newcomers) == 0 {
        kept_bytes = rig.engine.queued_bytes();
        let newcomer = rig.connect_from(from(newcomers.len() as u32));
        rig.send(&newcomer, &packet);
        newcomers.push(newcomer);
    }
    let each = kept_bytes / (newcomers.len() - 1);
    assert!(kept_bytes > most - 2 * each && kept_bytes <= most, "{kept_bytes} were kept of {most}");
    let left = rig.engine.queued_bytes();
    assert!(left <= most - most / 8 && left > most - most / 8 - 2 * each, "{left} are left");
}

#[test]
fn the_places_of_operators_and_scrapers_that_have_left_are_free_and_no_others() {
    let mut rig = rig();
    let mut operators: Vec<Peer> = (0..limits::OPERATORS_MAX).map(|_| rig.operator()).collect();
    rig.shut(&operators.remove(0));
    operators.push(rig.operator());
    rig.run_until_idle();
    assert_eq!(count_closed(&operators), 0);
    operators.push(rig.operator());
    rig.run_until_idle();
    assert_eq!(count_closed(&operators), 1);
    let mut scrapers: Vec<Peer> = (0..limits::SCRAPERS_MAX as u32).map(|number| rig.scraper(from(number))).collect();
    rig.shut(&scrapers.remove(0));
    scrapers.push(rig.scraper(from(100)));
    rig.run_until_idle();
    assert_eq!(count_closed(&scrapers), 0);
    scrapers.push(rig.scraper(from(101)));
    rig.run_until_idle();
    assert_eq!(count_closed(&scrapers), 1);
}

#[test]
fn a_command_line_that_does_not_end_is_waited_for_up_to_its_limit() {
    let mut rig = rig();
    let operator = rig.operator();
    rig.send(&operator, &vec![b'x'; limits::COMMAND_MAX_BYTES]);
    assert!(rig.is_open(&operator));
    rig.send(&operator, b"x");
    assert_eq!(operator.take_output(), b"error the line is too long\n");
    assert!(!rig.is_open(&operator));
    // A whole line may be longer: all of it is there.
    let operator = rig.operator();
    rig.send(&operator, &[&vec![b'x'; limits::COMMAND_MAX_BYTES + 1][..], b"\nhelp\n"].concat());
    assert!(operator.take_output().ends_with(b"ok\n"));
}
