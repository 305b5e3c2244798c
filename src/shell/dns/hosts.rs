//! A search in `/etc/hosts`, which may have megabytes: a slice in each turn, so that no connection waits for it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::limits::{HOSTS_FILE_MAX_BYTES, HOSTS_SLICE_BYTES, RESOLVED_ADDRESSES_MAX, RESOLVER_FILE_MAX_BYTES};
use crate::shell::regular_file;

/// A small file, or nothing if it can't be read: a container may have neither. Warns if it is cut.
pub(super) fn read_small(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = regular_file::open(path).and_then(|file| file.take(RESOLVER_FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        log::debug!("{}: {error}", path.display());
    }
    if bytes.len() as u64 > RESOLVER_FILE_MAX_BYTES {
        warn_of_cut(path, RESOLVER_FILE_MAX_BYTES);
        bytes.truncate(RESOLVER_FILE_MAX_BYTES as usize);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn warn_of_cut(path: &Path, bytes: u64) {
    log::warn!("{} is read up to {bytes} bytes only: the rest is ignored", path.display());
}

/// Looks for the lines that name a host.
pub(super) struct Search {
    file: Option<File>,
    host: String,
    /// The beginning of a line, up to the end of what was read.
    line: Vec<u8>,
    /// The lines that name the host.
    found: String,
    found_lines: usize,
    read_bytes: u64,
}

impl Search {
    /// Opens the file. A file that cannot be opened counts as empty.
    pub fn new(path: &Path, host: &str) -> Search {
        let file = regular_file::open(path).inspect_err(|error| log::debug!("{}: {error}", path.display())).ok();
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        Search { file, host, line: Vec::new(), found: String::new(), found_lines: 0, read_bytes: 0 }
    }

    /// Reads the next slice. Returns the lines that name the host when all are read.
    pub fn step(&mut self, path: &Path) -> Option<String> {
        let mut slice = vec![0; HOSTS_SLICE_BYTES];
        let count = match self.file.as_mut().map(|file| file.read(&mut slice)) {
            Some(Ok(count)) => count,
            Some(Err(error)) => {
                log::debug!("{}: {error}", path.display());
                0
            }
            None => 0,
        };
        self.read_bytes += count as u64;
        let mut rest = slice.get(..count).unwrap_or_default();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end + 1);
            self.extend(line);
            self.end_line();
            rest = after;
        }
        self.extend(rest);
        let is_cut = self.read_bytes >= HOSTS_FILE_MAX_BYTES;
        if is_cut {
            warn_of_cut(path, HOSTS_FILE_MAX_BYTES);
        }
        if count == HOSTS_SLICE_BYTES && !is_cut && self.found_lines < RESOLVED_ADDRESSES_MAX {
            return None;
        }
        self.end_line();
        Some(std::mem::take(&mut self.found))
    }

    /// Of a line that is longer than any sensible one, the rest is passed over.
    fn extend(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() <= HOSTS_SLICE_BYTES {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Ok(line) = str::from_utf8(&line) else { return };
        let names = line.split('#').next().unwrap_or_default().split_whitespace().skip(1);
        if names.into_iter().any(|name| name.eq_ignore_ascii_case(&self.host)) {
            self.found.push_str(line.trim_end());
            self.found.push('\n');
            self.found_lines += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// A file with this text, and how it is read.
    fn search(text: &str, host: &str) -> (String, usize) {
        let path = std::env::temp_dir().join(format!("cfp-hosts-{}-{host}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).unwrap();
        let mut search = Search::new(&path, host);
        let mut steps = 1;
        let found = loop {
            match search.step(&path) {
                Some(found) => break found,
                None => steps += 1,
            }
        };
        std::fs::remove_file(&path).unwrap();
        (found, steps)
    }

    #[test]
    fn a_name_at_the_end_of_megabytes_is_found_a_slice_at_a_time() {
        let blocked: String = (0..100_000).map(|i| format!("0.0.0.0 advertisement{i}.test\n")).collect();
        let text = format!("{blocked}10.0.0.7 other CHAT # comment\n{blocked}10.0.0.8\tchat");
        let (found, steps) = search(&text, "chat.");
        assert_eq!(found, "10.0.0.7 other CHAT # comment\n10.0.0.8\tchat\n");
        assert!(steps >= text.len() / HOSTS_SLICE_BYTES, "{steps}");
        assert_eq!(search(&text, "comment").0, "");
        assert_eq!(search(&text, "10.0.0.8").0, "", "an address is no name");
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory_and_hides_no_other() {
        let text = format!("10.0.0.1 {} chat\n10.0.0.2 chat\n", "x".repeat(3 * HOSTS_SLICE_BYTES));
        assert_eq!(search(&text, "chat").0, "10.0.0.2 chat\n");
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("cfp-hosts-fifo-{}", std::process::id()));
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert_eq!(Search::new(&path, "chat").step(&path).as_deref(), Some(""));
        assert_eq!(read_small(&path), "");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Search::new(&path, "chat").step(&path).as_deref(), Some(""));
    }
}
