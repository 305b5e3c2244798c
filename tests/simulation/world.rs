//! The world: the next event, and its target.
//!
//! Everything that will happen is an event with a time. One step takes the next one, and lets it cause others, after
//! delays drawn from the seed. Nothing else moves time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use cfp::core::engine::Engine;
use cfp::core::state::config::Config;
use cfp::core::state::counters::Ignored;
use cfp::core::state::effects::CloseReason;
use cfp::core::state::mesh::DialFor;
use cfp::wire::{Code, FrameLimits, ServerId};
use ipnet::IpNet;

use super::dice::Dice;
use super::foreigners::Foreigner;
use super::host::{Arrived, Host, Outcome};
use super::ledger::{Ledger, LinkState, Standing, View};
use super::liars::Liar;
use super::people::{Got, Person, Role};
use super::pipes::{Later, Net, Owner, PipeEnd, SharedNet, make_pipe};
use super::plan::{self, Kind, Plan};
use super::routed::Ways;

/// What will happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Run(usize),
    Pipe(Later),
    /// A dialled connection comes to the other host.
    Arrive(usize),
    Resolved {
        host: usize,
        incarnation: u32,
        dial_for: DialFor,
        name: String,
        port: u16,
    },
    Act(usize),
    /// A server of another make does something.
    Foreign(usize),
    /// A liar does something.
    Lie(usize),
    /// A client or a vandal comes.
    Come,
    Leave(usize),
    Fault,
    Restart(usize),
    Resume(usize),
    Heal(usize, usize),
    Operate(usize, String),
}

/// Whatever liars say, honest servers that were linked are so again after this.
pub const REUNION_MS: u64 = 60_000;
/// Steps after which a world that has not become quiet never will.
const STEPS_MAX: u64 = 3_000_000;

pub struct World {
    pub plan: Plan,
    pub dice: Dice,
    pub now: u64,
    pub step: u64,
    pub net: SharedNet,
    pub hosts: Vec<Host>,
    pub foreigners: Vec<Foreigner>,
    pub liars: Vec<Liar>,
    /// When a host, in one of its lives, dialled an address without a server.
    pub stranger_dials: BTreeMap<(usize, u32, SocketAddrV4), Vec<u64>>,
    /// Links between hosts that broke although nothing went wrong.
    pub broken_since: BTreeMap<(usize, u32, usize, u32), u64>,
    /// Pairs of processes that parted while a liar had the ID of a third (D52).
    pub parted: BTreeSet<(usize, u32, usize, u32)>,
    pub people: Vec<Person>,
    pub ledger: Ledger,
    pub is_chaos: bool,
    pub is_verbose: bool,
    /// No connection comes about any more.
    pub is_over: bool,
    /// Pairs of hosts between which nothing gets through.
    pub cuts: BTreeSet<(usize, usize)>,
    /// Pairs of processes that were linked: host and incarnation, twice.
    pub were_linked: BTreeSet<(usize, u32, usize, u32)>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// The accepting ends of connections that have not arrived yet.
    pub dialled: BTreeMap<usize, (PipeEnd, Option<Owner>, Option<SocketAddr>)>,
    /// Pipes on which a server asked another one to merge, and has no answer yet.
    pub asking: BTreeSet<usize>,
    /// Pipes on which two servers asked each other before either answered.
    pub collided: BTreeSet<usize>,
    pub silent_since: BTreeMap<usize, u64>,
    /// Pipes that take longer than others, and how much.
    pub slow_ms: BTreeMap<usize, u64>,
    pub epochs: BTreeMap<(usize, usize), u32>,
    /// In a routed network.
    pub ways: Ways,
    /// The pipes of links that are up on both sides.
    pub joint: BTreeMap<(usize, usize), usize>,
    pub counts: BTreeMap<String, u64>,
}

impl View for World {
    fn standing(&self, person: usize) -> Standing {
        let person = &self.people[person];
        Standing {
            host: person.host,
            logged_in_at: person.logged_in_at,
            is_connected: person.end.is_some(),
            errors: person.errors,
        }
    }

    fn link(&self, near: usize, far: usize) -> LinkState {
        if self.plan.kind == Kind::Routed { self.way_state(near, far) } else { self.direct(near, far) }
    }
}

pub fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl World {
    pub fn new(seed: u64, kind: Kind, is_verbose: bool) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(kind, &mut dice);
        World::of(plan, dice, is_verbose)
    }

    /// The world that is planned so.
    pub fn of(plan: Plan, mut dice: Dice, is_verbose: bool) -> World {
        let net = Net::new(dice.between(0, u64::MAX - 1), plan.pipe_bytes);
        let routed_hosts = (0..plan.hosts.len()).filter(|&host| plan.hosts[host].is_routed).map(Owner::Host);
        let routed = (0..plan.foreigners.len()).filter(|&number| plan.foreigners[number].is_routed);
        net.borrow_mut().routed = routed_hosts.chain(routed.map(Owner::Foreigner)).collect();
        let hosts = plan.hosts.iter().enumerate().map(|(number, host)| Host::new(number, host.id)).collect();
        let foreigners: Vec<Foreigner> = plan.foreigners.iter().cloned().map(Foreigner::new).collect();
        let liars: Vec<Liar> = plan.liars.iter().cloned().map(Liar::new).collect();
        let mut world = World {
            plan,
            dice,
            now: 0,
            step: 0,
            net,
            hosts,
            foreigners,
            liars,
            stranger_dials: BTreeMap::new(),
            broken_since: BTreeMap::new(),
            parted: BTreeSet::new(),
            people: Vec::new(),
            ledger: Ledger::default(),
            is_chaos: true,
            is_verbose,
            is_over: false,
            cuts: BTreeSet::new(),
            were_linked: BTreeSet::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            dialled: BTreeMap::new(),
            asking: BTreeSet::new(),
            collided: BTreeSet::new(),
            silent_since: BTreeMap::new(),
            slow_ms: BTreeMap::new(),
            epochs: BTreeMap::new(),
            ways: Ways::default(),
            joint: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        world.trace(|world| format!("{:?}", world.plan));
        for host in 0..world.hosts.len() {
            let latest = if world.dice.chance(800) { 0 } else { 2000 };
            let delay = world.dice.between(0, latest);
            world.after(delay, Event::Restart(host));
        }
        for foreigner in 0..world.foreigners.len() {
            world.after(0, Event::Foreign(foreigner));
        }
        for liar in 0..world.liars.len() {
            let delay = world.liars[liar].plan.comes_ms;
            world.after(delay, Event::Lie(liar));
        }
        let first = world.dice.between(0, world.plan.fault_interval_ms);
        world.after(first, Event::Fault);
        for _ in 0..world.plan.people {
            let delay = world.dice.between(0, 3000);
            world.after(delay, Event::Come);
        }
        for (asks, asked) in world.plan.merges.clone() {
            if !world.plan.hosts[asks].merges.contains(&asked) {
                let delay = world.dice.between(0, world.plan.chaos_ms);
                let command = format!("merge {}", world.plan.name(asked, 0));
                world.after(delay, Event::Operate(asks, command));
            }
        }
        world
    }

    pub fn trace(&self, what: impl FnOnce(&World) -> String) {
        if self.is_verbose {
            eprintln!("{:>8} ms  {}", self.now, what(self));
        }
    }

    pub fn after(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((self.now + delay_ms, self.sequence, event)));
    }

    pub fn count(&mut self, what: &str) {
        self.count_many(what, 1);
    }

    fn count_many(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.counts.entry(what.to_owned()).or_default() += times;
        }
    }

    /// What a server has counted itself, before it is gone.
    pub fn count_of_host(&mut self, number: usize) {
        let Some(engine) = &self.hosts[number].engine else { return };
        let counters = engine.core().counters.clone();
        for reason in CloseReason::ALL {
            self.count_many(&format!("closed: {}", reason.name()), counters.closed.get(reason as usize));
        }
        for reason in Ignored::ALL {
            self.count_many(&format!("ignored: {}", reason.name()), counters.ignored.get(reason as usize));
        }
        self.count_many("dropped with a link", counters.link_packets_dropped);
        if !self.plan.hosts[number].is_routed {
            for code in [Code::Relay, Code::Links, Code::Hold, Code::Hello] {
                let written = counters.packets_out.packets(code);
                assert_eq!(written, 0, "R11: {number} is dense, and writes {}", code.name());
            }
        }
    }

    /// When the next thing will happen.
    pub fn next_at(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((at, ..))| *at)
    }

    /// Whether nothing is on its way any more but servers' own deadlines, and every server has all the links it wants.
    pub fn is_settled(&self) -> bool {
        let is_deadline = |event: &Event| matches!(event, Event::Run(_));
        let is_done = |host: &Host| {
            let is_complete = |engine: &Engine<_>| engine.core().mesh.is_complete() && !engine.wants_turn();
            host.engine.as_ref().is_none_or(is_complete) && host.arrived.is_empty()
        };
        self.hosts.iter().all(is_done)
            && self.net.borrow().is_nothing_ready()
            && self.events.iter().all(|Reverse((_, _, event))| is_deadline(event))
    }

    /// Lets things happen until `until` or until all is settled.
    pub fn run_until_idle(&mut self, until: u64) {
        while let Some(at) = self.next_at()
            && at <= until
        {
            if at > self.now && self.is_settled() {
                return;
            }
            self.step();
        }
    }

    pub fn run_until(&mut self, until: u64) {
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    fn step(&mut self) {
        let Some(Reverse((at, _, event))) = self.events.pop() else { return };
        self.now = at;
        self.step += 1;
        assert!(self.step < STEPS_MAX, "it never becomes quiet");
        match event {
            Event::Run(host) => self.run_host(host, at),
            Event::Pipe(later) => self.on_pipe(later),
            Event::Arrive(pipe) => self.on_arrive(pipe),
            Event::Resolved { host, incarnation, dial_for, name, port } => {
                self.on_resolved(host, incarnation, dial_for, &name, port);
            }
            Event::Act(person) => self.act(person),
            Event::Foreign(foreigner) => self.act_foreigner(foreigner),
            Event::Lie(liar) => self.act_liar(liar),
            Event::Come => self.add_person(),
            Event::Leave(person) => self.people[person].end = None,
            Event::Fault => self.fault(),
            Event::Restart(host) => self.start(host),
            Event::Resume(host) => {
                self.trace(|_| format!("{host} goes on"));
                self.hosts[host].is_stalled = false;
                self.wake(host, 0);
            }
            Event::Heal(a, b) => self.heal(a, b),
            Event::Operate(host, command) => {
                self.operate(host, &command);
            }
        }
        self.collect();
    }

    /// Gives what was said to happen later its time.
    pub fn collect(&mut self) {
        let later = std::mem::take(&mut self.net.borrow_mut().later);
        for later in later {
            let delay = match later {
                Later::Deliver(end) => self.latency() + self.slow_ms.get(&end.pipe).copied().unwrap_or(0),
                Later::Space(_) | Later::Reset(_) => self.latency(),
                Later::Patience(end) => self.net.borrow().patience_ms(end),
                Later::Wake(Owner::Host(host)) => {
                    self.wake(host, 0);
                    continue;
                }
                Later::Wake(Owner::Person(_) | Owner::Foreigner(_) | Owner::Liar(_)) => 0,
            };
            self.after(delay, Event::Pipe(later));
        }
    }

    pub fn latency(&mut self) -> u64 {
        // A packet that is lost and sent again takes longer.
        let latest = if self.dice.chance(20) { 10 * self.plan.latency_ms + 200 } else { self.plan.latency_ms };
        self.dice.between(0, latest)
    }

    /// Has the host run soon.
    pub fn wake(&mut self, host: usize, delay_ms: u64) {
        let delay_ms = delay_ms + self.dice.between(0, self.plan.run_delay_ms);
        self.run_at(host, self.now + delay_ms);
    }

    fn run_at(&mut self, host: usize, at: u64) {
        if self.hosts[host].run_at.is_none_or(|planned| at < planned) {
            self.hosts[host].run_at = Some(at);
            self.after(at - self.now, Event::Run(host));
        }
    }

    fn run_host(&mut self, number: usize, at: u64) {
        let host = &mut self.hosts[number];
        if host.run_at != Some(at) {
            return;
        }
        host.run_at = None;
        if host.is_stalled {
            return;
        }
        let outcome = host.run(&self.net, &mut self.dice, at);
        self.after_run(number, outcome);
    }

    fn after_run(&mut self, number: usize, outcome: Outcome) {
        for &far in &outcome.links_changed {
            *self.epochs.entry(pair(number, far)).or_default() += 1;
            self.trace(|world| format!("{number} to {far}: link is {:?}", world.hosts[number].links.get(&far)));
            self.note_joint(number, far);
        }
        self.note_collisions();
        self.note_ways();
        for (dial_for, address) in outcome.dials {
            self.dial(number, dial_for, address);
        }
        for (dial_for, name, port) in outcome.lookups {
            let delay = self.latency();
            let incarnation = self.hosts[number].incarnation;
            self.after(delay, Event::Resolved { host: number, incarnation, dial_for, name, port });
        }
        if let Some(at) = outcome.again_at {
            let at = at.max(self.now) + self.dice.between(0, self.plan.run_delay_ms);
            self.run_at(number, at);
        }
        if outcome.is_shut_down {
            self.stop(number);
            self.plan_restart(number);
        }
    }

    pub fn wake_person(&mut self, number: usize) {
        let ready = self.net.borrow_mut().take_ready(Owner::Person(number));
        for id in ready {
            self.net.borrow_mut().take_edge(id);
        }
        let person = &mut self.people[number];
        person.flush();
        for got in person.read() {
            match got {
                Got::LoggedIn => self.people[number].logged_in_at = Some(self.step),
                Got::Item { number: item, class, origin, sender } => {
                    let mut ledger = std::mem::take(&mut self.ledger);
                    if let Some(by) = ledger.sender(item).filter(|&by| Person::nickname(by) == sender) {
                        assert_eq!(self.hosts[self.people[by].host].id, origin, "an origin is true");
                        ledger.receive(number, item, class, self);
                    }
                    self.ledger = ledger;
                }
            }
        }
    }

    /// A client comes to a server.
    pub fn visit(&mut self, role: Role, host: usize) -> Option<usize> {
        self.hosts[host].engine.as_ref()?;
        let number = self.people.len();
        let (near, far) = make_pipe(&self.net, [Owner::Person(number), Owner::Host(host)]);
        let id = near.id;
        self.people.push(Person::new(role, number, host, near));
        let ip = IpAddr::V4(Ipv4Addr::new(192, 168, 0, (number % 250) as u8));
        let peer = (role != Role::Operator).then_some(SocketAddr::new(ip, 40_000));
        self.net.borrow_mut().connect(id.pipe);
        self.hosts[host].arrived.push_back(Arrived { end: far, peer });
        self.wake(host, 0);
        Some(number)
    }

    pub fn start(&mut self, number: usize) {
        if self.hosts[number].engine.is_some() || self.is_over {
            return;
        }
        let mut moved = self.hosts[number].moved;
        if self.plan.may_move && self.hosts[number].incarnation > 0 && self.dice.chance(300) {
            moved += 1;
        }
        self.hosts[number].moved = moved;
        let host = &self.plan.hosts[number];
        let allowed = |permitted: &usize| IpNet::from(IpAddr::V4(*plan::address(*permitted, 0).ip()));
        let asking = self.plan.foreigners.iter().filter(|foreigner| foreigner.asks.contains(&number));
        let asking = asking.map(|foreigner| IpNet::from(IpAddr::V4(*foreigner.address.ip())));
        let allow_peers = match self.plan.is_restricted {
            true => host.permits.iter().map(allowed).chain(asking).collect(),
            false => "10.0.0.0/8".parse().into_iter().collect(),
        };
        let mut config = Config {
            advertise: Some(plan::address(number, moved)),
            allow_peers,
            max_queue_bytes: self.plan.max_queue_bytes,
            max_link_queue_bytes: self.plan.max_link_queue_bytes,
            frame: FrameLimits { message_max_bytes: self.plan.max_message_bytes, ..FrameLimits::DEFAULT },
            seed: self.dice.between(0, u64::MAX - 1),
            ..Config::new(host.id)
        };
        if host.is_routed {
            // A clock may go back.
            let skew = if self.dice.chance(200) { self.dice.between(0, 1000) } else { 1000 };
            config.route((1_000_000 + self.now / 1000 + skew) as u32);
        }
        let merges = host.merges.iter().map(|&other| self.plan.name(other, 0)).collect();
        self.trace(|_| format!("{number} starts at {:?}", config.advertise));
        self.hosts[number].start(config, merges, self.now);
        self.wake(number, 0);
    }

    /// The process ends, and its kernel closes its connections.
    pub fn stop(&mut self, number: usize) {
        self.trace(|_| format!("{number} is gone"));
        self.count_of_host(number);
        for far in self.hosts[number].stop() {
            *self.epochs.entry(pair(number, far)).or_default() += 1;
        }
        self.note_ways();
    }

    pub fn plan_restart(&mut self, number: usize) {
        if self.dice.chance(self.plan.restarts_in_thousand) {
            let latest = if self.dice.chance(500) { 500 } else { 30_000 };
            let delay = self.dice.between(0, latest);
            self.after(delay, Event::Restart(number));
        }
    }

    pub fn engine_ids(&self, number: usize) -> Vec<ServerId> {
        let engine = self.hosts[number].engine.as_ref();
        engine.map(|engine| engine.core().mesh.servers().map(|server| server.id).collect()).unwrap_or_default()
    }
}
