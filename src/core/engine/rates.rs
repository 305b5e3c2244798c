//! `--max-rate`: how much one client may send in a second.

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::session::{Pause, PauseReason};
use crate::core::state::bucket::Bucket;
use crate::core::state::key::Key;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// Most that may be read of this connection now. With none, it is paused until there is some again.
    pub(super) fn rate_allows(&mut self, key: Key) -> usize {
        let Some((rate, bucket)) = self.rate_of(key) else { return limits::READ_BYTES };
        let bytes = bucket.bytes().min(limits::READ_BYTES);
        if bytes == 0 {
            let until = bucket.when_it_has(rate / limits::RATE_PARTS, rate);
            self.pause(key, Pause { reason: PauseReason::Rate, receiver: None, until });
        }
        bytes
    }

    /// So many bytes were read of it.
    pub(super) fn charge_rate(&mut self, key: Key, bytes: usize) {
        let is_encrypted = self.connections.get(key).is_some_and(|connection| connection.socket.is_encrypted());
        let most_owed_bytes = if is_encrypted { limits::READ_BYTES } else { 0 };
        if let Some((_, bucket)) = self.rate_of(key) {
            bucket.take(bytes, most_owed_bytes);
        }
    }

    /// The rate in force for a client, and what it has in hand: a second's worth at most.
    fn rate_of(&mut self, key: Key) -> Option<(usize, &mut Bucket)> {
        let rate = self.core.config.max_rate_bytes?;
        self.connections.get(key).filter(|connection| connection.session.is_client())?;
        let bucket = self.rates.entry(key).or_insert_with(|| Bucket::holding(rate, self.now));
        bucket.refill(rate, rate, self.now);
        Some((rate, bucket))
    }
}
