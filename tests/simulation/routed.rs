//! Routed networks (D24 to D39): the way from each server to each, and what must hold of it once all is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use cfp::core::state::routed::{Entry, Routed};
use cfp::limits::ROUTED_MAX_SERVERS;
use cfp::wire::{Code, ServerId};

use super::checker::{component, up};
use super::ledger::LinkState;
use super::pipes::Owner;
use super::plan::Kind;
use super::world::World;

/// The ways between all hosts, as their tables have them.
#[derive(Debug, Default)]
pub struct Ways {
    /// From the first host to the second: the pipes, if the way leads there.
    ways: BTreeMap<(usize, usize), Way>,
    /// How often a way has changed, in either direction.
    epochs: BTreeMap<(usize, usize), u32>,
    /// The hosts' tables: which server leads to which.
    tables: Vec<BTreeMap<ServerId, ServerId>>,
    /// How often an entry of any table changed or went, or a link went.
    upsets: u32,
    /// What the hosts' tables were made from.
    seen: Vec<Basis>,
}

/// What a host's table is made from: how often it was started, how often its news changed, and its links.
type Basis = (u32, u64, Vec<(usize, usize)>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Way {
    /// The sender's server knows a way to a server of that ID, if perhaps not to this one.
    is_id_known: bool,
    /// The pipes to the other host, if every table on the way leads there.
    pipes: Option<Vec<usize>>,
}

impl World {
    fn routed(&self, host: usize) -> Option<&Routed> {
        self.hosts[host].engine.as_ref()?.core().mesh.routed()
    }

    /// A host has run: looks whether that has changed any way.
    pub fn note_ways(&mut self) {
        if self.plan.kind != Kind::Routed {
            return;
        }
        let state = |host: usize| {
            let links = self.hosts[host].links.iter().map(|(&far, &pipe)| (far, pipe)).collect();
            let changes = self.routed(host).map_or(0, Routed::tree_changes);
            (self.hosts[host].incarnation, changes, links)
        };
        let seen: Vec<_> = (0..self.hosts.len()).map(state).collect();
        if seen == self.ways.seen {
            return;
        }
        let table = |host: usize| {
            let routes = self.routed(host).map(|routed| &routed.tree().routes);
            routes.into_iter().flat_map(|routes| routes.iter()).map(|(&id, route)| (id, route.next)).collect()
        };
        let tables: Vec<BTreeMap<ServerId, ServerId>> = (0..self.hosts.len()).map(table).collect();
        let has_lost =
            |before: &Basis, now: &Basis| before.0 != now.0 || before.2.iter().any(|link| !now.2.contains(link));
        let is_upset = self.ways.seen.iter().zip(&seen).any(|(before, now)| has_lost(before, now))
            || self
                .ways
                .tables
                .iter()
                .zip(&tables)
                .any(|(before, now)| before.iter().any(|(id, next)| now.get(id) != Some(next)));
        self.ways.upsets += u32::from(is_upset);
        self.ways.tables = tables;
        let mut ways = BTreeMap::new();
        for near in 0..self.hosts.len() {
            for far in (0..self.hosts.len()).filter(|&far| far != near) {
                ways.insert((near, far), self.way(near, far));
            }
        }
        for (&(near, far), way) in &ways {
            if self.ways.ways.get(&(near, far)) != Some(way) {
                for ends in [(near, far), (far, near)] {
                    *self.ways.epochs.entry(ends).or_default() += 1;
                }
            }
        }
        (self.ways.ways, self.ways.seen) = (ways, seen);
    }

    /// Follows the tables from one host to another.
    fn way(&self, near: usize, far: usize) -> Way {
        let there = (self.hosts[far].id, self.address(far));
        let knows = |host: usize| {
            let route = self.routed(host)?.tree().routes.get(&there.0)?;
            (route.address == there.1).then_some(route.next)
        };
        let (mut at, mut pipes) = (near, Vec::new());
        while at != far && pipes.len() < self.hosts.len() {
            let next = knows(at).and_then(|next| self.neighbour(at, next));
            let Some((next, pipe)) = next else { break };
            pipes.push(pipe);
            at = next;
        }
        let is_id_known = self.routed(near).is_some_and(|routed| routed.tree().routes.contains_key(&there.0));
        Way { is_id_known, pipes: (at == far).then_some(pipes) }
    }

    /// The host at the other end of a link, if that is up on both sides, and the pipe.
    fn neighbour(&self, host: usize, id: ServerId) -> Option<(usize, usize)> {
        let engine = self.hosts[host].engine.as_ref()?;
        let key = engine.core().mesh.link_to(id)?;
        let end = engine.connections().get(key)?.socket.inner().id;
        let Owner::Host(far) = self.net.borrow().end(end.other()).owner else { return None };
        (self.hosts[far].links.get(&host) == Some(&end.pipe)).then_some((far, end.pipe))
    }

    /// How two hosts reach each other: a message arrives if the way there is the way back, and stays so.
    pub fn way_state(&self, near: usize, far: usize) -> LinkState {
        let pipes = |near, far| self.ways.ways.get(&(near, far)).and_then(|way| way.pipes.clone());
        let back = pipes(far, near).map(|pipes| pipes.into_iter().rev().collect::<Vec<usize>>());
        let there = pipes(near, far);
        LinkState {
            epoch: self.ways.epochs.get(&(near, far)).copied().unwrap_or(0),
            // A server may know a way that is gone, before that news has come.
            near_up: there.is_some(),
            knows_id: self.ways.ways.get(&(near, far)).is_some_and(|way| way.is_id_known),
            both_up: there.is_some() && there == back,
            upsets: Some(self.ways.upsets),
        }
    }

    fn place(&self, host: usize) -> (ServerId, SocketAddrV4) {
        (self.hosts[host].id, self.address(host))
    }
}

/// What the hosts have told each other of links.
pub fn news_bytes(world: &World) -> u64 {
    let of_host = |host: usize| {
        let counters = &world.hosts[host].engine.as_ref().expect("it is up").core().counters.packets_out;
        [Code::Links, Code::Hello, Code::Hold].map(|code| counters.bytes(code)).iter().sum::<u64>()
    };
    up(world).into_iter().map(of_host).sum()
}

/// R1, R2, R10, R12.
pub fn check(world: &World) {
    for number in up(world) {
        let component = component(world, number);
        let is_routed = |host: usize| world.routed(host).is_some();
        assert!(component.iter().all(|&host| is_routed(host) == is_routed(number)), "R12: {component:?}");
        let Some(routed) = world.routed(number) else { continue };
        let ids: BTreeSet<ServerId> = component.iter().map(|&host| world.hosts[host].id).collect();
        assert_eq!(ids.len(), component.len(), "R10: an ID is twice in {component:?}");
        assert!(ids.len() <= ROUTED_MAX_SERVERS, "R10: too many servers in {component:?}");
        let mut entries: BTreeMap<ServerId, Entry> = BTreeMap::new();
        for &host in &component {
            let place = world.place(host);
            let own = world.routed(host).and_then(|own| own.database().get(place)).expect("it knows itself");
            assert_eq!(routed.database().get(place), Some(own), "R2: {number} has old news of {host}");
            let linked: BTreeSet<ServerId> = own.neighbours.iter().map(|(id, _)| *id).collect();
            let links = world.hosts[host].engine.as_ref().expect("it is up").core().mesh.links();
            assert_eq!(linked, links.map(|(id, _)| id).collect(), "R1: {host} tells of its links");
            entries.insert(place.0, own.clone());
        }
        // A peer of the test's own is a leaf.
        for &((id, _), entry) in &routed.database().iter().collect::<Vec<_>>() {
            if world.plan.foreigners.iter().any(|foreigner| foreigner.is_routed && foreigner.id == *id) {
                entries.insert(*id, (*entry).clone());
            }
        }
        let expected = table(&entries, world.hosts[number].id);
        let routes: BTreeMap<ServerId, (ServerId, u32)> =
            routed.tree().routes.iter().map(|(&id, route)| (id, (route.next, route.length))).collect();
        assert_eq!(routes, expected, "R1: the table of {number}");
        assert!(ids.iter().all(|id| *id == world.hosts[number].id || routes.contains_key(id)), "R1: {routes:?}");
    }
}

/// The routing table of a server by the plainest rule: a link is in the tree if no older links connect its ends.
pub fn table(entries: &BTreeMap<ServerId, Entry>, own: ServerId) -> BTreeMap<ServerId, (ServerId, u32)> {
    let mut links: Vec<(u32, ServerId, ServerId)> = Vec::new();
    for (&id, entry) in entries {
        for &(far, stamp) in entry.neighbours.iter().filter(|(far, _)| *far > id) {
            if entries.get(&far).is_some_and(|other| other.stamp_of(id) == Some(stamp)) {
                links.push((stamp, id, far));
            }
        }
    }
    links.sort_unstable();
    let connects = |links: &[(u32, ServerId, ServerId)], from: ServerId| {
        let mut ways: Vec<(ServerId, ServerId, u32)> = vec![(from, from, 0)];
        let mut next = 0;
        while let Some(&(at, first, length)) = ways.get(next) {
            next += 1;
            for &(_, a, b) in links.iter().filter(|&&(_, a, b)| a == at || b == at) {
                let far = if a == at { b } else { a };
                if !ways.iter().any(|way| way.0 == far) {
                    ways.push((far, if at == from { far } else { first }, length + 1));
                }
            }
        }
        ways
    };
    let mut tree = Vec::new();
    for &link in &links {
        if !connects(&tree, link.1).iter().any(|way| way.0 == link.2) {
            tree.push(link);
        }
    }
    connects(&tree, own).into_iter().skip(1).map(|(id, next, length)| (id, (next, length - 1))).collect()
}
