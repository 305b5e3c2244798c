//! The progress of each transfer, for the status line. The threads that move the bytes count it, and the editor's
//! thread draws it.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use super::limits::{RATE_WINDOW_MS, STATUS_MS};
use super::term::width::columns_of;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is read through for its SHA-256, before it goes.
    Hashing,
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
    /// What was done at which time, the oldest first, for the last few seconds.
    samples: Mutex<VecDeque<(u64, u64)>>,
}

impl Meter {
    /// Sets how many bytes are through.
    pub fn set(&self, done_bytes: u64) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
    }

    /// How many bytes are through.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed).min(self.total_bytes)
    }

    /// What happens to the file.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Time since its beginning.
    pub fn elapsed_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Bytes a second, lately. A sender's first bytes only fill buffers on the way: after a few seconds the rate is that
    /// at which its receiver takes them.
    fn rate(&self, now_ms: u64) -> u64 {
        let done_bytes = self.done_bytes();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.back().is_none_or(|&(at_ms, _)| now_ms.saturating_sub(at_ms) >= STATUS_MS) {
            samples.push_back((now_ms, done_bytes));
        }
        while samples.len() > 1 && samples.front().is_some_and(|&(at_ms, _)| now_ms - at_ms > RATE_WINDOW_MS) {
            samples.pop_front();
        }
        let &(since_ms, before_bytes) = samples.front().unwrap_or(&(0, 0));
        let moved = u128::from(done_bytes.saturating_sub(before_bytes)) * 1000;
        u64::try_from(moved / u128::from((now_ms - since_ms).max(1))).unwrap_or(u64::MAX)
    }
}

/// The transfers under way. Clones show the same transfers.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    meters: Mutex<Vec<Weak<Meter>>>,
    numbers: AtomicU64,
    /// Wakes the thread that draws.
    waker: OnceLock<UnixStream>,
}

impl Progress {
    /// The number of the next file, by which the user can name it.
    pub fn next_number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// From now on, the beginning of a transfer writes a byte here.
    pub fn wake_with(&self, waker: UnixStream) {
        // There is one screen.
        let _ = self.0.waker.set(waker);
    }

    /// Adds a transfer; `name` is shown as it is given.
    pub fn begin(&self, direction: Direction, name: String, total_bytes: u64) -> Arc<Meter> {
        self.begin_at(direction, name, total_bytes, 0)
    }

    /// Adds a transfer that has begun before.
    pub fn begin_at(&self, direction: Direction, name: String, total_bytes: u64, done_bytes: u64) -> Arc<Meter> {
        let samples = Mutex::new(VecDeque::from([(0, done_bytes)]));
        let done_bytes = AtomicU64::new(done_bytes);
        let meter = Arc::new(Meter { direction, name, total_bytes, done_bytes, begun: Instant::now(), samples });
        let mut meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        meters.push(Arc::downgrade(&meter));
        if let Some(mut waker) = self.0.waker.get() {
            // If it is full, the other side is awake.
            let _ = waker.write(&[1]);
        }
        meter
    }

    /// Whether there are any.
    pub fn is_under_way(&self) -> bool {
        let meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.iter().any(|meter| meter.strong_count() > 0)
    }

    /// One line for all of them, empty if there are none. Those that do not fit are counted.
    pub fn status(&self, columns: usize) -> String {
        let mut meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        let parts: Vec<String> = meters.iter().filter_map(Weak::upgrade).map(|meter| part(&meter)).collect();
        drop(meters);
        fit(&parts, columns)
    }
}

/// As many parts as fit, and the number of the others. The first one is always there.
fn fit(parts: &[String], columns: usize) -> String {
    for shown in (1..=parts.len()).rev() {
        let mut line = parts.get(..shown).unwrap_or_default().join("   ");
        if shown < parts.len() {
            line.push_str(&format!("   +{} more", parts.len() - shown));
        }
        if shown == 1 && parts.len() > 1 && columns_of(&line) > columns {
            return format!("+{} more   {}", parts.len() - 1, parts.first().map_or("", String::as_str));
        }
        if shown == 1 || columns_of(&line) <= columns {
            return line;
        }
    }
    String::new()
}

fn part(meter: &Meter) -> String {
    let rate = meter.rate(meter.elapsed_ms());
    describe(meter.direction, &meter.name, meter.done_bytes(), meter.total_bytes, rate)
}

/// `↑ photo.jpg ███░░░░░ 40% 12.5 MB/s, 3 s left`.
fn describe(direction: Direction, name: &str, done_bytes: u64, total_bytes: u64, rate: u64) -> String {
    let percent = (u128::from(done_bytes) * 100).checked_div(u128::from(total_bytes)).unwrap_or(100) as u64;
    const CELLS: u64 = 8;
    let full = percent * CELLS / 100;
    let bar: String = (0..CELLS).map(|cell| if cell < full { '█' } else { '░' }).collect();
    let left = match (total_bytes - done_bytes).checked_div(rate) {
        Some(seconds) => format!(", {} left", duration(seconds)),
        None => String::new(),
    };
    match direction {
        Direction::Hashing => format!("# {name} {bar} {percent}% read for its SHA-256"),
        Direction::Sending => format!("↑ {name} {bar} {percent}% {}/s{left}", size(rate)),
        Direction::Receiving => format!("↓ {name} {bar} {percent}% {}/s{left}", size(rate)),
    }
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
        let line = describe(Direction::Sending, "a.iso", 40_000_000, 100_000_000, 20_000_000);
        assert_eq!(line, "↑ a.iso ███░░░░░ 40% 20.0 MB/s, 3 s left");
        let line = describe(Direction::Receiving, "b", 0, 5_000, 0);
        assert_eq!(line, "↓ b ░░░░░░░░ 0% 0 bytes/s");
        assert!(describe(Direction::Sending, "empty", 0, 0, 0).contains("100%"));
        assert!(describe(Direction::Sending, "x", u64::MAX, u64::MAX, 0).contains("100%"));
        assert_eq!(describe(Direction::Hashing, "x", 1, 2, 9), "# x ████░░░░ 50% read for its SHA-256");
    }

    #[test]
    fn transfers_that_do_not_fit_are_counted() {
        let parts: Vec<String> = ["aaaa", "bbbb", "cccc"].map(str::to_owned).to_vec();
        assert_eq!(fit(&parts, 18), "aaaa   bbbb   cccc");
        assert_eq!(fit(&parts, 17), "aaaa   +2 more");
        assert_eq!(fit(&parts, 13), "+2 more   aaaa");
        assert_eq!(fit(&parts[..1], 2), "aaaa");
        assert_eq!(fit(&[], 10), "");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let meter = Progress::default().begin(Direction::Sending, "x".into(), 1 << 40);
        // A burst that fills buffers, then the receiver's pace.
        meter.set(10_000_000);
        assert_eq!(meter.rate(1_000), 10_000_000);
        for second in 2..=7 {
            meter.set(10_000_000 + (second - 1) * 1_000_000);
            meter.rate(second * 1_000);
        }
        assert_eq!(meter.rate(7_000), 1_000_000);
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
        assert_eq!(progress.status(80), "");
        let meter = progress.begin(Direction::Sending, "x".into(), 100);
        meter.set(50);
        assert!(progress.status(80).starts_with("↑ x ████░░░░ 50%"));
        drop(meter);
        assert_eq!(progress.status(80), "");
    }
}
