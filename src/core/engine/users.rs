//! New registered users, without interrupting the chat. They come into force at once; what follows from that is done in
//! slices, one slice a turn.

use super::Engine;
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::state::users::Users;
use crate::core::time::Millis;
use crate::limits;

/// The work that is left after the users have changed.
#[derive(Debug, Default)]
pub(super) struct UsersWork {
    /// The slot of the next connection whose login is checked. Later logins are judged by the new users.
    next_slot: Option<usize>,
    /// Lists that are no longer in use. To free a large one at once would take as long as to read it.
    old: Vec<Users>,
}

impl UsersWork {
    pub(super) fn is_done(&self) -> bool {
        self.next_slot.is_none() && self.old.is_empty()
    }
}

impl<S: Socket> Engine<S> {
    /// Other users are in force from here on. Clients whose login no longer stands are closed within the next turns.
    pub fn set_users(&mut self, users: Users, now: Millis) {
        self.now = now;
        let old = std::mem::replace(&mut self.core.users, users);
        self.free_users(old);
        self.users_work.next_slot = Some(0);
    }

    /// Frees a list of users that is not in force, in slices.
    pub fn free_users(&mut self, users: Users) {
        self.users_work.old.push(users);
    }

    /// Whether every connection has been looked at since the users changed.
    pub fn has_swept_users(&self) -> bool {
        self.users_work.next_slot.is_none()
    }

    /// A slice of what follows from other users.
    pub(super) fn advance_users_work(&mut self) {
        if let Some(first) = self.users_work.next_slot {
            let end = first + limits::USERS_SWEEP_CONNECTIONS;
            let stale: Vec<Key> = (first..end)
                .filter_map(|slot| self.connections.in_slot(slot))
                .filter(|(_, connection)| self.is_stale(connection))
                .map(|(key, _)| key)
                .collect();
            for key in stale {
                self.close(key, CloseReason::UsersChanged, CloseMode::AfterWriting);
            }
            self.apply_effects();
            self.users_work.next_slot = (end < self.connections.slots()).then_some(end);
        } else if let Some(old) = self.users_work.old.last_mut()
            && !old.free_some(limits::USERS_FREED_PER_TURN)
        {
            self.users_work.old.pop();
        }
    }

    /// Whether it is logged in as it could not log in now.
    fn is_stale(&self, connection: &Connection<S>) -> bool {
        let users = &self.core.users;
        connection.session.as_client().is_some_and(|client| {
            let is_like_one = !client.is_registered() && users.is_like_one(client.nickname());
            client.is_registered() != users.contains(client.nickname()) || is_like_one
        })
    }
}
