//! The name of a connection.

use crate::wire::ServerId;

/// A slab index with the identity of its entry. The slab hands out a freed slot at once. A key that outlived its
/// connection then finds nothing, instead of another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Place in the slab.
    pub index: u32,
    /// Counts the connections that this process ever had, modulo 2^32.
    pub serial: u32,
}

impl Key {
    /// What senders wait for that have to wait for a whole server (D35). No slab has so many entries that this could be
    /// a connection.
    pub fn of_server(server: ServerId) -> Key {
        Key { index: u32::MAX, serial: server.0 }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.serial)
    }
}
