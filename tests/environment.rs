//! Options from the environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/help.rs"]
mod help;
mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use cfp::arguments::variables::Kind;
use cfp::shell::options;
use support::Server;
use support::server::BINARY;
use support::users::UsersFile;

/// Runs to the end; returns exit status, standard output and standard error.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(environment.iter().copied()).env_remove("RUST_LOG").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// The program says what is wrong in one line, points to its help in another, and names the variable.
fn is_refused(arguments: &[&str], name: &str, value: &str) -> String {
    let (status, stdout, stderr) = run(arguments, &[(name, value)]);
    assert_eq!((status, stdout.as_str()), (2, ""), "{name}={value:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains(name) && lines[1].contains("--help"), "{name}={value:?}: {stderr}");
    lines[0].to_owned()
}

#[test]
fn every_option_but_the_commands_has_its_variable_and_help_names_it() {
    let commands = ["hash-password", "add-user", "remove-user", "ask", "check", "help", "version"];
    let mut without = BTreeSet::new();
    for (forms, text) in help::options(&options::usage()) {
        let long = forms.split_once("--").unwrap().1.split(' ').next().unwrap();
        let name = format!("CFP_{}", long.to_uppercase().replace('-', "_"));
        if !text.ends_with(&format!(" [{name}]")) {
            assert!(!text.contains("CFP_"), "{text}");
            without.insert(long.to_owned());
        }
    }
    assert_eq!(without, commands.map(str::to_owned).into());
    assert!(options::variables().len() >= 20);
}

#[test]
fn no_variable_takes_an_empty_value_or_one_that_its_option_cannot_have() {
    for variable in options::variables() {
        let bad: &[&str] = match variable.kind {
            Kind::Value(_) => &["", " ", "\t", " x", "x\n"],
            Kind::List(_) => &["", " ", ",", "192.0.2.1,", "192.0.2.1:1,,192.0.2.2:1", "a b c"],
            Kind::Flag => &["", " ", "2", "on", "yes ", "y", "--check"],
        };
        for value in bad {
            is_refused(&["--check", "--id", "7"], &variable.name, value);
        }
    }
}

#[test]
fn a_value_that_its_option_refuses_is_named_by_its_variable() {
    for (name, value) in [
        ("CFP_LISTEN", "localhost:7777"),
        ("CFP_ADVERTISE", "192.0.2.7"),
        ("CFP_MERGE", "192.0.2.7:7777 elsewhere"),
        ("CFP_ALLOW_PEER", "192.0.2.0/33"),
        ("CFP_PROXY_FROM", "0.0.0.0/0"),
        ("CFP_METRICS", "9100"),
        ("CFP_NO_GUESTS", "yes"),
        ("CFP_MAX_CLIENTS", "0"),
        ("CFP_MAX_MESSAGE", "lots"),
        ("CFP_MAX_QUEUE", "10"),
        ("CFP_MAX_QUEUE", "65682"),
        ("CFP_MAX_LINK_QUEUE", "65682"),
        ("CFP_MAX_PER_ADDRESS", "-1"),
        ("CFP_MAX_RATE", "10k"),
        ("CFP_MAX_MEMORY", "197048"),
        ("CFP_HANDSHAKE_TIMEOUT", "86401"),
    ] {
        let line = is_refused(&["--check", "--id", "7"], name, value);
        assert!(line.starts_with(&format!("cfp-server: {name} ")), "{line}");
    }
    is_refused(&["--check"], "CFP_ID", "seven");
}

#[test]
fn a_server_starts_from_its_environment_alone_and_the_command_line_wins() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let mut command = Command::new(BINARY);
    command.args(["--max-clients", "6", "--allow-peer", "192.0.2.3"]);
    command.env("CFP_ID", "7").env("CFP_LISTEN", "127.0.0.1:0").env("CFP_MAX_CLIENTS", "5");
    command.env("CFP_USERS", users.path()).env("CFP_NO_GUESTS", "0").env("CFP_MAX_MESSAGE", "100");
    command.env("CFP_NO_CONTROL", "yes").env("CFP_CONTROL", "/nonexistent/control");
    let server = Server::spawn(command);
    server.wait_for_log("1 registered users");
    server.wait_for_log("6 clients");
    server.guest("ana").expect_nothing_but_itself("ana");
    let (status, stdout, stderr) =
        run(&["--id", "7", "--check"], &[("CFP_ID", "x"), ("CFP_MERGE", "192.0.2.1:1, x:2")]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
}

#[test]
fn help_and_version_are_shown_whatever_the_environment_is() {
    for option in ["--help", "--version"] {
        let (status, stdout, stderr) = run(&[option], &[("CFP_ID", ""), ("CFP_LISTN", "")]);
        assert!(status == 0 && stdout.contains("cfp-server") && stderr.is_empty(), "{option}: {stderr}");
    }
}

#[test]
fn a_mistyped_variable_is_a_mistake_and_an_unknown_one_a_warning_without_its_value() {
    for name in ["CFP_LISTN", "CFP_USER", "CFP_MAXCLIENTS", "CFP_TLS_CRET", "cfp_listen", "CFP-MERGE"] {
        let line = is_refused(&["--check", "--id", "7"], name, "open sesame");
        assert!(!line.contains("sesame") && line.contains(" meant?"), "{line}");
    }
    let foreign =
        [("CFP_PASSWORD", "open sesame"), ("CFP_PORT_7777_TCP", "tcp://192.0.2.1:7777"), ("CFP_OPTIONS", "x")];
    let (status, _, stderr) = run(&["--id", "7", "--check"], &foreign);
    assert_eq!((status, stderr.lines().count()), (0, 1), "{stderr}");
    assert!(foreign.iter().all(|(name, _)| stderr.contains(name)) && !stderr.contains("sesame"), "{stderr}");
    let mut command = Command::new(BINARY);
    command.args(["--id", "7", "--listen", "127.0.0.1:0"]).envs(foreign);
    let line = Server::spawn(command).wait_for_log("which change nothing");
    assert!(line.contains("CFP_PASSWORD") && line.contains("WARN") && !line.contains("sesame"), "{line}");
}
