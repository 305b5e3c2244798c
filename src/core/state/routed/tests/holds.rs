//! Who waits for whom, spare links, and what is told of them.

use super::*;
use crate::core::state::pressure::{Level, Pressure};

const NOW: Millis = Millis(5);

/// 1, 2, 3 and 4 in a row, and 5 beside 1 at 2.
fn row() -> Network {
    let mut random = Random::new(1);
    let mut network = Network::of([1, 2, 3, 4, 5]);
    for (a, b) in [(1, 2), (2, 3), (3, 4), (2, 5)] {
        network.link(a, b);
        network.settle(&mut random);
    }
    network
}

/// The queue for the link to this server is past its high-water mark.
fn full(id: u32) -> Pressure {
    let mut pressure = Pressure::new(1 << 20);
    pressure.note(key(id), Level { is_link: true, ..Level::HELD }, NOW);
    pressure
}

/// What is sent: to whom, for which server, and whether it is held. A release of somebody has no receiver.
fn sent(effects: &mut Effects) -> Vec<(Option<u32>, u32, bool)> {
    let list = effects.take_list().into_iter().map(|effect| match effect {
        Effect::Send { to, bytes } => match Packet::decode(effects.bytes(bytes)).unwrap() {
            Packet::Hold { server, is_held } => (Some(to.index), server.0, is_held),
            other => panic!("{other:?}"),
        },
        Effect::Release(key) => (None, key.serial, false),
        other => panic!("{other:?}"),
    });
    list.collect()
}

fn held(server: &Routed) -> Vec<u32> {
    server.held_servers().into_iter().map(|id| id.0).collect()
}

#[test]
fn whoever_sends_through_us_to_a_full_link_is_told_once_to_wait_and_told_when_it_has_drained() {
    let mut network = row();
    let two = network.servers.get_mut(&2).unwrap();
    let (mut pressure, mut effects) = (full(3), Effects::default());
    for _ in 0..2 {
        two.hold_back(ServerId(3), key(1), &pressure, &mut effects);
        two.hold_back(ServerId(5), key(1), &pressure, &mut effects);
    }
    assert_eq!(sent(&mut effects), [(Some(1), 3, true)], "the way to 5 is free");
    two.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!((sent(&mut effects), held(two)), (vec![], vec![3]));
    pressure.leave(key(3));
    two.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!((sent(&mut effects), held(two)), (vec![(Some(1), 3, false)], vec![]));
}

#[test]
fn our_clients_wait_for_the_server_that_the_neighbour_on_the_way_holds_and_for_no_other() {
    let mut network = row();
    let one = network.servers.get_mut(&1).unwrap();
    let (mut pressure, mut effects) = (Pressure::new(1 << 20), Effects::default());
    one.on_hold(key(2), ServerId(3), true);
    one.on_hold(key(2), ServerId(77), true);
    one.update_holds(&mut pressure, NOW, &mut effects);
    let waits = |pressure: &Pressure, id| pressure.is_past_high_water(Key::of_server(ServerId(id)));
    assert!(waits(&pressure, 3) && !waits(&pressure, 4) && !waits(&pressure, 77));
    assert_eq!((sent(&mut effects), held(one)), (vec![], vec![3]));
    one.on_hold(key(2), ServerId(3), false);
    one.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!((sent(&mut effects), held(one)), (vec![(None, 3, false)], vec![]));
}

#[test]
fn a_hold_from_a_neighbour_that_is_not_on_the_way_holds_nobody() {
    let mut network = row();
    let two = network.servers.get_mut(&2).unwrap();
    let (mut pressure, mut effects) = (Pressure::new(1 << 20), Effects::default());
    two.on_hold(key(1), ServerId(4), true);
    two.update_holds(&mut pressure, NOW, &mut effects);
    two.hold_back(ServerId(4), key(5), &pressure, &mut effects);
    assert_eq!((sent(&mut effects), held(two)), (vec![], vec![]));
}

#[test]
fn a_hold_goes_on_to_the_neighbour_that_sends_and_ends_with_the_link_that_it_came_over() {
    let mut network = row();
    let two = network.servers.get_mut(&2).unwrap();
    let (mut pressure, mut effects) = (Pressure::new(1 << 20), Effects::default());
    two.on_hold(key(3), ServerId(4), true);
    two.hold_back(ServerId(4), key(1), &pressure, &mut effects);
    two.hold_back(ServerId(4), key(5), &pressure, &mut effects);
    two.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!(sent(&mut effects), [(Some(1), 4, true), (Some(5), 4, true)]);
    // Nothing can be said to a neighbour that has gone, and what it said counts no longer.
    network.cut(2, 5);
    let two = network.servers.get_mut(&2).unwrap();
    two.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!((sent(&mut effects), held(two)), (vec![], vec![4]));
    network.cut(2, 3);
    let two = network.servers.get_mut(&2).unwrap();
    two.update_holds(&mut pressure, NOW, &mut effects);
    assert_eq!((sent(&mut effects), held(two)), (vec![(None, 4, false), (Some(1), 4, false)], vec![]));
}

#[test]
fn a_link_that_closes_a_ring_is_a_spare_and_carries_nothing_until_an_older_one_is_lost() {
    let mut random = Random::new(1);
    let mut network = Network::of([1, 2, 3, 4]);
    for (a, b) in [(1, 2), (2, 3), (1, 3)] {
        network.link(a, b);
        network.settle(&mut random);
    }
    // The link to 4 came up, and 4 has not greeted us.
    network.call(1, |server, effects| server.on_link_up(ServerId(4), key(4), NOW, effects));
    let of_one = |network: &Network| {
        let one = &network.servers[&1];
        let spares: Vec<u32> = (2..=4).filter(|&id| one.is_spare(ServerId(id))).collect();
        let carrying: Vec<u32> = one.carrying().map(|(id, link)| id.0.min(link.index)).collect();
        (spares, carrying)
    };
    assert_eq!(of_one(&network), (vec![3], vec![2]));
    assert_eq!(network.servers[&1].links_ever(), 3);
    let changes = network.servers[&1].tree_changes();
    network.cut(2, 3);
    network.settle(&mut random);
    assert_eq!(of_one(&network), (vec![], vec![2, 3]));
    assert_eq!(network.servers[&1].tree_changes(), changes + 1);
}

#[test]
fn a_merge_packet_names_us_twice_and_all_that_we_reach_but_its_receiver() {
    let network = row();
    let named = |receiver: Option<u32>| {
        let bytes = network.servers[&1].describe(receiver.map(ServerId));
        Descriptions::new(&bytes).unwrap().iter().map(|entry| entry.server.0).collect::<Vec<_>>()
    };
    assert_eq!(named(None), [1, 1, 2, 3, 4, 5]);
    assert_eq!(named(Some(3)), [1, 1, 2, 4, 5]);
}

#[test]
fn what_we_say_of_ourselves_and_comes_back_changes_nothing() {
    let mut network = row();
    let one = network.servers.get_mut(&1).unwrap();
    let entry = one.database().get((ServerId(1), address(1))).unwrap();
    let (age, list) = (entry.age, entry.neighbours.clone());
    let changes = one.tree_changes();
    network.call(1, |one, effects| {
        one.on_links(key(2), (ServerId(1), address(1)), age, list, NOW, effects);
        assert!(effects.is_empty());
        one.refresh(NOW);
        assert_eq!(one.tree_changes(), changes);
    });
}

#[test]
fn a_neighbour_that_tells_too_much_of_links_has_to_wait() {
    let mut network = row();
    let one = network.servers.get_mut(&1).unwrap();
    let mut admit = |now| one.admit_links(ServerId(2), 1_024, Millis(now));
    let told = (0..10_000).find(|_| admit(5).is_some()).unwrap() * 1_024;
    assert!((limits::ROUTED_NEWS_BURST_BYTES..=limits::ROUTED_NEWS_BURST_BYTES + 1_024).contains(&told), "{told}");
    let later = admit(5).unwrap();
    assert!(later > Millis(5) && admit(later.0).is_none());
}

#[test]
fn a_server_that_was_reached_is_remembered_for_a_while_when_it_is_not_any_more() {
    let mut network = row();
    network.cut(2, 3);
    network.settle(&mut Random::new(1));
    let one = network.servers.get_mut(&1).unwrap();
    assert_eq!(one.next_deadline(), Some(Millis(2) + limits::FORGET_MS));
    one.forget_old(Millis(1) + limits::FORGET_MS, &mut Effects::default());
    let known = |one: &Routed| (1..=5).filter(|&id| one.database().get((ServerId(id), address(id))).is_some()).count();
    assert_eq!(known(one), 5);
    one.forget_old(Millis(2) + limits::FORGET_MS, &mut Effects::default());
    assert_eq!(known(one), 3, "3 and 4 are forgotten");
}
