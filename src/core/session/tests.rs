//! What each state allows itself: how long it may last, how much may wait for it, and how its peer is watched.

use super::*;
use crate::core::state::Core;
use crate::core::state::effects::{Effect, Effects};
use crate::core::state::mesh::{DialFor, HostPort};
use crate::core::state::pressure::Level;
use crate::core::state::users::Users;
use crate::wire::{ErrorReason, FileChunk, Nickname, ServerId, forward_header};

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
        assert!(is_link || matches!(verdict, Verdict::Handled), "{verdict:?}");
        assert_eq!(core.mesh.link_to(server).is_some(), is_link);
        effects = Effects::default();
        session.on_end(CloseReason::NoAnswer, None, &mut context(&mut core, &mut effects));
        assert!(effects.is_empty(), "it has answered, so the link is not closed for its silence");
    }
}

/// The packet, for a link.
fn forwarded(destination: ServerId, packet: &Packet<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    packet.encode(&mut content);
    [&forward_header(destination)[..], &content].concat()
}

#[test]
fn what_comes_over_a_link_is_for_us_and_of_a_client_of_the_server_at_its_other_end() {
    let (own, near, far) = (ServerId(7), ServerId(9), ServerId(10));
    let public = |origin, sender| Packet::MsgPblInc { origin, sender, message: "hi" };
    let private = |origin, sender| Packet::MsgPrvInc { origin, sender, receiver: "ana", message: "hi" };
    let error = Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver };
    let merge = |server| {
        let mut bytes = Vec::new();
        Packet::MrgReq { server, siblings: Default::default() }.encode(&mut bytes);
        bytes
    };
    let cases = [
        (forwarded(own, &public(near, "bob")), None),
        (forwarded(own, &private(near, "bob")), None),
        (forwarded(far, &public(near, "bob")), Some(Ignored::Misaddressed)),
        (forwarded(own, &public(far, "bob")), Some(Ignored::Misaddressed)),
        (forwarded(own, &private(far, "bob")), Some(Ignored::Misaddressed)),
        (forwarded(own, &public(near, "\n")), Some(Ignored::Nickname)),
        (forwarded(own, &private(near, "")), Some(Ignored::Nickname)),
        (forwarded(own, &Packet::MsgPbl { message: "hi" }), Some(Ignored::State)),
        // Nothing of that client went there.
        (forwarded(own, &error), Some(Ignored::Misaddressed)),
        (merge(near), None),
        (merge(far), Some(Ignored::Misaddressed)),
    ];
    for (bytes, expected) in cases {
        let (mut core, mut effects) = (core(), Effects::default());
        let ana = Key { index: 3, serial: 3 };
        core.directory.enter(Nickname::parse("ana").unwrap(), ana).unwrap();
        let packet = Packet::decode(&bytes).unwrap();
        let verdict = sibling().on_packet(&packet, &mut context(&mut core, &mut effects));
        let ignored = match verdict {
            Verdict::Handled => None,
            Verdict::Ignored(reason) => Some(reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(ignored, expected, "{packet:?}");
        assert_eq!(effects.is_empty(), expected.is_some() || matches!(packet, Packet::MrgReq { .. }), "{packet:?}");
    }
}

#[test]
fn an_error_that_a_server_may_send_reaches_its_client_once() {
    let (mut core, mut effects) = (core(), Effects::default());
    let (ana, link) = (Key { index: 3, serial: 3 }, Key { index: 1, serial: 1 });
    core.directory.enter(Nickname::parse("ana").unwrap(), ana).unwrap();
    core.unanswered.add(ana, link, Millis(10_000));
    let bytes = forwarded(ServerId(7), &Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    let packet = Packet::decode(&bytes).unwrap();
    for is_first in [true, false] {
        let verdict = sibling().on_packet(&packet, &mut context(&mut core, &mut effects));
        assert_eq!(matches!(verdict, Verdict::Handled), is_first, "{verdict:?}");
        assert_eq!(effects.take_list().len(), usize::from(is_first));
    }
}

/// A client that reads, and is behind with what all get.
fn behind(pending_bytes: usize, limit_bytes: usize) -> Level {
    Level { gets_public: true, is_link: false, is_stuck: true, pending_bytes, limit_bytes, taken_bytes: 0 }
}

#[test]
fn public_messages_of_a_link_wait_for_a_reader_that_is_behind_until_the_link_has_waited() {
    let (mut core, mut effects) = (core(), Effects::default());
    core.pressure.note(Key { index: 3, serial: 3 }, behind(1_000, 1_000), Millis(10_000));
    let message = "x".repeat(60_000);
    let public = Packet::MsgPblInc { origin: ServerId(9), sender: "bob", message: &message };
    let bytes = forwarded(ServerId(7), &public);
    let packet = Packet::decode(&bytes).unwrap();
    let mut session = sibling();
    let mut passed = 0;
    let mut is_handled = |session: &mut Session| {
        let verdict = session.on_packet(&packet, &mut context(&mut core, &mut effects));
        matches!(verdict, Verdict::Handled)
    };
    while is_handled(&mut session) {
        passed += 1;
        assert!(passed < 100, "it never waits");
    }
    assert!(passed > 0, "some may be said all the same");
    session.on_paused(1);
    assert!(is_handled(&mut session), "it owes what it was paused for");
}

#[test]
fn a_public_message_counts_as_the_bytes_that_each_client_gets() {
    let (mut core, mut effects) = (core(), Effects::default());
    core.pressure.note(Key { index: 3, serial: 3 }, behind(1_000, 1_000), Millis(10_000));
    for name in 0..50 {
        let key = Key { index: 100 + name, serial: 1 };
        core.directory.enter(Nickname::parse(&format!("guest{name}")).unwrap(), key).unwrap();
    }
    // With its head, as much as one client may say at once.
    let mut empty = Vec::new();
    Packet::MsgPblInc { origin: ServerId(7), sender: "ana", message: "" }.encode(&mut empty);
    let message = "x".repeat(limits::PUBLIC_SHARE_MIN_BYTES - empty.len());
    let packet = Packet::MsgPbl { message: &message };
    let mut passed = 0;
    while let Verdict::Handled = client().on_packet(&packet, &mut context(&mut core, &mut effects)) {
        passed += 1;
    }
    let all_may_say = limits::PUBLIC_RATE_BYTES / limits::PUBLIC_BURST_PARTS;
    assert_eq!(passed, all_may_say / limits::PUBLIC_SHARE_MIN_BYTES, "what all may say at once is used up");
}

#[test]
fn a_chunk_that_has_waited_goes_to_a_receiver_that_has_room_for_a_chunk() {
    let (mut core, mut effects) = (core(), Effects::default());
    let receiver = Key { index: 3, serial: 3 };
    core.directory.enter(Nickname::parse("bob").unwrap(), receiver).unwrap();
    let content = [0; limits::CHUNK_BYTES];
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &content };
    let packet = Packet::FileChnk { destination: ServerId(7), receiver: "bob", chunk };
    for (pending_bytes, is_refused) in [(4_000, 0), (9_000, 1)] {
        core.pressure.note(receiver, behind(pending_bytes, 8 * 1_024), Millis(10_000));
        let mut context = context(&mut core, &mut effects);
        context.has_waited = true;
        let verdict = client().on_packet(&packet, &mut context);
        assert!(matches!(verdict, Verdict::Handled), "{verdict:?}");
        assert_eq!(core.counters.refused, is_refused, "{pending_bytes} bytes wait already");
    }
}

#[test]
fn what_became_of_our_request_to_merge_is_said_in_words() {
    let cut_off = CutOff { code: Code::MrgRsp, have: 3, total: 9, is_total_known: false };
    let closed = "closed without an answer (does its --allow-peer permit us?)";
    let cases = [
        (CloseReason::Left, None, closed.to_owned()),
        (CloseReason::Lost, None, closed.to_owned()),
        (CloseReason::NoAnswer, None, CloseReason::NoAnswer.to_string()),
        (CloseReason::Left, Some(cut_off), cut_off.to_string()),
    ];
    for (reason, cut_off, expected) in cases {
        let mut core = core();
        let name = HostPort::parse("127.0.0.1:7790").unwrap();
        core.mesh.request_merge(name, None, Millis(0));
        let dial = core.mesh.poll_dial(Millis(0)).unwrap();
        let mut effects = Effects::default();
        let session = Requesting::begin(dial.dial_for, &mut context(&mut core, &mut effects));
        Session::Requesting(Box::new(session)).on_end(reason, cut_off, &mut context(&mut core, &mut effects));
        let said: Vec<String> = core.mesh.waiting_merges().filter_map(|merge| merge.last_error).collect();
        assert!(said.len() == 1 && said[0].contains(&expected), "{said:?} is not {expected}");
    }
}

#[test]
fn each_command_of_an_operator_is_read_as_what_it_is() {
    use operator::Command;
    let address = HostPort::parse("example.org:7777").unwrap();
    let cases = [
        ("status", Command::Status),
        ("clients", Command::Clients),
        ("siblings", Command::Siblings),
        ("routes", Command::Routes),
        ("merge example.org:7777", Command::Merge(address.clone())),
        ("forget 8", Command::Forget(ServerId(8))),
        ("forget example.org:7777", Command::ForgetMerge(address)),
        ("kick two words", Command::Kick("two words".to_owned())),
        ("ban ana 1h", Command::Ban("ana 1h".to_owned())),
        ("ban", Command::Ban(String::new())),
        ("unban ana", Command::Unban("ana".to_owned())),
        ("bans", Command::Bans),
        ("reload", Command::Reload),
        ("metrics", Command::Metrics),
        ("shutdown", Command::Shutdown),
        ("help", Command::Help),
    ];
    for (line, command) in cases {
        assert_eq!(Command::parse(line), Ok(command), "{line}");
    }
    assert_eq!(Command::parse("kick"), Err("expected kick NICKNAME".to_owned()));
    for line in
        ["status now", "bans x", "clients x", "siblings x", "routes x", "reload x", "shutdown now", "", "help me"]
    {
        assert!(Command::parse(line).is_err_and(|why| why.starts_with("unknown command ")), "{line}");
    }
}

#[test]
fn a_login_that_is_refused_too_often_is_closed() {
    let (mut core, mut effects) = (core(), Effects::default());
    core.directory.enter(Nickname::parse("ana").unwrap(), Key { index: 3, serial: 3 }).unwrap();
    let mut session = Session::Handshake(Handshake::default());
    for tries in 1..=limits::LOGIN_TRIES_MAX {
        let packet = Packet::AuthGst { nickname: "ana" };
        let verdict = session.on_packet(&packet, &mut context(&mut core, &mut effects));
        assert!(matches!(verdict, Verdict::Handled), "{verdict:?}");
        let effects = effects.take_list().len();
        assert_eq!(effects, 1 + usize::from(tries == limits::LOGIN_TRIES_MAX), "an answer, and at last the end");
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
        core.pressure.note(receiver, behind(1_000, 1_000), Millis(10_000));
        for count in 1..3 {
            let verdict = session.on_packet(&packet, &mut context(&mut core, &mut effects));
            assert!(matches!(verdict, Verdict::Handled), "{verdict:?}");
            assert_eq!((core.counters.refused, effects.take_list().len()), (count, 1), "an ERROR");
        }
    }
}

#[test]
fn a_password_that_is_too_long_is_a_wrong_one_of_the_nickname_before_it() {
    let head = |nickname: &str| [&[0x01, 0, 0, 0, nickname.len() as u8], nickname.as_bytes(), &[0, 1, 0, 0]].concat();
    let cases = [
        (Code::AuthUsr, head("ana"), Some(1)),
        (Code::AuthUsr, head("\n"), None),
        (Code::MsgPbl, vec![0x20], None),
        // A merge with more servers than there can be: an answer, and the end.
        (Code::MrgReq, vec![0x40, 0, 0, 0, 9], Some(2)),
    ];
    for (code, head, expected) in cases {
        let (mut core, mut effects) = (core(), Effects::default());
        let mut context = context(&mut core, &mut effects);
        context.remote = Some("127.0.0.1:4000".parse().unwrap());
        let verdict = Session::Handshake(Handshake::default()).on_overlong(code, &head, &mut context);
        let done = matches!(verdict, Verdict::Handled).then(|| effects.take_list().len());
        assert_eq!(done, expected, "{code:?} {head:?}: {verdict:?}");
    }
}

#[test]
fn who_waits_for_the_answer_to_a_wrong_password_has_that_time_besides() {
    let (mut core, mut effects) = (core(), Effects::default());
    let packet = Packet::AuthUsr { nickname: "ana", password: "wrong" };
    let mut session = Session::Handshake(Handshake::default());
    while session.answer_at().is_none() {
        session = Session::Handshake(Handshake::default());
        let _ = session.on_packet(&packet, &mut context(&mut core, &mut effects));
    }
    assert_eq!(session.time_limit(&config()), None, "while it waits");
    let at = session.answer_at().unwrap();
    let mut context = context(&mut core, &mut effects);
    let delay_ms = at.since(context.now);
    context.now = at;
    let _ = session.on_answer_due(&mut context);
    assert_eq!(delay_ms, limits::FAILURE_DELAY_MIN_MS);
    assert_eq!(session.time_limit(&config()), Some((1_000 + delay_ms, CloseReason::HandshakeTimeout)));
}

#[test]
fn a_server_may_merge_by_its_certificate_or_by_its_address_and_not_through_a_proxy() {
    let (here, elsewhere) = ("127.0.0.1:4000", "192.0.2.1:4000");
    let (own, other) = ([ServerId(9)], [ServerId(10)]);
    // The options --peer-ca and --require-tls, the certified IDs, the address, a proxy, and why it is refused.
    let cases = [
        (false, false, None, here, false, None),
        (false, true, None, here, false, None),
        (true, false, None, here, false, None),
        (true, true, None, here, false, Some(CloseReason::NotTheServer)),
        (true, true, Some(&own), elsewhere, false, None),
        (true, false, Some(&other), here, false, Some(CloseReason::NotTheServer)),
        (false, false, None, elsewhere, false, Some(CloseReason::NotPermitted)),
        (false, false, None, here, true, Some(CloseReason::ProxiedMerge)),
    ];
    for (has_peer_ca, requires_tls, certified, remote, is_proxied, expected) in cases {
        let mut core = Core::new(Config { has_peer_ca, requires_tls, ..config() }, Users::none());
        let mut effects = Effects::default();
        let mut context = context(&mut core, &mut effects);
        (context.remote, context.is_proxied) = (Some(remote.parse().unwrap()), is_proxied);
        context.certified_ids = certified.map(|ids| &ids[..]);
        let packet = Packet::MrgReq { server: ServerId(9), siblings: Default::default() };
        let verdict = Session::Handshake(Handshake::default()).on_packet(&packet, &mut context);
        let refused = effects.take_list().into_iter().find_map(|effect| match effect {
            Effect::Close { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(refused, expected, "{has_peer_ca} {requires_tls} {certified:?} {remote} {is_proxied}");
        assert_eq!(matches!(verdict, Verdict::Become(Session::Sibling(_))), expected.is_none());
    }
}

#[test]
fn with_a_ca_only_the_server_that_its_certificate_names_answers_our_merge() {
    for (ids, is_link) in [(None, false), (Some([ServerId(10)]), false), (Some([ServerId(9)]), true)] {
        let mut core = Core::new(Config { has_peer_ca: true, ..config() }, Users::none());
        let mut effects = Effects::default();
        let mut session = requesting();
        let mut context = context(&mut core, &mut effects);
        context.certified_ids = ids.as_ref().map(|ids| &ids[..]);
        let packet = Packet::MrgRsp { server: ServerId(9), siblings: Default::default() };
        let verdict = session.on_packet(&packet, &mut context);
        assert_eq!(matches!(verdict, Verdict::Become(Session::Sibling(_))), is_link, "{ids:?}: {verdict:?}");
    }
}
