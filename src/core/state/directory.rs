//! The clients that are logged in on this server.

use std::collections::HashMap;
use std::rc::Rc;

use super::key::Key;
use crate::wire::Nickname;

/// From nickname to connection. Never iterated, so that the order of a hash map decides nothing.
#[derive(Debug, Default)]
pub struct Directory {
    connections: HashMap<Rc<str>, Key>,
}

impl Directory {
    /// The connection that has this nickname.
    pub fn find(&self, nickname: &str) -> Option<Key> {
        self.connections.get(nickname).copied()
    }

    /// Logged-in clients.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no client is logged in.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Gives a nickname to a connection. Returns the name for the connection to keep, or the connection that has it.
    pub fn enter(&mut self, nickname: Nickname<'_>, key: Key) -> Result<Rc<str>, Key> {
        if let Some(holder) = self.find(nickname.as_str()) {
            return Err(holder);
        }
        let name: Rc<str> = nickname.as_str().into();
        self.connections.insert(Rc::clone(&name), key);
        Ok(name)
    }

    /// The nickname is free again.
    pub fn leave(&mut self, nickname: &str) {
        let removed = self.connections.remove(nickname);
        debug_assert!(removed.is_some(), "only a logged-in client leaves");
    }
}
