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
    Case {
        id: "7.8",
        claim: "the server's own MRGREQ lists its siblings",
        quote: "send a 'MRGREQ' packet consisting of A's server ID and every connected siblings",
        check: own_request,
    },
];

fn accepted(bench: &mut Bench) -> Check {
    bench.must_be_dense()?;
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
    bench.other()?;
    let link = bench.link()?;
    lists_others(bench, &link.peer, &link.answer)
}

/// A merge packet that came must describe the other given servers.
fn lists_others(bench: &Bench, peer: &Peer, packet: &[u8]) -> Check {
    let siblings = match Packet::decode(packet) {
        Ok(Packet::MrgRsp { siblings, .. } | Packet::MrgReq { siblings, .. }) => siblings,
        _ => {
            let expected = Seen::Words("descriptions of 12 bytes each".into());
            return Err(peer.stop(expected, Seen::Bytes(packet.to_vec())));
        }
    };
    for other in &bench.setup.others {
        let ip = other.address.ip().to_canonical();
        let is_it = |it: Description| it.server == other.id && it.port == u32::from(other.address.port());
        if !siblings.iter().any(|it| is_it(it) && (IpAddr::V4(it.address) == ip || !ip.is_loopback())) {
            let expected = Seen::Words(format!("a description of server {} at {}", other.id, other.address));
            return Err(peer.stop(expected, Seen::Bytes(packet.to_vec())).hint("are the given servers merged?"));
        }
    }
    Ok(())
}

fn own_request(bench: &mut Bench) -> Check {
    bench.other()?;
    let (peer, id) = (bench.dial()?, bench.fresh_id());
    let (listener, third) = bench.unknown_server(&peer)?;
    let _link = bench.link_as(peer, id, &[third])?;
    let (peer, request) =
        bench.expect_dial(&listener).map_err(|stop| stop.or_skip("the server must dial; see case 7.7"))?;
    lists_others(bench, &peer, &request)
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
    let result = bench.expect_dial(&listener).map(|_| ());
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
