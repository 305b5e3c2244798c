//! Time as the program's inside knows it: handed in, never read.

use std::ops::Add;

/// Milliseconds since the process started, from a clock that never goes back. Only the reactor reads a clock; the
/// simulator makes one up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// A time that does not come. Smaller in a table of thousands than an `Option`.
    pub const NEVER: Millis = Millis(u64::MAX);

    /// Milliseconds from `earlier` until now, 0 if it is not earlier.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Millis {
    type Output = Millis;

    fn add(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}
