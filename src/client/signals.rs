//! Told to end at once: unfinished files are removed and the terminal is left as it was found.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::Context;
use super::limits::CLEAN_UP_MS;

/// The terminal as it was at the start, where standard input is one.
#[derive(Debug, Clone)]
pub struct Terminal(Option<Termios>);

impl Terminal {
    /// Remembers how it is set.
    pub fn remember() -> Terminal {
        Terminal(tcgetattr(io::stdin()).ok())
    }

    /// Sets it so again.
    pub fn restore(&self) {
        if let Some(before) = &self.0 {
            // Where the terminal is gone, nothing is left to restore.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP clean up before they end the program, and a file that grows over a limit
/// is a failed write like that to a full disk.
///
/// # Errors
/// Where handlers can't be set.
pub fn handle(context: Arc<Context>, terminal: Terminal) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGXFSZ])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever().filter(|&signal| signal != SIGXFSZ) {
            context.is_told_to_end.store(true, Ordering::Release);
            terminal.restore();
            let link = context.link().clone();
            if let Some(link) = link {
                link.close();
                // The reader removes what is unfinished, then takes the link away.
                let until = Instant::now() + Duration::from_millis(CLEAN_UP_MS);
                while context.link().is_some() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    })?;
    Ok(())
}
