//! Whose files the client takes, and what happens to the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cfp::wire::Packet;
use sha2::{Digest, Sha256};
use support::{Bare, Client, Scratch, Server};
use terminal::Terminal;

fn command(server: &Server, nickname: &str, folder: &Scratch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([&server.address, nickname]).args(arguments).current_dir(folder.path());
    command
}

/// A script client in a folder of its own, logged in.
fn script(server: &Server, nickname: &str, folder: &Scratch, arguments: &[&str]) -> Client {
    let client = Client::spawn(command(server, nickname, folder, arguments));
    client.err.expect("connected to");
    client
}

/// The client on a terminal.
fn person(server: &Server, nickname: &str, folder: &Scratch, arguments: &[&str]) -> Terminal {
    Terminal::connected(command(server, nickname, folder, arguments))
}

/// Announces a file of one chunk and sends it.
fn send(from: &mut Bare, to: &str, transfer_id: u32, name: &str, content: &[u8]) {
    let sha256: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    from.tell(7, to, &format!("[file] {name}, {} bytes, sha256 {sha256}, transfer {transfer_id}", content.len()));
    from.chunk(7, to, (transfer_id, name), 1, content);
}

#[test]
fn without_a_terminal_nothing_is_taken_and_no_folder_made_unless_it_is_permitted() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let mut ben = script(&server, "ben", &folder, &[]);
    let mut mallory = Bare::log_in(&server.address, "mallory");
    send(&mut mallory, "ben", 1, "build.rs", b"fn main() {}");
    let line = ben.expect("* ");
    assert!(line.starts_with("* \"build.rs\" from mallory@7 is not taken: there is no terminal to ask on"), "{line}");
    assert_eq!(folder.names(), [""; 0]);
    ben.type_line("/accept mallory@7");
    ben.expect("* the next file from mallory@7 within an hour will be taken");
    send(&mut mallory, "ben", 2, "a.txt", b"abc");
    ben.expect("saved as ./cfp-received/a.txt");
    send(&mut mallory, "ben", 3, "b.txt", b"abc");
    ben.expect("* \"b.txt\" from mallory@7 is not taken");
    let received = folder.path().join("cfp-received");
    assert_eq!(fs::metadata(&received).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&received).unwrap().count(), 1);
    assert_eq!(ben.finish().0, 0);
}

#[test]
fn those_who_are_named_are_never_asked_about_and_files_can_be_off() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let ben = script(&server, "ben", &folder, &["--accept", "\"two words\"@7", "--accept", "three of them@7"]);
    for (nickname, is_taken) in [("two words", true), ("three of them", true), ("words", false)] {
        let mut sender = Bare::log_in(&server.address, nickname);
        send(&mut sender, "ben", 1, "x", nickname.as_bytes());
        ben.expect(if is_taken { "* received \"x\"" } else { "* \"x\" from words@7 is not taken" });
    }
    let mut carl = script(&server, "carl", &folder, &["--no-files"]);
    let mut ana = Bare::log_in(&server.address, "ana");
    send(&mut ana, "carl", 1, "x", b"abc");
    carl.expect("* \"x\" from ana@7 is not taken: --no-files");
    carl.type_line("/accept ana@7");
    carl.expect("* --no-files: no file is taken");
    assert_eq!(carl.finish().0, 1);
}

#[test]
fn on_a_terminal_a_file_waits_hidden_for_the_receivers_word() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let received = folder.path().join("cfp-received");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&received).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mut ana = person(&server, "ana", &folder, &[]);
    let mut bob = Bare::log_in(&server.address, "bob");
    send(&mut bob, "ana", 1, "photo.jpg", &[7; 1000]);
    ana.expect("bob@7 offers \"photo.jpg\", 1.0 kB: /accept or /refuse");
    ana.wait_until("a hidden file", |_| matches!(&names()[..], [name] if name.starts_with(".cfp-")));
    ana.type_keys("/accept\r");
    ana.expect("received \"photo.jpg\" from bob@7: 1000 bytes, SHA-256 correct");
    assert_eq!(names(), ["photo.jpg"]);
    // Refused while it comes.
    bob.chunk(7, "ana", (2, "long"), 3, b"x");
    ana.expect("bob@7 offers \"long\", 3.1 kB (not announced");
    bob.chunk(7, "ana", (2, "long"), 3, b"x");
    ana.type_keys("/refuse\r");
    ana.expect("refused \"long\" from bob@7");
    bob.chunk(7, "ana", (2, "long"), 3, b"x");
    send(&mut bob, "ana", 3, "a b", b"x");
    ana.expect("bob@7 offers \"a b\", 1 byte");
    let rows = ana.expect_last(">");
    assert_eq!(rows.concat().matches("offers \"long\"").count(), 1, "{rows:#?}");
    // Left, with an offer that was not answered.
    ana.type_keys("/quit\r");
    ana.expect("\"a b\" from bob@7 was offered and is discarded: no answer before the end");
    assert_eq!(ana.wait(), Some(0));
    assert_eq!(names(), ["photo.jpg"]);
}

#[test]
fn several_offers_are_told_apart_by_person_and_name() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let mut ana = person(&server, "ana", &folder, &[]);
    let mut bob = Bare::log_in(&server.address, "two words");
    ana.type_keys("/accept\r");
    ana.expect("no file is offered");
    for (id, name) in [(1, "same"), (2, "same"), (3, "other")] {
        send(&mut bob, "ana", id, name, b"abc");
    }
    ana.expect("\"two words\"@7 offers \"other\"");
    ana.type_keys("/accept\r");
    ana.expect("/accept \"two words\"@7 other");
    ana.type_keys("/acc\t\"t\tother\r");
    ana.expect("received \"other\"");
    ana.type_keys("/refuse \"two words\"@7\r");
    ana.wait_until("both refused", |rows| rows.concat().matches("refused \"same\"").count() == 2);
    assert_eq!(fs::read_dir(folder.path().join("cfp-received")).unwrap().count(), 1);
}

#[test]
fn files_are_cancelled_in_both_directions() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let path = folder.file("large", 30 * 1024 * 1024);
    let mut ana = script(&server, "ana", &folder, &["--accept-all"]);
    ana.type_line("/cancel");
    ana.expect("* no file is under way");
    // It reads nothing for now, so the file stops on its way.
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_line(&format!("/file ben@7 {path}"));
    ben.receive(|packet| matches!(packet, Packet::FileChnkInc { .. }).then_some(()));
    ben.chunk(7, "ana", (1, "back"), 1000, b"x");
    ana.expect("* receiving \"back\"");
    ana.type_line("/cancel");
    ana.expect("* which? /cancel NICKNAME@ID means all");
    ana.type_line("/cancel ben@7 large");
    ana.expect("* cancelled \"large\" to ben@7");
    ana.type_line("/cancel");
    ana.expect("* cancelled \"back\" from ben@7; what came was removed");
    assert_eq!(fs::read_dir(folder.path().join("cfp-received")).unwrap().count(), 0);
    // What was not cancelled goes on.
    ana.type_line("/msg ben@7 still here");
    let mut chunks = 0;
    ben.receive(|packet| match packet {
        Packet::FileChnkInc { .. } => {
            chunks += 1;
            None
        }
        Packet::MsgPrvInc { message: "still here", .. } => Some(()),
        _ => None,
    });
    assert!(chunks < 30 * 1024, "{chunks}");
    ben.close();
}

#[test]
fn a_file_that_is_still_being_read_through_is_cancelled_too() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    // Of so many bytes that reading them takes minutes.
    let path = folder.path().join("huge");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let mut ana = script(&server, "ana", &folder, &[]);
    let _ben = Bare::log_in(&server.address, "ben");
    ana.type_line(&format!("/file ben@7 {}", path.display()));
    ana.type_line("/cancel ben@7");
    ana.expect("* cancelled \"huge\" to ben@7");
    assert_eq!(ana.finish(), (0, vec![], vec![]));
}

#[test]
fn an_offer_that_is_complete_outlives_the_connection() {
    let server = Server::start(7, &[]);
    let address = server.address.clone();
    let folder = Scratch::new();
    let mut ana = person(&server, "ana", &folder, &[]);
    let mut bob = Bare::log_in(&address, "bob");
    send(&mut bob, "ana", 1, "a", b"abc");
    bob.chunk(7, "ana", (2, "half"), 2, b"x");
    ana.expect("bob@7 offers \"half\"");
    server.kill();
    ana.expect("receiving \"half\" from bob@7 failed");
    let _server = Server::start_at(&address, 7, &[]);
    ana.wait_until("connected again", |rows| rows.iter().filter(|row| row.contains("* connected to")).count() == 2);
    // The rest of what was lost begins no new offer.
    let mut bob = Bare::log_in(&address, "bob");
    bob.chunk(7, "ana", (2, "half"), 2, b"x");
    ana.type_keys("/accept bob@7\r");
    let rows = ana.expect("received \"a\" from bob@7: 3 bytes");
    assert_eq!(rows.concat().matches("offers").count(), 2, "{rows:#?}");
}

#[test]
fn a_folder_that_takes_nothing_refuses_the_file_and_chat_goes_on() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    fs::write(folder.path().join("cfp-received"), "mine").unwrap();
    let mut ben = script(&server, "ben", &folder, &["--accept-all"]);
    let mut ana = Bare::log_in(&server.address, "ana");
    send(&mut ana, "ben", 1, "x", b"abc");
    let line = ben.expect("* ");
    assert_eq!(
        line,
        "* \"x\" from ana@7 is not taken: ./cfp-received is not a folder of ours; --download names another"
    );
    ben.type_line("hi");
    ben.expect("[7] ben: hi");
    assert_eq!(ben.finish().0, 0);
}
