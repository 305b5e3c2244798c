//! Servers that lie, in every way that their packets allow.
//!
//! A liar asks hosts to merge, and accepts or refuses servers that dial it. It tells each sibling what it likes:
//! servers that do not exist, real ones at false addresses, half of the truth, something else each time. It may call
//! itself what it likes, too. It goes on when the faults have stopped, until the end.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use cfp::core::engine::socket::{Received, Socket};
use cfp::core::state::mesh::ServerStatus;
use cfp::wire::{DeclineReason, Descriptions, FrameLimits, Packet, Scan, ServerId, scan};

use super::dice::Dice;
use super::pipes::{Owner, PipeEnd, make_pipe};
use super::plan::{Kind, PORT};
use super::world::{Event, World};

/// How a liar behaves.
#[derive(Debug, Clone)]
pub struct LiarPlan {
    pub id: ServerId,
    pub address: SocketAddrV4,
    /// Hosts that it asks to merge, and accepts.
    pub friends: BTreeSet<usize>,
    pub refusal: Refusal,
    /// Weights of the entries of its lists, in the order of `World::false_entry`.
    pub weights: [u64; 6],
    /// It leaves out a real sibling so often, in thousand.
    pub omits: u64,
    /// It comes back under another ID so often.
    pub renames: u64,
    /// The host under whose ID it asks now and then, at its own address or the host's.
    pub claims: Option<usize>,
    /// It says that it listens at another server's address.
    pub hides: bool,
    pub interval_ms: u64,
    /// Announcements at a time.
    pub flood: usize,
    pub comes_ms: u64,
    pub leaves_ms: Option<u64>,
}

/// What it does with a host that is none of its friends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Declines(DeclineReason),
    Closes,
    /// An MRGRSP that can't be right.
    Answers,
    Waits,
}

#[derive(Debug)]
pub struct Liar {
    pub plan: LiarPlan,
    lines: Vec<Line>,
    /// Counts the names that it made up.
    made_up: u32,
}

#[derive(Debug)]
struct Line {
    end: Option<PipeEnd>,
    host: usize,
    id: ServerId,
    is_linked: bool,
    is_asked: bool,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl LiarPlan {
    /// One of up to two, in a world of so many hosts.
    pub fn draw(number: u8, hosts: usize, dice: &mut Dice) -> LiarPlan {
        // Below every host's ID, between them, or above.
        let id = ServerId(*dice.pick(&[0, 2, 500]).unwrap_or(&0) + 20 * u32::from(number) * 100);
        let friends = (0..hosts).filter(|_| dice.chance(700)).collect();
        let declines = [DeclineReason::AlreadyMerged, DeclineReason::ServerLimit, DeclineReason::IdConflict];
        let refusal = match dice.below(6) {
            0 => Refusal::Closes,
            1 => Refusal::Answers,
            2 => Refusal::Waits,
            place => Refusal::Declines(declines[place - 3]),
        };
        let mut weights = [0; 6];
        for weight in &mut weights {
            *weight = if dice.chance(400) { 0 } else { dice.between(1, 20) };
        }
        LiarPlan {
            id: if id.0 == 0 && number > 0 { ServerId(1 + u32::from(number)) } else { id },
            address: SocketAddrV4::new(Ipv4Addr::new(10, 0, 201, number + 1), PORT),
            friends,
            refusal,
            weights,
            omits: *dice.pick(&[0, 200, 1000]).unwrap_or(&0),
            renames: if dice.chance(200) { 100 } else { 0 },
            claims: if dice.chance(200) { Some(dice.below(hosts)) } else { None },
            hides: dice.chance(150),
            interval_ms: dice.between(500, 15_000),
            flood: if dice.chance(200) { 30 } else { 1 },
            comes_ms: if dice.chance(500) { 0 } else { dice.between(0, 20_000) },
            leaves_ms: if dice.chance(200) { Some(dice.between(10_000, 200_000)) } else { None },
        }
    }
}

impl Line {
    fn say(&mut self, packet: &Packet<'_>) {
        packet.encode(&mut self.out);
    }

    fn flush(&mut self) {
        while !self.out.is_empty()
            && let Some(end) = &mut self.end
        {
            match end.write(&self.out) {
                Ok(sent) => drop(self.out.drain(..sent.bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = None,
            }
        }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(end) = &mut self.end {
            match end.read(&mut buffer) {
                Ok(Received::Bytes { count, .. }) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(Received::End | Received::Handshake { .. }) | Err(_) => self.end = None,
            }
        }
    }
}

impl Liar {
    pub fn new(plan: LiarPlan) -> Liar {
        Liar { plan, lines: Vec::new(), made_up: 0 }
    }

    fn has_left(&self, now: u64) -> bool {
        self.plan.leaves_ms.is_some_and(|at| now >= at)
    }

    pub fn hang_up(&mut self) {
        self.lines.clear();
    }
}

fn described(entries: &[(u32, Ipv4Addr, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(id, ip, port) in entries.iter().take(10) {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&ip.octets());
        bytes.extend_from_slice(&port.to_be_bytes());
    }
    bytes
}

impl World {
    /// A connection of another host to a liar.
    pub fn meet_liar(&mut self, number: usize, end: PipeEnd, from: Owner) {
        let Owner::Host(host) = from else { return };
        let id = self.liars[number].plan.id;
        let (input, out) = (Vec::new(), Vec::new());
        self.liars[number].lines.push(Line { end: Some(end), host, id, is_linked: false, is_asked: false, input, out });
        self.wake_liar(number);
    }

    /// A liar does something, and will again.
    pub fn act_liar(&mut self, number: usize) {
        if self.is_over {
            return;
        }
        if self.liars[number].has_left(self.now) {
            self.trace(|_| format!("liar {number} has left for good"));
            self.liars[number].hang_up();
            self.collect();
            return;
        }
        let plan = self.liars[number].plan.clone();
        let delay = self.dice.between(plan.interval_ms / 2, plan.interval_ms);
        self.after(delay, Event::Lie(number));
        self.liars[number].lines.retain(|line| line.end.is_some());
        if self.dice.chance(plan.renames) {
            let place = self.dice.below(self.liars[number].lines.len());
            if let Some(line) = self.liars[number].lines.get_mut(place) {
                line.end = None;
            }
            self.liars[number].made_up += 1;
            self.liars[number].plan.id = ServerId(5_000 + self.liars[number].made_up);
        }
        for host in plan.friends.clone() {
            if !self.liars[number].lines.iter().any(|line| line.host == host && line.end.is_some()) {
                let id = self.liars[number].plan.id;
                self.dial_as_liar(number, host, id, None);
            }
        }
        // In the name of a host: to another one.
        if let Some(claimed) = plan.claims.filter(|_| self.dice.chance(500)) {
            let host = self.dice.below(self.hosts.len());
            if host != claimed {
                let address = if self.dice.chance(500) { self.address(claimed) } else { plan.address };
                self.dial_as_liar(number, host, self.hosts[claimed].id, Some(address));
            }
        }
        for _ in 0..plan.flood {
            for place in 0..self.liars[number].lines.len() {
                let line = &self.liars[number].lines[place];
                if line.is_linked && line.end.is_some() && line.out.len() < 20_000 {
                    let (id, host) = (line.id, line.host);
                    let list = self.false_list(number, host, id, None);
                    let siblings = Descriptions::new(&list).expect("whole descriptions");
                    let line = &mut self.liars[number].lines[place];
                    if self.dice.chance(800) {
                        line.say(&Packet::MrgReq { server: id, siblings });
                    } else {
                        line.say(&Packet::MrgRsp { server: id, siblings });
                    }
                    self.count("lies");
                }
            }
        }
        self.wake_liar(number);
    }

    fn dial_as_liar(&mut self, number: usize, host: usize, id: ServerId, address: Option<SocketAddrV4>) {
        let (near, far) = make_pipe(&self.net, [Owner::Liar(number), Owner::Host(host)]);
        let pipe = near.id.pipe;
        self.trace(|_| format!("liar {number} dials {host} as {id} over {pipe}"));
        let list = self.false_list(number, host, id, address);
        let (input, out) = (Vec::new(), Vec::new());
        let mut line = Line { end: Some(near), host, id, is_linked: false, is_asked: true, input, out };
        line.say(&Packet::MrgReq { server: id, siblings: Descriptions::new(&list).expect("whole descriptions") });
        self.liars[number].lines.push(line);
        let own = SocketAddr::V4(self.liars[number].plan.address);
        self.dialled.insert(pipe, (far, Some(Owner::Host(host)), Some(own)));
        let delay = self.latency();
        self.after(delay, Event::Arrive(pipe));
    }

    pub fn wake_liar(&mut self, number: usize) {
        let ready = self.net.borrow_mut().take_ready(Owner::Liar(number));
        for id in ready {
            self.net.borrow_mut().take_edge(id);
        }
        for place in 0..self.liars[number].lines.len() {
            let line = &mut self.liars[number].lines[place];
            line.flush();
            line.fill();
            let input = std::mem::take(&mut line.input);
            let mut rest = input.as_slice();
            while let Scan::Packet { len } =
                scan(rest, &FrameLimits { message_max_bytes: 1 << 20, ..FrameLimits::DEFAULT })
            {
                let packet = Packet::decode(&rest[..len]).expect("what a server sends is sound");
                self.tell_liar(number, place, &packet);
                rest = &rest[len..];
            }
            let line = &mut self.liars[number].lines[place];
            line.input = rest.to_vec();
            line.flush();
        }
        self.collect();
    }

    fn tell_liar(&mut self, number: usize, place: usize, packet: &Packet<'_>) {
        let line = &self.liars[number].lines[place];
        let (id, host, is_asked) = (line.id, line.host, line.is_asked);
        match *packet {
            Packet::MrgReq { .. } if !line.is_linked && !is_asked => {
                let plan = self.liars[number].plan.clone();
                let list = self.false_list(number, host, id, None);
                let siblings = Descriptions::new(&list).expect("whole descriptions");
                let line = &mut self.liars[number].lines[place];
                match plan.refusal {
                    _ if plan.friends.contains(&host) => {
                        line.say(&Packet::MrgRsp { server: id, siblings });
                        line.is_linked = true;
                    }
                    Refusal::Declines(reason) => line.say(&Packet::MrgDecl { reason }),
                    Refusal::Closes => line.end = None,
                    Refusal::Answers => line.say(&Packet::MrgRsp { server: self.hosts[host].id, siblings }),
                    Refusal::Waits => {}
                }
            }
            Packet::MrgRsp { .. } if is_asked => self.liars[number].lines[place].is_linked = true,
            Packet::MrgDecl { .. } => self.liars[number].lines[place].end = None,
            _ => {}
        }
    }

    /// What a liar tells this host of itself and others, under this ID.
    fn false_list(&mut self, number: usize, host: usize, id: ServerId, address: Option<SocketAddrV4>) -> Vec<u8> {
        let plan = self.liars[number].plan.clone();
        let victim = SocketAddrV4::new(Ipv4Addr::new(10, 8, 0, number as u8 + 1), PORT);
        let own = address.unwrap_or(if plan.hides { victim } else { plan.address });
        let mut entries = vec![(id.0, *own.ip(), u32::from(own.port()))];
        let linked: Vec<usize> = self.liars[number].lines.iter().filter(|l| l.is_linked).map(|l| l.host).collect();
        for other in linked.into_iter().filter(|&other| other != host) {
            if !self.dice.chance(plan.omits) {
                let address = self.address(other);
                entries.push((self.hosts[other].id.0, *address.ip(), u32::from(address.port())));
            }
        }
        for _ in 0..self.dice.below(10) {
            entries.extend(self.false_entry(number, &plan));
        }
        // Only a list that contradicts itself is declined for that alone.
        let mut known = BTreeSet::new();
        entries.retain(|entry| known.insert(entry.0));
        described(&entries)
    }

    fn false_entry(&mut self, number: usize, plan: &LiarPlan) -> Option<(u32, Ipv4Addr, u32)> {
        let total = plan.weights.iter().sum::<u64>();
        let mut drawn = self.dice.below(total.max(1) as usize) as u64;
        let kind = plan.weights.iter().position(|&weight| {
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it
        })?;
        self.liars[number].made_up += 1;
        let made_up = self.liars[number].made_up;
        let host = self.dice.below(self.hosts.len());
        let (real_id, real) = (self.hosts[host].id.0, self.address(host));
        let fake = Ipv4Addr::new(10, 9, (made_up >> 8) as u8, made_up as u8);
        Some(match kind {
            // A server that does not exist: one that it named before, or a new one.
            0 => (800 + made_up % 9, Ipv4Addr::new(10, 9, 0, (made_up % 9) as u8), u32::from(PORT)),
            1 => (10_000 + made_up, fake, u32::from(PORT)),
            // A victim under ever new IDs and ports.
            2 => (10_000 + made_up, Ipv4Addr::new(203, 0, 113, 7), 1 + made_up % 60_000),
            // A real server at another address, at its own, or at the other liar's.
            3 => (real_id, fake, u32::from(PORT)),
            4 if self.dice.chance(500) => (real_id, *real.ip(), u32::from(real.port())),
            4 => {
                let other = &self.liars[self.dice.below(self.liars.len())].plan;
                let claimed = other.claims.map(|host| self.hosts[host].id);
                let id = claimed.filter(|_| made_up.is_multiple_of(2)).unwrap_or(other.id);
                (id.0, *other.address.ip(), u32::from(other.address.port()))
            }
            // Addresses that no server may be made to dial.
            _ => {
                let places = [
                    ([127, 0, 0, 1], 22),
                    ([192, 168, 1, 5], 80),
                    ([172, 16, 0, 9], 80),
                    ([169, 254, 169, 254], 80),
                    ([224, 0, 0, 1], 7777),
                    ([255, 255, 255, 255], 7777),
                    ([0, 0, 0, 0], 7777),
                    ([10, 9, 9, 9], 0),
                    ([10, 9, 9, 9], 70_000),
                ];
                let &(ip, port) = self.dice.pick(&places)?;
                (20_000 + made_up, ip.into(), port)
            }
        })
    }

    /// Whether a liar may have the host's ID in most of the network before the host comes. Which of the two has it then is
    /// a race like any other (D52), so links of such a host may be closed.
    pub fn is_squatted(&self, host: usize) -> bool {
        self.plan.liars.iter().any(|liar| liar.claims == Some(host) || liar.id == self.plan.hosts[host].id)
    }

    /// Whether an ID that a liar has taken parts these two. Then two servers claim it, and the network parts between those
    /// that hold the one and the other, as after any race over an ID (D52). Either a host of that ID is linked, too; or two
    /// hosts are alone, and each holds a liar under that ID, at two addresses: two against two.
    pub fn is_contested(&self, a: usize, b: usize) -> bool {
        let liar_at = |host: usize, claimed: usize| {
            let mesh = &self.hosts[host].engine.as_ref()?.core().mesh;
            let is_it = |server: &ServerStatus| server.id == self.hosts[claimed].id && server.link.is_some();
            let linked = mesh.servers().find(is_it)?;
            (!self.hosts[host].links.contains_key(&claimed)).then_some(linked.address)
        };
        let are_alone =
            [(a, b), (b, a)].iter().all(|(near, far)| self.hosts[*near].links.keys().all(|host| host == far));
        let parts = |claimed: usize| match (liar_at(a, claimed), liar_at(b, claimed)) {
            (Some(there), Some(here)) => are_alone && there != here,
            (None, None) => false,
            _ => !self.hosts[claimed].links.is_empty(),
        };
        (0..self.hosts.len()).any(|claimed| self.is_squatted(claimed) && parts(claimed))
    }

    /// No address is dialled where no sibling can be.
    pub fn check_dial(&mut self, host: usize, to: SocketAddrV4) {
        if self.plan.kind != Kind::Lies {
            return;
        }
        let [first, second, ..] = to.ip().octets();
        let is_local = first == 127 || first >= 224 || first == 0 || (first, second) == (192, 168);
        let is_local = is_local || (first, second) == (169, 254) || (first == 172 && second & 0xf0 == 16);
        assert!(!is_local, "S9: {host} dials {to}");
        if matches!(to.ip().octets(), [10, 8 | 9, ..] | [203, ..]) {
            self.count("dials to strangers");
            let times = self.stranger_dials.entry((host, self.hosts[host].incarnation, to)).or_default();
            times.push(self.now);
            let lately = times.iter().filter(|&&at| self.now - at <= 30_000).count();
            assert!(lately <= 5, "S9: {host} dials {to} {lately} times in 30 s");
            // Three soon, then one in one to two minutes (D51), and one now and then for its former place (D54).
            let allowed = 6 + (self.now - times[0]) / 30_000;
            assert!(times.len() as u64 <= allowed, "S9: {host} dials {to} {} times of {allowed}", times.len());
        }
    }
}
