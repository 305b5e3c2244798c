//! What every server of the network says of its own links: the link-state database (D29).

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
    /// By ID and address.
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    place: Place,
    entry: Entry,
    /// The last packet of this server that was taken: incarnation and number. Numbers begin with 1. By the server's
    /// address, too: if another server had that ID for a while, its numbers mean nothing for the one that keeps it (D38).
    taken: (u32, u32),
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
        self.rows.iter().map(|row| (&row.place, &row.entry))
    }

    /// All entries, to be marked as reached or not.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Place, &mut Entry)> {
        self.rows.iter_mut().map(|row| (&row.place, &mut row.entry))
    }

    /// The entry of one server.
    pub fn get(&self, place: Place) -> Option<&Entry> {
        self.at(self.find(place).ok()?)
    }

    /// The entry in a row, as long as none was added or removed.
    pub fn at(&self, row: usize) -> Option<&Entry> {
        self.rows.get(row).map(|row| &row.entry)
    }

    /// The row of a server, or where it would be.
    pub fn find(&self, place: Place) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&place, |row| row.place)
    }

    /// The last packet that was taken of the server in a row.
    pub fn taken(&self, row: usize) -> (u32, u32) {
        self.rows.get(row).map_or((0, 0), |row| row.taken)
    }

    /// A packet of the server in a row is taken, or with `(0, 0)`, its numbers begin anew.
    pub fn take(&mut self, row: usize, packet: (u32, u32)) {
        if let Some(row) = self.rows.get_mut(row) {
            row.taken = packet;
        }
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Takes an entry that is newer than the one before. Returns whether it is.
    pub fn keep(&mut self, place: Place, entry: Entry) -> bool {
        match self.find(place) {
            Err(at) => self.rows.insert(at, Row { place, entry, taken: (0, 0) }),
            Ok(at) => match self.rows.get_mut(at).filter(|row| row.entry.age < entry.age) {
                Some(row) => row.entry = entry,
                None => return false,
            },
        }
        true
    }

    /// Whether there is room for one more. If not, the server goes that was not reached for longest.
    pub fn make_room(&mut self) -> bool {
        if self.rows.len() < limits::ROUTED_ENTRIES_MAX {
            return true;
        }
        let unreached = self.rows.iter().enumerate().filter(|(_, row)| row.entry.unreached_since != Millis::NEVER);
        let Some((at, _)) = unreached.min_by_key(|(_, row)| row.entry.unreached_since) else { return false };
        self.rows.remove(at);
        true
    }

    /// Forgets servers that were not reached for long.
    pub fn forget_old(&mut self, now: Millis) {
        self.rows.retain(|row| forget_at(&row.entry).is_none_or(|at| now < at));
    }

    /// When [`Database::forget_old`] will have something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.rows.iter().filter_map(|row| forget_at(&row.entry)).min()
    }

    /// Whether something is known of a server with this ID.
    pub fn has(&self, id: ServerId) -> bool {
        self.rows.iter().any(|row| row.place.0 == id)
    }

    /// The highest stamp of any link (D28).
    pub fn highest_stamp(&self) -> u32 {
        self.rows.iter().flat_map(|row| &row.entry.neighbours).map(|&(_, stamp)| stamp).max().unwrap_or(0)
    }
}

fn forget_at(entry: &Entry) -> Option<Millis> {
    (entry.unreached_since != Millis::NEVER).then(|| entry.unreached_since + limits::FORGET_MS)
}
