//! The progress of each transfer, for the status line. The threads that move the bytes count it, and the editor's
//! thread draws it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// The way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From us.
    Sending,
    /// To us.
    Receiving,
}

/// One transfer's count. Gone from the status line when the transfer drops it.
#[derive(Debug)]
pub struct Meter {
    direction: Direction,
    name: String,
    total_bytes: u64,
    done_bytes: AtomicU64,
    begun: Instant,
}

impl Meter {
    /// Sets how many bytes are through.
    pub fn set(&self, done_bytes: u64) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
    }

    /// Time since its beginning.
    pub fn elapsed_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }
}

/// The transfers under way. Clones show the same transfers.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Vec<Weak<Meter>>>>);

impl Progress {
    /// Adds a transfer; `name` is shown as it is given.
    pub fn begin(&self, direction: Direction, name: String, total_bytes: u64) -> Arc<Meter> {
        let meter =
            Arc::new(Meter { direction, name, total_bytes, done_bytes: AtomicU64::new(0), begun: Instant::now() });
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        meters.push(Arc::downgrade(&meter));
        meter
    }

    /// One line for all of them; empty if there are none.
    pub fn status(&self) -> String {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        let parts: Vec<String> = meters.iter().filter_map(Weak::upgrade).map(|meter| part(&meter)).collect();
        parts.join("   ")
    }
}

fn part(meter: &Meter) -> String {
    let done_bytes = meter.done_bytes.load(Ordering::Relaxed).min(meter.total_bytes);
    describe(meter.direction, &meter.name, done_bytes, meter.total_bytes, meter.elapsed_ms())
}

/// `↑ photo.jpg ███░░░░░ 40% 12.5 MB/s 3 s left`.
fn describe(direction: Direction, name: &str, done_bytes: u64, total_bytes: u64, elapsed_ms: u64) -> String {
    let arrow = if direction == Direction::Sending { '↑' } else { '↓' };
    let percent = (u128::from(done_bytes) * 100).checked_div(u128::from(total_bytes)).unwrap_or(100) as u64;
    const CELLS: u64 = 8;
    let full = percent * CELLS / 100;
    let bar: String = (0..CELLS).map(|cell| if cell < full { '█' } else { '░' }).collect();
    let rate = u128::from(done_bytes) * 1000 / u128::from(elapsed_ms.max(1));
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    let left = match (total_bytes - done_bytes).checked_div(rate) {
        Some(seconds) => format!(", {} left", duration(seconds)),
        None => String::new(),
    };
    format!("{arrow} {name} {bar} {percent}% {}/s{left}", size(rate))
}

/// A size for people: `999 bytes`, `1.5 kB`, `20.0 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    }
    let mut scaled = bytes as f64 / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // From 999.95 on it would read as 1000.0.
    while scaled >= 999.95 {
        let Some(larger) = units.next() else { break };
        (scaled, unit) = (scaled / 1000.0, larger);
    }
    format!("{scaled:.1} {unit}")
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_has_share_rate_and_time_left() {
        let line = describe(Direction::Sending, "a.iso", 40_000_000, 100_000_000, 2_000);
        assert_eq!(line, "↑ a.iso ███░░░░░ 40% 20.0 MB/s, 3 s left");
        let line = describe(Direction::Receiving, "b", 0, 5_000, 0);
        assert_eq!(line, "↓ b ░░░░░░░░ 0% 0 bytes/s");
        assert!(describe(Direction::Sending, "empty", 0, 0, 0).contains("100%"));
        assert!(describe(Direction::Sending, "x", u64::MAX, u64::MAX, 0).contains("100%"));
    }

    #[test]
    fn sizes_and_times_read_well_at_their_borders() {
        let sizes = [0, 1, 999, 1000, 999_949, 999_950, 1_000_000, 12_345_678].map(size);
        let expected = ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "1.0 MB", "12.3 MB"];
        assert_eq!(sizes, expected);
        assert_eq!([0, 59, 60, 3599, 3660].map(duration), ["0 s", "59 s", "1:00 min", "59:59 min", "1:01 h"]);
    }

    #[test]
    fn a_transfer_is_on_the_status_line_until_it_is_over() {
        let progress = Progress::default();
        assert_eq!(progress.status(), "");
        let meter = progress.begin(Direction::Sending, "x".into(), 100);
        meter.set(50);
        assert!(progress.status().starts_with("↑ x ████░░░░ 50%"));
        drop(meter);
        assert_eq!(progress.status(), "");
    }
}
