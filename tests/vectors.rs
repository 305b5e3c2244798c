//! `docs/vectors.json`: what this code makes of the protocol, for other implementations to compare with. The file is
//! written by this test, from packets, and played against the real server.
//!
//!     CFP_WRITE_VECTORS=1 cargo test --test vectors
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

#[path = "vectors/fields.rs"]
mod fields;
#[path = "vectors/ignored.rs"]
mod ignored;
#[path = "vectors/layout.rs"]
mod layout;
#[path = "vectors/play.rs"]
mod play;
#[path = "vectors/routed.rs"]
mod routed;
#[path = "vectors/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cfp::wire::{Code, FrameLimits, Packet, Scan, scan};
use serde_json::Value;
use support::Server;
use support::users::UsersFile;

/// The two servers that the sessions are written for, and what each is not.
const KINDS: [(&[&str], &str); 2] = [(&[], "routed"), (&["--routed"], "dense")];

fn server(more: &[&str]) -> (Server, UsersFile) {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    (Server::start(&[&["--users", users.path()], more].concat()), users)
}

/// Whether a session, or a state, can be played by a server that is not this.
fn is_for(needs: &Value, without: &str) -> bool {
    needs.as_array().unwrap().iter().all(|need| !need.as_str().unwrap().contains(without))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(path("docs/vectors.json")).unwrap()).unwrap()
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    assert!(hex.len().is_multiple_of(2));
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_file_is_what_the_code_writes() {
    let text = layout::file(&written::all());
    if std::env::var_os("CFP_WRITE_VECTORS").is_some() {
        // In one step, since the other tests read it.
        std::fs::write(path("docs/vectors.json.new"), &text).unwrap();
        std::fs::rename(path("docs/vectors.json.new"), path("docs/vectors.json")).unwrap();
    }
    let file = std::fs::read_to_string(path("docs/vectors.json")).unwrap_or_default();
    assert!(file == text, "docs/vectors.json is out of date: CFP_WRITE_VECTORS=1 cargo test --test vectors");
}

#[test]
fn the_packets_have_every_code_and_are_read_back_from_their_bytes() {
    let vectors = vectors();
    let mut codes = BTreeSet::new();
    for vector in vectors["packets"].as_array().unwrap() {
        let bytes = bytes_of(&vector["bytes"]);
        let is_routed = vector["from"] == "routed server to routed server";
        let limits = FrameLimits { has_routed_codes: is_routed, ..FrameLimits::DEFAULT };
        assert_eq!(scan(&bytes, &limits), Scan::Packet { len: bytes.len() }, "{vector}");
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!(written::described(&packet), vector["packet"], "{vector}");
        codes.insert(packet.code());
    }
    assert_eq!(codes, Code::ALL.into_iter().collect());
    let layouts = vectors["layouts"].as_object().unwrap();
    for code in Code::ALL {
        assert_eq!(bytes_of(&layouts[code.name()]["code"]), [code.byte()], "{}", code.name());
    }
}

#[test]
fn what_is_to_be_ignored_is_ignored_by_the_server_in_that_state() {
    let vectors = vectors();
    let mut states = BTreeSet::new();
    for (more, without) in KINDS {
        let (server, _users) = server(more);
        for vector in vectors["ignored"].as_array().unwrap() {
            let name = vector["state"].as_str().unwrap();
            let state = &vectors["states"][name];
            if is_for(&state["needs"], without) {
                play::ignored(server.address(), state, vector);
                states.insert(name);
            }
        }
    }
    assert!(states.into_iter().eq(["client", "link", "newcomer"]));
}

#[test]
fn every_session_goes_as_it_is_written() {
    for (more, without) in KINDS {
        let (server, _users) = server(more);
        for session in vectors()["sessions"].as_array().unwrap() {
            if is_for(&session["needs"], without) {
                play::session(server.address(), session["steps"].as_array().unwrap(), session);
            }
        }
    }
}

/// What the short player prints if all is well.
fn printed(without: &str) -> Vec<String> {
    let vectors = vectors();
    let is_played = |vector: &&Value| {
        let state = &vectors["states"][vector["state"].as_str().unwrap_or_default()];
        let needs = [&vector["needs"], &state["needs"]].into_iter().find(|needs| needs.is_array());
        needs.is_none_or(|needs| is_for(needs, without))
    };
    let count = |part: &str| vectors[part].as_array().unwrap().iter().filter(is_played).count();
    ["packets", "ignored", "sessions"].map(|part| format!("{part}: {} ok\n", count(part))).into()
}

#[test]
fn the_page_shows_how_many_there_are() {
    let page = std::fs::read_to_string(path("docs/vectors.md")).unwrap();
    let expected = format!("--without routed\n    {}", printed("routed").join("    "));
    assert!(page.contains(&expected), "{expected}");
}

/// Independent of this code: another program, which encodes every packet by itself.
#[test]
#[ignore = "needs python3"]
fn a_short_python_program_plays_all_of_it() {
    let play = |server: &Server, without| {
        let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
        let mut python = Command::new("python3");
        python.arg(path("scripts/play-vectors.py")).args([&host, &port, "--without", without]);
        let output = python.output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.success(), stdout, stderr)
    };
    for (more, without) in KINDS {
        let (server, _users) = server(more);
        let (is_fine, stdout, stderr) = play(&server, without);
        assert!(is_fine && stdout == printed(without).concat(), "{stdout}{stderr}");
        // A server of the other kind is found to be none.
        let (is_fine, stdout, _) = play(&server, if without == "dense" { "routed" } else { "dense" });
        assert!(!is_fine && stdout.contains("FAIL"), "{stdout}");
    }
}

#[test]
#[ignore = "needs python3 with jsonschema"]
fn the_file_fits_its_schema() {
    let check = "import json, sys, jsonschema; jsonschema.validate(*(json.load(open(p)) for p in sys.argv[1:]))";
    let arguments = [path("docs/vectors.json"), path("docs/vectors.schema.json")];
    let output = Command::new("python3").args(["-c", check]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
}
