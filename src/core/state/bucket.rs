//! A number of bytes that may be used now, and how it grows again.

use crate::core::time::Millis;

/// Bytes in hand. They may become negative: a debt, which time pays off. Counted in thousandths, so that a slow rate
/// adds something in each millisecond.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    millibytes: i64,
    at: Millis,
}

impl Bucket {
    /// A bucket that holds so many bytes.
    pub fn holding(bytes: usize, now: Millis) -> Bucket {
        Bucket { millibytes: millibytes(bytes), at: now }
    }

    /// Adds what has come since the last call, at `rate_bytes` a second, up to `most_bytes`.
    pub fn refill(&mut self, rate_bytes: usize, most_bytes: usize, now: Millis) {
        let elapsed_ms = i64::try_from(now.since(self.at)).unwrap_or(i64::MAX);
        let added = elapsed_ms.saturating_mul(i64::try_from(rate_bytes).unwrap_or(i64::MAX));
        self.millibytes = self.millibytes.saturating_add(added).min(millibytes(most_bytes));
        self.at = self.at.max(now);
    }

    /// Uses so many bytes. It owes no more for that than `most_owed_bytes`; a larger debt of before stays.
    pub fn take(&mut self, bytes: usize, most_owed_bytes: usize) {
        let least = self.millibytes.min(-millibytes(most_owed_bytes));
        self.millibytes = self.millibytes.saturating_sub(millibytes(bytes)).max(least);
    }

    /// Whether there is something in it.
    pub fn has_some(&self) -> bool {
        self.millibytes > 0
    }

    /// Whether there are so many bytes in it.
    pub fn has(&self, bytes: usize) -> bool {
        self.millibytes >= millibytes(bytes)
    }

    /// Whole bytes in it.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.millibytes / 1000).unwrap_or(0)
    }

    /// When there will be so many bytes in it, and more than none.
    pub fn when_it_has(&self, bytes: usize, rate_bytes: usize) -> Millis {
        let missing = millibytes(bytes).max(1).saturating_sub(self.millibytes);
        let missing = u64::try_from(missing).unwrap_or(0);
        self.at + missing.div_ceil(u64::try_from(rate_bytes).unwrap_or(u64::MAX).max(1))
    }
}

fn millibytes(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_comes_back_by_the_millisecond_up_to_a_most() {
        let mut bucket = Bucket::holding(100, Millis(0));
        bucket.take(100, usize::MAX);
        assert!(!bucket.has_some());
        for ms in 1..=1000 {
            bucket.refill(10, 50, Millis(ms));
        }
        assert_eq!((bucket.bytes(), bucket.has(10), bucket.has(11)), (10, true, false));
        bucket.refill(10, 50, Millis(1_000_000));
        assert_eq!(bucket.bytes(), 50);
    }

    #[test]
    fn a_debt_is_paid_off_in_its_time_and_never_larger_than_allowed() {
        let mut bucket = Bucket::holding(0, Millis(7));
        bucket.take(5000, 1000);
        assert_eq!(bucket.when_it_has(0, 100), Millis(7 + 10_001));
        bucket.take(5, 10);
        assert_eq!(bucket.when_it_has(0, 100), Millis(7 + 10_001), "a debt of before stays");
        assert_eq!(bucket.when_it_has(50, 100), Millis(7 + 10_500));
        bucket.refill(100, 100, Millis(10_007));
        assert!(!bucket.has_some());
        bucket.refill(100, 100, Millis(10_008));
        assert!(bucket.has_some());
        assert_eq!(bucket.when_it_has(0, 100), Millis(10_008));
    }
}
