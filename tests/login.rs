//! Logging in: guests, registered users, and refused logins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use cfp::wire::{AuthResponse, Packet};
use support::client::encoded;
use support::server::BINARY;
use support::users::UsersFile;
use support::{Client, Server};

fn answer_to_guest(client: &mut Client, nickname: &str) -> AuthResponse {
    client.send(&Packet::AuthGst { nickname });
    answer(client)
}

fn answer_to_user(client: &mut Client, nickname: &str, password: &str) -> AuthResponse {
    client.send(&Packet::AuthUsr { nickname, password });
    answer(client)
}

fn answer(client: &mut Client) -> AuthResponse {
    match Packet::decode(&client.receive()) {
        Ok(Packet::AuthRsp { response }) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registered_user_gets_in_with_the_right_password_only() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut maria = server.connect();
    assert_eq!(answer_to_user(&mut maria, "maria", "open sesam"), AuthResponse::WrongPassword);
    assert_eq!(answer_to_user(&mut maria, "maria", ""), AuthResponse::WrongPassword);
    assert_eq!(answer_to_user(&mut maria, "mario", "open sesame"), AuthResponse::WrongPassword);
    assert_eq!(answer_to_user(&mut maria, "maria", "open sesame"), AuthResponse::Accepted);
    maria.say("here");
    maria.expect_public("maria", "here");
}

#[test]
fn a_registered_nickname_is_not_for_guests_whether_or_not_its_user_is_there() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut guest = server.connect();
    assert_eq!(answer_to_guest(&mut guest, "maria"), AuthResponse::Registered);
    let mut maria = server.connect();
    assert_eq!(answer_to_user(&mut maria, "maria", "open sesame"), AuthResponse::Accepted);
    assert_eq!(answer_to_guest(&mut guest, "maria"), AuthResponse::Registered);
    assert_eq!(answer_to_guest(&mut guest, "ana"), AuthResponse::Accepted);
}

#[test]
fn that_a_nickname_is_in_use_is_told_to_guests_and_to_who_knows_its_password() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let (mut maria, mut ana, mut other) = (server.connect(), server.guest("ana"), server.connect());
    assert_eq!(answer_to_user(&mut maria, "maria", "open sesame"), AuthResponse::Accepted);
    assert_eq!(answer_to_guest(&mut other, "ana"), AuthResponse::InUse);
    assert_eq!(answer_to_user(&mut other, "maria", "wrong"), AuthResponse::WrongPassword);
    assert_eq!(answer_to_user(&mut other, "maria", "open sesame"), AuthResponse::InUse);
    ana.shut_sending_side();
    ana.expect_end();
    assert_eq!(answer_to_guest(&mut other, "ana"), AuthResponse::Accepted);
}

#[test]
fn without_a_users_file_nobody_is_registered() {
    let server = Server::start(&[]);
    let mut ana = server.connect();
    assert_eq!(answer_to_user(&mut ana, "ana", "secret"), AuthResponse::WrongPassword);
    assert_eq!(answer_to_guest(&mut ana, "ana"), AuthResponse::Accepted);
}

#[test]
fn where_guests_are_not_wanted_only_registered_users_get_in() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path(), "--no-guests"]);
    let mut client = server.connect();
    assert_eq!(answer_to_guest(&mut client, "ana"), AuthResponse::WrongPassword);
    assert_eq!(answer_to_guest(&mut client, "maria"), AuthResponse::Registered);
    assert_eq!(answer_to_user(&mut client, "maria", "open sesame"), AuthResponse::Accepted);
}

#[test]
fn a_password_over_its_limit_is_a_wrong_one_and_one_at_its_limit_is_looked_at() {
    let long = "é".repeat(512);
    let users = UsersFile::new(&[("maria", &long)]);
    let server = Server::start(&["--users", users.path()]);
    let mut maria = server.connect();
    for too_long in [format!("{long}x"), "x".repeat(2 * 1024 * 1024)] {
        assert_eq!(answer_to_user(&mut maria, "maria", &too_long), AuthResponse::WrongPassword);
    }
    assert_eq!(answer_to_user(&mut maria, "maria", &long), AuthResponse::Accepted);
}

#[test]
fn the_fifth_failed_login_is_answered_and_ends_the_connection() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let _bob = server.guest("bob");
    let mut client = server.connect();
    assert_eq!(answer_to_guest(&mut client, "maria"), AuthResponse::Registered);
    assert_eq!(answer_to_guest(&mut client, "bob"), AuthResponse::InUse);
    assert_eq!(answer_to_user(&mut client, "maria", "x"), AuthResponse::WrongPassword);
    // Ignored packets are no tries.
    for nickname in ["", " ", "a\nb"] {
        client.send(&Packet::AuthGst { nickname });
    }
    client.say("nobody hears this");
    assert_eq!(answer_to_user(&mut client, "maria", &"x".repeat(1025)), AuthResponse::WrongPassword);
    client.send(&Packet::AuthUsr { nickname: "zoe", password: "x" });
    client.send(&Packet::AuthGst { nickname: "zoe" });
    assert_eq!(answer(&mut client), AuthResponse::WrongPassword);
    client.expect_end();
}

#[test]
fn a_login_with_an_impossible_nickname_is_passed_over() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let too_long = "x".repeat(65);
    for nickname in ["", " ana", "ana ", "\u{2003}", "a\0", "a\u{85}b", &too_long] {
        client.send(&Packet::AuthGst { nickname });
        client.send(&Packet::AuthUsr { nickname, password: "secret" });
    }
    client.send_bytes(b"\0\0\0\0\x02\xff\xfe");
    assert_eq!(answer_to_guest(&mut client, "ana"), AuthResponse::Accepted);
}

#[test]
fn a_second_login_on_a_connection_is_passed_over() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut ana = server.guest("ana");
    ana.send(&Packet::AuthGst { nickname: "bob" });
    ana.send(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn what_follows_a_login_in_the_same_write_waits_for_the_password() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut maria = server.connect();
    let session = [
        encoded(&Packet::AuthUsr { nickname: "maria", password: "wrong" }),
        // Not logged in here: ignored.
        encoded(&Packet::MsgPbl { message: "too early" }),
        encoded(&Packet::AuthUsr { nickname: "maria", password: "open sesame" }),
        encoded(&Packet::MsgPbl { message: "first" }),
        encoded(&Packet::MsgPbl { message: "second" }),
    ];
    maria.send_bytes(&session.concat());
    maria.shut_sending_side();
    maria.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword });
    maria.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    maria.expect_public("maria", "first");
    maria.expect_public("maria", "second");
    maria.expect_end();
}

#[test]
fn two_logins_of_one_user_at_once_let_one_in() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    }
    let answers: Vec<_> = clients.iter_mut().map(answer).collect();
    assert_eq!(answers.iter().filter(|&&answer| answer == AuthResponse::Accepted).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|&&answer| answer == AuthResponse::InUse).count(), 19, "{answers:?}");
}

#[test]
fn a_login_that_takes_long_holds_up_nobody_else() {
    // As many iterations as a users file may ask for: seconds of processor time.
    let salt = support::users::base64(b"0123456789abcdef");
    let users = UsersFile::of_text(&format!("maria:$pbkdf2-sha256$i=10000000,l=32${salt}${}", "A".repeat(43)));
    let server = Server::start(&["--users", users.path()]);
    let (mut ana, mut maria) = (server.guest("ana"), server.connect());
    maria.send(&Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    for i in 0..20 {
        ana.say(&format!("{i}"));
        ana.expect_public("ana", &format!("{i}"));
    }
    let _bob = server.guest("bob");
    assert!(maria.is_silent_for(std::time::Duration::from_millis(1)), "the check is still under way");
    // Gone in the middle of it, without a trace.
    maria.reset();
    ana.say("and on");
    ana.expect_public("ana", "and on");
}

#[test]
fn who_does_not_log_in_in_time_is_closed() {
    let server = Server::start(&["--handshake-timeout", "1"]);
    let (mut silent, mut wrong) = (server.connect(), server.connect());
    wrong.say("hi");
    let mut ana = server.guest("ana");
    silent.expect_end();
    wrong.expect_end();
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn what_hash_password_prints_is_read_by_another_implementation_and_logs_in() {
    let mut child = Command::new(BINARY)
        .args(["--hash-password", "ana maria: née"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all("pass: wörd \n".as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();

    let hash = line.strip_prefix("ana maria: née:").unwrap().trim_end();
    let fields: Vec<&str> = hash.split('$').collect();
    assert_eq!(fields[..3], ["", "pbkdf2-sha256", "i=600000,l=32"]);
    let salt = phc::Salt::from_b64(fields[3]).unwrap();
    let computed = pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>("pass: wörd ".as_bytes(), &salt, 600_000);
    assert_eq!(support::users::base64(&computed), fields[4]);

    let users = UsersFile::of_text(&line);
    let server = Server::start(&["--users", users.path()]);
    let mut client = server.connect();
    assert_eq!(answer_to_user(&mut client, "ana maria: née", "pass: wörd "), AuthResponse::Accepted);
}
