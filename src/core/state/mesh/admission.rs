//! Which servers may merge, and whether a merge fits.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use ipnet::IpNet;

use super::hearsay::is_same_host;
use super::{Mesh, Offer, OrDash, canonical};
use crate::core::state::key::Key;
use crate::core::state::ordered::insert_all;
use crate::core::state::routed::Routed;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{DeclineReason, ServerId};

/// The addresses from which merge requests are accepted, beside loopback and the addresses of known servers (D20).
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    networks: Vec<IpNet>,
    /// Addresses that we were ourselves told to merge with.
    named_addresses: BTreeSet<IpAddr>,
}

impl Permissions {
    /// What `--allow-peer` adds.
    pub fn new(networks: Vec<IpNet>) -> Permissions {
        Permissions { networks, named_addresses: BTreeSet::new() }
    }
}

/// What to do with a request to merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Accept it.
    Accept,
    /// Decline it: it does not fit.
    Decline(Misfit),
    /// Our own request to the same server stays instead (D18): close this connection.
    Yield,
    /// The request is our own: we dialled ourselves.
    Ourselves,
}

/// Why two networks don't fit together, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// We are linked with that server.
    AlreadyMerged,
    /// There would be so many servers.
    TooMany(usize),
    /// It is not routed, and we are.
    NotRouted,
    /// It is routed, and we are not.
    Routed,
    /// There would be so many servers in a routed network.
    TooManyRouted(usize),
    /// We have as many links as a routed server may have.
    TooManyLinks,
    /// The packet announces more servers than this, which is the limit.
    LongList(usize),
    /// We left that server lately, since it did not fit.
    LeftLately,
    /// Links to us come and go so often that the network hears of little else.
    TooOften,
    /// Its ID is ours.
    OwnId {
        /// The address that it gives for itself.
        there: Option<SocketAddrV4>,
        /// Ours.
        here: Option<SocketAddrV4>,
    },
    /// One ID would stand for two servers.
    Conflict {
        /// The ID.
        id: ServerId,
        /// The address that the other side gives for it.
        there: Option<SocketAddrV4>,
        /// The address that we know.
        here: Option<SocketAddrV4>,
    },
    /// Its own list gives one server two addresses.
    Contradiction,
    /// It names an address at which another server was seen, and does not come from there.
    Taken {
        /// The address.
        place: SocketAddrV4,
        /// The server that is there.
        by: ServerId,
    },
}

impl Misfit {
    /// As MRGDECL has it.
    pub fn reason(self) -> DeclineReason {
        match self {
            // Whoever has no link to us takes this for temporary (D17).
            Misfit::AlreadyMerged | Misfit::TooOften => DeclineReason::AlreadyMerged,
            Misfit::TooMany(_) | Misfit::LongList(_) | Misfit::LeftLately => DeclineReason::ServerLimit,
            Misfit::NotRouted | Misfit::Routed => DeclineReason::ServerLimit,
            Misfit::TooManyRouted(_) | Misfit::TooManyLinks => DeclineReason::ServerLimit,
            Misfit::OwnId { .. } | Misfit::Conflict { .. } | Misfit::Contradiction | Misfit::Taken { .. } => {
                DeclineReason::IdConflict
            }
        }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Misfit::AlreadyMerged => f.write_str("it is merged with us already"),
            Misfit::TooMany(count) => {
                write!(
                    f,
                    "there would be {count} servers, lost ones included, and {} is the limit",
                    limits::NETWORK_MAX_SERVERS
                )
            }
            Misfit::NotRouted => f.write_str("it is not routed: start it with --routed"),
            Misfit::Routed => f.write_str("it is routed, and we are not: start both with --routed, or neither"),
            Misfit::TooManyRouted(count) => {
                write!(f, "there would be {count} servers, and {} is the limit", limits::ROUTED_MAX_SERVERS)
            }
            Misfit::TooManyLinks => write!(f, "we have {} links, which is the limit", limits::ROUTED_LINKS_MAX),
            Misfit::LongList(limits::DESCRIPTIONS_MAX) => {
                write!(
                    f,
                    "its list has more than {} servers, as only a routed network may have",
                    limits::DESCRIPTIONS_MAX
                )
            }
            Misfit::LongList(most) => write!(f, "its list has more than {most} entries"),
            Misfit::TooOften => f.write_str("links to us come and go too often: it may try again in a moment"),
            Misfit::LeftLately => f.write_str("it did not fit into our network a moment ago"),
            Misfit::OwnId { there, here } => {
                write!(f, "its network has our own ID, at {}, and we are at {}", OrDash(there), OrDash(here))
            }
            Misfit::Conflict { id, there, here } => {
                write!(
                    f,
                    "ID {id} would stand for two servers, at {} in its network and at {} in ours",
                    OrDash(there),
                    OrDash(here)
                )
            }
            Misfit::Contradiction => f.write_str("its list has one ID at two addresses"),
            Misfit::Taken { place, by } => write!(f, "it says that it is at {place}, where server {by} is"),
        }
    }
}

impl Mesh {
    /// Whether requests to merge under this ID are accepted from this address (D20). A connection without an address
    /// comes from this machine.
    pub fn permits(&self, remote: Option<SocketAddr>, server: ServerId) -> bool {
        let Some(address) = remote.map(|remote| canonical(remote.ip())) else { return true };
        let is_known = |known: &super::Server| known.place().is_some_and(|place| *place.ip() == address);
        address.is_loopback()
            || self.permissions.named_addresses.contains(&address)
            || self.permissions.networks.iter().any(|network| network.contains(&address))
            || self.servers.get(&server).is_some_and(is_known)
            || self.named_on(address).contains(&server)
    }

    /// Whether anybody may merge from this address, under whatever ID.
    pub fn permits_some(&self, remote: Option<SocketAddr>) -> bool {
        let host = remote.map(|remote| canonical(remote.ip()));
        let known = self.servers.iter().filter(|(_, s)| s.place().is_some_and(|p| Some(IpAddr::V4(*p.ip())) == host));
        let known: Vec<ServerId> = known.map(|(&id, _)| id).collect();
        let named = host.map(|host| self.named_on(host)).unwrap_or_default();
        // Our own ID stands for a server that is not this one.
        std::iter::once(self.id).chain(known).chain(named).any(|id| self.permits(remote, id))
    }

    /// The operator named this address: it may also merge with us.
    pub(super) fn permit(&mut self, address: IpAddr) {
        if self.permissions.named_addresses.len() < limits::NAMED_ADDRESSES_MAX {
            self.permissions.named_addresses.insert(canonical(address));
        }
    }

    /// Looks at a request from `remote`, in the order of D17.
    pub fn decide(&mut self, offer: &Offer, remote: Option<SocketAddr>, now: Millis) -> Decision {
        if offer.server == self.id && offer.address == self.advertise && self.meet_ourselves(remote) {
            return Decision::Ourselves;
        }
        let misfit = self.other_mode(offer).or_else(|| self.offer_conflict(offer));
        if let Some(misfit) = misfit.or_else(|| self.taken(offer, remote)) {
            return Decision::Decline(misfit);
        }
        if self.link_to(offer.server).is_some() {
            return Decision::Decline(Misfit::AlreadyMerged);
        }
        if let Some(misfit) = self.too_many(offer, now) {
            return Decision::Decline(misfit);
        }
        if self.is_excluded(offer.server, offer.address, now) {
            return Decision::Decline(Misfit::LeftLately);
        }
        if let Some(misfit) = self.siblings_are_full(offer, now) {
            return Decision::Decline(misfit);
        }
        if self.has_unanswered_request_to(offer) && self.id > offer.server {
            return Decision::Yield;
        }
        if self.routed.as_mut().is_some_and(|routed| !routed.may_link(now)) {
            return Decision::Decline(Misfit::TooOften);
        }
        Decision::Accept
    }

    /// Looks at the answer to our own request (D17, last paragraph).
    pub fn fits(&self, offer: &Offer, remote: Option<SocketAddr>, now: Millis) -> Result<(), Misfit> {
        let conflict = self.other_mode(offer).or_else(|| self.offer_conflict(offer));
        let conflict = conflict.or_else(|| self.taken(offer, remote));
        let conflict = conflict.or_else(|| self.too_many(offer, now));
        match conflict.or_else(|| self.siblings_are_full(offer, now)) {
            Some(misfit) => Err(misfit),
            None => Ok(()),
        }
    }

    /// Chooses the link that stays if both sides dialled, and neither knew which server it dialled: the one that the
    /// server with the higher ID dialled (D18).
    pub fn own_dial_stays(&self, other: ServerId) -> bool {
        self.id > other
    }

    fn offer_conflict(&self, offer: &Offer) -> Option<Misfit> {
        if offer.is_contradictory {
            return Some(Misfit::Contradiction);
        }
        if offer.server == self.id {
            return Some(Misfit::OwnId { there: offer.address, here: self.advertise });
        }
        // A server's word about others does not keep away a server that belongs to our network: a liar could part us in
        // that way. An ID that is there twice is told apart afterwards (D52).
        let is_ours = self.is_back(offer) || self.is_member(offer);
        let counts = |&&(id, _): &&(ServerId, SocketAddrV4)| id == self.id || !is_ours;
        let others = offer.others.iter().filter(counts).map(|&(id, address)| (id, Some(address)));
        std::iter::once((offer.server, offer.address))
            .chain(others)
            .find_map(|(id, address)| self.conflict(id, address))
    }

    /// Whether it is a server that we lost, at its place. One that we accept and that leaves at once, again and again,
    /// finds that we don't fit: its list counts like a stranger's.
    fn is_back(&self, offer: &Offer) -> bool {
        let is_it = |server: &super::Server| {
            let goes_again = server.dialler.retry.flaps >= limits::UNFIT_TRIES_MAX;
            server.place() == offer.address && server.link.is_none() && !goes_again
        };
        offer.address.is_some() && self.servers.get(&offer.server).is_some_and(is_it)
    }

    /// Whether it and a sibling of ours both say that they are linked.
    fn is_member(&self, offer: &Offer) -> bool {
        let Some(address) = offer.address else { return false };
        offer.others.iter().any(|&(id, place)| {
            let sibling = self.servers.get(&id).filter(|server| server.up().is_some() && server.place() == Some(place));
            sibling.is_some_and(|sibling| sibling.announcement.others.get(&offer.server) == Some(&address))
        })
    }

    /// Why a server of this ID and address can't be the one that we know under that ID (D15).
    pub(super) fn conflict(&self, id: ServerId, address: Option<SocketAddrV4>) -> Option<Misfit> {
        let there = Some(address?);
        if id == self.id {
            let here = self.advertise.filter(|&own| Some(own) != there)?;
            return Some(Misfit::OwnId { there, here: Some(here) });
        }
        if let Some(route) = self.routed.as_ref().and_then(|routed| routed.tree().routes.get(&id)) {
            let here = Some(route.address);
            return (here != there).then_some(Misfit::Conflict { id, there, here });
        }
        let server = self.servers.get(&id)?;
        let here = server.place();
        let is_other = here.is_some() && here != there && server.former != there;
        (is_other && !server.has_moved()).then_some(Misfit::Conflict { id, there, here })
    }

    /// Whether there would be more than ten servers, lost ones included (D16).
    fn too_many(&self, offer: &Offer, now: Millis) -> Option<Misfit> {
        if let Some(routed) = &self.routed {
            return self.too_many_routed(routed, offer);
        }
        let known = self.servers.iter().filter(|(_, server)| server.has_place(now));
        let known = known.map(|(&id, server)| (id, server.place()));
        let others = offer.others.iter().filter(|_| !self.is_back(offer)).map(|&(id, place)| (id, Some(place)));
        let ends = [(offer.server, offer.address), (self.id, self.advertise)];
        // One server is one ID and one address: with many IDs at one address, it takes one place.
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        let is_another = |&(id, place): &(ServerId, Option<SocketAddrV4>)| {
            let has_new_place = place.is_none_or(|place| places.insert(place));
            ids.insert(id) && has_new_place
        };
        let count = ends.into_iter().chain(known).chain(others).filter(is_another).count();
        (count > limits::NETWORK_MAX_SERVERS).then_some(Misfit::TooMany(count))
    }

    /// Whether so many siblings have all the links that they may have, without this server, that one or two liars can't
    /// be all of them. Some of theirs may be with a server that we are not linked with; this one could not be linked
    /// with them, would be left again, and would come again.
    fn siblings_are_full(&self, offer: &Offer, now: Millis) -> Option<Misfit> {
        let is_full = |(id, server): &(&ServerId, &super::Server)| {
            let others = &server.announcement.others;
            // We are its sibling, too.
            others.len() + 1 >= limits::SIBLINGS_MAX
                && !others.contains_key(&offer.server)
                && server.up().is_some()
                && self.is_fresh(**id, server, now)
        };
        let are_full = !self.is_back(offer) && self.servers.iter().filter(is_full).count() > limits::LIARS_MAX;
        are_full.then_some(Misfit::TooMany(limits::NETWORK_MAX_SERVERS + 1))
    }

    /// Whether another server was seen at the address that this one names without coming from there.
    fn taken(&self, offer: &Offer, remote: Option<SocketAddr>) -> Option<Misfit> {
        let place = offer.address?;
        let is_there = remote.is_some_and(|remote| is_same_host(canonical(remote.ip()), (*place.ip()).into()));
        let is_other = |&(&id, server): &(&ServerId, &super::Server)| {
            id != offer.server && server.up().is_some() && server.place() == Some(place) && server.is_verified()
        };
        let (&by, _) = self.servers.iter().find(is_other).filter(|_| !is_there)?;
        Some(Misfit::Taken { place, by })
    }

    /// Whether there would be more servers than a routed network may have, or more links than one of its servers (D27).
    fn too_many_routed(&self, routed: &Routed, offer: &Offer) -> Option<Misfit> {
        let known = routed.tree().routes.keys().copied();
        let all: BTreeSet<ServerId> =
            insert_all(known.chain(offer.others.iter().map(|&(id, _)| id)).chain([offer.server, self.id]));
        let links = self.links().filter(|&(id, _)| id != offer.server).count();
        if all.len() > limits::ROUTED_MAX_SERVERS {
            Some(Misfit::TooManyRouted(all.len()))
        } else {
            (links >= self.links_max()).then_some(Misfit::TooManyLinks)
        }
    }

    /// Whether one of the two is routed, and the other is not (D25).
    fn other_mode(&self, offer: &Offer) -> Option<Misfit> {
        match (self.routed.is_some(), offer.is_routed) {
            (true, false) => Some(Misfit::NotRouted),
            (false, true) => Some(Misfit::Routed),
            _ => None,
        }
    }

    fn has_unanswered_request_to(&self, offer: &Offer) -> bool {
        let heard = offer.address.and_then(|address| self.hearsay.dials.get(&address));
        self.servers.get(&offer.server).is_some_and(|server| server.dialler.is_sent())
            || heard.is_some_and(|heard| heard.dialler.is_sent())
            || self.targets.values().any(|target| {
                target.dialler.is_sent()
                    && offer.address.is_some()
                    && target.dialled() == offer.address.map(SocketAddr::V4)
            })
    }

    /// The link to the server that the operator's `HOST:PORT` led to, if it is one that we have.
    pub(super) fn link_at(&self, address: SocketAddr) -> Option<Key> {
        let SocketAddr::V4(address) = address else { return None };
        let is_there = |server: &&super::Server| server.place() == Some(address) || server.reached == Some(address);
        self.servers.values().filter(is_there).find_map(super::Server::up)
    }
}
