//! The sessions of scripts/, which a person can run with nc, against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::process::{Command, Output};

use support::Server;
use support::server::BINARY;

/// Runs a script, which says what it misses.
fn run(script: &str, arguments: &[&str]) -> Output {
    let path = format!("{}/scripts/{script}.sh", env!("CARGO_MANIFEST_DIR"));
    Command::new("sh").arg(path).args(arguments).env("CFP_SERVER", BINARY).output().unwrap()
}

fn succeeds(script: &str) {
    let output = run(script, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with(&format!("{script}: fine\n")));
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn two_guests_talk() {
    succeeds("talk");
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn a_registered_user_logs_in() {
    succeeds("login");
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn private_messages_are_private() {
    succeeds("private");
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn a_file_arrives_whole() {
    succeeds("file");
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn a_script_says_what_differs() {
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    let output = run("talk", &["127.0.0.1", &port, "8"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in ["what came back to ana differs", "expected: 3000000008", "came:     3000000007"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn three_servers_merge_and_their_clients_talk() {
    succeeds("merge-three");
}

/// The rows of the page's table: command, what comes back.
fn table() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).unwrap();
    let rows = page.split_once("| netcat | command | what comes back |\n").expect("the table").1.lines().skip(1);
    let cells = rows.take_while(|row| row.starts_with('|')).map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[2].trim_matches('`').to_owned(), cells[3].to_owned())
    });
    cells.collect()
}

/// Logs in and sends ten messages of 20,000 bytes, more than a pipe holds; returns what it has brought back at its end.
fn ten_messages(server: &Server, command: &str, patience_s: u32) -> Output {
    let (address, port) = (server.address(), server.address().port());
    let command = command.replace("HOST:PORT", &address.to_string()).replace("HOST PORT", &format!("127.0.0.1 {port}"));
    let script = format!(
        "{{ printf '\\0\\0\\0\\0\\3ana'; for i in 0 1 2 3 4 5 6 7 8 9; do printf '\\40\\0\\0\\116\\40'; \
         head -c 20000 /dev/zero; done; }} | timeout {patience_s} {command}"
    );
    Command::new("sh").arg("-c").arg(script).output().unwrap()
}

#[test]
#[ignore = "needs every netcat of the table: .ci/run installs them and runs it"]
fn the_netcats_do_what_the_table_says() {
    // AUTHRSP, and ten times code, origin, sender, message.
    let all_bytes = 2 + 10 * (1 + 4 + 4 + 3 + 4 + 20_000);
    let mut verdicts = [0, 0];
    for (command, verdict) in table() {
        let server = Server::start(&[]);
        if verdict.starts_with("everything") {
            let output = ten_messages(&server, &command, 60);
            assert_eq!(output.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.stdout.len(), all_bytes, "{command}");
            verdicts[0] += 1;
        } else if verdict.starts_with("never ends") {
            // timeout(1) has ended it.
            assert_eq!(ten_messages(&server, &command, 2).status.code(), Some(124), "{command}");
            verdicts[1] += 1;
        }
    }
    assert_eq!(verdicts, [5, 2]);
}

/// What the README shows behind a `$` gives what it shows below it.
#[test]
#[ignore = "needs netcat: .ci/run runs it"]
fn what_the_readme_types_gives_what_it_shows() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    // The reader of the README's other terminal.
    let mut zoe = server.guest("zoe");
    let mut lines = readme.lines().peekable();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("    $ printf ") else { continue };
        let mut shown = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("     ")) {
            shown.push_str(line.strip_prefix("    ").unwrap());
            shown.push('\n');
        }
        // The shell of the examples: dash's printf and bash's take the same.
        let output = Command::new("sh").arg("-c").arg(format!("printf {}", command.replace("7777", &port))).output();
        assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), shown, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 2);
    zoe.expect_public("eve", "hi");
    zoe.expect_private("eve", "zoe", "psst");
}
