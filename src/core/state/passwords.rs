//! Looking at passwords without stopping the loop.
//!
//! One check is hundreds of thousands of HMACs. Between two of them the state of PBKDF2 is small, so the work is cut
//! into slices, one slice a turn. A connection whose password is being looked at is not read from meanwhile, which
//! keeps the order of its packets.

use std::collections::VecDeque;
use std::rc::Rc;

use super::address::AddressGroup;
use super::key::Key;
use super::pbkdf2::Pbkdf2;
use super::users::StoredPassword;
use crate::limits::{PASSWORD_CHECKS_MAX, PASSWORD_CHECKS_PER_ADDRESS_MAX, PASSWORD_SLICE_ITERATIONS};

/// A login whose password is to be looked at. Holds no password: only what it came to so far.
#[derive(Debug)]
pub struct PasswordCheck {
    /// The connection that waits for the answer.
    pub key: Key,
    /// Where it comes from.
    pub address: AddressGroup,
    /// Who wants to log in.
    pub nickname: Rc<str>,
    /// What the password must come to.
    pub stored: StoredPassword,
    /// The work.
    pub work: Pbkdf2,
}

/// Checks that wait, by address: each address has its turn, so that a flood from one holds up nobody else by more than
/// the check that is under way.
#[derive(Debug, Default)]
pub struct PasswordChecks {
    waiting: VecDeque<(AddressGroup, VecDeque<PasswordCheck>)>,
    current: Option<PasswordCheck>,
    count: usize,
}

impl PasswordChecks {
    /// Whether one more check from this address has to be turned away.
    pub fn is_full_for(&self, address: AddressGroup) -> bool {
        let of_address = self.waiting.iter().find(|(group, _)| *group == address).map_or(0, |(_, checks)| checks.len());
        self.count >= PASSWORD_CHECKS_MAX || of_address >= PASSWORD_CHECKS_PER_ADDRESS_MAX
    }

    /// Checks that wait or are under way.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a check; the caller has asked whether there is room.
    pub fn add(&mut self, check: PasswordCheck) {
        self.count += 1;
        let address = check.address;
        match self.waiting.iter_mut().find(|(group, _)| *group == address) {
            Some((_, checks)) => checks.push_back(check),
            None => self.waiting.push_back((address, VecDeque::from([check]))),
        }
    }

    /// Forgets the check of a connection that is gone.
    pub fn cancel(&mut self, key: Key) {
        self.current.take_if(|check| check.key == key);
        for (_, checks) in &mut self.waiting {
            checks.retain(|check| check.key != key);
        }
        self.waiting.retain(|(_, checks)| !checks.is_empty());
        self.count =
            usize::from(self.current.is_some()) + self.waiting.iter().map(|(_, checks)| checks.len()).sum::<usize>();
    }

    /// One slice of work. Returns a check that is done, and whether the password was right.
    pub fn advance(&mut self) -> Option<(PasswordCheck, bool)> {
        let mut check = self.current.take().or_else(|| self.next())?;
        match check.work.advance(PASSWORD_SLICE_ITERATIONS) {
            Some(hash) => {
                self.count -= 1;
                let right = check.stored.matches(&hash);
                Some((check, right))
            }
            None => {
                self.current = Some(check);
                None
            }
        }
    }

    fn next(&mut self) -> Option<PasswordCheck> {
        let (address, mut checks) = self.waiting.pop_front()?;
        let check = checks.pop_front();
        if !checks.is_empty() {
            self.waiting.push_back((address, checks));
        }
        check
    }
}
