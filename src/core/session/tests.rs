//! What each state allows itself: how long it may last, how much may wait for it, and how its peer is watched.

use super::*;
use crate::core::state::Core;
use crate::core::state::effects::Effects;
use crate::core::state::mesh::DialFor;
use crate::core::state::pressure::Level;
use crate::core::state::users::Users;
use crate::wire::{Nickname, ServerId};

fn config() -> Config {
    Config { handshake_ms: 1_000, ..Config::new(ServerId(7)) }
}

fn core() -> Core {
    Core::new(config(), Users::none())
}

fn context<'a>(core: &'a mut Core, effects: &'a mut Effects) -> Context<'a> {
    let key = Key { index: 1, serial: 1 };
    let (remote, now) = (None, Millis(10_000));
    Context { key, remote, is_proxied: false, certified_ids: None, now, has_waited: false, core, effects }
}

fn client() -> Session {
    Session::Client(Client::new("ana".into(), false))
}

fn sibling() -> Session {
    Session::Sibling(Sibling::new(ServerId(9), Millis(0)))
}

fn asking() -> Session {
    let link = Key { index: 2, serial: 2 };
    Session::Asking(Box::new(Asking::begin(ServerId(9), link, &mut context(&mut core(), &mut Effects::default()))))
}

fn requesting() -> Session {
    let dial_for = DialFor::Server(ServerId(9));
    Session::Requesting(Box::new(Requesting::begin(dial_for, &mut context(&mut core(), &mut Effects::default()))))
}

/// One of each state, in the order of the tables below.
fn all() -> [Session; 9] {
    [
        Session::Proxied,
        Session::Handshake(Handshake::default()),
        client(),
        requesting(),
        asking(),
        sibling(),
        Session::Operator(Operator::default()),
        Session::Scraper(Scraper::default()),
        Session::Closing { queue_limit_bytes: 12 },
    ]
}

#[test]
fn the_states_that_wait_for_a_peer_to_say_something_end_in_time() {
    let limits = all().map(|session| session.time_limit(&config()));
    let expected = [
        Some((1_000, CloseReason::ProxyHeader)),
        Some((1_000, CloseReason::HandshakeTimeout)),
        None,
        Some((limits::DIAL_MS, CloseReason::NoAnswer)),
        Some((limits::ASK_ANSWER_MS, CloseReason::NoAnswer)),
        None,
        None,
        Some((limits::SCRAPE_MS, CloseReason::HandshakeTimeout)),
        None,
    ];
    assert_eq!(limits, expected);
}

#[test]
fn links_and_operators_have_a_queue_of_their_own_and_a_connection_that_closes_keeps_its_limit() {
    let config = Config { max_queue_bytes: 1_000, max_link_queue_bytes: 2_000, ..config() };
    let operator = limits::OPERATOR_QUEUE_MAX_BYTES;
    let expected = [1_000, 1_000, 1_000, 1_000, 1_000, 2_000, operator, operator, 12];
    assert_eq!(all().map(|session| session.queue_limit(&config)), expected);
    let mut core = Core::new(config.clone(), Users::none());
    let mut session = sibling();
    session.on_end(CloseReason::Left, None, &mut context(&mut core, &mut Effects::default()));
    assert_eq!(session.queue_limit(&config), 2_000);
}

#[test]
fn senders_wait_from_a_quarter_of_the_queue_on_and_go_on_at_half_of_that() {
    let config = Config { max_queue_bytes: 4_000, max_link_queue_bytes: 8_000, ..config() };
    let marks = |session: &Session| (session.high_water(&config), session.low_water(&config));
    assert_eq!(marks(&client()), (1_000, 500));
    assert_eq!(marks(&sibling()), (2_000, 1_000));
    let large = Config { max_link_queue_bytes: 64 << 20, ..config.clone() };
    assert_eq!(sibling().high_water(&large), limits::LINK_HIGH_WATER_BYTES);
    let operator = Session::Operator(Operator::default());
    assert_eq!(operator.high_water(&large), limits::OPERATOR_HIGH_WATER_BYTES);
}

#[test]
fn a_link_that_may_be_dead_is_probed_sooner_than_a_client() {
    for session in all() {
        let expected = if session.as_sibling().is_some() { limits::LINK_KEEPALIVE } else { limits::CLIENT_KEEPALIVE };
        assert_eq!(session.keepalive(), expected, "{session}");
    }
}

#[test]
fn each_state_has_its_kind() {
    let kinds = all().map(|session| {
        let is =
            [session.speaks_packets(), session.is_client(), session.is_paced_by_its_reading(), session.is_newcomer()];
        (session.to_string(), is)
    });
    let expected = [
        ("connection", [true, false, false, false]),
        ("connection", [true, true, true, true]),
        ("client \"ana\"", [true, true, true, false]),
        ("merge request", [true, false, false, true]),
        ("question to server 9", [true, false, false, true]),
        ("link to server 9", [true, false, false, false]),
        ("operator", [false, false, true, false]),
        ("metrics request", [false, false, false, true]),
        ("connection", [true, false, false, false]),
    ];
    assert_eq!(kinds, expected.map(|(name, is)| (name.to_owned(), is)));
}

#[test]
fn an_operator_or_a_scraper_that_waits_for_its_answer_is_busy() {
    let mut operator = Operator::default();
    assert!(!Session::Operator(operator).is_busy());
    operator = Operator { is_waiting: true, ..Operator::default() };
    assert!(Session::Operator(operator).is_busy());
    let mut scraper = Scraper::default();
    assert_eq!(scraper.on_input(b"GET /metrics HTTP/1.1\r\n\r\n"), scraper::Reply::Metrics);
    assert!(Session::Scraper(scraper).is_busy());
}

#[test]
fn only_an_answer_to_a_merge_request_may_be_too_long_for_a_connection_that_asked() {
    for code in [Code::MrgRsp, Code::MsgPbl] {
        for mut session in [asking(), requesting()] {
            let (mut core, mut effects) = (core(), Effects::default());
            let verdict = session.on_overlong(code, &[], &mut context(&mut core, &mut effects));
            let is_handled = matches!(verdict, Verdict::Handled);
            assert_eq!((is_handled, effects.is_empty()), (code == Code::MrgRsp, code != Code::MrgRsp), "{session}");
        }
    }
}

#[test]
fn the_answer_of_another_server_says_nothing_of_the_one_that_was_asked() {
    for (server, is_link) in [(ServerId(9), true), (ServerId(10), false)] {
        let (mut core, mut effects, mut session) = (core(), Effects::default(), asking());
        let answer = Packet::MrgRsp { server, siblings: Default::default() };
        let verdict = session.on_packet(&answer, &mut context(&mut core, &mut effects));
        assert_eq!(matches!(verdict, Verdict::Become(Session::Sibling(_))), is_link, "{verdict:?}");
        assert_eq!(core.mesh.link_to(server).is_some(), is_link);
    }
}

#[test]
fn what_a_full_receiver_does_not_get_is_answered_and_counted() {
    let message = Packet::MsgPrvInc { origin: ServerId(9), sender: "bob", receiver: "ana", message: "hi" };
    let mut content = Vec::new();
    message.encode(&mut content);
    let from_link = Packet::PckFwd { destination: ServerId(7), content: &content };
    let from_client = Packet::MsgPrv { destination: ServerId(7), receiver: "ana", message: "hi" };
    for (mut session, packet) in [(sibling(), from_link), (client(), from_client)] {
        let (mut core, mut effects) = (core(), Effects::default());
        let receiver = Key { index: 3, serial: 3 };
        core.directory.enter(Nickname::parse("ana").unwrap(), receiver).unwrap();
        let level = Level {
            gets_public: true,
            is_link: false,
            is_stuck: true,
            pending_bytes: 1_000,
            limit_bytes: 1_000,
            taken_bytes: 0,
        };
        core.pressure.note(receiver, level, Millis(10_000));
        for count in 1..3 {
            let verdict = session.on_packet(&packet, &mut context(&mut core, &mut effects));
            assert!(matches!(verdict, Verdict::Handled), "{verdict:?}");
            assert_eq!((core.counters.refused, effects.take_list().len()), (count, 1), "an ERROR");
        }
    }
}
