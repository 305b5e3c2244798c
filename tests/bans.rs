//! Keeping people out: by nickname, by address, for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use cfp::limits::BANS_MAX;
use cfp::wire::{AuthResponse, Packet};
use node::{Node, wait_for_clique, wait_until};
use support::Client;
use support::users::UsersFile;

fn answer_to(client: &mut Client, login: &Packet<'_>) -> AuthResponse {
    client.send(login);
    match Packet::decode(&client.receive()) {
        Ok(Packet::AuthRsp { response }) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_banned_nickname_is_closed_and_does_not_come_back_before_it_is_let_in() {
    let node = Node::start(7, &[]);
    let (mut bob, mut ana) = (node.guest("two words"), node.guest("ana"));
    assert_eq!(node.ask("ban two words"), ["ok"]);
    bob.expect_end();
    let mut again = node.server.connect();
    for like in ["two words", "Two Words", "two  w\u{43e}rds"] {
        assert_eq!(answer_to(&mut again, &Packet::AuthGst { nickname: like }), AuthResponse::Registered, "{like}");
    }
    assert_eq!(node.metric("cfp_logins_total{result=\"banned\"}"), 3);
    assert_eq!(node.ask("bans"), ["\"two words\"\t-", "ok"]);
    assert_eq!(node.ask("unban \"two words\""), ["ok"]);
    assert_eq!(node.ask("unban two words"), ["error no such ban"]);
    assert_eq!(answer_to(&mut again, &Packet::AuthGst { nickname: "two words" }), AuthResponse::Accepted);
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn a_banned_user_is_closed_and_refused_with_the_right_password_also_after_a_reload() {
    let users = UsersFile::new(&[("maria", "open sesame"), ("zoe", "x")]);
    let node = Node::start(7, &["--users", users.path()]);
    let login = Packet::AuthUsr { nickname: "maria", password: "open sesame" };
    let mut maria = node.server.connect();
    assert_eq!(answer_to(&mut maria, &login), AuthResponse::Accepted);
    assert_eq!(node.ask("ban maria 1h"), ["ok"]);
    maria.expect_end();
    assert_eq!(answer_to(&mut node.server.connect(), &login), AuthResponse::WrongPassword);
    users.write(&[("maria", "open sesame")]);
    assert_eq!(node.ask("reload"), ["0 added, 1 removed, 0 changed", "ok"]);
    assert_eq!(answer_to(&mut node.server.connect(), &login), AuthResponse::WrongPassword);
    let bans = node.ask("bans");
    let seconds: u64 = bans[0].strip_prefix("\"maria\"\t").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&seconds), "{bans:?}");
}

#[test]
fn a_banned_address_is_closed_and_refused_before_anything_else() {
    let node = Node::start(7, &[]);
    let (mut ana, mut nobody) = (node.guest("ana"), node.server.connect());
    assert_eq!(node.ask("ban ::ffff:127.0.0.0/104"), ["ok"]);
    ana.expect_end();
    nobody.expect_end();
    for _ in 0..3 {
        node.server.connect().expect_end();
    }
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"banned\"}"), 5);
    assert_eq!(node.ask("bans"), ["127.0.0.0/8\t-", "ok"]);
    assert_eq!(node.ask("unban 127.1.2.3/8"), ["ok"]);
    node.guest("ana").expect_nothing_but_itself("ana");
}

#[test]
fn a_ban_ends_by_itself() {
    let node = Node::start(7, &[]);
    assert_eq!(node.ask("ban 127.0.0.1 1s"), ["ok"]);
    node.server.connect().expect_end();
    wait_until(|| node.ask("bans") == ["ok"], || "it does not end".to_owned());
    node.guest("ana").expect_nothing_but_itself("ana");
}

#[test]
fn links_stay_when_their_address_is_banned() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    wait_for_clique([&one, &two]);
    assert_eq!(one.ask("ban 127.0.0.0/8"), ["ok"]);
    assert_eq!(two.ask("ban 127.0.0.0/8"), ["ok"]);
    one.wait_until_linked_with(&[2]);
    two.wait_until_linked_with(&[1]);
}

#[test]
fn bans_are_bounded_and_what_is_none_is_an_error() {
    let node = Node::start(7, &[]);
    for wrong in ["ban", "ban a\tb", "ban \"ana", "unban", "unban \"ana\" 1h"] {
        let answer = node.ask(wrong);
        assert!(answer.len() == 1 && answer[0].starts_with("error expected "), "{wrong}: {answer:?}");
    }
    assert_eq!(node.ask("kick a\tb"), ["error no such client"]);
    let commands: String = (0..BANS_MAX).map(|i| format!("ban 10.{}.{}.0/24\n", i / 256, i % 256)).collect();
    let answers = node.ask_all(&(commands + "ban one more\n"), BANS_MAX + 1);
    assert!(answers[..BANS_MAX].iter().all(|answer| answer == "ok"));
    assert!(answers[BANS_MAX].starts_with("error too many bans: 4096"), "{:?}", answers[BANS_MAX]);
}
