//! The routed network, as this server knows it (D24 to D39).
//!
//! Each server tells every other which links it has. From that, each computes the same tree, and with it the neighbour
//! that leads to each server. Every packet has its origin and a number; it is taken only from the neighbour that leads
//! to its origin, and only if its number is higher than the last one. So no packet passes a server twice, or overtakes
//! another of its origin, whatever the tables say meanwhile.
//!
//! | file | |
//! |---|---|
//! | `mod.rs` | our links, what is told and taken, numbers |
//! | `database.rs` | what every server says of its links |
//! | `tree.rs` | the tree of the oldest links, and the routing table |
//! | `hold.rs` | who waits for which server (D35) |
//! | `news.rs` | how much news is taken, and goes on |
//!
//! ```text
//!  LINKS newer ─▶ keep it ─▶ queue it for all other neighbours ─▶ the tree is stale
//!                            (before anything that comes after it)      └▶ made anew when it is needed next
//! ```
//!
//! Links are ordered and reliable, and news travels on them in line with packets. So whoever gets a packet knows at
//! least what its sender knew when it sent. Only in a flood of news does some of it wait (`news.rs`). A packet that comes
//! before the news of its way is dropped then.

mod database;
mod hold;
mod news;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::net::SocketAddrV4;

pub use database::{Database, Entry, Place};
pub use tree::{Route, Tree, TreeLink};

use super::bucket::Bucket;
use super::counters::Ignored;
use super::effects::Effects;
use super::key::Key;
use super::mesh::append_description;
use crate::core::state::ordered::{SortedMap, insert_all};
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{Descriptions, Packet, RelayHeader, ServerId};
use hold::Holds;
use news::Onward;

/// A link to a neighbour that is routed, too.
#[derive(Debug)]
struct Link {
    key: Key,
    /// The stamp that our HELLO had.
    told_stamp: u32,
    /// The link's own stamp, since the other HELLO is here. Before that, the link does not count.
    stamp: Option<u32>,
    /// What it may tell of links.
    news: Bucket,
}

/// What is looked up for each packet: a row of the routing table, and where it leads.
#[derive(Debug)]
struct Way {
    server: ServerId,
    /// The link to the next server.
    link: Key,
    /// The server's row in the database.
    row: usize,
}

/// This server's part of a routed network.
#[derive(Debug)]
pub struct Routed {
    own: Place,
    /// Our start, and a number that is one more with each change of our links.
    age: (u32, u32),
    /// The number that we begin with in each incarnation. Chance chooses it, so that words of a former life with the same
    /// incarnation are known: on a machine without a clock, all have the same.
    first_version: u32,
    /// The number of the last packet that we sent.
    sent: u32,
    /// What we may still tell of our own links, before servers that come have to wait.
    own_news: Bucket,
    /// What others remember of us, or say of us, and is newer than our own word.
    outdone: Option<(u32, u32)>,
    /// When our own word comes again.
    tell_at: Option<Millis>,
    /// By the neighbour's ID.
    links: SortedMap<ServerId, Link>,
    /// Counts our links.
    links_ever: u64,
    database: Database,
    tree: Tree,
    /// How to get to each server, by ID: looked up for each packet.
    ways: Vec<Way>,
    /// The database has changed since the tree was made.
    is_stale: bool,
    /// The tree was made anew, and the log does not know.
    is_unlogged: bool,
    /// Counts trees that differ from the one before.
    tree_changes: u64,
    holds: Holds,
    onward: Onward,
    /// The routes and spares that the log knows of.
    logged_routes: SortedMap<ServerId, Route>,
    logged_spares: BTreeSet<ServerId>,
}

/// Which of our links have to go, because networks that do not fit together have merged at once (D38).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surplus {
    /// All: another server keeps our ID, at this address.
    OurId(Option<SocketAddrV4>),
    /// The youngest that carries: there are more servers than a network may have.
    Youngest(ServerId),
}

impl Routed {
    /// A server that is alone so far. `incarnation` is the time of its start, in seconds since 1970.
    pub fn new(id: ServerId, address: SocketAddrV4, incarnation: u32, seed: u64) -> Routed {
        let own = (id, address);
        // There is room for many changes above it.
        let first_version = (seed >> 33) as u32;
        let mut database = Database::default();
        let entry = Entry { age: (incarnation, first_version), neighbours: Vec::new(), unreached_since: Millis::NEVER };
        database.keep(own, entry);
        Routed {
            own,
            age: (incarnation, first_version),
            first_version,
            sent: 0,
            own_news: Bucket::holding(limits::ROUTED_OWN_NEWS_BURST_BYTES, Millis(0)),
            outdone: None,
            tell_at: None,
            links: SortedMap::default(),
            links_ever: 0,
            database,
            tree: Tree::default(),
            ways: Vec::new(),
            is_stale: true,
            is_unlogged: false,
            tree_changes: 0,
            holds: Holds::default(),
            onward: Onward::default(),
            logged_routes: SortedMap::default(),
            logged_spares: BTreeSet::new(),
        }
    }

    /// What is known of all links.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The routing table, as it was when it was needed last.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How many links we have had so far.
    pub fn links_ever(&self) -> u64 {
        self.links_ever
    }

    /// How often the table has changed.
    pub fn tree_changes(&self) -> u64 {
        self.tree_changes
    }

    /// The list of servers that a merge packet has: ourselves twice, which says that we are routed, then all that we
    /// reach, without the receiver (D25, D26).
    pub fn describe(&self, receiver: Option<ServerId>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((self.tree.routes.len() + 2) * Descriptions::ENTRY_BYTES);
        let others = self.tree.routes.iter().map(|(&id, route)| (id, route.address));
        let others = others.filter(|&(id, _)| Some(id) != receiver).take(limits::ROUTED_MAX_SERVERS - 1);
        for (id, address) in [self.own, self.own].into_iter().chain(others) {
            append_description(&mut bytes, id, address);
        }
        bytes
    }

    /// A merge was accepted: greets the neighbour, and tells it what we know (D28, D29).
    pub fn on_link_up(&mut self, server: ServerId, key: Key, now: Millis, effects: &mut Effects) {
        self.links_ever += 1;
        let told_stamp = self.database.highest_stamp();
        let news = Bucket::holding(limits::ROUTED_NEWS_BURST_BYTES, now);
        let former = self.links.insert(server, Link { key, told_stamp, stamp: None, news });
        effects.send(key, &Packet::Hello { stamp: told_stamp });
        let mut bytes = Vec::new();
        for (&place, entry) in self.database.iter().filter(|(place, _)| **place != self.own) {
            bytes.clear();
            entry.encode(place, &mut bytes);
            effects.send_encoded(key, &bytes);
        }
        if former.is_some_and(|link| link.stamp.is_some()) {
            self.tell_own(effects);
        }
    }

    /// The neighbour's greeting: from here on the link counts. Returns whether one was due.
    pub fn on_hello(&mut self, server: ServerId, key: Key, stamp: u32, effects: &mut Effects) -> bool {
        let link = self.links.get_mut(&server).filter(|link| link.key == key && link.stamp.is_none());
        let Some(link) = link else { return false };
        link.stamp = Some(stamp.max(link.told_stamp).saturating_add(1));
        self.tell_own(effects);
        true
    }

    /// The link is gone.
    pub fn on_link_lost(&mut self, server: ServerId, key: Key, effects: &mut Effects) {
        self.holds.forget(key);
        if self.links.get(&server).is_some_and(|link| link.key == key) {
            self.links.remove(&server);
            self.tell_own(effects);
        }
    }

    /// What some server says of its links, over the link `key` (D29).
    pub fn on_links(
        &mut self,
        key: Key,
        place: Place,
        age: (u32, u32),
        list: Vec<(ServerId, u32)>,
        now: Millis,
        effects: &mut Effects,
    ) {
        if place == self.own {
            let is_ours = age == self.age && self.database.get(place).is_some_and(|entry| entry.neighbours == list);
            let is_of_former_life = age.0 == self.age.0 && age.1 <= self.first_version;
            // We were here before, and others remember it.
            if age >= self.age && !is_ours || is_of_former_life {
                self.outbid(age, now, effects);
            }
            return;
        }
        if self.database.get(place).is_none() && !self.database.make_room() {
            return;
        }
        // Not reached until a tree says so.
        let known = self.database.get(place);
        let unreached_since = known.map_or(now, |entry| entry.unreached_since);
        // A jump of versions is another life: its numbers begin anew.
        let is_reborn = known.is_some_and(|entry| {
            entry.age.0 == age.0
                && age.1.checked_sub(entry.age.1).is_some_and(|jump| jump > limits::ROUTED_VERSIONS_MAX)
        });
        if let Some(row) = self.database.find(place).ok().filter(|_| is_reborn) {
            self.database.take(row, (0, 0));
        }
        if self.database.keep(place, Entry { age, neighbours: list, unreached_since }) {
            self.is_stale = true;
            self.tell_on(place, key, now, effects);
        }
    }

    /// Whether a server may be linked with us now. Each link that comes, and goes, is told to the whole network.
    pub fn may_link(&mut self, now: Millis) -> bool {
        self.own_news.refill(limits::ROUTED_OWN_NEWS_RATE_BYTES, limits::ROUTED_OWN_NEWS_BURST_BYTES, now);
        self.own_news.has_some()
    }

    /// Somebody says something newer of our links than we do: goes on behind that, with the next incarnation. If this
    /// comes again and again, not at once.
    fn outbid(&mut self, age: (u32, u32), now: Millis, effects: &mut Effects) {
        self.outdone = self.outdone.max(Some(age));
        if self.may_link(now) {
            self.speak_again(now, effects);
        } else {
            let at = self.own_news.when_it_has(0, limits::ROUTED_OWN_NEWS_RATE_BYTES);
            self.tell_at = Some(self.tell_at.map_or(at, |before| before.min(at)));
        }
    }

    fn speak_again(&mut self, now: Millis, effects: &mut Effects) {
        self.tell_at = None;
        let incarnation = self.outdone.take().map(|(incarnation, _)| incarnation);
        match incarnation {
            Some(incarnation) if incarnation >= limits::ROUTED_INCARNATION_MAX => {
                log::error!(
                    "a server of the network speaks for us, with incarnation {incarnation}, which no clock gives"
                );
                self.tell_at = Some(now + limits::FORGET_MS + limits::FORGET_MS / 10);
            }
            Some(incarnation) => {
                (self.age, self.sent) = ((incarnation + 1, self.first_version), 0);
                self.tell_own(effects);
            }
            None => self.tell_own(effects),
        }
    }

    /// Our own links have changed: tells all neighbours.
    fn tell_own(&mut self, effects: &mut Effects) {
        self.age = match self.age {
            (incarnation, u32::MAX) => (incarnation.saturating_add(1), self.first_version + 1),
            (incarnation, version) => (incarnation, version + 1),
        };
        let neighbours = insert_all(self.links.iter().filter_map(|(&id, link)| Some((id, link.stamp?))));
        let entry = Entry { age: self.age, neighbours, unreached_since: Millis::NEVER };
        let mut bytes = Vec::new();
        entry.encode(self.own, &mut bytes);
        self.database.keep(self.own, entry);
        self.is_stale = true;
        self.own_news.take(bytes.len(), limits::ROUTED_OWN_NEWS_BURST_BYTES);
        self.tell(&bytes, None, effects);
    }

    fn tell(&self, bytes: &[u8], except: Option<Key>, effects: &mut Effects) {
        for link in self.links.values().filter(|link| Some(link.key) != except) {
            effects.send_encoded(link.key, bytes);
        }
    }

    /// Makes the tree anew, if the database has changed.
    pub fn refresh(&mut self, now: Millis) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let tree = Tree::of(&self.database, self.own);
        let mut reached = tree.reached.iter().peekable();
        for (place, entry) in self.database.iter_mut() {
            let is_reached = reached.next_if(|&reached| reached == place).is_some();
            entry.unreached_since = match entry.unreached_since {
                _ if is_reached => Millis::NEVER,
                // It was reached.
                Millis::NEVER => now,
                since => since,
            };
        }
        if tree.routes != self.tree.routes {
            self.tree_changes += 1;
        }
        self.tree = tree;
        self.ways.clear();
        for (&server, route) in self.tree.routes.iter() {
            let link = self.links.get(&route.next).map(|link| link.key);
            if let (Some(link), Ok(row)) = (link, self.database.find((server, route.address))) {
                self.ways.push(Way { server, link, row });
            }
        }
        self.is_unlogged = true;
    }

    /// The link that leads to a server, if it is reached.
    pub fn next_hop(&mut self, destination: ServerId, now: Millis) -> Option<Key> {
        self.refresh(now);
        self.next_link(destination)
    }

    fn next_link(&self, destination: ServerId) -> Option<Key> {
        self.way(destination).map(|way| way.link)
    }

    fn way(&self, destination: ServerId) -> Option<&Way> {
        let at = self.ways.binary_search_by_key(&destination, |way| way.server).ok()?;
        self.ways.get(at)
    }

    /// The links over which public messages go, as of the last tree.
    pub fn carrying(&self) -> impl Iterator<Item = (ServerId, Key)> {
        self.tree.carrying().filter_map(|id| Some((id, self.links.get(&id)?.key)))
    }

    /// Whether both ends list our link to this server, and older links connect them already.
    pub fn is_spare(&self, server: ServerId) -> bool {
        let ours = self.links.get(&server).and_then(|link| link.stamp);
        let mut theirs = self.database.iter().filter(|((id, _), _)| *id == server);
        let is_listed = ours.is_some() && theirs.any(|(_, entry)| entry.stamp_of(self.own.0) == ours);
        is_listed && self.tree.routes.get(&server).is_some_and(|route| route.length > 0)
    }

    /// What stands before our next packet, which is for this server.
    pub fn next_header(&mut self, destination: ServerId, effects: &mut Effects) -> RelayHeader {
        self.sent = self.sent.saturating_add(1);
        let header = RelayHeader { destination, origin: self.own.0, incarnation: self.age.0, number: self.sent };
        if self.sent == u32::MAX {
            // The news is on its way before the next packet.
            (self.age, self.sent) = ((self.age.0.saturating_add(1), self.first_version), 0);
            self.tell_own(effects);
        }
        header
    }

    /// Whether a packet with this header is taken over the link `key` (D33). Returns the row of its origin, for
    /// [`Routed::take`].
    pub fn check(&mut self, key: Key, header: &RelayHeader, now: Millis) -> Result<usize, Ignored> {
        self.refresh(now);
        let way = self.way(header.origin).filter(|way| way.link == key).ok_or(Ignored::Misaddressed)?;
        // News runs ahead of packets. A liar that spoke for it from a later incarnation would silence it for ever.
        let is_early = self.database.at(way.row).is_none_or(|entry| header.incarnation > entry.age.0);
        let is_late = (header.incarnation, header.number) <= self.database.taken(way.row);
        if is_early || is_late { Err(Ignored::Late) } else { Ok(way.row) }
    }

    /// It is taken.
    pub fn take(&mut self, row: usize, header: &RelayHeader) {
        self.database.take(row, (header.incarnation, header.number));
    }

    /// Forgets servers that were not reached for long, says again what others did not believe, and tells on what had to
    /// wait.
    pub fn forget_old(&mut self, now: Millis, effects: &mut Effects) {
        self.tell_waiting(now, effects);
        if self.tell_at.is_some_and(|at| at <= now) {
            self.speak_again(now, effects);
        }
        if self.database.next_deadline().is_some_and(|at| at <= now) {
            self.database.forget_old(now);
            self.is_stale = true;
        }
    }

    /// When that has something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.database.next_deadline().into_iter().chain(self.tell_at).chain(self.onward.next_deadline()).min()
    }

    /// The links that have to go, so that no ID is there twice and the network is not too large (D38).
    pub fn surplus(&self) -> Option<Surplus> {
        if self.tree.loses_id {
            let other = self.tree.reached.iter().find(|(id, _)| *id == self.own.0).map(|&(_, address)| address);
            return Some(Surplus::OurId(other));
        }
        let (_, a, b) = self.tree.youngest.filter(|_| self.tree.routes.len() >= limits::ROUTED_MAX_SERVERS)?;
        [(a, b), (b, a)].iter().find(|(end, _)| *end == self.own.0).map(|&(_, far)| Surplus::Youngest(far))
    }

    /// Logs what has changed since it was logged last.
    pub fn log_changes(&mut self) {
        if !std::mem::take(&mut self.is_unlogged) {
            return;
        }
        for (id, route) in self.tree.routes.iter() {
            if self.logged_routes.get(id) != Some(route) {
                let Route { next, length, .. } = route;
                log::info!("server {id} is reached by server {next} now (path length {length})");
            }
        }
        for id in self.logged_routes.keys().filter(|id| !self.tree.routes.contains_key(id)) {
            log::warn!("server {id} is out of reach");
        }
        let spares: BTreeSet<ServerId> = insert_all(self.links.keys().copied().filter(|&id| self.is_spare(id)));
        for id in spares.difference(&self.logged_spares) {
            log::info!("the link to server {id} closes a ring: it is a spare");
        }
        self.logged_spares = spares;
        self.logged_routes.clone_from(&self.tree.routes);
    }
}
