//! Looking at passwords without stopping the loop.
//!
//! One check is hundreds of thousands of HMACs. Between two of them the state of PBKDF2 is small, so the work is cut
//! into slices, one slice a turn. A connection whose password is being looked at is not read from meanwhile, which
//! keeps the order of its packets.
//!
//! Checks take turns by network, address and nickname (D61, [`Turns`]).

use std::rc::Rc;

use super::address::AddressGroup;
use super::key::Key;
use super::pbkdf2::Pbkdf2;
use super::turns::Turns;
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

/// Checks that wait, and the one under way.
#[derive(Debug, Default)]
pub struct PasswordChecks {
    waiting: Turns<PasswordCheck>,
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
        let victim = if self.waiting.len_of(check.address) >= PASSWORD_CHECKS_PER_ADDRESS_MAX {
            self.waiting.give_way_at(check.address)
        } else if self.len() >= PASSWORD_CHECKS_MAX {
            self.waiting.give_way(|waiting| !waiting.is_known).or_else(|| self.waiting.give_way(|_| true))
        } else {
            None
        };
        self.waiting.push(check.address, Some(Rc::clone(&check.nickname)), check);
        victim.map(|check| check.key)
    }

    /// Forgets the check of a connection that is gone.
    pub fn cancel(&mut self, key: Key) {
        self.current.take_if(|check| check.key == key);
        self.waiting.cancel(|check| check.key == key);
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
        let may_be_known = self.known_turns < KNOWN_TURNS_IN_A_ROW;
        let known = if may_be_known { self.waiting.pop(|check| check.is_known) } else { None };
        let check = known.or_else(|| self.waiting.pop(|check| !check.is_known));
        let check = check.or_else(|| self.waiting.pop(|_| true))?;
        self.known_turns = if check.is_known { self.known_turns.saturating_add(1) } else { 0 };
        Some(check)
    }
}

#[cfg(test)]
mod tests;
