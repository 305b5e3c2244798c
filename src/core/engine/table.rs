//! The one slab of connections.

use slab::Slab;

use crate::core::engine::connection::Connection;
use crate::core::state::key::Key;

/// All connections, found by key.
#[derive(Debug)]
pub struct Table<S> {
    slab: Slab<Connection<S>>,
    next_serial: u32,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Table { slab: Slab::new(), next_serial: 0 }
    }
}

impl<S> Table<S> {
    /// Puts a connection in. It is made with the serial that it gets.
    pub fn insert(&mut self, make: impl FnOnce(u32) -> Connection<S>) -> Key {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        let index = self.slab.insert(make(serial));
        Key { index: index as u32, serial }
    }

    /// The connection with this key, unless it is gone.
    pub fn get(&self, key: Key) -> Option<&Connection<S>> {
        self.slab.get(key.index as usize).filter(|connection| connection.serial == key.serial)
    }

    /// The connection with this key, to change it.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Connection<S>> {
        self.slab.get_mut(key.index as usize).filter(|connection| connection.serial == key.serial)
    }

    /// Frees the place.
    pub fn remove(&mut self, key: Key) -> Option<Connection<S>> {
        self.get(key)?;
        self.slab.try_remove(key.index as usize)
    }

    /// The connection in this slot, if there is one.
    pub fn in_slot(&self, slot: usize) -> Option<(Key, &Connection<S>)> {
        self.slab.get(slot).map(|connection| (key_of(slot, connection), connection))
    }

    /// Slots, free ones included: no connection has a slot from this on.
    pub fn slots(&self) -> usize {
        self.slab.capacity()
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Connection<S>)> {
        self.slab.iter().map(|(index, connection)| (key_of(index, connection), connection))
    }

    /// All connections, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Connection<S>)> {
        self.slab.iter_mut().map(|(index, connection)| (key_of(index, connection), connection))
    }

    /// How many there are, including closed ones that are not yet freed.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}

fn key_of<S>(index: usize, connection: &Connection<S>) -> Key {
    Key { index: index as u32, serial: connection.serial }
}
