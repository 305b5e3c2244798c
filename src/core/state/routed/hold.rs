//! Who waits for which server (D35).
//!
//! A relay does not leave a link unread for the sake of one slow link behind it. It tells the neighbour that goes on
//! sending which server has to wait:
//!
//! ```text
//!    A ────────▶ B ════════▶ C        B's queue for C is past its high-water mark
//!     ◀ HOLD C 1                      A's clients wait with what they send to C, as for a queue of A's own
//!     ◀ HOLD C 0                      the queue has drained
//! ```
//!
//! On a tree, a HOLD runs only away from its server, so nobody waits in a ring.

use std::collections::BTreeSet;

use super::Routed;
use crate::core::state::effects::{Effect, Effects};
use crate::core::state::key::Key;
use crate::core::state::ordered::{SortedMap, insert_all};
use crate::core::state::pressure::{Level, Pressure};
use crate::core::time::Millis;
use crate::wire::{Packet, ServerId};

/// The holds that were told and heard.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// A neighbour told us to wait with what we send through it to that server.
    heard: SortedMap<(ServerId, Key), ()>,
    /// We told a neighbour so.
    told: SortedMap<(ServerId, Key), ()>,
    /// The servers that our own clients wait for.
    here: BTreeSet<ServerId>,
}

impl Holds {
    /// The link is gone, and all that was said over it.
    pub fn forget(&mut self, link: Key) {
        self.heard.retain(|&(_, key), ()| key != link);
        self.told.retain(|&(_, key), ()| key != link);
    }
}

impl Routed {
    /// The neighbour behind `link` tells us to wait with what we send through it to `server`, or to go on.
    pub fn on_hold(&mut self, link: Key, server: ServerId, is_held: bool) {
        if !is_held {
            self.holds.heard.remove(&(server, link));
        } else if self.database.has(server) {
            self.holds.heard.insert((server, link), ());
        }
    }

    /// Something came over the link `from` for `server`, and was queued: tells the neighbour to wait, if it has to.
    pub fn hold_back(&mut self, server: ServerId, from: Key, pressure: &Pressure, effects: &mut Effects) {
        if self.is_held(server, pressure) && self.holds.told.insert((server, from), ()).is_none() {
            effects.send(from, &Packet::Hold { server, is_held: true });
        }
    }

    /// Queues, routes or holds have changed: whoever need not wait any more goes on.
    pub fn update_holds(&mut self, pressure: &mut Pressure, now: Millis, effects: &mut Effects) {
        if self.holds.heard.is_empty() && self.holds.told.is_empty() && self.holds.here.is_empty() {
            return;
        }
        self.refresh(now);
        self.holds.heard.retain(|&(server, _), ()| self.database.has(server));
        let is_ahead = |&&(server, link): &&(ServerId, Key)| self.next_link(server) == Some(link);
        let here: BTreeSet<ServerId> = insert_all(self.holds.heard.keys().filter(is_ahead).map(|&(server, _)| server));
        for &server in here.difference(&self.holds.here) {
            pressure.note(Key::of_server(server), Level::HELD, now);
        }
        for &server in self.holds.here.difference(&here) {
            effects.push(Effect::Release(Key::of_server(server)));
        }
        self.holds.here = here;
        let is_over = |&&(server, link): &&(ServerId, Key)| {
            self.next_link(server) == Some(link) || !self.is_held(server, pressure)
        };
        let over: Vec<(ServerId, Key)> = self.holds.told.keys().filter(is_over).copied().collect();
        for (server, link) in over {
            self.holds.told.remove(&(server, link));
            effects.send(link, &Packet::Hold { server, is_held: false });
        }
    }

    /// The servers that somebody waits for: our own clients, or a neighbour that we told so.
    pub fn held_servers(&self) -> BTreeSet<ServerId> {
        insert_all(self.holds.told.keys().map(|&(server, _)| server).chain(self.holds.here.iter().copied()))
    }

    /// Whether what goes to `server` has to wait: the queue on its way is past the high-water mark, here or further on.
    fn is_held(&self, server: ServerId, pressure: &Pressure) -> bool {
        self.next_link(server)
            .is_some_and(|link| pressure.is_past_high_water(link) || self.holds.heard.contains_key(&(server, link)))
    }
}
