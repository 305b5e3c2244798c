//! Routed networks in which one thing happens: R6, R7, R9, R10.

use std::collections::BTreeMap;

use cfp::limits::ROUTED_MAX_SERVERS;
use cfp::wire::{Code, FileChunk, Packet, ServerId};

use super::checker::{component, up};
use super::dice::Dice;
use super::ledger::{Class, View};
use super::people::Person;
use super::plan::Plan;
use super::routed;
use super::world::World;

/// Longer than any dial, and any news, takes on these lines.
const PATIENCE_MS: u64 = 30_000;

type Table = BTreeMap<ServerId, (ServerId, u32)>;

/// A routed network with these `--merge` options, once all that was asked for is linked.
fn network(seed: u64, merges: &[&[usize]]) -> World {
    let mut dice = Dice::new(seed);
    let plan = Plan::routed(merges, &mut dice);
    let mut world = World::of(plan, dice, false);
    pass(&mut world, PATIENCE_MS);
    for (near, merges) in merges.iter().enumerate() {
        for &far in *merges {
            assert!(world.direct(near, far).both_up, "seed {seed}: {near} and {far} are not linked");
        }
    }
    routed::check(&world);
    world
}

fn pass(world: &mut World, time_ms: u64) {
    world.run_until(world.now + time_ms);
}

fn tables(world: &World) -> Vec<Table> {
    let table = |&host: &usize| {
        let routes = &world.hosts[host].engine.as_ref()?.core().mesh.routed()?.tree().routes;
        Some(routes.iter().map(|(&id, route)| (id, (route.next, route.length))).collect())
    };
    up(world).iter().filter_map(table).collect()
}

#[test]
fn a_link_that_comes_within_a_network_changes_no_route_and_loses_no_message() {
    for seed in 0..30 {
        let mut world = network(seed, &[&[], &[0], &[1], &[2], &[3]]);
        let before = tables(&world);
        let talkers: Vec<usize> = (0..5).map(|host| world.add_talker(host).unwrap()).collect();
        pass(&mut world, 1000);
        let (from, to) = ([0, 0, 1][seed as usize % 3], [4, 2, 3][seed as usize % 3]);
        let name = world.plan.name(to, 0);
        world.operate(from, &format!("merge {name}"));
        for _ in 0..100 {
            for &talker in &talkers {
                world.say_in_public(talker);
                world.wake_person(talker);
            }
            world.collect();
            pass(&mut world, 10);
        }
        pass(&mut world, PATIENCE_MS);
        assert!(world.direct(from, to).both_up, "seed {seed}");
        assert_eq!(tables(&world), before, "seed {seed}: R6");
        // Every item was due, since no way has changed.
        world.ledger.check(world.people.len(), &world);
        assert_eq!(world.ledger.deliveries(), 100 * 5 * 5, "seed {seed}: R5");
    }
}

/// News runs ahead of packets: whatever is said by who knows a way arrives, also in the moment when networks merge.
#[test]
fn who_has_just_learned_of_a_server_is_heard_there_at_once() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let plan = Plan::routed(&[&[], &[0], &[1], &[], &[3], &[4]], &mut dice);
        // Long turns, so that news and what follows it are often handled in one.
        let mut world = World::of(Plan { run_delay_ms: 25, latency_ms: 3, ..plan }, dice, false);
        pass(&mut world, PATIENCE_MS);
        let talkers: Vec<usize> = (0..6).map(|host| world.add_talker(host).unwrap()).collect();
        pass(&mut world, 5000);
        for (asks, asked) in [(0, 3), (2, 5), (1, 4)] {
            let name = world.plan.name(asked, 0);
            world.operate(asks, &format!("merge {name}"));
            for _ in 0..150 {
                for &talker in &talkers {
                    world.say_in_public(talker);
                    world.wake_person(talker);
                }
                world.collect();
                pass(&mut world, 4);
            }
        }
        pass(&mut world, PATIENCE_MS);
        world.ledger.check(world.people.len(), &world);
    }
}

#[test]
fn after_one_loss_every_table_is_whole_as_soon_as_the_news_is_everywhere_if_a_spare_link_is_left() {
    for seed in 0..30 {
        let mut world = network(seed, &[&[], &[0], &[1], &[2], &[3, 0]]);
        let broken = seed as usize % 5;
        let (near, far) = (broken, (broken + 1) % 5);
        let pipe = world.hosts[near].links[&far];
        for side in [0, 1] {
            let end = super::pipes::EndId { pipe, side };
            world.net.borrow_mut().break_end(end, std::io::ErrorKind::ConnectionReset);
        }
        world.collect();
        while world.direct(near, far).near_up || world.direct(far, near).near_up {
            pass(&mut world, 1);
        }
        let noticed = world.now;
        let is_whole = |world: &World| tables(world).iter().all(|table| table.len() == 4);
        while !(is_whole(&world) && (0..5).all(|a| (0..5).all(|b| a == b || world.link(a, b).both_up))) {
            // Each of four hops can take as long as a packet that is sent again.
            assert!(
                world.now < noticed + 4 * (10 * world.plan.latency_ms + 200),
                "seed {seed}: R7 {:?}",
                tables(&world)
            );
            pass(&mut world, 1);
        }
    }
}

/// A file's chunks, as far as the sender's pipe takes them. Returns how many were sent.
fn send_chunks(world: &mut World, sender: usize, receiver: usize, count: usize) -> usize {
    let host = world.people[receiver].host;
    let destination = world.hosts[host].id;
    let mut sent = 0;
    while sent < count && world.people[sender].may_talk() {
        let item = world.note(sender, Class::Chunk, Some(receiver), host);
        let chunk = FileChunk { transfer_id: item as u32, file_name: "f", chunks: 1, content: &[7; 1024] };
        let packet = Packet::FileChnk { destination, receiver: &Person::nickname(receiver), chunk };
        world.people[sender].say(&packet);
        sent += 1;
    }
    world.wake_person(sender);
    world.collect();
    sent
}

#[test]
fn a_file_over_a_slow_link_arrives_whole_and_closes_no_link_and_nobody_else_waits_for_it() {
    const CHUNKS: usize = 3000;
    for seed in 0..5 {
        let mut world = network(seed, &[&[], &[0], &[1], &[1]]);
        // From 1 to 2, 64 KiB take 200 ms.
        let pipe = world.hosts[1].links[&2];
        world.slow_ms.insert(pipe, 200);
        let [sender, receiver, beside, listener] = [0, 2, 0, 3].map(|host| world.add_talker(host).unwrap());
        pass(&mut world, 5000);
        let (mut sent, mut heard, mut longest_ms) = (0, 0, 0);
        while sent < CHUNKS {
            sent += send_chunks(&mut world, sender, receiver, CHUNKS - sent);
            // The same server's other user, over the same first link, to somewhere else.
            let before = world.ledger.deliveries_to(listener);
            world.say_in_private_at(beside, Some(listener), 3);
            world.wake_person(beside);
            world.collect();
            let said_at = world.now;
            while world.ledger.deliveries_to(listener) == before {
                pass(&mut world, 1);
            }
            heard += 1;
            longest_ms = longest_ms.max(world.now - said_at);
        }
        pass(&mut world, 200_000);
        assert_eq!(world.ledger.deliveries_to(receiver), CHUNKS, "seed {seed}: R9");
        assert_eq!(world.people[sender].errors, 0, "seed {seed}: R9");
        assert_eq!(world.hosts[1].links.get(&2), Some(&pipe), "seed {seed}: R9: the link is the same");
        // Three hops, each of which may take as long as a packet that is sent again.
        let most_ms = 3 * (10 * world.plan.latency_ms + 200) + 250;
        assert!(longest_ms <= most_ms, "seed {seed}: one of {heard} messages took {longest_ms} ms");
        let holds = world.hosts[1].engine.as_ref().unwrap().core().counters.packets_out.packets(Code::Hold);
        assert!(holds > 0, "seed {seed}: the relay has told the sender's server to wait");
    }
}

#[test]
fn networks_that_merge_at_once_and_are_too_large_together_end_as_two() {
    for seed in 0..3 {
        // Two networks of 33 and 31, which are 64 together, and one of 4.
        let mut merges: Vec<Vec<usize>> = (0..68).map(|host| vec![host / 2]).collect();
        (merges[0], merges[33], merges[64]) = (vec![], vec![], vec![]);
        (34..64).for_each(|host| merges[host] = vec![33 + (host - 33) / 2]);
        (65..68).for_each(|host| merges[host] = vec![64]);
        let merges: Vec<&[usize]> = merges.iter().map(Vec::as_slice).collect();
        let mut world = network(seed, &merges);
        assert_eq!([0, 33, 64].map(|host| component(&world, host).len()), [33, 31, 4]);
        for (asks, asked) in [(32, 63), (20, 67)] {
            let name = world.plan.name(asked, 0);
            world.operate(asks, &format!("merge {name}"));
        }
        pass(&mut world, 10 * PATIENCE_MS);
        routed::check(&world);
        for host in up(&world) {
            assert!(component(&world, host).len() <= ROUTED_MAX_SERVERS, "seed {seed}: R10");
        }
        let links: Vec<_> = world.hosts.iter().map(|host| host.links.clone()).collect();
        pass(&mut world, 10 * PATIENCE_MS);
        assert_eq!(links, world.hosts.iter().map(|host| host.links.clone()).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// What is told of one lost link, in a network as large as it may be.
#[test]
fn a_lost_link_costs_a_network_of_64_servers_15_kb_of_news() {
    const NEWS_MAX_BYTES: u64 = 15_000;
    let mut merges: Vec<Vec<usize>> = (0..64).map(|host| if host == 0 { vec![] } else { vec![host / 3] }).collect();
    (0..16).for_each(|at| merges[63 - at].push(at * 3));
    let merges: Vec<&[usize]> = merges.iter().map(Vec::as_slice).collect();
    let mut world = network(0, &merges);
    assert_eq!(world.hosts.iter().map(|host| host.links.len()).sum::<usize>(), 2 * 79);
    let before = routed::news_bytes(&world);
    let (near, far) = (1, 0);
    let pipe = world.hosts[near].links[&far];
    world.cut_off(near, far);
    for side in [0, 1] {
        let end = super::pipes::EndId { pipe, side };
        world.net.borrow_mut().break_end(end, std::io::ErrorKind::ConnectionReset);
    }
    world.collect();
    pass(&mut world, PATIENCE_MS);
    assert!(tables(&world).iter().all(|table| table.len() == 63), "a spare has taken over");
    let news = routed::news_bytes(&world) - before;
    assert!(news <= NEWS_MAX_BYTES, "{news} bytes");
}
