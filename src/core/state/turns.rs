//! Work that waits its turn, by address.
//!
//! Large networks take turns; within each, smaller networks do; then addresses, then nicknames. So a whole network of
//! addresses has one turn together, and a flood from one delays the others by no more than the piece under way:
//!
//! ```text
//!  2001:db8::/32 ─┬─ 2001:db8:1::/48 ─┬─ 2001:db8:1:1::/64 ─── maria ─── one after the other
//!                 │                   └─ 2001:db8:1:2::/64 ─── …
//!                 └─ 2001:db8:2::/48 …                             IPv4: /16, /24, the address
//! ```
//!
//! If too much waits, the oldest of the largest group gives way, so that a flood turns itself away.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;
use slab::Slab;

use super::address::AddressGroup;

/// The levels on which groups take turns, the widest first: three networks, and the nickname.
const LEVELS: usize = 4;
/// The level of one address.
const ADDRESS: usize = 2;

/// What makes a group: its level, the network, and on the last level the nickname too.
type GroupName = (usize, IpNet, Option<Rc<str>>);

/// Work of one network, or one nickname, that waits.
#[derive(Debug)]
struct Group {
    name: GroupName,
    waiting: usize,
    /// When it had its last turn, or joined. The lowest is next.
    stamp: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    work: T,
    groups: [usize; LEVELS],
}

/// Work that waits.
#[derive(Debug)]
pub struct Turns<T> {
    /// In the order in which it came.
    waiting: Vec<Waiting<T>>,
    groups: Slab<Group>,
    by_name: BTreeMap<GroupName, usize>,
    next_stamp: u64,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns { waiting: Vec::new(), groups: Slab::new(), by_name: BTreeMap::new(), next_stamp: 0 }
    }
}

impl<T> Turns<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no work waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait from this address.
    pub fn len_of(&self, address: AddressGroup) -> usize {
        self.address_group(address).map_or(0, |group| self.size(group))
    }

    /// One more waits, from this address and perhaps under this nickname.
    pub fn push(&mut self, address: AddressGroup, nickname: Option<Rc<str>>, work: T) {
        let [wide, narrow, address] = address.networks();
        let names = [(0, wide, None), (1, narrow, None), (ADDRESS, address, None), (3, address, nickname)];
        let stamp = self.take_stamp();
        let groups = names.map(|name| self.join(name, stamp));
        self.waiting.push(Waiting { work, groups });
    }

    /// Of the work that `is_candidate` admits, that which has waited for longest, on each level in turn.
    pub fn pop(&mut self, is_candidate: impl Fn(&T) -> bool) -> Option<T> {
        let candidates = self.waiting.iter().enumerate().filter(|(_, waiting)| is_candidate(&waiting.work));
        let stamps = |waiting: &Waiting<T>| waiting.groups.map(|group| self.groups.get(group).map_or(0, |g| g.stamp));
        // Of equals, the first one.
        let (place, waiting) = candidates.min_by_key(|(_, waiting)| stamps(waiting))?;
        let groups = waiting.groups;
        let stamp = self.take_stamp();
        for group in groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.stamp = stamp;
            }
        }
        Some(self.remove(place))
    }

    /// Takes out what gives way, of the work that `is_candidate` admits: the oldest of the largest group.
    pub fn give_way(&mut self, is_candidate: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.victim(|waiting| is_candidate(&waiting.work))?;
        Some(self.remove(place))
    }

    /// The same, of the work from this address.
    pub fn give_way_at(&mut self, address: AddressGroup) -> Option<T> {
        let group = self.address_group(address)?;
        let place = self.victim(|waiting| waiting.groups.get(ADDRESS) == Some(&group))?;
        Some(self.remove(place))
    }

    /// Drops work that is no longer wanted, if it waits.
    pub fn cancel(&mut self, is_it: impl Fn(&T) -> bool) {
        if let Some(place) = self.waiting.iter().position(|waiting| is_it(&waiting.work)) {
            self.remove(place);
        }
    }

    /// The oldest of the largest group among these.
    fn victim(&self, is_candidate: impl Fn(&Waiting<T>) -> bool) -> Option<usize> {
        let candidates = self.waiting.iter().enumerate().filter(|(_, waiting)| is_candidate(waiting));
        let sizes = |waiting: &Waiting<T>| waiting.groups.map(|group| Reverse(self.size(group)));
        candidates.min_by_key(|(_, waiting)| sizes(waiting)).map(|(place, _)| place)
    }

    fn address_group(&self, address: AddressGroup) -> Option<usize> {
        let [_, _, address] = address.networks();
        self.by_name.get(&(ADDRESS, address, None)).copied()
    }

    fn size(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, |group| group.waiting)
    }

    fn join(&mut self, name: GroupName, stamp: u64) -> usize {
        let Turns { groups, by_name, .. } = self;
        let index = *by_name.entry(name.clone()).or_insert_with(|| groups.insert(Group { name, waiting: 0, stamp }));
        if let Some(group) = groups.get_mut(index) {
            group.waiting += 1;
        }
        index
    }

    /// Takes out what is at this place, which there is.
    fn remove(&mut self, place: usize) -> T {
        let waiting = self.waiting.remove(place);
        for index in waiting.groups {
            let Some(group) = self.groups.get_mut(index) else { continue };
            group.waiting -= 1;
            if group.waiting == 0 {
                let group = self.groups.remove(index);
                self.by_name.remove(&group.name);
            }
        }
        waiting.work
    }

    fn take_stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(last: u8) -> AddressGroup {
        AddressGroup::of([192, 0, 2, last].into())
    }

    #[test]
    fn addresses_take_turns_and_each_has_its_own_in_order() {
        let mut turns = Turns::default();
        for work in ["a1", "a2", "a3", "a4"] {
            turns.push(group(1), None, work);
        }
        turns.push(group(2), None, "b1");
        turns.push(group(3), None, "c1");
        turns.push(group(2), None, "b2");
        assert_eq!((turns.len(), turns.len_of(group(1)), turns.len_of(group(9))), (7, 4, 0));
        turns.cancel(|&work| work == "a2");
        turns.cancel(|&work| work == "c1");
        let order: Vec<&str> = std::iter::from_fn(|| turns.pop(|_| true)).collect();
        assert_eq!(order, ["a1", "b1", "a3", "b2", "a4"]);
        assert!(turns.is_empty() && turns.groups.is_empty() && turns.by_name.is_empty());
    }

    #[test]
    fn the_oldest_of_the_largest_group_gives_way() {
        let mut turns = Turns::default();
        for (address, work) in [(2, "b1"), (1, "a1"), (1, "a2"), (2, "b2"), (1, "a3")] {
            turns.push(group(address), None, work);
        }
        assert_eq!(turns.give_way(|_| true), Some("a1"));
        assert_eq!(turns.give_way(|_| true), Some("b1"), "both have two left: the oldest");
        assert_eq!(turns.give_way(|&work| work != "a2"), Some("a3"));
        assert_eq!(turns.give_way_at(group(1)), Some("a2"));
        assert_eq!((turns.give_way_at(group(1)), turns.give_way_at(group(2))), (None, Some("b2")));
    }
}
