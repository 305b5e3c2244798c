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
        "--max-rate BYTES",
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
        &["--id", "7", "--max-queue", "65682"],
        &["--id", "7", "--max-link-queue", "65682"],
        &["--id", "7", "--max-memory", "197048"],
        &["--id", "7", "--max-message", "1048577"],
        &["--id", "7", "--max-memory", "lots"],
        &["--id", "7", "--max-per-address", "0"],
        &["--id", "7", "--max-rate", "0"],
        &["--id", "7", "--max-rate", ""],
        &["--id", "7", "--max-rate", "fast"],
        &["--id", "7", "--max-rate", "10k"],
        &["--id", "7", "--max-rate", "0", "--check"],
        &["--id", "7", "--handshake-timeout", "0"],
        &["--id", "7", "--proxy-from", "0.0.0.0/0"],
        &["--id", "7", "--proxy-from", "::/0"],
        &["--id", "7", "--proxy-from", "proxy.example"],
        &["--id", "7", "--no-guests"],
        &["--hash-password", ""],
        &["--hash-password", " ana"],
        &["--hash-password", "a\nb"],
        &["--id", "7", "--max-clients", "18446744073709551616"],
        &["--id", "7", "--max-memory", "1e9"],
        &["--id", "7", "--handshake-timeout", "86401"],
        &["--id", "7", "--advertise", "192.0.2.7"],
        &["--id", "7", "--advertise", "0.0.0.0:7777"],
        &["--id", "7", "--advertise", "0.1.2.3:7777"],
        &["--id", "7", "--advertise", "224.0.0.1:7777"],
        &["--id", "7", "--advertise", "255.255.255.255:7777"],
        &["--id", "7", "--advertise", "192.0.2.7:0"],
        &["--id", "7", "--advertise", "[2001:db8::1]:7777"],
        &["--id", "7", "--advertise", "chat.example:7777"],
        &["--id", "7", "--merge", "chat.example"],
        &["--id", "7", "--merge", "chat..example:7777"],
        &["--id", "7", "--merge", "chat.example:0"],
        &["--id", "7", "--merge", "a\nb:7777"],
        &["--id", "7", "--allow-peer", "192.0.2.0/33"],
        &["--id", "7", "--metrics", "9100"],
        &["--id", "7", "a\nb"],
        &["--a\nb"],
        // An unset variable without quotes.
        &["--id", "7", "--control", "--users", "users"],
        &["--ask", "status"],
        &["--ask", "status", "--control", "x", "--no-control"],
        &["--ask", "status\nshutdown", "--control", "x"],
        &["--ask", "status", "--control", "x", "--check"],
        &["--users", "x", "--add-user", "ana", "--remove-user", "bob"],
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

/// The options of a program that take a value, as `--help` lists them.
fn options_with_a_value(help: &str) -> Vec<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let options = lines.filter_map(|line| {
        let (_, rest) = line.split_once("--")?;
        let (name, hint) = rest.split_once(' ')?;
        hint.starts_with(|first: char| first.is_ascii_uppercase()).then(|| format!("--{name}"))
    });
    options.collect()
}

#[test]
fn no_option_of_any_program_takes_an_empty_value_or_one_with_blanks_around_it() {
    let programs = [
        (BINARY, &["--id", "7"][..], 17),
        (env!("CARGO_BIN_EXE_cfp-client"), &["127.0.0.1:1", "ana"], 3),
        (env!("CARGO_BIN_EXE_cfp-bench"), &["start"], 18),
        (env!("CARGO_BIN_EXE_cfp-conform"), &["127.0.0.1:1", "--id", "7"], 18),
    ];
    for (program, arguments, at_least) in programs {
        let run =
            |more: &[&str]| Command::new(program).args(more).args(arguments).stdin(Stdio::null()).output().unwrap();
        let options = options_with_a_value(&String::from_utf8(run(&["--help"]).stdout).unwrap());
        assert!(options.len() >= at_least, "{options:?}");
        for option in &options {
            for value in ["", " ", "\t", " x", "x "] {
                let output = run(&[option, value]);
                let stderr = String::from_utf8(output.stderr).unwrap();
                assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{option} {value:?}: {stderr}");
                assert!(
                    stderr.lines().count() == 2 && stderr.contains(option.as_str()),
                    "{option} {value:?}: {stderr}"
                );
            }
            let output = run(&[&format!("{option}=")]);
            assert_eq!(output.status.code(), Some(2), "{option}=");
        }
    }
}

#[test]
fn the_last_one_of_an_option_wins() {
    let mut command = Command::new(BINARY);
    command.args(["--id", "8", "--listen", "192.0.2.1:1", "--max-clients", "5", "--control", "/nonexistent/control"]);
    command.args(["--no-guests", "--no-guests", "--users", "/nonexistent/users"]);
    let users = UsersFile::new(&[("maria", "x")]);
    command.args(["-i", "7", "-l", "127.0.0.1:0", "--max-clients", "6", "--users", users.path(), "--no-control"]);
    let server = Server::spawn(command);
    server.wait_for_log("server 7 listens");
    let (status, stdout, stderr) = run(&["--check", "--id", "x", "--id", "7", "--advertise", "y", "-a", "1.2.3.4:5"]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
}

#[test]
fn a_message_that_cannot_be_written_changes_no_exit_status() {
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    // The reader never reads.
    let gone = || Stdio::from(std::io::pipe().unwrap().1);
    let bench = env!("CARGO_BIN_EXE_cfp-bench");
    let closed = |program: &str, arguments: &str, streams: &str| {
        Command::new("sh").arg("-c").arg(format!("exec \"{program}\" {arguments} {streams}")).status().unwrap().code()
    };
    let cases = [
        (BINARY, "--help", 0, 1),
        (BINARY, "--version", 0, 1),
        (BINARY, "--check --id 7", 1, 1),
        (BINARY, "--unknown", 2, 2),
        (BINARY, "--id 7 --listen 192.0.2.1:7", 1, 1),
        (BINARY, "--ask status --control /nonexistent/control", 1, 1),
        (bench, "--help", 0, 1),
        (bench, "--unknown", 2, 2),
        (bench, "start --binary /nonexistent/server", 1, 1),
    ];
    for (program, arguments, when_gone, when_full) in cases {
        let run = |stdout: Stdio, stderr: Stdio| {
            let mut command = Command::new(program);
            command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
            command.status().unwrap().code()
        };
        assert_eq!(run(gone(), gone()), Some(when_gone), "{arguments}, nobody reads");
        assert_eq!(run(full(), full()), Some(when_full), "{arguments}, full");
        // For a program of Rust, a closed descriptor is /dev/null.
        let expected = if when_gone == 0 || arguments.starts_with("--check") { 0 } else { when_gone };
        assert_eq!(closed(program, arguments, ">&- 2>&-"), Some(expected), "{arguments}, closed");
    }
}

#[test]
fn rust_log_that_is_empty_is_not_set_and_what_is_no_level_is_refused_by_name() {
    let start = |value: &str| {
        let mut command = Command::new("sh");
        // Server::spawn takes RUST_LOG out of the environment.
        command.arg("-c").arg(format!("RUST_LOG='{value}' exec \"$0\" --id 7 --listen 127.0.0.1:0")).arg(BINARY);
        command
    };
    for value in ["", " ", "info", "debug", "cfp_server=info", "cfp-server=debug", "cfp=info", "error,cfp_server=info"]
    {
        let server = Server::spawn(start(value));
        server.signal(rustix::process::Signal::TERM);
        server.wait_for_log("stopped");
    }
    for value in ["warning", "notice", "verbose", "2", "info,loud", "cfp_server=loud", "hyper=info", "cfp_sever=info"] {
        let output = start(value).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{value}: {stderr}");
        assert!(stderr.starts_with("cfp-server: RUST_LOG=") && stderr.lines().count() == 2, "{stderr}");
        let word = value.rsplit(['=', ',']).next().unwrap();
        assert!(stderr.contains(if word == "info" { value.split('=').next().unwrap() } else { word }), "{stderr}");
        let check = Command::new(BINARY).args(["--check", "--id", "7"]).env("RUST_LOG", value).output().unwrap();
        assert_eq!(check.status.code(), Some(2), "{value}");
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
#[ignore = "needs IPv6: .ci/run runs it where that is"]
fn an_ipv6_address_is_listened_on() {
    let mut command = Command::new(BINARY);
    command.args(["--id", "7", "--listen", "[::1]:0"]);
    let server = Server::spawn(command);
    assert!(server.address().is_ipv6());
    server.guest("ana").expect_nothing_but_itself("ana");
}

#[test]
#[ignore = "needs unshare(1) with a network namespace, and ip(8); .ci/run runs it where there are both"]
fn without_a_default_route_the_only_address_is_advertised_and_between_several_the_operator_chooses() {
    let run = |set_up: &str, options: &str| {
        let script = format!("ip link set lo up && {set_up} && exec timeout 5 {BINARY} --id 7 {options}");
        let output = Command::new("unshare").args(["-rn", "sh", "-ec", &script]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (one, two) = ("ip address add 10.9.8.7/32 dev lo", "ip address add 10.9.8.6/32 dev lo");
    // A server that serves is ended by its time limit.
    let (status, stderr) = run(one, "--listen 0.0.0.0:7777");
    assert!(status == Some(124) || status == Some(0), "{stderr}");
    assert!(stderr.contains("advertised as 10.9.8.7:7777"), "{stderr}");
    let (status, stderr) = run("true", "--listen 0.0.0.0:7777");
    assert!(status == Some(124) || status == Some(0), "{stderr}");
    assert!(stderr.contains("advertised as 127.0.0.1:7777"), "{stderr}");
    let several = format!("{one} && {two}");
    for more in ["", " --check", " --listen [::]:7777"] {
        let (status, stderr) = run(&several, &format!("--listen 0.0.0.0:7777{more}"));
        assert_eq!(status, Some(2), "{stderr}");
        assert!(stderr.contains("10.9.8.6, 10.9.8.7") && stderr.contains("--advertise IP:PORT"), "{stderr}");
    }
    let (status, stderr) = run("true", "--merge 10.1.1.1:7777");
    assert!(status == Some(2) && stderr.contains("--advertise IP:PORT"), "{stderr}");
    let (status, stderr) = run(&several, "--check --advertise 10.9.8.6:7777");
    assert_eq!(status, Some(0), "{stderr}");
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

#[test]
#[cfg(not(feature = "tls"))]
fn a_server_without_tls_says_so_if_it_is_to_have_it() {
    for option in [&["--tls-cert", "cert.pem"][..], &["--tls-key", "key.pem"], &["--require-tls"], &["--peer-ca", "ca"]]
    {
        let (status, _, stderr) = run(&[&["--id", "7"], option].concat());
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains(option[0]) && stderr.contains("was built without TLS"), "{stderr}");
    }
}
