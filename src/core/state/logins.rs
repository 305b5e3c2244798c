//! Past logins, by address: wrong passwords, which delay later answers, and right ones (D61).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::address::AddressGroup;
use crate::core::time::Millis;
use crate::limits::{
    FAILURE_DELAY_MAX_MS, FAILURE_DELAY_MIN_MS, FAILURE_LINES_MS, FAILURE_LINES_PER_ADDRESS, FAILURES_ADDRESSES_MAX,
    FAILURES_FREE, FAILURES_HALVE_MS, KNOWN_ADDRESSES_MAX, KNOWN_ADDRESSES_PER_USER_MAX,
};

/// The logins of the last minutes.
#[derive(Debug, Default)]
pub struct Logins {
    failures: BTreeMap<AddressGroup, Failures>,
    /// Pairs of a user and an address with a successful password login, the latest last.
    known: VecDeque<(Rc<str>, AddressGroup)>,
}

/// Wrong passwords of one address.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Millis,
    /// Since when lines in the log are counted, how many there were, and how many were not written.
    lines_since: Millis,
    lines: u32,
    unsaid: u64,
}

/// What follows from a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongPassword {
    /// How long its answer waits.
    pub delay_ms: u64,
    /// `Some` if the log has a line for it: the number of lines of this address that were left out since the last one.
    pub line: Option<u64>,
}

impl Logins {
    /// A wrong password came from there.
    pub fn on_wrong(&mut self, address: AddressGroup, now: Millis) -> WrongPassword {
        if !self.failures.contains_key(&address) {
            self.make_room(now);
        }
        let new = Failures { count: 0, last: now, lines_since: now, lines: 0, unsaid: 0 };
        let failures = self.failures.entry(address).or_insert(new);
        failures.count = failures.left(now).saturating_add(1);
        failures.last = now;
        let count = failures.count;
        let line = failures.line(now);
        if count > FAILURES_FREE {
            self.known.retain(|(_, known)| *known != address);
        }
        WrongPassword { delay_ms: delay_ms(count), line }
    }

    /// A user has logged in from there.
    pub fn on_right(&mut self, nickname: &str, address: AddressGroup) {
        self.known.retain(|(user, known)| !(&**user == nickname && *known == address));
        let of_user = self.known.iter().filter(|(user, _)| &**user == nickname).count();
        let oldest = self.known.iter().position(|(user, _)| &**user == nickname);
        if let Some(oldest) = oldest.filter(|_| of_user >= KNOWN_ADDRESSES_PER_USER_MAX) {
            self.known.remove(oldest);
        }
        if self.known.len() >= KNOWN_ADDRESSES_MAX {
            self.known.pop_front();
        }
        self.known.push_back((nickname.into(), address));
    }

    /// Whether a password login from there has succeeded, and there are few wrong passwords from there.
    pub fn is_known(&self, address: AddressGroup) -> bool {
        self.known.iter().any(|(_, known)| *known == address)
    }

    /// Forgets addresses whose failures are over. If that is not enough, forgets the one whose last failure is the
    /// oldest.
    fn make_room(&mut self, now: Millis) {
        if self.failures.len() < FAILURES_ADDRESSES_MAX {
            return;
        }
        self.failures.retain(|_, failures| failures.left(now) > 0);
        while self.failures.len() >= FAILURES_ADDRESSES_MAX {
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(address, _)| *address);
            let Some(oldest) = oldest else { break };
            self.failures.remove(&oldest);
        }
    }
}

impl Failures {
    /// The failures that still count: half of them are forgotten each minute.
    fn left(&self, now: Millis) -> u32 {
        let halvings = now.since(self.last) / FAILURES_HALVE_MS;
        self.count.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    /// Counts a log line. Each address has a few in a while, so that it cannot hide the lines of others.
    fn line(&mut self, now: Millis) -> Option<u64> {
        if now.since(self.lines_since) >= FAILURE_LINES_MS {
            (self.lines_since, self.lines) = (now, 0);
        }
        if self.lines >= FAILURE_LINES_PER_ADDRESS {
            self.unsaid += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn delay_ms(failures: u32) -> u64 {
    match failures.checked_sub(FAILURES_FREE + 1) {
        None => 0,
        Some(doublings) => FAILURE_DELAY_MIN_MS
            .checked_shl(doublings.min(32))
            .map_or(FAILURE_DELAY_MAX_MS, |delay_ms| delay_ms.min(FAILURE_DELAY_MAX_MS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u16) -> AddressGroup {
        AddressGroup::of(std::net::Ipv4Addr::new(192, 0, (last >> 8) as u8, last as u8).into())
    }

    #[test]
    fn answers_come_later_and_later_up_to_a_bound_and_at_once_again_after_some_quiet() {
        let mut logins = Logins::default();
        let delays: Vec<u64> = (0..12).map(|_| logins.on_wrong(address(1), Millis(0)).delay_ms).collect();
        assert_eq!(delays, [0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
        assert_eq!(logins.on_wrong(address(2), Millis(0)).delay_ms, 0, "another address");
        assert_eq!(logins.on_wrong(address(1), Millis(FAILURES_HALVE_MS)).delay_ms, 400, "6 + 1");
        assert_eq!(logins.on_wrong(address(1), Millis(10 * FAILURES_HALVE_MS)).delay_ms, 0);
    }

    #[test]
    fn one_address_has_a_few_lines_and_says_how_many_it_did_not_say() {
        let mut logins = Logins::default();
        let mut lines = |last, now| logins.on_wrong(address(last), Millis(now)).line;
        let said: Vec<_> = (0..20).filter_map(|_| lines(1, 0)).collect();
        assert_eq!(said, vec![0; FAILURE_LINES_PER_ADDRESS as usize]);
        assert_eq!(lines(2, 0), Some(0));
        assert_eq!(lines(1, FAILURE_LINES_MS), Some(20 - u64::from(FAILURE_LINES_PER_ADDRESS)));
        assert_eq!(lines(1, FAILURE_LINES_MS), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut logins = Logins::default();
        for i in 0..2 * FAILURES_ADDRESSES_MAX as u16 {
            logins.on_wrong(address(i), Millis(i.into()));
            assert!(logins.failures.len() <= FAILURES_ADDRESSES_MAX);
        }
        assert_eq!(logins.failures.len(), FAILURES_ADDRESSES_MAX);
        for i in 0..2 * KNOWN_ADDRESSES_MAX as u16 {
            logins.on_right(&format!("user{i}"), address(i));
        }
        assert_eq!(logins.known.len(), KNOWN_ADDRESSES_MAX);
    }

    #[test]
    fn failures_that_are_over_are_forgotten_before_those_that_still_count() {
        let mut logins = Logins::default();
        for _ in 0..100 {
            logins.on_wrong(address(0), Millis(0));
        }
        for i in 1..FAILURES_ADDRESSES_MAX as u16 {
            logins.on_wrong(address(i), Millis(1));
        }
        let now = Millis(1 + FAILURES_HALVE_MS);
        logins.on_wrong(address(FAILURES_ADDRESSES_MAX as u16), now);
        assert_eq!(logins.failures.len(), 2);
        assert!(logins.on_wrong(address(0), now).delay_ms > 0);
    }

    #[test]
    fn a_user_is_known_at_several_addresses_and_once_at_each() {
        let mut logins = Logins::default();
        for last in [1, 2, 1] {
            logins.on_right("maria", address(last));
        }
        assert!(logins.is_known(address(1)) && logins.is_known(address(2)));
        assert_eq!(logins.known.len(), 2);
    }

    #[test]
    fn one_user_can_make_few_addresses_known_and_drives_nobody_else_out() {
        let mut logins = Logins::default();
        logins.on_right("maria", address(0));
        for i in 1..2 * KNOWN_ADDRESSES_MAX as u16 {
            logins.on_right("mallory", address(i));
        }
        assert!(logins.is_known(address(0)));
        assert_eq!(logins.known.len(), 1 + KNOWN_ADDRESSES_PER_USER_MAX);
    }

    #[test]
    fn an_address_at_which_passwords_are_guessed_is_no_longer_known() {
        let mut logins = Logins::default();
        logins.on_right("maria", address(1));
        for _ in 0..FAILURES_FREE {
            logins.on_wrong(address(1), Millis(0));
        }
        assert!(logins.is_known(address(1)));
        logins.on_wrong(address(1), Millis(0));
        assert!(!logins.is_known(address(1)));
    }
}
