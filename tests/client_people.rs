//! People on a terminal: who one is, whom one means, who stands out, and who is not heard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::collections::BTreeSet;

use cfp::wire::Packet;
use support::{Bare, Client, Scratch, Server};
use terminal::{Terminal, client, end, start};

/// The text of a private message.
fn private(packet: Packet<'_>) -> Option<String> {
    match packet {
        Packet::MsgPrvInc { message, .. } => Some(message.to_owned()),
        _ => None,
    }
}

#[test]
fn who_one_is_is_said_as_soon_as_it_is_known_and_not_for_what_a_namesake_says() {
    let server = Server::start(7, &[]);
    let other = Server::start(8, &["--merge", &server.address]);
    other.expect("linked");
    let mut ana = start(&server.address, "ana", &[]);
    let mut namesake = Bare::log_in(&other.address, "ana");
    namesake.say("I am not you");
    ana.expect("[8] ana: I am not you");
    ana.type_keys("/whoami\r");
    ana.expect("its ID is known when your first public message comes back");
    ana.type_keys("hi\r");
    ana.expect("[7] ana: hi");
    ana.expect("* you are ana@7");
    ana.type_keys("/whoami\r");
    ana.expect("* you are ana@7, connected to");
    end(ana);
}

#[test]
fn people_are_listed_completed_answered_and_meant_by_their_nickname_alone() {
    let server = Server::start(7, &[]);
    let other = Server::start(8, &["--merge", &server.address]);
    other.expect("linked");
    let mut ana = start(&server.address, "ana", &[]);
    ana.type_keys("/reply x\r");
    ana.expect("nobody has written to you");
    ana.type_keys("\x15/msg bob hi\r");
    ana.expect("it goes like this: /msg NICKNAME@ID some text");
    let mut bob = Bare::log_in(&server.address, "bob");
    let mut words = Bare::log_in(&server.address, "two words");
    bob.say("hello");
    ana.expect("[7] bob: hello");
    ana.expect_last("> /msg bob hi");
    ana.type_keys("\r");
    ana.expect("you -> bob@7: hi");
    assert_eq!(bob.receive(private), "hi");
    words.tell(7, "ana", "psst");
    ana.expect("[7] two words -> you: psst");
    // Whom the answer goes to is seen before its text is typed.
    ana.type_keys("/reply ");
    ana.expect_last("> /msg \"two words\"@7");
    ana.type_keys("yes\r");
    ana.expect("you -> \"two words\"@7: yes");
    assert_eq!(words.receive(private), "yes");
    ana.type_keys("/msg tw\tagain\r");
    assert_eq!(words.receive(private), "again");
    // Somebody whom one only wrote to.
    ana.type_keys("/msg carl@9 are you there?\r");
    ana.expect("one of these did not arrive");
    ana.type_keys("/msg ca\t");
    ana.expect_last("> /msg carl@9");
    ana.type_keys("\x15/who\r");
    let rows = ana.expect("you wrote, and nothing was heard");
    let row = |part: &str| rows.iter().find(|row| row.contains(part)).unwrap_or_else(|| panic!("{part}: {rows:#?}"));
    assert!(row("\"two words\"@7  ").contains("private  ") && row("\"two words\"@7  ").contains("just now"));
    assert!(row("    bob@7 ").contains("public   ") && row("    carl@9 ").contains("you wrote"));
    let mut second = Bare::log_in(&other.address, "bob");
    second.say("hello from the other one");
    ana.expect("[8] bob: hello from the other one");
    ana.type_keys("/msg bob hi\r");
    ana.expect("which one? bob@8 or bob@7");
    end(ana);
}

/// The colours in which the nicknames of these people are shown.
fn colors(ana: &Terminal, people: &[String]) -> Vec<String> {
    let shown = String::from_utf8_lossy(&ana.bytes()).into_owned();
    let color = |name: &String| {
        let before =
            shown.rsplit_once(&format!("[7] {name}\x1b[0m")).unwrap_or_else(|| panic!("{name} in {shown:?}")).0;
        before.rsplit_once("\x1b[").unwrap().1.to_owned()
    };
    people.iter().map(color).collect()
}

#[test]
fn people_on_the_screen_have_different_colors_and_own_lines_look_different() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let people: Vec<String> = (0..9).map(|number| format!("person{number}")).collect();
    for name in &people {
        Bare::log_in(&server.address, name).say("hi");
        ana.expect(&format!("[7] {name}: hi"));
    }
    ana.type_keys("and me\r");
    ana.expect("[7] ana: and me");
    let all = colors(&ana, &[&people[..], &["ana".to_owned()]].concat());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    end(ana);
}

#[test]
fn private_messages_and_mentions_stand_out_ring_and_reach_the_desktop_if_that_is_wanted() {
    let count = |ana: &Terminal, part: &[u8]| ana.bytes().windows(part.len()).filter(|window| *window == part).count();
    for (arguments, has_bell, has_desktop) in [(&[][..], true, false), (&["--no-bell", "--notify"], false, true)] {
        let server = Server::start(7, &[]);
        let ana = start(&server.address, "ana", arguments);
        let mut bob = Bare::log_in(&server.address, "4;1;50");
        bob.say("banana");
        ana.expect("4;1;50: banana");
        assert_eq!(count(&ana, b"\x07") + count(&ana, b"\x1b]9;"), 0);
        bob.say("hi Ana, \x07look\x1b\\");
        ana.expect("hi Ana,");
        // Not twice in a second.
        bob.tell(7, "ana", "psst");
        ana.expect("4;1;50 -> you: psst");
        assert_eq!(count(&ana, b"\x07"), usize::from(has_bell));
        let desktop = b"\x1b]9;cfp: 4;1;50: hi Ana, \\u{7}look\\u{1b}\\\x1b\\";
        assert_eq!(
            (count(&ana, b"\x1b]9;"), count(&ana, desktop)),
            (usize::from(has_desktop), usize::from(has_desktop))
        );
        end(ana);
    }
}

#[test]
fn who_is_ignored_is_not_seen_nor_their_files_also_in_the_next_run() {
    let (server, state) = (Server::start(7, &[]), Scratch::new());
    let run = || {
        let mut command = client(&server.address, "ana", &[]);
        command.env("XDG_STATE_HOME", state.path());
        let terminal = Terminal::start(command);
        terminal.expect_last(">");
        terminal
    };
    let mut ana = run();
    let (mut mallory, mut bob) = (Bare::log_in(&server.address, "mal \"lory\""), Bare::log_in(&server.address, "bob"));
    mallory.say("rubbish");
    ana.expect("rubbish");
    ana.type_keys("/ignore mal\t\r");
    ana.expect("* \"mal \\\"lory\\\"\"@7 is ignored");
    for (number, is_ignored) in [true, true, false].into_iter().enumerate() {
        if number > 0 {
            ana = run();
        }
        if !is_ignored {
            ana.type_keys("/unignore \"mal \\\"lory\\\"\"@7\r");
            ana.expect("is shown again");
        }
        mallory.say("public");
        mallory.tell(7, "ana", "private");
        mallory.chunk(7, "ana", (1, "file"), 2, b"x");
        // Two connections have no order between them: bob speaks when all that mallory sent has been handled.
        mallory.tell(7, "bob", "now you");
        assert_eq!(bob.receive(private), "now you");
        bob.tell(7, "ana", "the end");
        let rows = ana.expect("bob -> you: the end");
        assert_eq!(rows.iter().any(|row| row.ends_with(": public")), !is_ignored, "{rows:#?}");
        assert_eq!(rows.iter().any(|row| row.ends_with(": private")), !is_ignored, "{rows:#?}");
        if is_ignored {
            assert!(!rows.iter().any(|row| row.contains("offers")), "{rows:#?}");
            ana.type_keys("/ignore\r");
            ana.expect("* ignored; /unignore ends that:");
        }
        ana.type_keys("\x15/quit\r");
        assert!(ana.process.0.wait().unwrap().success());
    }
}

#[test]
fn the_files_of_somebody_who_is_ignored_end() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let mut ana = start(&server.address, "ana", &["--download", folder.text()]);
    let mut ben = Bare::log_in(&server.address, "ben");
    let mut carl = Bare::log_in(&server.address, "carl");
    for (transfer_id, name, chunks) in [(1, "taken", 3), (2, "asked", 3), (3, "whole", 1)] {
        ben.chunk(7, "ana", (transfer_id, name), chunks, b"x");
        ana.expect(&format!("ben@7 offers \"{name}\""));
    }
    carl.chunk(7, "ana", (1, "of carl"), 1, b"x");
    ana.expect("carl@7 offers");
    ana.type_keys("/accept ben@7 taken\r");
    ana.expect("↓ taken ");
    ana.type_keys("/ignore ben@7\r");
    ana.expect("* ben@7 is ignored");
    ana.wait_until("no status", |rows| !rows.iter().any(|row| row.contains("↓")));
    ana.type_keys("/accept\r");
    ana.expect("received \"of carl\" from carl@7");
    // What still comes is not a new file when its sender is shown again.
    ana.type_keys("/unignore ben@7\r");
    ana.expect("* ben@7 is shown again");
    for _ in 0..2 {
        ben.chunk(7, "ana", (1, "taken"), 3, b"x");
    }
    ben.tell(7, "ana", "the end");
    ana.expect("ben -> you: the end");
    ana.type_keys("/files\r");
    ana.expect("no file is under way or offered");
    assert_eq!(folder.names(), ["of carl"]);
    end(ana);
}

#[test]
fn somebody_is_ignored_in_this_run_if_that_can_not_be_kept_and_it_is_said() {
    let (server, state) = (Server::start(7, &[]), Scratch::new());
    let mut command = client(&server.address, "ana", &[]);
    command.env("XDG_STATE_HOME", state.path());
    let mut ana = Terminal::connected(command);
    // Its place is taken.
    let folder = state.path().join("cfp-client");
    std::fs::rename(&folder, state.path().join("away")).unwrap();
    std::fs::write(&folder, "").unwrap();
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_keys("/ignore ben@7\r");
    ana.expect("ben@7 is ignored in this run only: ");
    ben.say("unheard");
    ben.receive(|packet| matches!(packet, Packet::MsgPblInc { .. }).then_some(()));
    let mut carl = Bare::log_in(&server.address, "carl");
    carl.say("after it");
    ana.expect("[7] carl: after it");
    ana.type_keys("/unignore ben@7\r");
    ana.expect("ben@7 is shown again in this run only: ");
    ben.say("heard");
    let rows = ana.expect("[7] ben: heard");
    assert!(!rows.iter().any(|row| row.ends_with("unheard")), "{rows:#?}");
    end(ana);
}

#[test]
fn what_can_not_be_seen_in_a_nickname_is_shown_as_it_must_be_typed() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    for (nickname, shown, typed) in [
        ("ben\u{2800}x", "ben\\u{2800}x", "\"ben\\u{2800}x\"@7"),
        ("ben\u{34f}", "ben\\u{34f}", "\"ben\\u{34f}\"@7"),
        ("ben\u{fe0f}", "ben\\u{fe0f}", "\"ben\\u{fe0f}\"@7"),
        ("ben\u{e0100}", "ben\\u{e0100}", "\"ben\\u{e0100}\"@7"),
    ] {
        let mut ben = Bare::log_in(&server.address, nickname);
        ben.say("hi");
        ana.expect(&format!("[7] {shown}: hi"));
        ana.type_keys(&format!("/msg {typed} psst\r"));
        ana.expect(&format!("you -> {typed}: psst"));
        ben.receive(|packet| matches!(packet, Packet::MsgPrvInc { .. }).then_some(()));
    }
    end(ana);
}

#[test]
fn another_nickname_takes_over_without_a_message_lost_or_shown_twice_and_a_refused_one_does_not() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut bob = Bare::log_in(&server.address, "bob");
    ana.type_keys("/nick bob\r");
    ana.expect("the nickname bob is in use right now; you are still ana");
    ana.type_keys("as ana\r");
    ana.expect("[7] ana: as ana");
    ana.type_keys("/nick two words\r");
    for number in 0..200 {
        bob.say(&format!("m{number:03}"));
    }
    // The messages may have pushed the line off the screen.
    ana.expect_ever("as two words;");
    ana.type_keys("as the other\r");
    ana.expect("[7] two words: as the other");
    bob.say("the last");
    ana.expect("[7] bob: the last");
    let all = ana.everything();
    for number in 0..200 {
        let id = format!("m{number:03}");
        assert_eq!(all.iter().filter(|row| row.ends_with(&id)).count(), 1, "{id}: {all:#?}");
    }
    bob.tell(7, "ana", "still there?");
    bob.receive(|packet| matches!(packet, Packet::Error { .. }).then_some(()));
    bob.tell(7, "two words", "psst");
    ana.expect("[7] bob -> you: psst");
    end(ana);
}

#[test]
fn a_connection_is_made_anew_when_that_is_wanted() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    ana.type_keys("/reconnect\r");
    ana.expect("connecting anew");
    ana.wait_until("a second connection", |rows| rows.iter().filter(|row| row.contains("* connected to")).count() == 2);
    ana.type_keys("back\r");
    ana.expect("[7] ana: back");
    end(ana);
}

#[test]
fn a_fence_is_never_shown_and_nobody_else_can_hide_a_message_as_one() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    let mut bob = Bare::log_in(&server.address, "bob");
    ana.type_keys("hi\r");
    ana.expect("* you are ana@7");
    ana.type_keys("/msg bob@7 psst\r");
    bob.receive(|packet| matches!(packet, Packet::MsgPrvInc { .. }).then_some(()));
    bob.tell(7, "ana", "[cfp-client: all before this has arrived] 0000000000000001");
    ana.expect("bob -> you: [cfp-client: all before this has arrived] 0000000000000001");
    // Long enough for a fence, and for a question to the server.
    std::thread::sleep(std::time::Duration::from_secs(7));
    ana.type_keys("still\r");
    let rows = ana.expect("[7] ana: still");
    assert!(!rows.iter().any(|row| row.contains("ana -> you") || row.contains("not delivered")), "{rows:#?}");
    assert!(!rows.iter().any(|row| row.contains("did not arrive") || row.contains("not confirmed")), "{rows:#?}");
    end(ana);
}

#[test]
fn a_script_says_nothing_of_all_this_unasked() {
    let server = Server::start(7, &[]);
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_line("hi");
    ana.expect("[7] ana: hi");
    ana.type_line("/whoami");
    ana.expect("* you are ana");
    let (code, out, _) = ana.finish();
    assert_eq!((code, out), (0, vec![]));
}
