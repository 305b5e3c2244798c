//! What a seed decides before anything happens: the servers, the merges that will be asked for, the fault rates.

use std::net::{Ipv4Addr, SocketAddrV4};

use cfp::core::state::mesh::HostPort;
use cfp::limits::{LINK_QUEUE_MAX_BYTES, NETWORK_MAX_SERVERS};
use cfp::wire::ServerId;

use super::dice::Dice;
use super::liars::LiarPlan;

pub const PORT: u16 = 7777;

/// What kind of a world it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All that is asked to merge fits together.
    Fits,
    /// Merges are asked for that do not fit together: too many servers, or one ID twice.
    Races,
    /// Two servers that ask each other to merge, perhaps at the same moment, and nothing else.
    Duel,
    /// All that is asked to merge fits together, and one or two siblings lie.
    Lies,
    /// Routed servers: links only where they are asked for, with rings, and perhaps one dense server, or one ID twice.
    Routed,
}

#[derive(Debug)]
pub struct HostPlan {
    pub id: ServerId,
    /// Hosts of one group may merge.
    pub group: usize,
    /// What its `--merge` options name.
    pub merges: Vec<usize>,
    /// The servers whose requests it accepts, if not all of them.
    pub permits: Vec<usize>,
    pub is_routed: bool,
}

/// A server of another make.
#[derive(Debug, Clone)]
pub struct ForeignerPlan {
    pub id: ServerId,
    pub address: SocketAddrV4,
    /// It describes itself, and completes the mesh; else it knows only the RFC.
    pub describes: bool,
    /// It is routed, and sends packets in the name of others.
    pub is_routed: bool,
    /// The hosts that it asks to merge.
    pub asks: Vec<usize>,
}

#[derive(Debug)]
pub struct Plan {
    pub kind: Kind,
    pub hosts: Vec<HostPlan>,
    pub foreigners: Vec<ForeignerPlan>,
    pub liars: Vec<LiarPlan>,
    /// The pairs of servers that an operator may ask to merge.
    pub merges: Vec<(usize, usize)>,
    /// Allow-lists name only the servers that will ask.
    pub is_restricted: bool,
    pub uses_names: bool,
    /// Merges are asked for under addresses that are not the advertised ones, so the dialler does not know which server
    /// it dials.
    pub uses_aliases: bool,
    /// Nothing goes wrong.
    pub is_calm: bool,
    pub may_move: bool,
    pub people: usize,
    pub chaos_ms: u64,
    pub fault_interval_ms: u64,
    /// Weights of the faults, in the order in which `World::fault` lists them.
    pub fault_weights: [u64; 11],
    pub talk_interval_ms: u64,
    pub latency_ms: u64,
    pub run_delay_ms: u64,
    pub pipe_bytes: usize,
    pub max_queue_bytes: usize,
    pub max_link_queue_bytes: usize,
    pub max_message_bytes: usize,
    pub restarts_in_thousand: u64,
}

pub fn address(host: usize, moved: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, moved, host as u8 + 1), PORT)
}

/// Another address of the same host, which is not advertised.
pub fn alias(host: usize, moved: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 1, moved, host as u8 + 1), PORT)
}

impl Plan {
    pub fn draw(kind: Kind, dice: &mut Dice) -> Plan {
        let count = match kind {
            Kind::Fits => dice.between(2, 12) as usize,
            Kind::Races => dice.between(3, 12) as usize,
            Kind::Duel => 2,
            Kind::Lies => dice.between(2, 8) as usize,
            Kind::Routed => dice.between(3, 12) as usize,
        };
        let is_restricted = dice.chance(300);
        let is_split = matches!(kind, Kind::Fits | Kind::Races) && (count > 10 || dice.chance(300));
        let groups = if is_split { 2 } else { 1 };
        let mut hosts: Vec<HostPlan> = (0..count)
            .map(|number| HostPlan {
                // Neither in the order of the addresses, nor all small.
                id: ServerId((number as u32 * 7 + 3) % 13 + if number == 4 { 4_000_000_000 } else { 0 }),
                group: 0,
                merges: Vec::new(),
                permits: Vec::new(),
                is_routed: kind == Kind::Routed,
            })
            .collect();
        let mut order: Vec<usize> = (0..count).collect();
        dice.shuffle(&mut order);
        let first_group = if groups == 1 {
            count
        } else {
            dice.between((count as u64).saturating_sub(10).max(1), (count as u64 - 1).min(10)) as usize
        };
        for (place, &host) in order.iter().enumerate() {
            hosts[host].group = usize::from(place >= first_group);
        }
        if let Kind::Races = kind {
            hosts.iter_mut().for_each(|host| host.group = 0);
            if count <= 10 || dice.chance(500) {
                let twin = dice.below(count - 1) + 1;
                hosts[twin].id = hosts[0].id;
            }
        } else if dice.chance(200) && hosts.iter().filter(|host| host.group == 1).count() == 1 {
            // A group of one that can't merge with the other: its ID is taken.
            let taken = hosts.iter().find(|host| host.group == 0).map(|host| host.id);
            if let (Some(twin), Some(id)) = (hosts.iter_mut().find(|host| host.group == 1), taken) {
                twin.id = id;
            }
        }
        if kind == Kind::Routed && dice.chance(200) {
            hosts[dice.below(count)].is_routed = false;
        }
        let has_twins = kind == Kind::Routed && dice.chance(150);
        if has_twins {
            let twin = dice.below(count - 1) + 1;
            hosts[twin].id = hosts[0].id;
        }
        let mut merges = Vec::new();
        for group in 0..2 {
            let members: Vec<usize> = order.iter().copied().filter(|&host| hosts[host].group == group).collect();
            for (place, &host) in members.iter().enumerate().skip(1) {
                // A star, a chain, or any tree; either end of each pair asks.
                let other = members[if dice.chance(300) { place - 1 } else { dice.below(place) }];
                merges.push(if dice.chance(500) { (host, other) } else { (other, host) });
            }
            for _ in 0..dice.below(members.len()) {
                let (a, b) = (members[dice.below(members.len())], members[dice.below(members.len())]);
                if a != b {
                    merges.push((a, b));
                }
            }
        }
        if kind == Kind::Duel {
            merges = vec![(0, 1), (1, 0)];
        }
        let at_start = if kind == Kind::Duel { 1000 } else { dice.between(0, 1000) };
        for &(asks, asked) in &merges {
            hosts[asked].permits.push(asks);
            if dice.chance(at_start) && !hosts[asks].merges.contains(&asked) {
                hosts[asks].merges.push(asked);
            }
        }
        let foreigners = draw_foreigners(kind, &hosts, dice);
        let liars = match kind {
            Kind::Lies => (0..dice.between(1, 2) as u8).map(|number| LiarPlan::draw(number, count, dice)).collect(),
            Kind::Fits | Kind::Races | Kind::Duel | Kind::Routed => Vec::new(),
        };
        let may_be_calm = kind == Kind::Fits || kind == Kind::Routed && !has_twins;
        let calm_in_thousand = if kind == Kind::Routed { 300 } else { 100 };
        let is_calm = kind == Kind::Duel || may_be_calm && dice.chance(calm_in_thousand);
        let mut fault_weights = [0; 11];
        for weight in fault_weights.iter_mut().filter(|_| !is_calm) {
            *weight = if dice.chance(400) { 0 } else { dice.between(1, 20) };
        }
        let pick = |dice: &mut Dice, sizes: &[usize]| dice.pick(sizes).copied().unwrap_or(1000);
        let max_message_bytes = pick(dice, &[300, 2000, 65536]);
        let room = max_message_bytes * 8;
        let link_queue_bytes = pick(dice, &[20_000, 100_000, LINK_QUEUE_MAX_BYTES]);
        let plan = Plan {
            kind,
            hosts,
            foreigners,
            liars,
            merges,
            is_restricted: is_restricted && kind != Kind::Lies,
            uses_names: dice.chance(300),
            uses_aliases: dice.chance(200),
            is_calm,
            may_move: !is_restricted && dice.chance(200),
            people: dice.between(0, if kind == Kind::Duel { 4 } else { 24 }) as usize,
            chaos_ms: dice.between(2_000, if kind == Kind::Duel { 4_000 } else { 40_000 }),
            fault_interval_ms: dice.between(30, 5_000),
            fault_weights,
            talk_interval_ms: dice.between(20, 800),
            latency_ms: dice.between(0, 60),
            run_delay_ms: dice.between(0, 20),
            pipe_bytes: pick(dice, &[300, 1000, 5000, 65536]),
            max_queue_bytes: pick(dice, &[4_000, 16_000, 64_000, 1_048_576]).max(room),
            max_link_queue_bytes: if is_calm { LINK_QUEUE_MAX_BYTES } else { link_queue_bytes.max(room) },
            max_message_bytes,
            restarts_in_thousand: *dice.pick(&[0, 500, 950, 1000]).unwrap_or(&1000),
        };
        if kind == Kind::Routed && is_calm { plan.growing(dice) } else { plan }
    }

    /// Links only come, while all talk without a break. Whatever anybody says is due, so it matters that news of a link
    /// runs ahead of what is said: often both are handled in one turn.
    fn growing(mut self, dice: &mut Dice) -> Plan {
        for host in self.hosts.iter_mut().filter(|_| dice.chance(700)) {
            host.merges.clear();
        }
        Plan {
            people: dice.between(8, 24) as usize,
            chaos_ms: dice.between(6_000, 12_000),
            talk_interval_ms: dice.between(5, 40),
            latency_ms: dice.between(0, 5),
            run_delay_ms: dice.between(5, 30),
            pipe_bytes: 65536,
            max_message_bytes: 300,
            max_queue_bytes: 1 << 20,
            ..self
        }
    }

    /// Servers with these `--merge` options, in a world whose faults a test plans.
    pub fn scripted(merges: &[&[usize]], dice: &mut Dice) -> Plan {
        let host = |(number, merges): (usize, &&[usize])| HostPlan {
            id: ServerId(number as u32 + 1),
            group: 0,
            merges: merges.to_vec(),
            permits: Vec::new(),
            is_routed: false,
        };
        Plan {
            hosts: merges.iter().enumerate().map(host).collect(),
            foreigners: Vec::new(),
            liars: Vec::new(),
            merges: Vec::new(),
            is_restricted: false,
            uses_names: false,
            uses_aliases: false,
            is_calm: false,
            may_move: false,
            people: 0,
            fault_weights: [0; 11],
            ..Plan::draw(Kind::Fits, dice)
        }
    }

    /// Routed servers with these `--merge` options, on quick lines.
    pub fn routed(merges: &[&[usize]], dice: &mut Dice) -> Plan {
        let mut plan = Plan::scripted(merges, dice);
        plan.hosts.iter_mut().for_each(|host| host.is_routed = true);
        Plan {
            kind: Kind::Routed,
            latency_ms: 10,
            run_delay_ms: 1,
            pipe_bytes: 65536,
            max_message_bytes: 2000,
            max_queue_bytes: 1 << 20,
            max_link_queue_bytes: LINK_QUEUE_MAX_BYTES,
            ..plan
        }
    }

    /// The address at which `host` is dialled by servers that do not know it yet.
    pub fn merge_address(&self, host: usize, moved: u8) -> SocketAddrV4 {
        if self.uses_aliases { alias(host, moved) } else { address(host, moved) }
    }

    /// How `host` is named in a `--merge` option or a command.
    pub fn name(&self, host: usize, moved: u8) -> HostPort {
        let literal = self.merge_address(host, moved).ip().to_string();
        HostPort { host: if self.uses_names { format!("s{host}") } else { literal }, port: PORT }
    }
}

/// Servers of another make, if a group has room for them.
fn draw_foreigners(kind: Kind, hosts: &[HostPlan], dice: &mut Dice) -> Vec<ForeignerPlan> {
    let mut foreigners: Vec<ForeignerPlan> = Vec::new();
    let likely = if kind == Kind::Routed { 600 } else { 300 };
    for describes in [false, true] {
        let group = dice.below(2);
        let members: Vec<usize> = (0..hosts.len()).filter(|&host| hosts[host].group == group).collect();
        let is_room = kind == Kind::Races || members.len() + foreigners.len() < NETWORK_MAX_SERVERS;
        if kind == Kind::Duel || kind == Kind::Lies || !dice.chance(likely) || members.is_empty() || !is_room {
            continue;
        }
        // The links between those of the hosts.
        let (id, place) = if describes { (ServerId(5), 2) } else { (ServerId(9), 1) };
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 200, place), PORT);
        let mut asks: Vec<usize> = (0..2).filter_map(|_| dice.pick(&members).copied()).collect();
        let is_routed = kind == Kind::Routed && describes && dice.chance(800);
        if is_routed {
            // With one link it stands behind nobody.
            asks.truncate(1);
        }
        foreigners.push(ForeignerPlan { id, address, describes, is_routed, asks });
    }
    foreigners
}
