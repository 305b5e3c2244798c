//! How much news of others goes on, and what has to wait.

use super::*;

const NOW: Millis = Millis(5);

/// A server with the neighbours 2 and 3.
fn middle() -> Network {
    let mut network = Network::of([1, 2, 3]);
    network.link(1, 2);
    network.link(1, 3);
    network.settle(&mut Random::new(1));
    network
}

/// The LINKS that 1 has told: to whom, of whom, and which version.
fn told(network: &mut Network, what: impl FnOnce(&mut Routed, &mut Effects)) -> Vec<(u32, u32, u32)> {
    let mut effects = Effects::default();
    what(network.servers.get_mut(&1).unwrap(), &mut effects);
    let mut told = Vec::new();
    for effect in effects.take_list() {
        let Effect::Send { to, bytes } = effect else { panic!("{effect:?}") };
        let Packet::Links { server, version, .. } = Packet::decode(effects.bytes(bytes)).unwrap() else { panic!() };
        told.push((to.index, server.server.0, version));
    }
    told
}

/// 2 says this of the server `id`.
fn say(network: &mut Network, id: u32, version: u32) -> Vec<(u32, u32, u32)> {
    let list = (1..=16).map(|neighbour| (ServerId(neighbour), 5)).collect();
    told(network, |one, effects| one.on_links(key(2), (ServerId(id), address(id)), (1, version), list, NOW, effects))
}

/// Has 2 tell of the server 50 until nothing of it goes on any more. Returns the version that waits.
fn exhaust(network: &mut Network) -> u32 {
    (1..10_000).find(|&version| say(network, 50, version).is_empty()).unwrap()
}

#[test]
fn beyond_a_burst_the_newest_news_of_each_server_waits_and_goes_on_in_turn_and_once() {
    let mut network = middle();
    let waiting = exhaust(&mut network);
    assert!(waiting as usize > limits::ROUTED_ONWARD_BURST_BYTES / 200);
    for (id, version) in [(60, 1), (50, waiting + 1), (61, 1), (60, 2)] {
        assert_eq!(say(&mut network, id, version), []);
    }
    let mut all = Vec::new();
    let mut rounds = 0;
    let first = network.servers[&1].next_deadline().unwrap();
    assert!(first > NOW);
    assert_eq!(told(&mut network, |one, effects| one.forget_old(NOW, effects)), []);
    while let Some(at) = network.servers[&1].next_deadline().filter(|&at| at < NOW + 1_000) {
        let now = told(&mut network, |one, effects| one.forget_old(at, effects));
        assert!(!now.is_empty(), "it was due");
        all.extend(now);
        rounds += 1;
    }
    assert_eq!(all, [(3, 50, waiting + 1), (3, 60, 2), (3, 61, 1)]);
    assert!((2..=3).contains(&rounds), "{rounds}: a little at a time");
}

#[test]
fn if_more_waits_than_is_remembered_the_news_of_servers_that_are_remembered_still_goes_on() {
    let mut network = middle();
    exhaust(&mut network);
    for id in 1_000..1_000 + 3 * limits::ROUTED_ENTRIES_MAX as u32 {
        assert_eq!(say(&mut network, id, 1), []);
        // A server that is not reached makes room for the next one.
        network.call(1, |one, _| one.refresh(NOW));
    }
    assert_eq!(say(&mut network, 2_000, 1), []);
    let known: Vec<u32> = network.servers[&1].database().iter().map(|((id, _), _)| id.0).filter(|&id| id > 3).collect();
    let mut all = Vec::new();
    while let Some(at) = network.servers[&1].next_deadline().filter(|&at| at < NOW + 60_000) {
        all.extend(told(&mut network, |one, effects| one.forget_old(at, effects)));
    }
    let mut ids: Vec<u32> = all.iter().map(|&(to, id, _)| if to == 3 { id } else { 0 }).collect();
    ids.sort_unstable();
    assert_eq!(ids, known);
    assert!(known.contains(&2_000) && known.len() > limits::ROUTED_ENTRIES_MAX / 2);
}
