//! docs/operations.md is read when something is wrong: what it says must be what the server does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/help.rs"]
mod help;
#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cfp::core::state::counters::Ignored;
use cfp::core::state::effects::CloseReason;
use cfp::limits;
use cfp::shell::options;
use node::Node;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/operations.md")).unwrap()
}

/// The page with blanks in place of line ends, so that it does not matter where its lines are broken.
fn flat_page() -> String {
    page().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first column of the table with this heading, without its code marks.
fn first_column(page: &str, heading: &str) -> Vec<String> {
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("{heading:?} is a table"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().replace('`', "")).collect()
}

#[test]
fn the_options_are_those_of_help() {
    let in_help = help::options(&options::usage()).into_iter().map(|(forms, _)| forms);
    // The last row has two options that need no word.
    let written = first_column(&page(), "| option | meaning | default |");
    let written = written.iter().flat_map(|forms| match forms.split_once(", -V") {
        Some((help, version)) => vec![help.to_owned(), format!("-V{version}")],
        None => vec![forms.clone()],
    });
    assert_eq!(written.collect::<Vec<_>>(), in_help.collect::<Vec<_>>());
}

#[test]
fn the_commands_of_the_control_socket_are_those_of_help() {
    let in_help = help::commands();
    assert_eq!(first_column(&page(), "| command | answer |"), in_help);
}

#[test]
fn every_metric_is_explained_and_no_other() {
    let node = Node::start(7, &[]);
    let answer = node.ask("metrics");
    let emitted: BTreeSet<&str> =
        answer.iter().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(emitted.len() >= 20, "{emitted:?}");
    let page = page();
    let rows = first_column(&page, "| metric | | what it says, and when to worry |");
    let explained: BTreeSet<&str> = rows.iter().flat_map(|row| row.split(", ")).collect();
    assert_eq!(explained, emitted);
    // Elsewhere on the page, too, no name is one that was.
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    for rest in page.split("cfp_").skip(1) {
        let name = format!("cfp_{}", rest.split(|c| !is_name(c)).next().unwrap());
        assert!(emitted.contains(name.as_str()), "{name} is no metric");
    }
}

#[test]
fn every_reason_is_explained_and_no_other() {
    let page = page();
    let ignored: Vec<&str> = Ignored::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(first_column(&page, "| `reason` | |"), ignored);
    let closed: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(first_column(&page, "| `reason` | in the log | what to do |"), closed);
    for reason in CloseReason::ALL {
        assert!(page.contains(&reason.to_string()), "{reason}");
    }
}

/// What stands in the log at the level of a warning or an error asks for action.
#[test]
fn every_warning_and_error_of_the_source_is_on_the_page() {
    let page = flat_page();
    let mut lines = 0;
    for path in sources(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        // The last of them chooses its level as it goes.
        for call in ["log::warn!(", "log::error!(", "log::log!("] {
            for rest in text.split(call).skip(1) {
                let literal = rest.split('"').nth(1).unwrap_or_else(|| panic!("a text in {}", path.display()));
                // On the page, values are three dots, letters or a word: the longest piece of the rest counts.
                let pieces = literal.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest));
                let longest = pieces.max_by_key(|piece| piece.len()).unwrap().trim_matches([' ', ':']);
                assert!(page.contains(longest), "{literal:?} of {} is not on the page", path.display());
                lines += 1;
            }
        }
    }
    assert!(lines >= 15, "{lines}");
}

/// The server's source files: the client and the benchmark have logs of their own.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.ends_with("src/client") && !path.ends_with("src/bench"))
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn the_numbers_are_those_in_force() {
    let page = flat_page();
    let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
    let mib = |bytes: u64| bytes / 1024 / 1024;
    for says in [
        format!("{} MiB + --max-clients × {} KiB", mib(limits::PROCESS_BYTES), limits::CONNECTION_BYTES / 1024),
        format!("never below {} KiB", limits::SOCKET_BUFFER_MIN_BYTES / 1024),
        format!("to {} KiB as long as", limits::SOCKET_BUFFER_USUAL_BYTES / 1024),
        format!("as long as {} sockets", limits::FULL_SOCKETS),
        format!("from a share of {} MiB on", mib(limits::SOCKET_BUFFER_MAX_BYTES)),
        format!("down to {} MiB of queues", mib(limits::QUEUES_MIN_BYTES)),
        format!("{} password checks waiting", thousands(limits::PASSWORD_CHECKS_MAX)),
        format!("waiting, {} from one address", limits::PASSWORD_CHECKS_PER_ADDRESS_MAX),
        format!("{} bans |", thousands(limits::BANS_MAX)),
        format!("more than {} wrong passwords from an address", limits::FAILURES_FREE),
        format!("after {} milliseconds, then twice", limits::FAILURE_DELAY_MIN_MS),
        format!("each time, {} seconds at most", limits::FAILURE_DELAY_MAX_MS / 1000),
        format!("{} addresses that have logged in before", thousands(limits::KNOWN_ADDRESSES_MAX)),
        format!("before, {} for each user", limits::KNOWN_ADDRESSES_PER_USER_MAX),
        format!("{} addresses with wrong passwords", thousands(limits::FAILURES_ADDRESSES_MAX)),
        format!("One address has {} such lines", limits::FAILURE_LINES_PER_ADDRESS),
        format!("the {}th ignored packet", u32::from(limits::IGNORED_PACKETS_MAX) + 1),
        format!("{} seconds in the middle of a packet", limits::MID_PACKET_MS / 1000),
        format!("nothing taken for {} seconds", limits::STALLED_READER_MS / 1000),
        format!("on a link, {} |", limits::LINK_KEEPALIVE.unacknowledged_ms / 1000),
        format!("in the kernel's accept queue (up to {})", thousands(limits::LISTEN_BACKLOG as usize)),
        format!("{} bytes of nickname, {} of a file name", limits::NICKNAME_MAX_BYTES, limits::FILE_NAME_MAX_BYTES),
        format!("{} of a password", thousands(limits::PASSWORD_MAX_BYTES)),
        format!("{} MiB of users file", mib(limits::USERS_FILE_MAX_BYTES)),
        format!("users file, {} bytes of a line", thousands(limits::USERS_LINE_MAX_BYTES)),
        format!("{} seconds for others that change", limits::USERS_LOCK_PATIENCE_MS / 1000),
        format!("{} million iterations", limits::PASSWORD_ITERATIONS_MAX / 1_000_000),
        format!("{} minutes of a lost server", limits::FORGET_MS / 60_000),
        format!("{} merges that operators wait for", limits::TARGETS_MAX),
        format!("{} addresses that they named", limits::NAMED_ADDRESSES_MAX),
        format!("{} names looked up at once", limits::LOOKUPS_MAX),
        format!("{} operators, {} bytes", limits::OPERATORS_MAX, thousands(limits::COMMAND_MAX_BYTES)),
        format!("{} scrapers, {} KiB", limits::SCRAPERS_MAX, limits::HTTP_HEAD_MAX_BYTES / 1024),
        format!("{} KiB of answers that wait for an operator", limits::OPERATOR_HIGH_WATER_BYTES / 1024),
        format!("{} seconds without a word over a link", limits::LINK_SILENCE_MS / 1000),
        format!("no answer in {} seconds", limits::ASK_ANSWER_MS / 1000),
        format!("stands still within {} s", (limits::LINK_SILENCE_MS + limits::ASK_ANSWER_MS) / 1000),
        format!("in the last {} seconds", limits::ERROR_WAIT_MS / 1000),
        format!("once in {} s", limits::TURNED_AWAY_LINE_MS / 1000),
        format!("{} seconds for writing out", limits::DRAIN_MS / 1000),
        format!("{} KiB of input from each connection", limits::READ_BYTES / 1024),
        format!("{} MiB from all", limits::TURN_WORK_BYTES / 1024 / 1024),
        format!("a packet counts {} bytes more than it has", limits::PACKET_WORK_BYTES),
        format!("{} new connections", limits::ACCEPTS_PER_TURN),
    ] {
        assert!(page.contains(&says), "{says:?}");
    }
}
