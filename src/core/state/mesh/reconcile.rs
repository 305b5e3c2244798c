//! Whether the network fits together, looked at now and then while it is not a clique.
//!
//! Merges can race: two of our servers each accept another network, and neither knows of the other's. The whole then
//! has more than ten servers, or one ID twice. The RFC has no lock, and a lock would not help a network that is in two
//! pieces for a while. So each server repairs it afterwards on its own, from what its siblings announce:
//!
//! ```text
//!    1 ─── 2 ─── 11      2 accepted 11 while 1 accepted 5 … 10: twelve servers.
//!    └ 5 … 10            2 sees that it does not fit, and that 1, the lowest it is linked with, is not linked with 11:
//!                        2 closes its link to 11, and has room for those of 1.
//! ```
//!
//! Siblings may lie. So a server counts only if it has spoken to us itself, or if more siblings name it than can lie, and
//! a link only if both its ends announce it ([`Graph`]). If those conflict, a server *follows* one server: of itself and
//! its siblings, the one whose siblings have most links among themselves; of equal ones, the lowest. It keeps only
//! servers that are linked with this one. Honest servers that are all linked with each other outweigh what one or two
//! liars can add, so none of them leaves another.
//!
//! All servers linked with the best server of all end as its clique, because they follow it, and it is full or admits
//! what they have. The rest is a smaller network with a best server of its own.
//!
//! Only we know a sibling that does not describe itself. If the network has one server too many, we close the link to
//! it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::dialler::jittered;
use super::graph::{Graph, Vertex};
use super::{Mesh, Server};
use crate::core::state::effects::{CloseMode, CloseReason, Effects};
use crate::core::state::key::Key;
use crate::core::state::ordered::insert_all;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::ServerId;

/// A sibling's last announcement of its own siblings. It names us only if it has another server under our ID.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    pub others: BTreeMap<ServerId, SocketAddrV4>,
    pub at: Millis,
}

/// When to look next, and how often in a row it did not fit.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    next: Option<Millis>,
    conflicts: u32,
    /// The servers that we left, and do not admit again before then.
    excluded: BTreeMap<(ServerId, Option<SocketAddrV4>), Millis>,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Nothing.
    None,
    /// More than ten servers, or one ID twice.
    InView,
    /// Only servers that we alone can name are too many.
    OnlyUndescribed,
}

impl Mesh {
    /// When [`Mesh::reconcile`] has something to do.
    pub(super) fn next_reconcile(&self) -> Option<Millis> {
        self.reconciliation.next
    }

    /// Something has changed: looks at it in a while, if a sibling has other siblings than we have, or does not know
    /// what we have.
    pub(super) fn plan_reconcile(&mut self, now: Millis) {
        if self.routed.is_some() {
            return;
        }
        if self.reconciliation.next.is_none() && (self.differing().next().is_some() || !self.untold().is_empty()) {
            self.reconciliation.next = Some(now + jittered(limits::RECONCILE_MS, &mut self.random));
        }
    }

    /// Tells siblings our list, if theirs differs or was answered otherwise (D23), and closes links to servers that
    /// conflict.
    pub fn reconcile(&mut self, now: Millis, effects: &mut Effects) {
        if self.reconciliation.next.is_none_or(|next| next > now) {
            return;
        }
        self.reconciliation.excluded.retain(|_, &mut until| now < until);
        let mut to_tell: BTreeMap<ServerId, Key> = insert_all(self.differing());
        to_tell.extend(self.untold());
        for (id, link) in to_tell {
            self.send_update(id, link, effects);
        }
        let conflict = self.judge(now);
        self.reconciliation.conflicts = if conflict == Conflict::None { 0 } else { self.reconciliation.conflicts + 1 };
        if self.reconciliation.conflicts >= limits::CONFLICTS_MAX {
            self.reconciliation.conflicts = 0;
            match conflict {
                Conflict::None => {}
                Conflict::InView => self.follow(now, effects),
                Conflict::OnlyUndescribed => self.leave_undescribed(now, effects),
            }
        }
        self.refresh_hearsay(now);
        self.reconciliation.next = None;
        self.plan_reconcile(now);
    }

    /// Whether what counts fits together.
    pub(super) fn judge(&self, now: Millis) -> Conflict {
        let graph = self.graph(now);
        if !graph.fits() {
            Conflict::InView
        } else if graph.len() > limits::NETWORK_MAX_SERVERS {
            Conflict::OnlyUndescribed
        } else {
            Conflict::None
        }
    }

    /// Whether we left this server lately.
    pub(super) fn is_excluded(&self, id: ServerId, address: Option<SocketAddrV4>, now: Millis) -> bool {
        self.reconciliation.excluded.get(&(id, address)).is_some_and(|&until| now < until)
    }

    /// Siblings whose last announcement is not what we have ourselves.
    fn differing(&self) -> impl Iterator<Item = (ServerId, Key)> {
        self.described().filter(|&(id, _, server)| !self.agrees(id, server)).map(|(id, link, _)| (id, link))
    }

    /// Siblings that were last told something else than what we have.
    fn untold(&self) -> Vec<(ServerId, Key)> {
        let is_untold = |&(id, _, server): &(ServerId, Key, &Server)| server.told != self.list_for(id);
        self.described().filter(is_untold).map(|(id, link, _)| (id, link)).collect()
    }

    fn agrees(&self, id: ServerId, server: &Server) -> bool {
        let ours = self.described().filter(|&(other, ..)| other != id);
        let is_undescribed =
            |id: &ServerId| self.servers.get(id).is_some_and(|known| known.up().is_some() && known.place().is_none());
        let theirs = server.announcement.others.iter().filter(|(id, _)| !is_undescribed(id));
        ours.map(|(other, _, server)| (other, server.place()))
            .eq(theirs.map(|(&other, &address)| (other, Some(address))))
    }

    /// Siblings that can be named to others.
    pub(super) fn described(&self) -> impl Iterator<Item = (ServerId, Key, &Server)> {
        let described = self.servers.iter().filter(|(_, server)| server.place().is_some());
        described.filter_map(|(&id, server)| server.up().map(|link| (id, link, server)))
    }

    /// Whether a sibling's list agrees with ours, or is recent. If neither, it may have lost some siblings since.
    pub(super) fn is_fresh(&self, id: ServerId, server: &Server, now: Millis) -> bool {
        now.since(server.announcement.at) <= limits::ANNOUNCEMENT_MS || self.agrees(id, server)
    }

    /// Ourselves, our siblings, servers that siblings name and that have asked us in vain, and those that more siblings
    /// name than can lie.
    pub(super) fn graph(&self, now: Millis) -> Graph<'_> {
        let us = Vertex { id: self.id, address: self.advertise, others: None, leads: true, is_witnessed: false };
        let up = || self.servers.iter().filter(|(_, server)| server.up().is_some());
        // Whoever was seen at its address goes before those that only name it.
        let verified = up().filter(|(_, server)| server.is_verified());
        let siblings = verified.chain(up().filter(|(_, server)| !server.is_verified())).map(|(&id, server)| {
            let leads = server.place().is_some() && self.is_fresh(id, server, now);
            Vertex {
                id,
                address: server.place(),
                others: Some(&server.announcement.others),
                leads,
                is_witnessed: false,
            }
        });
        let is_up = |id, address| self.servers.get(&id).is_some_and(|s| s.up().is_some() && s.place() == Some(address));
        let words = self.hearsay.words.iter().filter(|(server, _)| !is_up(server.0, server.1));
        let others = words.map(|(&(id, address), word)| Vertex {
            id,
            address: Some(address),
            others: Some(&word.others),
            leads: false,
            is_witnessed: false,
        });
        let witnessed = self.witnessed(now).map(|(id, address)| Vertex {
            id,
            address: Some(address),
            others: None,
            leads: false,
            is_witnessed: true,
        });
        Graph::new(us, siblings.collect(), others.chain(witnessed).collect())
    }

    /// Servers that we have no link to, and that more siblings name than can lie.
    fn witnessed(&self, now: Millis) -> impl Iterator<Item = (ServerId, SocketAddrV4)> {
        let by = move |id: ServerId, address: SocketAddrV4| {
            let fresh =
                self.servers.iter().filter(|(id, server)| server.up().is_some() && self.is_fresh(**id, server, now));
            fresh.filter(|(_, server)| server.announcement.others.get(&id) == Some(&address)).count()
        };
        self.named().into_keys().filter(move |&(id, address)| by(id, address) > limits::LIARS_MAX)
    }

    /// Closes links to siblings that no other server knows, until the rest fits.
    fn leave_undescribed(&mut self, now: Millis, effects: &mut Effects) {
        let is_undescribed = |server: &Server| server.up().is_some() && server.place().is_none();
        while self.judge(now) == Conflict::OnlyUndescribed {
            let Some((&id, _)) = self.servers.iter().rfind(|(_, server)| is_undescribed(server)) else { return };
            log::warn!("one server too many: leaving server {id}, of which our siblings do not know");
            self.leave(id, now, effects);
        }
    }

    /// Closes the link to a server, and forgets it. What `--merge` named is asked again.
    fn leave(&mut self, id: ServerId, now: Millis, effects: &mut Effects) {
        let Some(server) = self.servers.remove(&id) else { return };
        server.close_dial(effects);
        if let Some(link) = server.up() {
            effects.close(link, CloseReason::Unfit, CloseMode::AfterWriting);
        }
        if let Some(name) = server.name {
            self.request_merge_again(name, now);
        }
    }

    /// Keeps only servers that are linked with the followed one, unless we follow ourselves.
    fn follow(&mut self, now: Millis, effects: &mut Effects) {
        let graph = self.graph(now);
        let place = graph.leader();
        let Some(leader) = graph.id(place).filter(|_| place != 0) else { return };
        let (theirs, beside) = (graph.linked_with(place), graph.beside(place));
        if graph.is_even(place) {
            log::warn!(
                "merges that don't fit together: leaving server {leader}, whose sibling has the ID of one of ours"
            );
            self.leave(leader, now, effects);
            return;
        }
        let room = limits::NETWORK_MAX_SERVERS.saturating_sub(theirs.len());
        let is_theirs = |id: &ServerId, server: &Server| theirs.get(id) == Some(&server.place());
        let undescribed = self.servers.iter().filter(|(_, server)| server.up().is_some() && server.place().is_none());
        let kept: Vec<ServerId> = undescribed.map(|(&id, _)| id).take(room).collect();
        let left = self.servers.iter().filter(|(id, server)| {
            // A lost server causes no conflict, unless another has its ID, or it does not fit.
            let is_in_the_way =
                server.up().is_some() || theirs.contains_key(id) || beside.contains(&(**id, server.place()));
            // A server that has just come may not have met the others yet.
            let is_new = server.up().is_some() && now.since(server.since) < limits::SETTLE_MS;
            !is_theirs(id, server) && !kept.contains(id) && is_in_the_way && !is_new
        });
        let left: Vec<ServerId> = left.map(|(&id, _)| id).collect();
        for id in left {
            log::warn!("merges that don't fit together: leaving server {id}, which server {leader} is not linked with");
            self.leave(id, now, effects);
        }
        let until = now + limits::EXCLUDED_MS;
        let is_out = |&(id, address): &(ServerId, Option<SocketAddrV4>)| {
            self.servers.get(&id).is_none_or(|server| server.place() != address)
        };
        // They are dialled at once, now that they fit; but for one that was never seen at the place that it names.
        for (&id, &place) in &theirs {
            if let Some(place) = place
                && self.hearsay.words.get(&(id, place)).is_some_and(|word| word.is_seen)
                && let Some(heard) = self.hearsay.dials.get_mut(&place)
            {
                heard.dialler.hurry(now + self.random.below(limits::DIAL_SOON_MS));
            }
        }
        self.reconciliation.excluded = insert_all(beside.into_iter().filter(is_out).map(|server| (server, until)));
        self.plan_reconcile(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Permissions;
    use super::*;

    #[test]
    fn a_server_that_was_left_is_kept_away_until_its_time_is_over_and_then_not_remembered() {
        let mut mesh = Mesh::new(ServerId(5), None, Permissions::default(), 1);
        let (left, until) = ((ServerId(20), None), Millis(limits::EXCLUDED_MS));
        mesh.reconciliation.excluded.insert(left, until);
        let mut look = |now| {
            mesh.reconciliation.next = Some(now);
            mesh.reconcile(now, &mut Effects::default());
            (mesh.is_excluded(left.0, left.1, now), mesh.reconciliation.excluded.len())
        };
        assert_eq!(look(Millis(0)), (true, 1));
        assert_eq!(look(Millis(until.0 - 1)), (true, 1));
        assert_eq!(look(until), (false, 0));
    }
}
