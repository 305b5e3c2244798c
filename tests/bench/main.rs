//! The benchmark finds what it must: that deliveries are right, and that they are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cfp-bench")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The floor's wiring with a fault: `relay` gets what one connection sent and says what all get for it.
fn faulty_floor(members: usize, relay: fn(&[u8]) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut streams: Vec<TcpStream> = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..members {
            let (mut stream, _) = listener.accept().unwrap();
            // The login, all of which has one size.
            stream.read_exact(&mut buffer[..15]).unwrap();
            stream.write_all(&[0x10, 0]).unwrap();
            streams.push(stream);
        }
        while let Ok(count @ 1..) = streams[0].read(&mut buffer) {
            let answer = relay(&buffer[..count]);
            for stream in &mut streams {
                let _ = stream.write_all(&answer);
            }
        }
    });
    address
}

/// Size of a delivery: code, origin, nickname of 10 bytes, message of 64 bytes.
const DELIVERY_BYTES: usize = 1 + 4 + 4 + 10 + 4 + 64;

/// Runs a room against it and returns the exit status and the output.
fn run_room(relay: fn(&[u8]) -> Vec<u8>) -> (Option<i32>, String) {
    let server = faulty_floor(3, relay).to_string();
    let arguments =
        ["room", "--language", "floor", "--server", &server, "--members", "3", "--window", "4", "--bursts", "2"];
    let output = bench(&arguments);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_room_that_gets_everything_once_and_in_order_passes() {
    assert_eq!(run_room(<[u8]>::to_vec), (Some(0), String::new()));
}

#[test]
fn a_lost_a_doubled_and_a_reordered_delivery_fail_the_run() {
    let lost = run_room(|bytes| bytes[DELIVERY_BYTES..].to_vec());
    assert!(lost.0 == Some(1) && lost.1.contains("lost"), "{lost:?}");
    let doubled = run_room(|bytes| [&bytes[..DELIVERY_BYTES], bytes].concat());
    assert!(doubled.0 == Some(1) && doubled.1.contains("doubled"), "{doubled:?}");
    let reordered = run_room(|bytes| {
        let (first, rest) = bytes.split_at(DELIVERY_BYTES);
        let (second, rest) = rest.split_at(DELIVERY_BYTES);
        [second, first, rest].concat()
    });
    assert!(reordered.0 == Some(1) && reordered.1.contains("reordered"), "{reordered:?}");
}

#[test]
fn every_workload_passes_with_the_floor() {
    for workload in ["room", "paced", "direct", "idle", "storm"] {
        let output = bench(&[workload, "--language", "floor", "--quick"]);
        assert!(output.status.success(), "{workload}: {}", text(&output.stderr));
    }
}

#[test]
fn the_table_has_a_line_for_every_workload() {
    let output = bench(&["all", "--quick", "--binary", env!("CARGO_BIN_EXE_cfp-server")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for row in ["room of 100, one", "room of 1,000", "room of 100, 1,000", "100 pairs", "10,000 idle", "5,000 logins"] {
        assert!(table.contains(&format!("| {row}")), "{row}: {table}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_exit_status_2() {
    for arguments in [&["nonsense"][..], &[], &["room", "--members", "many"], &["all", "--peer", "irc"]] {
        assert_eq!(bench(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
