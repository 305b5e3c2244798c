//! Misfortunes that a seed rarely brings about, each written down.

use cfp::limits::FORGET_MS;

use super::dice::Dice;
use super::ledger::View;
use super::pipes::Owner;
use super::plan::Plan;
use super::world::World;

/// Longer than any redialling, and any telling of what has changed, takes.
const PATIENCE_MS: u64 = 120_000;

/// Servers with these `--merge` options, each linked with each.
fn network(seed: u64, merges: &[&[usize]]) -> World {
    let mut dice = Dice::new(seed);
    let plan = Plan::scripted(merges, &mut dice);
    let mut world = World::of(plan, dice, false);
    pass(&mut world, PATIENCE_MS);
    assert_linked(&world, seed);
    world
}

fn pass(world: &mut World, time_ms: u64) {
    world.run_until(world.now + time_ms);
}

fn assert_linked(world: &World, seed: u64) {
    for near in 0..world.hosts.len() {
        for far in 0..near {
            assert!(world.link(near, far).both_up, "seed {seed}: {near} and {far} are not linked");
        }
    }
}

#[test]
fn servers_that_lost_each_other_for_longer_than_they_remember_are_linked_again_through_a_third() {
    for seed in 0..20 {
        let mut world = network(seed, &[&[], &[0], &[0]]);
        world.cut_off(1, 2);
        pass(&mut world, FORGET_MS + PATIENCE_MS);
        assert!(!world.link(1, 2).near_up && !world.link(2, 1).near_up);
        world.heal(1, 2);
        pass(&mut world, PATIENCE_MS);
        assert_linked(&world, seed);
    }
}

#[test]
fn a_server_that_comes_back_elsewhere_before_its_old_links_are_missed_merges_in_the_end() {
    for seed in 0..20 {
        let mut world = network(seed, &[&[], &[0], &[0]]);
        for pipe in world.pipes(|near, far| [near, far].contains(&Owner::Host(1))) {
            world.silence(pipe);
        }
        world.stop(1);
        world.hosts[1].moved = 1;
        world.collect();
        world.start(1);
        pass(&mut world, PATIENCE_MS);
        assert_linked(&world, seed);
    }
}
