//! Connections that are not read from for a while (D49), and when they go on.

use std::collections::BTreeSet;

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::session::{Pause, PauseReason};
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::state::ordered::insert_all;
use crate::core::time::Millis;
use crate::limits;

/// A connection under a pause.
#[derive(Debug)]
pub(super) struct Paused {
    pub(super) pause: Pause,
    since: Millis,
}

impl<S: Socket> Engine<S> {
    /// The connection is not read from, and its input not handled, until the pause is over.
    pub(super) fn pause(&mut self, key: Key, pause: Pause) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_paused = true;
        if let Some(receiver) = pause.receiver {
            let bytes = match pause.reason {
                PauseReason::Own => limits::OWN_PAUSE_BYTES + self.core.config.frame.packet_max_bytes(),
                _ => limits::CHUNK_PAUSE_BYTES,
            };
            self.core.pressure.wait(receiver, key, bytes);
        }
        self.pauses.insert(key, Paused { pause, since: self.now });
        self.free_nickname_of_left(key);
    }

    /// A client or operator that does not take what it gets is not read from either: its own echoes, errors and answers
    /// are bounded like what others send it, and a sender is paced by its own reading.
    pub(super) fn pause_if_behind(&mut self, key: Key) {
        if !self.core.pressure.is_past_high_water(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_open() && connection.session.is_paced_by_its_reading() && !connection.is_held() {
            // What waits for an operator is its own alone; a client's queue can be kept filled by others.
            let is_own = !connection.session.is_client();
            let until = if is_own { Millis::NEVER } else { self.now + limits::OWN_PAUSE_MS };
            self.pause(key, Pause { reason: PauseReason::Own, receiver: Some(key), until });
        }
    }

    /// A paused client is not read from, so its end would not be noticed. Its nickname is free at once; what it has
    /// sent is still handled (D22).
    pub(super) fn free_nickname_of_left(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_paused && connection.end_is_near {
            connection.session.free_nickname(&mut self.core.directory);
        }
    }

    /// Goes on with a connection whose pause is over.
    pub(super) fn resume(&mut self, key: Key) {
        let Some(Paused { pause, since }) = self.pauses.remove(&key) else { return };
        if let Some(receiver) = pause.receiver {
            self.core.pressure.stop_waiting(receiver, key);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.resume(self.now);
        connection.has_waited |= matches!(pause.reason, PauseReason::Chunk | PauseReason::Own);
        connection.session.on_paused(self.now.since(since));
        self.schedule(key);
        self.enqueue(key);
    }

    /// A pause has lasted as long as it may.
    pub(super) fn resume_overdue(&mut self, key: Key) {
        let receiver = self.slow_receiver(key);
        if let Some(receiver) = receiver {
            self.close(receiver, CloseReason::SlowReader, CloseMode::Now);
            self.apply_effects();
        }
        self.resume(key);
    }

    /// The client that has taken too little while this client's chunk waited for it.
    fn slow_receiver(&self, sender: Key) -> Option<Key> {
        let pause = self.pauses.get(&sender)?.pause;
        let is_client = |key: Key| self.connections.get(key).is_some_and(|c| c.session.is_client());
        let receiver = pause.receiver.filter(|&receiver| is_client(receiver))?;
        (pause.reason == PauseReason::Chunk && is_client(sender)).then_some(receiver)
    }

    /// Senders that wait for this receiver go on. If it was the last one that was behind, so do senders slowed for
    /// public messages.
    pub(super) fn release_waiting(&mut self, receiver: Key) {
        if !self.core.pressure.is_past_high_water(receiver) {
            return;
        }
        for sender in self.core.pressure.leave(receiver) {
            self.resume(sender);
        }
        self.update_holds();
        if self.pauses.is_empty() || self.core.pressure.slows_public(self.now) {
            return;
        }
        let slowed = self.pauses.iter().filter(|(_, paused)| paused.pause.reason == PauseReason::Public);
        let slowed: BTreeSet<(Millis, Key)> = insert_all(slowed.map(|(&key, paused)| (paused.since, key)));
        for (_, key) in slowed {
            self.resume(key);
        }
    }

    /// Senders that waited until this receiver had taken a part of its queue go on.
    pub(super) fn release_served(&mut self, receiver: Key) {
        for sender in self.core.pressure.take_served(receiver) {
            self.resume(sender);
        }
    }
}
