//! Sections 1 and 2.

use super::bench::{Bench, accepted};
use super::{NOT_UTF8, raw, text};
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::conform::peer::encoded;
use crate::wire::{Code, Packet};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "1.1",
        claim: "several clients are served at once",
        quote: "The goal of Chat Fusion protocol is to allow multiple communications between client on same and different \
                servers.",
        check: several_at_once,
    },
    Case {
        id: "1.2",
        claim: "two clients of one server cannot have the same nickname",
        quote: "Clients authenticated on the same server must have different nicknames.",
        check: different_nicknames,
    },
    Case {
        id: "1.3",
        claim: "the same nickname on two servers is two clients, told apart by the server",
        quote: "Nicknames are discriminated with the server they belong to.",
        check: nicknames_of_two_servers,
    },
    Case {
        id: "2.1",
        claim: "a nickname and a message of UTF-8 come through, with their sizes in bytes",
        quote: "For every packet, strings are encoded using the UTF-8 charset.",
        check: utf8,
    },
    Case {
        id: "2.2",
        claim: "500 messages in a row all arrive",
        quote: "Packets should never get lost.",
        check: none_is_lost,
    },
    Case {
        id: "2.3",
        claim: "a packet that TCP delivers in pieces is put together",
        quote: "the CFP protocol is based on the TCP protocol",
        check: pieces,
    },
    Case {
        id: "2.4",
        claim: "packets that TCP delivers together are all handled",
        quote: "the CFP protocol is based on the TCP protocol",
        check: together,
    },
    Case {
        id: "2.5",
        claim: "a size of 300 bytes is read and written as 0000012c",
        quote: "every number are encoded in a big-endian system",
        check: big_endian,
    },
    Case {
        id: "2.6",
        claim: "the server's ID is the same for all its clients, and stays",
        quote: "Each server is named on an integer (4 bytes) and cannot rename itself once started.",
        check: same_id,
    },
    Case {
        id: "2.7",
        claim: "a message that is not UTF-8 reaches nobody, and others chat on",
        quote: "if a packet received from a client is somehow malformed or corrupted in any way, the server will simply \
                ignore this packet",
        check: malformed_is_ignored,
    },
    Case {
        id: "2.8",
        claim: "random bytes, cut packets and huge sizes do not stop the server",
        quote: "This ensures a client is not able to make the server crash by sending bad packet to it.",
        check: does_not_crash,
    },
];

fn several_at_once(bench: &mut Bench) -> Check {
    let ana = bench.guest("ana")?;
    for _ in 0..3 {
        let next = bench.dial()?;
        bench.still_logs_in(next).map_err(|stop| {
            let advice = "if the second client waits until the first has left: a thread for each, or a selector";
            stop.hint(format!("{} is connected meanwhile; {advice}", ana.nickname()))
        })?;
    }
    Ok(())
}

fn different_nicknames(bench: &mut Bench) -> Check {
    let ana = bench.guest("ana")?;
    let mut second = bench.dial()?;
    second.send(&Packet::AuthGst { nickname: ana.nickname() })?;
    let seen = second.next();
    match seen {
        Seen::Bytes(ref bytes) if *bytes == encoded(&accepted()) => {
            Err(second.stop(Seen::Words("that the second client is not accepted".into()), seen))
        }
        Seen::Bytes(_) | Seen::End => Ok(()),
        _ => Err(second.stop(Seen::Words("an answer".into()), seen)),
    }
}

fn nicknames_of_two_servers(bench: &mut Bench) -> Check {
    let other = bench.other()?;
    let mut ana = bench.guest("ana")?;
    let mut namesake = bench.dial_other(&other)?;
    namesake.send(&Packet::AuthGst { nickname: ana.nickname() })?;
    namesake.expect(&accepted())?;
    let (nickname, message) = (ana.nickname().to_owned(), bench.text("from the other server "));
    namesake.send(&Packet::MsgPbl { message: &message })?;
    ana.expect(&Packet::MsgPblInc { origin: other.id, sender: &nickname, message: &message })
}

fn utf8(bench: &mut Bench) -> Check {
    let (mut ana, mut zoe) = (bench.guest("ana")?, bench.guest("zoé日本")?);
    let message = bench.text("aé€😀 ");
    zoe.send(&Packet::MsgPbl { message: &message })?;
    ana.expect(&Packet::MsgPblInc { origin: bench.id(), sender: zoe.nickname(), message: &message })
}

fn none_is_lost(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let text = bench.text("message ");
    for number in 0..500 {
        ana.send(&Packet::MsgPbl { message: &format!("{number} {text}") })?;
    }
    for number in 0..500 {
        let message = &format!("{number} {text}");
        bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message })?;
    }
    Ok(())
}

fn pieces(bench: &mut Bench) -> Check {
    let mut bob = bench.guest("bob")?;
    let (mut ana, nickname) = (bench.dial()?, bench.text("ana"));
    for byte in encoded(&Packet::AuthGst { nickname: &nickname }) {
        ana.send_bytes(&[byte])?;
        // So that the kernel does not put them together.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    ana.expect(&accepted())?;
    let message = bench.text("in two pieces ");
    let bytes = encoded(&Packet::MsgPbl { message: &message });
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    ana.send_bytes(head)?;
    bench.settle(&mut bob)?;
    ana.send_bytes(tail)?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: &nickname, message: &message })
}

fn together(bench: &mut Bench) -> Check {
    let mut bob = bench.guest("bob")?;
    let (mut ana, nickname) = (bench.dial()?, bench.text("ana"));
    let messages = [bench.text("one "), bench.text("two "), bench.text("three ")];
    let mut bytes = encoded(&Packet::AuthGst { nickname: &nickname });
    messages.iter().for_each(|message| Packet::MsgPbl { message }.encode(&mut bytes));
    ana.send_bytes(&bytes)?;
    ana.expect(&accepted())?;
    for message in &messages {
        bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: &nickname, message })?;
    }
    Ok(())
}

fn big_endian(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let mut message = bench.text("300 bytes ");
    message.extend(std::iter::repeat_n('x', 300 - message.len().min(300)));
    ana.send(&Packet::MsgPbl { message: &message })?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })
}

fn same_id(bench: &mut Bench) -> Check {
    let (mut ana, mut bob, mut eve) = (bench.guest("ana")?, bench.guest("bob")?, bench.guest("eve")?);
    for _ in 0..2 {
        for sender in [&mut ana, &mut bob] {
            let message = bench.text("who are we? ");
            sender.send(&Packet::MsgPbl { message: &message })?;
            eve.expect(&Packet::MsgPblInc { origin: bench.id(), sender: sender.nickname(), message: &message })?;
        }
    }
    Ok(())
}

fn malformed_is_ignored(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    ana.send_bytes(&raw(Code::MsgPbl, &[&text(NOT_UTF8)]))?;
    // Whatever becomes of Ana, her message is handled before Eve's.
    let _ = bench.settle(&mut ana);
    let mut eve = bench.guest("eve")?;
    let message = bench.text("good ");
    eve.send(&Packet::MsgPbl { message: &message })?;
    let packet = Packet::MsgPblInc { origin: bench.id(), sender: eve.nickname(), message: &message };
    bob.expect(&packet).map_err(|stop| stop.hint("another client had sent a MSGPBL that is not UTF-8 before"))
}

fn does_not_crash(bench: &mut Bench) -> Check {
    let mut ana = bench.guest("ana")?;
    bench.settle(&mut ana)?;
    let huge = [0xFF; 4];
    let noise: Vec<u8> = (0..2000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let bad = [
        noise,
        raw(Code::AuthGst, &[&huge, b"x"]),
        raw(Code::AuthUsr, &[&text(b"x"), &huge]),
        raw(Code::MsgPbl, &[&huge, &[b'x'; 5000]]),
        raw(Code::FileChnk, &[&huge, &huge, &huge]),
        raw(Code::PckFwd, &[&huge, &[0x50]]),
        raw(Code::MrgReq, &[&huge]),
        raw(Code::Error, &[&text(NOT_UTF8), &[9]]),
        vec![0x77; 3000],
    ];
    let crashed = || Stop::words("that the server goes on", "no guest can log in any more");
    for bytes in &bad {
        for is_logged_in in [false, true] {
            let mallory = if is_logged_in { bench.guest("mallory") } else { bench.dial() };
            let mut mallory = mallory.map_err(|_| crashed())?;
            mallory.send_if_open(bytes);
            // What comes of the bytes has come of them by the time at which the server closes the connection, too.
            mallory.shut_sending_side();
            while matches!(mallory.next(), Seen::Bytes(_)) {}
        }
    }
    let working = |stop: Stop| stop.hint("after bad packets on other connections, the server does not work any more");
    bench.settle(&mut ana).map_err(working)?;
    let bob = bench.dial().map_err(working)?;
    bench.still_logs_in(bob).map_err(working).map(|_| ())
}
