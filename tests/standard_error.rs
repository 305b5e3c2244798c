//! Standard error that is not read, of every kind: the server goes on, and says later how many lines are missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use node::{Node, wait_until};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::server::BINARY;
use support::{Client, PATIENCE, Server};

/// Both ends of something to write into.
fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (File::from(OwnedFd::from(reader)), writer.into())
}

fn socket() -> (File, OwnedFd) {
    let (reader, writer) = UnixStream::pair().unwrap();
    (File::from(OwnedFd::from(reader)), writer.into())
}

fn terminal() -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (File::from(master), slave)
}

struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server has not ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server that writes a line for each packet that it ignores, and waits until it listens.
fn start(stderr: OwnedFd, wrapper: &str) -> (Process, SocketAddr) {
    // What the log says can't be read here: the port has to be known.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{wrapper} exec \"$0\" \"$@\"")).arg(BINARY);
    command.args(["--id", "7", "--listen", &address.to_string()]).env("RUST_LOG", "debug");
    let child = command.stdin(Stdio::null()).stderr(Stdio::from(stderr)).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    (Process(child), address)
}

/// Every kind of line there is to cause: as many as are let through are more than any of the kinds holds.
fn make_noise(address: SocketAddr) {
    for round in 0..40 {
        // Each reason for an end has a window of its own; long names make long lines.
        let mut clients: Vec<Client> = (0..20)
            .map(|i| {
                let mut client = Client::connect(address);
                client.log_in_as_guest(&format!("{round:02} {i:02} {}", "\u{202e}".repeat(18)));
                client
            })
            .collect();
        clients.iter_mut().for_each(|client| client.send_bytes(&[0xff; 3]));
    }
}

fn the_server_goes_on(mut reader: File, stderr: OwnedFd, wrapper: &str) {
    // Full from the start, whatever it holds.
    fill(&stderr);
    let (mut process, address) = start(stderr, wrapper);
    make_noise(address);
    let mut ana = Client::connect(address);
    ana.log_in_as_guest("ana");
    ana.expect_nothing_but_itself("ana");
    // Now the reader reads, and learns how many lines are missing.
    let reading = std::thread::spawn(move || {
        let (mut text, mut buffer) = (Vec::new(), [0; 65536]);
        // A terminal that is gone is an error, and an end like any other.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            text.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let deadline = Instant::now() + PATIENCE;
    let mut count = 0;
    while !reading.is_finished() && count < 3 && Instant::now() < deadline {
        let mut bob = Client::connect(address);
        bob.log_in_as_guest(&format!("bob {count}"));
        count += 1;
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait(), Some(0));
    drop((process, ana));
    let text = reading.join().unwrap();
    let (before, _) = text.split_once(" log lines were dropped: standard error took nothing").expect("it is said");
    let number: String = before.chars().rev().take_while(char::is_ascii_digit).collect();
    assert!(number.contains(|digit: char| digit != '0'), "{number}");
    assert!(text.contains("stopped"));
}

/// Writes until no more is taken.
fn fill(stderr: &OwnedFd) {
    let flags = rustix::fs::fcntl_getfl(stderr).unwrap();
    rustix::fs::fcntl_setfl(stderr, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while rustix::io::write(stderr, &vec![b'.'; size]).is_ok() {}
    }
    rustix::io::write(stderr, b"\n").unwrap_err();
    // As a shell would hand it over.
    rustix::fs::fcntl_setfl(stderr, flags).unwrap();
}

#[test]
fn a_pipe_that_nobody_reads_stops_nobody() {
    let (reader, writer) = pipe();
    the_server_goes_on(reader, writer, "");
}

#[test]
fn a_terminal_that_nobody_reads_stops_nobody() {
    let (reader, writer) = terminal();
    the_server_goes_on(reader, writer, "");
}

#[test]
fn a_socket_that_nobody_reads_stops_nobody() {
    let (reader, writer) = socket();
    the_server_goes_on(reader, writer, "");
}

#[test]
fn lines_of_one_kind_hide_no_others_and_what_was_held_back_is_said_when_the_window_ends() {
    let server = Server::start(&[]);
    // Thirty log-ins and log-outs are one kind of line; a client that is closed for bad packets is another.
    for i in 0..30 {
        drop(server.guest(&format!("guest {i}")));
    }
    server.wait_for_log("\"guest 19\" from");
    let mut mallory = server.guest("mallory\u{202e}");
    mallory.send_bytes(&[0xff; cfp::limits::IGNORED_PACKETS_MAX as usize + 1]);
    let line = server.wait_for_log("too many ignored packets");
    assert!(line.contains("WARN") && line.contains("mallory\\u{202e}"), "{line}");
    let line = server.wait_for_log("more lines like this one were held back: client \"guest");
    assert!(line.contains("INFO"), "{line}");
    server.expect_in_log(" left (", 21);
}

#[test]
fn clients_that_come_and_go_do_not_hide_that_a_link_has_ended() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    for i in 0..30 {
        drop(one.server.guest(&format!("guest {i}")));
    }
    one.server.wait_for_log("\"guest 19\" from");
    // All thirty are gone, so the twenty that get a line have it.
    wait_until(|| one.status("clients") == "0", || "somebody is still there".to_owned());
    two.server.signal(Signal::TERM);
    assert!(one.server.wait_for_log("link to server 2 from").contains("INFO"));
    one.server.expect_in_log("client \"guest", 20);
}

#[test]
fn a_second_stop_ends_the_server_although_its_last_words_go_nowhere() {
    let (_reader, writer) = terminal();
    fill(&writer);
    let (mut process, address) = start(writer, "");
    // A client that does not read delays the first stop.
    let mut ana = Client::connect_with_receive_buffer(address, 4096);
    ana.log_in_as_guest("ana");
    process.signal(Signal::TERM);
    process.signal(Signal::TERM);
    assert!(matches!(process.wait(), Some(0 | 1)));
}

#[test]
fn a_file_that_may_not_grow_loses_lines_and_stops_nobody() {
    let path = std::env::temp_dir().join(format!("cfp-stderr-{}", std::process::id()));
    let file = File::create(&path).unwrap();
    let (mut process, address) = start(file.into(), "ulimit -f 1;");
    make_noise(address);
    let mut ana = Client::connect(address);
    ana.log_in_as_guest("ana");
    ana.expect_nothing_but_itself("ana");
    process.signal(Signal::TERM);
    assert_eq!(process.wait(), Some(0));
    std::fs::remove_file(&path).unwrap();
}
