//! Decisions D13 to D23, D53 and D55: between servers.

use std::time::{Duration, Instant};

use super::bench::{Bench, merge_request};
use super::decisions_framing::link_ignored;
use super::merge::{description_of, nobody};
use super::raw;
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::conform::peer::encoded;
use crate::wire::{Code, DeclineReason, Description, ErrorReason, Packet, ServerId};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "D13.2",
        claim: "a message of another server's client to nobody is answered with ERROR 1 in a PCKFWD to that server",
        quote: "",
        check: error_to_link,
    },
    Case {
        id: "D13.3",
        claim: "an ERROR that comes in a PCKFWD reaches the client that it names",
        quote: "",
        check: error_from_link,
    },
    Case {
        id: "D14.1",
        claim: "asked by a server that does not describe itself, the server does not describe itself either",
        quote: "",
        check: answers_without_itself,
    },
    Case {
        id: "D14.2",
        claim: "asked by a server that describes itself first, the server describes itself first",
        quote: "",
        check: answers_with_itself,
    },
    Case { id: "D14.3", claim: "the MRGRSP does not list its receiver", quote: "", check: receiver_is_not_listed },
    Case {
        id: "D15.1",
        claim: "the server's own ID at its own address in a list is no conflict",
        quote: "",
        check: own_address,
    },
    Case {
        id: "D17.1",
        claim: "an MRGREQ that announces more than ten descriptions is declined with 1 at once, before they come",
        quote: "",
        check: eleven_announced,
    },
    Case {
        id: "D17.2",
        claim: "a conflict is found before that the servers are merged already",
        quote: "",
        check: conflict_first,
    },
    Case { id: "D17.3", claim: "the server that declines closes the connection", quote: "", check: decline_closes },
    Case { id: "D17.4", claim: "a declined request changes nothing", quote: "", check: decline_changes_nothing },
    Case { id: "D19.1", claim: "a PCKFWD for another server is skipped", quote: "", check: for_another },
    Case {
        id: "D19.2",
        claim: "a PCKFWD with a packet of a third server is skipped: nobody speaks for another's users",
        quote: "",
        check: of_another,
    },
    Case { id: "D19.3", claim: "packets of clients are skipped on a link", quote: "", check: of_clients },
    Case { id: "D19.4", claim: "an unknown code closes a link, which is out of frame", quote: "", check: unknown_code },
    Case { id: "D21.1", claim: "a lost link is dialled again", quote: "", check: dialled_again },
    Case {
        id: "D23.1",
        claim: "an MRGREQ over a link is news: it has no answer",
        quote: "",
        check: news_without_answer,
    },
    Case {
        id: "D23.2",
        claim: "a sibling that an MRGREQ over a link announces is connected to",
        quote: "",
        check: news_is_followed,
    },
    Case {
        id: "D53.1",
        claim: "a server that does not describe itself is forgotten when its link ends, and may come back",
        quote: "",
        check: comes_back,
    },
    Case { id: "D55.1", claim: "a length of 4 GiB over a link closes it", quote: "", check: no_such_length },
];

fn error_to_link(bench: &mut Bench) -> Check {
    let (mut link, receiver) = (bench.link()?, bench.text("nobody"));
    link.forward(&Packet::MsgPrvInc { origin: link.id, sender: "eve", receiver: &receiver, message: "psst" })?;
    link.expect(&Packet::Error { sender: "eve", reason: ErrorReason::UnknownReceiver })
}

fn error_from_link(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    let (message, sender) = (bench.text("psst "), ana.nickname().to_owned());
    ana.send(&Packet::MsgPrv { destination: link.id, receiver: "nobody", message: &message })?;
    // An ERROR for what was never sent may be dropped.
    link.peer.next_of_ours(None);
    let error = Packet::Error { sender: &sender, reason: ErrorReason::UnknownReceiver };
    link.forward(&error)?;
    ana.expect(&error)
}

fn answers_without_itself(bench: &mut Bench) -> Check {
    let (link, id) = (bench.link()?, bench.id());
    match description_of(&link.answer, id) {
        None => Ok(()),
        Some(_) => Err(link.peer.stop(Seen::Words(format!("no description of server {id}")), Seen::Bytes(link.answer))),
    }
}

/// A link to the server that the kit describes, and what the server under test says of itself.
fn described(bench: &mut Bench, more: &[Description]) -> Result<(super::bench::Link, Description), Stop> {
    // Says it if merging is not possible at all.
    drop(bench.link()?);
    let end = Instant::now() + bench.setup.patience;
    let link = loop {
        let peer = bench.dial()?;
        let own = bench.described(&peer)?;
        match bench.link_as(peer, own.server, &[&[own], more].concat()) {
            Ok(link) => break link,
            // The link of the case before may still be ending.
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            Err(stop) => return Err(stop),
        }
    };
    let first = match Packet::decode(&link.answer) {
        Ok(Packet::MrgRsp { siblings, .. }) => siblings.iter().next(),
        _ => None,
    };
    match first.filter(|first| first.server == bench.id()) {
        Some(first) => Ok((link, first)),
        None => {
            let expected = Seen::Words(format!("an MRGRSP whose list begins with server {}", bench.id()));
            Err(link.peer.stop(expected, Seen::Bytes(link.answer)))
        }
    }
}

fn answers_with_itself(bench: &mut Bench) -> Check {
    described(bench, &[]).map(|_| ())
}

fn receiver_is_not_listed(bench: &mut Bench) -> Check {
    let (link, _) = described(bench, &[])?;
    match description_of(&link.answer, link.id) {
        None => Ok(()),
        Some(_) => {
            let expected = Seen::Words(format!("no description of server {}, which asked", link.id));
            Err(link.peer.stop(expected, Seen::Bytes(link.answer)))
        }
    }
}

fn own_address(bench: &mut Bench) -> Check {
    let (link, home) = described(bench, &[])?;
    drop(link);
    let (mut peer, id) = (bench.dial()?, bench.fresh_id());
    peer.send_bytes(&merge_request(id, &[home]))?;
    let seen = peer.next_of_ours(None);
    match &seen {
        Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgRsp.byte()) => Ok(()),
        _ => Err(peer.stop(Seen::Words(format!("an MRGRSP from server {}", bench.id())), seen)),
    }
}

fn eleven_announced(bench: &mut Bench) -> Check {
    drop(bench.link()?);
    let (mut peer, id) = (bench.dial()?, bench.fresh_id());
    peer.send_bytes(&raw(Code::MrgReq, &[&id.0.to_be_bytes(), &11_u32.to_be_bytes()]))?;
    peer.expect(&Packet::MrgDecl { reason: DeclineReason::ServerLimit })
}

fn conflict_first(bench: &mut Bench) -> Check {
    let (link, mut again) = (bench.link()?, bench.dial()?);
    let mut siblings = nobody(bench, &again, 1)?;
    siblings.iter_mut().for_each(|sibling| sibling.server = bench.id());
    again.send_bytes(&merge_request(link.id, &siblings))?;
    again.expect(&Packet::MrgDecl { reason: DeclineReason::IdConflict })
}

fn decline_closes(bench: &mut Bench) -> Check {
    let (link, mut again) = (bench.link()?, bench.dial()?);
    again.send_bytes(&merge_request(link.id, &[]))?;
    match again.next_of_ours(None) {
        Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgDecl.byte()) => again.expect_end(),
        _ => Err(Stop::skipped("the request must be declined; see case 7.3")),
    }
}

fn decline_changes_nothing(bench: &mut Bench) -> Check {
    drop(bench.link()?);
    let (mut ana, mut peer, id) = (bench.guest("ana")?, bench.dial()?, bench.fresh_id());
    let siblings = nobody(bench, &peer, 9)?;
    peer.send_bytes(&merge_request(id, &siblings))?;
    match peer.next_of_ours(None) {
        Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgDecl.byte()) => {}
        _ => return Err(Stop::skipped("the request must be declined; see case 7.4")),
    }
    let sender = ana.nickname().to_owned();
    for destination in std::iter::once(id).chain(siblings.iter().take(1).map(|it| it.server)) {
        ana.send(&Packet::MsgPrv { destination, receiver: "eve", message: "psst" })?;
        ana.expect(&Packet::Error { sender: &sender, reason: ErrorReason::UnknownServer })?;
    }
    Ok(())
}

fn for_another(bench: &mut Bench) -> Check {
    let third = bench.fresh_id();
    link_ignored(bench, |ana, origin| forwarded(third, origin, ana.nickname()))
}

fn of_another(bench: &mut Bench) -> Check {
    let (home, third) = (bench.id(), bench.fresh_id());
    link_ignored(bench, |ana, _| forwarded(home, third, ana.nickname()))
}

fn forwarded(destination: ServerId, origin: ServerId, receiver: &str) -> Vec<u8> {
    let content = encoded(&Packet::MsgPrvInc { origin, sender: "eve", receiver, message: "not for you" });
    encoded(&Packet::PckFwd { destination, content: &content })
}

fn of_clients(bench: &mut Bench) -> Check {
    let destination = bench.id();
    link_ignored(bench, |ana, _| {
        let mut bytes = encoded(&Packet::AuthGst { nickname: "eve" });
        Packet::MsgPrv { destination, receiver: ana.nickname(), message: "psst" }.encode(&mut bytes);
        bytes
    })
}

fn unknown_code(bench: &mut Bench) -> Check {
    let mut link = bench.link()?;
    link.peer.send_bytes(&[0x77])?;
    link.peer.expect_end()
}

fn dialled_again(bench: &mut Bench) -> Check {
    let (link, _) = described(bench, &[])?;
    drop(link);
    let place = "the described server's address";
    match bench.accept() {
        None => Err(Stop::deviation(Seen::Words(format!("a connection to {place} with an MRGREQ")), Seen::Nothing)),
        Some(mut peer) => match peer.next() {
            Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgReq.byte()) => Ok(()),
            seen => Err(Stop::deviation(Seen::Words("an MRGREQ".into()), seen)),
        },
    }
}

fn news_without_answer(bench: &mut Bench) -> Check {
    let (mut link, mut ana) = (bench.link()?, bench.guest("ana")?);
    link.settle(bench, &mut ana).map_err(|stop| stop.or_skip("a PCKFWD must be handled; see case 5.4"))?;
    link.peer.send_bytes(&merge_request(link.id, &[]))?;
    link.settle(bench, &mut ana)?;
    // What came back by then would stand before this.
    let message = bench.text("hi ");
    ana.send(&Packet::MsgPbl { message: &message })?;
    link.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &message })
}

fn news_is_followed(bench: &mut Bench) -> Check {
    let mut link = bench.link()?;
    let (listener, third) = bench.unknown_server(&link.peer)?;
    link.peer.send_bytes(&merge_request(link.id, &[third]))?;
    bench.expect_dial(&listener).map(|_| ())
}

fn comes_back(bench: &mut Bench) -> Check {
    let mut link = bench.link()?;
    link.peer.shut_sending_side();
    let _ = link.peer.expect_end();
    let (id, mut peer) = (link.id, bench.dial()?);
    drop(link);
    peer.send_bytes(&merge_request(id, &[]))?;
    let seen = peer.next_of_ours(None);
    match &seen {
        Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgRsp.byte()) => Ok(()),
        _ => Err(peer.stop(Seen::Words(format!("an MRGRSP from server {}", bench.id())), seen)),
    }
}

fn no_such_length(bench: &mut Bench) -> Check {
    let mut link = bench.link()?;
    link.peer.send_bytes(&raw(Code::MsgPbl, &[&[0xFF; 4]]))?;
    link.peer.expect_end()
}
