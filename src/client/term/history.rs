//! Lines that were typed, also in earlier runs.
//!
//! The file has an entry a line, the latest last, with `\n` for a line break and `\\` for a backslash. Clients that run
//! at the same time append to it; each start shortens it to its bound.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::client::limits::{HISTORY_BYTES, HISTORY_FILE_BYTES, HISTORY_LINES};

/// Longest line of the file: the longest entry, each character of which may be an escape, and a line break.
const ENTRY_BYTES: u64 = 2 * HISTORY_BYTES as u64 + 1;

/// The history, and the position in it.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<String>,
    bytes: usize,
    /// Entries back from the end; 0 is what is being typed.
    back: usize,
    /// What was being typed before the history was looked through.
    draft: String,
    file: Option<(PathBuf, File)>,
}

impl History {
    /// A history that is kept in a file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path) -> io::Result<History> {
        let mut history = History::default();
        let mut file = open(path)?;
        let size = file.metadata()?.len();
        // What is older than the bound is not even read.
        let before = size.saturating_sub(HISTORY_FILE_BYTES);
        file.seek(SeekFrom::Start(before))?;
        let mut reader = BufReader::new((&file).take(HISTORY_FILE_BYTES));
        let (mut read, mut is_cut) = (0, before > 0);
        if is_cut {
            reader.skip_until(b'\n')?;
        }
        let mut line = Vec::new();
        while (&mut reader).take(ENTRY_BYTES).read_until(b'\n', &mut line)? > 0 {
            read += 1;
            // The next entry would be behind it in one line.
            is_cut |= !line.ends_with(b"\n");
            if line.len() as u64 == ENTRY_BYTES && !line.ends_with(b"\n") {
                // No line of ours, so it costs none of ours.
                reader.skip_until(b'\n')?;
            } else {
                let entry = unescape(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
                if (1..=HISTORY_BYTES).contains(&entry.len()) {
                    history.keep(entry);
                }
            }
            line.clear();
        }
        if before > 0 && history.entries.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its end has no entry"));
        }
        if is_cut || read > history.entries.len() + HISTORY_LINES / 2 {
            file = history.shorten(path)?;
        }
        history.file = Some((path.to_owned(), file));
        Ok(history)
    }

    /// Adds a line that was entered.
    ///
    /// # Errors
    /// It could not be written to the file, and no further one will be.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        self.back = 0;
        self.draft.clear();
        if line.trim().is_empty() || self.entries.back().is_some_and(|last| last == line) || line.len() > HISTORY_BYTES
        {
            return Ok(());
        }
        self.keep(line.to_owned());
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let written = reopen_if_replaced(path, file).and_then(|()| file.write_all((escape(line) + "\n").as_bytes()));
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// One entry back, from what is being typed.
    pub fn previous(&mut self, typed: &str) -> Option<&str> {
        let at = self.entries.len().checked_sub(self.back + 1)?;
        if self.back == 0 {
            typed.clone_into(&mut self.draft);
        }
        self.back += 1;
        self.entries.get(at).map(String::as_str)
    }

    /// One entry on; in the end, what was being typed.
    pub fn following(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(&self.draft);
        }
        self.entries.get(self.entries.len() - self.back).map(String::as_str)
    }

    /// The latest entry that holds `part`, of those that are at least `skipped` back, and how far back it is.
    pub fn search(&self, part: &str, skipped: usize) -> Option<(usize, &str)> {
        let mut back = self.entries.iter().rev().enumerate().skip(skipped);
        back.find(|(_, entry)| entry.contains(part)).map(|(back, entry)| (back, entry.as_str()))
    }

    fn keep(&mut self, line: String) {
        self.bytes += line.len();
        self.entries.push_back(line);
        while self.entries.len() > HISTORY_LINES || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// Writes the file anew.
    fn shorten(&self, path: &Path) -> io::Result<File> {
        let beside = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        let lines: String = self.entries.iter().map(|entry| escape(entry) + "\n").collect();
        let written = file.write_all(lines.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        written?;
        open(path)
    }
}

/// Another client may have shortened the file, which makes it another one.
fn reopen_if_replaced(path: &Path, file: &mut File) -> io::Result<()> {
    let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    if std::fs::metadata(path).map(identity).ok() != Some(identity(file.metadata()?)) {
        *file = open(path)?;
    }
    Ok(())
}

/// For its owner alone, whatever it was. A named pipe would hold us up.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o600))?;
    Ok(file)
}

fn escape(line: &str) -> String {
    line.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_goes_back_and_on_to_what_was_being_typed() {
        let mut history = History::default();
        for line in ["one", "two", "two", "  "] {
            history.add(line).unwrap();
        }
        assert_eq!(history.previous("dra"), Some("two"));
        assert_eq!(history.previous("two"), Some("one"));
        assert_eq!(history.previous("one"), None);
        assert_eq!(history.following(), Some("two"));
        assert_eq!(history.following(), Some("dra"));
        assert_eq!(history.following(), None);
        assert_eq!(history.search("o", 0), Some((0, "two")));
        assert_eq!(history.search("o", 1), Some((1, "one")));
        assert_eq!(history.search("x", 0), None);
    }

    #[test]
    fn a_line_of_whatever_length_that_another_program_wrote_costs_no_entry() {
        let path = std::env::temp_dir().join(format!("cfp-history-{:016x}", getrandom::u64().unwrap()));
        for foreign in [HISTORY_BYTES + 1, 2 * HISTORY_BYTES, 2 * HISTORY_BYTES + 1, 5 * HISTORY_BYTES] {
            for end in ["", "\n", "\nlast\n"] {
                std::fs::write(&path, format!("one\ntwo\n{}{end}", "x".repeat(foreign))).unwrap();
                let history = History::open(&path).unwrap();
                let last: &[&str] = if end.contains("last") { &["last"] } else { &[] };
                assert_eq!(history.entries, [&["one", "two"], last].concat(), "{foreign} {end:?}");
                let kept = History::open(&path).unwrap();
                assert_eq!(kept.entries, history.entries, "{foreign} {end:?}");
            }
        }
        std::fs::write(&path, "one\ncut o").unwrap();
        History::open(&path).unwrap().add("two").unwrap();
        assert_eq!(History::open(&path).unwrap().entries, ["one", "cut o", "two"]);
        // No entry is found: the file is left as it is.
        File::create(&path).unwrap().set_len(HISTORY_FILE_BYTES + 1).unwrap();
        assert!(History::open(&path).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HISTORY_FILE_BYTES + 1);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn it_is_kept_for_its_owner_alone_with_line_breaks_and_within_its_bound() {
        let path = std::env::temp_dir().join(format!("cfp-history-{:016x}", getrandom::u64().unwrap()));
        let mut history = History::open(&path).unwrap();
        history.add("a\nb\\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(History::open(&path).unwrap().previous(""), Some("a\nb\\n"));
        for number in 0..3 * HISTORY_LINES {
            history.add(&number.to_string()).unwrap();
        }
        assert_eq!(history.entries.len(), HISTORY_LINES);
        drop(history);
        let last = (3 * HISTORY_LINES - 1).to_string();
        assert_eq!(History::open(&path).unwrap().previous(""), Some(last.as_str()));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), HISTORY_LINES);
        std::fs::remove_file(path).unwrap();
    }
}
