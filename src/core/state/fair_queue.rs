//! Work that waits, by address. Addresses take turns, so a flood from one delays the others by no more than the piece
//! under way.

use std::collections::VecDeque;

use super::address::AddressGroup;

/// A queue in which addresses take turns.
#[derive(Debug)]
pub struct FairQueue<T> {
    waiting: VecDeque<(AddressGroup, VecDeque<T>)>,
    count: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        FairQueue { waiting: VecDeque::new(), count: 0 }
    }
}

impl<T> FairQueue<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no work waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many wait from this address.
    pub fn len_of(&self, address: AddressGroup) -> usize {
        self.waiting.iter().find(|(group, _)| *group == address).map_or(0, |(_, work)| work.len())
    }

    /// One more waits.
    pub fn push(&mut self, address: AddressGroup, work: T) {
        self.count += 1;
        match self.waiting.iter_mut().find(|(group, _)| *group == address) {
            Some((_, of_address)) => of_address.push_back(work),
            None => self.waiting.push_back((address, VecDeque::from([work]))),
        }
    }

    /// The next one: the oldest of the address whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let (address, mut of_address) = self.waiting.pop_front()?;
        let work = of_address.pop_front();
        self.count -= usize::from(work.is_some());
        if !of_address.is_empty() {
            self.waiting.push_back((address, of_address));
        }
        work
    }

    /// Drops work that is no longer wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        for (_, of_address) in &mut self.waiting {
            of_address.retain(&mut is_wanted);
        }
        self.waiting.retain(|(_, of_address)| !of_address.is_empty());
        self.count = self.waiting.iter().map(|(_, of_address)| of_address.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns_and_each_has_its_own_in_order() {
        let group = |last: u8| AddressGroup::of([192, 0, 2, last].into());
        let mut queue = FairQueue::default();
        for work in ["a1", "a2", "a3", "a4"] {
            queue.push(group(1), work);
        }
        queue.push(group(2), "b1");
        queue.push(group(3), "c1");
        queue.push(group(2), "b2");
        assert_eq!((queue.len(), queue.len_of(group(1)), queue.len_of(group(9))), (7, 4, 0));
        queue.retain(|&work| work != "a2" && work != "c1");
        let order: Vec<&str> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "b1", "a3", "b2", "a4"]);
        assert!(queue.is_empty());
    }
}
