//! The terminal while a line is edited: keys come as they are pressed, and are not echoed.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCONT, SIGWINCH};

use crate::client::limits::SUSPEND_MS;
use crate::client::output;

/// Pasted text is marked from now on.
const EDITING_ON: &[u8] = b"\x1b[?2004h";
const EDITING_OFF: &[u8] = b"\x1b[?2004l";

/// A terminal that is being edited on.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
    resized: UnixStream,
    continued: UnixStream,
}

/// What has come.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ready {
    /// Keys, or the end of the terminal.
    pub has_keys: bool,
    /// The screen has another size.
    pub is_resized: bool,
    /// The program was stopped, and goes on.
    pub is_continued: bool,
}

impl Raw {
    /// Begins to edit.
    ///
    /// # Errors
    /// If that is no terminal.
    pub fn begin() -> io::Result<Raw> {
        let raw = Raw { before: tcgetattr(io::stdin())?, resized: notified(SIGWINCH)?, continued: notified(SIGCONT)? };
        raw.enter()?;
        Ok(raw)
    }

    /// Sets the terminal for editing.
    ///
    /// # Errors
    /// What the terminal gives.
    pub fn enter(&self) -> io::Result<()> {
        let mut modes = self.before.clone();
        let input = InputModes::BRKINT | InputModes::ICRNL | InputModes::INPCK | InputModes::ISTRIP | InputModes::IXON;
        modes.input_modes.remove(input);
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::io::retry_on_intr(|| tcsetattr(io::stdin(), OptionalActions::Now, &modes))?;
        output::write_all(io::stdout(), EDITING_ON)
    }

    /// Sets it as it was.
    pub fn leave(&self) {
        // If the terminal is gone, a signal says so.
        let _ = output::write_all(io::stdout(), EDITING_OFF);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }

    /// Ctrl-Z: stops the program, as a shell expects it. Returns after it was continued.
    ///
    /// # Errors
    /// What the terminal gives.
    pub fn suspend(&self) -> io::Result<()> {
        self.leave();
        // The group: who started us, say cargo, is to stop too.
        let _ = kill_current_process_group(Signal::TSTP);
        // Another thread may take the signal, a moment later.
        thread::sleep(Duration::from_millis(SUSPEND_MS));
        self.enter()
    }

    /// Waits for keys and what else may come.
    ///
    /// # Errors
    /// What the kernel gives.
    pub fn wait(&self, woken: &UnixStream, timeout_ms: Option<u64>) -> io::Result<Ready> {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(woken, PollFlags::IN),
            PollFd::new(&self.resized, PollFlags::IN),
            PollFd::new(&self.continued, PollFlags::IN),
        ];
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000 * 1_000_000).unwrap_or_default(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let has_keys = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { has_keys, is_resized: drain(&self.resized), is_continued: drain(&self.continued) })
    }
}

/// Readable after the signal has come.
fn notified(signal: i32) -> io::Result<UnixStream> {
    let (woken, waker) = UnixStream::pair()?;
    woken.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal, waker)?;
    Ok(woken)
}

fn drain(mut woken: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut has_some = false;
    while woken.read(&mut buffer).is_ok_and(|len| len > 0) {
        has_some = true;
    }
    has_some
}

/// Columns and rows of the screen.
pub fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_col, size.ws_row));
    let or = |value: u16, default: usize| if value == 0 { default } else { usize::from(value) };
    (or(size.0, 80), or(size.1, 24))
}
