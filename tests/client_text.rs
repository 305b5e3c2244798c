//! What is typed, pasted and shown on a terminal: rows, widths, sizes, times, and what is kept for the next run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use cfp::core::state::random::Random;
use cfp::wire::Packet;
use support::{Bare, Client, Scratch, Server};
use terminal::{Terminal, client, end, start};

#[test]
fn a_pasted_block_is_asked_about_and_arrives_as_rows_that_no_one_can_take_for_lines() {
    let server = Server::start(7, &[]);
    let (mut ana, ben) = (start(&server.address, "ana", &[]), start(&server.address, "ben", &[]));
    let plain = Client::start(&server.address, "carl", &[]);
    ana.type_keys("\x1b[200~first\r\n12:00 [7] ben: fake\n\tthird\x1b[2J\n\x1b[201~");
    ana.expect("12:00 [7] ben: fake");
    ana.type_keys("\r");
    ana.expect("send 3 lines as one message? y sends them, n goes back");
    ana.type_keys("n");
    ana.wait_until("no question", |rows| !rows.iter().any(|row| row.contains("send 3 lines")));
    ana.type_keys("\r");
    ana.expect("send 3 lines");
    ana.type_keys("y");
    let rows = ben.expect("third[2J");
    let at = rows.iter().position(|row| row.ends_with("[7] ana: first")).unwrap();
    assert_eq!(rows[at + 1], "             │ 12:00 [7] ben: fake", "{rows:#?}");
    assert_eq!(rows[at + 2], "             │         third[2J", "{rows:#?}");
    assert_eq!(plain.expect("first"), "[7] ana: first\\n12:00 [7] ben: fake\\n\\tthird[2J");
    end(ana);
    end(ben);
}

#[test]
fn one_pasted_line_is_sent_without_a_question_and_its_last_line_break_sends_nothing() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    ana.type_keys("\x1b[200~one line\n\x1b[201~");
    ana.expect_last("> one line");
    ana.type_keys("\r");
    ana.expect("[7] ana: one line");
    end(ana);
}

#[test]
fn the_question_is_there_on_the_smallest_screen_too() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    for size in [(3, 70), (2, 70), (1, 70), (24, 20)] {
        ana.resize(size);
        ana.type_keys("\x1b[200~first\nsecond\x1b[201~\r");
        ana.wait_until("the question", |rows| {
            let shown: String = rows.iter().map(|row| format!("{row} ")).collect();
            shown.contains("send 2 lines as one message? y sends them, n goes back")
        });
        ana.type_keys("n");
        ana.wait_until("no question", |rows| !rows.iter().any(|row| row.contains("send 2")));
        ana.type_keys("\x15\x7f\x15");
    }
    ana.resize((24, 80));
    end(ana);
}

#[test]
fn words_are_wrapped_not_cut() {
    let server = Server::start(7, &[]);
    let ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    let words: Vec<String> = (0..40).map(|number| format!("word{number}")).collect();
    ben.say(&words.join(" "));
    let rows = ana.expect("word39");
    for word in &words {
        let is_whole = |row: &String| row.split(' ').any(|part| part == word);
        assert_eq!(rows.iter().filter(|row| is_whole(row)).count(), 1, "{word}: {rows:#?}");
    }
    let further = rows.iter().filter(|row| row.starts_with("             │ word")).count();
    assert!(further > 3, "{rows:#?}");
    end(ana);
}

#[test]
fn wide_joined_and_combining_characters_stay_in_their_rows_and_the_cursor_behind_them() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    let text = "日本語の長いテキスト 👩\u{200d}💻 e\u{301}te\u{301} ❤\u{fe0f} 한국어 ".repeat(8);
    ben.say(&text);
    ana.expect("語の長");
    ben.say("next");
    let rows = ana.expect("[7] ben: next");
    // Nothing was wrapped by the terminal itself: each row begins with a time or is marked.
    for row in &rows[..rows.len() - 1] {
        assert!(row.as_bytes().get(2) == Some(&b':') || row.starts_with("             │ "), "{row:?} {rows:#?}");
    }
    let shown: String = terminal::lines(&rows).concat().replace(' ', "");
    assert!(shown.contains(&text.replace(' ', "")), "{rows:#?}");
    ana.type_keys("日本e\u{301}x");
    ana.expect_last("> 日本e\u{301}x");
    assert_eq!(ana.cursor_column(), 2 + 4 + 1 + 1);
    // Over the x, the joined character, and one wide one.
    ana.type_keys("\x1b[D\x1b[D\x1b[D");
    ana.wait_until("the cursor before the second wide character", |_| ana.cursor_column() == 4);
    ana.type_keys("\x7f");
    ana.expect_last("> 本e\u{301}x");
    end(ana);
}

/// Random sizes, messages and typed text: whatever comes when, every message is there once.
#[test]
fn nothing_is_lost_and_nothing_is_there_twice_when_the_screen_changes_its_size() {
    for seed in 1..=4 {
        let mut numbers = Random::new(seed);
        let server = Server::start(7, &[]);
        let mut ana = start(&server.address, "ana", &[]);
        let mut ben = Bare::log_in(&server.address, "b");
        let mut sent = 0;
        for _ in 0..60 {
            match numbers.below(4) {
                0 => ana.resize((24, 20 + numbers.below(100) as u16)),
                1 => ana.type_keys(&"typed ".repeat(numbers.below(80) as usize)),
                2 => ana.type_keys("\x15"),
                _ => {
                    for _ in 0..numbers.below(8) {
                        ben.say(&format!("m{sent:04} {}", "some words ".repeat(numbers.below(12) as usize)));
                        sent += 1;
                    }
                }
            }
            thread::sleep(Duration::from_millis(numbers.below(15)));
        }
        ana.type_keys("\x15");
        ben.say("the last one");
        ana.wait_until("the last message", |_| ana.everything().iter().any(|row| row.contains("the last")));
        let all = ana.everything();
        for number in 0..sent {
            let id = format!("m{number:04}");
            let found = all.iter().filter(|row| row.contains(&id)).count();
            assert_eq!(found, 1, "seed {seed}, {id}: {all:#?}");
        }
        end(ana);
    }
}

#[test]
fn a_prompt_higher_than_the_screen_loses_no_message() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "b");
    ben.say("m0000");
    ana.expect("m0000");
    ana.type_keys(&"0123456789".repeat(300));
    ana.wait_until("a screen of typed text", |rows| rows.len() == 24 && rows[22].len() == 79);
    for number in 1..10 {
        ben.say(&format!("m{number:04}"));
    }
    ana.wait_until("the last message", |_| ana.everything().iter().any(|row| row.ends_with("m0009")));
    ana.type_keys("\x15");
    ana.expect_last(">");
    let all = ana.everything();
    for number in 0..10 {
        let id = format!("m{number:04}");
        assert_eq!(all.iter().filter(|row| row.ends_with(&id)).count(), 1, "{id}: {all:#?}");
    }
    end(ana);
}

#[test]
fn a_mistyped_command_stays_to_be_mended() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let ben = Client::start(&server.address, "ben", &[]);
    ana.type_keys("/mgs ben@7 hi\r");
    ana.expect("there is no command /mgs");
    ana.expect_last("> /mgs ben@7 hi");
    // Home, to the g, and swap.
    ana.type_keys("\x01\x06\x06\x06\x14\r");
    assert_eq!(ben.expect("hi"), "[7] ana -> you: hi");
    ana.type_keys("/msg ben\r");
    ana.expect("it goes like this: /msg NICKNAME@ID some text");
    ana.type_keys("@7 again\r");
    ben.expect("[7] ana -> you: again");
    ana.type_keys("/nope\r");
    ana.expect("there is no command /nope");
    // Another command takes its place.
    ana.type_keys("/whoami\r");
    ana.expect("you are ana");
    end(ana);
}

/// The time zone in which it is twelve seconds to midnight.
fn zone_before_midnight() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ahead = (24 * 3600 - 12 - now % (24 * 3600)) % (24 * 3600);
    // POSIX counts to the west.
    let (sign, offset) = if ahead > 12 * 3600 { ("", 24 * 3600 - ahead) } else { ("-", ahead) };
    format!("XXX{sign}{:02}:{:02}:{:02}", offset / 3600, offset / 60 % 60, offset % 60)
}

#[test]
fn at_midnight_the_date_is_shown_even_if_nobody_speaks_and_times_may_have_seconds() {
    let server = Server::start(7, &[]);
    let mut command = client(&server.address, "ana", &["--seconds"]);
    command.env("TZ", zone_before_midnight());
    let ana = Terminal::start(command);
    let rows = ana.wait_until("a date", |rows| rows.iter().any(|row| row.starts_with("── ")));
    let at = rows.iter().position(|row| row.starts_with("── ")).unwrap();
    assert!(rows[at].ends_with(" ──") && rows[at].contains(", "), "{rows:#?}");
    assert!(rows[0].starts_with("23:59:") && rows[0].contains(" * connecting to"), "{rows:#?}");
    assert!(rows[1].starts_with("23:59:") && rows[1].contains(" * connected to"), "{rows:#?}");
    let mut ben = Bare::log_in(&server.address, "ben");
    ben.say("good morning");
    let rows = ana.expect("[7] ben: good morning");
    assert!(rows.iter().any(|row| row.starts_with("00:00:")), "{rows:#?}");
    end(ana);
}

#[test]
fn the_log_has_every_line_harmless_and_is_opened_anew_when_it_was_rotated() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let log = folder.path().join("chat.log");
    let mut ana = start(&server.address, "ana", &["--log", log.to_str().unwrap()]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    mallory.say("a\n2026-01-01T00:00:00+00:00 [7] ben: fake\x1b[2J\u{202e}");
    ana.expect("[7] mallory: a");
    ana.type_keys("/msg mallory@7 psst\r");
    ana.expect("you -> mallory@7: psst");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&log, folder.path().join("chat.log.1")).unwrap();
    thread::sleep(Duration::from_millis(1200));
    mallory.say("after");
    ana.expect("[7] mallory: after");
    ana.type_keys("/log\r");
    ana.expect("chat.log; /log off ends that");
    ana.type_keys("/log off\r");
    ana.expect("chat.log no more");
    mallory.say("unheard");
    ana.expect("[7] mallory: unheard");
    ana.type_keys(&format!("/log {}\r", folder.path().join("second").display()));
    ana.expect("from now on");
    end(ana);
    let (before, after) =
        (fs::read_to_string(folder.path().join("chat.log.1")).unwrap(), fs::read_to_string(&log).unwrap());
    let lines: Vec<&str> = before.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert!(lines[0].starts_with("* connected to "), "{before}");
    assert!(lines.contains(&"[7] mallory: a\\n2026-01-01T00:00:00+00:00 [7] ben: fake\\u{1b}[2J\\u{202e}"), "{before}");
    assert!(lines.contains(&"you -> mallory@7: psst"), "{before}");
    assert!(after.contains("[7] mallory: after") && !after.contains("unheard"), "{after}");
    assert!(fs::read_to_string(folder.path().join("second")).unwrap().contains("from now on"));
}

#[test]
fn typed_lines_are_there_in_the_next_run_for_their_owner_alone_unless_that_is_not_wanted() {
    let (server, state) = (Server::start(7, &[]), Scratch::new());
    let run = |arguments: &[&str]| {
        let mut command = client(&server.address, "ana", arguments);
        command.env("XDG_STATE_HOME", state.path());
        let terminal = Terminal::start(command);
        terminal.expect_last(">");
        terminal
    };
    let mut ana = run(&[]);
    ana.type_keys("remember me\r");
    ana.expect("[7] ana: remember me");
    end(ana);
    let history = state.path().join("cfp-client/history");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
    let mut ana = run(&["--no-history"]);
    ana.type_keys("\x1b[Aforget me\r");
    ana.expect("[7] ana: forget me");
    end(ana);
    let mut ana = run(&[]);
    ana.type_keys("\x1b[A\x1b[A");
    ana.expect_last("> remember me");
    ana.type_keys("\x15\x12rem");
    ana.expect_last("search \"rem\": remember me");
    ana.type_keys("\r");
    ana.expect_last("> remember me");
    end(ana);
    assert!(!fs::read_to_string(&history).unwrap().contains("forget me"));
}

#[test]
fn a_tilde_is_the_home_folder() {
    let (server, home) = (Server::start(7, &[]), Scratch::new());
    home.file("small.bin", 2000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([&server.address, "ana", "--log=~/log"]).env("HOME", home.path());
    let mut ana = Client::spawn(command);
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_line("/file ben@7 ~/small.bin");
    ben.receive(|packet| matches!(packet, Packet::FileChnkInc { .. }).then_some(()));
    assert_eq!(ana.finish().0, 0);
    assert!(fs::read_to_string(home.path().join("log")).unwrap().contains("sent \"small.bin\""));
}

#[test]
fn clearing_the_screen_loses_nothing() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    ana.type_keys("before\r");
    ana.expect("[7] ana: before");
    ana.type_keys("/clear\r");
    ana.wait_until("an empty screen", |rows| rows == [">"]);
    assert!(ana.everything().iter().any(|row| row.contains("[7] ana: before")));
    end(ana);
}
