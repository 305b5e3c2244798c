//! The options in the manual, in `--help` and in the README are those of the programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/help.rs"]
mod help;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use cfp::limits;
use cfp::shell::options::{self, Command as Asked};
use cfp::wire::{Code, Decoder, ErrorReason, FileChunk, Packet, ServerId};

/// An option in its written form, `-l, --listen IP:PORT`, and its default.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    long: String,
    short: Option<String>,
    argument: Option<String>,
    default: Option<String>,
}

impl Written {
    fn new(forms: &str, text: &str) -> Written {
        let mut words = forms.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
        let short = words.next_if(|word| !word.starts_with("--")).map(str::to_owned);
        let long = words.next().unwrap_or_else(|| panic!("{forms:?} has a long form")).to_owned();
        assert!(long.starts_with("--"), "{forms:?}");
        let argument = words.next().map(str::to_owned);
        assert_eq!(words.next(), None, "{forms:?}");
        let default = text.split_once("(default").map(|(_, rest)| rest.split_once(')').unwrap().0.to_owned());
        Written { long, short, argument, default }
    }
}

/// What `--help` says.
fn in_help(help: &str) -> Vec<Written> {
    help::options(help).iter().map(|(forms, text)| Written::new(forms, text)).collect()
}

/// What the list of options in the manual page says.
fn in_manual(page: &str) -> Vec<Written> {
    let list = page.split_once("The options are as follows.\n").unwrap().1.split_once("\n.El\n").unwrap().0;
    let item = |item: &str| {
        let (forms, text) = item.split_once('\n').unwrap();
        // `.It Fl i , Fl -id Ar N` prints as `-i, --id N`.
        let forms = forms.replace("Fl ", "-").replace("Ar ", "");
        // `.Pq default 10 .` prints as `(default 10).`.
        let text: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix(".Pq ") {
                Some(rest) => format!("({})", rest.trim_end_matches(" .")),
                None => line.to_owned(),
            })
            .collect();
        Written::new(&forms, &text.join(" "))
    };
    list.split("\n.It ").skip(1).map(item).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn manual_help_and_code_have_the_same_options_with_the_same_defaults() {
    let server = env!("CARGO_BIN_EXE_cfp-server");
    has_the_same_options(server, &options::usage(), 20, "docs/cfp-server.1");
    let client = env!("CARGO_BIN_EXE_cfp-client");
    has_the_same_options(client, &cfp::client::options::usage(), 13, "docs/cfp-client.1");
}

fn has_the_same_options(program: &str, usage: &str, at_least: usize, page: &str) {
    let code = in_help(usage);
    assert!(code.len() >= at_least, "{code:#?}");
    let help = Command::new(program).arg("--help").output().unwrap();
    assert_eq!(String::from_utf8(help.stdout).unwrap(), usage);
    let manual = in_manual(&read(page));
    let (code_set, manual_set): (BTreeSet<_>, BTreeSet<_>) = (code.iter().collect(), manual.iter().collect());
    let missing: Vec<_> = code_set.difference(&manual_set).collect();
    let invented: Vec<_> = manual_set.difference(&code_set).collect();
    assert!(missing.is_empty() && invented.is_empty(), "not in the manual: {missing:#?}\nonly there: {invented:#?}");
    assert_eq!(manual, code, "the order");
}

#[test]
fn the_manual_of_the_client_has_all_that_can_be_typed() {
    let page = read("docs/cfp-client.1");
    let list = page.split_once(".Ss What can be typed\n").unwrap().1.split_once("\n.El\n").unwrap().0;
    // `.It Ic /accept Op Ar NICKNAME@ID Op Ar NAME` begins with `/accept`.
    let first = |item: &str| item.trim_start_matches("Ic ").split(' ').next().unwrap().to_owned();
    let in_manual: Vec<String> = list.lines().filter_map(|line| line.strip_prefix(".It ")).skip(1).map(first).collect();
    let word = |form: &str| form.split(' ').next().unwrap().replace("//text", "//");
    let in_help: Vec<String> = cfp::client::command::HELP.iter().skip(1).map(|(form, _)| word(form)).collect();
    assert_eq!(in_manual, in_help);
}

#[test]
fn the_manual_of_the_conformance_kit_has_its_options() {
    assert_eq!(in_manual(&read("docs/cfp-conform.1")), in_help(&cfp::conform::usage()));
}

#[test]
fn the_manual_has_the_commands_of_the_control_socket() {
    let page = read("docs/cfp-server.1");
    let list = page.split_once(".Ss Control socket\n").unwrap().1.split_once("\n.El\n").unwrap().0;
    let items = list.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    // `Op Ar DURATION` prints as `[DURATION]`.
    let prints = |item: &str| match item.split_once(" Op Ar ") {
        Some((item, optional)) => format!("{} [{optional}]", item.replace("Ar ", "")),
        None => item.replace("Ar ", ""),
    };
    let in_manual: Vec<String> = items.map(prints).collect();
    let in_help = help::commands();
    assert_eq!(in_manual, in_help);
}

/// A default that is written as a number is the number in force.
#[test]
fn defaults_that_are_numbers_are_those_in_force() {
    let Ok(Asked::Serve(plain)) = options::parse(["--id", "7"].map(Into::into)) else {
        panic!("an ID is enough");
    };
    let in_force = [
        ("--listen", plain.listen.to_string()),
        ("--max-message", plain.config.frame.message_max_bytes.to_string()),
        ("--max-queue", plain.config.max_queue_bytes.to_string()),
        ("--max-link-queue", plain.config.max_link_queue_bytes.to_string()),
        ("--max-memory", plain.config.max_memory_bytes.to_string()),
        ("--handshake-timeout", (plain.config.handshake_ms / 1000).to_string()),
    ];
    let written: Vec<(String, String)> = in_help(&options::usage())
        .into_iter()
        .filter_map(|option| Some((option.long, option.default?.trim().to_owned())))
        .filter(|(_, default)| default.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    let in_force: Vec<(String, String)> = in_force.map(|(long, value)| (long.to_owned(), value)).to_vec();
    assert_eq!(written, in_force);
}

#[test]
fn the_examples_for_authors_of_clients_are_what_the_codec_reads() {
    let page = read("docs/protocol.md");
    let rows = page.split_once("### Examples in bytes").unwrap().1.split_once("| packet | bytes |\n").unwrap().1;
    let rows = rows.lines().skip(1).take_while(|row| row.starts_with('|'));
    let examples: Vec<(&str, Vec<u8>)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let (hex, zeroes) = match cells[2].split_once(" 00 × ") {
                Some((hex, count)) => (hex, count.parse().unwrap()),
                None => (cells[2], 0),
            };
            let digits: Vec<u32> = hex.chars().filter(|digit| *digit != ' ').map(|d| d.to_digit(16).unwrap()).collect();
            let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
            bytes.extend(vec![0; zeroes]);
            (cells[1], bytes)
        })
        .collect();
    let mut content = [0; limits::CHUNK_BYTES];
    content[..2].copy_from_slice(b"hi");
    let chunk = FileChunk { transfer_id: 42, file_name: "hi.txt", chunks: 1, content: &content };
    let packets = [
        Packet::AuthUsr { nickname: "maria", password: "open sesame" },
        Packet::MsgPrv { destination: ServerId(7), receiver: "bob", message: "psst" },
        Packet::FileChnk { destination: ServerId(7), receiver: "bob", chunk },
        Packet::Error { sender: "maria", reason: ErrorReason::UnknownReceiver },
    ];
    assert_eq!(examples.len(), packets.len());
    for ((name, bytes), packet) in examples.iter().zip(&packets) {
        let mut decoder = Decoder::new();
        decoder.feed(bytes);
        assert_eq!(decoder.next(), Some(Ok(*packet)), "{name}");
        assert_eq!(decoder.next(), None, "{name}");
        assert_eq!(Code::from_byte(bytes[0]).map(Code::name), Some(*name));
    }
}

/// The sections of the README use different ports, IDs and nicknames, so they work in any order.
#[test]
fn the_sections_of_the_readme_do_not_disturb_each_other() {
    let readme = read("README.md");
    let starts: Vec<&str> = readme.lines().filter(|line| line.contains("--bin cfp-server -- --id ")).collect();
    let value = |line: &str, option: &str, default: &str| {
        line.split_once(option).map_or(default, |(_, rest)| rest.split(' ').next().unwrap()).to_owned()
    };
    let ids: BTreeSet<String> = starts.iter().map(|line| value(line, "--id ", "")).collect();
    let ports: BTreeSet<String> = starts
        .iter()
        .map(|line| value(line, "--listen ", "0.0.0.0:7777").rsplit_once(':').unwrap().1.to_owned())
        .collect();
    assert!(starts.len() >= 3 && ids.len() == starts.len() && ports.len() == starts.len(), "{starts:#?}");
    // The nicknames of the section with `nc` are not those of the clients.
    let clients: Vec<&str> =
        readme.lines().filter_map(|line| line.split_once("--bin cfp-client -- ")?.1.split(' ').nth(1)).collect();
    assert!(clients.len() >= 3, "{clients:?}");
    for line in readme.lines().filter(|line| line.contains("printf '\\0")) {
        assert!(!clients.iter().any(|nickname| line.contains(&format!("\\{}{nickname}", nickname.len()))), "{line}");
    }
}

/// One path of the control socket, so that the examples of one page work with those of another.
#[test]
fn all_pages_have_the_control_socket_at_the_same_path() {
    let mut count = 0;
    for page in [
        "README.md",
        "docs/operations.md",
        "docs/cfp-server.1",
        "docs/cfp-server.service",
        "docs/container/README.md",
        "docs/container/cfp-server.Dockerfile",
        "docs/container/docker-compose.yml",
        "scripts/compose-demo.sh",
        "tests/container/docker.rs",
    ] {
        let text = read(page).replace("\", \"", " ");
        for rest in text.split("--control ").skip(1).filter(|rest| rest.starts_with('/')) {
            assert!(rest.starts_with("/run/cfp/control"), "{page}: {:?}", rest.lines().next());
            count += 1;
        }
        assert!(!text.contains("cfp.sock") && !text.contains("/run/cfp-server"), "{page}");
    }
    assert!(count >= 8, "{count}");
    for page in ["docs/cfp-server.service", "docs/container/cfp-server.Dockerfile"] {
        assert!(read(page).contains(" CFP_CONTROL=/run/cfp/control\n"), "{page}");
    }
    assert!(read("docs/cfp-server.service").contains("RuntimeDirectory=cfp\n"));
    assert!(read("docs/container/docker-compose.yml").contains("/run/cfp:"));
}

#[test]
fn the_manual_of_the_protocol_has_every_packet_and_the_limits() {
    let page = read("docs/cfp.5");
    for code in Code::ALL {
        let heading = format!("\n.It 0x{:02X} {}\n", code.byte(), code.name());
        assert!(page.contains(&heading), "{heading:?}");
    }
    for limit in [
        format!("1 to {} bytes, without control", limits::NICKNAME_MAX_BYTES),
        format!("0 to {} bytes", limits::MESSAGE_MAX_BYTES),
        format!("Up to {} bytes", limits::PASSWORD_MAX_BYTES),
        format!("1 to {} bytes.\n", limits::FILE_NAME_MAX_BYTES),
        format!("Always {} bytes", limits::CHUNK_BYTES),
        format!("After {} ignored packets", limits::IGNORED_PACKETS_MAX),
        format!("i={},l=32", limits::PASSWORD_ITERATIONS),
        format!("{} million at most", limits::PASSWORD_ITERATIONS_MAX / 1_000_000),
    ] {
        assert!(page.contains(&limit), "{limit:?}");
    }
}

#[test]
#[ignore = "needs mandoc: .ci/run runs it"]
fn the_manual_pages_are_sound() {
    for page in ["docs/cfp-client.1", "docs/cfp-conform.1", "docs/cfp-server.1", "docs/cfp.5"] {
        let mut command = Command::new("mandoc");
        command.args(["-Tlint", "-Wwarning"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(page));
        let output = command.output().expect("mandoc is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Options in the README's commands and code spans are ours, or come after another program's name.
#[test]
fn the_readme_mentions_only_options_that_exist() {
    let readme = read("README.md");
    let usages = [options::usage(), cfp::client::options::usage()];
    let known: BTreeSet<String> = usages
        .iter()
        .flat_map(|usage| usage.split([' ', '\n', ',']))
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect();
    for option in mentioned(&readme) {
        assert!(known.contains(&option), "{option} is in the README and in no program");
    }
}

/// The long options in code that are ours, by their place.
fn mentioned(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let joined = markdown.replace("\\\n", " ");
    let mut is_block = false;
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            found.extend(ours(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).flat_map(ours));
        }
    }
    found
}

fn ours(code: &str) -> Vec<String> {
    let mut words = code.split_whitespace().skip_while(|word| matches!(*word, "$" | "#" | "sudo")).peekable();
    // Options alone are ours; behind a program's name they are that program's.
    let mut is_ours = words.peek().is_some_and(|first| first.starts_with('-'));
    let mut found = Vec::new();
    for word in words {
        let program = word.rsplit('/').next().unwrap_or(word);
        if word == "--" || program.starts_with("cfp-server") || program.starts_with("cfp-client") {
            is_ours = true;
        } else if matches!(word, "|" | "&&" | ";" | "||") {
            is_ours = false;
        } else if is_ours && word.starts_with("--") {
            let name = word.split(['=', '.', ',', ')', ';', ':', ']']).next().unwrap_or(word);
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn an_option_counts_as_ours_behind_our_program_or_alone() {
    let markdown = "`--alone` and `docker run --read-only cfp-server --id 7`\n\
        ```sh\ncargo run --release --bin cfp-server -- --listen x \\\n  --merge=y\nnc --foreign\n```\n--prose";
    assert_eq!(mentioned(markdown), ["--alone", "--id", "--listen", "--merge"]);
}

#[test]
fn scripts_that_write_something_say_how_they_are_used_and_make_nothing_of_an_unknown_option() {
    for script in
        ["build-deb", "build-image", "build-release", "build-static", "check-deb", "make-certificate", "make-peer-ca"]
    {
        let run = |option: &str| {
            let path = format!("{}/scripts/{script}.sh", env!("CARGO_MANIFEST_DIR"));
            Command::new("sh").args([&path, option]).output().unwrap()
        };
        let help = run("--help");
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && text.contains(script) && !text.contains("set -"), "{script}: {text}");
        let unknown = run("--force");
        let line = String::from_utf8(unknown.stderr).unwrap();
        let expected = format!("{script}: there is no option --force; --help says what there is\n");
        assert_eq!((unknown.status.code(), line), (Some(2), expected));
    }
}
