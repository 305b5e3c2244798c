//! Looking at passwords without stopping the loop.
//!
//! One check is hundreds of thousands of HMACs. Between two of them the state of PBKDF2 is small, so the work is cut
//! into slices, one slice a turn. A connection whose password is being looked at is not read from meanwhile, which
//! keeps the order of its packets.
//!
//! The order of checks: large networks take turns; within each, smaller networks do; then addresses, then nicknames
//! (D61). So a whole network of addresses has one turn together:
//!
//! ```text
//!  2001:db8::/32 ─┬─ 2001:db8:1::/48 ─┬─ 2001:db8:1:1::/64 ─── maria ─── one check after the other
//!                 │                   └─ 2001:db8:1:2::/64 ─── …
//!                 └─ 2001:db8:2::/48 …                             IPv4: /16, /24, the address
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;
use slab::Slab;

use super::address::AddressGroup;
use super::key::Key;
use super::pbkdf2::Pbkdf2;
use super::users::StoredPassword;
use crate::limits::{
    KNOWN_TURNS_IN_A_ROW, PASSWORD_CHECKS_MAX, PASSWORD_CHECKS_PER_ADDRESS_MAX, PASSWORD_SLICE_ITERATIONS,
};

/// A login whose password is to be looked at. Holds no password: only what it came to so far.
#[derive(Debug)]
pub struct PasswordCheck {
    /// The connection that waits for the answer.
    pub key: Key,
    /// The address of the login.
    pub address: AddressGroup,
    /// Whether that address has logged in well before: it goes first.
    pub is_known: bool,
    /// The nickname of the login.
    pub nickname: Rc<str>,
    /// What the password must come to.
    pub stored: StoredPassword,
    /// The work.
    pub work: Pbkdf2,
}

/// The levels on which groups take turns, the widest first: three networks, and the nickname.
const LEVELS: usize = 4;
/// The level of one address.
const ADDRESS: usize = 2;

/// What makes a group: the network, and on the last level the nickname too.
type GroupName = (IpNet, Option<Rc<str>>);

/// Checks of one network, or one nickname, that wait.
#[derive(Debug)]
struct Group {
    name: GroupName,
    waiting: usize,
    /// When it had its last turn, or joined. The lowest is next.
    stamp: u64,
}

#[derive(Debug)]
struct Waiting {
    check: PasswordCheck,
    groups: [usize; LEVELS],
}

/// Checks that wait, and the one under way.
#[derive(Debug, Default)]
pub struct PasswordChecks {
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    groups: Slab<Group>,
    by_name: BTreeMap<GroupName, usize>,
    next_stamp: u64,
    /// Turns that known addresses had since anybody else had one.
    known_turns: u8,
    current: Option<PasswordCheck>,
}

impl PasswordChecks {
    /// Checks that wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.current.is_some())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a check. If there are too many, another one is dropped, and its connection is returned. That is the oldest
    /// of the largest group, so that a flood turns itself away, and not the newcomer.
    pub fn add(&mut self, check: PasswordCheck) -> Option<Key> {
        let [wide, narrow, address] = check.address.networks();
        let nickname = Some(Rc::clone(&check.nickname));
        let names = [(wide, None), (narrow, None), (address, None), (address, nickname)];
        let of_address = self.by_name.get(&(address, None)).copied();
        let is_address_full = of_address.is_some_and(|group| self.size(group) >= PASSWORD_CHECKS_PER_ADDRESS_MAX);
        let victim = if is_address_full {
            self.victim(|waiting| waiting.groups.get(ADDRESS).copied() == of_address)
        } else if self.len() >= PASSWORD_CHECKS_MAX {
            self.victim(|waiting| !waiting.check.is_known).or_else(|| self.victim(|_| true))
        } else {
            None
        };
        let victim = victim.map(|place| self.remove(place).key);
        let stamp = self.take_stamp();
        let groups = names.map(|name| self.join(name, stamp));
        self.waiting.push(Waiting { check, groups });
        victim
    }

    /// Forgets the check of a connection that is gone.
    pub fn cancel(&mut self, key: Key) {
        self.current.take_if(|check| check.key == key);
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.check.key == key) {
            self.remove(place);
        }
    }

    /// One slice of work. Returns a check that is done, and whether the password was right.
    pub fn advance(&mut self) -> Option<(PasswordCheck, bool)> {
        let mut check = self.current.take().or_else(|| self.next())?;
        match check.work.advance(PASSWORD_SLICE_ITERATIONS) {
            Some(hash) => {
                let right = check.stored.matches(&hash);
                Some((check, right))
            }
            None => {
                self.current = Some(check);
                None
            }
        }
    }

    /// The check that has waited for longest, on each level in turn. Known addresses go first, with a turn for others
    /// in between.
    fn next(&mut self) -> Option<PasswordCheck> {
        let known = if self.known_turns < KNOWN_TURNS_IN_A_ROW { self.first(true) } else { None };
        let place = known.or_else(|| self.first(false)).or_else(|| self.first(true))?;
        let groups = self.waiting.get(place)?.groups;
        let stamp = self.take_stamp();
        for group in groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.stamp = stamp;
            }
        }
        let check = self.remove(place);
        self.known_turns = if check.is_known { self.known_turns.saturating_add(1) } else { 0 };
        Some(check)
    }

    fn first(&self, is_known: bool) -> Option<usize> {
        let candidates = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.check.is_known == is_known);
        let stamps = |waiting: &Waiting| waiting.groups.map(|group| self.groups.get(group).map_or(0, |g| g.stamp));
        // Of equals, the first one.
        candidates.min_by_key(|(_, waiting)| stamps(waiting)).map(|(place, _)| place)
    }

    /// The oldest check of the largest group among these.
    fn victim(&self, is_candidate: impl Fn(&Waiting) -> bool) -> Option<usize> {
        let candidates = self.waiting.iter().enumerate().filter(|(_, waiting)| is_candidate(waiting));
        let sizes = |waiting: &Waiting| waiting.groups.map(|group| std::cmp::Reverse(self.size(group)));
        candidates.min_by_key(|(_, waiting)| sizes(waiting)).map(|(place, _)| place)
    }

    fn size(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, |group| group.waiting)
    }

    fn join(&mut self, name: GroupName, stamp: u64) -> usize {
        let PasswordChecks { groups, by_name, .. } = self;
        let index = *by_name.entry(name.clone()).or_insert_with(|| groups.insert(Group { name, waiting: 0, stamp }));
        if let Some(group) = groups.get_mut(index) {
            group.waiting += 1;
        }
        index
    }

    /// Takes a check out, which is there.
    fn remove(&mut self, place: usize) -> PasswordCheck {
        let waiting = self.waiting.remove(place);
        for index in waiting.groups {
            let Some(group) = self.groups.get_mut(index) else { continue };
            group.waiting -= 1;
            if group.waiting == 0 {
                let group = self.groups.remove(index);
                self.by_name.remove(&group.name);
            }
        }
        waiting.check
    }

    fn take_stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }
}

#[cfg(test)]
mod tests;
