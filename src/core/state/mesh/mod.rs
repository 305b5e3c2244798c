//! Who is merged with whom.
//!
//! Every server of a network has a link to every other one. This module knows the others, decides whether a merge
//! fits, and plans who is dialled when. It says so in answers and [effects](super::effects); the links themselves are
//! connections like any other, with the states in `session/sibling.rs` and `session/requesting.rs`.
//!
//! | file | |
//! |---|---|
//! | `mod.rs` | the table of servers, what is told to others |
//! | `offer.rs` | what another server says of itself and of its siblings |
//! | `admission.rs` | whether an offer fits (D15 to D18), and who may make one (D20) |
//! | `dialling.rs` | whom to dial, when, and what comes of it (D18, D21) |
//! | `reconcile.rs` | what to do about merges that raced and don't fit together |

mod admission;
mod dialling;
mod offer;
mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

pub use admission::{Decision, Permissions};
pub use dialling::{Dial, DialFor, DialTo, Dialled, MergeOutcome};
pub use offer::Offer;

use super::effects::{CloseMode, CloseReason, Effects};
use super::key::Key;
use super::random::Random;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{Descriptions, Packet, ServerId};
use dialling::{MergeTarget, Retry};
use reconcile::{Announcement, Reconciliation};

/// Another server of our network.
#[derive(Debug)]
pub struct Server {
    /// Where it says that it listens; unknown for a peer that did not describe itself.
    address: Option<SocketAddrV4>,
    link: Link,
    was_linked: bool,
    /// Since when `link` is up, or not.
    since: Millis,
    /// What it said last of its siblings, over the link that is up.
    announcement: Announcement,
    /// When a sibling last said that it is linked with it.
    heard_of: Millis,
    /// The name that `--merge` had for it: it is dialled under that name too, for ever, also when it is forgotten.
    name: Option<HostPort>,
    retry: Retry,
}

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

/// The link to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up(Key),
    Dialling(DialState),
    Down,
}

/// A dial under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct DialState {
    /// The connection, as soon as there is one.
    key: Option<Key>,
    /// Our request was written: from here on D18 decides between it and one from the other side.
    is_sent: bool,
}

/// A server as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its ID.
    pub id: ServerId,
    /// Its advertised address.
    pub address: Option<SocketAddrV4>,
    /// The link, where it is up.
    pub link: Option<Key>,
    /// Whether there was a link before.
    pub was_linked: bool,
    /// Since when.
    pub since: Millis,
}

/// The network, as this server knows it.
#[derive(Debug)]
pub struct Mesh {
    id: ServerId,
    advertise: Option<SocketAddrV4>,
    servers: BTreeMap<ServerId, Server>,
    /// Merges that were asked for by name and are not done yet.
    targets: BTreeMap<u32, MergeTarget>,
    next_target: u32,
    permissions: Permissions,
    random: Random,
    /// Links that have come up so far: tells whether a list that was sent earlier is still what we would send.
    links_made: u64,
    reconciliation: Reconciliation,
}

impl Mesh {
    /// A server that is alone so far.
    pub fn new(id: ServerId, advertise: Option<SocketAddrV4>, permissions: Permissions, seed: u64) -> Mesh {
        Mesh {
            id,
            advertise,
            servers: BTreeMap::new(),
            targets: BTreeMap::new(),
            next_target: 0,
            permissions,
            random: Random::new(seed),
            links_made: 0,
            reconciliation: Reconciliation::default(),
        }
    }

    /// The address told to other servers.
    pub fn advertise(&self) -> Option<SocketAddrV4> {
        self.advertise
    }

    /// The link to a server, where it is up.
    pub fn link_to(&self, server: ServerId) -> Option<Key> {
        self.servers.get(&server).and_then(Server::up)
    }

    /// All links that are up.
    pub fn links(&self) -> impl Iterator<Item = (ServerId, Key)> {
        self.servers.iter().filter_map(|(&id, server)| server.up().map(|key| (id, key)))
    }

    /// All servers known, ourselves not counted.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.servers.iter().map(|(&id, server)| ServerStatus {
            id,
            address: server.address,
            link: server.up(),
            was_linked: server.was_linked,
            since: server.since,
        })
    }

    /// Whether every known server is linked and no merge is waiting.
    pub fn is_complete(&self) -> bool {
        self.targets.is_empty() && self.servers.values().all(|server| server.up().is_some())
    }

    /// A packet's list of servers: ourselves first where `with_self`, then our siblings that describe themselves, but
    /// for the receiver (D14).
    pub fn describe(
        &self,
        with_self: bool,
        receiver: Option<ServerId>,
        receiver_address: Option<SocketAddr>,
    ) -> Vec<u8> {
        let own = self.advertise.filter(|_| with_self).map(|address| (self.id, address));
        let siblings = self.described().filter(|&(id, ..)| Some(id) != receiver);
        let siblings = siblings.filter_map(|(id, _, server)| server.address.map(|address| (id, address)));
        let siblings = siblings.filter(|&(_, address)| Some(SocketAddr::V4(address)) != receiver_address);
        let mut bytes = Vec::with_capacity(limits::NETWORK_MAX_SERVERS * Descriptions::ENTRY_BYTES);
        for (id, address) in own.into_iter().chain(siblings) {
            bytes.extend_from_slice(&id.0.to_be_bytes());
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&u32::from(address.port()).to_be_bytes());
        }
        bytes
    }

    /// A link has come up: with what the other side said, and, where we dialled, the number of links there were when
    /// we sent our own list.
    pub fn on_link_up(&mut self, key: Key, offer: &Offer, listed_at: Option<u64>, now: Millis, effects: &mut Effects) {
        self.forget_predecessor(offer, effects);
        let server = self.servers.entry(offer.server).or_insert_with(|| Server::new(offer.address, now));
        if let Link::Dialling(DialState { key: Some(dial), .. }) = server.link
            && dial != key
        {
            effects.close(dial, CloseReason::Superseded, CloseMode::AfterWriting);
        }
        self.close_target_dials(offer.address, key, effects);
        let server = self.servers.entry(offer.server).or_insert_with(|| Server::new(offer.address, now));
        server.address = offer.address.or(server.address);
        (server.link, server.was_linked, server.since) = (Link::Up(key), true, now);
        server.retry.on_link_up();
        let others: Vec<(ServerId, Key)> = self.links().filter(|&(id, _)| id != offer.server).collect();
        log::info!(
            "linked with server {} ({}), {} siblings now",
            offer.server,
            OrDash(offer.address),
            others.len() + 1
        );
        let list_is_stale = listed_at.is_some_and(|then| then != self.links_made);
        self.links_made += 1;
        self.on_update(offer, now);
        for (id, link) in others {
            self.send_update(id, link, effects);
        }
        if list_is_stale {
            self.send_update(offer.server, key, effects);
        }
    }

    /// A sibling has announced its siblings over its link (D23).
    pub fn on_update(&mut self, offer: &Offer, now: Millis) {
        // We know that we are here; that we are elsewhere is a conflict.
        let is_of_us = |id, address| id == self.id && !self.conflicts(id, Some(address));
        let others = offer.others.iter().copied().filter(|&(id, address)| !is_of_us(id, address)).collect();
        self.learn(offer.server, &others, now);
        if let Some(server) = self.servers.get_mut(&offer.server) {
            server.announcement = Announcement { others, at: now };
        }
        self.plan_reconcile(now);
    }

    /// A link is gone.
    pub fn on_link_lost(&mut self, id: ServerId, key: Key, now: Millis) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.link != Link::Up(key) {
            return;
        }
        server.retry.on_link_lost(now.since(server.since), now, &mut self.random);
        (server.link, server.since, server.announcement) = (Link::Down, now, Announcement::default());
        log::warn!("lost the link to server {id} ({}); dialling it again", OrDash(server.address));
        self.plan_reconcile(now);
    }

    /// Gives a server up that is not linked. Returns whether there was such a one.
    pub fn forget(&mut self, id: ServerId, effects: &mut Effects) -> bool {
        let is_lost = self.servers.get(&id).is_some_and(|server| server.up().is_none());
        if is_lost && let Some(server) = self.servers.remove(&id) {
            server.close_dial(effects);
            log::info!("server {id} ({}) is forgotten", OrDash(server.address));
        }
        is_lost
    }

    /// Two servers can't have one address: one that is down and whose address another server now has is gone.
    fn forget_predecessor(&mut self, offer: &Offer, effects: &mut Effects) {
        let is_predecessor = |id: ServerId, server: &Server| {
            id != offer.server && offer.address.is_some() && server.address == offer.address && server.up().is_none()
        };
        let gone: Vec<ServerId> =
            self.servers.iter().filter(|(id, server)| is_predecessor(**id, server)).map(|(&id, _)| id).collect();
        for id in gone {
            self.forget(id, effects);
        }
    }

    /// Takes in what a sibling says of others. What conflicts or would be too many is passed over.
    fn learn(&mut self, from: ServerId, others: &BTreeMap<ServerId, SocketAddrV4>, now: Millis) {
        for (&id, &address) in others.iter().filter(|&(id, _)| *id != from) {
            if !self.servers.contains_key(&id) && self.is_excluded(id, now) {
                continue;
            }
            // It is said again until both sides agree; one line for it is enough.
            let is_news = self.servers.get(&from).is_none_or(|server| !server.announcement.others.contains_key(&id));
            let level = if is_news { log::Level::Warn } else { log::Level::Debug };
            if self.conflicts(id, Some(address)) {
                log::log!(level, "server {from} says that server {id} is at {address}, which is not what we know");
                continue;
            }
            let is_new = !self.servers.contains_key(&id);
            if is_new && self.servers.len() >= limits::SIBLINGS_MAX {
                log::log!(level, "server {from} has server {id} as a sibling, which would be one server too many");
                continue;
            }
            let soon = now + self.random.below(limits::DIAL_SOON_MS);
            let server = self.servers.entry(id).or_insert_with(|| Server::new(Some(address), now));
            server.heard_of = now;
            if server.up().is_none() {
                server.address = Some(address);
            }
            if is_new {
                server.retry = Retry::at(soon);
            }
        }
    }

    fn send_update(&self, id: ServerId, link: Key, effects: &mut Effects) {
        if self.servers.get(&id).is_none_or(|server| server.address.is_none()) {
            return;
        }
        let list = self.describe(true, Some(id), None);
        let siblings = Descriptions::new(&list).unwrap_or_default();
        effects.send(link, &Packet::MrgReq { server: self.id, siblings });
    }
}

impl Server {
    fn new(address: Option<SocketAddrV4>, now: Millis) -> Server {
        Server {
            address,
            link: Link::Down,
            was_linked: false,
            since: now,
            announcement: Announcement::default(),
            heard_of: now,
            name: None,
            retry: Retry::at(now),
        }
    }

    fn up(&self) -> Option<Key> {
        match self.link {
            Link::Up(key) => Some(key),
            Link::Dialling(_) | Link::Down => None,
        }
    }

    /// When it is given up, if it does not come back and nobody says that it is there (D21).
    fn forget_at(&self) -> Option<Millis> {
        self.up().is_none().then(|| self.since.max(self.heard_of) + limits::FORGET_MS)
    }

    fn close_dial(&self, effects: &mut Effects) {
        if let Link::Dialling(DialState { key: Some(key), .. }) = self.link {
            effects.close(key, CloseReason::Superseded, CloseMode::AfterWriting);
        }
    }
}

/// An address, or `-` where there is none.
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
