//! Numbers at their edges, and servers that are not known, or not known any more.

use super::*;
use crate::core::state::pressure::Pressure;

const NOW: Millis = Millis(5);

fn pair() -> Network {
    let mut network = Network::of([1, 2]);
    network.link(1, 2);
    network.settle(&mut Random::new(1));
    network
}

/// The stamp of links that are only heard of.
const STAMP: u32 = 5;

/// 1 hears that 2 is linked with these, and with no others beside 1.
fn two_has(network: &mut Network, ids: &[u32], incarnation: u32) {
    let two = network.servers[&1].database().get((ServerId(2), address(2))).unwrap().clone();
    let ours = two.neighbours.into_iter().filter(|(id, _)| id.0 == 1);
    let list = ours.chain(ids.iter().map(|&id| (ServerId(id), STAMP))).collect();
    network.call(1, |one, effects| {
        for &id in ids {
            let place = (ServerId(id), address(id));
            one.on_links(key(2), place, (incarnation, 1), vec![(ServerId(2), STAMP)], NOW, effects);
        }
        one.on_links(key(2), (ServerId(2), address(2)), (two.age.0, two.age.1 + 1), list, NOW, effects);
        one.refresh(NOW);
    });
}

/// The servers that clients of 1 wait for.
fn held(network: &mut Network) -> Vec<u32> {
    let (mut pressure, mut effects) = (Pressure::new(1 << 20), Effects::default());
    let one = network.servers.get_mut(&1).unwrap();
    one.update_holds(&mut pressure, NOW, &mut effects);
    one.held_servers().into_iter().map(|id| id.0).collect()
}

fn hold(network: &mut Network, id: u32) {
    network.servers.get_mut(&1).unwrap().on_hold(key(2), ServerId(id), true);
}

#[test]
fn a_hold_for_a_server_that_nobody_knows_holds_nobody_when_that_one_comes() {
    let mut network = pair();
    hold(&mut network, 77);
    two_has(&mut network, &[77], 1);
    assert!(held(&mut network).is_empty());
    hold(&mut network, 77);
    assert_eq!(held(&mut network), [77]);
}

#[test]
fn a_hold_is_forgotten_with_its_server() {
    let mut network = pair();
    two_has(&mut network, &[77], 1);
    hold(&mut network, 77);
    assert_eq!(held(&mut network), [77]);
    two_has(&mut network, &[], 1);
    assert!(held(&mut network).is_empty());
    let one = network.servers.get_mut(&1).unwrap();
    one.forget_old(NOW + limits::FORGET_MS, &mut Effects::default());
    assert!(held(&mut network).is_empty());
    two_has(&mut network, &[77], 2);
    assert_eq!(network.routes(1), [(2, 2, 0), (77, 2, 1)]);
    assert!(held(&mut network).is_empty(), "that was another life of 77");
}

#[test]
fn a_merge_packet_names_no_more_servers_than_a_network_may_have() {
    let mut network = pair();
    let ids: Vec<u32> = (100..100 + limits::ROUTED_MAX_SERVERS as u32).collect();
    two_has(&mut network, &ids, 1);
    let one = &network.servers[&1];
    assert!(one.tree().routes.len() > limits::ROUTED_MAX_SERVERS);
    let named = one.describe(None).len() / Descriptions::ENTRY_BYTES;
    assert_eq!(named, limits::ROUTED_DESCRIPTIONS_MAX);
}

#[test]
fn a_server_that_is_one_too_many_loses_the_youngest_link_and_only_those_close_it_that_have_it() {
    let ids: Vec<u32> = (100..100 + limits::ROUTED_MAX_SERVERS as u32 - 1).collect();
    let surplus = |ids: &[u32], is_ours_the_youngest| {
        let mut network = pair();
        if is_ours_the_youngest {
            // It came up when the highest stamp was known already.
            network.cut(1, 2);
            network.servers.get_mut(&1).unwrap().database.keep(
                (ServerId(3), address(3)),
                Entry { age: (1, 1), neighbours: vec![(ServerId(4), STAMP)], unreached_since: NOW },
            );
            network.link(1, 2);
            network.settle(&mut Random::new(1));
        }
        two_has(&mut network, ids, 1);
        network.servers[&1].surplus()
    };
    let most = ids.len() - 1;
    assert_eq!(surplus(&ids[..most], true), None, "with 1 and 2, they are as many as there may be");
    assert_eq!(surplus(&ids, true), Some(Surplus::Youngest(ServerId(2))));
    assert_eq!(surplus(&ids, false), None, "that link is not ours");
}

#[test]
fn a_jump_of_versions_is_another_life_and_its_numbers_begin_anew() {
    for (jump, expected) in [
        (1, Err(Ignored::Late)),
        (limits::ROUTED_VERSIONS_MAX, Err(Ignored::Late)),
        (limits::ROUTED_VERSIONS_MAX + 1, Ok(())),
    ] {
        let mut network = pair();
        two_has(&mut network, &[77], 1);
        let header = |number| RelayHeader { destination: ServerId(1), origin: ServerId(77), incarnation: 1, number };
        let one = network.servers.get_mut(&1).unwrap();
        let row = one.check(key(2), &header(7), NOW).unwrap();
        one.take(row, &header(7));
        network.call(1, |one, effects| {
            let place = (ServerId(77), address(77));
            one.on_links(key(2), place, (1, 1 + jump), vec![(ServerId(2), STAMP)], NOW, effects);
        });
        let one = network.servers.get_mut(&1).unwrap();
        assert_eq!(one.check(key(2), &header(1), NOW).map(|_| ()), expected, "{jump}");
    }
}

#[test]
fn what_is_said_of_us_is_outdone_if_it_is_newer_or_of_a_former_life_with_our_incarnation() {
    let (incarnation, first_version) = (1_000, 1 << 20);
    for (age, is_outdone) in [
        ((incarnation, first_version - 1), true),
        ((incarnation, first_version), true),
        ((incarnation, first_version + 1), false),
        ((incarnation, first_version + 9), true),
        ((incarnation - 1, first_version - 1), false),
        ((incarnation + 1, 0), true),
    ] {
        let mut network = Network::of([1, 2]);
        let seed = u64::from(first_version) << 33;
        network.servers.insert(1, Routed::new(ServerId(1), address(1), incarnation, seed));
        network.link(1, 2);
        network.settle(&mut Random::new(1));
        let ours = |network: &Network| network.servers[&1].database().get((ServerId(1), address(1))).unwrap().age;
        let (before, of_us) = (ours(&network), (ServerId(1), address(1)));
        assert_eq!(before, (incarnation, first_version + 1));
        let list = network.servers[&1].database().get(of_us).unwrap().neighbours.clone();
        network.call(1, |one, effects| one.on_links(key(2), of_us, age, list, NOW, effects));
        let expected = if is_outdone { (age.0 + 1, first_version + 1) } else { before };
        assert_eq!(ours(&network), expected, "{age:?}");
    }
}

#[test]
fn an_incarnation_that_no_clock_gives_is_outdone_when_others_have_forgotten_it() {
    let mut network = pair();
    network.call(1, |one, effects| {
        one.on_links(key(2), one.own, (limits::ROUTED_INCARNATION_MAX, 1), vec![], NOW, effects);
        assert!(one.next_deadline().unwrap() > NOW + limits::FORGET_MS);
    });
}

#[test]
fn after_the_last_version_comes_the_next_incarnation() {
    let mut network = pair();
    network.servers.get_mut(&1).unwrap().age.1 = u32::MAX;
    network.cut(1, 2);
    network.link(1, 2);
    network.settle(&mut Random::new(1));
    assert_eq!(network.servers[&1].age, (1_001, 2));
    assert_eq!(network.routes(2), [(1, 1, 0)]);
}

#[test]
fn a_link_is_a_spare_only_when_both_ends_have_it() {
    let mut network = Network::of([1, 2, 3]);
    network.link(1, 2);
    network.link(2, 3);
    network.settle(&mut Random::new(1));
    assert!(!network.servers[&1].tree().has_twins);
    // 3 has not greeted us yet.
    network.call(1, |one, effects| one.on_link_up(ServerId(3), key(3), NOW, effects));
    assert!(!network.servers[&1].is_spare(ServerId(3)));
    // Now it has, and has not said yet that it has this link.
    network.call(1, |one, effects| assert!(one.on_hello(ServerId(3), key(3), 9, effects)));
    network.servers.get_mut(&1).unwrap().refresh(NOW);
    assert!(!network.servers[&1].is_spare(ServerId(3)));
}

/// All servers have to close a ring at the same link.
#[test]
fn of_links_with_one_stamp_those_of_lower_ids_are_older() {
    let mut network = Network::of([1, 20]);
    network.link(1, 20);
    network.settle(&mut Random::new(1));
    let ring = [(1, 5), (1, 9), (2, 6), (2, 9), (5, 6)];
    let one = network.servers[&20].database().get((ServerId(1), address(1))).unwrap().clone();
    for id in [1, 2, 5, 6, 9] {
        let far = ring.iter().filter(|(a, b)| *a == id || *b == id).map(|(a, b)| if *a == id { *b } else { *a });
        let mut list: Vec<(ServerId, u32)> = far.map(|far| (ServerId(far), STAMP)).collect();
        let mut age = (1, 1);
        if id == 1 {
            list.extend(&one.neighbours);
            age = (one.age.0, one.age.1 + 1);
        }
        network.call(20, |server, effects| {
            server.on_links(key(1), (ServerId(id), address(id)), age, list, NOW, effects);
        });
    }
    network.servers.get_mut(&20).unwrap().refresh(NOW);
    assert_eq!(network.routes(20), [(1, 1, 0), (2, 1, 2), (5, 1, 1), (6, 1, 3), (9, 1, 1)], "5 and 6 have a spare");
}
