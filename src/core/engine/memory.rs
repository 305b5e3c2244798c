//! The bound on all memory of waiting output and input, and the order in which connections are closed at it.
//!
//! Newcomers go first, links last. Within each group, the address that holds most goes first, with all its connections
//! counted together; and of these, the connection that holds most. So an address that fills much through many
//! connections pays itself. Public messages that several connections have yet to get are kept once, and those
//! connections share them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Engine;
use crate::core::engine::connection::{Connection, Phase};
use crate::core::engine::socket::Socket;
use crate::core::session::{Session, Speaks};
use crate::core::state::address::AddressGroup;
use crate::core::state::config::Config;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::limits;
use crate::wire::FrameLimits;

/// In which order connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Newcomers.
    Newcomer,
    /// Clients in the middle of a packet, if such input is more than half of the bound. Then it has used up the memory,
    /// and slow readers have not.
    Unfinished,
    /// Any other, but for links.
    Somebody,
    /// A link, with a whole server's users behind it.
    Link,
}

/// Connections of one rank and one address.
#[derive(Debug, Default)]
struct Holders {
    /// What all of them hold, and their share of the log.
    bytes: usize,
    /// The connections that hold something, the largest last.
    members: Vec<(usize, Key)>,
}

type Groups = BTreeMap<(Rank, Option<AddressGroup>), Holders>;

impl<S: Socket> Engine<S> {
    /// Memory that all waiting output and input take, in bytes, with what it takes to keep them.
    pub fn queued_bytes(&self) -> usize {
        self.output.held_bytes() + self.intake.held_bytes() + self.sockets_bytes
    }

    /// What each buffer and each block that is kept for the next use holds, in bytes. For tests and the simulator.
    pub fn spare_bytes(&self) -> [Vec<usize>; 2] {
        [self.intake.buffers.spare_bytes().collect(), self.output.queues.blocks.spare_bytes().collect()]
    }

    /// Whether a turn has to end so that memory can be judged: its input is over the bound, including the copy of the
    /// batch that every link which is behind will keep.
    pub(super) fn is_memory_full(&self) -> bool {
        let batch_bytes = self.output.link_batch.turn_bytes();
        let most = self.core.config.max_memory_bytes.saturating_add(limits::TURN_MEMORY_BYTES);
        let held_bytes = self.queued_bytes();
        // This is asked after each packet: links are counted only if their number can matter.
        held_bytes + batch_bytes * limits::ROUTED_LINKS_MAX > most
            && held_bytes + batch_bytes * self.core.mesh.links().count() > most
    }

    /// Past the bound, closes connections until the rest fits. Public messages that every client has got do not count.
    pub(super) fn bound_memory(&mut self) {
        self.output.public.trim();
        let most = newcomers_max_bytes(&self.core.config);
        if self.intake.newcomers_bytes() > most {
            let mut groups = self.holders_among(Session::is_newcomer, Connection::kept_held_bytes);
            // A little more than needed, so that not every turn has to walk all connections.
            while self.intake.newcomers_bytes() > most - most / 8
                && let Some(key) = largest(&mut groups)
            {
                self.close(key, CloseReason::KeptInput, CloseMode::Now);
                self.apply_effects();
            }
        }
        let most = self.core.config.max_memory_bytes - self.core.config.max_memory_bytes / limits::NOT_LINKS_DIVISOR;
        if self.links_bytes() > most {
            let mut groups = self.holders_among(|s| s.as_sibling().is_some(), |c| c.outbox.held_bytes());
            while self.links_bytes() > most
                && let Some(key) = largest(&mut groups)
            {
                self.close(key, CloseReason::Memory, CloseMode::Now);
                self.apply_effects();
            }
        }
        if self.queued_bytes() > self.core.config.max_memory_bytes {
            let mut groups = self.holders();
            while self.queued_bytes() > self.core.config.max_memory_bytes
                && let Some(key) = largest(&mut groups)
            {
                self.close(key, CloseReason::Memory, CloseMode::Now);
                self.apply_effects();
                self.output.public.trim();
            }
        }
    }

    /// What a connection may send: a newcomer has less room for a message, and the codes of a routed network mean
    /// something on its links only.
    pub(super) fn frame_limits(&self, speaks: Speaks) -> FrameLimits {
        let frame = self.core.config.frame;
        let message_max_bytes = frame.message_max_bytes.min(limits::NEWCOMER_MESSAGE_MAX_BYTES);
        match speaks {
            Speaks::Newcomer => FrameLimits { message_max_bytes, has_routed_codes: false, ..frame },
            Speaks::Client => FrameLimits { has_routed_codes: false, ..frame },
            Speaks::Link => frame,
        }
    }

    /// Memory of what waits for links.
    fn links_bytes(&self) -> usize {
        let links = self.core.mesh.links().filter_map(|(_, key)| self.connections.get(key));
        links.map(|link| link.outbox.held_bytes()).sum()
    }

    /// Connections of one kind, by what they hold of it.
    fn holders_among(&self, is_one: fn(&Session) -> bool, bytes: fn(&Connection<S>) -> usize) -> Groups {
        let mut groups = Groups::new();
        for (key, connection) in self.connections.iter().filter(|(_, c)| is_one(&c.session)) {
            add(&mut groups, Rank::Somebody, connection, key, bytes(connection), 0);
        }
        sort(&mut groups);
        groups
    }

    /// All connections that hold memory.
    fn holders(&self) -> Groups {
        let live = || self.connections.iter().filter(|(_, c)| c.phase != Phase::Closed);
        let is_unfinished = |c: &Connection<S>| c.session.as_client().is_some() && !c.has_backlog && !c.is_held();
        let unfinished: usize = live().filter(|(_, c)| is_unfinished(c)).map(|(_, c)| c.kept_held_bytes()).sum();
        let is_most_unfinished = unfinished > self.core.config.max_memory_bytes / 2;
        let log_end = self.output.public.end();
        let mut groups = Groups::new();
        let mut pinned_at = BTreeMap::new();
        for (key, connection) in live() {
            let rank = match &connection.session {
                session if session.is_newcomer() => Rank::Newcomer,
                Session::Sibling(_) => Rank::Link,
                _ if is_most_unfinished && is_unfinished(connection) && connection.inbox.is_some() => Rank::Unfinished,
                _ => Rank::Somebody,
            };
            let own_bytes =
                connection.outbox.held_bytes() + connection.kept_held_bytes() + connection.socket.counted_bytes();
            let mut behind_bytes = 0;
            if let Some(position) = connection.outbox.pinned_at() {
                behind_bytes = usize::try_from(log_end - position).unwrap_or(usize::MAX);
                let first = pinned_at.entry((rank, group_of(connection))).or_insert(position);
                *first = position.min(*first);
            }
            add(&mut groups, rank, connection, key, own_bytes, behind_bytes);
        }
        for (group, bytes) in shares_of_log(pinned_at, log_end) {
            groups.entry(group).or_default().bytes += bytes;
        }
        // A newcomer in the middle of its login is not closed before clients.
        let logging_in: Vec<_> = groups
            .iter()
            .filter(|((rank, _), holders)| *rank == Rank::Newcomer && holders.bytes <= limits::LOGIN_HELD_BYTES)
            .map(|(&group, _)| group)
            .collect();
        for (rank, address) in logging_in {
            if let Some(mut holders) = groups.remove(&(rank, address)) {
                let place = groups.entry((Rank::Somebody, address)).or_default();
                place.bytes += holders.bytes;
                place.members.append(&mut holders.members);
            }
        }
        sort(&mut groups);
        groups
    }

    /// The part of the engine's invariants that is about memory.
    pub(super) fn assert_memory(&self) {
        let live = || self.connections.iter().map(|(_, connection)| connection);
        let kept: usize = live().map(Connection::kept_held_bytes).sum();
        assert_eq!(kept, self.intake.held_bytes(), "the sum of all kept input");
        let held: usize = live().filter(|c| c.session.is_newcomer()).map(Connection::kept_held_bytes).sum();
        assert_eq!(held, self.intake.newcomers_bytes(), "the kept input of newcomers");
        assert!(held <= newcomers_max_bytes(&self.core.config), "which is bounded");
        let lent: usize = live().map(|c| c.outbox.held_bytes()).sum();
        assert_eq!(lent, self.output.queues.lent_bytes(), "the sum of the queues");
        let sockets: usize = live().map(|c| c.socket.counted_bytes()).sum();
        assert_eq!(sockets, self.sockets_bytes, "the sum of what sockets hold");
        let behind = live().filter(|c| c.outbox.pinned_at().is_some()).count();
        assert_eq!(behind, self.output.public.pins(), "readers that are behind");
        assert!(self.queued_bytes() <= self.core.config.max_memory_bytes, "which are bounded");
    }
}

/// What the input of all newcomers together may take.
fn newcomers_max_bytes(config: &Config) -> usize {
    limits::NEWCOMER_KEPT_TOTAL_BYTES.min(config.max_memory_bytes / limits::NEWCOMER_KEPT_DIVISOR)
}

fn group_of<S>(connection: &Connection<S>) -> Option<AddressGroup> {
    connection.remote.address().map(|address| AddressGroup::of(address.ip()))
}

/// Adds a connection that holds so many bytes alone, and of the log, with others.
fn add<S>(
    groups: &mut Groups,
    rank: Rank,
    connection: &Connection<S>,
    key: Key,
    own_bytes: usize,
    behind_bytes: usize,
) {
    if own_bytes + behind_bytes > 0 {
        let holders = groups.entry((rank, group_of(connection))).or_default();
        holders.bytes += own_bytes;
        holders.members.push((own_bytes + behind_bytes, key));
    }
}

fn sort(groups: &mut Groups) {
    groups.values_mut().for_each(|holders| holders.members.sort_unstable());
}

/// Takes out the connection to close next.
fn largest(groups: &mut Groups) -> Option<Key> {
    let all = groups.iter_mut().filter(|(_, holders)| !holders.members.is_empty());
    let ((_, _), holders) = all.max_by_key(|((rank, _), holders)| (Reverse(*rank), holders.bytes))?;
    let (bytes, key) = holders.members.pop()?;
    holders.bytes = holders.bytes.saturating_sub(bytes);
    Some(key)
}

/// Each group's share of the log, given the first position that it needs. Each part of the log is shared by the groups
/// that need it.
///
/// ```text
///   log   │ 90 bytes │ 60 bytes │ end
///         a          b
///   a: 90 + 60 / 2   b: 60 / 2
/// ```
fn shares_of_log<G: Ord>(first_needed: BTreeMap<G, u64>, end: u64) -> Vec<(G, usize)> {
    let mut groups: Vec<(u64, G)> = first_needed.into_iter().map(|(group, position)| (position, group)).collect();
    groups.sort();
    let mut shares = Vec::with_capacity(groups.len());
    let (mut part_end, mut share) = (end, 0u64);
    while let Some((position, group)) = groups.pop() {
        // This group, and all that are further behind.
        let sharing = groups.len() as u64 + 1;
        share += (part_end - position) / sharing;
        part_end = position;
        shares.push((group, usize::try_from(share).unwrap_or(usize::MAX)));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_log_is_shared_by_those_who_need_it() {
        let needed = BTreeMap::from([("a", 0), ("b", 90)]);
        assert_eq!(shares_of_log(needed, 150), [("b", 30), ("a", 120)]);
        let all_alike = BTreeMap::from([("a", 50), ("b", 50), ("c", 50)]);
        assert!(shares_of_log(all_alike, 350).iter().all(|&(_, bytes)| bytes == 100));
        assert_eq!(shares_of_log(BTreeMap::<&str, u64>::new(), 10), []);
    }
}
