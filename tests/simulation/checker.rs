//! What must hold once faults have stopped and everything is quiet: S1 to S8.

use std::collections::{BTreeMap, BTreeSet};

use cfp::core::engine::Engine;
use cfp::core::engine::secure::Secure;
use cfp::core::session::Session;
use cfp::limits::{
    FORGET_MS, HEARSAY_PER_HOST_MAX, LOST_MAX, NETWORK_MAX_SERVERS, POOL_BUFFER_MAX_BYTES, POOL_MAX_BUFFERS,
    SIBLINGS_MAX,
};
use cfp::wire::{Code, ServerId};

use super::foreigners::Line;
use super::liars::Liar;
use super::pipes::{Owner, PipeEnd};
use super::plan::Kind;
use super::routed;
use super::toy::ToyCiphers;
use super::world::{Event, REUNION_MS, World};

/// Longer than anything in the servers takes: the forgetting of lost ones, and what follows from it.
const QUIET_MS: u64 = FORGET_MS + 300_000;
/// What has settled stays as it is: longer than a network that does not fit is watched before something is done.
const STEADY_MS: u64 = 150_000;
/// Addresses that two liars may have a host dial: as many as each may name within ten minutes, for half an hour.
const STRANGERS_MAX: usize = 2 * 3 * HEARSAY_PER_HOST_MAX;
/// A login or a message is through, over the slowest of pipes.
const REACH_MS: u64 = 60_000;

/// Runs a world from its start to its end, and checks it.
pub fn run(mut world: World) -> World {
    let until = world.plan.chaos_ms;
    world.run_until(until);
    world.calm();
    quieten(&mut world);
    world.trace(|_| "quiet".to_owned());
    // Packets to a server under whose ID a liar is linked are lost.
    if !has_squatters(&world) {
        check_people(&mut world);
    }
    if world.plan.kind == Kind::Lies {
        check_honest(&mut world);
        close(&mut world);
        return world;
    }
    check_links(&world);
    check_foreigners(&mut world);
    if world.plan.kind == Kind::Routed {
        routed::check(&world);
        check_steady(&mut world);
        check_reach(&mut world);
        if !has_twins(&world) {
            check_reunions(&world);
        }
        close(&mut world);
        return world;
    }
    check_cliques(&world);
    check_steady(&mut world);
    check_reach(&mut world);
    if world.plan.kind != Kind::Races {
        check_reunions(&world);
    }
    check_collisions(&world);
    check_unfit(&mut world);
    close(&mut world);
    world
}

/// Servers that fit together are done when all their links are up. Servers that conflict may seem done while they only
/// wait.
fn quieten(world: &mut World) {
    let until = world.now + QUIET_MS;
    match world.plan.kind {
        Kind::Fits | Kind::Duel | Kind::Routed => world.run_until_idle(until),
        Kind::Races | Kind::Lies => world.run_until(until),
    }
}

/// Whether two hosts have one ID.
fn has_twins(world: &World) -> bool {
    let ids: BTreeSet<ServerId> = world.hosts.iter().map(|host| host.id).collect();
    ids.len() < world.hosts.len()
}

pub fn up(world: &World) -> Vec<usize> {
    world.hosts.iter().filter(|host| host.engine.is_some()).map(|host| host.number).collect()
}

/// S1, S2.
fn check_links(world: &World) {
    for number in up(world) {
        let host = &world.hosts[number];
        let engine = host.engine.as_ref().expect("it is up");
        let siblings: Vec<ServerId> = engine.core().mesh.links().map(|(id, _)| id).collect();
        let unique: BTreeSet<ServerId> = siblings.iter().copied().collect();
        assert!(siblings.len() <= engine.core().mesh.links_max(), "S1: {number} has {siblings:?}");
        assert_eq!(siblings.len(), unique.len(), "S1: {number} has {siblings:?}");
        assert!(!unique.contains(&host.id), "S1: {number} is its own sibling");
        let foreign = siblings.iter().filter(|id| world.plan.foreigners.iter().any(|foreigner| foreigner.id == **id));
        assert_eq!(host.links.len() + foreign.count(), siblings.len(), "S1: {number} has two links to one server");
        for (&far, pipe) in &host.links {
            assert_eq!(world.hosts[far].links.get(&number), Some(pipe), "S2: {number} is linked to {far}");
        }
    }
}

/// Whether a liar may have a host's ID before the host comes.
fn has_squatters(world: &World) -> bool {
    (0..world.hosts.len()).any(|host| world.is_squatted(host))
}

/// S9: honest servers that were linked are so, whatever liars say, and what they cause is bounded.
fn check_honest(world: &mut World) {
    let is_alive = |&(a, a_life, b, b_life): &(usize, u32, usize, u32)| {
        let is_it =
            |number: usize, life| world.hosts[number].engine.is_some() && world.hosts[number].incarnation == life;
        is_it(a, a_life) && is_it(b, b_life)
    };
    let late = world.broken_since.iter().filter(|(lives, since)| is_alive(lives) && world.now - **since > REUNION_MS);
    let late: Vec<_> = late.collect();
    assert!(late.is_empty(), "S9: pairs that are not linked again: {late:?}");
    check_reunions(world);
    for number in up(world) {
        let host = &world.hosts[number];
        let engine = host.engine.as_ref().expect("it is up");
        let links: BTreeSet<ServerId> = engine.core().mesh.links().map(|(id, _)| id).collect();
        assert!(links.len() <= SIBLINGS_MAX && !links.contains(&host.id), "S1: {number} has {links:?}");
        for (&far, pipe) in &host.links {
            assert_eq!(world.hosts[far].links.get(&number), Some(pipe), "S2: {number} is linked to {far}");
        }
        let known = engine.core().mesh.servers().count();
        assert!(known <= SIBLINGS_MAX * 11 + LOST_MAX, "S9: {number} knows {known} servers");
        let is_its = |(near, incarnation, _): &&(usize, u32, _)| *near == number && *incarnation == host.incarnation;
        let strangers = world.stranger_dials.keys().filter(is_its).count();
        assert!(strangers <= STRANGERS_MAX, "S9: {number} dialled {strangers} addresses where nobody is");
    }
}

/// The hosts that `number` is connected with, over any number of links.
pub fn component(world: &World, number: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([number]);
    let mut to_visit = vec![number];
    while let Some(host) = to_visit.pop() {
        to_visit.extend(world.hosts[host].links.keys().filter(|&&far| found.insert(far)));
    }
    found
}

/// S3 if all fits together, S8 if not.
fn check_cliques(world: &World) {
    for number in up(world) {
        let component = component(world, number);
        let links = &world.hosts[number].links;
        assert_eq!(links.len() + 1, component.len(), "S3, S8: {number} is linked to {links:?} of {component:?}");
        let ids: BTreeSet<ServerId> = component.iter().map(|&host| world.hosts[host].id).collect();
        assert_eq!(ids.len(), component.len(), "S3, S8: an ID is twice in {component:?}");
        assert!(ids.len() <= NETWORK_MAX_SERVERS, "S3, S8: too many servers in {component:?}");
    }
}

/// S2, S3, S6 for servers of another make. One that knows only the RFC completes no mesh.
fn check_foreigners(world: &mut World) {
    for number in 0..world.foreigners.len() {
        let foreigner = &world.foreigners[number];
        let id = foreigner.plan.id;
        let engines = up(world).into_iter().filter_map(|host| Some((host, world.hosts[host].engine.as_ref()?)));
        let pipe = |engine: &Engine<Secure<PipeEnd, ToyCiphers>>| {
            engine.core().mesh.link_to(id).and_then(|key| Some(engine.connections().get(key)?.socket.inner().id.pipe))
        };
        let links: BTreeMap<usize, usize> = engines.filter_map(|(host, engine)| Some((pipe(engine)?, host))).collect();
        let lines = foreigner.lines.iter().filter(|line| line.server().is_some());
        let own: BTreeSet<usize> = lines.clone().filter_map(Line::pipe).collect();
        assert!(own.iter().eq(links.keys()), "S2: {id} is linked over {own:?}, the others with it over {links:?}");
        for line in lines {
            assert!(
                line.failed == line.errors || world.foreigners[number].plan.is_routed,
                "S6: ERRORs for what {id} sent to nobody"
            );
        }
        if let Some(&host) = links.values().next().filter(|_| foreigner.plan.describes && world.plan.kind == Kind::Fits)
        {
            let linked: BTreeSet<usize> = links.into_values().collect();
            assert_eq!(linked, component(world, host), "S3: {id} is linked to all or none");
        }
        if !own.is_empty() {
            world.count(if world.plan.foreigners[number].describes { "foreign siblings" } else { "RFC siblings" });
        }
    }
}

/// No link comes or goes any more.
fn check_steady(world: &mut World) {
    let links = |world: &World| world.hosts.iter().map(|host| host.links.clone()).collect::<Vec<_>>();
    let (before, news) = (links(world), routed::news_bytes(world));
    let until = world.now + STEADY_MS;
    world.run_until(until);
    assert_eq!(before, links(world), "S3, S8: links change while nothing happens");
    // One of two with one ID is dialled now and then.
    let told = routed::news_bytes(world) - news;
    assert!(told == 0 || has_twins(world), "routed servers tell {told} bytes of links while nothing happens");
}

/// S5, S6, S8: newcomers to servers of one component reach each other.
fn check_reach(world: &mut World) {
    let up = up(world);
    let newcomers: Vec<usize> = up.iter().map(|&host| world.add_talker(host).expect("it is up")).collect();
    world.collect();
    let until = world.now + REACH_MS;
    world.run_until_idle(until);
    for &newcomer in &newcomers {
        assert!(world.people[newcomer].may_talk(), "{newcomer} logs in");
        let component = component(world, world.people[newcomer].host);
        world.say_in_public(newcomer);
        for &other in &newcomers {
            let host = world.people[other].host;
            if component.contains(&host) {
                world.say_in_private_at(newcomer, Some(other), host);
            }
        }
        world.wake_person(newcomer);
    }
    world.collect();
    let until = world.now + REACH_MS;
    world.run_until_idle(until);
    check_people(world);
}

/// A server that was linked, and did not restart since, is linked; and so is one that `--merge` names.
fn check_reunions(world: &World) {
    for &(a, a_incarnation, b, b_incarnation) in &world.were_linked {
        let same = |number: usize, incarnation| {
            world.hosts[number].engine.is_some() && world.hosts[number].incarnation == incarnation
        };
        let is_parted = world.parted.contains(&(a, a_incarnation, b, b_incarnation)) || world.is_contested(a, b);
        let is_sure = !world.is_squatted(a) && !world.is_squatted(b) && !is_parted;
        if is_sure && same(a, a_incarnation) && same(b, b_incarnation) {
            assert!(world.hosts[a].links.contains_key(&b), "S3: {a} and {b} were linked, and are not again");
        }
    }
    if world.hosts.iter().any(|host| host.moved > 0) || has_squatters(world) {
        return;
    }
    for number in up(world) {
        for &other in &world.plan.hosts[number].merges {
            let is_of_one_kind = world.plan.hosts[number].is_routed == world.plan.hosts[other].is_routed;
            if world.hosts[other].engine.is_some() && is_of_one_kind {
                assert!(world.hosts[number].links.contains_key(&other), "S3: {number} was told to merge with {other}");
            }
        }
    }
}

/// S5, S6.
fn check_people(world: &mut World) {
    for number in 0..world.people.len() {
        world.wake_person(number);
    }
    world.collect();
    world.ledger.check(world.people.len(), world);
}

/// D18: of two connections that two servers dialled to each other at once, the one that the higher ID dialled stays.
fn check_collisions(world: &World) {
    let net = world.net.borrow();
    let dialler = |pipe: usize| net.pipes[pipe].ends[0].owner;
    // If neither knew which server it dialled, one may be answered before the other is seen.
    let is_accepted = |pipe: usize| net.pipes[pipe].ends[1].first_said() == Some(Code::MrgRsp.byte());
    let is_decided = |pipe: &&usize| !world.plan.uses_aliases || is_accepted(**pipe);
    let diallers: BTreeSet<Owner> = world.collided.iter().filter(is_decided).map(|&pipe| dialler(pipe)).collect();
    if world.plan.kind != Kind::Duel || diallers.len() < 2 {
        return;
    }
    let higher = usize::from(world.hosts[1].id > world.hosts[0].id);
    let link = world.hosts[higher].links[&(1 - higher)];
    assert!(world.collided.contains(&link), "D18: pipe {link} is the link, after {:?} collided", world.collided);
    assert_eq!(dialler(link), Owner::Host(higher), "D18: the higher ID has dialled what stays");
}

/// S4: what does not fit is declined, and changes nothing.
fn check_unfit(world: &mut World) {
    for _ in 0..4 {
        let up = up(world);
        let (Some(&asks), Some(&asked)) = (world.dice.pick(&up), world.dice.pick(&up)) else { return };
        let (ours, theirs) = (component(world, asks), component(world, asked));
        let known = |world: &World| up.iter().map(|&host| world.engine_ids(host)).collect::<Vec<_>>();
        let ids = |hosts: &BTreeSet<usize>| hosts.iter().map(|&host| world.hosts[host].id).collect::<BTreeSet<_>>();
        let is_alone = |host: usize| world.engine_ids(host).len() == component(world, host).len() - 1;
        let expected = if asks == asked || !is_alone(asks) || !is_alone(asked) {
            continue;
        } else if ours.contains(&asked) {
            "error already merged"
        } else if !ids(&ours).is_disjoint(&ids(&theirs)) {
            "error server id conflict"
        } else if ours.len() + theirs.len() > NETWORK_MAX_SERVERS {
            "error server limit"
        } else {
            continue;
        };
        if world.plan.is_restricted && !world.plan.hosts[asked].permits.contains(&asks) && !ours.contains(&asked) {
            continue;
        }
        let links = |world: &World| world.hosts.iter().map(|host| host.links.clone()).collect::<Vec<_>>();
        let before = (links(world), known(world));
        let name = world.plan.name(asked, world.hosts[asked].moved);
        let operator = world.operate(asks, &format!("merge {name}")).expect("it is up");
        world.collect();
        let until = world.now + 60_000;
        world.run_until_idle(until);
        let answer = world.people[operator].answer.trim();
        // A name that is looked up may not be found.
        if !answer.starts_with("error unreachable") {
            assert_eq!(answer, expected, "S4: {asks} asked {asked}");
        }
        assert_eq!(before, (links(world), known(world)), "S4: {asks} asked {asked}, {expected}");
        world.count("unfit merges");
    }
}

/// S7: every client leaves, and every server is cut off from the others and forgets them.
fn close(world: &mut World) {
    world.is_over = true;
    for person in &mut world.people {
        person.end = None;
    }
    for foreigner in &mut world.foreigners {
        foreigner.lines.clear();
    }
    world.liars.iter_mut().for_each(Liar::hang_up);
    world.collect();
    for pipe in world.pipes(|_, _| true) {
        for side in [0, 1] {
            let end = super::pipes::EndId { pipe, side };
            world.net.borrow_mut().break_end(end, std::io::ErrorKind::ConnectionReset);
        }
    }
    world.collect();
    let until = world.now + 20_000;
    world.run_until(until);
    for number in up(world) {
        for (place, id) in world.engine_ids(number).into_iter().enumerate() {
            // No more operators at once than are let in.
            world.after(200 * place as u64, Event::Operate(number, format!("forget {id}")));
        }
    }
    // Routed servers remember for a while who was there.
    let forgets_ms = if world.plan.kind == Kind::Routed { FORGET_MS } else { 0 };
    let until = world.now + 120_000 + forgets_ms;
    world.run_until(until);
    for number in up(world) {
        world.count_of_host(number);
        let engine = world.hosts[number].engine.as_ref().expect("it is up");
        let core = engine.core();
        let is_left = |session: &Session| core.mesh.pending_merges() == 0 || !matches!(session, Session::Requesting(_));
        let left = engine.connections().iter().filter(|(_, connection)| is_left(&connection.session)).count();
        assert_eq!(left, 0, "S7: {number} holds {:?}", engine.connections());
        assert_eq!(core.mesh.servers().count(), 0, "S7: {number} knows {:?}", world.engine_ids(number));
        assert!(core.directory.is_empty() && core.pressure.is_empty() && core.password_checks.is_empty(), "S7");
        let is_idle = engine.queued_bytes() == 0 && !engine.wants_turn();
        assert!(is_idle || core.mesh.pending_merges() > 0, "S7: {number} has something to do");
        engine.assert_invariants();
        for pool in engine.spare_bytes() {
            assert!(pool.len() <= POOL_MAX_BUFFERS, "S7: {number} keeps {} buffers", pool.len());
            assert!(pool.iter().all(|&bytes| bytes <= POOL_BUFFER_MAX_BYTES), "S7: {number} keeps {pool:?}");
        }
        if core.mesh.pending_merges() == 0 {
            assert_eq!(engine.next_deadline(), None, "S7: {number} waits for something");
        }
        // A server that `--merge` names is tried for ever if it was never reached.
        let named = world.plan.hosts[number].merges.len();
        assert!(core.mesh.pending_merges() <= named, "S7: {number} still tries {} merges", core.mesh.pending_merges());
    }
}
