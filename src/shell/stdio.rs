//! Standard output and standard error. A message that cannot be written never makes the program panic. Standard error
//! never makes the server wait, whether it is a full pipe, a socket, or a terminal that nothing reads.
//!
//! ```text
//!  regular file       write(2)              waits for the disk and nothing else
//!  socket             send(MSG_DONTWAIT)
//!  pipe, terminal …   write(2) on a second, non-blocking opening of it; the first one belongs to others, too
//!                     if it cannot be opened again: made non-blocking for as long as a write takes
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::{retry_on_intr, write};
use rustix::net::{SendFlags, send};

use crate::limits::{LOG_LINE_MAX_BYTES, STDERR_PATIENCE_MS};

/// Standard error, opened again at its first use. All lines of the process go through it.
static STDERR: Mutex<Option<Stderr>> = Mutex::new(None);

/// Writes a text to standard output. The error is a line that says why it could not be.
pub fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| format!("standard output: {error}"))
}

/// As [`print`], for a text that the user asked for. If its reader has gone, as in `--help | head -1`, that is no error.
pub fn show(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}

/// Writes a last line to standard error. If that is full, waits a moment, but not for ever. A line that cannot be
/// written is lost, because there is no other place for it.
pub fn complain(text: &str) {
    let until = Instant::now() + Duration::from_millis(STDERR_PATIENCE_MS);
    with_stderr(|stderr| {
        stderr.line(text.as_bytes());
        while !stderr.finish() && stderr.wait_until(until) {}
    });
}

/// Writes a line to standard error if that takes it now; else the line is counted, and the next one that can be written
/// stands behind a line with the number.
pub fn write_line(line: &[u8]) {
    with_stderr(|stderr| stderr.line(line));
}

/// Whether standard error is the journal's: it adds the time by itself and takes priorities in front of lines
/// (`JOURNAL_STREAM` of systemd.exec(5)).
pub fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IS_JOURNAL.get_or_init(|| {
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
    })
}

fn with_stderr(write: impl FnOnce(&mut Stderr)) {
    let mut stderr = STDERR.lock().unwrap_or_else(PoisonError::into_inner);
    write(stderr.get_or_insert_with(|| Stderr::new(Sink::of_stderr())));
}

/// A line that says how many lines are missing. It has the priority of a warning if lines have priorities.
fn missing(dropped: u64) -> Vec<u8> {
    let priority = if is_journal() { "<4>" } else { "" };
    format!("{priority}{dropped} log lines were dropped: standard error took nothing\n").into_bytes()
}

/// Lines on their way.
struct Stderr {
    sink: Sink,
    /// The end of a line whose beginning is written.
    rest: Vec<u8>,
    dropped: u64,
}

enum Sink {
    File,
    Socket,
    Reopened(File),
    Shared,
}

impl Stderr {
    fn new(sink: Sink) -> Stderr {
        Stderr { sink, rest: Vec::new(), dropped: 0 }
    }

    fn line(&mut self, line: &[u8]) {
        let is_free = self.finish() && (self.dropped == 0 || self.put(&missing(self.dropped)));
        if !is_free {
            self.dropped += 1;
            return;
        }
        self.dropped = 0;
        let is_written = match line.get(..LOG_LINE_MAX_BYTES - 1) {
            // Of the note before it, something may still be on its way.
            _ if !self.rest.is_empty() => false,
            Some(cut) => self.put(&[cut, b"\n"].concat()),
            None => self.put(line),
        };
        self.dropped += u64::from(!is_written);
    }

    /// Writes the rest of the line before. Returns whether that is done.
    fn finish(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        rest.is_empty() || {
            let written = self.sink.write(&rest).unwrap_or(0);
            self.rest = rest.get(written..).unwrap_or_default().to_vec();
            self.rest.is_empty()
        }
    }

    /// Begins a line. Returns whether it was begun.
    fn put(&mut self, line: &[u8]) -> bool {
        let Ok(written) = self.sink.write(line) else { return false };
        self.rest = line.get(written..).unwrap_or_default().to_vec();
        true
    }

    /// Waits until something can be written. Returns whether that may be so.
    fn wait_until(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return false };
        let stderr = io::stderr();
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        // An error of the other end is a reason to stop, too.
        matches!(poll(&mut fds, Some(&left)), Ok(1..)) && fds.iter().all(|fd| fd.revents() == PollFlags::OUT)
    }
}

impl Sink {
    fn of_stderr() -> Sink {
        let stderr = io::stderr();
        match fstat(&stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => Sink::File,
            Ok(FileType::Socket) => Sink::Socket,
            Ok(_) => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                // Fails if there is no /proc, or if the terminal is another user's.
                open("/proc/self/fd/2", flags, Mode::empty()).map_or(Sink::Shared, |fd| Sink::Reopened(fd.into()))
            }
            Err(_) => Sink::Shared,
        }
    }

    /// Writes what can be written at once. Nothing written is an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let written = match self {
            Sink::File => retry_on_intr(|| write(&stderr, bytes))?,
            Sink::Socket => send(&stderr, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?,
            Sink::Reopened(file) => retry_on_intr(|| write(&*file, bytes))?,
            Sink::Shared => {
                let flags = fcntl_getfl(&stderr)?;
                fcntl_setfl(&stderr, flags | OFlags::NONBLOCK)?;
                let written = retry_on_intr(|| write(&stderr, bytes));
                fcntl_setfl(&stderr, flags)?;
                written?
            }
        };
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }
}
