//! Connections between servers: dialled, refused, cut, silent.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use cfp::core::engine::secure::Secure;
use cfp::core::state::mesh::DialFor;

use super::host::{Arrived, Host};
use super::ledger::LinkState;
use super::pipes::{EndId, Later, Owner, make_pipe};
use super::plan::{self, Kind};
use super::toy::Toy;
use super::world::{Event, REUNION_MS, World, pair};

/// Bytes of the request of a server that is alone and describes itself: shorter is none.
const REQUEST_MIN_BYTES: u64 = 1 + 4 + 4 + 12;

impl World {
    fn server_at(&self, address: SocketAddrV4) -> Option<Owner> {
        let has_it =
            |host: &&Host| [plan::address, plan::alias].iter().any(|of| of(host.number, host.moved) == address);
        let host = self.hosts.iter().find(has_it).map(|host| Owner::Host(host.number));
        let foreigner =
            || self.foreigners.iter().position(|other| other.plan.describes && other.plan.address == address);
        let liar = || self.liars.iter().position(|liar| liar.plan.address == address);
        host.or_else(|| foreigner().map(Owner::Foreigner)).or_else(|| liar().map(Owner::Liar))
    }

    pub fn address(&self, host: usize) -> SocketAddrV4 {
        plan::address(host, self.hosts[host].moved)
    }

    pub fn dial(&mut self, number: usize, dial_for: DialFor, address: SocketAddr) {
        self.trace(|_| format!("{number} dials {address} for {dial_for:?}"));
        let clock = self.hosts[number].clock(self.now);
        let SocketAddr::V4(to) = address else { unreachable!("there are no others") };
        self.check_dial(number, to);
        let far = self.server_at(to);
        if far.is_none() && self.dice.chance(300) || self.is_over && self.dice.chance(500) {
            if let Some(engine) = &mut self.hosts[number].engine {
                engine.on_dialled(dial_for, address, Err("no route".to_owned()), clock);
            }
        } else {
            let near = Owner::Host(number);
            let (near_end, far_end) = make_pipe(&self.net, [near, far.unwrap_or(near)]);
            let id = near_end.id;
            let Host { engine: Some(engine), shared, .. } = &mut self.hosts[number] else { return };
            // Some links between our own are encrypted, with a toy.
            let socket = match far {
                Some(Owner::Host(_)) if id.pipe % 3 == 0 => Secure::dialled(near_end, shared, Toy::new(true)),
                _ => Secure::plain(near_end),
            };
            if let Some(key) = engine.on_dialled(dial_for, address, Ok(socket), clock) {
                self.net.borrow_mut().watch(id, key);
            }
            let peer = SocketAddr::new((*self.address(number).ip()).into(), 30_000 + (id.pipe % 30_000) as u16);
            self.asking.insert(id.pipe);
            self.dialled.insert(id.pipe, (far_end, far, Some(peer)));
            let delay = self.latency();
            self.after(delay, Event::Arrive(id.pipe));
        }
        self.wake(number, 0);
    }

    pub fn on_arrive(&mut self, pipe: usize) {
        let Some((end, far, peer)) = self.dialled.remove(&pipe) else { return };
        let near = EndId { pipe, side: 0 };
        let from = self.net.borrow().end(near).owner;
        if self.is_cut(from, far) || !self.net.borrow().is_end_open(near) {
            return;
        }
        let is_listening = match far {
            Some(Owner::Host(host)) => self.hosts[host].engine.is_some(),
            Some(Owner::Foreigner(_) | Owner::Liar(_)) => true,
            Some(Owner::Person(_)) | None => false,
        };
        if self.is_over || !is_listening {
            self.net.borrow_mut().break_end(near, ErrorKind::ConnectionRefused);
            return;
        }
        self.net.borrow_mut().connect(pipe);
        match far {
            Some(Owner::Host(host)) => {
                self.hosts[host].arrived.push_back(Arrived { end, peer });
                self.wake(host, 0);
            }
            Some(Owner::Foreigner(foreigner)) => {
                self.foreigners[foreigner].add_line(end, None);
                self.wake_foreigner(foreigner);
            }
            Some(Owner::Liar(liar)) => self.meet_liar(liar, end, from),
            Some(Owner::Person(_)) | None => {}
        }
    }

    /// How two hosts are linked.
    pub fn direct(&self, near: usize, far: usize) -> LinkState {
        let epoch = self.epochs.get(&pair(near, far)).copied().unwrap_or(0);
        let (a, b) = (self.hosts[near].links.get(&far), self.hosts[far].links.get(&near));
        LinkState { epoch, near_up: a.is_some(), knows_id: a.is_some(), both_up: a.is_some() && a == b, upsets: None }
    }

    /// Whether two servers agree that they are linked. Without faults, they go on agreeing.
    pub fn note_joint(&mut self, near: usize, far: usize) {
        let (a, b) = pair(near, far);
        let lives = (a, self.hosts[a].incarnation, b, self.hosts[b].incarnation);
        if self.direct(a, b).both_up {
            self.joint.insert((a, b), self.hosts[a].links[&b]);
            self.parted.remove(&lives);
            if let Some(since) = self.broken_since.remove(&lives) {
                let gone_ms = self.now - since;
                assert!(gone_ms <= REUNION_MS, "S9: {a} and {b} were not linked for {gone_ms} ms");
            }
            self.were_linked.insert(lives);
            self.count("links");
        } else if self.joint.remove(&(a, b)).is_some() {
            let is_contested = self.is_contested(a, b);
            if is_contested {
                self.parted.insert(lives);
            }
            if self.plan.kind == Kind::Lies && !self.is_chaos && !self.is_over {
                self.count("honest links that broke");
                // One that has come back meanwhile was not linked in this life.
                let is_sure = !is_contested && !self.is_squatted(a) && !self.is_squatted(b);
                if is_sure && self.were_linked.contains(&lives) {
                    self.broken_since.insert(lives, self.now);
                }
            }
            assert!(!self.plan.is_calm || self.is_over, "the link of {a} and {b} breaks, and nothing went wrong");
        }
    }

    fn is_cut(&self, from: Owner, to: Option<Owner>) -> bool {
        matches!((from, to), (Owner::Host(from), Some(Owner::Host(to))) if self.cuts.contains(&pair(from, to)))
    }

    /// A server of another make does something.
    pub fn act_foreigner(&mut self, number: usize) {
        self.foreigners[number].is_awake = false;
        if self.is_over {
            return;
        }
        let asked = self.dice.pick(&self.foreigners[number].plan.asks).copied().filter(|_| self.is_chaos);
        let asked = asked.map(|host| self.address(host));
        let now = self.now;
        for address in self.foreigners[number].wants_to_dial(asked, now) {
            let Some(Owner::Host(host)) = self.server_at(address) else { continue };
            let (near, far) = make_pipe(&self.net, [Owner::Foreigner(number), Owner::Host(host)]);
            let pipe = near.id.pipe;
            self.trace(|_| format!("foreigner {number} dials {host} over {pipe}"));
            self.foreigners[number].add_line(near, Some(address));
            let own = SocketAddr::V4(self.foreigners[number].plan.address);
            self.dialled.insert(pipe, (far, Some(Owner::Host(host)), Some(own)));
            let delay = self.latency();
            self.after(delay, Event::Arrive(pipe));
        }
        if self.is_chaos {
            let overheard = self.ledger.overhear(&mut self.dice);
            let overheard = overheard
                .map(|(item, by)| (item, super::people::Person::nickname(by), self.hosts[self.people[by].host].id));
            if self.foreigners[number].plan.is_routed {
                let others: Vec<_> = self.hosts.iter().map(|host| host.id).collect();
                self.foreigners[number].forge(overheard, &others, &mut self.dice);
            } else {
                self.foreigners[number].talk(overheard, &mut self.dice);
            }
        }
        self.wake_foreigner(number);
    }

    /// A server of another make looks at its connections.
    pub fn wake_foreigner(&mut self, number: usize) {
        let owner = Owner::Foreigner(number);
        let ready = self.net.borrow_mut().take_ready(owner);
        for id in ready {
            self.net.borrow_mut().take_edge(id);
        }
        let now = self.now;
        let foreigner = &mut self.foreigners[number];
        foreigner.run(now);
        if !self.is_over && !foreigner.is_awake && (self.is_chaos || foreigner.is_waiting()) {
            foreigner.is_awake = true;
            let delay = self.dice.between(100, 3000);
            self.after(delay, Event::Foreign(number));
        }
    }

    /// Two servers have asked each other, and neither has answered yet (D18).
    pub fn note_collisions(&mut self) {
        let net = self.net.borrow();
        let is_open = |pipe| [0, 1].iter().all(|&side| net.is_end_open(EndId { pipe, side }));
        self.asking.retain(|&pipe| is_open(pipe) && net.pipes[pipe].ends[1].written_bytes == 0);
        let has_asked = |pipe: &&usize| net.pipes[**pipe].ends[0].written_bytes >= REQUEST_MIN_BYTES;
        let owners = |pipe: usize| [0, 1].map(|side| net.pipes[pipe].ends[side].owner);
        let mut asked = BTreeMap::new();
        let mut collisions = Vec::new();
        for &pipe in self.asking.iter().filter(has_asked) {
            let [from, to] = owners(pipe);
            if let Some(&other) = asked.get(&[to, from]) {
                collisions.push([pipe, other]);
            }
            asked.insert([from, to], pipe);
        }
        drop(net);
        for collision in collisions {
            if self.collided.insert(collision[0]) | self.collided.insert(collision[1]) {
                self.trace(|_| format!("pipes {collision:?} collide"));
                self.count("collisions");
            }
        }
    }

    pub fn on_resolved(&mut self, number: usize, incarnation: u32, dial_for: DialFor, name: &str, port: u16) {
        let found = name.strip_prefix('s').and_then(|number| number.parse::<usize>().ok());
        let addresses = match found.filter(|_| !self.dice.chance(50)) {
            Some(found) => Ok(vec![IpAddr::V4(*self.plan.merge_address(found, self.hosts[found].moved).ip())]),
            None => Err("no such name".to_owned()),
        };
        let host = &mut self.hosts[number];
        let clock = host.clock(self.now);
        if let Some(engine) = host.engine.as_mut().filter(|_| host.incarnation == incarnation) {
            engine.on_resolved(dial_for, port, addresses, clock);
            self.wake(number, 0);
        }
    }

    pub fn on_pipe(&mut self, later: Later) {
        match later {
            Later::Deliver(end) => self.net.borrow_mut().deliver(end),
            Later::Space(end) => self.net.borrow_mut().tell_space(end),
            Later::Reset(end) => self.net.borrow_mut().reset(end),
            Later::Patience(end) => {
                let patience_ms = self.net.borrow().patience_ms(end);
                let silent = self.silent_since.get(&end.pipe).is_some_and(|&since| self.now - since >= patience_ms);
                if silent && self.net.borrow().pipes[end.pipe].is_silent {
                    self.net.borrow_mut().break_end(end, ErrorKind::TimedOut);
                }
            }
            Later::Wake(Owner::Person(person)) => self.wake_person(person),
            Later::Wake(Owner::Foreigner(foreigner)) => self.wake_foreigner(foreigner),
            Later::Wake(Owner::Liar(liar)) => self.wake_liar(liar),
            Later::Wake(Owner::Host(host)) => self.wake(host, 0),
        }
    }

    pub fn silence(&mut self, pipe: usize) {
        self.silent_since.insert(pipe, self.now);
        self.net.borrow_mut().silence(pipe);
    }

    /// Pipes between two hosts, or of one host with any other end, that are still held.
    pub fn pipes(&self, is_wanted: impl Fn(Owner, Owner) -> bool) -> Vec<usize> {
        let net = self.net.borrow();
        let wanted = |&pipe: &usize| {
            let ends = &net.pipes[pipe].ends;
            net.is_open(pipe) && is_wanted(ends[0].owner, ends[1].owner)
        };
        (0..net.pipes.len()).filter(wanted).collect()
    }

    /// Two hosts reach each other again.
    pub fn heal(&mut self, a: usize, b: usize) {
        self.trace(|_| format!("{a} and {b} reach each other again"));
        self.cuts.remove(&pair(a, b));
        let owners = [Owner::Host(a), Owner::Host(b)];
        for pipe in self.pipes(|near, far| near != far && owners.contains(&near) && owners.contains(&far)) {
            self.net.borrow_mut().unsilence(pipe);
        }
    }
}
