//! Floods, lies, and meaningless bytes from a server, or from a client behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{AuthResponse, ErrorReason, FileChunk, Packet, ServerId};
use support::{Bare, Client, Scratch, Server};
use terminal::Terminal;

/// What a client may have in memory, the program itself included.
const MEMORY_MAX_KIB: u64 = 40 * 1024;

/// A server that sends the given bytes.
struct Liar {
    listener: TcpListener,
}

impl Liar {
    fn new() -> Liar {
        Liar { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn command(&self, folder: &Scratch) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
        command.args([&self.listener.local_addr().unwrap().to_string(), "ana"]).current_dir(folder.path());
        command
    }

    /// Lets the client in.
    fn accept(&self) -> TcpStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(&bytes(&Packet::AuthRsp { response: AuthResponse::Accepted })).unwrap();
        stream
    }
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// Writes all of it, or as much as is taken until nothing is for a while.
fn flood(stream: &mut TcpStream, flood: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = stream.write_all(flood);
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn floods_take_no_memory_of_a_client_whose_terminal_takes_nothing() {
    let error = bytes(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    let mut overlong = b"\x30\0\0\0\x07\0\0\0\x03bob\0\x10\0\x01".to_vec();
    overlong.resize(overlong.len() + 0x10_0001, b'x');
    let text = "x".repeat(1000);
    let private: Vec<u8> = (0..60_000)
        .flat_map(|number| {
            let (sender, receiver) = (format!("bob {number}"), "ana");
            bytes(&Packet::MsgPrvInc { origin: ServerId(7), sender: &sender, receiver, message: &text })
        })
        .collect();
    let offers: Vec<u8> = (0..10_000)
        .flat_map(|number| {
            let (sender, name) = (format!("bob{}", number % 100), format!("{number}"));
            let chunk = FileChunk { transfer_id: number, file_name: &name, chunks: 2, content: &[0; CHUNK_BYTES] };
            bytes(&Packet::FileChnkInc { origin: ServerId(7), sender: &sender, receiver: "ana", chunk })
        })
        .collect();
    let announcements: Vec<u8> = (0..300)
        .flat_map(|number| {
            let name = "x".repeat(64_000);
            let message = format!("[file] {name}, 5 bytes, sha256 {}, transfer {number}", "ab".repeat(32));
            let receiver = "ana";
            bytes(&Packet::MsgPrvInc { origin: ServerId(7), sender: "bob", receiver, message: &message })
        })
        .collect();
    let floods = [error.repeat(1_000_000), overlong.repeat(60), private, offers, announcements];
    for (number, bytes) in floods.iter().enumerate() {
        let (liar, folder) = (Liar::new(), Scratch::new());
        let mut ana = Terminal::start(liar.command(&folder));
        let mut stream = liar.accept();
        ana.expect_last(">");
        ana.hold();
        flood(&mut stream, bytes);
        let peak_kib = peak_kib(ana.process.0.id());
        assert!(peak_kib < MEMORY_MAX_KIB, "flood {number}: {peak_kib} KiB");
        ana.go_on();
        if number == 0 {
            ana.expect("nobody of that name is connected there (and");
        }
        ana.type_keys("\x03");
        assert_eq!(ana.wait(), Some(130));
    }
}

#[test]
fn a_hundred_thousand_messages_take_little_memory_while_somebody_types() {
    const MESSAGES: usize = 100_000;
    let (liar, folder) = (Liar::new(), Scratch::new());
    let mut ana = Terminal::start(liar.command(&folder));
    let mut stream = liar.accept();
    ana.expect_last(">");
    let sender = thread::spawn(move || {
        for number in 0..MESSAGES {
            let message = format!("{number:05} as people write them");
            let packet = Packet::MsgPblInc { origin: ServerId(7), sender: "bob", message: &message };
            stream.write_all(&bytes(&packet)).unwrap();
        }
        stream
    });
    let mut typed = String::new();
    while !sender.is_finished() {
        ana.type_keys("x");
        typed.push('x');
        thread::sleep(Duration::from_millis(20));
        typed.truncate(60);
        if typed.len() == 60 {
            ana.type_keys("\x15");
            typed.clear();
        }
    }
    ana.expect(&format!("bob: {:05} as", MESSAGES - 1));
    ana.expect_last(format!("> {typed}").trim_end());
    let peak_kib = peak_kib(ana.process.0.id());
    assert!(peak_kib < 10 * 1024, "{peak_kib} KiB");
    let _stream = sender.join().unwrap();
    ana.type_keys("\x03");
    assert_eq!(ana.wait(), Some(130));
}

#[test]
fn messages_wait_for_a_terminal_that_takes_nothing_and_none_is_left_out() {
    // More than the kernel holds for both.
    const MESSAGES: usize = 14_000;
    let (liar, folder) = (Liar::new(), Scratch::new());
    let mut ana = Terminal::start(liar.command(&folder));
    let mut stream = liar.accept();
    ana.expect_last(">");
    ana.hold();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let sender = thread::spawn(move || {
        for number in 0..MESSAGES {
            let message = format!("{number:05} {}", "x".repeat(1000));
            stream
                .write_all(&bytes(&Packet::MsgPblInc { origin: ServerId(7), sender: "bob", message: &message }))
                .unwrap();
            counter.store(number + 1, Ordering::Release);
        }
        stream
    });
    // Until no more is taken.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Acquire) {
        before = sent.load(Ordering::Acquire);
        thread::sleep(Duration::from_millis(500));
    }
    assert!(before < MESSAGES, "the sender was not held up");
    ana.go_on();
    let _stream = sender.join().unwrap();
    ana.expect(&format!("bob: {:05} xxx", MESSAGES - 1));
    let shown = String::from_utf8_lossy(&ana.bytes()).into_owned();
    let numbers = shown.split(": ").filter_map(|rest| rest.split_once(" xxx")?.0.parse().ok());
    assert!(numbers.collect::<BTreeSet<usize>>().into_iter().eq(0..MESSAGES));
    ana.type_keys("\x03");
    assert_eq!(ana.wait(), Some(130));
}

#[test]
fn it_does_not_leave_before_an_error_has_had_a_moment_to_come() {
    // A client that was delayed beyond that moment tries again.
    let stays = || {
        let (liar, folder) = (Liar::new(), Scratch::new());
        let mut ana = Client::spawn(liar.command(&folder));
        ana.type_line("/msg bob@8 hi");
        ana.end_input();
        let mut stream = liar.accept();
        stream
            .read_exact(&mut bytes(&Packet::MsgPrv { destination: ServerId(8), receiver: "bob", message: "hi" }))
            .unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let stays = stream.read(&mut [0]).is_err();
        stream.write_all(&bytes(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver })).unwrap();
        stream.set_read_timeout(None).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        drop(stream);
        let (code, out, _) = ana.wait();
        assert_eq!(code, 0);
        assert!(out[0].starts_with("* not delivered: message to bob@8 \"hi\""), "{out:?}");
        stays
    };
    assert!((0..5).any(|_| stays()));
}

#[test]
fn errors_that_nothing_was_sent_for_are_counted() {
    let (liar, folder) = (Liar::new(), Scratch::new());
    let ana = Client::spawn(liar.command(&folder));
    let mut stream = liar.accept();
    let error = |reason| bytes(&Packet::Error { sender: "ana", reason });
    let both = [error(ErrorReason::UnknownReceiver), error(ErrorReason::UnknownServer)].concat();
    stream.write_all(&both.repeat(4004)).unwrap();
    drop(stream);
    let (code, out, _) = ana.wait();
    assert_eq!((code, out.len()), (1, 18), "{out:#?}");
    for line in &out[16..] {
        assert!(line.starts_with("* something did not arrive: ") && line.ends_with(" (and 3,996 more)"), "{line}");
    }
}

#[test]
fn bytes_out_of_frame_are_said_and_end_the_connection() {
    let public = b"\x30\0\0\0\x07\0\0\0\x03bob";
    let cases = [
        ([&public[..], b"\x01\0\0\x01"].concat(), "a field of 16777217 bytes"),
        (b"\x30\0\0\0\x07\xff\xff\xff\xff".to_vec(), "a field of 4294967295 bytes"),
        // Behind a nickname that is too long.
        ([b"\x30\0\0\0\x07\0\0\0\x41", &[b'x'; 0x41][..], b"\x50\0\0\0"].concat(), "a field of 1342177280 bytes"),
        (b"\x77hello".to_vec(), "a packet of no known kind"),
    ];
    for (bytes, what) in cases {
        let (liar, folder) = (Liar::new(), Scratch::new());
        let ana = Client::spawn(liar.command(&folder));
        let mut stream = liar.accept();
        stream.write_all(&[&public[..], b"\0\0\0\x02hi", &bytes].concat()).unwrap();
        assert_eq!(ana.expect("hi"), "[7] bob: hi");
        let (code, out, err) = ana.wait();
        assert!(code == 1 && out.iter().all(|line| line == "* a message was too long to be shown"), "{out:?}");
        let end = format!(": the server sent {what}, so nothing behind it can be trusted");
        assert!(err.last().unwrap().ends_with(&end), "{err:?}");
    }
}

#[test]
fn on_a_terminal_it_connects_anew_and_a_message_that_is_only_long_is_passed_over() {
    let (liar, folder) = (Liar::new(), Scratch::new());
    let mut ana = Terminal::start(liar.command(&folder));
    let mut stream = liar.accept();
    let mut long = b"\x30\0\0\0\x07\0\0\0\x03bob\0\x20\0\0".to_vec();
    long.resize(long.len() + 0x20_0000, b'x');
    stream.write_all(&long).unwrap();
    stream.write_all(b"\x30\0\0\0\x07\0\0\0\x03bob\0\0\0\x02hi").unwrap();
    ana.expect("a message was too long to be shown");
    ana.expect("[7] bob: hi");
    stream.write_all(b"\x30\0\0\0\x07\0\0\0\x03bob\x80\0\0\0").unwrap();
    ana.expect("so nothing behind it can be trusted; trying again");
    let mut stream = liar.accept();
    stream.write_all(b"\x30\0\0\0\x07\0\0\0\x03bob\0\0\0\x05again").unwrap();
    ana.expect("[7] bob: again");
    ana.type_keys("\x03");
    assert_eq!(ana.wait(), Some(130));
}

#[test]
fn each_message_that_is_lost_while_a_file_is_stopped_is_said() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let path = folder.file("big", 30 * 1024 * 1024);
    let mut ana = Client::start(&server.address, "ana", &[]);
    let mut bob = Bare::log_in(&server.address, "bob");
    ana.type_line(&format!("/file bob@7 {path}"));
    let mut chunks = 0;
    bob.receive(|packet| {
        chunks += u32::from(matches!(packet, Packet::FileChnkInc { .. }));
        (chunks == 1000).then_some(())
    });
    bob.close();
    ana.expect("* stopped: file \"big\" to bob@7: nobody of that name is connected there");
    for number in 0..6 {
        ana.type_line(&format!("/msg bob@7 message {number}"));
    }
    let (code, out, _) = ana.finish();
    assert_eq!(code, 1);
    for number in 0..6 {
        let said = |line: &&String| line.contains("delivered") && line.contains(&format!("\"message {number}\""));
        assert!(out.iter().any(|line| said(&line)), "{number}: {out:#?}");
    }
}

#[test]
fn a_file_that_has_arrived_is_never_said_to_be_stopped() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let path = folder.file("small", 5000);
    let mut ana = Client::start(&server.address, "ana", &[]);
    let bob = Client::start(&server.address, "bob", &["--accept-all", "--download", folder.text()]);
    ana.type_line(&format!("/file bob@7 {path}"));
    bob.expect("* received \"small\"");
    ana.expect("* sent \"small\" to bob@7: 5000 bytes");
    assert_eq!(bob.finish().0, 0);
    ana.type_line("/msg bob@7 hi");
    let line = ana.expect("* ");
    assert_eq!(line, "* not delivered: message to bob@7 \"hi\": nobody of that name is connected there");
    assert_eq!(ana.finish().0, 0);
}

#[test]
fn a_file_that_goes_nowhere_is_not_said_to_be_sent() {
    let server = Server::start(7, &[]);
    let folder = Scratch::new();
    let path = folder.file("small", 5000);
    for receiver in ["nobody@7", "nobody@9"] {
        let mut ana = Client::start(&server.address, "ana", &[]);
        ana.type_line(&format!("/file {receiver} {path}"));
        let (code, out, _) = ana.finish();
        assert_eq!((code, out.len()), (1, 1), "{out:#?}");
        assert!(out[0].starts_with(&format!("* not delivered whole: file \"small\" to {receiver}: ")), "{out:#?}");
    }
}

#[test]
fn what_was_not_sent_when_the_connection_is_lost_is_said() {
    let (liar, folder) = (Liar::new(), Scratch::new());
    let path = folder.file("large", 30 * 1024 * 1024);
    let mut ana = Client::spawn(liar.command(&folder));
    let mut stream = liar.accept();
    ana.err.expect("connected to");
    ana.type_line(&format!("/file bob@7 {path}"));
    stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(stream);
    ana.expect("* not sent: \"large\" to bob@7: the connection was lost");
    assert_eq!(ana.wait().0, 1);
}
