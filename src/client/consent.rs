//! Whose files are taken: what options say, and what the user has permitted.

use super::limits::{PERMIT_MS, PERMITS_MAX};
use super::recipient::Recipient;

/// What options say about files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePolicy {
    /// The user is asked.
    Ask,
    /// There is no terminal to ask on: a file is refused unless an option names its sender.
    Named,
    /// Every file is taken.
    Everybody,
    /// None is.
    Nobody,
}

/// What to do with a file that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Take it.
    Take,
    /// Ask the user.
    Ask,
    /// There is no terminal to ask on.
    NobodyToAsk,
    /// Files are off.
    Off,
}

/// Whose files are taken.
#[derive(Debug)]
pub struct Consent {
    policy: FilePolicy,
    /// Named by `--accept`.
    accepted: Vec<Recipient>,
    /// Whose next file the user permits, and since when. The oldest stands first.
    permits: Vec<(Recipient, u64)>,
}

impl Consent {
    /// The options about files. `accepted` counts whatever the policy is, unless that is [`FilePolicy::Nobody`].
    pub fn new(policy: FilePolicy, accepted: Vec<Recipient>) -> Consent {
        Consent { policy, accepted, permits: Vec::new() }
    }

    /// Whether no file is taken, whatever the user says.
    pub fn is_off(&self) -> bool {
        self.policy == FilePolicy::Nobody
    }

    /// What to do with a file from this sender.
    pub fn answer(&self, from: &Recipient, now_ms: u64) -> Answer {
        let is_permitted =
            |(to, since_ms): &(Recipient, u64)| to == from && now_ms.saturating_sub(*since_ms) < PERMIT_MS;
        match self.policy {
            FilePolicy::Nobody => Answer::Off,
            FilePolicy::Everybody => Answer::Take,
            _ if self.accepted.contains(from) || self.permits.iter().any(is_permitted) => Answer::Take,
            FilePolicy::Ask => Answer::Ask,
            FilePolicy::Named => Answer::NobodyToAsk,
        }
    }

    /// The user permits the next file of this sender.
    pub fn permit(&mut self, from: &Recipient, now_ms: u64) {
        self.withdraw(from);
        if self.permits.len() >= PERMITS_MAX {
            self.permits.remove(0);
        }
        self.permits.push((from.clone(), now_ms));
    }

    /// The permission, if there is one, was used or is withdrawn. Returns whether there was one.
    pub fn withdraw(&mut self, from: &Recipient) -> bool {
        let before = self.permits.len();
        self.permits.retain(|(to, _)| to != from);
        self.permits.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServerId;

    fn somebody(nickname: &str) -> Recipient {
        Recipient::new(ServerId(7), nickname)
    }

    #[test]
    fn who_is_named_is_never_asked_about_unless_files_are_off() {
        let cases = [
            (FilePolicy::Ask, Answer::Take, Answer::Ask),
            (FilePolicy::Named, Answer::Take, Answer::NobodyToAsk),
            (FilePolicy::Everybody, Answer::Take, Answer::Take),
            (FilePolicy::Nobody, Answer::Off, Answer::Off),
        ];
        for (policy, named, other) in cases {
            let consent = Consent::new(policy, vec![somebody("two words")]);
            assert_eq!(consent.answer(&somebody("two words"), 0), named, "{policy:?}");
            assert_eq!(consent.answer(&somebody("words"), 0), other, "{policy:?}");
            assert_eq!(consent.answer(&Recipient::new(ServerId(8), "two words"), 0), other, "{policy:?}");
        }
    }

    #[test]
    fn a_permission_is_for_one_file_and_for_a_while() {
        let mut consent = Consent::new(FilePolicy::Ask, Vec::new());
        consent.permit(&somebody("bob"), 0);
        assert_eq!(consent.answer(&somebody("bob"), PERMIT_MS - 1), Answer::Take);
        assert_eq!(consent.answer(&somebody("bob"), PERMIT_MS), Answer::Ask);
        consent.permit(&somebody("bob"), PERMIT_MS);
        assert!(consent.withdraw(&somebody("bob")) && !consent.withdraw(&somebody("bob")));
        assert_eq!(consent.answer(&somebody("bob"), PERMIT_MS), Answer::Ask);
        for number in 0..2 * PERMITS_MAX {
            consent.permit(&somebody(&number.to_string()), 0);
        }
        assert_eq!(consent.permits.len(), PERMITS_MAX);
    }
}
