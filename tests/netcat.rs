//! The sessions of scripts/, which a person can run with nc, against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::process::{Command, Output};

use support::Server;
use support::server::BINARY;

/// Runs a script. Nothing where OpenBSD's nc is missing: the tests must pass on a machine that has only Rust; CI
/// installs it.
fn run(script: &str, arguments: &[&str]) -> Option<Output> {
    let help = Command::new("nc").arg("-h").output();
    if !help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains("OpenBSD")) {
        assert!(std::env::var_os("CI").is_none(), "CI has to install netcat-openbsd");
        eprintln!("skipped: no OpenBSD nc here");
        return None;
    }
    let path = format!("{}/scripts/{script}.sh", env!("CARGO_MANIFEST_DIR"));
    Some(Command::new("sh").arg(path).args(arguments).env("CFP_SERVER", BINARY).output().unwrap())
}

fn succeeds(script: &str) {
    let Some(output) = run(script, &[]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(&format!("{script}: fine\n")));
}

#[test]
fn two_guests_talk() {
    succeeds("talk");
}

#[test]
fn a_registered_user_logs_in() {
    succeeds("login");
}

#[test]
fn private_messages_are_private() {
    succeeds("private");
}

#[test]
fn a_file_arrives_whole() {
    succeeds("file");
}

#[test]
fn a_script_says_what_differs() {
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    let Some(output) = run("talk", &["127.0.0.1", &port, "8"]) else { return };
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in ["what came back to ana differs", "expected: 3000000008", "came:     3000000007"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn three_servers_merge_and_their_clients_talk() {
    succeeds("merge-three");
}
