//! Section 8.

use super::bench::{Bench, chunk};
use crate::conform::case::{Case, Check};
use crate::wire::{ErrorReason, Packet, ServerId};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "8.1",
        claim: "a MSGPRV to an unknown server gets ERROR 0 with the sender's nickname",
        quote: "0x00 : Destination server is unknown or not connected.",
        check: |bench| message_fails(bench, false, ErrorReason::UnknownServer),
    },
    Case {
        id: "8.2",
        claim: "a MSGPRV to an unknown receiver gets ERROR 1 with the sender's nickname",
        quote: "0x01 : The receiver client is unknown or not connected.",
        check: |bench| message_fails(bench, true, ErrorReason::UnknownReceiver),
    },
    Case {
        id: "8.3",
        claim: "a FILECHNK to an unknown server gets ERROR 0",
        quote: "If an error occurs on data transfer, an 'ERROR' packet is sent back to the client.",
        check: |bench| chunk_fails(bench, false, ErrorReason::UnknownServer),
    },
    Case {
        id: "8.4",
        claim: "a FILECHNK to an unknown receiver gets ERROR 1",
        quote: "If an error occurs on data transfer, an 'ERROR' packet is sent back to the client.",
        check: |bench| chunk_fails(bench, true, ErrorReason::UnknownReceiver),
    },
    Case {
        id: "8.5",
        claim: "a receiver who has left is unknown: ERROR 1",
        quote: "0x01 : The receiver client is unknown or not connected.",
        check: receiver_left,
    },
    Case {
        id: "8.6",
        claim: "a server whose link has ended is not connected: ERROR 0",
        quote: "0x00 : Destination server is unknown or not connected.",
        check: link_ended,
    },
    Case {
        id: "8.7",
        claim: "a MSGPRV to nobody on the other given server gets ERROR 1",
        quote: "0x01 : The receiver client is unknown or not connected.",
        check: nobody_on_other,
    },
];

fn destination(bench: &mut Bench, is_here: bool) -> ServerId {
    if is_here { bench.id() } else { bench.fresh_id() }
}

fn message_fails(bench: &mut Bench, is_here: bool, reason: ErrorReason) -> Check {
    let mut ana = bench.guest("ana")?;
    let (destination, receiver, message) = (destination(bench, is_here), bench.text("nobody"), bench.text("psst "));
    ana.send(&Packet::MsgPrv { destination, receiver: &receiver, message: &message })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::Error { sender: &sender, reason })
}

fn chunk_fails(bench: &mut Bench, is_here: bool, reason: ErrorReason) -> Check {
    let mut ana = bench.guest("ana")?;
    let (destination, receiver) = (destination(bench, is_here), bench.text("nobody"));
    let chunk = chunk(1, "photo.jpg", 1, &[0; 1024]);
    ana.send(&Packet::FileChnk { destination, receiver: &receiver, chunk })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::Error { sender: &sender, reason })
}

fn receiver_left(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    bob.shut_sending_side();
    // Until the server has closed, or at least had time to see it.
    let _ = bob.expect_end();
    let (receiver, message) = (bob.nickname().to_owned(), bench.text("psst "));
    drop(bob);
    ana.send(&Packet::MsgPrv { destination: bench.id(), receiver: &receiver, message: &message })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::Error { sender: &sender, reason: ErrorReason::UnknownReceiver })
}

fn link_ended(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let destination = link.id;
    link.peer.shut_sending_side();
    let _ = link.peer.expect_end();
    drop(link);
    let message = bench.text("psst ");
    ana.send(&Packet::MsgPrv { destination, receiver: "eve", message: &message })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::Error { sender: &sender, reason: ErrorReason::UnknownServer })
}

fn nobody_on_other(bench: &mut Bench) -> Check {
    let (other, mut ana) = (bench.other()?, bench.guest("ana")?);
    let (receiver, message) = (bench.text("nobody"), bench.text("psst "));
    ana.send(&Packet::MsgPrv { destination: other.id, receiver: &receiver, message: &message })?;
    let sender = ana.nickname().to_owned();
    ana.expect(&Packet::Error { sender: &sender, reason: ErrorReason::UnknownReceiver })
        .map_err(|stop| stop.hint("are the given servers merged with each other?"))
}
