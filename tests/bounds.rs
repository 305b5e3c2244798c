//! Bounds and counts of the engine at their edges, one below and one beyond.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use cfp::core::engine::Request;
use cfp::core::state::config::Config;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits;
use cfp::wire::{AuthResponse, Code, Descriptions, Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::metered_pipe::PipeEnd;
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

#[test]
fn who_stands_in_the_middle_of_a_packet_is_closed_in_time_but_not_a_link() {
    let mut rig = rig();
    let (ana, link) = (rig.guest("ana"), rig.link(ServerId(8)));
    rig.send(&ana, &encoded(&Packet::MsgPbl { message: "hi" })[..3]);
    rig.send(&link, &[0x50, 0]);
    rig.advance(limits::MID_PACKET_MS - 1);
    assert!(rig.is_open(&ana));
    rig.advance(1);
    assert!(!rig.is_open(&ana));
    assert_eq!(closed(&rig, CloseReason::MidPacket), 1);
    rig.advance(limits::MID_PACKET_MS);
    assert!(rig.is_link(&link));
}

#[test]
fn who_takes_nothing_of_a_short_queue_is_closed_in_time() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    ana.stop_taking();
    rig.send(&ana, &encoded(&Packet::MsgPbl { message: "hi" }));
    rig.advance(limits::STALLED_READER_MS - 1);
    assert!(rig.is_open(&ana));
    rig.advance(1);
    assert!(ana.is_closed());
    assert_eq!(closed(&rig, CloseReason::Stalled), 1);
}

#[test]
fn who_does_not_log_in_in_time_is_told_the_end_and_may_close_first() {
    let mut rig = rig();
    let newcomer = rig.connect();
    rig.advance(limits::HANDSHAKE_MS - 1);
    assert!(rig.is_open(&newcomer));
    rig.advance(1);
    assert!(!rig.is_open(&newcomer) && newcomer.has_end() && !newcomer.is_closed());
    rig.advance(limits::LINGER_MS);
    assert!(newcomer.is_closed());
}

#[test]
fn a_login_that_came_in_time_counts_although_the_server_reads_it_late() {
    let mut rig = Rig::with_config(Config { max_queue_bytes: 64 * 1024, ..Config::new(ID) });
    let (eve, newcomer, silent) = (rig.guest("eve"), rig.connect(), rig.connect());
    // As much as is said in a turn. The server did not run meanwhile, and reads the login in its next turn.
    rig.arrive(&eve, &encoded(&Packet::MsgPbl { message: &"x".repeat(20 * 1024) }));
    rig.arrive(&newcomer, &encoded(&Packet::AuthGst { nickname: "ana" }));
    rig.advance_in_one_turn(limits::HANDSHAKE_MS + 1);
    assert!(newcomer.take_output().is_empty(), "it was not read");
    assert!(rig.is_open(&newcomer) && !rig.is_open(&silent));
    rig.run_until_idle();
    assert_eq!(newcomer.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }));
}

#[test]
fn one_who_sends_more_than_a_turn_takes_is_not_read_from_before_that_is_handled() {
    let mut rig = Rig::with_config(Config { max_queue_bytes: 64 * 1024, ..Config::new(ID) });
    let ana = rig.guest("ana");
    ana.keep_no_output();
    rig.arrive(&ana, &encoded(&Packet::MsgPbl { message: &"x".repeat(1000) }).repeat(2000));
    while rig.engine.wants_turn() {
        rig.turn();
        let kept_bytes: usize = rig.engine.connections().iter().map(|(_, connection)| connection.kept_bytes()).sum();
        assert!(kept_bytes <= limits::READ_BYTES, "{kept_bytes} are kept");
    }
    assert_eq!(rig.engine.core().counters.packets_in.packets(Code::MsgPbl), 2000);
}

#[test]
fn a_read_that_was_interrupted_is_done_again() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    ana.interrupt_next_read();
    let said = Packet::MsgPbl { message: "hi" };
    rig.send(&ana, &encoded(&said));
    assert_eq!(ana.take_output(), encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" }));
}

#[test]
fn no_call_is_made_for_nothing() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    let before = ana.calls();
    rig.send(&ana, &encoded(&Packet::MsgPbl { message: "hi" }));
    assert_eq!(ana.calls() - before, 2, "a read and a write");
    let before = ana.calls();
    rig.shut(&ana);
    assert!(ana.is_closed());
    assert_eq!(ana.calls() - before, 1, "a read that finds the end");
}

#[test]
fn what_is_not_written_since_the_connection_is_lost_is_not_counted_as_sent() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    rig.arrive(&ana, &encoded(&Packet::MsgPrv { destination: ID, receiver: "nobody", message: "hi" }));
    rig.reset(&ana);
    let counters = &rig.engine.core().counters;
    let handled = counters.packets_in.packets(Code::MsgPrv);
    assert_eq!((handled, counters.packets_out.packets(Code::Error)), (1, 0));
    assert_eq!((closed(&rig, CloseReason::Lost), closed(&rig, CloseReason::Refused)), (1, 0));
}

/// A merge that an operator has asked for, and what the engine wants done for it.
fn wanted(rig: &mut Rig, place: &str) -> (Peer, Request) {
    let operator = rig.operator();
    rig.arrive(&operator, format!("merge {place}\n").as_bytes());
    rig.engine.turn(Millis(0));
    let request = rig.engine.poll_request().expect("a dial, or a look-up");
    (operator, request)
}

#[test]
fn a_name_without_an_address_is_looked_up_again() {
    let mut rig = rig();
    let (operator, request) = wanted(&mut rig, "example.org:7777");
    let Request::Resolve { dial_for, port, .. } = request else { panic!("{request:?}") };
    rig.engine.on_resolved(dial_for, port, Ok(Vec::new()), Millis(0));
    rig.run_until_idle();
    assert!(operator.take_output().is_empty(), "it waits");
    let other = rig.operator();
    rig.send(&other, b"siblings\n");
    let listed = String::from_utf8(other.take_output()).unwrap();
    assert!(listed.ends_with("the name has no address\nok\n"), "{listed:?}");
}

#[test]
fn an_answer_to_our_merge_that_is_cut_off_is_named() {
    let mut rig = rig();
    rig.connects_dials = true;
    let operator = rig.operator();
    rig.send(&operator, b"merge 127.0.0.1:7778\n");
    let peer = rig.take_dialled().pop().expect("it is dialled");
    rig.send(&peer, &encoded(&Packet::MrgRsp { server: ServerId(8), siblings: Descriptions::default() })[..3]);
    rig.shut(&peer);
    let other = rig.operator();
    rig.send(&other, b"siblings\n");
    let listed = String::from_utf8(other.take_output()).unwrap();
    assert!(listed.contains("MRGRSP"), "{listed:?}");
}

#[test]
fn a_server_that_stops_dials_nobody_any_more() {
    let mut rig = rig();
    let (_operator, request) = wanted(&mut rig, "127.0.0.1:7778");
    let Request::Dial { dial_for, address } = request else { panic!("{request:?}") };
    rig.engine.begin_shutdown(Millis(0));
    let socket = PipeEnd::new();
    assert_eq!(rig.engine.on_dialled(dial_for, address, Ok(socket.clone()), Millis(0)), None);
    assert!(socket.0.borrow().output.is_empty() && Rc::strong_count(&socket.0) == 1);
}
