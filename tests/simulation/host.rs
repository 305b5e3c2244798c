//! A server process and its kernel's side: what the reactor does in the program.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use cfp::core::engine::secure::{Secure, Shared};
use cfp::core::engine::{Engine, Request};
use cfp::core::state::config::Config;
use cfp::core::state::key::Key;
use cfp::core::state::mesh::{DialFor, HostPort};
use cfp::core::state::process::ProcessFigures;
use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::wire::ServerId;

use super::dice::Dice;
use super::pipes::{EndId, Owner, PipeEnd, SharedNet};
use super::toy::ToyCiphers;

/// A connection that the kernel holds until the server takes it.
#[derive(Debug)]
pub struct Arrived {
    pub end: PipeEnd,
    /// On the control socket there is none.
    pub peer: Option<SocketAddr>,
}

#[derive(Debug)]
pub struct Host {
    pub number: usize,
    pub id: ServerId,
    pub engine: Option<Engine<Secure<PipeEnd, ToyCiphers>>>,
    /// What its connections share.
    pub shared: Rc<Shared<ToyCiphers>>,
    /// Counts its restarts.
    pub incarnation: u32,
    pub moved: u8,
    pub is_stalled: bool,
    pub arrived: VecDeque<Arrived>,
    /// When it will run next.
    pub run_at: Option<u64>,
    /// Its links, by the host at the other end: which pipe.
    pub links: BTreeMap<usize, usize>,
    started_ms: u64,
}

/// What a run left to be done.
#[derive(Debug, Default)]
pub struct Outcome {
    pub dials: Vec<(DialFor, SocketAddr)>,
    pub lookups: Vec<(DialFor, String, u16)>,
    pub links_changed: Vec<usize>,
    pub again_at: Option<u64>,
    pub is_shut_down: bool,
}

impl Host {
    pub fn new(number: usize, id: ServerId) -> Host {
        Host {
            number,
            id,
            engine: None,
            shared: Shared::new(ToyCiphers { is_required: false }),
            incarnation: 0,
            moved: 0,
            is_stalled: false,
            arrived: VecDeque::new(),
            run_at: None,
            links: BTreeMap::new(),
            started_ms: 0,
        }
    }

    pub fn start(&mut self, config: Config, merges: Vec<HostPort>, now: u64) {
        self.started_ms = now;
        self.incarnation += 1;
        let mut engine = Engine::new(config, Users::none());
        for name in merges {
            engine.merge_at_start(name, Millis(0));
        }
        self.engine = Some(engine);
    }

    /// The process is gone, and what its kernel held for it. Returns whose links it had.
    pub fn stop(&mut self) -> Vec<usize> {
        self.engine = None;
        self.arrived.clear();
        std::mem::take(&mut self.links).into_keys().collect()
    }

    pub fn clock(&self, now: u64) -> Millis {
        Millis(now - self.started_ms)
    }

    /// One turn of the loop.
    pub fn run(&mut self, net: &SharedNet, dice: &mut Dice, now: u64) -> Outcome {
        let clock = self.clock(now);
        let owner = Owner::Host(self.number);
        let mut outcome = Outcome::default();
        let Some(engine) = &mut self.engine else { return outcome };
        let mut ready: Vec<EndId> = net.borrow_mut().take_ready(owner).into();
        dice.shuffle(&mut ready);
        let taken = if dice.chance(800) { ready.len() } else { dice.below(ready.len() + 1) };
        for id in ready.split_off(taken) {
            net.borrow_mut().put_back(id);
            outcome.again_at = Some(now);
        }
        for id in ready {
            let edge = net.borrow_mut().take_edge(id);
            if let Some((key, readiness)) = edge {
                engine.on_ready(key, readiness);
            }
        }
        for Arrived { end, peer } in std::mem::take(&mut self.arrived) {
            let id = end.id;
            let key = match peer {
                Some(peer) => engine.on_accepted(Secure::accepted(end, &self.shared), Some(peer), clock),
                None => engine.on_operator(Secure::plain(end), clock),
            };
            if let Some(key) = key {
                net.borrow_mut().watch(id, key);
            }
        }
        engine.turn(clock);
        while let Some(request) = engine.poll_request() {
            match request {
                Request::Dial { dial_for, address } => outcome.dials.push((dial_for, address)),
                Request::Ask { link, address } => {
                    // The simulator cannot ask silent siblings. tests/silence.rs has these cases.
                    engine.on_ask_dialled(link, address, Err("no dial".to_owned()), clock);
                }
                Request::Resolve { dial_for, host, port } => outcome.lookups.push((dial_for, host, port)),
                Request::Reload { operator } => engine.answer_operator(operator, "error no users file\n"),
                Request::Measure { asked_by } => engine.on_measured(asked_by, &ProcessFigures::default(), clock),
                Request::Shutdown => engine.begin_shutdown(clock),
            }
        }
        outcome.is_shut_down = engine.is_shut_down();
        engine.assert_invariants();
        let deadline = engine.next_deadline().map(|when| self.started_ms + when.0.max(clock.0));
        let soon = engine.wants_turn().then_some(now);
        outcome.again_at = [outcome.again_at, deadline, soon].into_iter().flatten().min();
        outcome.links_changed = self.note_links(net);
        outcome
    }

    /// Compares the links with what they were, and returns the hosts to which they changed.
    fn note_links(&mut self, net: &SharedNet) -> Vec<usize> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let net = net.borrow();
        let far = |key: Key| {
            let id = engine.connections().get(key)?.socket.inner().id;
            match net.end(id.other()).owner {
                Owner::Host(host) => Some((host, id.pipe)),
                Owner::Foreigner(_) | Owner::Liar(_) => None,
                Owner::Person(_) => panic!("only servers are siblings"),
            }
        };
        let links: BTreeMap<usize, usize> = engine.core().mesh.links().filter_map(|(_, key)| far(key)).collect();
        let changed = |host: &usize| self.links.get(host) != links.get(host);
        let all: std::collections::BTreeSet<usize> = self.links.keys().chain(links.keys()).copied().collect();
        let changed = all.into_iter().filter(changed).collect();
        self.links = links;
        changed
    }
}
