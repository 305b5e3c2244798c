//! The servers of the network.
//!
//! Every server of a network has a link to every other one. This module knows the others, decides whether a merge fits,
//! and plans the dials. Its results are answers and [effects](super::effects). The links themselves are connections,
//! with the states in `session/sibling.rs` and `session/requesting.rs`.
//!
//! | file | |
//! |---|---|
//! | `mod.rs` | the table of servers, what is told to others |
//! | `server.rs` | a server that we are linked with, or were |
//! | `offer.rs` | what another server says of itself and of its siblings |
//! | `hearsay.rs` | what siblings say of servers that we have no link to, and what that permits (D23, D51) |
//! | `admission.rs` | whether an offer fits (D15 to D18), and which servers may make one (D20) |
//! | `dialler.rs` | one thing to dial: the attempt, and the delays |
//! | `dialling.rs` | which servers to dial, when, and the outcome (D18, D21) |
//! | `target.rs` | merges that were asked for by name |
//! | `apart.rs` | servers that siblings reach and we do not |
//! | `reconcile.rs`, `graph.rs` | what to do about merges that raced and don't fit together (D52) |

mod admission;
mod apart;
mod dialler;
mod dialling;
mod graph;
mod hearsay;
mod offer;
mod reconcile;
mod server;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

pub use admission::{Decision, Misfit, Permissions};
pub use apart::Ids;
pub use dialling::{Dial, DialFor, DialTo, Dialled};
pub use offer::{Offer, dialable};
pub use server::{Server, ServerStatus};
pub use target::{MergeOutcome, MergeStatus};

use super::effects::{CloseMode, CloseReason, Effects};
use super::key::Key;
use super::random::Random;
use super::routed::Routed;
use crate::core::state::ordered::insert_all;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{Descriptions, Envelope, Packet, ServerId};
use hearsay::Hearsay;
use reconcile::{Announcement, Reconciliation};
use target::MergeTarget;

/// A host and port, as the operator wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl HostPort {
    /// Reads `HOST:PORT`, with an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<HostPort> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_plain = !host.is_empty() && !host.contains([':', ' ', '\t', '[', ']']);
        let host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            None if is_plain => host.to_owned(),
            None => return None,
        };
        let port = port.parse().ok().filter(|&port| port != 0)?;
        Some(HostPort { host, port })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How a link came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The other end of the connection.
    pub remote: Option<SocketAddr>,
    /// Whether we dialled it.
    pub is_dialled: bool,
    /// The list of servers that we sent over it (D14), as it stands in the packet.
    pub told: Vec<u8>,
}

/// The network, as this server knows it.
#[derive(Debug)]
pub struct Mesh {
    id: ServerId,
    advertise: Option<SocketAddrV4>,
    /// Servers that we are linked with, or were.
    servers: BTreeMap<ServerId, Server>,
    /// Servers that siblings name, and that we have no link to.
    hearsay: Hearsay,
    /// Merges that were asked for by name and are not done yet.
    targets: BTreeMap<u32, MergeTarget>,
    next_target: u32,
    permissions: Permissions,
    random: Random,
    reconciliation: Reconciliation,
    /// If we are routed: then the servers here are our neighbours alone.
    routed: Option<Routed>,
}

impl Mesh {
    /// A server that is alone so far.
    pub fn new(id: ServerId, advertise: Option<SocketAddrV4>, permissions: Permissions, seed: u64) -> Mesh {
        Mesh {
            id,
            advertise,
            servers: BTreeMap::new(),
            hearsay: Hearsay::default(),
            targets: BTreeMap::new(),
            next_target: 0,
            permissions,
            random: Random::new(seed),
            reconciliation: Reconciliation::default(),
            routed: None,
        }
    }

    /// This server is routed (D24).
    pub fn route(&mut self, routed: Routed) {
        self.routed = Some(routed);
    }

    /// The routed network, if we are in one.
    pub fn routed(&self) -> Option<&Routed> {
        self.routed.as_ref()
    }

    /// The same, to be changed.
    pub fn routed_mut(&mut self) -> Option<&mut Routed> {
        self.routed.as_mut()
    }

    /// Most links that we may have.
    pub fn links_max(&self) -> usize {
        if self.routed.is_some() { limits::ROUTED_LINKS_MAX } else { limits::SIBLINGS_MAX }
    }

    /// The link over which packets to a server go.
    pub fn next_hop(&mut self, server: ServerId, now: Millis) -> Option<Key> {
        match &mut self.routed {
            Some(routed) => routed.next_hop(server, now),
            None => self.link_to(server),
        }
    }

    /// Each server that is reached, and how many servers are between.
    pub fn route_lengths(&self) -> BTreeMap<ServerId, u32> {
        match &self.routed {
            Some(routed) => insert_all(routed.tree().routes.iter().map(|(&id, route)| (id, route.length))),
            None => insert_all(self.links().map(|(id, _)| (id, 0))),
        }
    }

    /// What stands before our next packet, which is for a client of this server.
    pub fn envelope(&mut self, destination: ServerId, effects: &mut Effects) -> Envelope {
        match &mut self.routed {
            Some(routed) => Envelope::Relay(routed.next_header(destination, effects)),
            None => Envelope::Forward(destination),
        }
    }

    /// The address told to other servers.
    pub fn advertise(&self) -> Option<SocketAddrV4> {
        self.advertise
    }

    /// The link to a server, if it is up.
    pub fn link_to(&self, server: ServerId) -> Option<Key> {
        self.servers.get(&server).and_then(Server::up)
    }

    /// All links that are up.
    pub fn links(&self) -> impl Iterator<Item = (ServerId, Key)> {
        self.servers.iter().filter_map(|(&id, server)| server.up().map(|key| (id, key)))
    }

    /// All servers known, ourselves not counted, by ID: those that we are linked with or were, and those that siblings
    /// name.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        let known = self.servers.iter().map(|(&id, server)| ServerStatus {
            id,
            address: server.place(),
            link: server.up(),
            linked_with: if server.up().is_some() { Vec::new() } else { self.linked_with(id, server.place()) },
            state: match server.up() {
                Some(_) if self.routed.as_ref().is_some_and(|routed| routed.is_spare(id)) => "spare",
                Some(_) => "linked",
                None => "lost",
            },
            since: server.since,
        });
        let named = self.named().into_keys().map(|(id, address)| {
            let heard = self.hearsay.dials.get(&address);
            let state = if heard.is_some() { "dialling" } else { "named" };
            let since = heard.map_or(Millis::NEVER, |heard| heard.first);
            let linked_with = self.linked_with(id, Some(address));
            ServerStatus { id, address: Some(address), link: None, linked_with, state, since }
        });
        let mut all: Vec<ServerStatus> = known.chain(named).collect();
        all.sort_by_key(|server| server.id);
        all.into_iter()
    }

    /// Whether every known server is linked and no merge is waiting.
    pub fn is_complete(&self) -> bool {
        let has_twins = self.routed.as_ref().is_some_and(|routed| routed.tree().has_twins);
        let is_linked = self.servers.values().all(|server| server.up().is_some());
        self.targets.is_empty() && is_linked && self.named().is_empty() && !has_twins
    }

    /// A packet's list of servers: ourselves first if `with_self`, then our siblings that can be named, without the
    /// receiver (D14).
    pub fn describe(
        &self,
        with_self: bool,
        receiver: Option<ServerId>,
        receiver_address: Option<SocketAddr>,
    ) -> Vec<u8> {
        if let Some(routed) = &self.routed {
            return routed.describe(receiver);
        }
        let own = self.advertise.filter(|_| with_self).map(|address| (self.id, address));
        let siblings = self.described().filter(|&(id, ..)| Some(id) != receiver);
        let siblings = siblings.filter_map(|(id, _, server)| server.place().map(|address| (id, address)));
        let siblings = siblings.filter(|&(_, address)| Some(SocketAddr::V4(address)) != receiver_address);
        let mut bytes = Vec::with_capacity(limits::NETWORK_MAX_SERVERS * Descriptions::ENTRY_BYTES);
        for (id, address) in own.into_iter().chain(siblings) {
            append_description(&mut bytes, id, address);
        }
        bytes
    }

    /// A link has come up, with what the other side said.
    pub fn on_link_up(&mut self, key: Key, offer: &Offer, joined: Joined, now: Millis, effects: &mut Effects) {
        self.close_target_dials(offer.address, key, effects);
        self.forget_surplus(effects);
        let server = self.servers.entry(offer.server).or_insert_with(|| Server::new(now));
        server.dialler.close(Some(key), effects);
        let has_come_elsewhere = server.address.is_some() && offer.address.is_some() && server.address != offer.address;
        server.former = if offer.address == server.former {
            None
        } else if has_come_elsewhere && server.is_verified() {
            server.address
        } else {
            server.former
        };
        server.address = offer.address.or(server.address);
        server.remote = joined.remote.map(|remote| canonical(remote.ip()));
        if joined.is_dialled
            && let Some(SocketAddr::V4(remote)) = joined.remote
        {
            server.reached = Some(remote);
        }
        (server.link, server.since, server.told) = (Some(key), now, joined.told);
        server.dialler.on_link_up();
        let place = server.place();
        let is_verified = server.is_verified();
        if let Some(heard) = place.and_then(|place| self.hearsay.dials.get_mut(&place)) {
            heard.dialler.close(Some(key), effects);
            // If it is named under another ID, it goes on being dialled, and the delays go on growing.
            let is_it = heard.named.take().is_none_or(|(named, _)| named == offer.server);
            if is_it
                && is_verified
                && let Some(place) = place
            {
                self.hearsay.dials.remove(&place);
            }
        }
        self.forget_predecessor(offer.server, effects);
        self.leave_same_place(offer.server, effects);
        let others: Vec<(ServerId, Key)> = self.links().filter(|&(id, _)| id != offer.server).collect();
        log::info!("linked with server {} ({}), {} siblings now", offer.server, OrDash(place), others.len() + 1);
        self.on_update(offer, now);
        if let Some(routed) = &mut self.routed {
            routed.on_link_up(offer.server, key, now, effects);
            return;
        }
        for (id, link) in others {
            self.send_update(id, link, effects);
        }
        // Another link may have come up while our list was on its way.
        let has_been_told =
            self.servers.get(&offer.server).is_none_or(|server| server.told == self.list_for(offer.server));
        if joined.is_dialled && !has_been_told {
            self.send_update(offer.server, key, effects);
        }
    }

    /// A sibling has announced its siblings over its link (D23).
    pub fn on_update(&mut self, offer: &Offer, now: Millis) {
        // We know that we are here; that we are elsewhere is a conflict.
        let is_of_us = |id, address| id == self.id && self.conflict(id, Some(address)).is_none();
        // What a routed network is like is told otherwise.
        let others = offer.others.iter().copied().filter(|_| self.routed.is_none());
        let others = insert_all(others.filter(|&(id, address)| !is_of_us(id, address)));
        if let Some(server) = self.servers.get_mut(&offer.server) {
            server.announcement = Announcement { others, at: now };
        }
        self.refresh_hearsay(now);
        self.plan_reconcile(now);
    }

    /// A link is gone.
    pub fn on_link_lost(&mut self, id: ServerId, key: Key, now: Millis) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.link != Some(key) {
            return;
        }
        let held_ms = now.since(server.since);
        server.held_ms = server.held_ms.max(held_ms);
        server.dialler.retry.on_link_lost(held_ms, now, &mut self.random);
        let said = std::mem::take(&mut server.announcement).others;
        (server.link, server.since) = (None, now);
        let (place, is_verified) = (server.place(), server.is_verified());
        if server.is_dialable() {
            log::warn!("lost the link to server {id} ({}); dialling it again", OrDash(server.place()));
        } else {
            self.servers.remove(&id);
            log::warn!(
                "lost the link to server {id}, which never said where it listens: it has to come back by itself"
            );
        }
        if let Some(place) = place {
            self.keep_word(id, place, said, is_verified, now);
        }
        self.refresh_hearsay(now);
        self.plan_reconcile(now);
    }

    /// Forgets a server that is not linked. Returns whether there was one.
    pub fn forget(&mut self, id: ServerId, effects: &mut Effects) -> bool {
        if self.link_to(id).is_some() {
            return false;
        }
        let mut was_known = self.give_up(id, effects);
        self.hearsay.dials.retain(|_, heard| {
            let is_it = heard.named.is_some_and(|(named, _)| named == id);
            if is_it {
                heard.dialler.close(None, effects);
            }
            was_known |= is_it;
            !is_it
        });
        was_known
    }

    /// Forgets a lost server. What siblings say of it goes on counting.
    fn give_up(&mut self, id: ServerId, effects: &mut Effects) -> bool {
        let Some(server) = self.servers.remove(&id) else { return false };
        server.close_dial(effects);
        // What it said of itself, and where it was before, is dialled for its sake alone.
        for heard in self.hearsay.dials.values_mut() {
            heard.named.take_if(|(named, from)| *named == id && (*from == id || *from == self.id));
        }
        log::info!("server {id} ({}) is forgotten", OrDash(server.place()));
        true
    }

    /// Two servers can't have one address: one that is down and whose address another server answers at is gone.
    fn forget_predecessor(&mut self, successor: ServerId, effects: &mut Effects) {
        let Some(new) = self.servers.get(&successor).filter(|server| server.is_verified()) else { return };
        let place = new.place();
        let is_predecessor =
            |id: ServerId, server: &Server| id != successor && server.place() == place && server.has_moved();
        let gone: Vec<ServerId> =
            self.servers.iter().filter(|(id, server)| is_predecessor(**id, server)).map(|(&id, _)| id).collect();
        for id in gone {
            self.give_up(id, effects);
        }
    }

    /// Two servers can't have one address: a newcomer that was seen there takes the place of the server that was linked
    /// under another ID, and so does any newcomer if that one was not seen there either. So nobody gets many places among
    /// ten by using many IDs.
    fn leave_same_place(&mut self, newcomer: ServerId, effects: &mut Effects) {
        let Some(new) = self.servers.get(&newcomer) else { return };
        let (place, is_verified) = (new.place(), new.is_verified());
        let is_same = |id: ServerId, server: &Server| {
            let may_go = is_verified || !server.is_verified();
            id != newcomer && server.up().is_some() && place.is_some() && server.place() == place && may_go
        };
        let gone = self.servers.iter().filter(|(id, server)| is_same(**id, server)).map(|(&id, _)| id);
        for id in gone.collect::<Vec<_>>() {
            let Some(link) = self.servers.remove(&id).and_then(|server| server.link) else { continue };
            log::info!("server {newcomer} is at {}, where server {id} was", OrDash(place));
            effects.close(link, CloseReason::Superseded, CloseMode::AfterWriting);
        }
    }

    /// Lost servers are not remembered without a bound: the one goes first that was lost first.
    fn forget_surplus(&mut self, effects: &mut Effects) {
        while self.servers.len() >= self.links_max() + limits::LOST_MAX {
            let lost = self.servers.iter().filter(|(_, server)| server.up().is_none());
            let Some(oldest) = lost.min_by_key(|(_, server)| server.since).map(|(&id, _)| id) else { return };
            self.give_up(oldest, effects);
        }
    }

    /// What a sibling is told of our servers.
    fn list_for(&self, id: ServerId) -> Vec<u8> {
        self.describe(true, Some(id), None)
    }

    fn send_update(&mut self, id: ServerId, link: Key, effects: &mut Effects) {
        if self.servers.get(&id).is_none_or(|server| server.place().is_none()) {
            return;
        }
        let list = self.list_for(id);
        let siblings = Descriptions::new(&list).unwrap_or_default();
        effects.send(link, &Packet::MrgReq { server: self.id, siblings });
        if let Some(server) = self.servers.get_mut(&id) {
            server.told = list;
        }
    }
}

/// Appends a server's description, as it stands in merge packets.
pub(super) fn append_description(bytes: &mut Vec<u8>, id: ServerId, address: SocketAddrV4) {
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(&address.ip().octets());
    bytes.extend_from_slice(&u32::from(address.port()).to_be_bytes());
}

/// An address, or `-` if there is none.
pub struct OrDash(pub Option<SocketAddrV4>);

impl std::fmt::Display for OrDash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Whether a description's address can be dialled: a unicast address.
pub fn is_unicast(address: std::net::Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
