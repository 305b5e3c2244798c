//! Reports the server's state to systemd (sd_notify(3)). If no service manager listens, nothing is sent. If its queue
//! is full, the report is dropped: the server does not wait.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use sd_notify::NotifyState;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::core::time::Millis;
use crate::limits;

/// The service manager's end.
#[derive(Debug)]
pub struct Systemd {
    /// Its socket, if there is one.
    socket_path: Option<OsString>,
    is_watched: bool,
    interval_ms: u64,
    next: Millis,
    /// That the server is ready could not be said yet: the manager waits for it.
    owes_ready: Cell<bool>,
}

impl Systemd {
    /// Finds out whether a service manager listens, and how often it wants a sign of life.
    pub fn new() -> Systemd {
        let watchdog = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        // Twice as often as asked, as sd_watchdog_enabled(3) recommends.
        let half_ms = watchdog
            .map_or(limits::STATUS_MS, |interval| u64::try_from(interval.as_millis()).unwrap_or(limits::STATUS_MS) / 2);
        let socket_path = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        Systemd {
            is_watched: watchdog.is_some(),
            interval_ms: half_ms.clamp(1, limits::STATUS_MS),
            next: if socket_path.is_some() { Millis(0) } else { Millis::NEVER },
            socket_path,
            owes_ready: Cell::new(false),
        }
    }

    /// When there is something to say.
    pub fn next_deadline(&self) -> Option<Millis> {
        (self.next != Millis::NEVER).then_some(self.next)
    }

    /// Called from the loop: feeds the watchdog, with the numbers of the moment.
    pub fn on_turn(&mut self, now: Millis, clients: usize, siblings: usize) {
        if now < self.next {
            return;
        }
        if self.owes_ready.get() {
            self.on_ready();
        }
        let is_behind = self.owes_ready.get();
        self.next = now + if is_behind { self.interval_ms.min(limits::READY_RETRY_MS) } else { self.interval_ms };
        let status = format!("{clients} clients, {siblings} siblings");
        let states = [NotifyState::Status(&status), NotifyState::Watchdog];
        self.say(if self.is_watched { &states } else { states.get(..1).unwrap_or(&[]) });
    }

    /// The listener is open.
    pub fn on_ready(&self) {
        self.owes_ready.set(!self.say(&[NotifyState::Ready]));
    }

    /// A reload begins; [`Systemd::on_ready`] ends it.
    pub fn on_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(when) => self.say(&[NotifyState::Reloading, when]),
            Err(_) => self.say(&[NotifyState::Reloading]),
        };
    }

    /// A stop was asked for.
    pub fn on_stopping(&self) {
        self.say(&[NotifyState::Stopping]);
    }

    /// Returns whether the report was sent, or no service manager listens.
    fn say(&self, states: &[NotifyState<'_>]) -> bool {
        let Some(path) = &self.socket_path else { return true };
        let mut message = String::new();
        for state in states {
            let _ = writeln!(message, "{state}");
        }
        // sd_notify::notify would wait until the queue has room.
        let sent = Socket::new(Domain::UNIX, Type::DGRAM, None).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(message.as_bytes(), &address(path)?)
        });
        if let Err(error) = &sent {
            log::debug!("cannot tell the service manager: {error}");
        }
        sent.is_ok()
    }
}

/// A path; with `@` in front of it, a name in the abstract namespace.
fn address(path: &OsString) -> std::io::Result<SockAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SockAddr::unix(std::ffi::OsStr::from_bytes(&[b"\0", name].concat())),
        None => SockAddr::unix(path),
    }
}

impl Default for Systemd {
    fn default() -> Self {
        Systemd::new()
    }
}
