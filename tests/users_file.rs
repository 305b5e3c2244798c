//! The users file as people write it, and with mistakes: what is refused, and with which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cfp::wire::{AuthResponse, Packet};
use node::{Node, fresh_path};
use rustix::process::Signal;
use support::Server;
use support::server::BINARY;
use support::users::{UsersFile, line};

fn check(path: &str) -> Output {
    Command::new(BINARY).args(["--check", "--id", "7", "--users", path]).stdin(Stdio::null()).output().unwrap()
}

/// What `--check` says is wrong, in one line.
fn problem(path: &str) -> String {
    let output = check(path);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{path}: {stderr}");
    assert!(stderr.contains(path), "{stderr}");
    stderr
}

fn registered(path: &str) -> String {
    let output = check(path);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn expect_login(server: &Server, nickname: &str, password: &str) {
    let mut client = server.connect();
    client.send(&Packet::AuthUsr { nickname, password });
    client.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
}

/// Everything that is no regular file, by name.
struct Others(std::path::PathBuf);

impl Others {
    fn new() -> Others {
        let folder = fresh_path("others");
        std::fs::create_dir(&folder).unwrap();
        assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
        drop(UnixListener::bind(folder.join("socket")).unwrap());
        std::os::unix::fs::symlink("/dev/zero", folder.join("link")).unwrap();
        Others(folder)
    }

    fn all(&self) -> [(String, &'static str); 5] {
        let path = |name: &str| self.0.join(name).to_str().unwrap().to_owned();
        [
            (path(""), "is a directory"),
            (path("pipe"), "is a pipe"),
            (path("socket"), "is a socket"),
            (path("link"), "is a device"),
            ("/dev/null".to_owned(), "is a device"),
        ]
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_the_start_and_nobody_waits_for_it() {
    let others = Others::new();
    for (path, kind) in others.all() {
        assert!(problem(&path).contains(kind), "{path}");
        let mut add = Command::new(BINARY);
        add.args(["--users", &path, "--add-user", "ana"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = add.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"secret\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains(kind), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    let piped = Command::new("bash")
        .args(["-c", "\"$0\" --check --id 7 --users <(echo)", BINARY])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&piped.stderr).contains("is a pipe"), "{piped:?}");
}

#[test]
fn what_is_no_regular_file_is_refused_on_a_reload_and_the_loop_goes_on() {
    let others = Others::new();
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    for (path, kind) in others.all() {
        std::fs::remove_file(users.path()).unwrap();
        std::os::unix::fs::symlink(&path, users.path()).unwrap();
        let answer = node.ask("reload");
        assert!(answer[0].starts_with("error ") && answer[0].contains(kind), "{answer:?}");
        node.server.signal(Signal::HUP);
        node.guest("ana").expect_nothing_but_itself("ana");
    }
    assert_eq!(node.status("registered_users"), "1");
    std::fs::remove_file(users.path()).unwrap();
    users.write(&[("maria", "open sesame")]);
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_taken_off() {
    let users = UsersFile::of_text(&format!("\u{feff}{}{}", line("maria", "open sesame"), line("zoe", "x")));
    let server = Server::start(&["--users", users.path()]);
    expect_login(&server, "maria", "open sesame");
    users.write_text("\u{feff}# nobody\n");
    assert!(registered(users.path()).contains("0 registered users"));
    // Two files were put together in the middle: that user could never log in.
    users.write_text(&format!("{}\u{feff}{}", line("zoe", "x"), line("maria", "open sesame")));
    assert!(problem(users.path()).contains("line 2: begins with a byte-order mark"));
    std::fs::write(users.path(), [0xff, 0xfe, b'm', 0, b'a', 0]).unwrap();
    assert!(problem(users.path()).contains("line 1: is UTF-16"));
}

#[test]
fn a_byte_order_mark_before_a_password_is_taken_off() {
    let users = UsersFile::of_text("");
    let mut add = Command::new(BINARY);
    add.args(["--users", users.path(), "--add-user", "maria"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = add.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), "\u{feff}open sesame\r\n".as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let server = Server::start(&["--users", users.path()]);
    expect_login(&server, "maria", "open sesame");
}

#[test]
fn a_line_that_is_not_utf8_is_named() {
    let users = UsersFile::of_text("");
    for (before, bytes) in [("", b"m\xffria:x\n".as_slice()), ("\n", b"# caf\xe9\n"), ("\n\r\n", b"cut \xc3")] {
        std::fs::write(users.path(), [before.as_bytes(), bytes].concat()).unwrap();
        let expected = format!("line {}: is not UTF-8", before.matches('\n').count() + 1);
        assert!(problem(users.path()).contains(&expected), "{expected}");
    }
}

#[test]
fn lines_end_as_on_any_system_and_the_last_one_need_not_end() {
    let (maria, zoe) = (line("maria", "open sesame"), line("zoe", "x"));
    let unterminated = format!("# ours\n{maria}{zoe}").trim_end().to_owned();
    for text in [format!("# ours\r\n{maria}\r\n{zoe}").replace("\n\r", "\r"), unterminated] {
        let users = UsersFile::of_text(&text);
        assert!(registered(users.path()).contains("2 registered users"), "{text:?}");
    }
}

#[test]
fn a_bad_line_is_named_whatever_is_wrong_with_it() {
    let maria = line("maria", "open sesame");
    let nul = maria.replace("maria", "ma\0ria");
    let long = format!("maria:{}\n", "x".repeat(100_000));
    let old_mac = format!("{0}\r{0}\r", maria.trim_end());
    for (text, says) in [
        (format!("{maria}{maria}"), "line 2: \"maria\" is there twice"),
        (format!("\n{nul}"), "line 2: \"ma\\0ria\" is not a legal nickname"),
        ("\0\0\0\0".to_owned(), "line 1: has no ':'"),
        (long, "line 1: is longer than 4096 bytes"),
        (old_mac, "line 1"),
        (maria.replace("maria", " maria"), "line 1: \" maria\" is not a legal nickname"),
    ] {
        let users = UsersFile::of_text(&text);
        assert!(problem(users.path()).contains(says), "{says}");
    }
}

#[test]
fn a_password_hash_with_parameters_that_are_not_its_own_is_refused() {
    let good = line("maria", "open sesame");
    let of = |parameters: &str| good.replace("i=1000,l=32", parameters);
    let users = UsersFile::of_text("");
    for (parameters, says) in [
        ("i=1000,l=abc", "has a hash of another length than 32 bytes"),
        ("i=1000,l=33", "has a hash of another length than 32 bytes"),
        ("i=1000,i=600000", "says i= twice"),
        ("i=1000,l=32,l=32", "says l= twice"),
        ("i=1000,l=32,p=1", "has the parameter p=, which is unknown"),
        ("i=01000,l=32", "does not say its iterations"),
        ("i=-1,l=32", "does not say its iterations"),
        ("i=99999999999,l=32", "does not say its iterations"),
        ("i=0,l=32", "has no iterations"),
        ("l=32", "does not say its iterations"),
        ("v=1$i=1000,l=32", "has a version"),
    ] {
        users.write_text(&format!("# a comment\n{}", of(parameters)));
        let problem = problem(users.path());
        assert!(problem.contains("line 2: ") && problem.contains(says), "{parameters}: {problem}");
    }
    for parameters in ["i=1000,l=32", "l=32,i=1000", "i=1000"] {
        users.write_text(&of(parameters));
        assert!(registered(users.path()).contains("1 registered users"), "{parameters}");
    }
}

#[test]
fn a_reload_that_would_remove_everybody_is_refused_unless_the_file_says_so() {
    let users = UsersFile::new(&[("maria", "open sesame"), ("zoe", "x")]);
    let node = Node::start(7, &["--users", users.path()]);
    for empty in ["", "\n", " \r\n\n", "\u{feff}"] {
        users.write_text(empty);
        let answer = node.ask("reload");
        let expected = "has no users and would remove all 2";
        assert!(answer.len() == 1 && answer[0].contains(expected) && answer[0].contains('#'), "{answer:?}");
    }
    node.server.signal(Signal::HUP);
    node.server.wait_for_log("would remove all 2");
    let mut guest = node.server.connect();
    guest.send(&Packet::AuthGst { nickname: "maria" });
    guest.expect(&Packet::AuthRsp { response: AuthResponse::Registered });
    users.write_text("# nobody for now\n");
    assert_eq!(node.ask("reload"), ["0 added, 2 removed, 0 changed", "ok"]);
    users.write_text("");
    assert_eq!(node.ask("reload"), ["0 added, 0 removed, 0 changed", "ok"]);
}

#[test]
fn who_removes_the_last_user_has_said_so() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let remove = Command::new(BINARY).args(["--users", users.path(), "--remove-user", "maria"]).output().unwrap();
    assert!(remove.status.success(), "{remove:?}");
    assert_eq!(node.ask("reload"), ["0 added, 1 removed, 0 changed", "ok"]);
    assert!(Path::new(users.path()).exists());
}
