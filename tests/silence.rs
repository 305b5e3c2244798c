//! A link over which nothing comes: its server is asked whether it lives (D57). With a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::net::SocketAddr;

use cfp::core::state::config::Config;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::users::Users;
use cfp::limits::{ASK_ANSWER_MS, LINK_KEEPALIVE, LINK_SILENCE_MS, PROBE_KEEPALIVE, PROBE_MS, STALLED_READER_MS};
use cfp::wire::{DeclineReason, Descriptions, Packet, ServerId};
use node::{Node, wait_for_clique, wait_until};
use rustix::process::Signal;
use support::ID;
use support::client::{encoded, split};
use support::pipe::{Peer, Rig};

const SIBLING: ServerId = ServerId(8);
const LISTENS: &str = "127.0.0.1:7778";

/// A description's bytes.
fn described(address: &str) -> Vec<u8> {
    let SocketAddr::V4(address) = address.parse().unwrap() else { panic!("{address} is no IPv4 address") };
    [SIBLING.0.to_be_bytes(), address.ip().octets(), u32::from(address.port()).to_be_bytes()].concat()
}

/// A link from a server that says that it listens there.
fn linked(rig: &mut Rig, address: Option<&str>) -> Peer {
    let link = rig.connect();
    let list = address.map(described).unwrap_or_default();
    rig.send(&link, &encoded(&Packet::MrgReq { server: SIBLING, siblings: Descriptions::new(&list).unwrap() }));
    link.take_output();
    link
}

/// The connection on which it is asked next, after so long a silence.
fn question(rig: &mut Rig, silence_ms: u64) -> Peer {
    assert!(rig.take_asked().is_empty());
    rig.advance(silence_ms - 1);
    assert!(rig.take_asked().is_empty(), "not before its time");
    rig.advance(1);
    let mut asked = rig.take_asked();
    assert_eq!(asked.len(), 1);
    let question = asked.pop().unwrap();
    let output = question.take_output();
    assert!(matches!(Packet::decode(split(&output)[0]).unwrap(), Packet::MrgReq { server: ID, .. }));
    question
}

#[test]
fn a_server_that_answers_when_it_is_asked_stays_whatever_it_says() {
    for reason in [DeclineReason::AlreadyMerged, DeclineReason::IdConflict] {
        let mut rig = Rig::new(Users::none());
        let link = linked(&mut rig, Some(LISTENS));
        for _ in 0..3 {
            // The next silence begins with the answer.
            let question = question(&mut rig, LINK_SILENCE_MS);
            rig.send(&question, &encoded(&Packet::MrgDecl { reason }));
        }
        rig.advance(ASK_ANSWER_MS);
        assert!(rig.is_open(&link) && rig.engine.core().mesh.link_to(SIBLING).is_some());
    }
}

#[test]
fn a_server_that_does_not_answer_when_it_is_asked_is_lost_and_dialled_anew() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    let question = question(&mut rig, LINK_SILENCE_MS);
    rig.advance(ASK_ANSWER_MS - 1);
    assert!(rig.is_open(&link));
    rig.advance(1);
    assert!(link.is_closed() && question.is_closed());
    assert!(rig.engine.core().mesh.link_to(SIBLING).is_none() && !rig.engine.core().mesh.is_complete());
    assert_eq!(rig.engine.core().counters.closed.get(CloseReason::Silent.index()), 1);
}

#[test]
fn a_link_that_is_used_is_asked_about_once_to_see_whether_it_can_be() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    for _ in 0..20 {
        rig.advance(LINK_SILENCE_MS / 2);
        let content = encoded(&Packet::MsgPblInc { origin: SIBLING, sender: "eve", message: "hi" });
        rig.send(&link, &encoded(&Packet::PckFwd { destination: ID, content: &content }));
    }
    assert_eq!(rig.take_asked().len(), 1);
    assert!(rig.is_open(&link));
}

#[test]
fn a_word_over_the_link_is_an_answer_too() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    let _question = question(&mut rig, LINK_SILENCE_MS);
    rig.advance(ASK_ANSWER_MS - 1);
    rig.send(&link, &encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    rig.advance(10);
    assert!(rig.is_open(&link));
}

#[test]
fn a_question_that_came_to_nobody_says_nothing() {
    // Refused, cut off, never connected, or at an address from which the link does not come.
    for (case, listens) in
        ["refused", "reset", "not connected", "elsewhere"].iter().zip([LISTENS, LISTENS, LISTENS, "192.0.2.1:7778"])
    {
        let mut rig = Rig::new(Users::none());
        let link = linked(&mut rig, Some(listens));
        match *case {
            "refused" => {
                rig.refuses_questions = true;
                rig.advance(LINK_SILENCE_MS);
            }
            "reset" => {
                let question = question(&mut rig, LINK_SILENCE_MS);
                rig.reset(&question);
            }
            "not connected" => {
                rig.connects_questions = false;
                rig.advance(LINK_SILENCE_MS);
            }
            _ => drop(question(&mut rig, LINK_SILENCE_MS)),
        }
        rig.advance(ASK_ANSWER_MS + 1_000);
        assert!(rig.is_open(&link), "{case}");
        // It is asked again.
        rig.take_asked();
        rig.connects_questions = true;
        rig.refuses_questions = false;
        rig.advance(LINK_SILENCE_MS);
        assert_eq!(rig.take_asked().len(), 1, "{case}");
    }
}

#[test]
fn a_server_elsewhere_that_has_answered_once_is_believed_to_be_silent() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some("192.0.2.1:7778"));
    let first = question(&mut rig, LINK_SILENCE_MS);
    rig.send(&first, &encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    let _second = question(&mut rig, LINK_SILENCE_MS);
    rig.advance(ASK_ANSWER_MS);
    assert!(!rig.is_open(&link));
}

#[test]
fn a_server_that_did_not_say_where_it_listens_is_left_alone() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, None);
    rig.advance(20 * LINK_SILENCE_MS);
    assert!(rig.take_asked().is_empty() && rig.is_open(&link));
}

#[test]
fn a_server_that_has_forgotten_the_link_gets_the_question_for_a_new_one() {
    let mut rig = Rig::new(Users::none());
    let (ana, old) = (rig.guest("ana"), linked(&mut rig, Some(LISTENS)));
    let new = question(&mut rig, LINK_SILENCE_MS);
    let list = described(LISTENS);
    rig.send(&new, &encoded(&Packet::MrgRsp { server: SIBLING, siblings: Descriptions::new(&list).unwrap() }));
    assert!(rig.is_link(&new) && !rig.is_open(&old));
    let content = encoded(&Packet::MsgPblInc { origin: SIBLING, sender: "eve", message: "hi" });
    rig.send(&new, &encoded(&Packet::PckFwd { destination: ID, content: &content }));
    assert_eq!(ana.take_output(), content);
}

#[test]
fn who_asks_us_lives_and_need_not_be_asked() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    let first = question(&mut rig, LINK_SILENCE_MS);
    rig.send(&first, &encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    for _ in 0..10 {
        rig.advance(LINK_SILENCE_MS - 1_000);
        let asks = rig.connect();
        let list = described(LISTENS);
        rig.send(&asks, &encoded(&Packet::MrgReq { server: SIBLING, siblings: Descriptions::new(&list).unwrap() }));
        assert_eq!(asks.take_output(), encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    }
    assert!(rig.take_asked().is_empty() && rig.is_open(&link));
}

#[test]
fn a_server_that_may_have_no_tls_is_not_asked_in_tls() {
    let mut rig = Rig::with_config(Config { has_peer_ca: true, ..Config::new(ID) });
    let link = linked(&mut rig, Some(LISTENS));
    rig.advance(3 * LINK_SILENCE_MS);
    assert!(rig.take_asked().is_empty() && rig.is_open(&link));
}

#[test]
fn all_that_are_to_be_asked_soon_are_asked_at_once_and_later_ones_later() {
    let mut rig = Rig::new(Users::none());
    for (server, wait_ms) in [(8, 0), (9, LINK_SILENCE_MS / 4), (10, 1)] {
        rig.advance(wait_ms);
        let link = rig.connect();
        let list = [ServerId(server).0.to_be_bytes(), [127, 0, 0, 1], (7770 + server).to_be_bytes()].concat();
        let siblings = Descriptions::new(&list).unwrap();
        rig.send(&link, &encoded(&Packet::MrgReq { server: ServerId(server), siblings }));
        assert!(rig.is_link(&link));
    }
    rig.advance(LINK_SILENCE_MS - rig.now_ms() - 1);
    assert!(rig.take_asked().is_empty());
    rig.advance(1);
    assert_eq!(rig.take_asked().len(), 2);
    rig.advance(LINK_SILENCE_MS / 4);
    assert!(rig.take_asked().is_empty());
    rig.advance(1);
    assert_eq!(rig.take_asked().len(), 1);
}

#[test]
fn silence_counts_if_the_link_comes_from_the_host_that_its_server_named() {
    let link_from = ["192.0.2.1:4000", "[::ffff:192.0.2.1]:4000", "127.0.0.5:4000", "192.0.2.9:4000"];
    let listens = ["192.0.2.1:7778", "192.0.2.1:7778", "127.0.0.1:7778", "127.0.0.1:7778"];
    for ((from, listens), is_lost) in link_from.into_iter().zip(listens).zip([true, true, true, false]) {
        let allow_peers = vec!["192.0.2.0/24".parse().unwrap(), "127.0.0.0/8".parse().unwrap()];
        let mut rig = Rig::with_config(Config { allow_peers, ..Config::new(ID) });
        let link = rig.connect_from(from.parse().unwrap());
        let list = described(listens);
        rig.send(&link, &encoded(&Packet::MrgReq { server: SIBLING, siblings: Descriptions::new(&list).unwrap() }));
        link.take_output();
        let _question = question(&mut rig, LINK_SILENCE_MS);
        rig.advance(ASK_ANSWER_MS);
        assert_eq!(!rig.is_open(&link), is_lost, "a link from {from} of a server at {listens}");
    }
}

#[test]
fn what_a_server_said_before_it_was_asked_is_no_answer() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    rig.advance(LINK_SILENCE_MS - 1);
    // It comes in the turn in which the server is asked, and is read before.
    rig.arrive(&link, &encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    rig.advance(1);
    assert_eq!(rig.take_asked().len(), 1);
    rig.advance(ASK_ANSWER_MS);
    assert!(!rig.is_open(&link));
}

/// Its queue is blocked from now on, which is noted as a deadline.
fn falls_behind(rig: &mut Rig, link: &Peer) {
    let ana = rig.guest("ana");
    link.stop_taking();
    rig.send(&ana, &encoded(&Packet::MsgPbl { message: "hi" }));
}

#[test]
fn a_link_that_was_behind_is_asked_no_sooner_than_any_other() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, Some(LISTENS));
    // It would be given up a little before it is asked the second time.
    let behind_at_ms = 2 * LINK_SILENCE_MS - 5_000 - STALLED_READER_MS;
    rig.advance(behind_at_ms);
    falls_behind(&mut rig, &link);
    let first = question(&mut rig, LINK_SILENCE_MS - behind_at_ms);
    rig.send(&first, &encoded(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged }));
    rig.take(&link, usize::MAX);
    let _second = question(&mut rig, LINK_SILENCE_MS);
}

#[test]
fn a_link_that_was_behind_is_probed_no_shorter_than_any_other() {
    let mut rig = Rig::new(Users::none());
    let link = linked(&mut rig, None);
    rig.advance(LINK_SILENCE_MS - 10_000);
    falls_behind(&mut rig, &link);
    rig.advance(11_000);
    rig.take(&link, usize::MAX);
    // Just before the moment at which it would have been given up.
    rig.advance(STALLED_READER_MS - 11_001);
    let again = rig.connect();
    rig.send(&again, &encoded(&Packet::MrgReq { server: SIBLING, siblings: Descriptions::default() }));
    rig.advance(PROBE_MS - 1);
    assert_eq!(link.keepalives(), [LINK_KEEPALIVE, PROBE_KEEPALIVE]);
    rig.advance(1);
    assert_eq!(link.keepalives(), [LINK_KEEPALIVE, PROBE_KEEPALIVE, LINK_KEEPALIVE]);
}

/// Takes as long as the limits do. Run it with `cargo test --test silence -- --ignored`.
#[test]
#[ignore = "takes a minute"]
fn a_server_that_stands_still_is_lost_to_its_siblings_and_linked_again_when_it_goes_on() {
    let nodes: Vec<Node> = (1..=3).map(|id| Node::start(id, &[])).collect();
    nodes[0].merge(&nodes[1]);
    nodes[2].merge(&nodes[1]);
    wait_for_clique(&nodes);
    nodes[2].server.signal(Signal::STOP);
    for node in &nodes[..2] {
        node.wait_until_lost(3);
        node.server.wait_for_log("silent, and does not answer when it is asked");
        assert_eq!(node.status("mesh_complete"), "0");
    }
    nodes[2].server.signal(Signal::CONT);
    wait_until(|| nodes[2].status("mesh_complete") == "1", || "it is not linked again".to_owned());
    wait_for_clique(&nodes);
    // Living servers answer in time, and keep their links.
    assert!(nodes[..2].iter().all(|node| node.server.count_in_log("lost the link") == 1));
}
