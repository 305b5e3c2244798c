//! One thing to dial: the attempt under way, and when the next one is due.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::core::state::effects::{CloseMode, CloseReason, Effects};
use crate::core::state::key::Key;
use crate::core::state::random::Random;
use crate::core::time::Millis;
use crate::limits;

/// How fast the delays between dials grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// What an operator named, or what answered at that address before: seconds.
    Quick,
    /// What we know from hearsay: a few tries, then minutes.
    Slow,
}

/// A dial under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attempt {
    /// The connection, as soon as there is one.
    key: Option<Key>,
    /// Our end of it.
    local: Option<SocketAddr>,
    /// Our request was written: from here on D18 decides between it and one from the other side.
    is_sent: bool,
    /// Our own request has come back to us: the other end is this server.
    is_ourselves: bool,
}

/// How dialling went so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// Dials since the last link, or the start, that came to nothing.
    pub failures: u32,
    /// Answers that we don't fit together, since a link last held.
    pub unfit: u32,
    /// Links in a row that came up and did not hold.
    pub flaps: u32,
    /// Not before then again.
    pub next: Millis,
}

/// Dials one server, or one name, again and again.
#[derive(Debug)]
pub(super) struct Dialler {
    attempt: Option<Attempt>,
    pub retry: Retry,
    /// Addresses of its name that were dialled in this round; each has its turn before the first comes again.
    tried: BTreeSet<IpAddr>,
    /// Addresses of its name that are this server's own.
    own: BTreeSet<IpAddr>,
    /// The one that was taken last.
    picked: Option<IpAddr>,
    /// The name has addresses that were not dialled in this round.
    pub has_untried: bool,
    /// The log has said that others reach it and we do not.
    pub is_told_apart: bool,
}

impl Retry {
    pub fn on_link_lost(&mut self, held_ms: u64, now: Millis, random: &mut Random) {
        if held_ms >= limits::LINK_HELD_MS {
            (self.unfit, self.flaps) = (0, 0);
        } else {
            self.flaps = self.flaps.saturating_add(1);
        }
        self.delay(Pace::Quick, now, random);
    }

    fn fail(&mut self, pace: Pace, now: Millis, random: &mut Random) {
        self.delay(pace, now, random);
        self.failures = self.failures.saturating_add(1);
    }

    fn delay(&mut self, pace: Pace, now: Millis, random: &mut Random) {
        let steps = self.failures.saturating_add(self.flaps).min(16);
        let delay_ms = match pace {
            Pace::Quick => (limits::DIAL_DELAY_MIN_MS << steps).min(limits::DIAL_DELAY_MAX_MS),
            Pace::Slow => (0..steps).fold(limits::HEARSAY_DELAY_MIN_MS, |delay_ms, _| {
                (delay_ms * limits::HEARSAY_DELAY_FACTOR).min(limits::HEARSAY_DELAY_MAX_MS)
            }),
        };
        self.next = now + jittered(delay_ms, random);
    }
}

impl Dialler {
    /// Nothing is under way, and the first dial is due then.
    pub fn at(next: Millis) -> Dialler {
        Dialler {
            attempt: None,
            retry: Retry { failures: 0, unfit: 0, flaps: 0, next },
            tried: BTreeSet::new(),
            own: BTreeSet::new(),
            picked: None,
            has_untried: false,
            is_told_apart: false,
        }
    }

    pub fn is_due(&self, now: Millis) -> bool {
        self.attempt.is_none() && self.retry.next <= now
    }

    /// When the next dial is due, if none is under way.
    pub fn next(&self) -> Option<Millis> {
        self.attempt.is_none().then_some(self.retry.next)
    }

    pub fn begin(&mut self) {
        self.attempt = Some(Attempt::default());
    }

    /// There is a connection. Returns whether it is still wanted.
    pub fn on_opened(&mut self, key: Key, local: Option<SocketAddr>) -> bool {
        let is_wanted = self.attempt.is_some();
        if is_wanted {
            self.attempt = Some(Attempt { key: Some(key), local, ..Attempt::default() });
        }
        is_wanted
    }

    pub fn on_sent(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.is_sent = true;
        }
    }

    pub fn is_sent(&self) -> bool {
        self.attempt.is_some_and(|attempt| attempt.is_sent)
    }

    /// Whether the connection under way is the one whose other end sees it come from `remote`.
    pub fn comes_from(&self, remote: SocketAddr) -> bool {
        self.attempt.is_some_and(|attempt| attempt.local == Some(remote))
    }

    pub fn on_met_ourselves(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.is_ourselves = true;
        }
    }

    pub fn is_ourselves(&self) -> bool {
        self.attempt.is_some_and(|attempt| attempt.is_ourselves)
    }

    /// The attempt came to nothing. Returns whether there was one.
    pub fn fail(&mut self, pace: Pace, now: Millis, random: &mut Random) -> bool {
        let was_dialling = self.attempt.take().is_some();
        if was_dialling {
            self.retry.fail(pace, now, random);
        }
        was_dialling
    }

    /// The attempt came to nothing, and the next address has its turn at once.
    pub fn next_address(&mut self, now: Millis) {
        self.attempt = None;
        self.retry.next = now;
    }

    /// What was in the way is gone: the delays begin anew.
    pub fn hurry(&mut self, next: Millis) {
        (self.retry.failures, self.retry.next) = (0, next);
    }

    /// The next dial is due then at the latest.
    pub fn not_after(&mut self, latest: Millis) {
        self.retry.next = self.retry.next.min(latest);
    }

    /// A link is up: nothing is dialled any more.
    pub fn on_link_up(&mut self) {
        self.attempt = None;
        self.retry.failures = 0;
        self.is_told_apart = false;
        self.tried.clear();
    }

    /// Closes the connection under way, unless it is this one.
    pub fn close(&self, except: Option<Key>, effects: &mut Effects) {
        if let Some(key) = self.attempt.and_then(|attempt| attempt.key).filter(|&key| Some(key) != except) {
            effects.close(key, CloseReason::Superseded, CloseMode::AfterWriting);
        }
    }

    /// The address to dial next, of those that the name has: each in turn, in whatever order they come. None, if all of
    /// them are our own.
    pub fn pick(&mut self, addresses: &[IpAddr]) -> Option<IpAddr> {
        let others = || addresses.iter().copied().filter(|address| !self.own.contains(address));
        let picked = match others().find(|address| !self.tried.contains(address)) {
            Some(address) => address,
            None => {
                let first = others().next()?;
                self.tried.clear();
                first
            }
        };
        self.tried.insert(picked);
        self.picked = Some(picked);
        self.has_untried = addresses.iter().any(|a| !self.own.contains(a) && !self.tried.contains(a));
        Some(picked)
    }

    /// The address that was taken last is our own: it is passed over from here on.
    pub fn pass_over(&mut self) {
        self.own.extend(self.picked);
    }
}

/// A random part of the delay, between half of it and all of it, so that two servers do not dial each other in step.
pub(super) fn jittered(delay_ms: u64, random: &mut Random) -> u64 {
    delay_ms / 2 + random.below(delay_ms / 2 + 1)
}
