//! Telling systemd how the server does (sd_notify(3)). Where nobody listens, nothing is said.

use sd_notify::NotifyState;

use crate::core::time::Millis;
use crate::limits;

/// The service manager's end.
#[derive(Debug)]
pub struct Systemd {
    is_watched: bool,
    interval_ms: u64,
    next: Millis,
}

impl Systemd {
    /// Finds out whether somebody listens, and how often they want to hear that the loop turns.
    pub fn new() -> Systemd {
        let watchdog = sd_notify::watchdog_enabled();
        // Twice as often as asked, as sd_watchdog_enabled(3) recommends.
        let half_ms = watchdog
            .map_or(limits::STATUS_MS, |interval| u64::try_from(interval.as_millis()).unwrap_or(limits::STATUS_MS) / 2);
        let is_listened_to = std::env::var_os("NOTIFY_SOCKET").is_some();
        Systemd {
            is_watched: watchdog.is_some(),
            interval_ms: half_ms.clamp(1, limits::STATUS_MS),
            next: if is_listened_to { Millis(0) } else { Millis::NEVER },
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
        self.next = now + self.interval_ms;
        let status = format!("{clients} clients, {siblings} siblings");
        let states = [NotifyState::Status(&status), NotifyState::Watchdog];
        say(if self.is_watched { &states } else { states.get(..1).unwrap_or(&[]) });
    }

    /// The listener is open.
    pub fn on_ready(&self) {
        say(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Systemd::on_ready`] ends it.
    pub fn on_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(when) => say(&[NotifyState::Reloading, when]),
            Err(_) => say(&[NotifyState::Reloading]),
        }
    }

    /// A stop was asked for.
    pub fn on_stopping(&self) {
        say(&[NotifyState::Stopping]);
    }
}

impl Default for Systemd {
    fn default() -> Self {
        Systemd::new()
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("cannot tell the service manager: {error}");
    }
}
