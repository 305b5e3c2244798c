//! The connection, watched; and files on their way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cfp::wire::{Announcement, Packet};
use rustix::process::Signal;
use support::{Bare, Client, Scratch, Server};
use terminal::{end, start};

/// A way to a server that can be made to swallow everything, as a line does that is gone.
struct Line {
    address: String,
    is_dead: Arc<AtomicBool>,
    is_stuck: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(server: &str) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, open) = (server.to_owned(), Arc::default());
        let (is_dead, is_stuck) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let line = Line { address, is_dead: is_dead.clone(), is_stuck: is_stuck.clone(), open: Arc::clone(&open) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let (is_dead, is_stuck) = (is_dead.clone(), is_stuck.clone());
                    thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while is_stuck.load(Ordering::Acquire) {
                            thread::sleep(Duration::from_millis(10));
                        }
                        while let Ok(len @ 1..) = from.read(&mut buffer) {
                            if !is_dead.load(Ordering::Acquire) && to.write_all(&buffer[..len]).is_err() {
                                return;
                            }
                            while is_stuck.load(Ordering::Acquire) {
                                thread::sleep(Duration::from_millis(10));
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
        line
    }

    fn die(&self) {
        self.is_dead.store(true, Ordering::Release);
    }

    /// From now on it takes nothing.
    fn get_stuck(&self) {
        self.is_stuck.store(true, Ordering::Release);
    }

    /// What is open is closed; new connections work again.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        self.is_dead.store(false, Ordering::Release);
    }
}

#[test]
fn what_does_not_come_back_is_shown_as_pending_and_then_as_lost() {
    let server = Server::start(7, &[]);
    let line = Line::to(&server.address);
    let mut ana = start(&line.address, "ana", &[]);
    ana.type_keys("heard\r");
    ana.expect("[7] ana: heard");
    line.die();
    ana.type_keys("into the void\r/msg bob@7 you, too\r");
    ana.expect("not confirmed yet: \"into the void\" and 1 more");
    ana.type_keys("typed");
    ana.expect_last("> typed");
    line.cut();
    ana.expect("lost, or perhaps not: \"into the void\" had not come back when the connection ended");
    ana.expect("lost, or perhaps not: to bob@7 \"you, too\"");
    let rows = ana.wait_until("a second connection", |rows| {
        rows.iter().filter(|row| row.contains("* connected to")).count() == 2
    });
    assert!(!terminal::lines(&rows).iter().any(|row| row.contains("\"heard\"")), "{rows:#?}");
    ana.wait_until("nothing pending", |rows| !rows.iter().any(|row| row.contains("not confirmed")));
    end(ana);
}

#[test]
fn a_line_that_died_while_the_machine_slept_is_noticed_soon_and_one_that_lives_is_kept() {
    let server = Server::start(7, &[]);
    for (nickname, dies) in [("ana", false), ("eva", true)] {
        let line = Line::to(&server.address);
        let mut ana = start(&line.address, nickname, &[]);
        // A program that is stopped sees no more of that time than one on a machine that sleeps.
        ana.signal(Signal::STOP);
        thread::sleep(Duration::from_secs(4));
        if dies {
            line.die();
        }
        ana.signal(Signal::CONT);
        if dies {
            ana.expect("the server does not answer; trying again");
            line.cut();
        } else {
            thread::sleep(Duration::from_secs(9));
            ana.type_keys("still here\r");
            let rows = ana.expect(": still here");
            assert!(!rows.iter().any(|row| row.contains("lost") || row.contains("not delivered")), "{rows:#?}");
        }
        ana.signal(Signal::KILL);
        ana.wait();
    }
}

#[test]
fn a_line_that_died_while_the_machine_slept_is_noticed_soon_also_while_a_file_is_sent() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("large.bin", 30 * 1024 * 1024);
    let line = Line::to(&server.address);
    let _ben = Bare::log_in(&server.address, "ben");
    let mut ana = start(&line.address, "ana", &[]);
    line.get_stuck();
    ana.type_keys(&format!("/file ben@7 {path}\r"));
    ana.expect("↑ large.bin ");
    ana.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(4));
    ana.signal(Signal::CONT);
    // Otherwise the kernel waits for a minute.
    ana.expect("the server does not answer; trying again");
    ana.expect("not sent: \"large.bin\" to ben@7");
    ana.signal(Signal::KILL);
    ana.wait();
}

#[test]
fn the_reason_of_the_last_failed_try_is_shown() {
    let server = Server::start(7, &[]);
    let mut ana = start(&server.address, "ana", &[]);
    server.kill();
    ana.expect("not connected; next try in");
    ana.wait_until("the reason", |rows| {
        rows.iter().any(|row| row.starts_with("not connected; next try in") && row.contains("Connection refused"))
    });
    ana.type_keys("\x15\x04");
    assert_eq!(ana.wait(), Some(1));
}

#[test]
fn files_are_listed_with_numbers_and_stopped_by_them() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("large.bin", 30 * 1024 * 1024);
    let mut ana = start(&server.address, "ana", &["--download", folder.text()]);
    // It reads nothing, so the file stops on its way.
    let mut ben = Bare::log_in(&server.address, "ben");
    ben.chunk(7, "ana", (1, "offered.txt"), 1, b"x");
    ana.expect("ben@7 offers \"offered.txt\"");
    ana.type_keys(&format!("/file ben@7 {path}\r"));
    ana.expect("↑ large.bin ");
    ana.type_keys("/files\r");
    let rows = ana.expect("\"large.bin\" to ben@7: ");
    let number = |part: &str| {
        let row = rows.iter().find(|row| row.contains(part)).unwrap_or_else(|| panic!("{part}: {rows:#?}"));
        row.split_whitespace().nth(2).unwrap().parse::<u32>().unwrap()
    };
    let (sent, offered) = (number("↑ \"large.bin\" to ben@7"), number("? \"offered.txt\" from ben@7"));
    ana.type_keys(&format!("/cancel {}\r", sent + offered + 7));
    ana.expect("which? ");
    ana.type_keys(&format!("\x15/cancel {sent}\r"));
    ana.expect("cancelled \"large.bin\" to ben@7");
    ana.type_keys(&format!("/cancel {offered}\r"));
    ana.expect("refused \"offered.txt\" from ben@7");
    ana.type_keys("/files\r");
    ana.expect("no file is under way or offered");
    ben.close();
    end(ana);
}

#[test]
fn a_file_is_one_line_on_each_screen_and_its_announcement_none() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("photo.jpg", 43_000);
    let mut ana = start(&server.address, "ana", &[]);
    let mut ben = start(&server.address, "ben", &["--download", folder.path().join("in").to_str().unwrap()]);
    ana.type_keys(&format!("/file ben@7 {path}\r"));
    ben.expect("* ana@7 offers \"photo.jpg\", 43.0 kB: /accept or /refuse");
    ben.type_keys("/accept\r");
    let rows = ben.expect("* received \"photo.jpg\" from ana@7: 43000 bytes, SHA-256 correct, saved as");
    let lines = terminal::lines(&rows);
    assert_eq!(lines.iter().filter(|line| line.contains("photo.jpg")).count(), 2, "{rows:#?}");
    let rows = ana.expect("* sent \"photo.jpg\" to ben@7: 43000 bytes");
    assert_eq!(rows.iter().filter(|row| row.contains("photo.jpg")).count(), 1, "{rows:#?}");
    end(ana);
    end(ben);
}

#[test]
fn a_file_that_is_changed_while_it_is_sent_is_said_to_be_and_not_to_be_sent() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("large.bin", 30 * 1024 * 1024);
    let mut ana = Client::start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_line(&format!("/file ben@7 {path}"));
    ben.receive(|packet| matches!(packet, Packet::FileChnkInc { .. }).then_some(()));
    // Most of it is still to be read: the receiver reads nothing for now. The size and the rest stay as they are.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::End(-10)).unwrap();
    file.write_all(b"changed!!!").unwrap();
    drop(file);
    let mut chunks = 1;
    ben.receive(|packet| {
        chunks += u32::from(matches!(packet, Packet::FileChnkInc { .. }));
        (chunks == 30 * 1024).then_some(())
    });
    let line = ana.expect("was changed while it was sent");
    assert!(line.starts_with("* \"large.bin\" was") && line.ends_with("so its receiver does not keep it"), "{line}");
    let (code, out, _) = ana.finish();
    assert!(code == 1 && !out.iter().any(|line| line.starts_with("* sent")), "{out:?}");
}

#[test]
fn a_file_that_grows_while_it_is_sent_arrives_as_it_was_announced() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let path = folder.file("large.log", 5 * 1024 * 1024);
    let mut ana = Client::start(&server.address, "ana", &[]);
    let mut ben = Bare::log_in(&server.address, "ben");
    ana.type_line(&format!("/file ben@7 {path}"));
    let announced = ben.receive(|packet| match packet {
        Packet::MsgPrvInc { message, .. } => Announcement::parse(message),
        _ => None,
    });
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"one more line\n").unwrap();
    assert_eq!(announced.size, fs::metadata(&path).unwrap().len() - 14);
    let mut chunks = 0;
    ben.receive(|packet| {
        chunks += u32::from(matches!(packet, Packet::FileChnkInc { .. }));
        (chunks == 5 * 1024).then_some(())
    });
    ana.expect("* sent \"large.log\" to ben@7");
    assert_eq!(ana.finish().0, 0);
}

#[test]
fn nothing_is_said_to_be_sent_while_the_server_has_not_taken_it() {
    let (server, folder) = (Server::start(7, &[]), Scratch::new());
    let line = Line::to(&server.address);
    let path = folder.file("small.bin", 5000);
    let mut ana = start(&line.address, "ana", &[]);
    let _ben = Bare::log_in(&server.address, "ben");
    ana.type_keys("hi\r");
    ana.expect("* you are ana@7");
    line.die();
    ana.type_keys(&format!("/file ben@7 {path}\r"));
    thread::sleep(Duration::from_secs(2));
    line.cut();
    let rows = ana.expect("may not have arrived whole: file \"small.bin\" to ben@7");
    assert!(!terminal::lines(&rows).iter().any(|row| row.contains("sent \"small.bin\"")), "{rows:#?}");
    ana.wait_until("a second connection", |rows| rows.iter().filter(|row| row.contains("* connected to")).count() == 2);
    end(ana);
}

#[test]
fn a_message_that_the_server_drops_is_said_when_the_next_one_comes_back() {
    let server = Server::start(7, &["--max-message", "100"]);
    let mut ana = Client::start(&server.address, "ana", &[]);
    ana.type_line(&"long ".repeat(30));
    ana.type_line("short");
    let line = ana.expect("not delivered");
    assert!(line.starts_with("* not delivered: \"long long"), "{line}");
    ana.expect("[7] ana: short");
    assert_eq!(ana.finish().0, 0);
}
