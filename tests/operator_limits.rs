//! The bounds on operators and on connections: which are closed, which wait, and the log lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use node::Node;
use support::server::BINARY;
use support::{Client, PATIENCE};

/// Runs `--ask`.
fn run_ask(control: &Path, command: &str) -> Output {
    Command::new(BINARY).arg("--control").arg(control).args(["--ask", command]).output().unwrap()
}

#[test]
fn a_health_check_gets_in_although_all_places_are_held_and_the_idle_give_way_first() {
    let node = Node::start(7, &[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = UnixStream::connect(node.control()).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(waiting, "merge {}", silent.local_addr().unwrap()).unwrap();
    let dialled = silent.accept().unwrap();
    let idle: Vec<UnixStream> =
        (0..3 * cfp::limits::OPERATORS_MAX).map(|_| UnixStream::connect(node.control()).unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(run_ask(node.control(), "status").status.code(), Some(0));
    }
    node.server.wait_for_log("closed an operator's idle connection for a new one");
    // The first of them came before the newest.
    let mut oldest = &idle[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(oldest.read(&mut [0; 1]).unwrap(), 0);
    let mut newest = &idle[idle.len() - 1];
    newest.set_read_timeout(Some(PATIENCE)).unwrap();
    newest.write_all(b"siblings\n").unwrap();
    // The merge that waits is listed.
    let mut answer = [0; 2];
    newest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"-\t");
    // An operator that waits for an answer gets it.
    drop((dialled, silent));
    let mut answer = [0; 18];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"error unreachable ");
}

#[test]
fn where_all_operators_wait_for_an_answer_a_health_check_still_gets_in() {
    let node = Node::start(7, &[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let waiting: Vec<UnixStream> = (0..cfp::limits::OPERATORS_MAX)
        .map(|_| {
            let mut operator = UnixStream::connect(node.control()).unwrap();
            writeln!(operator, "merge {}", silent.local_addr().unwrap()).unwrap();
            operator
        })
        .collect();
    // As many dials as operators: all are read.
    let dialled: Vec<_> = waiting.iter().map(|_| silent.accept().unwrap()).collect();
    assert_eq!(run_ask(node.control(), "status").status.code(), Some(0));
    drop((waiting, dialled));
}

#[test]
fn an_operators_answers_wait_for_what_is_not_written_whatever_it_asks_at_once() {
    use support::pipe::Rig;
    for (line, answer_max_bytes) in [("help\n", 4096), ("status\n", 4096), ("metrics\n", 65_536), ("\n", 64)] {
        let mut rig = Rig::new(cfp::core::state::users::Users::none());
        let operator = rig.operator();
        operator.stop_taking();
        let lines = line.repeat(60_000 / line.len());
        rig.send(&operator, lines.as_bytes());
        let queued = rig.engine.queued_bytes();
        let bound = lines.len() + cfp::limits::OPERATOR_HIGH_WATER_BYTES + answer_max_bytes;
        // Counted is the memory: whole blocks, what it takes to keep them, and the whole buffer that the lines wait in.
        let bound = bound + bound / 16;
        assert!(queued <= bound, "{line:?}: {queued} bytes are queued");
        // All of them are answered in the end, while little is held at any time.
        let mut answers = 0;
        while rig.engine.queued_bytes() > 0 {
            rig.take(&operator, 10_000);
            let queued = rig.engine.queued_bytes();
            assert!(queued <= bound, "{line:?}: {queued} bytes are queued, at most {bound}");
            let ends = |answer: &&[u8]| *answer == b"ok" || answer.starts_with(b"error ");
            let output = operator.take_output();
            // A line may be cut between two writes: what begins one is counted.
            answers += output.split(|&byte| byte == b'\n').filter(ends).count();
        }
        assert!(answers >= lines.lines().count() * 99 / 100, "{line:?}: {answers} of {}", lines.lines().count());
    }
}

#[test]
fn status_says_the_limits_and_the_log_says_when_they_are_reached() {
    let node = Node::start(7, &["--max-clients", "3", "--max-per-address", "2", "--max-message", "1000"]);
    let limits =
        ["max_clients", "max_per_address", "max_message_bytes", "max_queue_bytes"].map(|name| node.status(name));
    assert_eq!(limits, ["3", "2", "1000", &cfp::limits::QUEUE_MAX_BYTES.to_string()]);
    assert!(node.status("max_memory_bytes").parse::<u64>().is_ok());
    assert_eq!(Node::start(8, &[]).status("max_per_address"), "-");
    let from = |last: u8| Client::connect_from(std::net::Ipv4Addr::new(127, 0, 0, last), node.address);
    let guest = |last: u8, nickname: &str| {
        let mut client = from(last);
        client.log_in_as_guest(nickname);
        client
    };
    let _held = [guest(2, "ana"), guest(2, "bob")];
    from(2).expect_end();
    let line = node.server.wait_for_log("--max-per-address is reached");
    assert!(line.contains("INFO") && line.contains("127.0.0.2"), "{line}");
    assert_eq!(node.status("client_connections"), "2");
    // A crowd is said once.
    let _third = guest(3, "eve");
    for _ in 0..50 {
        from(4).expect_end();
    }
    node.server.expect_in_log("is reached", 1);
    assert_eq!(node.metric("cfp_client_connections_limit"), 3);
}

#[test]
fn the_log_names_max_clients_when_that_is_reached() {
    let node = Node::start(7, &["--max-clients", "1"]);
    let _held = node.guest("ana");
    Client::connect(node.address).expect_end();
    let line = node.server.wait_for_log("--max-clients is reached");
    assert!(line.contains("INFO") && line.contains("1 of 1"), "{line}");
}
