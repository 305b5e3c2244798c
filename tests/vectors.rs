//! `docs/vectors.json`: what this code makes of the protocol, for other implementations to compare with. The file is
//! written by this test, from packets, and played against the real server.
//!
//!     CFP_WRITE_VECTORS=1 cargo test --test vectors
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

#[path = "vectors/ignored.rs"]
mod ignored;
#[path = "vectors/layout.rs"]
mod layout;
#[path = "vectors/play.rs"]
mod play;
#[path = "vectors/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cfp::wire::{Code, FrameLimits, Packet, Scan, scan};
use serde_json::Value;
use support::Server;
use support::users::UsersFile;

/// The server that the sessions are written for.
fn server() -> (Server, UsersFile) {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    (Server::start(&["--users", users.path()]), users)
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
        assert_eq!(scan(&bytes, &FrameLimits::default()), Scan::Packet { len: bytes.len() }, "{vector}");
        let packet = Packet::decode(&bytes).unwrap();
        assert_eq!(written::described(&packet), vector["packet"], "{vector}");
        codes.insert(packet.code());
    }
    let all: BTreeSet<Code> = Code::ALL.into_iter().filter(|code| !code.is_routed()).collect();
    assert_eq!(codes, all);
}

#[test]
fn what_is_to_be_ignored_is_ignored_by_the_server_in_that_state() {
    let (server, _users) = server();
    let vectors = vectors();
    let mut states = BTreeSet::new();
    for vector in vectors["ignored"].as_array().unwrap() {
        let state = vector["state"].as_str().unwrap();
        play::ignored(server.address(), &vectors["states"][state], vector);
        states.insert(state);
    }
    assert!(states.into_iter().eq(["client", "link", "newcomer"]));
}

#[test]
fn every_session_goes_as_it_is_written() {
    let (server, _users) = server();
    for session in vectors()["sessions"].as_array().unwrap() {
        play::session(server.address(), session["steps"].as_array().unwrap(), session);
    }
}

#[test]
fn the_page_shows_how_many_there_are() {
    let (vectors, page) = (vectors(), std::fs::read_to_string(path("docs/vectors.md")).unwrap());
    for part in ["packets", "ignored", "sessions"] {
        let line = format!("{part}: {} ok\n", vectors[part].as_array().unwrap().len());
        assert!(page.contains(&line), "{line}");
    }
}

/// Independent of this code: another program, which encodes every packet by itself.
#[test]
#[ignore = "needs python3"]
fn a_short_python_program_plays_all_of_it() {
    let (server, _users) = server();
    let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
    let output = Command::new("python3").arg(path("scripts/play-vectors.py")).args([host, port]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stdout}{stderr}");
    let vectors = vectors();
    for part in ["packets", "ignored", "sessions"] {
        let count = vectors[part].as_array().unwrap().len();
        assert!(stdout.contains(&format!("{part}: {count} ok")), "{stdout}");
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
