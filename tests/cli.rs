//! The command line: what it prints, and how it exits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use support::Server;
use support::server::BINARY;
use support::users::{UsersFile, line};

/// Runs to the end; returns exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let arguments: Vec<OsString> = arguments.iter().map(|&argument| argument.into()).collect();
    run_os(&arguments)
}

fn run_os(arguments: &[OsString]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn fails_in_one_line(arguments: &[&str], parts: &[&str]) {
    let (status, stdout, stderr) = run(arguments);
    assert_eq!((status, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    assert!(stderr.starts_with("cfp-server: ") && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

#[test]
fn help_names_every_option_and_version_names_the_version() {
    let (status, help, stderr) = run(&["--help"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    for option in [
        "--id N",
        "--listen IP:PORT",
        "--users FILE",
        "--no-guests",
        "--max-clients N",
        "--max-message BYTES",
        "--max-queue BYTES",
        "--max-memory BYTES",
        "--max-per-address N",
        "--handshake-timeout SECONDS",
        "--hash-password NICKNAME",
        "--check",
        "--help",
        "--version",
    ] {
        assert!(help.contains(option), "{option} is not in {help}");
    }
    assert_eq!(run(&["-h"]).1, help);
    for flag in ["-V", "--version"] {
        assert_eq!(run(&[flag]), (0, format!("cfp-server {}\n", env!("CARGO_PKG_VERSION")), String::new()));
    }
}

#[test]
fn a_mistake_on_the_command_line_is_one_line_and_a_hint_and_exit_status_2() {
    let cases: &[&[&str]] = &[
        &[],
        &["--check"],
        &["--id"],
        &["--id", "-1"],
        &["--id", "4294967296"],
        &["--id", "seven"],
        &["--id", ""],
        &["--id", "7", "--id", "8"],
        &["--id", "7", "--listen", "nowhere"],
        &["--id", "7", "--listen", "127.0.0.1"],
        &["--id", "7", "--listen", "127.0.0.1:65536"],
        &["--id", "7", "--listen", "localhost:7777"],
        &["--id", "7", "--unknown"],
        &["--id", "7", "extra"],
        &["--id", "7", "--max-clients", "0"],
        &["--id", "7", "--max-message", "0"],
        &["--id", "7", "--max-message", "99999999999"],
        &["--id", "7", "--max-queue", "10"],
        &["--id", "7", "--max-memory", "lots"],
        &["--id", "7", "--max-per-address", "0"],
        &["--id", "7", "--handshake-timeout", "0"],
        &["--id", "7", "--proxy-from", "0.0.0.0/0"],
        &["--id", "7", "--proxy-from", "::/0"],
        &["--id", "7", "--proxy-from", "proxy.example"],
        &["--id", "7", "--no-guests"],
        &["--hash-password", ""],
        &["--hash-password", " ana"],
        &["--hash-password", "a\nb"],
        // A line that starts so is a comment in the users file.
        &["--hash-password", "#ana"],
    ];
    let mut cases: Vec<Vec<OsString>> =
        cases.iter().map(|case| case.iter().map(|&argument| argument.into()).collect()).collect();
    cases.push(vec!["--id".into(), OsString::from_vec(vec![b'7', 0xff])]);
    for case in &cases {
        let (status, stdout, stderr) = run_os(case);
        assert_eq!((status, stdout.as_str()), (2, ""), "{case:?}: {stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{case:?}: {stderr}");
        assert!(lines[0].starts_with("cfp-server: ") && lines[0].len() > 20, "{case:?}: {stderr}");
        assert!(lines[1].contains("--help"), "{case:?}: {stderr}");
    }
}

#[test]
fn a_users_file_that_cannot_be_used_is_one_line_that_names_it_and_the_line_in_it() {
    let good = line("maria", "open sesame");
    let good = good.trim_end();
    let hash = good.strip_prefix("maria").unwrap();
    let cases = [
        ("no colon".to_owned(), "line 1"),
        (format!("# comment\n\n{good}\nana:secret\n"), "line 4"),
        (format!("{good}\n{good}\n"), "line 2"),
        (format!(" ana{hash}\n"), "line 1"),
        (format!("{good}\n{}\n", good.replace("i=1000", "i=10000001").replace("maria", "ana")), "line 2"),
        (good.replace("i=1000", "i=0"), "line 1"),
        (good.replace("i=1000,", ""), "line 1"),
        (good.replace("pbkdf2-sha256", "argon2id"), "line 1"),
        (good[..good.len() - 4].to_owned(), "line 1"),
    ];
    for (text, place) in &cases {
        let file = UsersFile::of_text(text);
        fails_in_one_line(&["--id", "7", "--check", "--users", file.path()], &[file.path(), place]);
        fails_in_one_line(&["--id", "7", "--listen", "127.0.0.1:0", "--users", file.path()], &[file.path(), place]);
    }
    fails_in_one_line(&["--id", "7", "--check", "--users", "/nonexistent/users"], &["/nonexistent/users"]);
    fails_in_one_line(&["--id", "7", "--listen", "127.0.0.1:0", "--users", "/"], &["users file /"]);
}

#[test]
fn check_says_that_all_is_fine_and_does_not_listen() {
    let server = Server::start(&[]);
    let taken = server.address().to_string();
    let users = UsersFile::of_text(&format!("# ours\r\n\r\n{}", line("maria", "x").replace('\n', "\r\n")));
    let (status, stdout, stderr) = run(&["--check", "--id", "8", "--listen", &taken, "--users", users.path()]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("1 registered user"), "{stdout}");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_one_line_and_exit_status_1() {
    let server = Server::start(&[]);
    let taken = server.address().to_string();
    fails_in_one_line(&["--id", "8", "--listen", &taken], &[&taken, "in use"]);
    // An address for documentation, which no machine has.
    fails_in_one_line(&["--id", "8", "--listen", "192.0.2.1:7777"], &["192.0.2.1:7777"]);
}

#[test]
fn an_ipv6_address_is_listened_on_where_the_machine_has_one() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: no IPv6 here");
        return;
    }
    let mut command = Command::new(BINARY);
    command.args(["--id", "7", "--listen", "[::1]:0"]);
    let server = Server::spawn(command);
    assert!(server.address().is_ipv6());
    server.guest("ana").expect_nothing_but_itself("ana");
}

#[test]
fn a_password_that_is_too_long_is_not_hashed() {
    use std::io::Write;
    let mut command = Command::new(BINARY);
    command.args(["--hash-password", "ana"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[b'x'; 1025]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}
