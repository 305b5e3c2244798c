//! Section 6.

use std::io::Cursor;
use std::time::Instant;

use super::bench::{Bench, chunk};
use crate::blocking::{Connection, Event, Login, LoginError, Next, Person};
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::wire::Packet;

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "6.1",
        claim: "a FILECHNK arrives as a FILECHNKINC: origin, sender, receiver, then the rest with its 1,024 bytes",
        quote: "This packet has the destination server's ID instead of the origin server and the sender nickname appended \
                to it.",
        check: one_chunk,
    },
    Case {
        id: "6.2",
        claim: "two transfers with the same file name are told apart by their IDs",
        quote: "every transfer is identified by an integer, this ensures two transfers between the same client with the \
                same filename and file size will not clash",
        check: two_transfers,
    },
    Case {
        id: "6.3",
        claim: "the file name comes through as it is, with its extension",
        quote: "The name is used to save the file using its original name (Extension included).",
        check: file_name,
    },
    Case {
        id: "6.4",
        claim: "a FILECHNK to a client of a merged server is sent there in a PCKFWD",
        quote: "the server will ship it to the client if connected or to the destination server via a 'PCKFWD' packet",
        check: chunk_to_link,
    },
    Case {
        id: "6.5",
        claim: "a FILECHNKINC that comes in a PCKFWD reaches its receiver",
        quote: "the server will ship it to the client if connected or to the destination server via a 'PCKFWD' packet",
        check: chunk_from_link,
    },
    Case {
        id: "6.6",
        claim: "a file of 100 chunks arrives whole",
        quote: "Client receiving these packets will rebuild the file using chunks content.",
        check: whole_file,
    },
    Case {
        id: "6.7",
        claim: "a file reaches a client of the other given server whole",
        quote: "clients can transfer files between them",
        check: file_between_servers,
    },
];

fn content(seed: u8) -> [u8; 1024] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed))
}

fn one_chunk(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (receiver, content) = (bob.nickname().to_owned(), content(1));
    let chunk = chunk(42, "photo.jpg", 1, &content);
    ana.send(&Packet::FileChnk { destination: bench.id(), receiver: &receiver, chunk })?;
    bob.expect(&Packet::FileChnkInc { origin: bench.id(), sender: ana.nickname(), receiver: &receiver, chunk })
}

fn two_transfers(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (receiver, sender, id) = (bob.nickname().to_owned(), ana.nickname().to_owned(), bench.id());
    let contents = [content(1), content(2), content(3), content(4)];
    let chunks =
        || contents.iter().zip([1, u32::MAX, 1, u32::MAX]).map(|(content, it)| chunk(it, "same.txt", 2, content));
    for chunk in chunks() {
        ana.send(&Packet::FileChnk { destination: id, receiver: &receiver, chunk })?;
    }
    for chunk in chunks() {
        bob.expect(&Packet::FileChnkInc { origin: id, sender: &sender, receiver: &receiver, chunk })?;
    }
    Ok(())
}

fn file_name(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (receiver, content) = (bob.nickname().to_owned(), content(2));
    for name in ["été à la plage.tar.gz", "x"] {
        let chunk = chunk(7, name, 1, &content);
        ana.send(&Packet::FileChnk { destination: bench.id(), receiver: &receiver, chunk })?;
        bob.expect(&Packet::FileChnkInc { origin: bench.id(), sender: ana.nickname(), receiver: &receiver, chunk })?;
    }
    Ok(())
}

fn chunk_to_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let (receiver, content) = (bench.text("eve"), content(1));
    let chunk = chunk(42, "photo.jpg", 3, &content);
    ana.send(&Packet::FileChnk { destination: link.id, receiver: &receiver, chunk })?;
    link.expect(&Packet::FileChnkInc { origin: bench.id(), sender: ana.nickname(), receiver: &receiver, chunk })
}

fn chunk_from_link(bench: &mut Bench) -> Check {
    let (mut link, mut bob) = (bench.link()?, bench.guest("bob")?);
    let (receiver, content) = (bob.nickname().to_owned(), content(1));
    let chunk = chunk(42, "photo.jpg", 3, &content);
    let packet = Packet::FileChnkInc { origin: link.id, sender: "eve", receiver: &receiver, chunk };
    link.forward(&packet)?;
    bob.expect(&packet)
}

fn whole_file(bench: &mut Bench) -> Check {
    let target = bench.setup.target.clone();
    transfer(bench, target)
}

fn file_between_servers(bench: &mut Bench) -> Check {
    let other = bench.other()?;
    transfer(bench, other)
}

/// Sends a file with the library's own client, which announces it in a private message, to one on that server.
fn transfer(bench: &mut Bench, to: super::Target) -> Check {
    // The library's client waits a minute for its login, which is long for a server that does not answer at all.
    drop((bench.guest("ana")?, bench.guest_of(&to, "bob")?));
    let (nickname, receiver) = (bench.text("ana"), bench.text("bob"));
    let log_in = |server: &super::Target, nickname: &str| {
        server
            .open()
            .map_err(LoginError::Unreachable)
            .and_then(|stream| Connection::log_in(stream, Login::Guest(nickname)))
            .map_err(|error| Stop::skipped(format!("a guest must be able to log in; see case 3.1 ({error})")))
    };
    let mut bob = log_in(&to, &receiver)?;
    let mut ana = log_in(&bench.setup.target, &nickname)?;
    let file: Vec<u8> = (0..100 * 1024 - 300).map(|at: u32| (at.wrapping_mul(31) >> 3) as u8).collect();
    bob.accept_files(1 << 20);
    let lost = |error: std::io::Error| Stop::words("a file of 100 chunks", error.to_string());
    ana.send_file(&Person::new(receiver, to.id), "photo.jpg", Cursor::new(&file)).map_err(lost)?;
    let end = Instant::now() + bench.setup.patience;
    let said = "a file of 102,100 bytes in 100 chunks";
    loop {
        match bob.next_event_within(end.saturating_duration_since(Instant::now())).map_err(lost)? {
            // Unverified if the private message with its size has not come: then its padding is there, too.
            Next::Event(Event::File(received)) if received.from.nickname == nickname => {
                return if received.content.get(..file.len()) == Some(&file[..]) {
                    Ok(())
                } else {
                    Err(Stop::words(said, format!("a file of {} other bytes", received.content.len())))
                };
            }
            Next::Event(_) => {}
            Next::Nothing => return Err(Stop::words(said, "not all of its chunks, or not as they were sent")),
            Next::Closed => return Err(Stop::deviation(Seen::Words(said.into()), Seen::End)),
        }
    }
}
