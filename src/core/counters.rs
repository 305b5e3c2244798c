//! What happened since the start, in numbers.

use super::effects::CloseReason;
use crate::wire::{Code, Malformed};

/// Why a packet was ignored (D1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Its code does not fit the state of the connection, or the direction.
    State,
    /// Unknown code.
    UnknownCode,
    /// A field over its limit.
    Overlong,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A value that its layout does not allow.
    Value,
    /// A login with a nickname that nobody can have (D7).
    Nickname,
    /// A forwarded packet that is not for us, or not from a client of the server that sent it (D19).
    Misaddressed,
}

impl Ignored {
    /// Every reason, in the order of the counters.
    pub const ALL: [Ignored; 7] = [
        Ignored::State,
        Ignored::UnknownCode,
        Ignored::Overlong,
        Ignored::NotUtf8,
        Ignored::Value,
        Ignored::Nickname,
        Ignored::Misaddressed,
    ];

    /// In words, for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Ignored::State => "state",
            Ignored::UnknownCode => "unknown_code",
            Ignored::Overlong => "overlong",
            Ignored::NotUtf8 => "not_utf8",
            Ignored::Value => "value",
            Ignored::Nickname => "nickname",
            Ignored::Misaddressed => "misaddressed",
        }
    }
}

impl From<Malformed> for Ignored {
    fn from(malformed: Malformed) -> Ignored {
        match malformed {
            Malformed::NotUtf8 => Ignored::NotUtf8,
            Malformed::Value | Malformed::Frame => Ignored::Value,
        }
    }
}

/// A count for each value of a small enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally<const N: usize>([u64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Tally([0; N])
    }
}

impl<const N: usize> Tally<N> {
    /// One more at `index`.
    pub fn count(&mut self, index: usize) {
        self.add(index, 1);
    }

    /// So many more at `index`.
    pub fn add(&mut self, index: usize, amount: u64) {
        if let Some(count) = self.0.get_mut(index) {
            *count += amount;
        }
    }

    /// How many at `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

/// The counters. They only grow.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Packets handled or ignored, by the byte of their code.
    pub packets_in: Tally<{ Code::ALL.len() }>,
    /// Ignored packets by reason, in the order of [`Ignored::ALL`].
    pub ignored: Tally<{ Ignored::ALL.len() }>,
    /// Ends of connections by reason, in the order of [`CloseReason::ALL`].
    pub closed: Tally<{ CloseReason::ALL.len() }>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Accepts that failed, for lack of descriptors or otherwise.
    pub accept_errors: u64,
    /// Packets that were queued for a link when it was lost.
    pub link_packets_dropped: u64,
}

impl Counters {
    /// A packet was ignored.
    pub fn ignore(&mut self, reason: Ignored) {
        self.ignored.count(reason as usize);
    }

    /// A connection has ended.
    pub fn close(&mut self, reason: CloseReason) {
        self.closed.count(reason as usize);
    }
}
