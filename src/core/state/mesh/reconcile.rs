//! Whether the network fits together, looked at now and then while it is not a clique.
//!
//! Merges can race: two of our servers each accept another network while neither knows of the other's, and all of it
//! is more than ten servers, or holds one ID twice. The RFC has no lock, and a lock would not help a network that is
//! in two pieces for a while. So it is repaired afterwards, by each server on its own, from what siblings announce:
//!
//! ```text
//!    1 ─── 2 ─── 11      2 accepted 11 while 1 accepted 5 … 10: twelve servers.
//!    └ 5 … 10            2 sees that it does not fit, and that 1, the lowest it is linked with, is not linked with 11:
//!                        2 closes its link to 11, and has room for those of 1.
//! ```
//!
//! *Follow the lowest*: where the servers that we see don't fit, or one of them goes on declining since it sees others,
//! a server keeps only those that the lowest of its siblings is linked with, unless it is the lowest itself. All who are
//! linked with the lowest server of all end as its clique, since they follow it and it is full, or takes what they
//! have; the rest is a smaller network with a lowest of its own. For a while a follower takes in only whom the lowest
//! is linked with; else two halves of what does not fit could take turns in it. A server that has lost is declined
//! where it dials, and given up after a few times.
//!
//! A sibling that does not describe itself is known to us alone: where it is the one too many, we leave it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use super::dialling::jittered;
use super::{Mesh, Server};
use crate::core::state::effects::{CloseMode, CloseReason, Effects};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::ServerId;

/// What a sibling said last of its own siblings. We are not among them, but where it has another under our ID.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    pub others: BTreeMap<ServerId, SocketAddrV4>,
    pub at: Millis,
}

/// When to look next, and how often in a row it did not fit.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    next: Option<Millis>,
    unfit: u32,
    /// Whom we follow, and until when.
    followed: Option<(ServerId, Millis)>,
}

/// Servers by ID; what is seen of them twice has to agree.
#[derive(Default)]
struct Seen {
    servers: BTreeMap<ServerId, Option<SocketAddrV4>>,
    has_conflict: bool,
}

impl Seen {
    fn add(&mut self, id: ServerId, address: Option<SocketAddrV4>) {
        let known = self.servers.entry(id).or_insert(address);
        self.has_conflict |= known.is_some() && address.is_some() && *known != address;
        *known = known.or(address);
    }

    fn fits(&self) -> bool {
        !self.has_conflict && self.servers.len() <= limits::NETWORK_MAX_SERVERS
    }
}

impl Mesh {
    /// When [`Mesh::reconcile`] has something to do.
    pub(super) fn next_reconcile(&self) -> Option<Millis> {
        self.reconciliation.next
    }

    /// Something has changed: looks at it in a while, if a sibling has other siblings than we have.
    pub(super) fn plan_reconcile(&mut self, now: Millis) {
        if self.reconciliation.next.is_none() && self.differing().next().is_some() {
            self.reconciliation.next = Some(now + jittered(limits::RECONCILE_MS, &mut self.random));
        }
    }

    /// Tells siblings that have others than we have what we have (D23), and leaves those who don't fit.
    pub fn reconcile(&mut self, now: Millis, effects: &mut Effects) {
        if self.reconciliation.next.is_none_or(|next| next > now) {
            return;
        }
        let differing: Vec<(ServerId, Key)> = self.differing().collect();
        for &(id, link) in &differing {
            self.send_update(id, link, effects);
        }
        let fits = differing.is_empty() || self.network(now).fits();
        self.reconciliation.unfit = if fits && !self.is_refused(now) { 0 } else { self.reconciliation.unfit + 1 };
        let patience = if fits { limits::RECONCILES_REFUSED_MAX } else { limits::RECONCILES_UNFIT_MAX };
        if self.reconciliation.unfit >= patience {
            self.reconciliation.unfit = 0;
            if !fits && self.described_network(now).fits() {
                self.leave_undescribed(now, effects);
            } else {
                self.follow_lowest(now, effects);
            }
        }
        self.reconciliation.next = None;
        self.plan_reconcile(now);
    }

    /// Whether we follow a sibling that is not linked with this server.
    pub(super) fn is_excluded(&self, id: ServerId, now: Millis) -> bool {
        let Some((followed, _)) = self.reconciliation.followed.filter(|&(_, until)| now < until) else { return false };
        let followed_server = self.servers.get(&followed).filter(|server| server.up().is_some());
        id != followed && followed_server.is_some_and(|server| !server.announcement.others.contains_key(&id))
    }

    /// Whether a sibling says that it is linked with this server.
    pub(super) fn is_announced(&self, id: ServerId, now: Millis) -> bool {
        self.announcements(now).any(|(_, announcement)| announcement.others.contains_key(&id))
    }

    /// Whether a sibling's sibling goes on saying that we don't fit together.
    fn is_refused(&self, now: Millis) -> bool {
        self.servers.iter().any(|(&id, server)| {
            server.up().is_none() && server.retry.unfit >= limits::UNFIT_TRIES_MAX && self.is_announced(id, now)
        })
    }

    /// Siblings whose last announcement is not what we have ourselves.
    fn differing(&self) -> impl Iterator<Item = (ServerId, Key)> {
        self.described().filter(|&(id, _, server)| !self.agrees(id, server)).map(|(id, link, _)| (id, link))
    }

    fn agrees(&self, id: ServerId, server: &Server) -> bool {
        let ours = self.described().filter(|&(other, ..)| other != id);
        ours.map(|(other, _, server)| (other, server.address)).eq(server
            .announcement
            .others
            .iter()
            .map(|(&other, &address)| (other, Some(address))))
    }

    /// Siblings that describe themselves.
    pub(super) fn described(&self) -> impl Iterator<Item = (ServerId, Key, &Server)> {
        let described = self.servers.iter().filter(|(_, server)| server.address.is_some());
        described.filter_map(|(&id, server)| server.up().map(|link| (id, link, server)))
    }

    /// What siblings said lately, or said once and what holds still. Who does not repeat it may have lost some of
    /// them since, without a word.
    fn announcements(&self, now: Millis) -> impl Iterator<Item = (ServerId, &Announcement)> {
        let is_fresh = move |id, server: &Server| {
            now.since(server.announcement.at) <= limits::ANNOUNCEMENT_MS || self.agrees(id, server)
        };
        self.described()
            .filter(move |&(id, _, server)| is_fresh(id, server))
            .map(|(id, _, server)| (id, &server.announcement))
    }

    /// Ourselves, our siblings that describe themselves, and theirs.
    fn described_network(&self, now: Millis) -> Seen {
        let mut seen = Seen::default();
        seen.add(self.id, self.advertise);
        for (id, _, server) in self.described() {
            seen.add(id, server.address);
        }
        for (_, announcement) in self.announcements(now) {
            announcement.others.iter().for_each(|(&id, &address)| seen.add(id, Some(address)));
        }
        seen
    }

    /// The same, with siblings of which nobody else knows.
    fn network(&self, now: Millis) -> Seen {
        let mut seen = self.described_network(now);
        for (&id, server) in self.servers.iter().filter(|(_, server)| server.up().is_some()) {
            seen.add(id, server.address);
        }
        seen
    }

    /// Leaves siblings of which nobody else knows, until the rest fits.
    fn leave_undescribed(&mut self, now: Millis, effects: &mut Effects) {
        let is_undescribed = |server: &Server| server.up().is_some() && server.address.is_none();
        while !self.network(now).fits() {
            let Some((&id, _)) = self.servers.iter().rfind(|(_, server)| is_undescribed(server)) else { return };
            log::warn!("one server too many: leaving server {id}, of which our siblings do not know");
            self.leave(id, effects);
        }
    }

    fn leave(&mut self, id: ServerId, effects: &mut Effects) {
        let Some(server) = self.servers.remove(&id) else { return };
        server.close_dial(effects);
        if let Some(link) = server.up() {
            effects.close(link, CloseReason::Unfit, CloseMode::AfterWriting);
        }
    }

    /// Keeps only whom our lowest sibling is linked with, unless we are lower ourselves.
    fn follow_lowest(&mut self, now: Millis, effects: &mut Effects) {
        let seen = self.network(now);
        let lowest = self.announcements(now).map(|(id, _)| id).min_by_key(|&id| self.rank(id));
        let Some(lowest) = lowest.filter(|&lowest| self.rank(lowest) < (self.id, self.advertise)) else { return };
        let Some(theirs) = self.servers.get(&lowest).map(|server| server.announcement.others.clone()) else { return };
        let stays = |id: ServerId, server: &Server| {
            let is_theirs = theirs.get(&id).is_some_and(|&address| server.address == Some(address));
            // Who is lost is in nobody's way, but where he is seen among too many.
            let is_in_the_way = server.up().is_some() || (!seen.fits() && seen.servers.contains_key(&id));
            id == lowest || is_theirs || !is_in_the_way
        };
        let left: Vec<ServerId> =
            self.servers.iter().filter(|(id, server)| !stays(**id, server)).map(|(&id, _)| id).collect();
        for id in left {
            log::warn!("merges that don't fit together: leaving server {id}, which server {lowest} is not linked with");
            self.leave(id, effects);
        }
        self.reconciliation.followed = Some((lowest, now + limits::FOLLOW_MS));
        self.learn(lowest, &theirs, now);
    }

    /// Servers in the order in which they are followed. Two of one ID differ by their address.
    fn rank(&self, id: ServerId) -> (ServerId, Option<SocketAddrV4>) {
        (id, self.servers.get(&id).and_then(|server| server.address))
    }
}
