//! Decisions D6 and D10 to D13: messages and files of clients.

use super::bench::{Bench, chunk};
use super::decisions_framing::client_ignored;
use crate::conform::case::{Case, Check, Seen};
use crate::conform::peer::{Peer, encoded};
use crate::wire::{ErrorReason, Packet};

pub(super) const CASES: &[Case<Bench>] = &[
    Case { id: "D6.1", claim: "a public message comes back to its sender", quote: "", check: comes_back },
    Case { id: "D6.2", claim: "all clients see public messages in the same order", quote: "", check: same_order },
    Case { id: "D6.3", claim: "who has not logged in gets no public messages", quote: "", check: not_to_newcomers },
    Case {
        id: "D10.1",
        claim: "an empty message is a message",
        quote: "",
        check: |bench| public(bench, |_| String::new()),
    },
    Case {
        id: "D10.2",
        claim: "a message of 65,536 bytes arrives",
        quote: "",
        check: |bench| public(bench, |mark| format!("{mark}{}", "x".repeat(65_536 - mark.len()))),
    },
    Case {
        id: "D10.3",
        claim: "a message of 65,537 bytes is skipped",
        quote: "",
        check: |bench| client_ignored(bench, &encoded(&Packet::MsgPbl { message: &"x".repeat(65_537) })),
    },
    Case {
        id: "D10.4",
        claim: "a message's bytes are passed on as they are: control characters, NUL, blanks",
        quote: "",
        check: |bench| public(bench, |mark| format!(" \u{0}\u{1b}[0m\r\n\t{mark} ")),
    },
    Case {
        id: "D11.1",
        claim: "the chunks of a transfer arrive in order, with its number of chunks",
        quote: "",
        check: chunks_in_order,
    },
    Case {
        id: "D11.2",
        claim: "a chunk of a transfer of no chunks is skipped",
        quote: "",
        check: |bench| chunk_ignored(bench, "f", 0),
    },
    Case {
        id: "D11.3",
        claim: "a chunk with an empty file name is skipped",
        quote: "",
        check: |bench| chunk_ignored(bench, "", 1),
    },
    Case {
        id: "D11.4",
        claim: "a chunk with a file name of 256 bytes is skipped",
        quote: "",
        check: |bench| chunk_ignored(bench, &"n".repeat(256), 1),
    },
    Case {
        id: "D11.5",
        claim: "any file name of up to 255 bytes is passed on as it is: slashes, dots, control characters",
        quote: "",
        check: any_file_name,
    },
    Case {
        id: "D12.1",
        claim: "private messages of one sender to one receiver arrive in order",
        quote: "",
        check: private_in_order,
    },
    Case {
        id: "D12.2",
        claim: "a chunk does not overtake a message that was sent before it",
        quote: "",
        check: message_before_chunk,
    },
    Case { id: "D13.1", claim: "there is one ERROR for each message that fails", quote: "", check: one_error_each },
];

fn comes_back(bench: &mut Bench) -> Check {
    let (mut ana, message) = (bench.guest("ana")?, bench.text("hi "));
    ana.send(&Packet::MsgPbl { message: &message })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::MsgPblInc { origin: bench.id(), sender: &sender, message: &message })
}

/// The next packet, with nothing passed over but what is of others.
fn exactly(peer: &mut Peer, packet: &Packet<'_>) -> Check {
    let (seen, expected) = (peer.next_of_ours(None), Seen::Bytes(encoded(packet)));
    if seen == expected { Ok(()) } else { Err(peer.stop(expected, seen)) }
}

fn same_order(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (mut eve, mut zoe) = (bench.guest("eve")?, bench.guest("zoe")?);
    for number in 0..50 {
        let message = bench.text("order ");
        let sender = if number % 2 == 0 { &mut ana } else { &mut bob };
        sender.send(&Packet::MsgPbl { message: &message })?;
    }
    for _ in 0..50 {
        match eve.next_of_ours(None) {
            Seen::Bytes(bytes) => match Packet::decode(&bytes) {
                Ok(packet) => exactly(&mut zoe, &packet)?,
                Err(_) => return Err(eve.stop(Seen::Words("50 MSGPBLINC".into()), Seen::Bytes(bytes))),
            },
            seen => return Err(eve.stop(Seen::Words("50 MSGPBLINC".into()), seen)),
        }
    }
    Ok(())
}

fn not_to_newcomers(bench: &mut Bench) -> Check {
    let (mut ana, newcomer) = (bench.guest("ana")?, bench.dial()?);
    // Its connection has been accepted by the time that another one behind it is logged in.
    let mut bob = bench.guest("bob")?;
    let message = bench.text("hi ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })?;
    bench.still_logs_in(newcomer).map(|_| ())
}

fn public(bench: &mut Bench, message: fn(&str) -> String) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let message = message(&bench.text(""));
    ana.send(&Packet::MsgPbl { message: &message })?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })
}

fn chunks_in_order(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (id, sender, receiver) = (bench.id(), ana.nickname().to_owned(), bob.nickname().to_owned());
    for number in 0..20 {
        let content = [number; 1024];
        let chunk = chunk(9, "film.mkv", 20, &content);
        ana.send(&Packet::FileChnk { destination: id, receiver: &receiver, chunk })?;
    }
    for number in 0..20 {
        let content = [number; 1024];
        let chunk = chunk(9, "film.mkv", 20, &content);
        bob.expect(&Packet::FileChnkInc { origin: id, sender: &sender, receiver: &receiver, chunk })?;
    }
    Ok(())
}

fn chunk_ignored(bench: &mut Bench, name: &str, chunks: u32) -> Check {
    let (bob, id) = (bench.guest("bob")?, bench.id());
    let chunk = chunk(3, name, chunks, &[0; 1024]);
    client_ignored(bench, &encoded(&Packet::FileChnk { destination: id, receiver: bob.nickname(), chunk }))?;
    let mut bob = bob;
    bench.settle(&mut bob)
}

fn any_file_name(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (id, sender, receiver) = (bench.id(), ana.nickname().to_owned(), bob.nickname().to_owned());
    for name in ["../../etc/passwd", "a\u{0}b\n", &"n".repeat(255)] {
        let chunk = chunk(4, name, 1, &[1; 1024]);
        ana.send(&Packet::FileChnk { destination: id, receiver: &receiver, chunk })?;
        bob.expect(&Packet::FileChnkInc { origin: id, sender: &sender, receiver: &receiver, chunk })?;
    }
    Ok(())
}

fn private_in_order(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (id, sender, receiver) = (bench.id(), ana.nickname().to_owned(), bob.nickname().to_owned());
    let messages: Vec<String> = (0..50).map(|_| bench.text("order ")).collect();
    for message in &messages {
        ana.send(&Packet::MsgPrv { destination: id, receiver: &receiver, message })?;
    }
    for message in &messages {
        bob.expect(&Packet::MsgPrvInc { origin: id, sender: &sender, receiver: &receiver, message })?;
    }
    Ok(())
}

fn message_before_chunk(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (id, sender, receiver) = (bench.id(), ana.nickname().to_owned(), bob.nickname().to_owned());
    let (message, chunk) = (bench.text("a file for you "), chunk(5, "f", 1, &[1; 1024]));
    let mut bytes = encoded(&Packet::MsgPrv { destination: id, receiver: &receiver, message: &message });
    Packet::FileChnk { destination: id, receiver: &receiver, chunk }.encode(&mut bytes);
    ana.send_bytes(&bytes)?;
    bob.expect(&Packet::MsgPrvInc { origin: id, sender: &sender, receiver: &receiver, message: &message })?;
    bob.expect(&Packet::FileChnkInc { origin: id, sender: &sender, receiver: &receiver, chunk })
}

fn one_error_each(bench: &mut Bench) -> Check {
    let mut ana = bench.guest("ana")?;
    let (destination, receiver, message) = (bench.id(), bench.text("nobody"), bench.text("psst "));
    for _ in 0..3 {
        ana.send(&Packet::MsgPrv { destination, receiver: &receiver, message: &message })?;
    }
    let sender = ana.nickname().to_owned();
    for _ in 0..3 {
        ana.expect(&Packet::Error { sender: &sender, reason: ErrorReason::UnknownReceiver })?;
    }
    bench.settle(&mut ana)
}
