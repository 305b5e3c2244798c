//! The library for bots, against the real server, and its examples as the programs that they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use cfp::blocking::{Connection, Event, Login, LoginError, Next, Person};
use cfp::wire::{AuthResponse, ErrorReason, Packet};
use rustix::process::Signal;
use support::users::UsersFile;
use support::{ID, PATIENCE, Server};

fn guest(server: &Server, nickname: &str) -> Connection {
    Connection::connect(server.address(), Login::Guest(nickname)).unwrap()
}

fn next(connection: &mut Connection) -> Event {
    match connection.next_event_within(PATIENCE).unwrap() {
        Next::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

fn public(nickname: &str, text: &str) -> Event {
    Event::Public { from: Person::new(nickname, ID), text: text.to_owned() }
}

#[test]
fn guests_talk_in_public_and_in_private() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (guest(&server, "ana"), guest(&server, "bob"));
    assert_eq!(ana.server(), None);
    ana.say("hi").unwrap();
    assert_eq!((next(&mut ana), next(&mut bob)), (public("ana", "hi"), public("ana", "hi")));
    assert_eq!(ana.server(), Some(ID));
    bob.tell(&Person::new("ana", ID), "psst").unwrap();
    assert_eq!(next(&mut ana), Event::Private { from: Person::new("bob", ID), text: "psst".to_owned() });
    bob.tell(&Person::new("zoe", ID), "are you there?").unwrap();
    assert_eq!(next(&mut bob), Event::Undelivered { reason: ErrorReason::UnknownReceiver });
    assert_eq!(bob.next_event_within(Duration::ZERO).unwrap(), Next::Nothing);
}

#[test]
fn a_login_says_why_it_was_refused() {
    let users = UsersFile::new(&[("maria", "secret")]);
    let server = Server::start(&["--users", users.path()]);
    let login = |login: Login<'_>| Connection::connect(server.address(), login);
    let refused = |login_result: Result<Connection, LoginError>| match login_result {
        Err(LoginError::Refused(response)) => response,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(login(Login::Guest("maria"))), AuthResponse::Registered);
    assert_eq!(refused(login(Login::User { nickname: "maria", password: "no" })), AuthResponse::WrongPassword);
    let mut maria = login(Login::User { nickname: "maria", password: "secret" }).unwrap();
    assert_eq!(refused(login(Login::User { nickname: "maria", password: "secret" })), AuthResponse::InUse);
    maria.say("hi").unwrap();
    assert_eq!(next(&mut maria), public("maria", "hi"));
    assert!(matches!(Connection::connect("127.0.0.1:1", Login::Guest("ana")), Err(LoginError::Unreachable(_))));
}

#[test]
fn a_file_arrives_as_it_was_sent() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (guest(&server, "ana"), guest(&server, "bob"));
    bob.accept_files(1 << 20);
    for size in [0, 1, 1024, 1025, 200_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at * 7 % 251) as u8).collect();
        ana.send_file(&Person::new("bob", ID), "photo.jpg", Cursor::new(&content)).unwrap();
        let announcement = next(&mut bob);
        assert!(matches!(&announcement, Event::Private { text, .. } if text.starts_with("[file] photo.jpg, ")));
        let Event::File(file) = next(&mut bob) else { panic!("a file") };
        assert_eq!((file.from.to_string(), file.name.as_str(), file.is_verified), ("ana@7".into(), "photo.jpg", true));
        assert_eq!(file.content, content);
    }
}

#[test]
fn two_who_send_to_each_other_and_read_nothing_meanwhile_both_come_to_their_end() {
    let server = Server::start(&[]);
    let text = "x".repeat(1000);
    let threads = [("ana", "bob"), ("bob", "ana")].map(|(own, other)| {
        let (address, text) = (server.address(), text.clone());
        std::thread::spawn(move || {
            let mut connection = Connection::connect(address, Login::Guest(own)).unwrap();
            // Both are there from here on.
            let other = Person::new(other, ID);
            loop {
                connection.tell(&other, "ready").unwrap();
                if let Event::Private { .. } = next(&mut connection) {
                    break;
                }
            }
            for _ in 0..600 {
                connection.tell(&other, &text).unwrap();
            }
            let is_text = |event: &Event| matches!(event, Event::Private { text, .. } if text.len() == 1000);
            let mut received = 0;
            while received < 600 {
                received += u32::from(is_text(&next(&mut connection)));
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_no_server_would_take_is_refused_at_once() {
    let server = Server::start(&[]);
    let mut ana = guest(&server, "ana");
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(ana.say(&"x".repeat(65_537))), std::io::ErrorKind::InvalidInput);
    assert_eq!(kind(ana.tell(&Person::new("x".repeat(65), ID), "")), std::io::ErrorKind::InvalidInput);
    assert_eq!(kind(ana.send_file(&Person::new("bob", ID), "", Cursor::new([]))), std::io::ErrorKind::InvalidInput);
    ana.say("still here").unwrap();
    assert_eq!(next(&mut ana), public("ana", "still here"));
}

#[test]
fn who_leaves_is_gone_when_everything_was_handled() {
    let server = Server::start(&[]);
    let (mut ana, mut bob) = (guest(&server, "ana"), guest(&server, "bob"));
    ana.say("bye").unwrap();
    ana.leave().unwrap();
    assert_eq!(next(&mut bob), public("ana", "bye"));
    let _ana_again = guest(&server, "ana");
}

#[test]
fn a_length_that_no_server_allows_is_an_error_in_any_field_of_a_packet() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        // A sender that is too long is skipped. The length of the message behind it is none.
        let public = [&[0x30, 0, 0, 0, 7, 0, 0, 0, 65][..], &[b'x'; 65], &[0xFF; 4], b"rest"].concat();
        stream.write_all(&[&[0x10, 0][..], &public].concat()).unwrap();
        stream
    });
    let mut ana = Connection::connect(address, Login::Guest("ana")).unwrap();
    assert_eq!(ana.next_event_within(PATIENCE).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    drop(server.join().unwrap());
}

#[test]
fn a_stopping_server_is_the_end_and_no_error() {
    let server = Server::start(&[]);
    let mut ana = guest(&server, "ana");
    server.signal(Signal::TERM);
    assert_eq!(ana.next_event().unwrap(), None);
}

/// An example as a process, ended with the test.
struct Example(Child);

impl Example {
    fn start(name: &str, arguments: &[String]) -> Example {
        let folder = PathBuf::from(env!("CARGO_BIN_EXE_cfp-server"));
        let program = folder.parent().unwrap().join("examples").join(name);
        if !program.exists() {
            // `cargo test` builds the examples; `cargo test --test library` does not.
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--locked", "--quiet", "--examples", "--profile", "test"]);
            assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        }
        Example(Command::new(program).args(arguments).spawn().unwrap())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_echo_bot_says_again_what_it_is_told() {
    let server = Server::start(&[]);
    let mut ana = guest(&server, "ana");
    let _echo = Example::start("echo", &[server.address().to_string()]);
    assert_eq!(next(&mut ana), public("echo", "tell me something, and I say it again"));
    ana.tell(&Person::new("echo", ID), "hi").unwrap();
    assert_eq!(next(&mut ana), Event::Private { from: Person::new("echo", ID), text: "hi".to_owned() });
}

#[test]
fn the_bridge_passes_on_what_is_said_on_either_side_once() {
    let (left, right) = (Server::start(&[]), Server::start(&[]));
    let (mut ana, mut bob) = (guest(&left, "ana"), guest(&right, "bob"));
    let _bridge = Example::start("bridge", &[left.address().to_string(), right.address().to_string()]);
    // It is there when a message comes out on the other side.
    loop {
        ana.say("anybody?").unwrap();
        if let Next::Event(event) = bob.next_event_within(Duration::from_millis(100)).unwrap() {
            assert_eq!(event, public("bridge", "<ana@7> anybody?"));
            break;
        }
    }
    bob.say("me").unwrap();
    let heard = loop {
        match next(&mut ana) {
            Event::Public { from, .. } if from.nickname == "ana" => {}
            event => break event,
        }
    };
    assert_eq!(heard, public("bridge", "<bob@7> me"));
    // Nothing comes round again.
    bob.send(&Packet::MsgPrv { destination: ID, receiver: "bob", message: "last" }).unwrap();
    let is_of_ana =
        |event: &Event| matches!(event, Event::Public { text, .. } if text == "<ana@7> anybody?" || text == "me");
    let last = loop {
        let event = next(&mut bob);
        if !is_of_ana(&event) {
            break event;
        }
    };
    assert_eq!(last, Event::Private { from: Person::new("bob", ID), text: "last".to_owned() });
}

#[test]
fn a_bot_builds_fewer_than_ten_crates() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--locked",
        "--offline",
        "--no-default-features",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    let output = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(
        crates.contains("cfp-server") && crates.len() < 10,
        "{crates:?}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
