//! Another server that we are linked with, or were.

use std::net::{IpAddr, SocketAddrV4};

use super::HostPort;
use super::dialler::Dialler;
use super::hearsay::is_same_host;
use super::reconcile::Announcement;
use crate::core::state::effects::Effects;
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::ServerId;

/// Another server of our network. It has told us itself that it is there: what we know from hearsay is not here.
#[derive(Debug)]
pub struct Server {
    /// The address at which it listens; unknown if it did not describe itself.
    pub(super) address: Option<SocketAddrV4>,
    /// The address at which we dialled it and it answered.
    pub(super) reached: Option<SocketAddrV4>,
    /// The address that the link comes from, or goes to.
    pub(super) remote: Option<IpAddr>,
    /// Its address before it came back elsewhere: the server that answers there gets the ID.
    pub(super) former: Option<SocketAddrV4>,
    /// The link, while it is up.
    pub(super) link: Option<Key>,
    /// Since when it is up, or not.
    pub(super) since: Millis,
    /// How long the last link held.
    pub(super) held_ms: u64,
    /// What it said last of its siblings, over the link that is up.
    pub(super) announcement: Announcement,
    /// The list of servers that it was told last, as it stood in the packet.
    pub(super) told: Vec<u8>,
    /// The name that `--merge` had for it: it is dialled under that name too, for ever, also when it is forgotten.
    pub(super) name: Option<HostPort>,
    /// Dials it while there is no link.
    pub(super) dialler: Dialler,
    /// Nothing that it says of others is worth a line of the log before then.
    pub(super) quiet_until: Millis,
}

/// A server as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its ID.
    pub id: ServerId,
    /// Its advertised address.
    pub address: Option<SocketAddrV4>,
    /// The link, if it is up.
    pub link: Option<Key>,
    /// If it is not: the siblings that say that they are linked with it.
    pub linked_with: Vec<ServerId>,
    /// What there is instead of a link, in a word.
    pub state: &'static str,
    /// Since when.
    pub since: Millis,
}

impl Server {
    pub(super) fn new(now: Millis) -> Server {
        Server {
            address: None,
            reached: None,
            remote: None,
            former: None,
            link: None,
            since: now,
            held_ms: 0,
            announcement: Announcement::default(),
            told: Vec::new(),
            name: None,
            dialler: Dialler::at(now),
            quiet_until: Millis::default(),
        }
    }

    /// The link, while it is up.
    pub(super) fn up(&self) -> Option<Key> {
        self.link
    }

    /// The address at which others can reach it: the one that it names, else the one that we dialled.
    pub(super) fn place(&self) -> Option<SocketAddrV4> {
        self.address.or(self.reached)
    }

    /// Whether anything can be dialled for it.
    pub(super) fn is_dialable(&self) -> bool {
        self.place().is_some() || self.name.is_some()
    }

    /// Whether it is to be dialled at its place, or under its name.
    pub(super) fn wants_dials(&self) -> bool {
        self.link.is_none() && self.is_dialable() && !self.is_hearsay()
    }

    /// Whether it was seen at the place that it names, and not only said so.
    pub(super) fn is_verified(&self) -> bool {
        let place = self.place();
        let is_host = |remote: IpAddr| place.is_some_and(|place| is_same_host(remote, (*place.ip()).into()));
        (place.is_some() && self.reached == place) || self.remote.is_some_and(is_host)
    }

    /// Whether only it has named its address: then it is dialled like one that others name.
    pub(super) fn is_hearsay(&self) -> bool {
        !self.is_verified() && self.name.is_none() && self.reached.is_none()
    }

    /// It has moved, or another server has its place: it is not linked, and its former address does not answer (D21).
    pub(super) fn has_moved(&self) -> bool {
        self.link.is_none() && self.dialler.retry.failures > 0
    }

    /// Whether it counts for the ten. A lost server does for as long as it was linked, so that servers that come and go
    /// do not fill the network (D16).
    pub(super) fn has_place(&self, now: Millis) -> bool {
        self.link.is_some() || now.since(self.since) < self.held_ms.min(limits::FORGET_MS)
    }

    /// When it is given up, if it does not come back (D21).
    pub(super) fn forget_at(&self) -> Option<Millis> {
        self.link.is_none().then(|| self.since + limits::FORGET_MS)
    }

    pub(super) fn close_dial(&self, effects: &mut Effects) {
        self.dialler.close(None, effects);
    }
}
