//! The client on a terminal: keys typed, screen read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "support/users.rs"]
mod users;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use cfp::wire::{AuthResponse, Packet};
use support::{Bare, Scratch, Server};
use terminal::{Terminal, client, lines, start};
use users::UsersFile;

/// The text of a row behind its time.
fn untimed(row: &str) -> &str {
    assert_eq!(row.as_bytes().get(2), Some(&b':'), "no time in {row:?}");
    &row[6..]
}

#[test]
fn the_prompt_and_what_is_typed_stay_in_place_while_messages_come_in_above() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_keys("hel");
    ana.expect_last("> hel");
    for number in 0..50 {
        ben.say(&format!("message {number}"));
    }
    ana.expect("message 49");
    let rows = ana.expect_last("> hel");
    assert_eq!(ana.cursor_column(), 5);
    let messages: Vec<&str> = rows[..rows.len() - 1].iter().map(|row| untimed(row)).collect();
    let first = 50 - messages.len();
    for (number, message) in (first..).zip(messages) {
        assert_eq!(message, format!("[7] ben: message {number}"));
    }
    ana.type_keys("lo\r");
    ana.expect("[7] ana: hello");
    let rows = ana.expect_last(">");
    assert_eq!(rows.iter().filter(|row| row.contains("hello")).count(), 1, "{rows:#?}");
    ben.receive(|packet| matches!(packet, cfp::wire::Packet::MsgPblInc { message: "hello", .. }).then_some(()));
    ana.type_keys("/quit\r");
    assert_eq!(ana.wait(), Some(0));
}

#[test]
fn a_long_line_being_typed_survives_too() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    let text = "0123456789".repeat(20);
    ana.type_keys(&text);
    ana.expect(&text[190..]);
    ben.say("between");
    ana.wait_until("the message and below it the whole line", |rows| {
        let at = rows.iter().position(|row| row.contains("[7] ben: between"));
        at.is_some_and(|at| rows[at + 1..].concat() == format!("> {text}"))
    });
    ana.type_keys("\r");
    ana.wait_until("the message and a clear prompt", |rows| {
        let said = lines(rows).iter().any(|line| line.replace(' ', "").contains(&format!("[7]ana:{text}")));
        rows.last().is_some_and(|last| last == ">") && said
    });
}

#[test]
fn the_line_is_edited_and_history_and_completion_help() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "two words");
    ben.say("hi");
    ana.expect("[7] two words: hi");
    ana.type_keys("/m\t\"t\t");
    ana.expect_last("> /msg \"two words\"@7");
    // Home, delete, and a slash again.
    ana.type_keys("psst\x01\x04/\x05!\r");
    ana.expect("you -> \"two words\"@7: psst!");
    ana.type_keys("\x1b[A");
    ana.expect_last("> /msg \"two words\"@7 psst!");
    ana.type_keys("\x15/help\r");
    ana.expect("/file NICKNAME@ID PATH");
    ana.type_keys("\x15\x04");
    assert_eq!(ana.wait(), Some(0));
}

#[test]
fn told_to_end_while_editing_it_leaves_the_terminal_as_it_was() {
    let server = Server::start(7, &[]);
    for (signal, code) in [(None, 130), (Some("-INT"), 130), (Some("-TERM"), 143), (Some("-HUP"), 129)] {
        let mut ana = Terminal::start(client(&server.address, "ana", &[]));
        ana.expect_last(">");
        ana.type_keys("some text");
        ana.expect_last("> some text");
        assert!(!ana.has_echo(), "the line editor echoes what is typed");
        match signal {
            None => ana.type_keys("\x03"),
            Some(signal) => kill(signal, ana.process.0.id()),
        }
        ana.wait_until("the end of bracketed paste", |_| {
            let bytes = ana.bytes();
            let last = |sequence: &[u8]| bytes.windows(sequence.len()).rposition(|window| window == sequence);
            last(b"\x1b[?2004l") > last(b"\x1b[?2004h")
        });
        assert!(ana.has_echo(), "{signal:?}");
        assert_eq!(ana.wait(), Some(code), "{signal:?}");
    }
}

#[test]
fn told_to_end_while_it_asks_it_leaves_the_terminal_as_it_was() {
    let users = UsersFile::new(&[("carl", "secret")]);
    let server = Server::start(7, &["--users", users.path()]);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let carl = Terminal::start(client(&server.address, "carl", &["--ask-password"]));
        carl.expect_last("password:");
        assert!(!carl.has_echo());
        kill(signal, carl.process.0.id());
        carl.wait_until("echo", |_| carl.has_echo());
        assert_eq!(carl.wait(), Some(code), "{signal:?}");
    }
}

#[test]
fn told_to_end_it_does_not_wait_for_a_terminal_that_takes_nothing() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    ana.type_keys("some text");
    ana.expect_last("> some text");
    ana.hold();
    let mut ben = Bare::log_in(&server.address, "ben");
    for _ in 0..400 {
        ben.say(&"x".repeat(1000));
    }
    kill("-TERM", ana.process.0.id());
    assert_eq!(ana.wait(), Some(143));
}

#[test]
fn told_to_end_in_the_background_it_ends_and_leaves_the_terminal_to_who_has_it() {
    let server = Server::start(7, &[]);
    // A shell with a terminal of its own. The client is stopped when it wants the terminal, and again when it goes on,
    // so it is continued until its end.
    let script = "set -m; \"$0\" \"$1\" ana & pid=$!
        until grep -q 'State:.T' /proc/$pid/status; do sleep 0.05; done
        kill -TERM $pid
        while kill -CONT $pid 2>/dev/null; do sleep 0.05; done
        wait $pid; echo \"status $?\"";
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", script, env!("CARGO_BIN_EXE_cfp-client"), &server.address]);
    let shell = Terminal::start(command);
    shell.expect("status 143");
    assert!(shell.has_echo());
    assert_eq!(shell.wait(), Some(0));
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn colors_are_there_unless_they_are_not_wanted() {
    let server = Server::start(7, &[]);
    for (no_color, is_colored) in [("", true), ("1", false)] {
        let mut command = client(&server.address, "ana", &[]);
        command.env("NO_COLOR", no_color);
        let mut ana = Terminal::start(command);
        ana.type_keys("hi\r/nope\r");
        ana.expect("[7] ana: hi");
        ana.expect("there is no command /nope");
        ana.type_keys("/quit\r");
        let bytes = loop {
            let bytes = ana.bytes();
            if ana.process.0.try_wait().unwrap().is_some() {
                break bytes;
            }
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_painted = text
            .split("\x1b[")
            .skip(1)
            .any(|rest| rest.trim_start_matches(|char: char| char.is_ascii_digit() || char == ';').starts_with('m'));
        assert_eq!(is_painted, is_colored, "{text:?}");
    }
}

#[test]
fn hostile_text_neither_moves_the_cursor_nor_clears_the_screen_nor_fakes_a_line() {
    let server = Server::start(7, &[]);
    let ana = start(&server.address, "ana", &[]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    mallory.say("one");
    mallory.say("\x1b[2J\x1b[H\r\n12:00 [7] ben: fake\u{9b}2J\x07\x08\x08");
    mallory.say("\x1b]0;title\x07\u{202e}last");
    ana.expect("last");
    let rows = ana.expect_last(">");
    assert!(rows.iter().any(|row| row.ends_with("[7] mallory: one")), "{rows:#?}");
    let at = rows.iter().position(|row| row.ends_with("[7] mallory: \\u{1b}[2J\\u{1b}[H")).unwrap();
    let indented =
        format!("{}│ 12:00 [7] ben: fake\\u{{9b}}2J\\u{{7}}\\u{{8}}\\u{{8}}", " ".repeat("12:00 [7] mallory".len()));
    assert_eq!(rows[at + 1], indented, "{rows:#?}");
}

#[test]
fn the_status_line_shows_a_file_while_it_goes_and_is_gone_afterwards() {
    let server = Server::start(7, &[]);
    let from = Scratch::new();
    let path = from.file("large.bin", 30 * 1024 * 1024);
    let mut ana = start(&server.address, "ana", &[]);
    // It reads nothing for now, so the file stops on its way (and with it what else ana sends).
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_keys(&format!("/file ben@7 {path}\r"));
    ana.expect("↑ large.bin ");
    let mut carl = Bare::log_in(&server.address, "carl");
    carl.say("meanwhile");
    ana.expect("[7] carl: meanwhile");
    ana.type_keys("typed");
    let rows = ana.expect_last("> typed");
    let status = &rows[rows.len() - 2];
    assert!(status.starts_with("↑ large.bin ") && status.contains('%') && status.contains("/s"), "{rows:#?}");
    let mut chunks = 0;
    ben.receive(|packet| {
        chunks += u32::from(matches!(packet, cfp::wire::Packet::FileChnkInc { .. }));
        (chunks == 30 * 1024).then_some(())
    });
    ana.expect("sent \"large.bin\" to ben@7: 31457280 bytes");
    let rows = ana.wait_until("no status line", |rows| !rows.iter().any(|row| row.contains('↑')));
    assert_eq!(rows.last().unwrap(), "> typed");
}

#[test]
fn a_lost_connection_is_said_and_comes_back_by_itself() {
    let server = Server::start(7, &[]);
    let address = server.address.clone();
    let mut ana = start(&address, "ana", &[]);
    server.kill();
    ana.expect("lost the connection to");
    ana.expect("not connected; next try in");
    ana.type_keys("too early\r");
    ana.expect("not sent: not connected");
    let _server = Server::start_at(&address, 7, &[]);
    ana.wait_until("connected again", |rows| rows.iter().filter(|row| row.contains("* connected to")).count() == 2);
    ana.type_keys("back again\r");
    ana.expect("[7] ana: back again");
    ana.wait_until("no status line", |rows| !rows.iter().any(|row| row.contains("next try")));
    ana.type_keys("/quit\r");
    assert_eq!(ana.wait(), Some(0));
}

#[test]
fn while_a_login_is_not_answered_it_is_shown_what_is_being_done() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = |client: &mut TcpStream| {
        let mut bytes = Vec::new();
        Packet::AuthRsp { response: AuthResponse::Accepted }.encode(&mut bytes);
        client.write_all(&bytes).unwrap();
    };
    let mut ana = Terminal::start(client(&address, "ana", &[]));
    ana.expect(&format!("* connecting to {address} as ana …"));
    let mut first = listener.accept().unwrap().0;
    answer(&mut first);
    ana.expect_last(">");
    // Another nickname.
    ana.type_keys("/nick eva\r");
    ana.expect_last(">");
    let is_status = |rows: &[String], status: &str| rows.iter().any(|row| row.starts_with(status));
    ana.wait_until("the new login", |rows| is_status(rows, &format!("connecting to {address} as eva …")));
    drop(listener.accept().unwrap());
    ana.expect("you are still ana");
    ana.wait_until("no status", |rows| !is_status(rows, "connecting"));
    // A connection that was lost.
    drop(first);
    let second = listener.accept().unwrap().0;
    ana.wait_until("the next try", |rows| is_status(rows, &format!("connecting to {address} as ana … (")));
    answer(&mut { second });
    ana.wait_until("no status", |rows| !is_status(rows, "connecting"));
    ana.type_keys("\x03");
    ana.wait();
}

#[test]
fn a_nickname_in_use_and_a_wrong_password_can_be_mended() {
    let users = UsersFile::new(&[("carl", "secret")]);
    let server = Server::start(7, &["--users", users.path()]);
    let _ben = Bare::log_in(&server.address, "ben");
    let mut ana = Terminal::start(client(&server.address, "ben", &[]));
    ana.expect("the nickname ben is in use right now");
    ana.expect_last("another nickname:");
    ana.type_keys("carl\r");
    ana.expect("the nickname carl belongs to a registered");
    ana.expect_last("its password (empty for another nickname):");
    ana.type_keys("guess\r");
    ana.expect("wrong combination of nickname carl");
    ana.expect_last("its password (empty for another nickname):");
    ana.type_keys("secret\r");
    ana.expect("* connected to");
    ana.type_keys("/quit\r");
    let bytes = ana.bytes();
    assert_eq!(ana.wait(), Some(0));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains("secret") && !text.contains("guess"), "a password was shown: {text:?}");
}

#[test]
fn a_password_is_asked_for_where_that_is_wanted() {
    let users = UsersFile::new(&[("carl", "secret")]);
    let server = Server::start(7, &["--users", users.path()]);
    let mut carl = Terminal::start(client(&server.address, "carl", &["--ask-password"]));
    carl.expect_last("password:");
    carl.type_keys("secret\r");
    carl.expect("* connected to");
    carl.type_keys("/quit\r");
    assert_eq!(carl.wait(), Some(0));
}
