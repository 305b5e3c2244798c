//! The client as a filter: lines in, lines out, and an exit status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/users.rs"]
mod users;

use std::fs;
use std::process::Command;

use support::{Bare, Client, Scratch, Server};
use users::UsersFile;

fn client(arguments: &[&str]) -> (i32, Vec<String>, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args(arguments);
    Client::spawn(command).finish()
}

#[test]
fn what_is_typed_is_sent_and_what_comes_is_printed_as_plain_lines() {
    let server = Server::start(7, &[]);
    let mut ana = Client::start(&server.address, "ana", &[]);
    let mut ben = Client::start(&server.address, "two words", &[]);
    ana.type_line("hi");
    assert_eq!(ana.expect("hi"), "[7] ana: hi");
    assert_eq!(ben.expect("hi"), "[7] ana: hi");
    ana.type_line("/msg \"two words\"@7 psst");
    assert_eq!(ben.expect("psst"), "[7] ana -> you: psst");
    ben.type_line("//quit");
    assert_eq!(ana.expect("quit"), "[7] two words: /quit");
    ana.type_line("/quit");
    let (code, rest, _) = ana.wait();
    assert_eq!((code, rest), (0, vec![]));
    assert_eq!(ben.finish().0, 0);
}

#[test]
fn everything_typed_before_the_end_of_input_is_sent_and_what_it_brings_is_printed() {
    let server = Server::start(7, &[]);
    let lines: Vec<String> = (0..5000).map(|number| format!("line {number}")).collect();
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_bytes((lines.join("\n") + "\n\n/msg nobody@7 x").as_bytes());
    let (code, out, _) = ana.finish();
    assert_eq!(code, 0);
    let expected: Vec<String> = lines.iter().map(|line| format!("[7] ana: {line}")).collect();
    let (messages, errors): (Vec<String>, Vec<String>) = out.into_iter().partition(|line| line.starts_with('['));
    assert_eq!(messages, expected);
    assert_eq!(errors, ["* not delivered: message to nobody@7 \"x\": nobody of that name is connected there"]);
}

#[test]
fn a_line_that_can_t_be_carried_out_is_said_never_sent_and_tells_in_the_exit_status() {
    let server = Server::start(7, &[]);
    let ben = Client::start(&server.address, "ben", &[]);
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_line("/nope x");
    ana.expect("* there is no command /nope");
    ana.type_line("/msg ben hi");
    ana.expect("* it goes like this: /msg NICKNAME@ID some text");
    ana.type_bytes(b"\xff\xfe\n");
    ana.expect("* not sent: the line is not UTF-8");
    ana.type_line(&"x".repeat(65_537));
    ana.expect("* not sent: 65537 bytes");
    ana.type_line("/file ben@7 /nonexistent/file");
    ana.expect("* not sent: \"file\": No such file");
    ana.type_line("fine");
    ben.expect("[7] ana: fine");
    assert_eq!(ana.finish().0, 1);
    assert_eq!(ben.finish().1, [""; 0]);
}

#[test]
fn each_answer_to_a_login_is_said_in_words_and_ends_with_1() {
    let scratch = Scratch::new();
    let users = UsersFile::new(&[("carl", "secret")]);
    let server = Server::start(7, &["--users", users.path()]);
    let file = |name: &str, text: &str| {
        fs::write(scratch.path().join(name), text).unwrap();
        scratch.path().join(name).to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "secret\n"), file("wrong", "guess"));
    let mut carl = Client::start(&server.address, "carl", &["--password-file", &right]);
    let refused = [
        (vec!["carl"], "belongs to a registered user"),
        (vec!["carl", "--password-file", &wrong], "wrong combination"),
        (vec!["carl", "--password-file", &right], "is in use right now"),
    ];
    for (arguments, reason) in refused {
        let (code, out, err) = client(&[&[server.address.as_str()], &arguments[..]].concat());
        assert_eq!((code, out.len(), err.len()), (1, 0, 1), "{err:?}");
        assert!(err[0].starts_with("cfp-client: ") && err[0].contains(reason), "{err:?}");
    }
    carl.type_line("still here");
    carl.expect("[7] carl: still here");
}

#[test]
fn a_server_that_is_not_there_is_said_and_ends_with_1_and_bad_usage_with_2() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, _, err) = client(&[&address, "ana"]);
    assert_eq!((code, err.len()), (1, 1));
    assert!(err[0].contains("cannot connect to"), "{err:?}");
    for arguments in [
        &["x"][..],
        &["localhost:1", " x"],
        &["localhost:1", "x", "--nope"],
        &["localhost:1", "x", "--download", "/nonexistent"],
        &["localhost:1", "x", "--password-file", "/nonexistent"],
        &["localhost:1", "x", "--ask-password"],
    ] {
        let (code, out, err) = client(arguments);
        assert_eq!((code, out.len(), err.len()), (2, 0, 2), "{arguments:?} {err:?}");
        assert!(err[1].contains("--help"));
    }
    let (code, out, _) = client(&["--help"]);
    assert!(code == 0 && out.iter().any(|line| line.contains("/file NICKNAME@ID PATH")), "{out:?}");
}

#[test]
fn a_lost_connection_is_said_at_once_and_ends_with_1() {
    let server = Server::start(7, &[]);
    let ana = Client::start(&server.address, "ana", &[]);
    server.kill();
    let (code, _, err) = ana.wait();
    assert_eq!(code, 1);
    assert!(err[0].contains("lost the connection"), "{err:?}");
}

#[test]
fn what_others_send_can_break_no_line_and_fake_none() {
    let server = Server::start(7, &[]);
    let ana = Client::start(&server.address, "ana", &[]);
    let mut mallory = Bare::log_in(&server.address, "ben: give me your password");
    mallory.say("hi\n[7] carl: fake\r\x1b[2J\x1b]0;title\x07\u{202e}\u{9b}31m");
    assert_eq!(
        ana.expect("hi"),
        "[7] \"ben: give me your password\": hi\\n[7] carl: fake\\r\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{202e}\\u{9b}31m"
    );
    let mut mallory = Bare::log_in(&server.address, "carl -> you");
    mallory.say("psst");
    assert_eq!(ana.expect("psst"), "[7] \"carl -> you\": psst");
    mallory.tell(7, "ana", "[file] \u{1b}[2J, 5 bytes, sha256 xx, transfer 1");
    ana.expect("[7] \"carl -> you\" -> you: [file] \\u{1b}[2J, 5 bytes");
}
