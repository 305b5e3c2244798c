//! The library for bots, with TLS.

use std::io::{Cursor, ErrorKind};
use std::path::Path;
use std::time::Duration;

use cfp::blocking::{Connection, Event, Login, LoginError, Next, Person, Trust};
use cfp::wire::ServerId;
use rustix::process::Signal;

use crate::certificates::{Folder, slices};
use crate::support::{PATIENCE, Server};

const SERVER: ServerId = ServerId(7);

/// With a certificate for localhost.
fn start(folder: &Folder, more: &[&str]) -> Server {
    Server::start(&[&slices(&folder.options("cert")), more].concat())
}

fn place(server: &Server) -> String {
    format!("localhost:{}", server.address().port())
}

fn guest(server: &Server, nickname: &str, ca: &str) -> Connection {
    Connection::connect_tls(&place(server), Login::Guest(nickname), Trust::File(Path::new(ca))).unwrap()
}

fn next(connection: &mut Connection) -> Event {
    match connection.next_event_within(PATIENCE).unwrap() {
        Next::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn bots_talk_and_send_files() {
    let folder = Folder::new();
    let (server, ca) = (start(&folder, &["--require-tls"]), folder.path("cert.pem"));
    let (mut ana, mut bob) = (guest(&server, "ana", &ca), guest(&server, "bob", &ca));
    bob.accept_files(1 << 20);
    ana.say("hi").unwrap();
    let hi = || Event::Public { from: Person::new("ana", SERVER), text: "hi".to_owned() };
    assert_eq!((next(&mut ana), next(&mut bob)), (hi(), hi()));
    assert_eq!(ana.next_event_within(Duration::ZERO).unwrap(), Next::Nothing);
    for size in [0, 1, 1024, 300_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at * 7 % 251) as u8).collect();
        ana.send_file(&Person::new("bob", SERVER), "photo.jpg", Cursor::new(&content)).unwrap();
        assert!(matches!(next(&mut bob), Event::Private { text, .. } if text.starts_with("[file] photo.jpg, ")));
        let Event::File(file) = next(&mut bob) else { panic!("a file") };
        assert!(file.is_verified && file.content == content, "{size}");
    }
    ana.leave().unwrap();
    let _ana_again = guest(&server, "ana", &ca);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn two_who_send_to_each_other_and_read_nothing_meanwhile_both_come_to_their_end() {
    let folder = Folder::new();
    let (server, ca) = (start(&folder, &[]), folder.path("cert.pem"));
    let text = "x".repeat(1000);
    std::thread::scope(|scope| {
        for (own, other) in [("ana", "bob"), ("bob", "ana")] {
            let (server, ca, text) = (&server, &ca, &text);
            scope.spawn(move || {
                let mut connection = guest(server, own, ca);
                let other = Person::new(other, SERVER);
                loop {
                    connection.tell(&other, "ready").unwrap();
                    if let Event::Private { .. } = next(&mut connection) {
                        break;
                    }
                }
                for _ in 0..600 {
                    connection.tell(&other, text).unwrap();
                }
                let mut received = 0;
                while received < 600 {
                    let event = next(&mut connection);
                    received += u32::from(matches!(event, Event::Private { text, .. } if text.len() == 1000));
                }
            });
        }
    });
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_bot_says_why_it_does_not_talk_to_a_server() {
    let (folder, other) = (Folder::empty(), Folder::new());
    folder.script("make-certificate.sh", &["localhost"]);
    let (server, ca, wrong) = (start(&folder, &[]), folder.path("cert.pem"), other.path("cert.pem"));
    let fails = |place: &str, trust: Trust<'_>, kind: ErrorKind, part: &str| match Connection::connect_tls(
        place,
        Login::Guest("ana"),
        trust,
    ) {
        Err(LoginError::Unreachable(error)) => {
            assert!(error.kind() == kind && error.to_string().contains(part), "{error:?}, not {part}");
        }
        other => panic!("{other:?}, not {part}"),
    };
    let by_name = place(&server);
    fails(&by_name, Trust::File(Path::new(&wrong)), ErrorKind::InvalidData, "invalid peer certificate");
    fails(&by_name, Trust::Fingerprint([7; 32]), ErrorKind::InvalidData, "not the certificate with that fingerprint");
    // The address is not among the certificate's names.
    fails(&server.address().to_string(), Trust::File(Path::new(&ca)), ErrorKind::InvalidData, "not valid for");
    fails(&by_name, Trust::File(Path::new("none.pem")), ErrorKind::InvalidInput, "none.pem");
    fails("localhost", Trust::Fingerprint([7; 32]), ErrorKind::InvalidInput, "HOST:PORT");
    // All that this system trusts can be read, and the server is not among it.
    let system = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if system.exists() {
        fails(&by_name, Trust::File(system), ErrorKind::InvalidData, "invalid peer certificate");
    }
    let line = server.wait_for_log("sha256 ");
    let digits = line.rsplit(' ').next().unwrap();
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect();
    let trust = Trust::Fingerprint(bytes.try_into().unwrap());
    Connection::connect_tls(&by_name, Login::Guest("ana"), trust).unwrap();
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_stopping_server_is_the_end_and_no_error() {
    let folder = Folder::new();
    let server = start(&folder, &[]);
    let mut ana = guest(&server, "ana", &folder.path("cert.pem"));
    server.signal(Signal::TERM);
    assert_eq!(ana.next_event().unwrap(), None);
}

#[test]
fn a_server_without_tls_gets_no_login() {
    let server = Server::start(&[]);
    let end = Connection::connect_tls(&place(&server), Login::Guest("ana"), Trust::Fingerprint([7; 32]));
    assert!(matches!(end, Err(LoginError::Unreachable(_))), "{end:?}");
}
