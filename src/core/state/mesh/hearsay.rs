//! What siblings say of servers that we have no link to (D23), and what that permits.
//!
//! A sibling may lie, so hearsay gives little. A named server counts for nothing until it is linked: it has no place
//! among ten and keeps no ID. Its address is dialled, for that is how a mesh completes itself (D18), but rarely: the
//! delays grow to minutes, and they belong to the address, whatever ID it is named with. While a linked sibling names
//! it, it may ask us to merge, from that address and under that ID alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use ipnet::Ipv4Net;

use super::dialler::{Dialler, Pace};
use super::{DialFor, Mesh, Offer, canonical};
use crate::core::state::ordered::insert_all;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::ServerId;

/// What is known from hearsay alone.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    /// Addresses to dial, or dialled lately.
    pub dials: BTreeMap<SocketAddrV4, HeardDial>,
    /// What named servers said themselves, when they asked us to merge and did not fit.
    pub words: BTreeMap<(ServerId, SocketAddrV4), Word>,
}

/// An address that was named.
#[derive(Debug)]
pub(super) struct HeardDial {
    pub dialler: Dialler,
    /// The host of the sibling that named it first: it has used up one of that host's addresses.
    payer: IpAddr,
    /// When it was first to be dialled.
    pub first: Millis,
    /// The ID under which it is named now, and by which siblings. It is dialled while it is named.
    pub named: Option<(ServerId, ServerId)>,
}

/// What a server that is no sibling of ours said of its own siblings.
#[derive(Debug)]
pub(super) struct Word {
    pub others: BTreeMap<ServerId, SocketAddrV4>,
    at: Millis,
    /// It came from the host that it names, or answered there: its address is no stranger's.
    pub is_seen: bool,
}

/// Whether an address may be dialled that a sibling at `remote` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// It is on the namer's own host.
    Near,
    /// It is on another host.
    Far,
    /// It is in a network that the namer is not in.
    No,
}

/// Networks whose addresses mean something else on every host: loopback, link-local and private ones (RFC 6890).
const LOCAL_NETWORKS: [Ipv4Net; 9] = [
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
];

/// Whether two addresses are of one host, as far as can be told.
pub(super) fn is_same_host(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_loopback() && b.is_loopback())
}

fn access(remote: Option<IpAddr>, address: SocketAddrV4) -> Access {
    let local = LOCAL_NETWORKS.iter().find(|network| network.contains(address.ip()));
    let Some(remote) = remote else { return if local.is_none() { Access::Far } else { Access::No } };
    match (local, remote) {
        _ if is_same_host(remote, (*address.ip()).into()) => Access::Near,
        (None, _) => Access::Far,
        (Some(network), IpAddr::V4(remote)) if network.contains(&remote) => Access::Far,
        (Some(_), _) => Access::No,
    }
}

impl Mesh {
    /// Whether one of our siblings says that it is linked with this server there.
    pub(super) fn is_named(&self, id: ServerId, address: SocketAddrV4) -> bool {
        self.servers
            .values()
            .any(|server| server.up().is_some() && server.announcement.others.get(&id) == Some(&address))
    }

    /// Servers that siblings name and that we have no link to, each once: ID, address, and the sibling.
    pub(super) fn named(&self) -> BTreeMap<(ServerId, SocketAddrV4), ServerId> {
        let mut named = BTreeMap::new();
        for (&from, server) in self.servers.iter().filter(|(_, server)| server.up().is_some()) {
            for (&id, &address) in &server.announcement.others {
                let is_us = id == self.id || Some(address) == self.advertise;
                // One that is linked and does not describe itself may be anywhere.
                let is_known = self.servers.get(&id).is_some_and(|known| {
                    known.place() == Some(address) || known.up().is_some() && known.place().is_none()
                });
                if !is_us && !is_known && id != from {
                    named.entry((id, address)).or_insert(from);
                }
            }
        }
        named
    }

    /// The siblings' announcements, or our links, have changed.
    pub(super) fn refresh_hearsay(&mut self, now: Millis) {
        let named = self.named();
        let mut words = std::mem::take(&mut self.hearsay.words);
        words.retain(|&(id, address), word| now.since(word.at) <= limits::WORD_MS && self.is_named(id, address));
        self.hearsay.words = words;
        for heard in self.hearsay.dials.values_mut() {
            heard.named = None;
        }
        for (&(id, address), &from) in &named {
            if !self.is_excluded(id, Some(address), now) {
                self.note_named(id, address, from, now);
            }
        }
        let lost = self.servers.iter().filter(|(_, server)| server.link.is_none() && server.is_hearsay());
        let lost: Vec<_> = lost.filter_map(|(&id, server)| Some((id, server.place()?))).collect();
        for (id, place) in lost {
            self.note_named(id, place, id, now);
        }
        let formers: Vec<(ServerId, SocketAddrV4)> =
            self.servers.iter().filter_map(|(&id, server)| Some((id, server.former?))).collect();
        for (id, address) in formers {
            self.insist(id, address, now);
        }
        // Delays are kept for a while after an address is no longer named, so that naming it again does not reset them.
        self.hearsay
            .dials
            .retain(|_, heard| heard.named.is_some() || now.since(heard.dialler.retry.next) < limits::FORGET_MS);
    }

    fn note_named(&mut self, id: ServerId, address: SocketAddrV4, from: ServerId, now: Millis) {
        let remote = self.servers.get(&from).and_then(|server| server.remote);
        let access = access(remote, address);
        let soon = now + self.random.below(limits::DIAL_SOON_MS);
        if access == Access::No {
            self.complain(from, now, format_args!("server {from} names server {id} at {address}, a local address of a network that it is not in: not dialled"));
            return;
        }
        if let Some(heard) = self.hearsay.dials.get_mut(&address) {
            heard.named = Some((id, from));
            if access == Access::Near && heard.dialler.retry.failures == 0 && heard.dialler.retry.next > soon {
                heard.dialler.retry.next = soon;
            }
            return;
        }
        let payer = remote.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let paid = self.hearsay.dials.values().filter(|heard| is_same_host(heard.payer, payer)).count();
        if paid >= limits::HEARSAY_PER_HOST_MAX || self.hearsay.dials.len() >= limits::HEARSAY_MAX {
            self.complain(
                from,
                now,
                format_args!(
                    "server {from} names more servers than a network has: server {id} at {address} is not dialled"
                ),
            );
            return;
        }
        // Another port of a host that was just dialled waits, so that we cannot be used to scan for open ports.
        let is_of_host = |&(other, _): &(&SocketAddrV4, &HeardDial)| other.ip() == address.ip();
        let last = self.hearsay.dials.iter().filter(is_of_host).map(|(_, heard)| heard.first).max();
        let first = match last {
            Some(last) if access != Access::Near => soon.max(last + limits::HEARSAY_HOST_MS),
            _ => soon,
        };
        let heard = HeardDial { dialler: Dialler::at(first), payer, first, named: Some((id, from)) };
        self.hearsay.dials.insert(address, heard);
    }

    /// Dials a server at its former address, or at the one that it names itself: the server that answers there has its
    /// ID.
    pub(super) fn insist(&mut self, id: ServerId, address: SocketAddrV4, now: Millis) {
        let payer = Ipv4Addr::UNSPECIFIED.into();
        let new = || HeardDial { dialler: Dialler::at(now), payer, first: now, named: None };
        self.hearsay.dials.entry(address).or_insert_with(new).named = Some((id, self.id));
    }

    /// A server asks to merge under the ID of one that we are linked with. If the link was never seen to lead to that
    /// server's present or former address, this address is dialled. The server that answers there has the ID.
    pub fn contest(&mut self, offer: &Offer, now: Millis) {
        let Some(server) = self.servers.get_mut(&offer.server) else { return };
        let is_its_place = offer.address.is_some() && offer.address == server.place() && !server.is_verified();
        if is_its_place
            && let Some(address) = offer.address
            && access(server.remote, address) != Access::No
        {
            server.former = Some(address);
        }
        let Some(former) = server.former.filter(|&former| Some(former) == offer.address) else { return };
        self.insist(offer.server, former, now);
        // Where it really was, it is not kept waiting for what was dialled in vain meanwhile.
        if !is_its_place && let Some(heard) = self.hearsay.dials.get_mut(&former) {
            heard.dialler.not_after(now + limits::DIAL_DELAY_MAX_MS);
        }
    }

    /// Whether the link to this server is replaced by a connection that we dialled: that one leads to its former
    /// address.
    pub fn gives_way(&self, server: ServerId, dial_for: DialFor) -> bool {
        let former = self.servers.get(&server).and_then(|server| server.former);
        former.is_some_and(|former| dial_for == DialFor::Heard(former))
    }

    /// The server that answers at the former address says that it is linked with us; or there was no answer there for
    /// long. It is no longer dialled for the sake of that server.
    pub(super) fn keep_id(&mut self, address: SocketAddrV4) {
        for server in self.servers.values_mut().filter(|server| server.former == Some(address)) {
            server.former = None;
        }
        if let Some(heard) = self.hearsay.dials.get_mut(&address) {
            heard.named.take_if(|(_, from)| *from == self.id);
        }
    }

    /// One line a minute about what one sibling says.
    fn complain(&mut self, from: ServerId, now: Millis, what: std::fmt::Arguments<'_>) {
        if let Some(server) = self.servers.get_mut(&from)
            && server.quiet_until <= now
        {
            server.quiet_until = now + limits::HEARSAY_LOG_MS;
            log::warn!("hearsay: {what}");
        }
    }

    /// A server that did not fit has asked us, or answered: what it said counts, if a sibling says that it is linked with
    /// it.
    pub fn note_word(&mut self, offer: &Offer, remote: Option<SocketAddr>, now: Millis) {
        if let Some(address) = offer.address {
            let is_seen = remote.is_some_and(|remote| is_same_host(canonical(remote.ip()), (*address.ip()).into()));
            self.keep_word(offer.server, address, insert_all(offer.others.iter().copied()), is_seen, now);
            self.plan_reconcile(now);
        }
    }

    /// What a server said of its siblings counts as long as one of ours says that it is linked with it.
    pub(super) fn keep_word(
        &mut self,
        id: ServerId,
        address: SocketAddrV4,
        others: BTreeMap<ServerId, SocketAddrV4>,
        is_seen: bool,
        now: Millis,
    ) {
        if self.is_named(id, address) {
            let was_seen = self.hearsay.words.get(&(id, address)).is_some_and(|word| word.is_seen);
            self.hearsay.words.insert((id, address), Word { others, at: now, is_seen: is_seen || was_seen });
        }
    }

    /// A dial to an address that we were told of came to nothing. Returns how many have.
    pub(super) fn fail_heard(&mut self, address: SocketAddrV4, now: Millis) -> u32 {
        let Some(heard) = self.hearsay.dials.get_mut(&address) else { return 0 };
        heard.dialler.fail(Pace::Slow, now, &mut self.random);
        heard.dialler.retry.failures
    }

    /// IDs under which siblings name a server on this host.
    pub(super) fn named_on(&self, host: IpAddr) -> BTreeSet<ServerId> {
        let on_host = |(id, address): (ServerId, SocketAddrV4)| (IpAddr::V4(*address.ip()) == host).then_some(id);
        insert_all(self.named().into_keys().filter_map(on_host))
    }
}
