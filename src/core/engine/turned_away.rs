//! What the log says of connections that find no place.

use std::net::SocketAddr;

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::state::address::Remote;
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;

/// When a line was written last, and how many connections have found no place since.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    said: Option<Millis>,
    unsaid: u64,
}

impl TurnedAway {
    /// One more has found no place. Returns whether that is to be said, with how many there were before it.
    fn count(&mut self, now: Millis) -> Option<u64> {
        if self.said.is_some_and(|said| now.since(said) < limits::TURNED_AWAY_LINE_MS) {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl<S: Socket> Engine<S> {
    /// One line, once in a while: a crowd is not to fill the log.
    pub(super) fn log_turned_away(&mut self, remote: Option<SocketAddr>) {
        let Some(unsaid) = self.quota.turned_away.count(self.now) else { return };
        let (held, max) = (self.quota.client_connections, self.core.config.max_clients);
        let which = if held >= max { "--max-clients" } else { "--max-per-address" };
        let remote = Remote::new(remote);
        log::info!(
            "closed a new connection from {remote}: {which} is reached ({held} of {max} are held; {unsaid} more closed before)"
        );
    }

    /// Counts connections that are closed for a new one.
    pub(super) fn log_gave_way(&mut self, limit: &str, key: Key, newcomer: Remote) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(unsaid) = self.quota.gave_way.count(self.now) else { return };
        log::info!(
            "closed a connection from {} that had not logged in, for a new one from {newcomer}: {limit} is reached ({unsaid} more closed before)",
            connection.remote
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_said_once_in_a_while_with_its_number() {
        let mut turned_away = TurnedAway::default();
        assert_eq!(turned_away.count(Millis(0)), Some(0));
        assert!((0..500).all(|_| turned_away.count(Millis(limits::TURNED_AWAY_LINE_MS - 1)).is_none()));
        assert_eq!(turned_away.count(Millis(limits::TURNED_AWAY_LINE_MS)), Some(500));
        assert_eq!(turned_away.count(Millis(3 * limits::TURNED_AWAY_LINE_MS)), Some(0));
    }
}
