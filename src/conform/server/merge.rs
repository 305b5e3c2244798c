//! Section 7.

use std::net::IpAddr;

use super::bench::{Bench, merge_request};
use crate::conform::case::{Case, Check, Seen, Stop};
use crate::conform::peer::Peer;
use crate::wire::{Code, DeclineReason, Description, Packet, ServerId};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "7.1",
        claim: "an MRGREQ of a lone server is answered with an MRGRSP with the server's ID",
        quote: "If B accepts the merge, it will respond with the 'MRGRSP' packet with its own siblings",
        check: accepted,
    },
    Case {
        id: "7.2",
        claim: "the MRGRSP lists the server's siblings: ID, IPv4 address, port",
        quote: "A sibling description is the sibling Server ID, its IPv4 address and its working port",
        check: lists_siblings,
    },
    Case {
        id: "7.3",
        claim: "an MRGREQ of a server that is merged already is answered with MRGDECL 0",
        quote: "0x00 : The servers are already merged.",
        check: merged_already,
    },
    Case {
        id: "7.4",
        claim: "an MRGREQ that would make eleven servers is answered with MRGDECL 1",
        quote: "0x01 : The merge would result in a server limit exceeding. […] the total amount of connected servers in \
                the same Chat Fusion network is limited to 10 servers",
        check: too_many,
    },
    Case {
        id: "7.5",
        claim: "an MRGREQ under the server's own ID is answered with MRGDECL 2",
        quote: "0x02 : One or multiples server names conflicts among the hypothetical merged network.",
        check: own_id,
    },
    Case {
        id: "7.6",
        claim: "an MRGREQ that lists the server's own ID at another address is answered with MRGDECL 2",
        quote: "0x02 : One or multiples server names conflicts among the hypothetical merged network.",
        check: own_id_listed,
    },
    Case {
        id: "7.7",
        claim: "after a merge, the server connects to the siblings it has learned of",
        quote: "The merge system relies on a dense mesh. Indeed, every server is connected to every other server on the \
                Chat Fusion network.",
        check: dense_mesh,
    },
];

fn accepted(bench: &mut Bench) -> Check {
    let (mut peer, id) = (bench.dial()?, bench.fresh_id());
    peer.send_bytes(&merge_request(id, &[]))?;
    let seen = peer.next();
    match &seen {
        Seen::Bytes(bytes) => match Packet::decode(bytes) {
            Ok(Packet::MrgRsp { server, .. }) if server == bench.id() => Ok(()),
            _ => {
                let wanted =
                    crate::conform::peer::encoded(&Packet::MrgRsp { server: bench.id(), siblings: <_>::default() });
                let hint = "in place of the last 4 bytes, the number of the server's siblings and their descriptions; \
                            a server that has reached ten servers already is right to decline";
                Err(peer.stop(Seen::Bytes(wanted), seen).hint(hint))
            }
        },
        // Says that it is a matter of permission.
        Seen::End => bench.link().map(|_| ()),
        _ => Err(peer.stop(Seen::Words(format!("an MRGRSP from server {}", bench.id())), seen)),
    }
}

fn lists_siblings(bench: &mut Bench) -> Check {
    let others = (bench.other()?, bench.setup.others.clone()).1;
    let link = bench.link()?;
    let Ok(Packet::MrgRsp { siblings, .. }) = Packet::decode(&link.answer) else {
        return Err(Stop::words("an MRGRSP whose descriptions have 12 bytes each", "other bytes"));
    };
    for other in others {
        let ip = other.address.ip().to_canonical();
        let is_it = |it: Description| it.server == other.id && it.port == u32::from(other.address.port());
        if !siblings.iter().any(|it| is_it(it) && (IpAddr::V4(it.address) == ip || !ip.is_loopback())) {
            let expected = Seen::Words(format!("a description of server {} at {}", other.id, other.address));
            return Err(link.peer.stop(expected, Seen::Bytes(link.answer)).hint("are the given servers merged?"));
        }
    }
    Ok(())
}

fn expect_decline(mut peer: Peer, reason: DeclineReason) -> Check {
    peer.expect(&Packet::MrgDecl { reason })
}

fn merged_already(bench: &mut Bench) -> Check {
    let (link, mut again) = (bench.link()?, bench.dial()?);
    again.send_bytes(&merge_request(link.id, &[]))?;
    expect_decline(again, DeclineReason::AlreadyMerged)
}

/// Servers that nobody runs, on this machine's own address.
pub(super) fn nobody(bench: &mut Bench, peer: &Peer, count: u32) -> Result<Vec<Description>, Stop> {
    let Some(IpAddr::V4(address)) = peer.local_address().map(|address| address.ip().to_canonical()) else {
        return Err(Stop::skipped("needs a connection over IPv4: descriptions have no room for an IPv6 address"));
    };
    Ok((1..=count).map(|port| Description { server: bench.fresh_id(), address, port }).collect())
}

fn too_many(bench: &mut Bench) -> Check {
    let (first, mut peer) = (bench.link()?, bench.dial()?);
    // It says itself that this is a matter of permission; else it is not needed.
    drop(first);
    let (id, siblings) = (bench.fresh_id(), nobody(bench, &peer, 9)?);
    peer.send_bytes(&merge_request(id, &siblings))?;
    expect_decline(peer, DeclineReason::ServerLimit)
}

fn own_id(bench: &mut Bench) -> Check {
    drop(bench.link()?);
    let mut peer = bench.dial()?;
    peer.send_bytes(&merge_request(bench.id(), &[]))?;
    expect_decline(peer, DeclineReason::IdConflict)
}

fn own_id_listed(bench: &mut Bench) -> Check {
    drop(bench.link()?);
    let (mut peer, id) = (bench.dial()?, bench.fresh_id());
    let mut siblings = nobody(bench, &peer, 1)?;
    siblings.iter_mut().for_each(|sibling| sibling.server = bench.id());
    peer.send_bytes(&merge_request(id, &siblings))?;
    expect_decline(peer, DeclineReason::IdConflict)
}

fn dense_mesh(bench: &mut Bench) -> Check {
    let (peer, id) = (bench.dial()?, bench.fresh_id());
    let (listener, third) = bench.unknown_server(&peer)?;
    let link = bench.link_as(peer, id, &[third])?;
    let result = bench.expect_dial(&listener);
    drop(link);
    result
}

/// The description of `server` in an MRGRSP.
pub(super) fn description_of(answer: &[u8], server: ServerId) -> Option<Description> {
    match Packet::decode(answer) {
        Ok(packet @ Packet::MrgRsp { siblings, .. }) if packet.code() == Code::MrgRsp => {
            siblings.iter().find(|it| it.server == server)
        }
        _ => None,
    }
}
