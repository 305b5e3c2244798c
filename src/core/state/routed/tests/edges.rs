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

/// 1 hears that 2 is linked with these, and with no others beside 1.
fn two_has(network: &mut Network, ids: &[u32], incarnation: u32) {
    let two = network.servers[&1].database().get((ServerId(2), address(2))).unwrap().clone();
    let ours = two.neighbours.into_iter().filter(|(id, _)| id.0 == 1);
    let list = ours.chain(ids.iter().map(|&id| (ServerId(id), 5))).collect();
    network.call(1, |one, effects| {
        for &id in ids {
            let place = (ServerId(id), address(id));
            one.on_links(key(2), place, (incarnation, 1), vec![(ServerId(2), 5)], NOW, effects);
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
