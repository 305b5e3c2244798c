//! The control socket's two ends in the file system: the listener that operators connect to, and `--ask`.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::limits;

/// The control socket's listener. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlListener {
    /// For the reactor to watch.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: another one may have been put in its place.
    file: Option<(u64, u64)>,
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl ControlListener {
    /// Listens at `path`, for our own user only. A socket file that a dead server left over is replaced. The error says
    /// what is in the way.
    pub fn bind(path: &Path) -> Result<ControlListener, String> {
        let problem = |error: io::Error| format!("control socket {}: {error}", path.display());
        let cannot_bind = |error: io::Error| {
            let path = path.display();
            format!(
                "control socket {path}: {error}; choose a --control PATH in a folder that can be written to, or --no-control"
            )
        };
        if let Ok(metadata) = path.symlink_metadata() {
            if !metadata.file_type().is_socket() {
                return Err(format!("control socket {}: the file exists and is no socket; remove it", path.display()));
            }
            match connect_at_once(path) {
                // No process has it open: it was left over.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(problem)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(problem(error)),
                // A full queue means that a server is there, too.
                _ => {
                    return Err(format!(
                        "control socket {}: another server answers there; choose another --control PATH",
                        path.display()
                    ));
                }
            }
        }
        // The mask is the process's own, and nothing else runs in it.
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(mask);
        Ok(ControlListener { listener: listener.map_err(cannot_bind)?, path: path.to_owned(), file: identity(path) })
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            // The file may have been removed already. There is nothing to do about that here.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Connects without waiting if the queue is full.
fn connect_at_once(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Connects, and waits until `deadline` if the queue is full.
fn connect_until(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(OwnedFd::from(socket).into())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
}

/// Sends one command to the server behind the control socket at `path` and copies its answer to `out`. Returns whether
/// the answer ended with `ok`; the error says why there was no whole answer. Each line has to come in time; for the
/// first one, the time includes connecting and sending the command. If the reader of `out` has closed it, that is no
/// error.
pub fn ask(path: &Path, command: &str, out: &mut impl Write) -> Result<bool, String> {
    let problem = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => format!("control socket {}: the server does not answer", path.display()),
        _ => format!("control socket {}: {error}", path.display()),
    };
    let is_slow = matches!(command.split(' ').next(), Some("merge" | "reload"));
    let patience_ms = if is_slow { limits::SLOW_ANSWER_PATIENCE_MS } else { limits::ANSWER_PATIENCE_MS };
    let connect_deadline = Instant::now() + Duration::from_millis(limits::ANSWER_PATIENCE_MS);
    let mut deadline = Instant::now() + Duration::from_millis(patience_ms);
    let stream = connect_until(path, connect_deadline).map_err(problem)?;
    stream.set_write_timeout(Some(left(connect_deadline).map_err(problem)?)).map_err(problem)?;
    (&stream).write_all(format!("{command}\n").as_bytes()).map_err(problem)?;
    let (mut answer, mut line) = (BufReader::new(&stream), Vec::new());
    loop {
        line.clear();
        read_line(&mut answer, &mut line, deadline).map_err(problem)?;
        if line.is_empty() {
            return Err(format!("control socket {}: the answer ended too early", path.display()));
        }
        // The metrics are for a program that reads their format, to which `ok` would be a mistake.
        let is_shown = line != b"ok\n" || command != "metrics";
        match out.write_all(if is_shown { &line } else { b"" }).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(format!("standard output: {error}")),
            _ => {}
        }
        // Fields are separated by tabs: a line with one is no end, whatever its first field says.
        if line == b"ok\n" || (line.starts_with(b"error ") && !line.contains(&b'\t')) {
            return Ok(line == b"ok\n");
        }
        deadline = Instant::now() + Duration::from_millis(patience_ms);
    }
}

/// Reads a line, with its end. At the end of the answer, returns an empty line, or one without an end.
fn read_line(answer: &mut BufReader<&UnixStream>, line: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    loop {
        if answer.buffer().is_empty() {
            answer.get_ref().set_read_timeout(Some(left(deadline)?))?;
        }
        let buffer = match answer.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let end = buffer.iter().position(|&byte| byte == b'\n').map(|end| end + 1);
        let count = end.unwrap_or(buffer.len());
        line.extend_from_slice(buffer.get(..count).unwrap_or_default());
        answer.consume(count);
        if end.is_some() {
            return Ok(());
        }
        if count == 0 {
            line.clear();
            return Ok(());
        }
    }
}
