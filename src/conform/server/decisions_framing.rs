//! Decisions D1 to D5: framing and bad input.

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::{NOT_UTF8, raw, text};
use crate::conform::case::{Case, Check, Stop};
use crate::conform::peer::{Peer, encoded};
use crate::wire::{Code, Packet, ServerId};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "D1.1",
        claim: "a login that is not UTF-8 is skipped, and the next packet on the connection is handled",
        quote: "",
        check: |bench| newcomer_ignored(bench, &raw(Code::AuthGst, &[&text(NOT_UTF8)])),
    },
    Case {
        id: "D1.2",
        claim: "a nickname of 100,000 bytes is skipped to its end",
        quote: "",
        check: |bench| newcomer_ignored(bench, &raw(Code::AuthGst, &[&text(&[b'x'; 100_000])])),
    },
    Case {
        id: "D1.3",
        claim: "a message that is not UTF-8 is skipped, and the next packet on the connection is handled",
        quote: "",
        check: |bench| client_ignored(bench, &raw(Code::MsgPbl, &[&text(NOT_UTF8)])),
    },
    Case {
        id: "D1.4",
        claim: "a receiver's name of 100,000 bytes is skipped to the end of its packet",
        quote: "",
        check: |bench| client_ignored(bench, &raw(Code::MsgPrv, &[&[0; 4], &text(&[b'x'; 100_000]), &text(b"hi")])),
    },
    Case {
        id: "D1.5",
        claim: "packets that do not fit the state are skipped: messages before the login",
        quote: "",
        check: |bench| newcomer_ignored(bench, &encoded(&Packet::MsgPbl { message: "too early" })),
    },
    Case {
        id: "D2.1",
        claim: "of an unknown code, exactly one byte is skipped",
        quote: "",
        check: |bench| newcomer_ignored(bench, &[0x77, 0x02, 0xFF]),
    },
    Case {
        id: "D3.1",
        claim: "64 ignored packets leave a connection open",
        quote: "",
        check: |bench| newcomer_ignored(bench, &[0x77; 64]),
    },
    Case { id: "D3.2", claim: "the 65th ignored packet closes a client's connection", quote: "", check: patience_ends },
    Case {
        id: "D3.3",
        claim: "a client that stops for 60 seconds in the middle of a packet is closed",
        quote: "",
        check: stops_in_packet,
    },
    Case { id: "D4.1", claim: "0x32, PCKFWD's other code in the RFC, is read as PCKFWD", quote: "", check: other_code },
    Case { id: "D4.2", claim: "PCKFWD is sent as 0x50", quote: "", check: own_code },
    Case { id: "D5.1", claim: "a PCKFWD in a PCKFWD is skipped, and the link goes on", quote: "", check: nested },
    Case {
        id: "D5.2",
        claim: "a PCKFWD with a packet that only clients send is skipped, and the link goes on",
        quote: "",
        check: wrong_content,
    },
];

/// On a new connection, this is skipped without an answer, and a login behind it is handled.
pub(super) fn newcomer_ignored(bench: &mut Bench, bytes: &[u8]) -> Check {
    drop(bench.guest("ana")?);
    let mut peer = bench.dial()?;
    peer.send_bytes(bytes)?;
    bench.still_logs_in(peer).map(|_| ())
}

/// From a client, this is skipped without an effect, and a message behind it is handled.
pub(super) fn client_ignored(bench: &mut Bench, bytes: &[u8]) -> Check {
    let (mut peer, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    bench.settle(&mut peer)?;
    peer.send_bytes(bytes)?;
    bench.settle(&mut peer)?;
    // Nor has anybody else got anything.
    bench.settle(&mut bob)
}

/// On a link, this is skipped without an answer, and a message behind it is handled.
pub(super) fn link_ignored(bench: &mut Bench, bytes: impl Fn(&Peer, ServerId) -> Vec<u8>) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    link.settle(bench, &mut ana).map_err(|stop| stop.or_skip("a PCKFWD must be handled; see case 5.4"))?;
    let bytes = bytes(&ana, link.id);
    link.peer.send_bytes(&bytes)?;
    link.settle(bench, &mut ana)
}

fn patience_ends(bench: &mut Bench) -> Check {
    let mut ana = bench.guest("ana")?;
    ana.send_bytes(&[0x77; 65])?;
    ana.expect_end()
}

fn stops_in_packet(bench: &mut Bench) -> Check {
    if !bench.setup.is_slow {
        return Err(Stop::skipped("takes more than a minute: --slow"));
    }
    let mut ana = bench.guest("ana")?.with_patience(Duration::from_secs(60) + bench.setup.patience);
    let began = Instant::now();
    ana.send_bytes(&[0x20, 0, 0])?;
    ana.expect_end()?;
    if began.elapsed() < Duration::from_secs(55) {
        return Err(Stop::words("the end after 60 seconds", format!("the end after {} s", began.elapsed().as_secs())));
    }
    Ok(())
}

fn other_code(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let message = bench.text("hi ");
    let packet = Packet::MsgPblInc { origin: link.id, sender: "eve", message: &message };
    let mut bytes = encoded(&Packet::PckFwd { destination: bench.id(), content: &encoded(&packet) });
    if let Some(code) = bytes.first_mut() {
        *code = 0x32;
    }
    link.peer.send_bytes(&bytes)?;
    ana.expect(&packet)
}

fn own_code(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let message = bench.text("hi ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    let content = encoded(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message });
    link.peer.expect(&Packet::PckFwd { destination: link.id, content: &content })
}

fn nested(bench: &mut Bench) -> Check {
    let home = bench.id();
    link_ignored(bench, |_, origin| {
        let inner = encoded(&Packet::MsgPblInc { origin, sender: "eve", message: "nested" });
        let middle = encoded(&Packet::PckFwd { destination: home, content: &inner });
        encoded(&Packet::PckFwd { destination: home, content: &middle })
    })
}

fn wrong_content(bench: &mut Bench) -> Check {
    let home = bench.id();
    link_ignored(bench, |ana, _| {
        let inner = encoded(&Packet::MsgPrv { destination: home, receiver: ana.nickname(), message: "wrong" });
        encoded(&Packet::PckFwd { destination: home, content: &inner })
    })
}
