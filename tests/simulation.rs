//! Whole networks of servers in one process, driven by a seed.
//!
//! The engines are real. The network between them, their clients and their operators are made up. Everything follows
//! from the seed: what runs next, how many bytes move, what breaks. To run a failing seed again, with every step
//! printed, use `CFP_SIM_SEED=N cargo test --test simulation -- --nocapture`. `CFP_SIM_SEEDS=A..B` runs a range of
//! seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::hash::Hasher;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "simulation/chaos.rs"]
mod chaos;
#[path = "simulation/checker.rs"]
mod checker;
#[path = "simulation/codes.rs"]
mod codes;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/foreigners.rs"]
mod foreigners;
#[path = "simulation/hash.rs"]
mod hash;
#[path = "simulation/host.rs"]
mod host;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/liars.rs"]
mod liars;
#[path = "simulation/links.rs"]
mod links;
#[path = "simulation/people.rs"]
mod people;
#[path = "simulation/pipes.rs"]
mod pipes;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/routed.rs"]
mod routed;
#[path = "simulation/routed_scenarios.rs"]
mod routed_scenarios;
#[path = "simulation/scenarios.rs"]
mod scenarios;
#[path = "support/toy.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod toy;
#[path = "simulation/world.rs"]
mod world;

use plan::Kind;
use world::World;

/// The seeds to run, and whether to tell every step.
fn seeds(default: Range<u64>) -> (Range<u64>, bool) {
    let number = |text: &str| text.trim().parse::<u64>().expect("CFP_SIM_SEED=N or CFP_SIM_SEEDS=A..B");
    if let Ok(seed) = std::env::var("CFP_SIM_SEED") {
        let seed = number(&seed);
        return (seed..seed + 1, true);
    }
    match std::env::var("CFP_SIM_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("CFP_SIM_SEEDS=A..B");
            (number(from)..number(to), false)
        }
        Err(_) => (default, false),
    }
}

/// What must really happen in some of these worlds: what never happens is not tested.
fn sometimes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Fits => &[
            "RFC siblings",
            "breaks",
            "closed: declined",
            "closed: no_answer",
            "closed: not_permitted",
            "closed: slow_reader",
            "closed: superseded",
            "collisions",
            "cuts",
            "ignored: misaddressed",
            "dropped with a link",
            "foreign siblings",
            "kills",
            "silences",
            "stalls",
            "unfit merges",
        ],
        Kind::Races => &["closed: declined", "closed: superseded", "closed: unfit", "collisions"],
        Kind::Lies => &["lies", "dials to strangers"],
        Kind::Duel => &["closed: superseded", "collisions"],
        Kind::Routed => &[
            "breaks",
            "closed: declined",
            "closed: no_answer",
            "closed: slow_reader",
            "closed: superseded",
            "closed: unfit",
            "collisions",
            "cuts",
            "dropped with a link",
            "foreign siblings",
            "ignored: late",
            "ignored: misaddressed",
            "kills",
            "silences",
            "stalls",
        ],
    }
}

/// With one seed, the servers' log lines are printed, too.
struct Told;

impl log::Log for Told {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("                {} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

fn run_seeds(kind: Kind, default: Range<u64>) {
    let (seeds, is_verbose) = seeds(default.clone());
    if is_verbose && log::set_logger(&Told).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    let mut failed = Vec::new();
    let mut totals = std::collections::BTreeMap::<String, u64>::new();
    for seed in seeds.clone() {
        let run = AssertUnwindSafe(|| checker::run(World::new(seed, kind, is_verbose)));
        match catch_unwind(run) {
            Ok(world) => {
                for (what, count) in &world.counts {
                    *totals.entry(what.clone()).or_default() += count;
                }
                let own = [
                    ("steps", world.step),
                    ("sent", world.ledger.len() as u64),
                    ("delivered", world.ledger.deliveries() as u64),
                    ("bytes", world.net.borrow().bytes),
                ];
                for (what, count) in own {
                    *totals.entry(what.to_owned()).or_default() += count;
                }
            }
            Err(_) => {
                eprintln!(
                    "{kind:?}: seed {seed} fails; CFP_SIM_SEED={seed} cargo test --test simulation -- --nocapture"
                );
                failed.push(seed);
            }
        }
    }
    eprintln!("{kind:?}: seeds {seeds:?}: {totals:?}");
    assert!(failed.is_empty(), "{kind:?}: seeds {failed:?} fail; run one with CFP_SIM_SEED=N");
    let never: Vec<&&str> = sometimes(kind).iter().filter(|what| !totals.contains_key(**what)).collect();
    assert!(seeds != default || never.is_empty(), "{kind:?}: {never:?} never happened");
}

#[test]
fn servers_that_fit_end_as_cliques_and_lose_nothing_that_they_should_not() {
    run_seeds(Kind::Fits, 0..200);
}

#[test]
fn servers_that_do_not_fit_together_end_as_cliques_and_lose_no_message() {
    run_seeds(Kind::Races, 0..120);
}

#[test]
fn two_servers_that_dial_each_other_at_once_keep_the_link_that_the_higher_id_dialled() {
    run_seeds(Kind::Duel, 0..100);
}

#[test]
fn honest_servers_stay_linked_whatever_one_or_two_liars_say() {
    run_seeds(Kind::Lies, 0..60);
}

#[test]
fn routed_servers_reach_each_other_by_the_oldest_links_and_lose_nothing_that_they_should_not() {
    run_seeds(Kind::Routed, 0..200);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [1, 7, 42] {
        let hash = || {
            let world = checker::run(World::new(seed, Kind::Fits, false));
            let net = world.net.borrow();
            (net.hash.finish(), net.bytes, world.step, world.now)
        };
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}
