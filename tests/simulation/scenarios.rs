//! Misfortunes that a seed rarely brings about, each written down.

use cfp::limits::{FORGET_MS, RECONCILE_MS};

use super::dice::Dice;
use super::ledger::View;
use super::pipes::Owner;
use super::plan::Plan;
use super::world::World;

/// Longer than any redialling, and any telling of what has changed, takes.
const PATIENCE_MS: u64 = 120_000;

/// Servers with these `--merge` options, about to start.
fn planned(seed: u64, merges: &[&[usize]]) -> World {
    let mut dice = Dice::new(seed);
    let plan = Plan::scripted(merges, &mut dice);
    World::of(plan, dice, false)
}

/// Such a world, once each server is linked with each.
fn network(seed: u64, merges: &[&[usize]]) -> World {
    let mut world = planned(seed, merges);
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

#[test]
fn servers_that_are_told_to_merge_with_each_other_need_no_allow_list() {
    for seed in 0..20 {
        let mut world = planned(seed, &[&[1], &[0]]);
        world.plan.is_restricted = true;
        pass(&mut world, PATIENCE_MS);
        assert_linked(&world, seed);
    }
}

#[test]
fn whoever_merges_with_one_server_is_let_in_by_the_others_at_once() {
    for seed in 0..20 {
        let mut world = planned(seed, &[&[], &[0], &[0]]);
        world.plan.is_restricted = true;
        world.plan.hosts[0].permits = vec![1, 2];
        while !(world.link(0, 1).both_up && world.link(0, 2).both_up) {
            assert!(world.now < PATIENCE_MS, "seed {seed}: 1 and 2 are not linked with 0");
            pass(&mut world, 10);
        }
        // Long before siblings compare what they have.
        pass(&mut world, RECONCILE_MS / 2);
        assert_linked(&world, seed);
    }
}
