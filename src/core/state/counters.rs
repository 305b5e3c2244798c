//! What happened since the start, in numbers.

use super::effects::CloseReason;
use crate::wire::listed::listed;
use crate::wire::{Code, Malformed};

listed! {
    /// Why a packet was ignored (D1).
    pub enum Ignored {
        /// Its code does not fit the state of the connection, or the direction.
        State => "state";
        /// Unknown code.
        UnknownCode => "unknown_code";
        /// A field over its limit.
        Overlong => "overlong";
        /// A text that is not UTF-8.
        NotUtf8 => "not_utf8";
        /// A value that its layout does not allow.
        Value => "value";
        /// A login with an illegal nickname (D7).
        Nickname => "nickname";
        /// A forwarded packet that is not for us, or not from a client of the server that sent it (D19).
        Misaddressed => "misaddressed";
        /// A packet on its way through a routed network that is older than one of its origin that was taken (D33).
        Late => "late";
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

listed! {
    /// How a login ended (D8, D9).
    pub enum LoginResult {
        /// A guest is in.
        Guest => "guest";
        /// A registered user is in.
        User => "user";
        /// A guest wanted a registered nickname.
        Registered => "registered";
        /// A guest's nickname looks like a registered one.
        LookAlike => "look_alike";
        /// Wrong nickname or password.
        WrongPassword => "wrong_password";
        /// A guest came, and guests are not wanted.
        NoGuests => "no_guests";
        /// The nickname is in use.
        InUse => "in_use";
        /// The operator keeps that nickname out.
        Banned => "banned";
        /// Too many waited to have their password looked at, and this one gave way.
        TurnedAway => "turned_away";
    }
}

listed! {
    /// Why a connection with TLS failed.
    pub enum TlsFailure {
        /// What came is no TLS, but for its first byte.
        NotTls => "not_tls";
        /// An older version, no cipher or name of protocol in common, or a message out of place.
        Protocol => "protocol";
        /// A certificate was needed, and none came.
        NoCertificate => "no_certificate";
        /// A certificate that is not from the CA.
        UnknownCa => "unknown_ca";
        /// A certificate before or after its time.
        Expired => "expired";
        /// A certificate for another name.
        WrongName => "wrong_name";
        /// A certificate that is not good for this.
        WrongUse => "wrong_use";
        /// No end of the handshake in time.
        Timeout => "timeout";
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

/// Packets and their bytes, by code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    packets: Tally<{ Code::ALL.len() }>,
    bytes: Tally<{ Code::ALL.len() }>,
}

impl Traffic {
    /// `times` packets, alike, that begin with this byte and are so long.
    pub fn count(&mut self, first: Option<&u8>, bytes: usize, times: usize) {
        if let Some(code) = first.copied().and_then(Code::from_byte) {
            self.packets.add(code.index(), times as u64);
            self.bytes.add(code.index(), (bytes * times) as u64);
        }
    }

    /// Packets of this code.
    pub fn packets(&self, code: Code) -> u64 {
        self.packets.get(code.index())
    }

    /// Their bytes.
    pub fn bytes(&self, code: Code) -> u64 {
        self.bytes.get(code.index())
    }
}

/// Upper ends of the buckets for the length of a turn, in microseconds.
pub const TURN_BUCKETS_US: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000];

/// How long turns took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TurnTimes {
    buckets: Tally<{ TURN_BUCKETS_US.len() }>,
    /// Turns.
    pub count: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl TurnTimes {
    /// One turn took so long.
    pub fn observe(&mut self, us: u64) {
        self.count += 1;
        self.sum_us += us;
        self.buckets.count(TURN_BUCKETS_US.partition_point(|&end| end < us));
    }

    /// Turns up to each bucket's upper end, and that end.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        TURN_BUCKETS_US.iter().enumerate().scan(0, |sum, (index, &end)| {
            *sum += self.buckets.get(index);
            Some((end, *sum))
        })
    }
}

/// The counters. They only grow.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Whole packets that came, handled or ignored.
    pub packets_in: Traffic,
    /// Packets that were queued, once for each receiver.
    pub packets_out: Traffic,
    /// Ignored packets by reason, in the order of [`Ignored::ALL`].
    pub ignored: Tally<{ Ignored::ALL.len() }>,
    /// Ends of connections by reason, in the order of [`CloseReason::ALL`].
    pub closed: Tally<{ CloseReason::ALL.len() }>,
    /// Ends of logins, in the order of [`LoginResult::ALL`].
    pub logins: Tally<{ LoginResult::ALL.len() }>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Accepts that failed, for lack of descriptors or otherwise.
    pub accept_errors: u64,
    /// Private messages and file chunks that were answered with an ERROR, since the receiver's queue was full.
    pub refused: u64,
    /// Packets that were passed on for other servers.
    pub relayed: u64,
    /// Packets that were queued for a link when it was lost.
    pub link_packets_dropped: u64,
    /// Handshakes that came to a good end.
    pub tls_handshakes: u64,
    /// Connections with TLS that failed, by reason.
    pub tls_failures: Tally<{ TlsFailure::ALL.len() }>,
    /// How long turns of the loop took, poll not counted.
    pub turns: TurnTimes,
}

impl Counters {
    /// A packet was ignored.
    pub fn ignore(&mut self, reason: Ignored) {
        self.ignored.count(reason.index());
    }

    /// A login has ended.
    pub fn log_in(&mut self, result: LoginResult) {
        self.logins.count(result.index());
    }

    /// A connection has ended.
    pub fn close(&mut self, reason: CloseReason) {
        self.closed.count(reason.index());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_are_alike_count_each_with_its_bytes() {
        let mut traffic = Traffic::default();
        traffic.count(Some(&0x20), 7, 1);
        traffic.count(Some(&0x20), 5, 3);
        traffic.count(Some(&0x0f), 9, 1);
        traffic.count(None, 9, 1);
        let counts = Code::ALL.iter().map(|&code| (traffic.packets(code), traffic.bytes(code)));
        assert_eq!(counts.clone().filter(|&count| count != (0, 0)).collect::<Vec<_>>(), [(4, 22)]);
        assert_eq!((traffic.packets(Code::MsgPbl), traffic.bytes(Code::MsgPbl)), (4, 22));
    }

    #[test]
    fn a_turn_counts_in_its_bucket_and_in_all_larger_ones() {
        let mut turns = TurnTimes::default();
        for us in [49, 50, 51, 100, 260, 1_000_000] {
            turns.observe(us);
        }
        assert_eq!((turns.count, turns.sum_us), (6, 1_000_510));
        let cumulative: Vec<(u64, u64)> = turns.cumulative().collect();
        assert_eq!(cumulative[..4], [(50, 2), (100, 4), (250, 4), (500, 5)]);
        assert_eq!(cumulative.last(), Some(&(250_000, 5)), "the longest is in none of them");
    }
}
