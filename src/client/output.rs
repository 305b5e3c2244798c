//! Printing outside of the editor. What can't be printed is an error to handle, never a panic.
//!
//! Bytes go to the file descriptor directly, past the buffer of the standard library: that one loses its position if a
//! write fails in the middle.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};

/// Writes all of it, also to a descriptor that another process has made non-blocking.
///
/// # Errors
/// What the descriptor gives.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => wait_for(&fd, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until a non-blocking descriptor can be read or written.
///
/// # Errors
/// What the kernel says.
pub fn wait_for(fd: impl AsFd, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(&fd, what)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Prints a requested text, such as the help, and returns the exit status. If the reader closes after the beginning,
/// that is no error.
pub fn print(text: &str) -> ExitCode {
    match write_all(io::stdout(), text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failed(format_args!("standard output: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// A line on standard error. If it cannot be written, there is no other place for it.
pub fn complain(text: impl Display) {
    let _ = write_all(io::stderr(), format!("cfp-client: {text}\n").as_bytes());
}

/// Says why it ends, for exit status 1.
pub fn failed(problem: impl Display) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

/// Reports a mistake on the command line, for exit status 2.
pub fn usage_error(problem: impl Display) -> ExitCode {
    complain(format_args!("{problem}\nTry 'cfp-client --help'."));
    ExitCode::from(2)
}
