//! Which servers to dial, and when (D18, D21).

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use super::dialler::{Dialler, Pace};
use super::{HostPort, Mesh, Misfit, Server};
use crate::core::state::effects::Effects;
use crate::core::state::key::Key;
use crate::core::state::routed::Routed;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{DeclineReason, ServerId};

/// The owner of a dialled connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialFor {
    /// A server that we were linked with.
    Server(ServerId),
    /// A server that a sibling named, there.
    Heard(SocketAddrV4),
    /// A merge that was asked for by name.
    MergeTarget(u32),
}

/// The target of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTo {
    /// There.
    Address(SocketAddr),
    /// Wherever this name leads; to be looked up first.
    Name(HostPort),
}

/// Something to dial. The answer is [`Mesh::on_dialled`], and then what becomes of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The owner of the dial.
    pub dial_for: DialFor,
    /// The target.
    pub to: DialTo,
}

/// What became of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialled {
    /// There is no answer, for this reason.
    Failed(String),
    /// The answer was MRGDECL.
    Declined(DeclineReason),
    /// The answer was an MRGRSP that does not fit.
    Unfit(Misfit),
    /// All addresses of the name are this server's own.
    Ourselves,
}

impl Mesh {
    /// The next connection to dial now.
    pub fn poll_dial(&mut self, now: Millis) -> Option<Dial> {
        if let Some((&id, target)) = self.targets.iter_mut().find(|(_, target)| target.dialler.is_due(now)) {
            target.dialler.begin();
            return Some(Dial { dial_for: DialFor::MergeTarget(id), to: DialTo::Name(target.name.clone()) });
        }
        let is_due = |server: &Server| server.wants_dials() && server.dialler.is_due(now);
        if let Some((&id, server)) = self.servers.iter_mut().find(|(_, server)| is_due(server)) {
            server.dialler.begin();
            // One with a name is dialled under it every other time: it may have come back elsewhere.
            let by_name = server.dialler.retry.failures % 2 == 1;
            let to = match (&server.name, server.place()) {
                (Some(name), place) if by_name || place.is_none() => DialTo::Name(name.clone()),
                // The address at which it answered before, if it was not seen at the one that it names.
                (_, place) => DialTo::Address(server.reached.filter(|_| !server.is_verified()).or(place)?.into()),
            };
            return Some(Dial { dial_for: DialFor::Server(id), to });
        }
        let mut heard = self.hearsay.dials.iter_mut();
        let (&address, heard) = heard.find(|(_, heard)| heard.named.is_some() && heard.dialler.is_due(now))?;
        heard.dialler.begin();
        if let Some((id, from)) = heard.named.filter(|_| heard.dialler.retry.failures == 0) {
            if from == self.id {
                log::info!("dialling server {id} at {address}, too: whoever answers there has the ID");
            } else {
                log::info!("dialling server {id} at {address}, which server {from} names");
            }
        }
        Some(Dial { dial_for: DialFor::Heard(address), to: DialTo::Address(address.into()) })
    }

    /// When [`Mesh::poll_dial`], [`Mesh::forget_old`] or [`Mesh::reconcile`] will have something.
    pub fn next_deadline(&self) -> Option<Millis> {
        let targets = self.targets.values().filter_map(|target| target.dialler.next());
        let dials =
            self.servers.values().filter(|server| server.wants_dials()).filter_map(|server| server.dialler.next());
        let heard = self.hearsay.dials.values().filter(|heard| heard.named.is_some());
        let heard = heard.filter_map(|heard| heard.dialler.next());
        let lost = self.servers.values().filter_map(Server::forget_at);
        let lost = lost.chain(self.routed.as_ref().and_then(Routed::next_deadline));
        targets.chain(dials).chain(heard).chain(lost).chain(self.next_reconcile()).min()
    }

    pub(super) fn dialler(&mut self, dial_for: DialFor) -> Option<&mut Dialler> {
        match dial_for {
            DialFor::Server(id) => self.servers.get_mut(&id).map(|server| &mut server.dialler),
            DialFor::Heard(address) => self.hearsay.dials.get_mut(&address).map(|heard| &mut heard.dialler),
            DialFor::MergeTarget(id) => self.targets.get_mut(&id).map(|target| &mut target.dialler),
        }
    }

    fn diallers(&mut self) -> impl Iterator<Item = &mut Dialler> {
        let servers = self.servers.values_mut().map(|server| &mut server.dialler);
        let heard = self.hearsay.dials.values_mut().map(|heard| &mut heard.dialler);
        servers.chain(heard).chain(self.targets.values_mut().map(|target| &mut target.dialler))
    }

    /// A connection has been opened for a dial, to `address`. `local` is our end of it, if that is known. Returns
    /// whether the dial is still wanted.
    pub fn on_dialled(&mut self, dial_for: DialFor, key: Key, address: SocketAddr, local: Option<SocketAddr>) -> bool {
        let is_wanted = self.dialler(dial_for).is_some_and(|dialler| dialler.on_opened(key, local));
        if let DialFor::MergeTarget(id) = dial_for
            && let Some(target) = self.targets.get_mut(&id)
        {
            target.address = Some(address);
            self.permit(address.ip());
        }
        is_wanted
    }

    /// A name that is to be dialled has been looked up: permits its addresses, and takes one after the other with each
    /// try. There is none, if all of them are this server's own.
    pub fn on_resolved(&mut self, dial_for: DialFor, addresses: &[IpAddr]) -> Option<IpAddr> {
        for &address in addresses {
            self.permit(address);
        }
        self.dialler(dial_for)?.pick(addresses)
    }

    /// A request of our own has come in, from `remote`: finds the dial that led to ourselves. If an address is
    /// translated on the way, it is the only dial whose request was sent.
    pub(super) fn meet_ourselves(&mut self, remote: Option<SocketAddr>) -> bool {
        let is_ours = |dialler: &Dialler| remote.is_some_and(|remote| dialler.comes_from(remote));
        let known = self.diallers().filter(|dialler| is_ours(dialler)).count();
        let asked = self.diallers().filter(|dialler| dialler.is_sent()).count();
        for dialler in self.diallers() {
            if is_ours(dialler) || (known == 0 && asked == 1 && dialler.is_sent()) {
                dialler.on_met_ourselves();
                return true;
            }
        }
        false
    }

    /// Our request has been written.
    pub fn on_request_sent(&mut self, dial_for: DialFor) {
        if let Some(dialler) = self.dialler(dial_for) {
            dialler.on_sent();
        }
    }

    /// The receiver of our request, if we know its ID: the list does not name it to itself. If we are linked with another
    /// server of that ID, the list names that one, so that the receiver finds the conflict. Else it would accept, and we
    /// would leave it, again and again.
    pub fn receiver(&self, dial_for: DialFor) -> Option<ServerId> {
        match dial_for {
            DialFor::Server(id) => Some(id),
            DialFor::Heard(address) => {
                let (id, _) = self.hearsay.dials.get(&address)?.named?;
                (self.link_to(id).is_none() || self.gives_way(id, dial_for)).then_some(id)
            }
            DialFor::MergeTarget(_) => None,
        }
    }

    /// Our request was accepted: `server` is what we dialled for. To be called before the link is up.
    pub fn on_dial_accepted(&mut self, dial_for: DialFor, server: ServerId, now: Millis, effects: &mut Effects) {
        match dial_for {
            DialFor::Server(id) if id != server => self.fail_server(id, now, effects),
            DialFor::Server(_) => {}
            DialFor::Heard(address) => drop(self.fail_heard(address, now)),
            DialFor::MergeTarget(id) => self.on_target_merged(id, server, now, effects),
        }
    }

    /// A dial came to nothing.
    pub fn on_dial_ended(&mut self, dial_for: DialFor, dialled: &Dialled, now: Millis, effects: &mut Effects) {
        match dial_for {
            DialFor::Server(id) => {
                if let Some(server) = self.servers.get_mut(&id).filter(|server| server.dialler.is_ourselves()) {
                    server.dialler.pass_over();
                }
                self.fail_server(id, now, effects);
                self.note_apart(dial_for, now);
                self.on_answer(id, dialled, effects);
            }
            DialFor::Heard(address) => {
                if *dialled == Dialled::Declined(DeclineReason::AlreadyMerged) {
                    self.keep_id(address);
                }
                if self.fail_heard(address, now) >= limits::FORMER_TRIES_MAX {
                    self.keep_id(address);
                }
                log::debug!("dialled {address}, which a sibling names, in vain: {dialled:?}");
                self.note_apart(dial_for, now);
                // A lost server whose address only it has named.
                let is_lost =
                    |(_, server): &(&ServerId, &Server)| server.link.is_none() && server.place() == Some(address);
                if let Some(id) = self.servers.iter().find(is_lost).map(|(&id, _)| id) {
                    self.on_answer(id, dialled, effects);
                }
            }
            DialFor::MergeTarget(id) => self.on_target_ended(id, dialled, now, effects),
        }
    }

    /// Gives up servers that have been gone for too long (D21).
    pub fn forget_old(&mut self, now: Millis, effects: &mut Effects) {
        if let Some(routed) = &mut self.routed {
            routed.forget_old(now, effects);
        }
        let is_old = |server: &Server| server.forget_at().is_some_and(|at| at <= now);
        let old: Vec<ServerId> = self.servers.iter().filter(|(_, s)| is_old(s)).map(|(&id, _)| id).collect();
        for id in old {
            let name = self.servers.get(&id).and_then(|server| server.name.clone());
            self.give_up(id, effects);
            if let Some(name) = name {
                // It has a place in the network no longer, and gets one when it is back.
                self.request_merge(name, None, now);
            }
            self.refresh_hearsay(now);
        }
    }

    /// A server that we were linked with may decline because we conflict. If no sibling is linked with it, it has
    /// joined another network.
    fn on_answer(&mut self, id: ServerId, dialled: &Dialled, effects: &mut Effects) {
        let why = match dialled {
            Dialled::Declined(DeclineReason::AlreadyMerged) | Dialled::Failed(_) | Dialled::Ourselves => return,
            Dialled::Declined(reason) => in_words(*reason, self.routed.is_some()).to_owned(),
            Dialled::Unfit(misfit) => misfit.to_string(),
        };
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.dialler.retry.unfit = server.dialler.retry.unfit.saturating_add(1);
        let (unfit, is_named, place) = (server.dialler.retry.unfit, server.name.is_some(), server.place());
        if unfit == 1 {
            log::warn!("server {id} does not merge with us: {why}");
        }
        let is_announced = place.is_some_and(|place| self.is_named(id, place));
        if unfit >= limits::UNFIT_TRIES_MAX && !is_named && !is_announced {
            self.give_up(id, effects);
        }
    }

    fn fail_server(&mut self, id: ServerId, now: Millis, effects: &mut Effects) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if server.dialler.fail(Pace::Quick, now, &mut self.random) {
            let place = server.place();
            let has_it = |(_, other): &(&ServerId, &Server)| other.up().is_some() && other.place() == place;
            if let Some(successor) = self.servers.iter().find(has_it).map(|(&id, _)| id) {
                self.forget_predecessor(successor, effects);
            }
        }
    }
}

/// What a reason for declining means, to a routed server or to one that is not.
pub(super) fn in_words(reason: DeclineReason, is_routed: bool) -> &'static str {
    match reason {
        DeclineReason::ServerLimit if is_routed => {
            "there would be too many servers or links, or it is not routed; its log says which"
        }
        DeclineReason::AlreadyMerged => "it is merged with us already",
        DeclineReason::ServerLimit => "there would be more than ten servers, lost ones included, or it is routed",
        DeclineReason::IdConflict => "one ID would stand for two servers; its log says which",
    }
}
