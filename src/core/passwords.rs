//! Looking at passwords without stopping the loop.
//!
//! One check is hundreds of thousands of HMACs. Between two of them the state of PBKDF2 is small, so the work is cut
//! into slices, one slice a turn. A connection whose password is being looked at is not read from meanwhile, which
//! keeps the order of its packets.

use std::collections::VecDeque;
use std::rc::Rc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::address::AddressGroup;
use super::key::Key;
use super::users::StoredPassword;
use crate::limits::{PASSWORD_CHECKS_MAX, PASSWORD_CHECKS_PER_ADDRESS_MAX, PASSWORD_SLICE_ITERATIONS};

/// The first block of PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2), at some point of its iterations.
#[derive(Clone)]
pub struct Pbkdf2 {
    prf: Hmac<Sha256>,
    /// U_i of the RFC.
    last: [u8; 32],
    /// U_1 xor … xor U_i.
    sum: [u8; 32],
    iterations_left: u32,
}

impl std::fmt::Debug for Pbkdf2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pbkdf2").field("iterations_left", &self.iterations_left).finish_non_exhaustive()
    }
}

impl Pbkdf2 {
    /// Begins; does the first iteration. `iterations` is at least 1.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Pbkdf2 {
        let prf =
            Hmac::<Sha256>::new_from_slice(password).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        let mut first = prf.clone();
        first.update(salt);
        first.update(&1_u32.to_be_bytes());
        let last: [u8; 32] = first.finalize().into_bytes().into();
        Pbkdf2 { prf, last, sum: last, iterations_left: iterations.saturating_sub(1) }
    }

    /// Does up to so many iterations more. Returns the 32 bytes when all are done.
    pub fn advance(&mut self, iterations: u32) -> Option<[u8; 32]> {
        let now = iterations.min(self.iterations_left);
        for _ in 0..now {
            let mut prf = self.prf.clone();
            prf.update(&self.last);
            self.last = prf.finalize().into_bytes().into();
            for (sum, byte) in self.sum.iter_mut().zip(self.last) {
                *sum ^= byte;
            }
        }
        self.iterations_left -= now;
        (self.iterations_left == 0).then_some(self.sum)
    }

    /// Does all that is left.
    pub fn finish(mut self) -> [u8; 32] {
        self.advance(u32::MAX);
        self.sum
    }
}

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
