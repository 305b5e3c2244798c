//! The control socket's two ends in the file system: the listener that operators connect to, and `--ask`.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::UnixListener;

use crate::limits;

/// The control socket's listener. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlListener {
    /// For the reactor to watch.
    pub listener: UnixListener,
    path: PathBuf,
}

impl ControlListener {
    /// Listens at `path`, for nobody but our own user. A socket file left over from a server that is gone is
    /// replaced; the error says what is in the way.
    pub fn bind(path: &Path) -> Result<ControlListener, String> {
        let problem = |error: io::Error| format!("control socket {}: {error}", path.display());
        if let Ok(metadata) = path.symlink_metadata() {
            if !metadata.file_type().is_socket() {
                return Err(format!("control socket {}: the file exists and is no socket; remove it", path.display()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(format!(
                    "control socket {}: another server answers there; choose another --control PATH",
                    path.display()
                ));
            }
            std::fs::remove_file(path).map_err(problem)?;
        }
        // The mask is the process's own, and nothing else runs in it.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(mask);
        Ok(ControlListener { listener: listener.map_err(problem)?, path: path.to_owned() })
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        // It is gone already where somebody cleaned up: nothing to be done about that here.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends one command to the server behind the control socket at `path` and copies its answer to `out`. Returns
/// whether the answer ended with `ok`; the error says why there was no whole answer.
pub fn ask(path: &Path, command: &str, out: &mut impl Write) -> Result<bool, String> {
    let problem = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => format!("control socket {}: the server does not answer", path.display()),
        _ => format!("control socket {}: {error}", path.display()),
    };
    let stream = UnixStream::connect(path).map_err(problem)?;
    let patience_ms =
        if command.starts_with("merge") { limits::MERGE_ANSWER_PATIENCE_MS } else { limits::ANSWER_PATIENCE_MS };
    stream.set_read_timeout(Some(Duration::from_millis(patience_ms))).map_err(problem)?;
    stream.set_write_timeout(Some(Duration::from_millis(limits::ANSWER_PATIENCE_MS))).map_err(problem)?;
    (&stream).write_all(format!("{command}\n").as_bytes()).map_err(problem)?;
    for line in BufReader::new(&stream).lines() {
        let line = line.map_err(problem)?;
        // The metrics are for a program that reads their format, to which `ok` would be a mistake.
        if line != "ok" || command.trim() != "metrics" {
            writeln!(out, "{line}").map_err(|error| format!("standard output: {error}"))?;
        }
        if line == "ok" || line.starts_with("error ") {
            return Ok(line == "ok");
        }
    }
    Err(format!("control socket {}: the answer ended too early", path.display()))
}
