//! Servers that are not ours: one that knows only the RFC, and one that follows the decisions but does no more than it must.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddrV4;

use cfp::core::engine::socket::{Received, Socket};
use cfp::limits::{DESCRIPTIONS_MAX, FORGET_MS, LINK_KEEPALIVE, NETWORK_MAX_SERVERS, ROUTED_DESCRIPTIONS_MAX};
use cfp::wire::{
    DeclineReason, Description, Descriptions, ErrorReason, FrameLimits, Neighbours, Packet, RelayHeader, Scan,
    ServerId, scan,
};

use super::dice::Dice;
use super::pipes::PipeEnd;
use super::plan::ForeignerPlan;

/// A server of another make.
#[derive(Debug)]
pub struct Foreigner {
    pub plan: ForeignerPlan,
    pub lines: Vec<Line>,
    /// Servers that it was told of, and since when it has no link to them.
    known: BTreeMap<ServerId, (SocketAddrV4, u64)>,
    /// Public messages that it got, each once.
    got: BTreeSet<usize>,
    /// It has something planned.
    pub is_awake: bool,
    /// The version of its links, and the number of its last packet, if it is routed.
    numbers: (u32, u32),
}

/// A connection with a server.
#[derive(Debug)]
pub struct Line {
    pub end: Option<PipeEnd>,
    /// The address at which it was dialled.
    dialled: Option<SocketAddrV4>,
    state: State,
    /// What its request said.
    told: Vec<u8>,
    /// Packets without a receiver, and the ERRORs that came back.
    pub failed: usize,
    pub errors: usize,
    input: Vec<u8>,
    out: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Linked(ServerId),
    /// It gave way to another connection. What came behind that means nothing.
    Over,
}

impl Line {
    pub fn server(&self) -> Option<ServerId> {
        match self.state {
            State::Linked(server) if self.end.is_some() => Some(server),
            _ => None,
        }
    }

    pub fn pipe(&self) -> Option<usize> {
        self.end.as_ref().map(|end| end.id.pipe)
    }

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
                Ok(_) | Err(_) => self.end = None,
            }
        }
    }
}

impl Foreigner {
    pub fn new(plan: ForeignerPlan) -> Foreigner {
        let (lines, known, got) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Foreigner { plan, lines, known, got, is_awake: false, numbers: (0, 0) }
    }

    fn link(&self, server: ServerId) -> Option<usize> {
        self.lines.iter().position(|line| line.server() == Some(server))
    }

    /// The servers that it is linked with and can describe.
    fn siblings(&self) -> BTreeMap<ServerId, SocketAddrV4> {
        let linked = self.lines.iter().filter_map(|line| Some((line.server()?, line.dialled)));
        linked.filter_map(|(id, dialled)| Some((id, self.known.get(&id).map(|known| known.0).or(dialled)?))).collect()
    }

    /// Itself, if it does so and the other side does too, and its siblings, without `receiver`.
    fn list(&self, with_self: bool, receiver: Option<ServerId>) -> Vec<u8> {
        let own = with_self.then_some((self.plan.id, self.plan.address));
        // Twice is the mark of a routed server (D25).
        let own = own.into_iter().chain(own.filter(|_| self.plan.is_routed));
        let mut siblings = self.siblings();
        siblings.retain(|&id, _| Some(id) != receiver);
        let mut bytes = Vec::new();
        for (id, address) in own.chain(siblings) {
            bytes.extend_from_slice(&id.0.to_be_bytes());
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&u32::from(address.port()).to_be_bytes());
        }
        bytes
    }

    /// The servers that it would dial now: those that it was told to merge with, and those that it has heard of.
    pub fn wants_to_dial(&mut self, asked: Option<SocketAddrV4>, now: u64) -> Vec<SocketAddrV4> {
        self.lines.retain(|line| line.end.is_some());
        let linked: BTreeSet<ServerId> = self.lines.iter().filter_map(Line::server).collect();
        self.known.retain(|id, (_, since)| linked.contains(id) || now - *since < FORGET_MS);
        let heard = self.known.iter().filter(|(id, _)| !linked.contains(id)).map(|(_, &(address, _))| address);
        let mut wanted: BTreeSet<SocketAddrV4> = heard.collect();
        wanted.extend(asked.filter(|_| linked.is_empty() || !self.plan.describes));
        let siblings: BTreeSet<SocketAddrV4> = self.siblings().into_values().collect();
        let is_dialled = |address: &SocketAddrV4| self.lines.iter().any(|line| line.dialled == Some(*address));
        wanted.retain(|address| !siblings.contains(address) && !is_dialled(address));
        wanted.into_iter().collect()
    }

    /// Whether it has heard of a server that it is not linked with yet.
    pub fn is_waiting(&self) -> bool {
        self.known.keys().any(|&id| self.link(id).is_none())
    }

    /// A connection that it dialled, to `address`, or accepted.
    pub fn add_line(&mut self, end: PipeEnd, dialled: Option<SocketAddrV4>) {
        let state = if dialled.is_some() { State::Asked } else { State::New };
        let (input, out) = (Vec::new(), Vec::new());
        let mut line = Line { end: Some(end), dialled, state, told: Vec::new(), failed: 0, errors: 0, input, out };
        if dialled.is_some() {
            let list = self.list(self.plan.describes, None);
            let siblings = Descriptions::new(&list).expect("whole descriptions");
            line.say(&Packet::MrgReq { server: self.plan.id, siblings });
            line.told = list;
        }
        self.lines.push(line);
    }

    /// Reads and writes what can be.
    pub fn run(&mut self, now: u64) {
        for place in 0..self.lines.len() {
            self.lines[place].flush();
            self.lines[place].fill();
            let input = std::mem::take(&mut self.lines[place].input);
            let mut rest = input.as_slice();
            let is_routed = self.plan.is_routed;
            let limits = FrameLimits {
                message_max_bytes: 1 << 20,
                descriptions_max: if is_routed { ROUTED_DESCRIPTIONS_MAX } else { DESCRIPTIONS_MAX },
                has_routed_codes: is_routed,
            };
            while let Scan::Packet { len } = scan(rest, &limits) {
                let packet = Packet::decode(&rest[..len]).expect("what a server sends is sound");
                self.on_packet(place, &packet, now);
                rest = &rest[len..];
            }
            let is_begun = rest.is_empty() || matches!(scan(rest, &limits), Scan::Incomplete { .. });
            assert!(is_begun, "{} was sent {rest:?}", self.plan.id);
            self.lines[place].input = rest.to_vec();
        }
        for line in &mut self.lines {
            line.flush();
        }
    }

    fn on_packet(&mut self, place: usize, packet: &Packet<'_>, now: u64) {
        match (self.lines[place].state, *packet) {
            (State::New, Packet::MrgReq { server, siblings }) => self.on_request(place, server, siblings, now),
            (State::Asked, Packet::MrgRsp { server, siblings }) => {
                let has_told_all = self.lines[place].told == self.list(self.plan.describes, Some(server));
                if let Some(other) = self.link(server) {
                    let loser = if self.plan.id > server { other } else { place };
                    self.lines[loser].end = None;
                    if loser == place {
                        self.lines[place].state = State::Over;
                        return;
                    }
                }
                self.link_up(place, server, siblings, now);
                if self.plan.describes && !has_told_all {
                    self.announce(place, server);
                }
            }
            (State::Over, _) => {}
            (State::Asked, Packet::MrgDecl { .. }) => self.lines[place].end = None,
            (State::Linked(server), Packet::MrgReq { server: sender, siblings }) => {
                assert_eq!(server, sender, "a server speaks for itself");
                if self.plan.describes {
                    self.learn(server, siblings, now);
                } else {
                    // To a server that knows only the RFC, this is an ordinary request to merge.
                    self.lines[place].say(&Packet::MrgDecl { reason: DeclineReason::AlreadyMerged });
                }
            }
            (State::Linked(server), Packet::Hello { stamp }) => self.tell_links(place, server, stamp + 1),
            (State::Linked(_), Packet::Links { .. } | Packet::Hold { .. }) if self.plan.is_routed => {}
            (State::Linked(_), Packet::Relay { header, content }) => {
                assert!(header.destination == self.plan.id && header.origin != self.plan.id, "{header:?}");
                self.on_forwarded(place, header.origin, content);
            }
            (State::Linked(server), Packet::PckFwd { destination, content }) => {
                assert_eq!(destination, self.plan.id, "what is forwarded is for the receiver");
                self.on_forwarded(place, server, content);
            }
            (state, packet) => panic!("{}, {state:?}, was sent {packet:?}", self.plan.id),
        }
    }

    fn on_request(&mut self, place: usize, server: ServerId, siblings: Descriptions<'_>, now: u64) {
        let is_asked = |line: &Line| line.state == State::Asked && line.end.is_some();
        let own_address = self.known.get(&server).map(|known| known.0);
        let is_mutual = |line: &Line| is_asked(line) && line.dialled.is_some() && line.dialled == own_address;
        let mut all: BTreeSet<ServerId> = self.lines.iter().filter_map(Line::server).collect();
        all.extend(siblings.iter().map(|other| other.server));
        all.extend([self.plan.id, server]);
        let conflicts = |id, address: SocketAddrV4| {
            id == self.plan.id && address != self.plan.address
                || self.link(id).is_some() && self.known.get(&id).is_some_and(|known| known.0 != address)
        };
        let address = |port: u32, ip| SocketAddrV4::new(ip, port as u16);
        let reason = if siblings.iter().any(|other| conflicts(other.server, address(other.port, other.address))) {
            Some(DeclineReason::IdConflict)
        } else if self.link(server).is_some() {
            Some(DeclineReason::AlreadyMerged)
        } else if all.len() > NETWORK_MAX_SERVERS {
            Some(DeclineReason::ServerLimit)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.lines[place].say(&Packet::MrgDecl { reason });
            self.lines[place].flush();
            self.lines[place].end = None;
        } else if self.plan.id > server && self.lines.iter().any(is_mutual) {
            self.lines[place].end = None;
        } else {
            for line in self.lines.iter_mut().filter(|line| is_mutual(line)) {
                line.end = None;
            }
            let list = self.list(true, Some(server));
            let described = Descriptions::new(&list).expect("whole descriptions");
            self.lines[place].say(&Packet::MrgRsp { server: self.plan.id, siblings: described });
            self.link_up(place, server, siblings, now);
        }
    }

    fn link_up(&mut self, place: usize, server: ServerId, siblings: Descriptions<'_>, now: u64) {
        self.lines[place].state = State::Linked(server);
        if let Some(end) = &mut self.lines[place].end {
            end.set_keepalive(LINK_KEEPALIVE);
        }
        if self.plan.is_routed {
            self.lines[place].say(&Packet::Hello { stamp: 0 });
            return;
        }
        if !self.plan.describes {
            return;
        }
        self.learn(server, siblings, now);
        for other in 0..self.lines.len() {
            if let Some(id) = self.lines[other].server().filter(|_| other != place) {
                self.announce(other, id);
            }
        }
    }

    fn announce(&mut self, place: usize, to: ServerId) {
        let list = self.list(true, Some(to));
        let siblings = Descriptions::new(&list).expect("whole descriptions");
        self.lines[place].say(&Packet::MrgReq { server: self.plan.id, siblings });
    }

    fn learn(&mut self, from: ServerId, siblings: Descriptions<'_>, now: u64) {
        for other in siblings.iter().filter(|other| other.server != self.plan.id) {
            let is_its_own = other.server == from;
            let is_room = self.known.len() + 1 < NETWORK_MAX_SERVERS;
            let address = SocketAddrV4::new(other.address, other.port as u16);
            match self.known.get_mut(&other.server) {
                Some(known) if is_its_own => *known = (address, now),
                Some(_) => {}
                None if is_room || is_its_own => drop(self.known.insert(other.server, (address, now))),
                None => {}
            }
        }
    }

    fn on_forwarded(&mut self, place: usize, from: ServerId, content: &[u8]) {
        match Packet::decode(content).expect("what is forwarded is sound") {
            Packet::MsgPblInc { origin, message, .. } => {
                assert_eq!(origin, from, "an origin is true");
                let number = message.strip_prefix('#').and_then(|rest| rest.split('#').next()?.parse().ok());
                if let Some(number) = number {
                    assert!(self.got.insert(number), "S5: #{number} arrives twice at {}", self.plan.id);
                }
            }
            Packet::Error { sender, reason } => {
                assert!(sender == "f" && (reason == ErrorReason::UnknownReceiver || self.plan.is_routed));
                self.lines[place].errors += 1;
            }
            other => panic!("{} was forwarded {other:?}", self.plan.id),
        }
    }

    /// Says that it has this one link.
    fn tell_links(&mut self, place: usize, server: ServerId, stamp: u32) {
        self.numbers.0 += 1;
        let list = [server.0.to_be_bytes(), stamp.to_be_bytes()].concat();
        let (address, port) = (*self.plan.address.ip(), self.plan.address.port().into());
        self.lines[place].say(&Packet::Links {
            server: Description { server: self.plan.id, address, port },
            incarnation: 5_000_000,
            version: self.numbers.0,
            neighbours: Neighbours::new(&list).expect("whole entries"),
        });
    }

    /// Sends a packet through a routed network: its own, or in the name of another server, which reaches nobody (R8).
    pub fn forge(&mut self, overheard: Option<(usize, String, ServerId)>, others: &[ServerId], dice: &mut Dice) {
        let Some(place) = (0..self.lines.len()).find(|&place| self.lines[place].server().is_some()) else { return };
        let own = self.plan.id;
        let Some(server) = self.lines[place].server() else { return };
        self.numbers.1 += 1;
        let mut content = Vec::new();
        let mut header =
            RelayHeader { destination: server, origin: own, incarnation: 5_000_000, number: self.numbers.1 };
        let choice = dice.below(6);
        match choice {
            0 => Packet::MsgPblInc { origin: own, sender: "f", message: "from afar" }.encode(&mut content),
            1 => {
                header.destination = dice.pick(others).copied().unwrap_or(server);
                Packet::MsgPrvInc { origin: own, sender: "f", receiver: "ghost", message: "boo" }.encode(&mut content);
            }
            2 => self.lines[place]
                .say(&Packet::Hold { server: dice.pick(others).copied().unwrap_or(own), is_held: true }),
            _ => {
                let Some((number, sender, origin)) = overheard else { return };
                let message = &format!("#{number}#");
                Packet::MsgPblInc { origin, sender: &sender, message }.encode(&mut content);
                if choice > 3 {
                    // As if that server were behind it, with numbers that nobody has used yet.
                    (header.origin, header.incarnation) = (origin, 9_000_000);
                }
            }
        }
        if !content.is_empty() {
            self.lines[place].say(&Packet::Relay { header, content: &content });
        }
        self.lines[place].flush();
    }

    /// Sends a packet on a link, sound or not. `overheard` is a public message of another client: number, sender,
    /// origin.
    pub fn talk(&mut self, overheard: Option<(usize, String, ServerId)>, dice: &mut Dice) {
        let own = self.plan.id;
        let linked: Vec<usize> = (0..self.lines.len()).filter(|&place| self.lines[place].server().is_some()).collect();
        let Some(&place) = dice.pick(&linked) else { return };
        let line = &mut self.lines[place];
        let Some(server) = line.server().filter(|_| line.out.len() < 10_000) else { return };
        let mut content = Vec::new();
        let mut destination = server;
        match dice.below(7) {
            0 => Packet::MsgPblInc { origin: own, sender: "f", message: "from afar" }.encode(&mut content),
            1 | 2 => {
                Packet::MsgPrvInc { origin: own, sender: "f", receiver: "ghost", message: "boo" }.encode(&mut content);
                line.failed += 1;
            }
            // It speaks for another server's client.
            3 | 4 => {
                let Some((number, sender, origin)) = overheard else { return };
                let message = &format!("#{number}#");
                Packet::MsgPblInc { origin, sender: &sender, message }.encode(&mut content);
            }
            5 => {
                Packet::MsgPblInc { origin: own, sender: "f", message: "astray" }.encode(&mut content);
                destination = ServerId(own.0 + 1000);
            }
            _ => {
                line.say(&Packet::MrgReq { server: ServerId(own.0 + 1000), siblings: Descriptions::default() });
                line.say(&Packet::MrgDecl { reason: DeclineReason::IdConflict });
                line.say(&Packet::AuthGst { nickname: "f" });
            }
        }
        if !content.is_empty() {
            line.say(&Packet::PckFwd { destination, content: &content });
        }
    }
}
