//! The operator's bans: networks and nicknames, for a while or until the server stops (D59).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::look_alikes::Look;
use crate::core::time::Millis;
use crate::limits::BANS_MAX;

/// The target of a ban.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Banned {
    /// Every connection from this network.
    Network(IpNet),
    /// Every client with this nickname.
    Nickname(Box<str>),
}

impl Banned {
    /// A network, with an IPv4 one that is written as IPv6 taken for what it is, and without bits beyond its length.
    pub fn network(network: IpNet) -> Banned {
        let mapped = match (network.addr().to_canonical(), network.prefix_len()) {
            // No IPv4 network is that long.
            (IpAddr::V4(address), bits @ 96..) => Ipv4Net::new(address, bits - 96).ok(),
            _ => None,
        };
        Banned::Network(mapped.map_or(network, IpNet::V4).trunc())
    }
}

/// As `bans` shows it, and `unban` takes it: a nickname in quotes, since it may look like an address.
impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Banned::Network(network) => network.fmt(f),
            Banned::Nickname(nickname) => write!(f, "{nickname:?}"),
        }
    }
}

/// The bans, and when each ends.
#[derive(Debug, Default)]
pub struct Bans {
    networks: BTreeMap<IpNet, Millis>,
    /// How many networks there are of each length, so that an address is looked up once for each length.
    lengths: BTreeMap<u8, usize>,
    nicknames: BTreeMap<Box<str>, (Millis, Look)>,
}

impl Bans {
    /// Adds a ban that ends then, or never (`NEVER`). If there is one already, its end is changed. Returns whether
    /// there was room.
    pub fn add(&mut self, banned: &Banned, until: Millis, now: Millis) -> bool {
        self.forget_past(now);
        let is_new = match banned {
            Banned::Network(network) => !self.networks.contains_key(network),
            Banned::Nickname(nickname) => !self.nicknames.contains_key(nickname),
        };
        if is_new && self.networks.len() + self.nicknames.len() >= BANS_MAX {
            return false;
        }
        match banned {
            Banned::Network(network) => {
                if self.networks.insert(*network, until).is_none() {
                    *self.lengths.entry(network.prefix_len()).or_default() += 1;
                }
            }
            Banned::Nickname(nickname) => {
                self.nicknames.insert(nickname.clone(), (until, Look::of(nickname)));
            }
        }
        true
    }

    /// Takes a ban away. Returns whether there was one.
    pub fn remove(&mut self, banned: &Banned, now: Millis) -> bool {
        self.forget_past(now);
        match banned {
            Banned::Network(network) => self.remove_network(network),
            Banned::Nickname(nickname) => self.nicknames.remove(nickname).is_some(),
        }
    }

    /// Whether connections from this address are banned.
    pub fn has_address(&self, address: IpAddr, now: Millis) -> bool {
        let address = address.to_canonical();
        self.lengths.keys().any(|&length| {
            let network = IpNet::new(address, length).map(|network| network.trunc());
            network.is_ok_and(|network| self.networks.get(&network).is_some_and(|&until| until > now))
        })
    }

    /// Whether the other end of a connection is banned, if it has an address.
    pub fn has_remote(&self, remote: Option<SocketAddr>, now: Millis) -> bool {
        remote.is_some_and(|remote| self.has_address(remote.ip(), now))
    }

    /// Whether a registered user of this nickname is kept out.
    pub fn has_user(&self, nickname: &str, now: Millis) -> bool {
        self.nicknames.get(nickname).is_some_and(|&(until, _)| until > now)
    }

    /// Whether a guest with this nickname is banned. A nickname that looks like a banned one is banned, too.
    pub fn has_guest(&self, nickname: &str, now: Millis) -> bool {
        if self.nicknames.is_empty() {
            return false;
        }
        let look = Look::of(nickname);
        self.nicknames.values().any(|&(until, banned)| until > now && banned.resembles(look))
    }

    /// All bans in force, with the milliseconds that are left of each; `None` for a ban without an end.
    pub fn iter(&self, now: Millis) -> impl Iterator<Item = (Banned, Option<u64>)> {
        let networks = self.networks.iter().map(|(network, &until)| (Banned::Network(*network), until));
        let nicknames = self.nicknames.iter().map(|(name, &(until, _))| (Banned::Nickname(name.clone()), until));
        networks.chain(nicknames).filter(move |&(_, until)| until > now).map(move |(banned, until)| {
            let left_ms = if until == Millis::NEVER { None } else { Some(until.since(now)) };
            (banned, left_ms)
        })
    }

    fn forget_past(&mut self, now: Millis) {
        let past: Vec<IpNet> =
            self.networks.iter().filter(|&(_, &until)| until <= now).map(|(network, _)| *network).collect();
        for network in past {
            self.remove_network(&network);
        }
        self.nicknames.retain(|_, &mut (until, _)| until > now);
    }

    fn remove_network(&mut self, network: &IpNet) -> bool {
        let is_there = self.networks.remove(network).is_some();
        if is_there && let Some(count) = self.lengths.get_mut(&network.prefix_len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&network.prefix_len());
            }
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1000);

    fn network(text: &str) -> Banned {
        Banned::network(text.parse().unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_keeps_out_who_is_in_it_however_it_is_written() {
        let mut bans = Bans::default();
        for text in ["192.0.2.77/24", "2001:db8::/32", "::ffff:198.51.100.7/128", "203.0.113.5/32"] {
            assert!(bans.add(&network(text), Millis::NEVER, NOW));
        }
        for inside in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:1::1", "198.51.100.7", "::ffff:203.0.113.5"] {
            assert!(bans.has_address(address(inside), NOW), "{inside}");
        }
        for outside in ["192.0.3.1", "2001:db9::1", "198.51.100.8", "::1", "0.0.0.0"] {
            assert!(!bans.has_address(address(outside), NOW), "{outside}");
        }
        assert!(bans.remove(&network("192.0.2.0/24"), NOW) && !bans.remove(&network("192.0.2.0/24"), NOW));
        assert!(!bans.has_address(address("192.0.2.1"), NOW));
    }

    #[test]
    fn everybody_can_be_kept_out_by_version() {
        let mut bans = Bans::default();
        bans.add(&network("0.0.0.0/0"), Millis::NEVER, NOW);
        assert!(bans.has_address(address("192.0.2.1"), NOW) && bans.has_address(address("::ffff:192.0.2.1"), NOW));
        assert!(!bans.has_address(address("2001:db8::1"), NOW));
    }

    #[test]
    fn a_ban_ends_and_may_be_given_another_end() {
        let mut bans = Bans::default();
        let (ana, net) = (Banned::Nickname("ana".into()), network("192.0.2.0/24"));
        for banned in [&ana, &net] {
            bans.add(banned, NOW + 10, NOW);
        }
        assert!(bans.has_user("ana", NOW + 9) && bans.has_address(address("192.0.2.1"), NOW + 9));
        assert!(!bans.has_user("ana", NOW + 10) && !bans.has_address(address("192.0.2.1"), NOW + 10));
        assert!(bans.has_guest("ana", NOW + 9) && !bans.has_guest("ana", NOW + 10));
        bans.add(&ana, Millis::NEVER, NOW + 5);
        assert_eq!(bans.iter(NOW + 10).collect::<Vec<_>>(), [(ana.clone(), None)]);
        assert!(!bans.remove(&net, NOW + 10) && bans.lengths.is_empty(), "it is over");
        bans.add(&ana, NOW + 10, NOW + 5);
        assert!(!bans.remove(&ana, NOW + 10), "it is over");
    }

    #[test]
    fn a_guest_who_looks_like_a_banned_nickname_is_kept_out_and_a_user_only_by_the_same() {
        let mut bans = Bans::default();
        bans.add(&Banned::Nickname("two words".into()), Millis::NEVER, NOW);
        assert!(bans.has_guest("Two  W\u{f6}rds", NOW) && !bans.has_guest("three words", NOW));
        assert!(bans.has_user("two words", NOW) && !bans.has_user("Two words", NOW));
    }

    #[test]
    fn there_is_a_bound_and_what_is_over_makes_room() {
        let mut bans = Bans::default();
        for i in 0..BANS_MAX as u32 {
            let one = Banned::network(IpNet::from(IpAddr::from(std::net::Ipv4Addr::from_bits(i))));
            assert!(bans.add(&one, NOW + u64::from(i % 2) + 1, NOW));
        }
        assert!(!bans.add(&network("2001:db8::/32"), Millis::NEVER, NOW));
        assert!(bans.add(&network("0.0.0.1/32"), Millis::NEVER, NOW), "another end for one that is there");
        assert!(bans.add(&network("2001:db8::/32"), Millis::NEVER, NOW + 1));
        while bans.add(&Banned::Nickname(format!("guest{}", bans.nicknames.len()).into()), Millis::NEVER, NOW + 1) {}
        assert_eq!(bans.networks.len() + bans.nicknames.len(), BANS_MAX);
        let (there, new) = (Banned::Nickname("guest0".into()), Banned::Nickname("new".into()));
        assert!(bans.add(&there, Millis::NEVER, NOW + 1) && !bans.add(&new, Millis::NEVER, NOW + 1));
    }
}
