//! How the client ends: exit statuses, signals, and output that takes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cfp::wire::Packet;
use support::{Bare, Client, PATIENCE, Running, Server};

const CLIENT: &str = env!("CARGO_BIN_EXE_cfp-client");

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The end of a pipe that is never read.
fn unread() -> Stdio {
    io::pipe().unwrap().1.into()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Waits until the kernel says that a process is in this state.
fn wait_for_state(pid: u32, state: char) {
    let until = Instant::now() + PATIENCE;
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        if stat.rsplit(") ").next().unwrap().starts_with(state) {
            return;
        }
        assert!(Instant::now() < until, "{stat}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_asked_for_and_can_t_be_printed_is_no_crash() {
    for option in ["--help", "--version"] {
        let output = Command::new(CLIENT).arg(option).stdout(unread()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{option}");
        let output = Command::new(CLIENT).arg(option).stdout(full()).output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert!(line.starts_with("cfp-client: standard output: No space left") && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn the_exit_status_is_the_same_where_its_reason_can_t_be_printed() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (arguments, code) in [(&["--nope"][..], 2), (&[address.as_str(), "ana"], 1)] {
        for stderr in [full(), unread()] {
            let status = Command::new(CLIENT).args(arguments).stdin(Stdio::null()).stderr(stderr).status().unwrap();
            assert_eq!(status.code(), Some(code), "{arguments:?}");
        }
    }
}

/// Lets a script client say something, and gives its exit status and what it wrote to standard error.
fn say(server: &Server, stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
    let mut ben = Bare::log_in(&server.address, "ben");
    let mut command = Command::new(CLIENT);
    command.args([&server.address, "ana"]).stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
    let mut ana = Running(command.spawn().unwrap());
    ana.0.stdin.take().unwrap().write_all(b"one\n/msg ben@7 two\nthree").unwrap();
    let mut heard = Vec::new();
    ben.receive(|packet| {
        if let Packet::MsgPblInc { message, .. } | Packet::MsgPrvInc { message, .. } = packet {
            heard.push(message.to_owned());
        }
        (heard.len() == 3).then_some(())
    });
    let mut said = String::new();
    if let Some(mut stderr) = ana.0.stderr.take() {
        stderr.read_to_string(&mut said).unwrap();
    }
    (ana.0.wait().unwrap().code(), said)
}

#[test]
fn a_script_whose_standard_error_takes_nothing_sends_everything() {
    let server = Server::start(7, &[]);
    for stderr in [full(), unread()] {
        assert_eq!(say(&server, Stdio::null(), stderr).0, Some(0));
    }
}

#[test]
fn a_script_whose_standard_output_takes_nothing_sends_everything_and_says_it_in_one_line_and_the_exit_status() {
    let server = Server::start(7, &[]);
    for (stdout, reason) in [(full(), "No space left"), (unread(), "Broken pipe")] {
        let (code, said) = say(&server, stdout, Stdio::piped());
        assert_eq!(code, Some(1), "{said}");
        let lines: Vec<&str> = said.lines().filter(|line| !line.contains("connected to")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("cfp-client: standard output: {reason}")), "{said}");
    }
}

#[test]
fn pipes_that_somebody_has_made_non_blocking_are_waited_for() {
    use rustix::fs::{OFlags, fcntl_setfl};
    let server = Server::start(7, &[]);
    let ((their_in, mut our_in), (mut our_out, their_out)) = (io::pipe().unwrap(), io::pipe().unwrap());
    fcntl_setfl(&their_in, OFlags::NONBLOCK).unwrap();
    fcntl_setfl(&their_out, OFlags::NONBLOCK).unwrap();
    let mut command = Command::new(CLIENT);
    command.args([&server.address, "ana"]).stdin(their_in).stdout(their_out).stderr(Stdio::piped());
    let mut ana = Running(command.spawn().unwrap());
    drop(command);
    our_in.write_all(b"first").unwrap();
    let until = Instant::now() + PATIENCE;
    while rustix::io::ioctl_fionread(&our_in).unwrap() > 0 {
        assert!(Instant::now() < until, "nothing is read");
        std::thread::sleep(Duration::from_millis(5));
    }
    wait_for_state(ana.0.id(), 'S');
    let lines: String = (0..5000).map(|number| format!(" line {number}\n")).collect();
    our_in.write_all(lines.as_bytes()).unwrap();
    drop(our_in);
    let mut printed = String::new();
    our_out.read_to_string(&mut printed).unwrap();
    assert_eq!(printed.lines().count(), 5000);
    assert!(printed.starts_with("[7] ana: first line 0\n") && printed.ends_with("[7] ana:  line 4999\n"));
    assert_eq!(ana.0.wait().unwrap().code(), Some(0));
}

#[test]
fn input_that_can_t_be_read_is_said_and_ends_with_1() {
    let server = Server::start(7, &[]);
    let mut command = Command::new(CLIENT);
    // A folder can be opened, but not read.
    command.args([&server.address, "ana"]).stdin(File::open("/").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "* standard input: Is a directory (os error 21)\n");
}

#[test]
fn a_byte_order_mark_makes_no_public_message_of_a_private_one() {
    let server = Server::start(7, &[]);
    let ben = Client::start(&server.address, "ben", &[]);
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_bytes("\u{feff}/msg ben@7 first\n\u{feff}/msg ben@7 in the middle\n".as_bytes());
    assert_eq!(ben.expect("first"), "[7] ana -> you: first");
    assert_eq!(ben.expect("in the middle"), "[7] ana -> you: in the middle");
    let (code, out, _) = ana.finish();
    assert_eq!((code, out), (0, vec![]));
}

#[test]
fn signals_end_it_at_once_with_128_and_their_number() {
    let server = Server::start(7, &[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129), ("-QUIT", 131)] {
        let ana = Client::start(&server.address, "ana", &[]);
        kill(signal, ana.pid());
        let (status, out, err) = ana.wait();
        assert_eq!((status, out, err), (code, vec![], vec![]), "{signal} while it chats");
        let mut command = Command::new(CLIENT);
        command.args([&silent.local_addr().unwrap().to_string(), "ana"]);
        let ana = Client::spawn(command);
        let _connection = silent.accept().unwrap();
        kill(signal, ana.pid());
        assert_eq!(ana.wait().0, code, "{signal} during the login");
    }
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(CLIENT);
    command.args([&silent.local_addr().unwrap().to_string(), "ana"]);
    let ana = Client::spawn(command);
    let mut connection = silent.accept().unwrap().0;
    let mut login = [0; 8];
    connection.read_exact(&mut login).unwrap();
    let stop_and_continue = || {
        wait_for_state(ana.pid(), 'S');
        kill("-STOP", ana.pid());
        wait_for_state(ana.pid(), 'T');
        kill("-CONT", ana.pid());
        wait_for_state(ana.pid(), 'S');
    };
    stop_and_continue();
    connection.write_all(b"\x10").unwrap();
    stop_and_continue();
    connection.write_all(b"\x00").unwrap();
    ana.err.expect("connected to");
    stop_and_continue();
    connection.write_all(b"\x30\0\0\0\x07\0\0\0\x03ben\0\0\0\x02hi").unwrap();
    assert_eq!(ana.expect("hi"), "[7] ben: hi");
    drop(connection);
    assert_eq!(ana.wait().0, 1);
}
