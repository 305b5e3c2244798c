//! Log lines that can't stop the loop and don't bury each other.
//!
//! `env_logger` filters and formats. Two things are put around it: lines from one place of the program that repeat are
//! held back and counted, and a standard error that takes nothing (a full pipe, a stopped terminal) loses lines, which
//! are counted too, instead of blocking the one thread that there is.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use env_logger::{Builder, Env, Logger, Target};
use log::{Level, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Lines from one place of the program that are let through in one [`WINDOW`].
const LINES_PER_WINDOW: u32 = 20;
/// After this, a place of the program may speak again, and what was held back is said as a number.
const WINDOW: Duration = Duration::from_secs(10);
/// A pipe that polls writable takes so much without blocking (PIPE_BUF of Linux): longer lines are cut.
const LINE_MAX_BYTES: usize = 4096;
/// Places of the program that are counted; there are fewer log calls than this.
const PLACES_MAX: usize = 256;

/// Starts the log: to standard error, `info` and above unless `RUST_LOG` says otherwise.
pub fn start() {
    let logger = Builder::from_env(Env::default().default_filter_or("info"))
        .format_target(false)
        .target(Target::Pipe(Box::new(PatientStderr::default())))
        .build();
    log::set_max_level(logger.filter());
    // Fails where a log was started before, which then stays.
    let _ = log::set_boxed_logger(Box::new(Throttled { logger, places: Mutex::default() }));
}

/// Lets each place of the program speak so often and no more.
struct Throttled {
    logger: Logger,
    places: Mutex<BTreeMap<(&'static str, u32), Place>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    window_began: Instant,
    lines: u32,
    held_back: u64,
}

impl Place {
    /// Counts a line. Returns whether it may be written, and how many were held back before it.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        if now.duration_since(self.window_began) >= WINDOW {
            *self = Place { window_began: now, lines: 0, held_back: self.held_back };
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES_PER_WINDOW {
            self.held_back += 1;
            return (false, 0);
        }
        (true, std::mem::take(&mut self.held_back))
    }
}

impl Log for Throttled {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.logger.matches(record) {
            return;
        }
        let place = (record.file_static().unwrap_or(""), record.line().unwrap_or(0));
        let now = Instant::now();
        let (is_admitted, held_back) = match self.places.lock() {
            Ok(mut places) if places.len() < PLACES_MAX || places.contains_key(&place) => {
                places.entry(place).or_insert(Place { window_began: now, lines: 0, held_back: 0 }).admit(now)
            }
            _ => (true, 0),
        };
        if held_back > 0 {
            let text = format_args!("{held_back} more lines like the next one were held back");
            self.logger.log(&Record::builder().level(Level::Warn).args(text).build());
        }
        if is_admitted {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Standard error that is asked before each line whether it takes one.
#[derive(Default)]
struct PatientStderr {
    dropped: u64,
}

impl Write for PatientStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !is_writable() {
            self.dropped += 1;
            return Ok(line.len());
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            io::stderr()
                .write_all(format!("{dropped} log lines were dropped: standard error took nothing\n").as_bytes())?;
            if !is_writable() {
                self.dropped += 1;
                return Ok(line.len());
            }
        }
        match line.get(..LINE_MAX_BYTES - 1) {
            Some(cut) => io::stderr().write_all(cut).and_then(|()| io::stderr().write_all(b"\n"))?,
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error takes a line now. Where that can't be found out, it is tried.
fn is_writable() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut fds, Some(&at_once)), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_repeats_itself_is_held_back_and_says_how_often_when_it_may_speak_again() {
        let began = Instant::now();
        let mut place = Place { window_began: began, lines: 0, held_back: 0 };
        let admitted = (0..50).filter(|_| place.admit(began).0).count();
        assert_eq!(admitted, LINES_PER_WINDOW as usize);
        assert_eq!(place.admit(began + WINDOW), (true, 30));
        assert_eq!(place.admit(began + WINDOW), (true, 0));
    }
}
