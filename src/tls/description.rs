//! A certificate in words.

use std::time::{SystemTime, UNIX_EPOCH};

/// A certificate, as the log and the metrics tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The first name in it.
    pub name: String,
    /// Its last second, counted from 1970.
    pub ends: u64,
    /// SHA-256 of it, in hexadecimal digits.
    pub fingerprint: String,
    /// What is not wrong and yet worth a warning.
    pub warning: Option<String>,
}

impl Description {
    /// Seconds until its end; past it, none.
    pub fn seconds_left(&self) -> u64 {
        self.ends.saturating_sub(now())
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "certificate for {}, until {}, sha256 {}", self.name, date(self.ends), self.fingerprint)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The day in UTC of a second since 1970, as 2027-02-01 (Howard Hinnant, chrono-compatible low-level date algorithms).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{}-{month:02}-{day:02}", year_of_era + era * 400 + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        let dates = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_801_440_000, "2027-02-01"),
            (4_107_542_399, "2100-02-28"),
        ];
        for (seconds, expected) in dates {
            assert_eq!(date(seconds), expected);
        }
    }
}
