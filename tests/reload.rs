//! Reading the users file again while people talk: in slices, all of it or nothing, and what the file is in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use cfp::wire::{AuthResponse, Packet};
use node::{Node, fresh_path, wait_until};
use support::PATIENCE;
use support::users::{UsersFile, line};

/// Enough to keep the server at it for a while.
const MANY: usize = 60_000;

fn many(password: &str) -> String {
    let line = line("NAME", password);
    let mut text = String::new();
    for i in 0..MANY {
        write!(text, "{}", line.replace("NAME", &format!("user{i}"))).unwrap();
    }
    text
}

/// An operator that has asked for a reload and not read the answer.
fn ask_for_reload(node: &Node) -> UnixStream {
    let mut operator = UnixStream::connect(node.control()).unwrap();
    operator.set_read_timeout(Some(PATIENCE)).unwrap();
    operator.write_all(b"reload\n").unwrap();
    operator
}

fn answer(operator: &mut UnixStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !(text.ends_with("ok\n") || text.starts_with("error") && text.ends_with('\n')) {
        operator.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

fn has_answer(operator: &UnixStream) -> bool {
    operator.set_nonblocking(true).unwrap();
    let has_some = rustix::net::recv(operator, &mut [0; 1], rustix::net::RecvFlags::PEEK).is_ok();
    operator.set_nonblocking(false).unwrap();
    has_some
}

/// Puts a new file in the place of the old one.
fn replace(users: &UsersFile, text: &str) {
    let new = fresh_path("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, users.path()).unwrap();
}

#[test]
fn people_talk_while_a_large_file_is_read() {
    let users = UsersFile::of_text(&many("x"));
    let node = Node::start(7, &["--users", users.path()]);
    let mut ana = node.guest("ana");
    users.write_text(&(many("y") + &line("zoe", "x")));
    let mut operator = ask_for_reload(&node);
    let mut said = 0;
    while !has_answer(&operator) {
        ana.say("meanwhile");
        ana.expect_public("ana", "meanwhile");
        said += 1;
    }
    assert_eq!(answer(&mut operator), format!("1 added, 0 removed, {MANY} changed\nok\n"));
    assert!(said >= 20, "{said}");
}

#[test]
fn a_file_that_is_bad_at_its_end_changes_nothing() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let _user0 = node.guest("user0");
    users.write_text(&(many("x") + "no colon\n"));
    let answer = answer(&mut ask_for_reload(&node));
    assert!(answer.contains(&format!("line {}: has no ':'", MANY + 1)), "{answer}");
    assert_eq!((node.status("registered_users"), node.status("clients")), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_read_as_it_is_in_the_end() {
    let large = many("x");
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    for _ in 0..3 {
        replace(&users, &large);
        let mut operator = ask_for_reload(&node);
        replace(&users, &(line("maria", "open sesame") + &line("zoe", "x")));
        answer(&mut operator);
        assert_eq!(node.status("registered_users"), "2");
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_whole_or_refused() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    replace(&users, &many("x"));
    let mut operator = ask_for_reload(&node);
    let mut file = std::fs::OpenOptions::new().append(true).open(users.path()).unwrap();
    let mut more = 0;
    while !has_answer(&operator) && more < 200 {
        file.write_all(line(&format!("more{more}"), "x").as_bytes()).unwrap();
        more += 1;
    }
    let answer = answer(&mut operator);
    let is_refused = answer.contains("changes again and again while it is read");
    assert!(is_refused || answer.starts_with(&format!("{} added, 1 removed", MANY + more)), "{more}: {answer}");
}

#[test]
fn who_asks_while_a_reload_is_under_way_gets_what_the_file_is_then() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    replace(&users, &many("x"));
    let mut first = ask_for_reload(&node);
    let mut together = ask_for_reload(&node);
    node.server.signal(rustix::process::Signal::HUP);
    wait_until(|| has_answer(&first), || "no answer".to_owned());
    replace(&users, &line("zoe", "x"));
    let mut second = ask_for_reload(&node);
    assert!(answer(&mut second).ends_with("ok\n"));
    assert!(answer(&mut first).ends_with("ok\n") && answer(&mut together).ends_with("ok\n"));
    assert_eq!(node.status("registered_users"), "1");
}

#[test]
fn clients_whose_login_no_longer_stands_are_closed_before_the_answer_comes() {
    let users = UsersFile::new(&[("maria", "open sesame"), ("zoe", "x")]);
    let node = Node::start(7, &["--users", users.path()]);
    let guests: Vec<_> = (0..600).map(|i| node.guest(&format!("guest{i}"))).collect();
    let mut zoe = node.server.connect();
    zoe.send(&Packet::AuthUsr { nickname: "zoe", password: "x" });
    zoe.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    users.write(&[("maria", "open sesame"), ("guest0", "x"), ("guest599", "x")]);
    assert_eq!(node.ask("reload"), ["2 added, 1 removed, 0 changed", "ok"]);
    assert_eq!(node.status("clients"), "598");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"users_changed\"}"), 3);
    drop(guests);
}

#[test]
fn a_password_that_is_looked_at_while_its_user_is_removed_lets_nobody_in() {
    let salt = support::users::base64(b"0123456789abcdef");
    let slow = format!("maria:$pbkdf2-sha256$i=300000,l=32${salt}${}\n", "A".repeat(43));
    let users = UsersFile::of_text(&(slow + &line("zoe", "x")));
    let node = Node::start(7, &["--users", users.path()]);
    let mut maria = node.server.connect();
    maria.send(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    wait_until(|| node.status("password_checks") == "1", || "the check does not begin".to_owned());
    users.write_text(&line("zoe", "x"));
    assert_eq!(node.ask("reload"), ["0 added, 1 removed, 0 changed", "ok"]);
    maria.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword });
}
