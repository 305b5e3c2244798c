//! Decisions D24 to D39: a routed server. The kit is one or two of its neighbours.

use std::cell::Cell;

use super::bench::Bench;
use super::decisions_framing::client_ignored;
use super::merge::nobody;
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::conform::peer::{Peer, encoded};
use crate::wire::{
    Code, DeclineReason, Description, Descriptions, ErrorReason, Neighbours, Packet, RelayHeader, ServerId,
};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "D24.1",
        claim: "the codes of routed links are unknown codes of one byte to clients",
        quote: "",
        check: codes_of_links,
    },
    Case { id: "D25.1", claim: "a routed server describes itself twice in its MRGRSP", quote: "", check: mark },
    Case { id: "D25.2", claim: "an MRGREQ without the mark is declined with 1", quote: "", check: no_mark },
    Case { id: "D26.1", claim: "the MRGRSP lists also what is behind the neighbours", quote: "", check: whole_network },
    Case { id: "D27.1", claim: "an MRGREQ that would make 65 servers is declined with 1", quote: "", check: too_many },
    Case {
        id: "D28.1",
        claim: "a link's stamp is one more than the higher one of those in both HELLO",
        quote: "",
        check: stamp,
    },
    Case { id: "D29.1", claim: "LINKS of others are passed on as they are", quote: "", check: news },
    Case {
        id: "D32.1",
        claim: "what a client sends to another server goes there in a RELAY with the own ID as its origin",
        quote: "",
        check: own_relay,
    },
    Case { id: "D33.1", claim: "a RELAY that comes again is ignored", quote: "", check: again },
    Case {
        id: "D33.2",
        claim: "a RELAY of a server that is not behind the neighbour is ignored",
        quote: "",
        check: of_another,
    },
    Case {
        id: "D34.1",
        claim: "a RELAY for another server goes to the neighbour that leads there, as it is",
        quote: "",
        check: passed_on,
    },
    Case {
        id: "D34.2",
        claim: "a RELAY that goes no further is answered with ERROR 0 to its origin",
        quote: "",
        check: no_further,
    },
    Case {
        id: "D34.3",
        claim: "a public message goes on to the other neighbours, with each as its destination",
        quote: "",
        check: public_passed_on,
    },
    Case {
        id: "D39.1",
        claim: "a server that gets newer LINKS of itself goes on with their incarnation plus one",
        quote: "",
        check: was_here_before,
    },
];

/// The incarnation of all servers that the kit plays. Their IDs are new, so any will do.
const INCARNATION: u32 = 1;

/// A routed server that the kit plays, linked with the one under test.
struct Neighbour {
    peer: Peer,
    own: Description,
    home: ServerId,
    /// The link's.
    stamp: u32,
    version: u32,
    /// Of the last RELAY that it has sent.
    number: u32,
}

/// Asks to merge, as a routed server. Returns the answer.
fn ask(bench: &mut Bench) -> Result<(Peer, Description, Vec<u8>), Stop> {
    let (mut peer, own) = newcomer(bench)?;
    peer.send(&request(own.server, &bytes_of(&[own, own])))?;
    match peer.next_of_ours(None) {
        Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgRsp.byte()) => Ok((peer, own, bytes)),
        _ => {
            Err(Stop::skipped("the server does not accept the MRGREQ of a routed server; is it one, and may we merge?"))
        }
    }
}

/// A connection, and the server that is to speak over it.
fn newcomer(bench: &mut Bench) -> Result<(Peer, Description), Stop> {
    bench.must_be_routed()?;
    let peer = bench.dial()?;
    let mut own = nobody(bench, &peer, 1)?;
    let own = own.pop().ok_or_else(|| Stop::skipped("no description"))?;
    // A port of its own, as a server has it. Nobody listens there.
    Ok((peer, Description { port: 1 + (own.server.0 & 0xFFF), ..own }))
}

fn bytes_of(servers: &[Description]) -> Vec<u8> {
    let each = |it: &Description| [it.server.0.to_be_bytes(), it.address.octets(), it.port.to_be_bytes()].concat();
    servers.iter().flat_map(each).collect()
}

fn request(server: ServerId, list: &[u8]) -> Packet<'_> {
    Packet::MrgReq { server, siblings: Descriptions::new(list).unwrap_or_default() }
}

impl Neighbour {
    /// Linked. Its HELLO has a stamp that is so much higher than the other one.
    fn with_stamp_above(bench: &mut Bench, more: u32) -> Result<Neighbour, Stop> {
        let (mut peer, own, _) = ask(bench)?;
        let Seen::Bytes(hello) = peer.next() else { return Err(Stop::skipped("no HELLO comes behind the MRGRSP")) };
        let Ok(Packet::Hello { stamp: theirs }) = Packet::decode(&hello) else {
            return Err(Stop::skipped("something else than HELLO comes behind the MRGRSP"));
        };
        peer.send(&Packet::Hello { stamp: theirs.saturating_add(more) })?;
        peer.set_nickname(format!("server {}", own.server));
        let stamp = theirs.saturating_add(more).saturating_add(1);
        Ok(Neighbour { peer, own, home: bench.id(), stamp, version: 0, number: 0 })
    }

    /// Linked, and described to the other end.
    fn new(bench: &mut Bench) -> Result<Neighbour, Stop> {
        let mut neighbour = Neighbour::with_stamp_above(bench, 0)?;
        neighbour.describe(&[])?;
        Ok(neighbour)
    }

    /// Sends its LINKS: the one to the server under test, and these.
    fn describe(&mut self, more: &[(ServerId, u32)]) -> Check {
        self.version += 1;
        let links = [&[(self.home, self.stamp)], more].concat();
        self.peer.send_bytes(&links_of(self.own, self.version, &links))
    }

    /// A server behind this one. Returns its LINKS.
    fn bring(&mut self, bench: &mut Bench) -> Result<(ServerId, Vec<u8>), Stop> {
        let server = bench.fresh_id();
        let behind = Description { server, port: 1 + (server.0 & 0xFFF), ..self.own };
        let links = links_of(behind, 1, &[(self.own.server, 1)]);
        self.peer.send_bytes(&links)?;
        self.describe(&[(server, 1)])?;
        Ok((server, links))
    }

    fn relay(&mut self, destination: ServerId, content: &Packet<'_>) -> Result<RelayHeader, Stop> {
        self.number += 1;
        let header =
            RelayHeader { destination, origin: self.own.server, incarnation: INCARNATION, number: self.number };
        self.peer.send(&Packet::Relay { header, content: &encoded(content) })?;
        Ok(header)
    }

    /// All that it has sent was handled: a private message arrives at this client, and nothing before it.
    fn settle(&mut self, bench: &mut Bench, client: &mut Peer) -> Check {
        let (message, receiver) = (bench.text("over the link "), client.nickname().to_owned());
        let packet =
            Packet::MsgPrvInc { origin: self.own.server, sender: "eve", receiver: &receiver, message: &message };
        self.relay(self.home, &packet)?;
        client.expect(&packet)
    }

    /// The next packet must be this one of the server under test. It counts itself.
    fn expect(&mut self, content: &Packet<'_>) -> Check {
        let seen = self.peer.next_of_ours(Some(Code::Relay));
        let mut header = RelayHeader { destination: self.own.server, origin: self.home, ..<_>::default() };
        if let Seen::Bytes(bytes) = &seen
            && let Ok(Packet::Relay { header: its, .. }) = Packet::decode(bytes)
        {
            (header.incarnation, header.number) = (its.incarnation, its.number);
        }
        let expected = Seen::Bytes(encoded(&Packet::Relay { header, content: &encoded(content) }));
        if seen == expected { Ok(()) } else { Err(self.peer.stop(expected, seen)) }
    }

    /// Waits for LINKS that are so.
    fn expect_links(&mut self, what: &str, is_it: impl Fn(&[u8], Description, u32, Neighbours<'_>) -> bool) -> Check {
        loop {
            let seen = self.peer.next_of_ours(Some(Code::Links));
            if let Seen::Bytes(bytes) = &seen
                && let Ok(Packet::Links { server, incarnation, neighbours, .. }) = Packet::decode(bytes)
            {
                if is_it(bytes, server, incarnation, neighbours) {
                    return Ok(());
                }
                continue;
            }
            return Err(self.peer.stop(Seen::Words(what.to_owned()), seen));
        }
    }

    /// Waits for the LINKS of the server under test that have this link: its description, its incarnation, the stamp.
    fn home_links(&mut self) -> Result<(Description, u32, u32), Stop> {
        let (found, home, own) = (Cell::new(None), self.home, self.own.server);
        let expected = format!("LINKS of server {home} with a link to server {own}");
        self.expect_links(&expected, |_, server, incarnation, links| {
            let link = links.iter().find(|(id, _)| *id == own && server.server == home);
            found.set(link.map(|(_, stamp)| (server, incarnation, stamp)));
            link.is_some()
        })?;
        found.take().ok_or_else(|| Stop::skipped("no LINKS come"))
    }
}

fn links_of(server: Description, version: u32, links: &[(ServerId, u32)]) -> Vec<u8> {
    let bytes: Vec<u8> = links.iter().flat_map(|(id, stamp)| [id.0, *stamp].map(u32::to_be_bytes)).flatten().collect();
    let neighbours = Neighbours::new(&bytes).unwrap_or_default();
    encoded(&Packet::Links { server, incarnation: INCARNATION, version, neighbours })
}

fn codes_of_links(bench: &mut Bench) -> Check {
    let codes = [Code::Relay, Code::Links, Code::Hold, Code::Hello].map(Code::byte);
    client_ignored(bench, &codes)
}

fn mark(bench: &mut Bench) -> Check {
    let (peer, _, answer) = ask(bench)?;
    let is_home = |it: Description| it.server == bench.id();
    let is_marked = match Packet::decode(&answer) {
        Ok(Packet::MrgRsp { siblings, .. }) => {
            let mut listed = siblings.iter();
            let (first, second) = (listed.next(), listed.next());
            first == second && first.is_some_and(is_home)
        }
        _ => false,
    };
    if is_marked {
        return Ok(());
    }
    let expected = format!("a description of server {} twice, in front of the others", bench.id());
    Err(peer.stop(Seen::Words(expected), Seen::Bytes(answer)))
}

fn no_mark(bench: &mut Bench) -> Check {
    drop(ask(bench)?);
    let (mut peer, own) = newcomer(bench)?;
    peer.send(&request(own.server, &bytes_of(&[own])))?;
    peer.expect(&Packet::MrgDecl { reason: DeclineReason::ServerLimit })
}

fn whole_network(bench: &mut Bench) -> Check {
    let (mut neighbour, mut ana) = (Neighbour::new(bench)?, bench.guest("ana")?);
    let (behind, _) = neighbour.bring(bench)?;
    neighbour.settle(bench, &mut ana)?;
    let (peer, _, answer) = ask(bench)?;
    let ids: Vec<ServerId> = match Packet::decode(&answer) {
        Ok(Packet::MrgRsp { siblings, .. }) => siblings.iter().map(|it| it.server).collect(),
        _ => Vec::new(),
    };
    if [neighbour.own.server, behind].iter().all(|id| ids.contains(id)) {
        return Ok(());
    }
    let expected = format!("descriptions of server {}, and of server {behind} behind it", neighbour.own.server);
    Err(peer.stop(Seen::Words(expected), Seen::Bytes(answer)))
}

fn too_many(bench: &mut Bench) -> Check {
    drop(ask(bench)?);
    let (mut peer, own) = newcomer(bench)?;
    let list = [vec![own, own], nobody(bench, &peer, 63)?].concat();
    peer.send(&request(own.server, &bytes_of(&list)))?;
    peer.expect(&Packet::MrgDecl { reason: DeclineReason::ServerLimit })
}

fn stamp(bench: &mut Bench) -> Check {
    let mut neighbour = Neighbour::with_stamp_above(bench, 10)?;
    let (.., stamp) = neighbour.home_links()?;
    if stamp == neighbour.stamp {
        return Ok(());
    }
    let words = |stamp| Seen::Words(format!("LINKS in which the stamp of this link is {stamp}"));
    Err(neighbour.peer.stop(words(neighbour.stamp), words(stamp)))
}

fn news(bench: &mut Bench) -> Check {
    let (mut one, mut other) = (Neighbour::new(bench)?, Neighbour::new(bench)?);
    let (behind, sent) = one.bring(bench)?;
    other.expect_links(&format!("the LINKS of server {behind} as they were sent"), |bytes, _, _, _| bytes == sent)
}

fn own_relay(bench: &mut Bench) -> Check {
    let (mut neighbour, mut ana) = (Neighbour::new(bench)?, bench.guest("ana")?);
    neighbour.settle(bench, &mut ana)?;
    let (message, sender) = (bench.text("psst "), ana.nickname().to_owned());
    ana.send(&Packet::MsgPrv { destination: neighbour.own.server, receiver: "eve", message: &message })?;
    neighbour.expect(&Packet::MsgPrvInc { origin: bench.id(), sender: &sender, receiver: "eve", message: &message })
}

fn again(bench: &mut Bench) -> Check {
    let (mut neighbour, mut ana) = (Neighbour::new(bench)?, bench.guest("ana")?);
    let message = bench.text("once ");
    let packet = Packet::MsgPblInc { origin: neighbour.own.server, sender: "eve", message: &message };
    let header = neighbour.relay(bench.id(), &packet)?;
    ana.expect(&packet)?;
    neighbour.peer.send(&Packet::Relay { header, content: &encoded(&packet) })?;
    neighbour.settle(bench, &mut ana)
}

fn of_another(bench: &mut Bench) -> Check {
    let (mut neighbour, mut ana) = (Neighbour::new(bench)?, bench.guest("ana")?);
    neighbour.settle(bench, &mut ana)?;
    let (origin, message) = (bench.fresh_id(), bench.text("of another "));
    let header = RelayHeader { destination: bench.id(), origin, incarnation: INCARNATION, number: 1 };
    let content = encoded(&Packet::MsgPblInc { origin, sender: "eve", message: &message });
    neighbour.peer.send(&Packet::Relay { header, content: &content })?;
    neighbour.settle(bench, &mut ana)
}

/// Two neighbours, of which the server under test knows.
fn two(bench: &mut Bench) -> Result<(Neighbour, Neighbour), Stop> {
    let (mut one, mut other, mut ana) = (Neighbour::new(bench)?, Neighbour::new(bench)?, bench.guest("ana")?);
    one.settle(bench, &mut ana)?;
    other.settle(bench, &mut ana)?;
    Ok((one, other))
}

fn passed_on(bench: &mut Bench) -> Check {
    let (mut one, mut other) = two(bench)?;
    let message = bench.text("for another ");
    let packet = Packet::MsgPrvInc { origin: one.own.server, sender: "eve", receiver: "bob", message: &message };
    let header = one.relay(other.own.server, &packet)?;
    other.peer.expect(&Packet::Relay { header, content: &encoded(&packet) })
}

fn public_passed_on(bench: &mut Bench) -> Check {
    let (mut one, mut other) = two(bench)?;
    let message = bench.text("for all ");
    let packet = Packet::MsgPblInc { origin: one.own.server, sender: "eve", message: &message };
    let header = one.relay(bench.id(), &packet)?;
    let header = RelayHeader { destination: other.own.server, ..header };
    other.peer.expect(&Packet::Relay { header, content: &encoded(&packet) })
}

fn no_further(bench: &mut Bench) -> Check {
    let (mut neighbour, mut ana) = (Neighbour::new(bench)?, bench.guest("ana")?);
    neighbour.settle(bench, &mut ana)?;
    let (nowhere, message) = (bench.fresh_id(), bench.text("to nowhere "));
    let origin = neighbour.own.server;
    neighbour.relay(nowhere, &Packet::MsgPrvInc { origin, sender: "eve", receiver: "bob", message: &message })?;
    neighbour.expect(&Packet::Error { sender: "eve", reason: ErrorReason::UnknownServer })
}

fn was_here_before(bench: &mut Bench) -> Check {
    let mut neighbour = Neighbour::new(bench)?;
    let (server, incarnation, _) = neighbour.home_links()?;
    let before = incarnation.saturating_add(100);
    let neighbours = Neighbours::default();
    neighbour.peer.send(&Packet::Links { server, incarnation: before, version: 1, neighbours })?;
    let expected = format!("LINKS of server {} with the incarnation {}", server.server, before.saturating_add(1));
    neighbour.expect_links(&expected, |_, of, incarnation, _| {
        of.server == server.server && incarnation == before.saturating_add(1)
    })
}
