//! Which packet is handled in which state of a connection, and which is ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::SocketAddrV4;

use Outcome::{Handled, Ignored};
use cfp::core::state::config::Config;
use cfp::core::state::counters::Ignored as Reason;
use cfp::core::state::users::Users;
use cfp::limits::{CHUNK_BYTES, LINK_SILENCE_MS};
use cfp::wire::{AuthResponse, Code, DeclineReason, Descriptions, ErrorReason, FileChunk, Packet, ServerId};
use support::ID;
use support::client::encoded;
use support::pipe::{Peer, Rig};

/// The other end of a link.
const SIBLING: ServerId = ServerId(8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Handled,
    Ignored,
}

/// code, of a newcomer, of a client, before the answer to our own request, on a link to another server
const TABLE: [(Code, Outcome, Outcome, Outcome, Outcome); 14] = [
    (Code::AuthGst, Handled, Ignored, Ignored, Ignored),
    (Code::AuthUsr, Handled, Ignored, Ignored, Ignored),
    (Code::AuthRsp, Ignored, Ignored, Ignored, Ignored),
    (Code::MsgPbl, Ignored, Handled, Ignored, Ignored),
    (Code::MsgPrv, Ignored, Handled, Ignored, Ignored),
    (Code::MsgPblInc, Ignored, Ignored, Ignored, Ignored),
    (Code::MsgPrvInc, Ignored, Ignored, Ignored, Ignored),
    (Code::FileChnk, Ignored, Handled, Ignored, Ignored),
    (Code::FileChnkInc, Ignored, Ignored, Ignored, Ignored),
    (Code::PckFwd, Ignored, Ignored, Ignored, Handled),
    (Code::MrgReq, Handled, Ignored, Ignored, Handled),
    (Code::MrgRsp, Ignored, Ignored, Handled, Handled),
    (Code::MrgDecl, Ignored, Ignored, Handled, Handled),
    (Code::Error, Ignored, Ignored, Ignored, Ignored),
];

/// A sound packet of each code, with its answer if it is handled.
fn sample(code: Code) -> (Vec<u8>, Vec<u8>) {
    let content = [0; CHUNK_BYTES];
    let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks: 1, content: &content };
    let siblings = Descriptions::default();
    let public = Packet::MsgPblInc { origin: ID, sender: "ana", message: "hi" };
    let forwarded = encoded(&Packet::MsgPblInc { origin: SIBLING, sender: "eve", message: "hi" });
    let unknown = Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer };
    let none = Vec::new;
    let (packet, answer) = match code {
        Code::AuthGst => {
            let answer = Packet::AuthRsp { response: AuthResponse::Accepted };
            (Packet::AuthGst { nickname: "ana" }, encoded(&answer))
        }
        Code::AuthUsr => {
            let answer = Packet::AuthRsp { response: AuthResponse::WrongPassword };
            (Packet::AuthUsr { nickname: "ana", password: "secret" }, encoded(&answer))
        }
        Code::AuthRsp => (Packet::AuthRsp { response: AuthResponse::Accepted }, none()),
        Code::MsgPbl => (Packet::MsgPbl { message: "hi" }, encoded(&public)),
        Code::MsgPrv => {
            (Packet::MsgPrv { destination: ServerId(9), receiver: "bob", message: "hi" }, encoded(&unknown))
        }
        Code::MsgPblInc => (public, none()),
        Code::MsgPrvInc => (Packet::MsgPrvInc { origin: ID, sender: "bob", receiver: "ana", message: "hi" }, none()),
        Code::FileChnk => (Packet::FileChnk { destination: ServerId(9), receiver: "bob", chunk }, encoded(&unknown)),
        Code::FileChnkInc => (Packet::FileChnkInc { origin: ID, sender: "bob", receiver: "ana", chunk }, none()),
        Code::PckFwd => (Packet::PckFwd { destination: ID, content: &forwarded }, none()),
        Code::MrgReq => {
            (Packet::MrgReq { server: SIBLING, siblings }, encoded(&Packet::MrgRsp { server: ID, siblings }))
        }
        Code::MrgRsp => (Packet::MrgRsp { server: SIBLING, siblings }, none()),
        Code::Relay | Code::Links | Code::Hold | Code::Hello => unreachable!("they have a test of their own"),
        Code::MrgDecl => (Packet::MrgDecl { reason: DeclineReason::ServerLimit }, none()),
        Code::Error => (Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver }, none()),
    };
    (encoded(&packet), answer)
}

/// Sends a sample and says what became of it.
fn outcome(rig: &mut Rig, peer: &Peer, code: Code) -> Outcome {
    let ignored = |rig: &Rig| rig.engine.core().counters.ignored.get(Reason::State as usize);
    let (packet, answer) = sample(code);
    let is_link = rig.is_link(peer);
    let before = ignored(rig);
    rig.send(peer, &packet);
    let output = peer.take_output();
    match ignored(rig) - before {
        0 => {
            // On a link, an MRGREQ is news and not a question.
            let answer = if is_link { Vec::new() } else { answer };
            assert_eq!(output, answer, "the answer to {}", code.name());
            Handled
        }
        _ => {
            assert!(output.is_empty(), "no answer to {}, which is ignored", code.name());
            Ignored
        }
    }
}

#[test]
fn the_table_has_every_code() {
    let codes = Code::ALL.into_iter().filter(|code| !code.is_routed());
    assert!(TABLE.iter().map(|&(code, ..)| code).eq(codes));
}

#[test]
fn the_codes_of_routed_links_are_unknown_everywhere_else() {
    let unknown = |rig: &Rig| rig.engine.core().counters.ignored.get(Reason::UnknownCode as usize);
    let routed_codes: Vec<u8> = Code::ALL.into_iter().filter(|code| code.is_routed()).map(Code::byte).collect();
    assert_eq!(routed_codes, [0x51, 0x52, 0x53, 0x54]);
    for is_routed in [false, true] {
        let mut config = Config { advertise: Some("127.0.0.1:7777".parse().unwrap()), ..Config::new(ID) };
        if is_routed {
            config.route(1_000);
        }
        let mut rig = Rig::with_config(config);
        for peer in [rig.connect(), rig.guest("ana")] {
            let before = unknown(&rig);
            rig.send(&peer, &routed_codes);
            assert_eq!(unknown(&rig) - before, 4);
            assert!(rig.is_open(&peer));
        }
    }
    // On a link between dense servers, as any code without a layout.
    let mut rig = Rig::new(Users::none());
    let link = rig.connect();
    assert_eq!(outcome(&mut rig, &link, Code::MrgReq), Handled);
    rig.send(&link, &encoded(&Packet::Hello { stamp: 1 }));
    assert!(!rig.is_open(&link));
}

#[test]
fn of_a_routed_link_only_its_own_packets_are_handled() {
    let address = |port| SocketAddrV4::new([127, 0, 0, 1].into(), port);
    let mut config = Config { advertise: Some(address(7777)), ..Config::new(ID) };
    config.route(1_000);
    let own = [0, 0, 0, 8, 127, 0, 0, 1, 0, 0, 0x1E, 0x62].repeat(2);
    let siblings = Descriptions::new(&own).unwrap();
    for (code, ..) in TABLE {
        let mut rig = Rig::with_config(config.clone());
        let link = rig.connect();
        rig.send(&link, &encoded(&Packet::MrgReq { server: SIBLING, siblings }));
        assert!(rig.is_link(&link));
        let ignored = |rig: &Rig| rig.engine.core().counters.ignored.get(Reason::State as usize);
        let hello = encoded(&Packet::Hello { stamp: 0 });
        rig.send(&link, &hello);
        assert_eq!(ignored(&rig), 0, "its first HELLO");
        rig.send(&link, &hello);
        assert_eq!(ignored(&rig), 1, "there is no second one");
        rig.send(&link, &sample(code).0);
        let is_ignored = ignored(&rig) == 2;
        assert_eq!(is_ignored, code != Code::MrgDecl, "{} on a routed link", code.name());
    }
}

#[test]
fn before_anything_was_accepted_logins_and_merge_requests_are_handled() {
    for (code, expected, ..) in TABLE {
        let mut rig = Rig::new(Users::none());
        let peer = rig.connect();
        assert_eq!(outcome(&mut rig, &peer, code), expected, "{} before the login", code.name());
        // Whatever it was, the stream goes on behind it.
        if !matches!(code, Code::AuthGst | Code::MrgReq) {
            assert_eq!(outcome(&mut rig, &peer, Code::AuthGst), Handled, "a login after {}", code.name());
        }
    }
}

#[test]
fn of_a_client_only_messages_and_files_are_handled() {
    for (code, _, expected, ..) in TABLE {
        let mut rig = Rig::new(Users::none());
        let peer = rig.guest("ana");
        assert_eq!(outcome(&mut rig, &peer, code), expected, "{} of a client", code.name());
        assert_eq!(outcome(&mut rig, &peer, Code::MsgPbl), Handled, "a message after {}", code.name());
    }
}

#[test]
fn of_a_sibling_only_forwarded_packets_and_merge_packets_are_handled() {
    for (code, .., expected) in TABLE {
        let mut rig = Rig::new(Users::none());
        let ana = rig.guest("ana");
        let peer = rig.connect();
        assert_eq!(outcome(&mut rig, &peer, Code::MrgReq), Handled);
        assert_eq!(outcome(&mut rig, &peer, code), expected, "{} of a sibling", code.name());
        ana.take_output();
        assert_eq!(outcome(&mut rig, &peer, Code::PckFwd), Handled, "a message after {}", code.name());
        assert_eq!(ana.take_output(), encoded(&Packet::MsgPblInc { origin: SIBLING, sender: "eve", message: "hi" }));
    }
}

#[test]
fn of_a_server_that_was_asked_to_merge_only_the_answer_is_handled() {
    for (code, _, _, expected, _) in TABLE {
        let mut rig = Rig::new(Users::none());
        rig.connects_dials = true;
        let operator = rig.operator();
        rig.send(&operator, b"merge 127.0.0.1:7778\n");
        let peer = dialled(rig.take_dialled());
        assert_eq!(outcome(&mut rig, &peer, code), expected, "{} in place of an answer", code.name());
        if expected == Ignored {
            assert_eq!(outcome(&mut rig, &peer, Code::MrgRsp), Handled, "the answer after {}", code.name());
            assert!(rig.is_link(&peer));
        }
    }
}

#[test]
fn of_a_silent_sibling_that_is_asked_only_the_answer_is_handled() {
    for (code, _, _, expected, _) in TABLE {
        let mut rig = Rig::new(Users::none());
        let link = rig.connect();
        // It is server 8, on 127.0.0.1, port 7778.
        let siblings = Descriptions::new(&[0, 0, 0, 8, 127, 0, 0, 1, 0, 0, 0x1E, 0x62]).unwrap();
        rig.send(&link, &encoded(&Packet::MrgReq { server: SIBLING, siblings }));
        rig.advance(LINK_SILENCE_MS);
        let peer = dialled(rig.take_asked());
        assert_eq!(outcome(&mut rig, &peer, code), expected, "{} in place of an answer", code.name());
        if expected == Ignored {
            assert_eq!(outcome(&mut rig, &peer, Code::MrgDecl), Handled, "the answer after {}", code.name());
        }
    }
}

/// The only connection that was dialled, without the request over it.
fn dialled(mut peers: Vec<Peer>) -> Peer {
    let peer = peers.pop().expect("the engine has dialled");
    assert!(peers.is_empty());
    assert!(peer.take_output().starts_with(&[Code::MrgReq.byte()]));
    peer
}

#[test]
fn the_other_code_of_pckfwd_is_read_the_same_way() {
    let mut rig = Rig::new(Users::none());
    for peer in [rig.connect(), rig.guest("ana")] {
        let (mut packet, _) = sample(Code::PckFwd);
        packet[0] = 0x32;
        rig.send(&peer, &packet);
        assert!(peer.take_output().is_empty());
    }
    assert_eq!(rig.engine.core().counters.ignored.get(Reason::State as usize), 2);
    assert_eq!(rig.engine.core().counters.ignored.get(Reason::UnknownCode as usize), 0);
}
