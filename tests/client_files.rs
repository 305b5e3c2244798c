//! Files from client to client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;

use std::fs;
use std::process::Command;

use cfp::wire::{Packet, ServerId};
use sha2::{Digest, Sha256};
use support::{Bare, Client, Scratch, Server, digest};

const MIB: usize = 1024 * 1024;

const SMALL: [usize; 5] = [0, 1, 1023, 1024, 1025];
const LARGE: [usize; 1] = [50 * MIB];

/// Sends files of these sizes from one client to the other, one after the other, and compares them.
fn send(sizes: &[usize], sender: &Server, receiver: &Server) {
    let (from, into) = (Scratch::new(), Scratch::new());
    let ben = Client::start(&receiver.address, "ben", &["--download", into.text(), "--accept-all"]);
    let mut ana = Client::start(&sender.address, "ana", &[]);
    for &size in sizes {
        let name = format!("{size}.bin");
        let path = from.file(&name, size);
        ana.type_line(&format!("/file ben@{} {path}", receiver.id));
        let announced = ben.expect("[file] ");
        assert!(
            announced.starts_with(&format!("[{}] ana -> you: [file] {name}, {size} bytes, sha256 ", sender.id)),
            "{announced}"
        );
        let received = ben.expect("* received ");
        assert!(received.contains(&format!("{size} bytes, SHA-256 correct")), "{received}");
        assert_eq!(digest(&path), digest(into.path().join(&name)));
        fs::remove_file(path).unwrap();
    }
    assert_eq!(into.names().len(), sizes.len());
    let (code, out, err) = ana.finish();
    assert_eq!(code, 0, "{out:?} {err:?}");
    assert_eq!(out.iter().filter(|line| line.starts_with("* sent ")).count(), sizes.len(), "{out:?}");
}

/// Servers 7 and 8, merged.
fn merged() -> (Server, Server) {
    let server = Server::start(7, &[]);
    let other = Server::start(8, &["--merge", &server.address]);
    // Merged when a message gets from one to the other.
    let mut ana = Bare::log_in(&server.address, "probe");
    let mut ben = Bare::log_in(&other.address, "probe");
    other.expect("linked");
    ben.tell(7, "probe", "are you there?");
    ana.receive(|packet| matches!(packet, Packet::MsgPrvInc { origin: ServerId(8), .. }).then_some(()));
    (server, other)
}

#[test]
fn a_file_of_any_size_arrives_as_it_was() {
    let server = Server::start(7, &[]);
    send(&[&SMALL[..], &LARGE].concat(), &server, &server);
}

#[test]
fn a_file_of_any_size_arrives_on_another_server_as_it_was() {
    let (server, other) = merged();
    send(&[&SMALL[..], &LARGE].concat(), &server, &other);
}

#[test]
fn three_files_and_chat_go_at_once() {
    let server = Server::start(7, &[]);
    send_three_and_chat(&server, &server);
}

#[test]
fn three_files_and_chat_go_to_another_server_at_once() {
    let (server, other) = merged();
    send_three_and_chat(&server, &other);
}

fn send_three_and_chat(server: &Server, other: &Server) {
    let (from, into) = (Scratch::new(), Scratch::new());
    let mut ben = Client::start(&other.address, "ben", &["--download", into.text(), "--accept-all"]);
    let mut ana = Client::start(&server.address, "ana", &["--download", into.text(), "--accept-all"]);
    let paths = ["a", "b", "c"].map(|name| from.file(name, 20 * MIB));
    let back = from.file("back", 5 * MIB);
    for path in &paths {
        ana.type_line(&format!("/file ben@{} {path}", other.id));
    }
    ben.type_line(&format!("/file ana@{} {back}", server.id));
    let mut lines = vec![ben.expect("* receiving ")];
    // One is under way at least, and messages get through before all are through.
    for number in 0..20 {
        ana.type_line(&format!("/msg ben@{} number {number}", other.id));
    }
    ana.end_input();
    while lines.iter().filter(|line: &&String| line.starts_with("* received ")).count() < 3 {
        lines.push(ben.expect(""));
    }
    let position = |part: &str| lines.iter().position(|line| line.ends_with(part)).unwrap();
    let numbers: Vec<usize> = (0..20).map(|number| position(&format!("-> you: number {number}"))).collect();
    assert!(numbers.is_sorted(), "{lines:#?}");
    assert!(*numbers.last().unwrap() < lines.len() - 1, "the messages came behind the files: {lines:#?}");
    assert!(
        lines.iter().filter(|line| line.starts_with("* received ")).all(|line| line.contains("SHA-256 correct")),
        "{lines:#?}"
    );
    let (code, out, _) = ana.wait();
    assert_eq!(code, 0, "{out:?}");
    assert!(
        out.iter().any(|line| line.starts_with("* received \"back\"") && line.contains("SHA-256 correct")),
        "{out:?}"
    );
    for path in &paths {
        assert_eq!(digest(path), digest(into.path().join(path.rsplit('/').next().unwrap())));
    }
    assert_eq!(into.names(), ["a", "b", "back", "c"]);
}

#[test]
fn a_hostile_file_name_stays_in_the_folder_and_replaces_nothing() {
    let server = Server::start(7, &[]);
    let scratch = Scratch::new();
    let into = scratch.path().join("in");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("mine.txt"), "mine").unwrap();
    std::os::unix::fs::symlink("../outside", into.join("link")).unwrap();
    let ana = Client::start(&server.address, "ana", &["--download", into.to_str().unwrap(), "--accept-all"]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    let names = [
        ("../escape", "escape"),
        ("/etc/cron.d/job", "job"),
        ("..", "file"),
        (".", "file-1"),
        ("a\\..\\b.exe", "b.exe"),
        (".bashrc", "bashrc"),
        ("bell\u{7}\u{1b}[2J\nnext.txt", "bell[2Jnext.txt"),
        ("annual\u{202e}txt.exe", "annualtxt.exe"),
        ("NUL.txt", "_NUL.txt"),
        ("-rf", "_rf"),
        ("mine.txt", "mine-1.txt"),
        ("link", "link-1"),
        (" ", "file-2"),
    ];
    for (transfer_id, (name, saved)) in (1u32..).zip(names) {
        mallory.chunk(7, "ana", (transfer_id, name), 1, b"x");
        let line = ana.expect("* received ");
        assert!(line.ends_with(&format!("/{saved}")), "{name:?}: {line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(into.join(saved).is_file());
    }
    mallory.chunk(7, "ana", (99, &"n".repeat(255)), 1, b"x");
    ana.expect("* received ");
    assert_eq!(fs::read_to_string(into.join("mine.txt")).unwrap(), "mine");
    assert!(!scratch.path().join("escape").exists() && !scratch.path().join("outside").exists());
    assert_eq!(scratch.names(), ["in"]);
    assert_eq!(fs::read_dir(&into).unwrap().count(), names.len() + 3);
}

#[test]
fn without_an_announcement_a_file_is_kept_with_its_padding_and_said_to_be() {
    let server = Server::start(7, &[]);
    let into = Scratch::new();
    let ana = Client::start(&server.address, "ana", &["--download", into.text(), "--accept-all"]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    mallory.chunk(7, "ana", (1, "a.txt"), 2, &[b'a'; 1024]);
    mallory.chunk(7, "ana", (1, "a.txt"), 2, b"end");
    let line = ana.expect("* received ");
    assert!(line.contains("2048 bytes with padding (not announced"), "{line}");
    let content = fs::read(into.path().join("a.txt")).unwrap();
    assert_eq!((content.len(), &content[1024..1030]), (2048, &b"end\0\0\0"[..]));
}

#[test]
fn a_file_that_is_not_what_was_announced_is_removed() {
    let server = Server::start(7, &[]);
    let into = Scratch::new();
    let ana = Client::start(&server.address, "ana", &["--download", into.text(), "--accept-all"]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    let sha256: String = Sha256::digest(b"right").iter().map(|byte| format!("{byte:02x}")).collect();
    mallory.tell(7, "ana", &format!("[file] x, 5 bytes, sha256 {sha256}, transfer 3"));
    mallory.chunk(7, "ana", (3, "x"), 1, b"wrong");
    ana.expect("removed: its SHA-256 is not the announced one");
    assert_eq!(into.names(), [""; 0]);
}

#[test]
fn a_disk_that_takes_no_more_ends_that_file_with_one_line_and_chat_goes_on() {
    let server = Server::start(7, &[]);
    let (from, into) = (Scratch::new(), Scratch::new());
    // Blocks of 512 bytes: 1 MiB.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 2048; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cfp-client")]);
    command.args([&server.address, "ben", "--download", into.text(), "--accept-all"]);
    let ben = Client::spawn(command);
    ben.err.expect("connected to");
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_line(&format!("/file ben@7 {}", from.file("large", 5 * MIB)));
    ana.expect("* sent ");
    ana.type_line(&format!("/file ben@7 {}", from.file("small", 5000)));
    ben.expect("* receiving \"large\"");
    let line = ben.expect("* ");
    assert!(
        line.starts_with("* receiving \"large\" from ana@7 failed and what came was removed: File too large"),
        "{line}"
    );
    let line = ben.expect("* ");
    assert!(line.starts_with("* receiving \"small\""), "{line}");
    ben.expect("* received \"small\"");
    ana.type_line("still there?");
    ben.expect("[7] ana: still there?");
    assert_eq!(into.names(), ["small"]);
}

#[test]
fn a_file_for_nobody_is_stopped_and_said_in_one_line() {
    let server = Server::start(7, &[]);
    let from = Scratch::new();
    let path = from.file("x.bin", 20 * MIB);
    for (receiver, reason) in
        [("nobody@7", "nobody of that name is connected there"), ("ben@9", "that server is unknown or not connected")]
    {
        let mut ana = Client::start(&server.address, "ana", &[]);
        ana.type_line(&format!("/file {receiver} {path}"));
        let (code, out, _) = ana.finish();
        assert_eq!((code, out), (1, vec![format!("* stopped: file \"x.bin\" to {receiver}: {reason}")]));
    }
}

#[test]
fn what_fails_on_another_server_is_said_before_the_end() {
    let (server, _other) = merged();
    let from = Scratch::new();
    let path = from.file("x.bin", 5000);
    let lines = [("/msg nobody@8 hi".to_owned(), 0), (format!("/file nobody@8 {path}"), 1)];
    for (line, expected) in lines {
        let mut ana = Client::start(&server.address, "ana", &[]);
        ana.type_line(&line);
        let (code, out, _) = ana.finish();
        assert_eq!((code, out.len()), (expected, 1), "{out:?}");
        assert!(out[0].starts_with("* not delivered") && out[0].contains("nobody of that name"), "{out:?}");
    }
}

#[test]
fn what_is_unfinished_goes_when_the_sender_does_nothing_more_and_we_leave() {
    let server = Server::start(7, &[]);
    let into = Scratch::new();
    let mut mallory = Bare::log_in(&server.address, "mallory");
    for (signal, expected) in [(None, 0), (Some("-TERM"), 143), (Some("-INT"), 130)] {
        let mut ana = Client::start(&server.address, "ana", &["--download", into.text(), "--accept-all"]);
        mallory.chunk(7, "ana", (1, "x"), 1000, b"x");
        ana.expect("* receiving ");
        assert_eq!(into.names().len(), 1);
        match signal {
            Some(signal) => {
                let pid = ana.pid().to_string();
                assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            }
            None => ana.end_input(),
        }
        let (code, _, _) = ana.wait();
        assert_eq!(code, expected, "{signal:?}");
        assert_eq!(into.names(), [""; 0], "{signal:?}");
    }
}

#[test]
fn more_than_is_allowed_is_refused() {
    let server = Server::start(7, &[]);
    let (from, into) = (Scratch::new(), Scratch::new());
    let ben = Client::start(
        &server.address,
        "ben",
        &["--download", into.text(), "--accept-all", "--max-download", "1000000"],
    );
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_line(&format!("/file ben@7 {}", from.file("large", MIB)));
    let line = ben.expect("* ");
    assert!(line.starts_with("* \"large\" from ana@7 is not taken: 1048576 bytes are more than"), "{line}");
    ana.type_line(&format!("/file ben@7 {}", from.file("small", 1_000_000)));
    ben.expect("* received \"small\"");
}

#[test]
fn a_file_that_lies_about_in_the_checkout_is_no_part_of_the_build() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    for switch in ["build", "autobins", "autobenches"] {
        assert!(manifest.lines().any(|line| line == format!("{switch} = false")), "{switch}");
    }
}

#[test]
fn what_a_killed_client_has_left_goes_at_the_next_start() {
    let server = Server::start(7, &[]);
    let into = Scratch::new();
    let mut mallory = Bare::log_in(&server.address, "mallory");
    let mut names = Vec::new();
    for nickname in ["ana", "ben", "carl"] {
        let receiver = Client::start(&server.address, nickname, &["--download", into.text(), "--accept-all"]);
        mallory.chunk(7, nickname, (1, "x"), 1000, b"x");
        receiver.expect("* receiving ");
        names.push(into.names());
        if nickname == "carl" {
            assert_eq!(receiver.finish().0, 0);
        } else {
            assert!(Command::new("kill").args(["-KILL", &receiver.pid().to_string()]).status().unwrap().success());
            assert_eq!(receiver.wait().0, -1);
        }
    }
    assert!(names.iter().all(|names| names.len() == 1) && names[0] != names[1], "{names:?}");
    assert_eq!(into.names(), [""; 0]);
}
