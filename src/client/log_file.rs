//! The log of a conversation: lines are appended to a file, which may be rotated meanwhile.
//!
//! ```text
//!  2026-11-27T12:01:02+01:00 [7] ana: hi
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use rustix::fs::OFlags;

use super::escape::Visible;
use super::limits::LOG_CHECK_MS;
use super::paths;

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode, by which a rotated file is noticed.
    identity: (u64, u64),
    checked_ms: i64,
    /// The last line could not be written: that was said.
    has_failed: bool,
    /// The file ends with the beginning of a line that could not be written whole.
    is_torn: bool,
    zone: TimeZone,
}

impl LogFile {
    /// Opens or makes a log; a new one is for its owner alone.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path) -> io::Result<LogFile> {
        // A relative path is meant from where we are now.
        let path = std::path::absolute(paths::expand(path))?;
        let (file, identity) = open(&path)?;
        Ok(LogFile { path, file, identity, checked_ms: 0, has_failed: false, is_torn: false, zone: TimeZone::system() })
    }

    /// Appends a line, which is safe to show.
    ///
    /// # Errors
    /// The first failure after a success: the following ones are the same.
    pub fn write(&mut self, text: &str, now: Timestamp) -> io::Result<()> {
        let written = self.reopen_if_rotated(now.as_millisecond()).and_then(|()| {
            let time = now.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            // The next line would stand behind the torn one, as a part of it.
            let begin = if self.is_torn { "\n" } else { "" };
            self.append(format!("{begin}{time} {text}\n").as_bytes())
        });
        let had_failed = std::mem::replace(&mut self.has_failed, written.is_err());
        if had_failed { Ok(()) } else { written }
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.is_torn = !bytes.is_empty();
        }
        Ok(())
    }

    /// Its path, safe to show.
    pub fn shown_path(&self) -> String {
        Visible(&self.path.to_string_lossy()).to_string()
    }

    /// Another file may have its name now, or none.
    fn reopen_if_rotated(&mut self, now_ms: i64) -> io::Result<()> {
        if now_ms.abs_diff(self.checked_ms) < LOG_CHECK_MS {
            return Ok(());
        }
        let there = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        if there.ok() != Some(self.identity) {
            (self.file, self.identity) = open(&self.path)?;
            self.is_torn = false;
        }
        self.checked_ms = now_ms;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, (u64, u64))> {
    let mut options = OpenOptions::new();
    // A named pipe without a reader would hold us up.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    Ok((file, (meta.dev(), meta.ino())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn lines_are_appended_with_their_time_and_a_rotated_file_is_opened_anew() {
        let folder = std::env::temp_dir().join(format!("cfp-log-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("log");
        std::fs::write(&path, "before\n").unwrap();
        let mut log = LogFile { zone: TimeZone::UTC, ..LogFile::open(&path).unwrap() };
        log.write("[7] ana: hi", at(0)).unwrap();
        std::fs::rename(&path, folder.join("log.1")).unwrap();
        log.write("* next", at(60)).unwrap();
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("log.1"), "before\n2027-01-15T08:00:00+00:00 [7] ana: hi\n");
        assert_eq!(read("log"), "2027-01-15T08:01:00+00:00 * next\n");
        std::fs::remove_dir_all(&folder).unwrap();
        // One failure is said, and when the folder is there again, it goes on.
        assert!(log.write("lost", at(120)).is_err());
        assert!(log.write("lost", at(180)).is_ok());
        std::fs::create_dir(&folder).unwrap();
        log.write("* again", at(240)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2027-01-15T08:04:00+00:00 * again\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_line_behind_one_that_was_not_written_whole_is_a_line_of_its_own() {
        let folder = std::env::temp_dir().join(format!("cfp-log-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("log");
        let mut log = LogFile { zone: TimeZone::UTC, ..LogFile::open(&path).unwrap() };
        // The disk was full in the midst of a line.
        log.write("[7] ana: torn", at(0)).unwrap();
        log.file.set_len(30).unwrap();
        log.is_torn = true;
        log.write("[7] ana: whole", at(1)).unwrap();
        log.write("[7] ana: next", at(2)).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = written.lines().skip(1).collect();
        let expected = ["2027-01-15T08:00:01+00:00 [7] ana: whole", "2027-01-15T08:00:02+00:00 [7] ana: next"];
        assert_eq!(lines, expected);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
