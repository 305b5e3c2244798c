//! Times and sums that operators and scrapers read, with a clock that the test moves; and who gets one of their places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::core::state::config::Config;
use cfp::core::time::Millis;
use cfp::limits;
use cfp::wire::{Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::metered_pipe::PipeEnd;
use support::pipe::{Peer, Rig};

/// Ninety seconds, and a half one that no figure shows.
const LATER_MS: u64 = 90_500;

fn rig() -> Rig {
    Rig::with(Config::new(ID))
}

/// The lines of a command's answer, without the last one.
fn ask(rig: &mut Rig, command: &str) -> Vec<String> {
    let operator = rig.operator();
    rig.send(&operator, format!("{command}\n").as_bytes());
    let answer = String::from_utf8(operator.take_output()).unwrap();
    rig.shut(&operator);
    let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("ok"), "{answer}");
    lines
}

/// One figure of the metrics.
fn metric(rig: &mut Rig, name: &str) -> Option<String> {
    let start = format!("{name} ");
    ask(rig, "metrics").into_iter().find_map(|line| line.strip_prefix(&start).map(str::to_owned))
}

fn health_check(address: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, address), 9_000).into()
}

#[test]
fn times_are_in_whole_seconds() {
    let mut rig = rig();
    let _ana = rig.guest("ana");
    let _link = rig.link(ServerId(8));
    let patient = rig.operator();
    rig.send(&patient, b"merge nine.example:7777\n");
    rig.advance(LATER_MS);
    assert!(ask(&mut rig, "status").contains(&"uptime_seconds\t90".to_owned()));
    assert_eq!(metric(&mut rig, "cfp_uptime_seconds").as_deref(), Some("90"));
    assert_eq!(ask(&mut rig, "clients"), ["ana\tguest\t127.0.0.1:40000\t0\t90"]);
    assert_eq!(ask(&mut rig, "siblings"), ["8\t-\tlinked\t90", "-\tnine.example:7777\twaiting\t90\t-"]);
}

#[test]
fn what_waits_for_a_client_and_what_it_has_begun_to_send_are_counted_together() {
    let mut rig = rig();
    let ana = rig.guest("ana");
    ana.stop_taking();
    rig.send(&ana, &encoded(&Packet::MsgPrv { destination: ID, receiver: "ana", message: "psst" }));
    let waits = encoded(&Packet::MsgPrvInc { origin: ID, sender: "ana", receiver: "ana", message: "psst" }).len();
    let begun = &encoded(&Packet::MsgPbl { message: "hello" })[..7];
    rig.send(&ana, begun);
    let line = ask(&mut rig, "clients").remove(0);
    assert_eq!(line.split('\t').nth(3), Some((waits + begun.len()).to_string().as_str()));
}

#[test]
fn metrics_have_the_length_of_all_turns_and_the_end_of_the_certificate_in_seconds() {
    let mut rig = rig();
    assert_eq!(metric(&mut rig, "cfp_tls_certificate_seconds_left"), None);
    rig.engine.counters_mut().turns.observe(250_000);
    rig.engine.counters_mut().turns.observe(500_000);
    assert_eq!(metric(&mut rig, "cfp_turn_seconds_sum").as_deref(), Some("0.75"));
    rig.engine.set_certificate_end(Some(100), Millis(rig.now_ms()));
    rig.advance(LATER_MS);
    assert_eq!(metric(&mut rig, "cfp_tls_certificate_seconds_left").as_deref(), Some("9"));
    rig.engine.set_certificate_end(None, Millis(rig.now_ms()));
    assert_eq!(metric(&mut rig, "cfp_tls_certificate_seconds_left"), None);
}

#[test]
fn each_linked_server_is_reached_over_its_own_link() {
    let mut rig = rig();
    let _links = [rig.link(ServerId(8)), rig.link(ServerId(9))];
    assert_eq!(metric(&mut rig, "cfp_servers").as_deref(), Some("3"));
    assert_eq!(metric(&mut rig, "cfp_link_carries{server=\"8\"}").as_deref(), Some("1"));
    assert_eq!(metric(&mut rig, "cfp_path_length{server=\"9\"}").as_deref(), Some("0"));
}

#[test]
fn a_command_or_a_request_that_came_with_its_connection_is_answered_although_nothing_more_comes() {
    let mut rig = rig();
    let now = Millis(rig.now_ms());
    let [operator, scraper] = [&b"help\n"[..], b"GET /metrics HTTP/1.1\r\n\r\n"].map(|request| {
        let pipe = PipeEnd::new();
        pipe.0.borrow_mut().input.extend(request);
        pipe
    });
    assert!(rig.engine.on_operator(operator.clone(), now).is_some());
    assert!(rig.engine.on_scraper(scraper.clone(), Some(health_check(1)), now).is_some());
    rig.run_until_idle();
    assert!(operator.0.borrow().output.ends_with(b"ok\n"));
    assert!(scraper.0.borrow().output.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn there_are_never_more_operators_than_places_however_many_come() {
    let mut rig = rig();
    let operators: Vec<Peer> = (0..3 * limits::OPERATORS_MAX).map(|_| rig.operator()).collect();
    rig.run_until_idle();
    let open = operators.iter().filter(|operator| rig.is_open(operator)).count();
    assert_eq!(open, limits::OPERATORS_MAX);
}

#[test]
fn an_operator_that_has_not_read_its_answer_does_not_give_way_to_another_one() {
    let mut rig = rig();
    let slow = rig.operator();
    slow.stop_taking();
    rig.send(&slow, b"help\n");
    rig.advance(1_000);
    let idle: Vec<Peer> = (0..limits::OPERATORS_MAX).map(|_| rig.operator()).collect();
    rig.run_until_idle();
    assert!(rig.is_open(&slow) && !rig.is_open(&idle[0]) && rig.is_open(&idle[1]));
}

#[test]
fn there_are_never_more_scrapers_than_places_and_the_last_one_that_came_gets_in() {
    let mut rig = rig();
    let scrapers: Vec<Peer> = (0..3 * limits::SCRAPERS_MAX).map(|_| rig.scraper(health_check(1))).collect();
    rig.run_until_idle();
    let open: Vec<bool> = scrapers.iter().map(|scraper| rig.is_open(scraper)).collect();
    assert_eq!(open.iter().filter(|&&is_open| is_open).count(), limits::SCRAPERS_MAX);
    assert!(open.last().unwrap());
}

#[test]
fn no_more_merges_wait_than_there_is_room_for() {
    let mut rig = rig();
    let mut merge = |number: usize| {
        let operator = rig.operator();
        rig.send(&operator, format!("merge server{number}.example:7777\n").as_bytes());
        let answer = String::from_utf8(operator.take_output()).unwrap();
        rig.reset(&operator);
        answer
    };
    for number in 0..limits::TARGETS_MAX {
        assert_eq!(merge(number), "", "it waits");
    }
    assert_eq!(merge(limits::TARGETS_MAX), "error too many merges wait\n");
}

#[test]
fn a_scraper_that_has_its_answer_gives_way_before_one_that_has_not_asked() {
    let mut rig = rig();
    let waiting = rig.scraper(health_check(1));
    let answered = rig.scraper(health_check(2));
    rig.send(&answered, b"GET /metrics HTTP/1.1\r\n\r\n");
    assert!(answered.has_end() && !answered.is_closed());
    let others: Vec<Peer> = (2..limits::SCRAPERS_MAX).map(|_| rig.scraper(health_check(3))).collect();
    let last = rig.scraper(health_check(1));
    rig.run_until_idle();
    assert!(answered.is_closed());
    assert!(others.iter().chain([&waiting, &last]).all(|scraper| rig.is_open(scraper)));
}
