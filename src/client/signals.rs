//! Told to end at once: unfinished files are removed and the terminal is left as it was found.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::Context;
use super::limits::RESTORE_MS;
use super::output;
use crate::shell::terminal::Terminal;

/// Ends bracketed paste, which the line editor switches on, and goes below what was being typed.
const EDITING_OFF: &[u8] = b"\x1b[?2004l\r\n";

/// The signals that end the program by way of [`handle`].
pub const HANDLED: &[i32] = &[SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Sets the terminal as it was in the midst of editing. One that takes nothing is not waited for.
fn leave_editing(terminal: &Terminal) {
    terminal.restore();
    let (done, is_done) = channel();
    let spawned = thread::Builder::new().name("leaving".into()).spawn(move || {
        let _ = output::write_all(io::stdout(), EDITING_OFF);
        let _ = done.send(());
    });
    if spawned.is_ok() {
        let _ = is_done.recv_timeout(Duration::from_millis(RESTORE_MS));
    }
}

/// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT clean up before they end the program. If a file grows over its
/// limit, that is a failed write, as on a full disk.
///
/// # Errors
/// If handlers cannot be set.
pub fn handle(context: Arc<Context>) -> io::Result<()> {
    let mut signals = Signals::new(HANDLED.iter().copied().chain([SIGXFSZ]))?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().find(|&signal| signal != SIGXFSZ) {
            end(&context, signal);
        }
    })?;
    Ok(())
}

/// Ctrl-C, read by the line editor as a key.
pub fn interrupt(context: &Context) -> ! {
    end(context, SIGINT)
}

/// Ends the program as a shell reports a signal: with 128 and its number. (Raising the signal again would not end
/// process 1 of a container.)
fn end(context: &Context, signal: i32) -> ! {
    context.is_told_to_end.store(true, Ordering::Release);
    context.folder.remove_unfinished();
    if context.screen.is_terminal() {
        leave_editing(&context.terminal);
    } else {
        context.terminal.restore();
    }
    process::exit(128 + signal)
}
