//! The database, the tree and what is taken, without an engine: servers that tell each other over queues.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::core::state::effects::Effect;
use crate::core::state::mesh::dialable;
use crate::core::state::random::Random;
use crate::wire::{FrameLimits, Scan, scan};

mod edges;
mod holds;
mod news;

const LIMITS: FrameLimits = FrameLimits { has_routed_codes: true, ..FrameLimits::DEFAULT };

fn address(id: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + id), 7777)
}

/// Servers and the links between them: a queue in each direction.
#[derive(Default)]
struct Network {
    servers: BTreeMap<u32, Routed>,
    queues: BTreeMap<(u32, u32), VecDeque<Vec<u8>>>,
}

/// The key of the link to a server, on any server.
fn key(id: u32) -> Key {
    Key { index: id, serial: 1 }
}

impl Network {
    fn of(ids: impl IntoIterator<Item = u32>) -> Network {
        let servers = ids.into_iter().map(|id| (id, Routed::new(ServerId(id), address(id), 1_000, 0))).collect();
        Network { servers, ..Network::default() }
    }

    /// What a server wants sent goes into the queues.
    fn call<R>(&mut self, id: u32, what: impl FnOnce(&mut Routed, &mut Effects) -> R) -> R {
        let mut effects = Effects::default();
        let result = what(self.servers.get_mut(&id).unwrap(), &mut effects);
        for effect in effects.take_list() {
            let Effect::Send { to, bytes } = effect else { panic!("{effect:?}") };
            if let Some(queue) = self.queues.get_mut(&(id, to.index)) {
                queue.push_back(effects.bytes(bytes).to_vec());
            }
        }
        result
    }

    fn link(&mut self, a: u32, b: u32) {
        for (from, to) in [(a, b), (b, a)] {
            self.queues.insert((from, to), VecDeque::new());
        }
        for (from, to) in [(a, b), (b, a)] {
            self.call(from, |server, effects| server.on_link_up(ServerId(to), key(to), Millis(1), effects));
        }
    }

    fn cut(&mut self, a: u32, b: u32) {
        for (from, to) in [(a, b), (b, a)] {
            self.queues.remove(&(from, to));
            self.call(from, |server, effects| server.on_link_lost(ServerId(to), key(to), effects));
        }
    }

    /// The first packet of one queue arrives.
    fn deliver(&mut self, from: u32, to: u32) {
        let Some(bytes) = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return };
        assert_eq!(scan(&bytes, &LIMITS), Scan::Packet { len: bytes.len() });
        self.call(to, |server, effects| match Packet::decode(&bytes).unwrap() {
            Packet::Hello { stamp } => assert!(server.on_hello(ServerId(from), key(from), stamp, effects)),
            Packet::Links { server: of, incarnation, version, neighbours } => {
                let list = neighbours.iter().collect();
                server.on_links(key(from), dialable(of).unwrap(), (incarnation, version), list, Millis(1), effects);
            }
            other => panic!("{other:?}"),
        });
    }

    /// All that is under way arrives, in an order that chance decides.
    fn settle(&mut self, random: &mut Random) {
        loop {
            let busy: Vec<(u32, u32)> =
                self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(&ends, _)| ends).collect();
            let Some(&(from, to)) = busy.get(random.below(busy.len().max(1) as u64) as usize) else { break };
            self.deliver(from, to);
        }
        self.servers.values_mut().for_each(|server| server.refresh(Millis(2)));
    }

    /// ID, next, path length.
    fn routes(&self, id: u32) -> Vec<(u32, u32, u32)> {
        let routes = &self.servers[&id].tree().routes;
        routes.iter().map(|(id, route)| (id.0, route.next.0, route.length)).collect()
    }

    /// The tree of the oldest links, found otherwise: a link is in it if no way of older links connects its ends.
    fn expected_tree(&self) -> Vec<(u32, u32)> {
        let mut links: Vec<(u32, u32, u32)> = Vec::new();
        for (&id, server) in &self.servers {
            let entry = server.database().get((ServerId(id), address(id))).unwrap();
            links.extend(entry.neighbours.iter().filter(|(far, _)| far.0 > id).map(|&(far, stamp)| (stamp, id, far.0)));
        }
        links.sort_unstable();
        let mut tree = Vec::new();
        for (at, &(_, a, b)) in links.iter().enumerate() {
            let mut seen = vec![a];
            let mut next = 0;
            while let Some(&from) = seen.get(next) {
                next += 1;
                for &(_, x, y) in &links[..at] {
                    for (here, there) in [(x, y), (y, x)] {
                        if here == from && !seen.contains(&there) {
                            seen.push(there);
                        }
                    }
                }
            }
            if !seen.contains(&b) {
                tree.push((a, b));
            }
        }
        tree
    }
}

#[test]
fn the_two_tables_of_the_annex_come_out() {
    let mut random = Random::new(1);
    let mut network = Network::of([1, 2, 3, 4, 5, 6, 26]);
    for (a, b) in [(1, 2), (2, 3), (2, 5), (4, 5), (5, 6)] {
        network.link(a, b);
        network.settle(&mut random);
    }
    let of_e = [(1, 2, 1), (2, 2, 0), (3, 2, 1), (4, 4, 0), (6, 6, 0)];
    assert_eq!(network.routes(5), of_e);
    network.link(26, 5);
    network.settle(&mut random);
    assert_eq!(network.routes(26), [(1, 5, 2), (2, 5, 1), (3, 5, 2), (4, 5, 1), (5, 5, 0), (6, 5, 1)]);
    assert_eq!(network.routes(5), [&of_e[..], &[(26, 26, 0)]].concat());
}

#[test]
fn any_network_agrees_on_the_tree_of_its_oldest_links_while_links_come_and_go() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let count = 3 + random.below(10) as u32;
        let mut network = Network::of(1..=count);
        let mut links: Vec<(u32, u32)> = Vec::new();
        for _ in 0..3 * count {
            let (a, b) = (1 + random.below(count.into()) as u32, 1 + random.below(count.into()) as u32);
            let link = (a.min(b), a.max(b));
            match links.iter().position(|&other| other == link) {
                Some(at) if random.below(3) == 0 => {
                    links.remove(at);
                    network.cut(a, b);
                }
                None if a != b => {
                    links.push(link);
                    network.link(a, b);
                }
                _ => {}
            }
            // Sometimes the next change comes before the news of this one is everywhere.
            for _ in 0..random.below(20) {
                let busy: Vec<(u32, u32)> = network.queues.keys().copied().collect();
                if let Some(&(from, to)) = busy.get(random.below(busy.len().max(1) as u64) as usize) {
                    network.deliver(from, to);
                }
            }
        }
        network.settle(&mut random);
        let tree = network.expected_tree();
        for &id in network.servers.keys() {
            // The way that the tree gives from here to each server.
            let mut expected = BTreeMap::new();
            let mut ways = VecDeque::from([(id, 0, None, 0)]);
            while let Some((at, from, next, length)) = ways.pop_front() {
                for &(x, y) in &tree {
                    let far = if x == at { y } else { x };
                    if (x == at || y == at) && far != from {
                        let next = next.unwrap_or(far);
                        expected.insert(far, (next, length));
                        ways.push_back((far, at, Some(next), length + 1));
                    }
                }
            }
            let routes: BTreeMap<u32, (u32, u32)> =
                network.routes(id).into_iter().map(|(id, next, length)| (id, (next, length))).collect();
            assert_eq!(routes, expected, "seed {seed}: server {id}");
            let here = &network.servers[&id];
            for far in routes.keys() {
                let place = (ServerId(*far), address(*far));
                assert_eq!(here.database().get(place), network.servers[far].database().get(place), "seed {seed}");
            }
        }
    }
}

#[test]
fn a_link_that_one_end_alone_lists_is_none() {
    let mut network = Network::of([1, 2, 3]);
    let mut random = Random::new(1);
    network.link(1, 2);
    network.settle(&mut random);
    // 2 says that it is linked with 3, and 3 says nothing.
    let list = vec![(ServerId(1), 1), (ServerId(3), 1)];
    network.call(1, |server, effects| {
        server.on_links(key(2), (ServerId(2), address(2)), (1_000, 9), list, Millis(1), effects)
    });
    network.call(1, |server, effects| {
        server.on_links(key(2), (ServerId(3), address(3)), (1_000, 1), Vec::new(), Millis(1), effects);
    });
    network.servers.get_mut(&1).unwrap().refresh(Millis(2));
    assert_eq!(network.routes(1), [(2, 2, 0)]);
}

#[test]
fn a_packet_is_taken_once_in_order_and_only_from_where_its_origin_is() {
    let mut network = Network::of([1, 2, 3]);
    let mut random = Random::new(1);
    network.link(1, 2);
    network.link(2, 3);
    network.settle(&mut random);
    let server = network.servers.get_mut(&2).unwrap();
    let header = |origin, incarnation, number| RelayHeader {
        destination: ServerId(2),
        origin: ServerId(origin),
        incarnation,
        number,
    };
    let mut come =
        |from, header: RelayHeader| server.check(key(from), &header, Millis(2)).map(|row| server.take(row, &header));
    assert_eq!(come(1, header(1, 1_000, 1)), Ok(()));
    assert_eq!(come(1, header(1, 1_000, 1)), Err(Ignored::Late));
    assert_eq!(come(1, header(1, 1_000, 7)), Ok(()));
    assert_eq!(come(1, header(1, 1_000, 6)), Err(Ignored::Late));
    assert_eq!(come(1, header(1, 1_001, 1)), Err(Ignored::Late), "it never told of that incarnation");
    assert_eq!(come(3, header(1, 1_000, 8)), Err(Ignored::Misaddressed), "3 does not lead to 1");
    assert_eq!(come(1, header(2, 1_000, 1)), Err(Ignored::Misaddressed), "that is this server");
    assert_eq!(come(1, header(9, 1_000, 1)), Err(Ignored::Misaddressed), "nobody knows 9");
}

#[test]
fn a_server_whose_clock_went_back_goes_on_from_what_others_remember() {
    let mut network = Network::of([1, 2, 3]);
    let mut random = Random::new(1);
    network.link(1, 2);
    network.link(2, 3);
    network.settle(&mut random);
    let first = network.call(1, |server, effects| server.next_header(ServerId(2), effects));
    assert_eq!((first.incarnation, first.number), (1_000, 1));
    for clock in [500, 1_001] {
        network.cut(1, 2);
        network.servers.insert(1, Routed::new(ServerId(1), address(1), clock, 0));
        network.link(1, 2);
        network.settle(&mut random);
        let next = network.call(1, |server, effects| server.next_header(ServerId(2), effects));
        assert!(next.incarnation > 1_000 && next.number == 1, "{next:?}");
        assert_eq!(network.routes(3), [(1, 2, 1), (2, 2, 0)]);
    }
}

#[test]
fn of_two_servers_with_one_id_the_lower_address_keeps_it() {
    let mut random = Random::new(1);
    let mut network = Network::of([1, 2, 3]);
    network.link(1, 2);
    network.link(2, 3);
    network.settle(&mut random);
    // Another server 3, behind 1, at an address below and then above that of the first.
    for (other, expected) in [(address(2_000), None), (address(0), Some(Surplus::OurId(Some(address(0)))))] {
        for (place, list) in [((ServerId(3), other), vec![(ServerId(1), 77)]), ((ServerId(1), address(1)), vec![])] {
            let mut list = list;
            if place.0 == ServerId(1) {
                list = vec![(ServerId(2), 1), (ServerId(3), 77)];
            }
            let age = (2_000 + u32::from(other == address(0)), 1);
            network.call(3, |server, effects| server.on_links(key(2), place, age, list, Millis(2), effects));
        }
        let server = network.servers.get_mut(&3).unwrap();
        server.refresh(Millis(3));
        assert!(server.tree().has_twins);
        assert_eq!(server.surplus(), expected);
    }
}

#[test]
fn no_more_servers_are_remembered_than_two_networks_have_and_those_that_are_not_reached_are_forgotten() {
    let mut network = Network::of([1, 2]);
    let mut random = Random::new(1);
    network.link(1, 2);
    network.settle(&mut random);
    for id in 100..400 {
        network.call(1, |server, effects| {
            server.on_links(
                key(2),
                (ServerId(id), address(id)),
                (1, 1),
                vec![(ServerId(2), 5)],
                Millis(u64::from(id)),
                effects,
            );
            server.refresh(Millis(u64::from(id)));
        });
    }
    let server = network.servers.get_mut(&1).unwrap();
    assert_eq!(server.database().count(), limits::ROUTED_ENTRIES_MAX);
    assert_eq!(network.routes(1), [(2, 2, 0)]);
    let server = network.servers.get_mut(&1).unwrap();
    let last = server.next_deadline().unwrap() + limits::ROUTED_ENTRIES_MAX as u64;
    server.forget_old(last, &mut Effects::default());
    assert_eq!((server.database().count(), server.next_deadline()), (2, None));
}

#[test]
fn if_a_server_is_forgotten_the_packets_of_others_are_still_taken_once() {
    let mut network = Network::of([2, 3]);
    network.link(2, 3);
    network.settle(&mut Random::new(1));
    network.call(2, |server, effects| {
        server.on_links(key(3), (ServerId(1), address(1)), (1, 1), Vec::new(), Millis(1), effects);
    });
    let server = network.servers.get_mut(&2).unwrap();
    let mut say = |number, now| {
        let header = RelayHeader { destination: ServerId(2), origin: ServerId(3), incarnation: 1_000, number };
        server.forget_old(now, &mut Effects::default());
        server.check(key(3), &header, now).map(|row| server.take(row, &header))
    };
    let later = Millis(1) + limits::FORGET_MS;
    assert_eq!(say(1, Millis(2)), Ok(()));
    assert_eq!(say(1, later), Err(Ignored::Late));
    assert_eq!(say(2, later), Ok(()));
    assert_eq!(say(2, later), Err(Ignored::Late));
    assert_eq!(server.database().count(), 2);
}

/// As on a machine without a clock: every start is at the same second.
#[test]
fn a_server_that_starts_again_with_the_same_incarnation_is_heard_by_who_remembers_its_former_life() {
    // Server 2 remembers, and 3 does not. The new life meets 2 itself, or 3 first, which then meets 2.
    for (first_seed, second_seed, meets) in
        [(1 << 50, 1 << 60, 2), (1 << 60, 1 << 50, 2)].into_iter().chain([(1 << 50, 1 << 60, 3), (1 << 60, 1 << 50, 3)])
    {
        let mut network = Network::of([2, 3]);
        let mut random = Random::new(1);
        network.servers.insert(1, Routed::new(ServerId(1), address(1), 1_000, first_seed));
        network.link(1, 2);
        network.settle(&mut random);
        let say = |network: &mut Network, over| {
            let header = network.call(1, |server, effects| server.next_header(ServerId(2), effects));
            let listener = network.servers.get_mut(&2).unwrap();
            listener.check(key(over), &header, Millis(2)).map(|row| listener.take(row, &header))
        };
        for _ in 0..10 {
            assert_eq!(say(&mut network, 1), Ok(()));
        }
        network.cut(1, 2);
        network.servers.insert(1, Routed::new(ServerId(1), address(1), 1_000, second_seed));
        for _ in 0..5 {
            network.link(1, 3);
            network.settle(&mut random);
            network.cut(1, 3);
        }
        if meets == 2 {
            network.link(1, 2);
        } else {
            network.link(1, 3);
            network.settle(&mut random);
            network.link(3, 2);
        }
        network.settle(&mut random);
        let over = if meets == 2 { 1 } else { 3 };
        assert_eq!(say(&mut network, over), Ok(()), "seeds {first_seed} and {second_seed}, {meets}");
    }
}
