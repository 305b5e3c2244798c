//! What a routed network costs each of its servers in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddrV4};

use cfp::core::state::effects::Effects;
use cfp::core::state::key::Key;
use cfp::core::state::routed::Routed;
use cfp::core::time::Millis;
use cfp::limits::ROUTED_MAX_SERVERS;
use cfp::wire::{RelayHeader, ServerId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// To reach.
const MEMORY_MAX_BYTES: usize = 16 * 1024;
const SPARES: usize = 16;

fn place(server: u32) -> (ServerId, SocketAddrV4) {
    (ServerId(server), SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + server), 7777))
}

/// The links of each server: a tree in which each has up to three servers below it, and spares.
fn links() -> Vec<Vec<(ServerId, u32)>> {
    let mut near: Vec<Vec<(ServerId, u32)>> = vec![Vec::new(); ROUTED_MAX_SERVERS];
    let tree = (1..ROUTED_MAX_SERVERS).map(|at| (at, at / 3));
    let spares = (0..SPARES).map(|at| (at * 3, 63 - at));
    for (at, (a, b)) in tree.chain(spares).enumerate() {
        near[a].push((ServerId(b as u32), at as u32 + 1));
        near[b].push((ServerId(a as u32), at as u32 + 1));
    }
    near
}

#[test]
fn a_network_of_64_servers_with_79_links_takes_16_kib_of_memory() {
    let links = links();
    let region = Region::new(ALLOCATOR);
    let (own, address) = place(0);
    let mut routed = Routed::new(own, address, 1_000, 0);
    {
        let mut effects = Effects::default();
        let key = |server: ServerId| Key { index: server.0, serial: 1 };
        for &(server, stamp) in &links[0] {
            routed.on_link_up(server, key(server), Millis(1), &mut effects);
            assert!(routed.on_hello(server, key(server), stamp - 1, &mut effects));
        }
        for (server, neighbours) in links.iter().enumerate().skip(1) {
            let mut list = Vec::with_capacity(neighbours.len());
            list.extend_from_slice(neighbours);
            routed.on_links(key(links[0][0].0), place(server as u32), (1_000, 1), list, Millis(1), &mut effects);
        }
        routed.refresh(Millis(2));
        routed.log_changes();
        for server in 1..ROUTED_MAX_SERVERS as u32 {
            let header = RelayHeader { destination: own, origin: ServerId(server), incarnation: 1_000, number: 1 };
            let next = routed.next_hop(ServerId(server), Millis(2)).unwrap();
            let row = routed.check(next, &header, Millis(2)).unwrap();
            routed.take(row, &header);
        }
    }
    assert_eq!(routed.tree().routes.len(), ROUTED_MAX_SERVERS - 1);
    let change = region.change();
    let held = change.bytes_allocated - change.bytes_deallocated;
    println!("{held} bytes for {ROUTED_MAX_SERVERS} servers");
    assert!(held <= MEMORY_MAX_BYTES, "{held} bytes");
}
