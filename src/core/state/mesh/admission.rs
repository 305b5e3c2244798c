//! Who may merge, and whether a merge fits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use ipnet::IpNet;

use super::{DialState, Link, Mesh, Offer, canonical};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{DeclineReason, ServerId};

/// Where merge requests are accepted from, beside loopback and the addresses of servers that we know (D20).
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
    /// Decline it for this reason.
    Decline(DeclineReason),
    /// Our own request to the same server stays instead (D18): close this connection.
    Yield,
}

impl Mesh {
    /// Whether requests to merge are accepted from this address (D20). A connection without an address comes from
    /// this machine.
    pub fn permits(&self, peer: Option<SocketAddr>) -> bool {
        let Some(address) = peer.map(|peer| canonical(peer.ip())) else { return true };
        address.is_loopback()
            || self.permissions.named_addresses.contains(&address)
            || self.permissions.networks.iter().any(|network| network.contains(&address))
            || self.servers.values().any(|server| server.address.is_some_and(|known| *known.ip() == address))
    }

    /// The operator named this address: it may also merge with us.
    pub(super) fn permit(&mut self, address: IpAddr) {
        if self.permissions.named_addresses.len() < limits::NAMED_ADDRESSES_MAX {
            self.permissions.named_addresses.insert(canonical(address));
        }
    }

    /// Looks at a request, in the order of D17.
    pub fn decide(&self, offer: &Offer, now: Millis) -> Decision {
        if self.offer_conflicts(offer) {
            return Decision::Decline(DeclineReason::IdConflict);
        }
        if self.link_to(offer.server).is_some() {
            return Decision::Decline(DeclineReason::AlreadyMerged);
        }
        if self.exceeds_limit(offer) || self.is_excluded(offer.server, now) {
            return Decision::Decline(DeclineReason::ServerLimit);
        }
        if self.has_unanswered_request_to(offer) && self.id > offer.server {
            return Decision::Yield;
        }
        Decision::Accept
    }

    /// Looks at the answer to our own request (D17, last paragraph).
    pub fn fits(&self, offer: &Offer) -> Result<(), DeclineReason> {
        if self.offer_conflicts(offer) {
            Err(DeclineReason::IdConflict)
        } else if self.exceeds_limit(offer) {
            Err(DeclineReason::ServerLimit)
        } else {
            Ok(())
        }
    }

    /// Where both sides dialled and neither could know whom: which link is left. The one that the server with the
    /// higher ID dialled stays (D18).
    pub fn own_dial_stays(&self, other: ServerId) -> bool {
        self.id > other
    }

    fn offer_conflicts(&self, offer: &Offer) -> bool {
        offer.is_contradictory
            || offer.server == self.id
            || self.conflicts(offer.server, offer.address)
            || offer.others.iter().any(|&(id, address)| self.conflicts(id, Some(address)))
    }

    /// Whether a server of this ID and address can't be the one that we know under that ID (D15).
    pub(super) fn conflicts(&self, id: ServerId, address: Option<SocketAddrV4>) -> bool {
        let Some(address) = address else { return false };
        if id == self.id {
            return self.advertise.is_some_and(|own| own != address);
        }
        let Some(server) = self.servers.get(&id) else { return false };
        // It may have moved, once it no longer answers where it was (D21).
        let may_have_moved = server.up().is_none() && server.retry.failures > 0;
        server.address.is_some_and(|known| known != address) && !may_have_moved
    }

    /// Whether there would be more than ten servers, lost ones included (D16).
    fn exceeds_limit(&self, offer: &Offer) -> bool {
        let mut all: BTreeMap<ServerId, ()> = self.servers.keys().map(|&id| (id, ())).collect();
        // A server that is down and whose address the other has now will be forgotten when the link comes up.
        let replaced = |server: &super::Server| server.address == offer.address && offer.address.is_some();
        all.retain(|id, ()| self.servers.get(id).is_none_or(|server| server.up().is_some() || !replaced(server)));
        all.extend(offer.others.iter().map(|&(id, _)| (id, ())));
        all.extend([(offer.server, ()), (self.id, ())]);
        all.len() > limits::NETWORK_MAX_SERVERS
    }

    fn has_unanswered_request_to(&self, offer: &Offer) -> bool {
        let is_sent = |link: &Link| matches!(link, Link::Dialling(DialState { is_sent: true, .. }));
        self.servers.get(&offer.server).is_some_and(|server| is_sent(&server.link))
            || self.targets.values().any(|target| {
                target.is_sent() && offer.address.is_some() && target.dialled() == offer.address.map(SocketAddr::V4)
            })
    }

    /// The link to the server that the operator's `HOST:PORT` led to, if it is one that we have.
    pub(super) fn link_at(&self, address: SocketAddr) -> Option<Key> {
        let SocketAddr::V4(address) = address else { return None };
        self.servers.values().find(|server| server.address == Some(address)).and_then(super::Server::up)
    }
}
