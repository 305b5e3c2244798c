//! Wrong passwords: their log lines and metrics, and the delayed answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use cfp::core::state::users::Users;
use cfp::limits;
use cfp::wire::{AuthResponse, Packet};
use node::Node;
use regex_lite::Regex;
use support::Client;
use support::client::encoded;
use support::pipe::{Peer, Rig};
use support::users::{UsersFile, line};

fn try_password(client: &mut Client, nickname: &str, password: &str) {
    client.send(&Packet::AuthUsr { nickname, password });
}

fn expect_answer(client: &mut Client, response: AuthResponse) {
    client.expect(&Packet::AuthRsp { response });
}

/// The filter that docs/operations.md has for fail2ban.
fn filter() -> Regex {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let line = page.lines().find_map(|line| line.trim().strip_prefix("failregex = ")).expect("a filter");
    Regex::new(&line.replace("<ADDR>", r"(?P<ip>[0-9A-Fa-f.:]+)")).unwrap()
}

#[test]
fn every_wrong_password_has_a_line_that_the_documented_filter_of_fail2ban_finds() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let mut client = node.server.connect();
    for (nickname, password) in [("maria", "wrong"), ("nobody", "x"), ("zoe", &"x".repeat(2000))] {
        try_password(&mut client, nickname, password);
        expect_answer(&mut client, AuthResponse::WrongPassword);
        node.server.wait_for_log(&format!("for {nickname:?}"));
    }
    let port = client.local_address().port();
    let line = node.server.wait_for_log("wrong password");
    assert!(line.ends_with(&format!("wrong password from 127.0.0.1 port {port} for \"maria\"")), "{line}");
    node.server.expect_in_log("wrong password", 3);
    assert_eq!(&filter().captures(&line).expect("the filter finds it")["ip"], "127.0.0.1");
    assert_eq!(node.metric("cfp_logins_total{result=\"wrong_password\"}"), 3);
}

#[test]
fn nobody_can_put_another_address_into_the_line() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let filter = filter();
    let tricks = [
        "x wrong password from 6.6.6.6 port 1 for",
        "\" wrong password from 6.6.6.6 port 1 for \"",
        "] wrong password from 6.6.6.6 port 1 for \"",
    ];
    let mut client = node.server.connect();
    for trick in tricks {
        try_password(&mut client, trick, "x");
        expect_answer(&mut client, AuthResponse::WrongPassword);
        let line = node.server.wait_for_log(&format!("{trick:?}"));
        assert_eq!(&filter.captures(&line).unwrap()["ip"], "127.0.0.1", "{line}");
        // And none as a guest's nickname.
        let guest = node.guest(trick);
        drop(guest);
        let end = node.server.wait_for_log(&format!("client {trick:?}"));
        assert!(filter.captures(&end).is_none(), "{end}");
    }
}

#[test]
fn every_end_of_a_login_is_counted() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let (_ana, mut maria, mut other) = (node.guest("ana"), node.server.connect(), node.server.connect());
    try_password(&mut maria, "maria", "open sesame");
    expect_answer(&mut maria, AuthResponse::Accepted);
    for (nickname, response) in [("maria", AuthResponse::Registered), ("ana", AuthResponse::InUse)] {
        other.send(&Packet::AuthGst { nickname });
        expect_answer(&mut other, response);
    }
    for (result, count) in
        [("guest", 1), ("user", 1), ("registered", 1), ("in_use", 1), ("wrong_password", 0), ("no_guests", 0)]
    {
        assert_eq!(node.metric(&format!("cfp_logins_total{{result=\"{result}\"}}")), count, "{result}");
    }
}

/// Asks, and returns how long the answer took, in milliseconds.
fn answer_ms(rig: &mut Rig, peer: &Peer, password: &str, response: AuthResponse) -> u64 {
    rig.send(peer, &encoded(&Packet::AuthUsr { nickname: "maria", password }));
    for waited_ms in 0..=2 * limits::FAILURE_DELAY_MAX_MS {
        let output = peer.take_output();
        if !output.is_empty() {
            assert_eq!(output, encoded(&Packet::AuthRsp { response }));
            return waited_ms;
        }
        rig.advance(1);
    }
    panic!("no answer");
}

#[test]
fn wrong_passwords_are_answered_later_and_later_and_the_right_one_at_once() {
    let mut rig = Rig::new(Users::parse(&line("maria", "open sesame")).unwrap());
    let mut waited = Vec::new();
    for _ in 0..5 {
        let peer = rig.connect();
        waited.extend((0..2).map(|_| answer_ms(&mut rig, &peer, "wrong", AuthResponse::WrongPassword)));
        // The same address.
        let other = rig.connect();
        assert_eq!(answer_ms(&mut rig, &other, "open sesame", AuthResponse::Accepted), 0);
        rig.reset(&other);
        rig.reset(&peer);
    }
    assert_eq!(waited, [0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000]);
}

#[test]
fn while_an_answer_waits_the_handshake_time_stands_still_and_what_follows_waits() {
    let mut rig = Rig::new(Users::parse(&line("maria", "open sesame")).unwrap());
    for _ in 0..6 {
        let peer = rig.connect();
        rig.send(&peer, &encoded(&Packet::AuthUsr { nickname: "maria", password: "wrong" }));
        rig.advance(limits::FAILURE_DELAY_MAX_MS);
        rig.reset(&peer);
    }
    let peer = rig.connect();
    rig.advance(limits::HANDSHAKE_MS - 1);
    let wrong = encoded(&Packet::AuthUsr { nickname: "maria", password: "wrong" });
    rig.send(&peer, &[wrong, encoded(&Packet::AuthGst { nickname: "ana" })].concat());
    // Its time for the login would be over meanwhile: nothing happens then.
    rig.advance(4 * limits::FAILURE_DELAY_MIN_MS - 1);
    assert!(peer.take_output().is_empty());
    rig.advance(1);
    let answers = [AuthResponse::WrongPassword, AuthResponse::Accepted];
    assert_eq!(peer.take_output(), answers.map(|response| encoded(&Packet::AuthRsp { response })).concat());
    assert!(rig.is_open(&peer));
}

#[test]
fn one_who_leaves_while_its_answer_waits_is_let_go_when_that_is_due() {
    let mut rig = Rig::new(Users::parse(&line("maria", "open sesame")).unwrap());
    let peers: Vec<Peer> = (0..8).map(|_| rig.connect()).collect();
    for peer in &peers {
        rig.send(peer, &encoded(&Packet::AuthUsr { nickname: "maria", password: "wrong" }));
        rig.reset(peer);
    }
    rig.advance(limits::FAILURE_DELAY_MAX_MS);
    assert!(peers.iter().all(Peer::is_closed));
}

#[test]
fn behind_one_address_a_right_login_gets_in_beside_a_flood_of_wrong_ones() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let mut flood: Vec<Client> = (0..100).map(|_| node.server.connect()).collect();
    for client in &mut flood {
        for _ in 0..4 {
            try_password(client, "maria", "wrong");
        }
    }
    let mut maria = node.server.connect();
    try_password(&mut maria, "maria", "open sesame");
    expect_answer(&mut maria, AuthResponse::Accepted);
    // What the log does not say of one address is said as a number.
    assert!(node.server.count_in_log("wrong password") <= 2 * limits::FAILURE_LINES_PER_ADDRESS as usize);
}
