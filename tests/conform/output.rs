//! What the kit prints, and how it ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use cfp::conform::{UNCHECKED, client_cases, server_cases};
use cfp::wire::{AuthResponse, Code, Packet};

use crate::proxy::{Fate, Proxy, Rule, Way, alters, confuses, faithful, on};
use crate::support::{Client, Server};
use crate::{Folder, Servers, cases, kit, others, server_mistakes};

/// Runs the program; returns exit status, standard output and standard error.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-conform"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn against(address: SocketAddr, more: &[&str]) -> (i32, String, String) {
    program(&[&[&*address.to_string(), "--id", "7", "--port", "0"], more].concat())
}

fn server_with(mistake: Rule) -> (Server, Proxy) {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.address(), mistake);
    (server, proxy)
}

#[test]
fn a_failure_shows_the_sentence_and_the_bytes_sent_expected_and_seen() {
    let (_server, proxy) = server_with(confuses(Code::AuthRsp, 3, 1));
    let (status, stdout, stderr) = against(proxy.address(), &["--section", "3"]);
    assert_eq!((status, stderr.as_str()), (1, ""));
    let (before, failure) = stdout.split_once("  FAIL     3.5    ").unwrap();
    assert!(before.starts_with("\n3. Users Authentication\n  ok       3.1    a guest's AUTHGST"), "{stdout}");
    let words: Vec<&str> = failure.lines().map(str::trim_start).take(10).collect();
    assert_eq!(words[0], "a nickname that another client uses right now gets AUTHRSP 3");
    assert!(
        words[1].starts_with("RFC       3: 0x03 : Authentication failed due to the nickname being used"),
        "{words:?}"
    );
    assert!(words[2].starts_with("sent      00 000000") && words[3].contains(": AUTHGST nickname \"ana"), "{words:?}");
    assert_eq!([words[6], words[8]], ["expected  10 03", "seen      10 01"], "{failure}");
    assert!(words[7].ends_with(": AUTHRSP response 3 (the nickname is in use)"), "{failure}");
    assert!(words[9].ends_with(": AUTHRSP response 1 (the nickname is registered)"), "{failure}");
    assert!(
        stdout.contains("3. Users Authentication                                          2     1     -       3\n"),
        "{stdout}"
    );
    assert!(stdout.contains("needs --user NICKNAME --password PASSWORD"), "{stdout}");
    assert!(stdout.ends_with("The RFC says that it must hold.\n"), "{stdout}");
}

#[test]
fn cases_that_fail_for_one_reason_show_the_bytes_once() {
    let (_server, proxy) = server_with(alters(Code::MsgPblInc, |bytes| bytes[1..5].reverse()));
    let (status, stdout, _) = against(proxy.address(), &["--section", "4"]);
    let advice = "look at   the number in \"origin\" has its bytes in the wrong order: numbers are big-endian (RFC 2)";
    let failures = stdout.matches("\n  FAIL ").count();
    assert!(status == 1 && failures > 2, "{stdout}");
    assert_eq!(stdout.matches(&format!("{advice}\n")).count(), 1, "{stdout}");
    assert_eq!(stdout.matches(&format!("{advice} (as 4.1)\n")).count(), failures - 1, "{stdout}");
    assert_eq!(stdout.matches("  expected  ").count(), 1, "{stdout}");
    // Alone, a case shows its bytes.
    let (_, stdout, _) = against(proxy.address(), &["--case", "4.2"]);
    assert!(stdout.contains("  expected  "), "{stdout}");
}

#[test]
fn another_reading_of_a_silent_place_is_a_note_and_fails_only_if_that_is_asked_for() {
    let (_server, proxy) = server_with(confuses(Code::AuthRsp, 2, 1));
    let (status, stdout, _) = against(proxy.address(), &["--case", "D9.1"]);
    assert_eq!(status, 0, "{stdout}");
    assert!(
        stdout.contains("\n  note     D9.1   AUTHUSR with a nickname that nobody registered gets AUTHRSP 2\n"),
        "{stdout}"
    );
    assert!(stdout.contains("another reading of what the RFC leaves open; ours is D9\n"), "{stdout}");
    assert!(stdout.ends_with("A note is another reading of what the RFC leaves open.\n"), "{stdout}");
    let (status, stdout, _) = against(proxy.address(), &["--case", "D9.1", "--strict"]);
    assert_eq!(status, 1);
    assert!(stdout.contains("\n  FAIL     D9.1"), "{stdout}");
}

#[test]
fn a_server_that_permits_no_merging_fails_nothing_and_is_told_how_to_permit_it() {
    let (_server, proxy) = server_with(on(Way::Up, Code::MrgReq, |_, _| Fate::Close));
    let (_, result) =
        kit(&[&proxy.address().to_string(), "--id", "7", "--port", "0", "--section", "7", "--case", "4.3"]);
    assert_eq!(others(&result, "skipped"), Vec::<String>::new());
    for case in cases(&result).iter().filter(|case| !server_mistakes::needs_second(case["id"].as_str().unwrap())) {
        let why = case["why"].as_str().unwrap();
        assert!(why.contains("from 127.0.0.1") && why.contains("permit"), "{why}");
    }
}

#[test]
fn junit_has_a_suite_for_each_section_and_what_was_seen() {
    let (folder, servers) = (Folder::new(), Servers::start(false));
    let proxy = Proxy::start(servers.first.address(), confuses(Code::AuthRsp, 3, 1));
    let path = folder.0.join("junit.xml");
    let more = ["--section", "3", "--section", "D8", "--junit", path.to_str().unwrap()];
    assert_eq!(against(proxy.address(), &more).0, 1);
    let xml = std::fs::read_to_string(path).unwrap();
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"cfp-conform\">"), "{xml}");
    for part in [
        "<testsuite name=\"3. Users Authentication\" tests=\"6\" failures=\"1\" errors=\"0\" skipped=\"3\"",
        "<testcase classname=\"cfp-conform\" name=\"3.1 a guest&apos;s AUTHGST is answered with AUTHRSP 0\"",
        "<failure message=\"0x03 : Authentication failed",
        "<skipped message=\"needs --user",
        "<system-out>note: another reading",
        "seen      10 01",
    ] {
        assert!(xml.contains(part), "{part:?} is not in {xml}");
    }
    let count = |text: &str| xml.matches(text).count();
    assert_eq!((count("<testsuite "), count("</testsuite>"), count("<testcase ")), (2, 2, 11));
}

#[test]
fn nothing_to_check_is_no_success() {
    let (status, stdout, stderr) = against("127.0.0.1:1".parse().unwrap(), &[]);
    assert_eq!((status, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
    assert!(
        stderr.starts_with("cfp-conform: server 7 at 127.0.0.1:1: ") && stderr.contains("is it running?"),
        "{stderr}"
    );
    let (_server, proxy) = server_with(faithful());
    let (status, stdout, _) = against(proxy.address(), &["--case", "3.2"]);
    assert_eq!(status, 1);
    assert!(stdout.ends_with("Nothing was checked.\n"), "{stdout}");
}

#[test]
fn a_mistake_on_the_command_line_is_one_line_and_a_hint() {
    let server = ["127.0.0.1:1", "--id", "7"];
    let with = |more: &[&'static str]| [&server[..], more].concat();
    for arguments in [
        vec![],
        vec!["127.0.0.1:1"],
        vec!["127.0.0.1", "--id", "7"],
        vec!["127.0.0.1:1", "--id", "seven"],
        with(&["extra"]),
        with(&["--user", "maria"]),
        with(&["--password", "x"]),
        with(&["--user", " x", "--password", "x"]),
        with(&["--second", "127.0.0.1:2"]),
        with(&["--second", "127.0.0.1:2", "--second-id", "x"]),
        with(&["--section", "12"]),
        with(&["--section", "D99"]),
        with(&["--case", "3"]),
        with(&["--patience", "0"]),
        with(&["--run", "client"]),
        with(&["--port", "70000"]),
        vec!["--client", "127.0.0.1:1"],
        vec!["--client", "--slow"],
        vec!["--client", "--listen", "7777"],
        vec!["--client", "--say", "x"],
        vec!["--client", "--case", "3.1"],
    ] {
        let (status, stdout, stderr) = program(&arguments);
        assert_eq!((status, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("cfp-conform: "), "{arguments:?}: {stderr}");
        assert_eq!(lines[1], "Try 'cfp-conform --help'.");
    }
}

#[test]
fn every_decision_has_a_case_or_a_reason_why_not() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md")).unwrap();
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let decided: BTreeSet<u32> = page.split("**D").skip(1).filter_map(number).collect();
    assert!(decided.len() >= 46, "{decided:?}");
    let all = server_cases().into_iter().chain(client_cases());
    let checked: BTreeSet<u32> =
        all.filter_map(|(id, _)| number(id.trim_start_matches('C').strip_prefix('D')?)).collect();
    let has_reason = |number: u32| UNCHECKED.iter().any(|&(from, to, _)| (from..=to).contains(&number));
    for number in &decided {
        assert!(checked.contains(number) != has_reason(*number), "D{number}: a case, or a reason in UNCHECKED");
    }
    assert!(checked.is_subset(&decided), "{checked:?}");
}

#[test]
fn the_list_has_every_case_once() {
    let (status, list, _) = program(&["--list"]);
    assert_eq!(status, 0);
    let listed: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let ids = server_cases().into_iter().chain(client_cases()).map(|(id, _)| id);
    let ids: Vec<&str> = ids.collect();
    assert_eq!(listed[..ids.len()], ids);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn a_person_is_told_what_to_do_and_asked_what_the_client_shows() {
    for (answer, expected) in [("y", 0), ("n", 1), ("", 0)] {
        let address = crate::node::fresh_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-conform"));
        command.args(["--client", "--listen", &address.to_string(), "--case", "C4.1", "--case", "C4.3"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut kit = command.spawn().unwrap();
        writeln!(kit.stdin.take().unwrap(), "{answer}").unwrap();
        let mut stderr = BufReader::new(kit.stderr.take().unwrap());
        let mut told = |begin: &str| loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it was told nothing that begins with {begin:?}");
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim_end().to_owned();
            }
        };
        let how = told(">>> Connect your client to ");
        let nickname = how.split_once("with the nickname ").unwrap().1.split_once(',').unwrap().0;
        let mut client = Client::connect(address);
        client.send(&Packet::AuthGst { nickname });
        client.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
        client.say(&told(">>> Say in public: "));
        let message = client.receive();
        let Ok(Packet::MsgPblInc { sender, message, .. }) = Packet::decode(&message) else { panic!("{message:?}") };
        assert_eq!(told(">>> Does your client show this?   "), format!("{sender}   {message}   [y, n, or s to skip]"));
        let output = kit.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains("\n  ok       C4.1 "), "{stdout}");
        let last = match answer {
            "y" => "\n  ok       C4.3 ",
            "n" => "\n  FAIL     C4.3 ",
            _ => "\n  skipped  C4.3 ",
        };
        assert!(stdout.contains(last), "{stdout}");
        assert_eq!(output.status.code(), Some(expected), "{stdout}");
    }
}
