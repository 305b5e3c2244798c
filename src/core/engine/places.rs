//! The places that count for `--max-clients`, and which connection gives one up for another (D62).
//!
//! A newcomer can hold a place for the whole time of the handshake, and a stranger can open as many as it likes. So
//! when all places are taken, the connection that has just come is not refused. Instead, a waiting newcomer is closed:
//! one of the address that has most of these. A logged-in client is never closed for that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::turned_away::TurnedAway;
use crate::core::engine::socket::Socket;
use crate::core::state::address::{AddressGroup, Remote};
use crate::core::state::config::Config;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::time::Millis;

/// The address that a connection counts for. `None` until it is known: a proxy has to name it first.
type From = Option<AddressGroup>;

/// A place in the order in which connections came.
type Arrival = (Millis, Key);

/// Newcomers by address. Everything takes logarithmic time, so that a storm of them does not slow the clients.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    members: BTreeSet<(From, Arrival)>,
    counts: BTreeMap<From, usize>,
    /// The next one to be closed is last: of the address with most newcomers. If there are several, of the one whose
    /// oldest is older.
    order: BTreeSet<(usize, Reverse<Arrival>, From)>,
}

impl Strangers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// One more.
    fn insert(&mut self, from: From, arrival: Arrival) {
        self.change(from, |members| members.insert((from, arrival)), |count| count + 1);
    }

    /// One newcomer less: it is gone, or logged in.
    fn remove(&mut self, from: From, arrival: Arrival) {
        self.change(from, |members| members.remove(&(from, arrival)), |count| count - 1);
    }

    /// The oldest from this address.
    fn oldest_of(&self, from: From) -> Option<Key> {
        self.first_of(from).map(|(_, key)| key)
    }

    /// The oldest from the address that has most of them.
    fn oldest_of_most(&self) -> Option<Key> {
        self.order.last().map(|&(_, Reverse((_, key)), _)| key)
    }

    fn first_of(&self, from: From) -> Option<Arrival> {
        let first = (from, (Millis(0), Key { index: 0, serial: 0 }));
        self.members.range(first..).next().filter(|(other, _)| *other == from).map(|&(_, arrival)| arrival)
    }

    fn change(
        &mut self,
        from: From,
        change: impl FnOnce(&mut BTreeSet<(From, Arrival)>) -> bool,
        count_after: impl FnOnce(usize) -> usize,
    ) {
        let count = self.counts.get(&from).copied().unwrap_or(0);
        if let Some(first) = self.first_of(from) {
            self.order.remove(&(count, Reverse(first), from));
        }
        let count = if change(&mut self.members) { count_after(count) } else { count };
        match self.first_of(from) {
            Some(first) => {
                self.counts.insert(from, count);
                self.order.insert((count, Reverse(first), from));
            }
            None => drop(self.counts.remove(&from)),
        }
    }
}

/// The places, and what the log says when they are taken.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Connections that count for `--max-clients`.
    pub client_connections: usize,
    /// Client connections by address, if `--max-per-address` is set.
    per_address: BTreeMap<AddressGroup, usize>,
    /// Those that were never anybody.
    strangers: Strangers,
    /// Connections that were refused.
    pub turned_away: TurnedAway,
    /// Newcomers that were closed for another.
    pub gave_way: TurnedAway,
}

impl Quota {
    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.client_connections == 0 && self.per_address.is_empty() && self.strangers.len() == 0
    }
}

impl<S: Socket> Engine<S> {
    /// Makes room for a new connection by closing a waiting newcomer. Returns whether there is room.
    pub(super) fn make_room(&mut self, newcomer: Remote) -> bool {
        self.make_room_at_address(newcomer)
            && (self.quota.client_connections < self.core.config.max_clients
                || self.give_way("--max-clients", self.quota.strangers.oldest_of_most(), newcomer))
    }

    /// Makes room at its address alone, if that has all places that it may have: for a connection that has a place
    /// already.
    pub(super) fn make_room_at_address(&mut self, newcomer: Remote) -> bool {
        let from = origin(&self.core.config, newcomer);
        let of_address = from.and_then(|group| self.quota.per_address.get(&group)).copied().unwrap_or(0);
        let is_full = self.core.config.max_per_address.is_some_and(|limit| of_address >= limit);
        !is_full || self.give_way("--max-per-address", self.quota.strangers.oldest_of(from), newcomer)
    }

    /// The connection has a place. It counts for its address, if that is known and has a limit.
    pub(super) fn count(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.is_counted, true) {
            self.quota.client_connections += 1;
        }
        let from = origin(&self.core.config, connection.remote);
        if self.core.config.max_per_address.is_some()
            && let Some(group) = from
        {
            connection.is_address_counted = true;
            *self.quota.per_address.entry(group).or_default() += 1;
        }
        connection.is_stranger = true;
        self.quota.strangers.insert(from, (connection.opened, key));
    }

    /// The connection has logged in or merged, or is no longer what it was counted as.
    pub(super) fn leave_strangers(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if std::mem::take(&mut connection.is_stranger) {
            let from = origin(&self.core.config, connection.remote);
            self.quota.strangers.remove(from, (connection.opened, key));
        }
    }

    /// The connection no longer counts as a client's: it is gone, or a link.
    pub(super) fn uncount(&mut self, key: Key) {
        self.leave_strangers(key);
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::take(&mut connection.is_counted) {
            return;
        }
        self.quota.client_connections -= 1;
        if std::mem::take(&mut connection.is_address_counted)
            && let Some(group) = origin(&self.core.config, connection.remote)
            && let Some(count) = self.quota.per_address.get_mut(&group)
        {
            *count -= 1;
            if *count == 0 {
                self.quota.per_address.remove(&group);
            }
        }
    }

    /// One gives its place to a newcomer, at once. Returns whether there was one.
    fn give_way(&mut self, limit: &str, stranger: Option<Key>, newcomer: Remote) -> bool {
        let Some(key) = stranger else { return false };
        self.log_gave_way(limit, key, newcomer);
        self.close(key, CloseReason::GaveWay, CloseMode::Now);
        self.uncount(key);
        self.apply_effects();
        true
    }

    /// The part of the engine's invariants that is about places.
    pub(super) fn assert_places(&self) {
        let live = || self.connections.iter().map(|(_, connection)| connection);
        assert_eq!(live().filter(|c| c.is_counted).count(), self.quota.client_connections, "places");
        assert!(self.quota.client_connections <= self.core.config.max_clients, "which are bounded");
        assert_eq!(live().filter(|c| c.is_stranger).count(), self.quota.strangers.len(), "those of strangers");
        assert_eq!(self.quota.strangers.counts.values().sum::<usize>(), self.quota.strangers.len(), "by address");
        assert_eq!(self.quota.strangers.order.len(), self.quota.strangers.counts.len(), "each has its rank");
        for connection in live().filter(|c| c.is_stranger) {
            assert!(connection.is_counted && connection.session.as_client().is_none(), "and of no other connection");
        }
        let most = self.core.config.max_per_address.unwrap_or(usize::MAX);
        assert!(self.quota.per_address.values().all(|&count| 0 < count && count <= most), "so are those of an address");
    }
}

/// The address of a connection, as far as it is known.
fn origin(config: &Config, remote: Remote) -> From {
    let is_known = |address: &std::net::SocketAddr| remote.is_proxied() || !config.is_proxy(address.ip());
    remote.address().filter(is_known).map(|address| AddressGroup::of(address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> From {
        Some(AddressGroup::of([192, 0, 2, last].into()))
    }

    fn arrival(ms: u64, serial: u32) -> Arrival {
        (Millis(ms), Key { index: 0, serial })
    }

    #[test]
    fn the_counts_choose_as_a_search_through_all_would() {
        let mut strangers = Strangers::default();
        let mut all: Vec<(From, Arrival)> = Vec::new();
        let mut dice = 7u32;
        for serial in 0..3000 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let roll = (dice >> 16) as usize;
            // More come in the first half, and more leave in the other one.
            if all.is_empty() || roll % 3 < if serial < 1500 { 2 } else { 1 } {
                let one = (from((roll % 7) as u8), arrival(u64::from(serial / 4), serial));
                strangers.insert(one.0, one.1);
                all.push(one);
            } else {
                let (from, arrival) = all.swap_remove(roll % all.len());
                strangers.remove(from, arrival);
            }
            let count = |from: From| all.iter().filter(|(other, _)| *other == from).count();
            let of_most = all.iter().max_by_key(|(from, arrival)| (count(*from), Reverse(*arrival)));
            assert_eq!(strangers.oldest_of_most(), of_most.map(|(_, (_, key))| *key));
            let of_three = all.iter().filter(|(other, _)| *other == from(3)).map(|(_, arrival)| *arrival).min();
            assert_eq!(strangers.oldest_of(from(3)), of_three.map(|(_, key)| key));
            assert_eq!(strangers.len(), all.len());
        }
    }
}
