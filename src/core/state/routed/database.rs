//! What every server of the network says of its own links: the link-state database (D29).

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use crate::core::time::Millis;
use crate::limits;
use crate::wire::{Description, Neighbours, Packet, ServerId};

/// A server is its ID and its address together (D15). Two servers of one ID can stand in the database at once (D38).
pub type Place = (ServerId, SocketAddrV4);

/// What one server says last of its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The start of the server, and how often its links have changed since.
    pub age: (u32, u32),
    /// The server at the other end of each link, and the link's stamp.
    pub neighbours: Vec<(ServerId, u32)>,
    /// Since when we do not reach the server; `NEVER` if we do.
    pub unreached_since: Millis,
}

/// The newest words of all servers, ourselves included.
#[derive(Debug, Default)]
pub struct Database {
    entries: BTreeMap<Place, Entry>,
}

impl Entry {
    /// The stamp of its link to this server.
    pub fn stamp_of(&self, server: ServerId) -> Option<u32> {
        self.neighbours.iter().find(|(neighbour, _)| *neighbour == server).map(|&(_, stamp)| stamp)
    }

    /// As it is told to others.
    pub fn encode(&self, (server, address): Place, out: &mut Vec<u8>) {
        let mut list = Vec::with_capacity(self.neighbours.len() * Neighbours::ENTRY_BYTES);
        for (neighbour, stamp) in &self.neighbours {
            list.extend_from_slice(&neighbour.0.to_be_bytes());
            list.extend_from_slice(&stamp.to_be_bytes());
        }
        let description = Description { server, address: *address.ip(), port: address.port().into() };
        let neighbours = Neighbours::new(&list).unwrap_or_default();
        let (incarnation, version) = self.age;
        Packet::Links { server: description, incarnation, version, neighbours }.encode(out);
    }
}

impl Database {
    /// All entries, by ID and address.
    pub fn iter(&self) -> impl Iterator<Item = (&Place, &Entry)> {
        self.entries.iter()
    }

    /// All entries, to be marked as reached or not.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Place, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The entry of one server.
    pub fn get(&self, place: Place) -> Option<&Entry> {
        self.entries.get(&place)
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Takes an entry that is newer than the one before. Returns whether it is.
    pub fn keep(&mut self, place: Place, entry: Entry) -> bool {
        let is_newer = self.entries.get(&place).is_none_or(|known| known.age < entry.age);
        if is_newer {
            self.entries.insert(place, entry);
        }
        is_newer
    }

    /// Whether there is room for one more. If not, the server goes that was not reached for longest.
    pub fn make_room(&mut self) -> bool {
        if self.entries.len() < limits::ROUTED_ENTRIES_MAX {
            return true;
        }
        let unreached = self.entries.iter().filter(|(_, entry)| entry.unreached_since != Millis::NEVER);
        let Some(place) = unreached.min_by_key(|(_, entry)| entry.unreached_since).map(|(&place, _)| place) else {
            return false;
        };
        self.entries.remove(&place).is_some()
    }

    /// Forgets servers that were not reached for long.
    pub fn forget_old(&mut self, now: Millis) {
        self.entries.retain(|_, entry| forget_at(entry).is_none_or(|at| now < at));
    }

    /// When [`Database::forget_old`] will have something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.entries.values().filter_map(forget_at).min()
    }

    /// Whether something is known of a server with this ID.
    pub fn has(&self, id: ServerId) -> bool {
        self.entries.keys().any(|&(known, _)| known == id)
    }

    /// The highest stamp of any link (D28).
    pub fn highest_stamp(&self) -> u32 {
        self.entries.values().flat_map(|entry| &entry.neighbours).map(|&(_, stamp)| stamp).max().unwrap_or(0)
    }
}

fn forget_at(entry: &Entry) -> Option<Millis> {
    (entry.unreached_since != Millis::NEVER).then(|| entry.unreached_since + limits::FORGET_MS)
}
