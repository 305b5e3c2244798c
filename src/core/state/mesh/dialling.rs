//! Whom to dial, and when (D18, D21).

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use super::{DialState, HostPort, Link, Mesh};
use crate::core::state::effects::{CloseMode, CloseReason, Effect, Effects};
use crate::core::state::key::Key;
use crate::core::state::random::Random;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{DeclineReason, ServerId};

/// For whom a connection is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialFor {
    /// A server that we know.
    Server(ServerId),
    /// A merge that was asked for by name.
    MergeTarget(u32),
}

/// Where to dial.
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
    /// For whom.
    pub dial_for: DialFor,
    /// Where.
    pub to: DialTo,
}

/// How dialling went so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// Dials since the last link, or the start, that came to nothing.
    pub failures: u32,
    /// Answers that we don't fit together, since a link last held.
    pub unfit: u32,
    /// Links in a row that came up and did not hold.
    flaps: u32,
    /// Not before then again.
    pub next: Millis,
}

impl Retry {
    pub fn at(next: Millis) -> Retry {
        Retry { failures: 0, unfit: 0, flaps: 0, next }
    }

    pub fn on_link_up(&mut self) {
        self.failures = 0;
    }

    pub fn on_link_lost(&mut self, held_ms: u64, now: Millis, random: &mut Random) {
        if held_ms >= limits::LINK_HELD_MS {
            (self.unfit, self.flaps) = (0, 0);
        } else {
            self.flaps = self.flaps.saturating_add(1);
        }
        self.delay(now, random);
    }

    fn fail(&mut self, now: Millis, random: &mut Random) {
        self.delay(now, random);
        self.failures = self.failures.saturating_add(1);
    }

    fn delay(&mut self, now: Millis, random: &mut Random) {
        let doublings = self.failures.saturating_add(self.flaps).min(16);
        let delay_ms = (limits::DIAL_DELAY_MIN_MS << doublings).min(limits::DIAL_DELAY_MAX_MS);
        self.next = now + jittered(delay_ms, random);
    }
}

/// Between half of it and all of it, so that two servers that dial each other don't do so in step.
pub(super) fn jittered(delay_ms: u64, random: &mut Random) -> u64 {
    delay_ms / 2 + random.below(delay_ms / 2 + 1)
}

/// A merge that was asked for by name.
#[derive(Debug)]
pub(super) struct MergeTarget {
    name: HostPort,
    /// From `--merge`: tried until it is accepted or declined, and redialled for ever. Else from an operator.
    is_permanent: bool,
    /// The operator's connection that waits for the outcome.
    operator: Option<Key>,
    state: TargetState,
    /// Where its host was last found.
    address: Option<SocketAddr>,
    retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetState {
    Waiting,
    Dialling(DialState),
}

impl MergeTarget {
    pub fn is_sent(&self) -> bool {
        matches!(self.state, TargetState::Dialling(DialState { is_sent: true, .. }))
    }

    pub fn dialled(&self) -> Option<SocketAddr> {
        self.address
    }
}

/// What came of a merge that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The link is up.
    Merged,
    /// The other side declined, or its answer did not fit.
    Declined(DeclineReason),
    /// Nobody answered there.
    Unreachable(String),
}

impl std::fmt::Display for MergeOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MergeOutcome::Merged => f.write_str("ok"),
            MergeOutcome::Declined(DeclineReason::AlreadyMerged) => f.write_str("error already merged"),
            MergeOutcome::Declined(DeclineReason::ServerLimit) => f.write_str("error server limit"),
            MergeOutcome::Declined(DeclineReason::IdConflict) => f.write_str("error server id conflict"),
            MergeOutcome::Unreachable(why) => write!(f, "error unreachable {why}"),
        }
    }
}

/// What became of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialled {
    /// There is no answer, for this reason.
    Failed(String),
    /// The answer was MRGDECL.
    Declined(DeclineReason),
    /// The answer was an MRGRSP that does not fit.
    Unfit(DeclineReason),
}

impl Mesh {
    /// The operator wants a merge. `operator` waits for the outcome; without one it is tried until it is done.
    pub fn request_merge(&mut self, name: HostPort, operator: Option<Key>, now: Millis) {
        let is_permanent = operator.is_none();
        let (state, retry) = (TargetState::Waiting, Retry::at(now));
        let id = self.next_target;
        self.next_target = id.wrapping_add(1);
        self.targets.insert(id, MergeTarget { name, is_permanent, operator, state, address: None, retry });
    }

    /// Merges that are waiting or under way.
    pub fn pending_merges(&self) -> usize {
        self.targets.len()
    }

    /// The operator's connection is gone: nobody waits for the outcome of its merge.
    pub fn on_operator_gone(&mut self, operator: Key) {
        for target in self.targets.values_mut() {
            target.operator.take_if(|waiting| *waiting == operator);
        }
    }

    /// The next connection to dial now.
    pub fn poll_dial(&mut self, now: Millis) -> Option<Dial> {
        let due = |retry: &Retry| retry.next <= now;
        let target = self.targets.iter_mut().find(|(_, t)| t.state == TargetState::Waiting && due(&t.retry));
        if let Some((&id, target)) = target {
            target.state = TargetState::Dialling(DialState::default());
            return Some(Dial { dial_for: DialFor::MergeTarget(id), to: DialTo::Name(target.name.clone()) });
        }
        let dialable = |server: &super::Server| server.address.is_some() || server.name.is_some();
        let down = |server: &super::Server| server.link == Link::Down && due(&server.retry) && dialable(server);
        let (&id, server) = self.servers.iter_mut().find(|(_, server)| down(server))?;
        server.link = Link::Dialling(DialState::default());
        // One with a name is dialled under it every other time: it may have come back elsewhere.
        let by_name = server.retry.failures % 2 == 1 || server.address.is_none();
        let to = match (&server.name, server.address) {
            (Some(name), _) if by_name => DialTo::Name(name.clone()),
            (_, Some(address)) => DialTo::Address(address.into()),
            (name, None) => DialTo::Name(name.clone()?),
        };
        Some(Dial { dial_for: DialFor::Server(id), to })
    }

    /// When [`Mesh::poll_dial`], [`Mesh::forget_old`] or [`Mesh::reconcile`] will have something.
    pub fn next_deadline(&self) -> Option<Millis> {
        let targets = self.targets.values().filter(|t| t.state == TargetState::Waiting).map(|t| t.retry.next);
        let down = self.servers.values().filter(|server| server.link == Link::Down);
        let dials = down.filter(|server| server.address.is_some() || server.name.is_some()).map(|s| s.retry.next);
        let lost = self.servers.values().filter_map(super::Server::forget_at);
        targets.chain(dials).chain(lost).chain(self.next_reconcile()).min()
    }

    /// A connection has been opened for a dial, to `address`. Returns whether it is still wanted.
    pub fn on_dialled(&mut self, dial_for: DialFor, key: Key, address: SocketAddr) -> bool {
        let state = DialState { key: Some(key), is_sent: false };
        match dial_for {
            DialFor::Server(id) => match self.servers.get_mut(&id) {
                Some(server) if matches!(server.link, Link::Dialling(_)) => {
                    server.link = Link::Dialling(state);
                    true
                }
                _ => false,
            },
            DialFor::MergeTarget(id) => {
                let Some(target) = self.targets.get_mut(&id) else { return false };
                target.state = TargetState::Dialling(state);
                target.address = Some(address);
                self.permit(address.ip());
                true
            }
        }
    }

    /// A name that is to be dialled has been looked up: permits its addresses, and takes one after the other with each
    /// try.
    pub fn on_resolved(&mut self, dial_for: DialFor, addresses: &[IpAddr]) -> Option<IpAddr> {
        for &address in addresses {
            self.permit(address);
        }
        let failures = match dial_for {
            DialFor::Server(id) => self.servers.get(&id)?.retry.failures,
            DialFor::MergeTarget(id) => self.targets.get(&id)?.retry.failures,
        };
        addresses.iter().copied().cycle().nth(failures as usize % addresses.len().max(1))
    }

    /// The link to the server at `address` is up: dials to it that are under way end.
    pub(super) fn close_target_dials(&self, address: Option<SocketAddrV4>, link: Key, effects: &mut Effects) {
        let dialled = address.map(SocketAddr::V4);
        for target in self.targets.values().filter(|target| dialled.is_some() && target.dialled() == dialled) {
            if let TargetState::Dialling(DialState { key: Some(key), .. }) = target.state
                && key != link
            {
                effects.close(key, CloseReason::Superseded, CloseMode::AfterWriting);
            }
        }
    }

    /// Our request has been written.
    pub fn on_request_sent(&mut self, dial_for: DialFor) {
        let state = match dial_for {
            DialFor::Server(id) => match self.servers.get_mut(&id).map(|server| &mut server.link) {
                Some(Link::Dialling(state)) => state,
                _ => return,
            },
            DialFor::MergeTarget(id) => match self.targets.get_mut(&id).map(|target| &mut target.state) {
                Some(TargetState::Dialling(state)) => state,
                _ => return,
            },
        };
        state.is_sent = true;
    }

    /// Links made so far: to be remembered with a list that is sent.
    pub fn links_made(&self) -> u64 {
        self.links_made
    }

    /// Our request was accepted: `server` is what we dialled for. To be called before the link is up.
    pub fn on_dial_accepted(&mut self, dial_for: DialFor, server: ServerId, now: Millis, effects: &mut Effects) {
        match dial_for {
            DialFor::Server(id) if id != server => self.fail_server(id, now),
            DialFor::Server(_) => {}
            DialFor::MergeTarget(id) => {
                let Some(target) = self.targets.remove(&id) else { return };
                if target.is_permanent {
                    let known = self.servers.entry(server).or_insert_with(|| super::Server::new(None, now));
                    known.name = Some(target.name);
                }
                answer(target.operator, &MergeOutcome::Merged, effects);
            }
        }
    }

    /// A dial came to nothing.
    pub fn on_dial_ended(&mut self, dial_for: DialFor, dialled: &Dialled, now: Millis, effects: &mut Effects) {
        match dial_for {
            DialFor::Server(id) => {
                self.fail_server(id, now);
                if let Dialled::Declined(reason) | Dialled::Unfit(reason) = dialled
                    && *reason != DeclineReason::AlreadyMerged
                {
                    self.on_unfit(id, *reason, now, effects);
                }
            }
            DialFor::MergeTarget(id) => self.on_target_ended(id, dialled, now, effects),
        }
    }

    /// Gives up servers that have been gone for too long (D21).
    pub fn forget_old(&mut self, now: Millis, effects: &mut Effects) {
        let is_old = |server: &super::Server| server.forget_at().is_some_and(|at| at <= now);
        let old: Vec<ServerId> = self.servers.iter().filter(|(_, s)| is_old(s)).map(|(&id, _)| id).collect();
        for id in old {
            let name = self.servers.get(&id).and_then(|server| server.name.clone());
            self.forget(id, effects);
            if let Some(name) = name {
                // It has a place in the network no longer, and gets one when it is back.
                self.request_merge(name, None, now);
            }
        }
    }

    /// A server that we know says that we don't fit together. Where no sibling is linked with it, it has become
    /// another network's.
    fn on_unfit(&mut self, id: ServerId, reason: DeclineReason, now: Millis, effects: &mut Effects) {
        log::warn!("server {id} does not merge with us: {reason:?}");
        let is_announced = self.is_announced(id, now);
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.retry.unfit = server.retry.unfit.saturating_add(1);
        if server.retry.unfit >= limits::UNFIT_TRIES_MAX && server.name.is_none() && !is_announced {
            self.forget(id, effects);
        }
    }

    fn fail_server(&mut self, id: ServerId, now: Millis) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if let Link::Dialling(_) = server.link {
            server.link = Link::Down;
            server.retry.fail(now, &mut self.random);
        }
    }

    fn on_target_ended(&mut self, id: u32, dialled: &Dialled, now: Millis, effects: &mut Effects) {
        let Some(target) = self.targets.get(&id) else { return };
        let is_linked = target.address.is_some_and(|address| self.link_at(address).is_some());
        let has_operator = target.operator.is_some();
        let tries = target.retry.failures;
        let outcome = match dialled {
            Dialled::Declined(DeclineReason::AlreadyMerged) => {
                // Without a link to it, this is temporary: the other side has not noticed yet that an older link of
                // ours is gone (D17). Where it goes on saying so, we have it under another address.
                let is_final = is_linked || tries >= limits::ALREADY_MERGED_TRIES_MAX;
                is_final.then_some(MergeOutcome::Declined(DeclineReason::AlreadyMerged))
            }
            // The ID may be known from before a restart elsewhere: until the old link is found dead (D15, D21).
            Dialled::Declined(DeclineReason::IdConflict)
                if target.is_permanent && tries < limits::ID_CONFLICT_TRIES_MAX =>
            {
                None
            }
            Dialled::Declined(reason) | Dialled::Unfit(reason) => Some(MergeOutcome::Declined(*reason)),
            // It dialled us meanwhile, and our own dial gave way to that.
            Dialled::Failed(_) if is_linked => Some(MergeOutcome::Merged),
            Dialled::Failed(why) if has_operator || !target.is_permanent => {
                // A link that is given up for the other's own dial comes up within moments.
                (tries >= 1).then(|| MergeOutcome::Unreachable(why.clone()))
            }
            Dialled::Failed(_) => None,
        };
        let Some(outcome) = outcome else {
            if let Some(target) = self.targets.get_mut(&id) {
                target.state = TargetState::Waiting;
                target.retry.fail(now, &mut self.random);
                if tries == 0
                    && let Dialled::Failed(why) = dialled
                {
                    log::warn!("cannot merge with {} yet: {why}; trying on", target.name);
                }
            }
            return;
        };
        let Some(target) = self.targets.remove(&id) else { return };
        match &outcome {
            MergeOutcome::Merged => {}
            MergeOutcome::Declined(reason) => log::error!("the merge with {} was declined: {reason:?}", target.name),
            MergeOutcome::Unreachable(why) => log::warn!("cannot merge with {}: {why}", target.name),
        }
        if target.is_permanent
            && let Some(server) = self.server_at_mut(target.address)
        {
            server.name = Some(target.name);
        }
        answer(target.operator, &outcome, effects);
    }

    fn server_at_mut(&mut self, address: Option<SocketAddr>) -> Option<&mut super::Server> {
        let address = address?;
        self.servers.values_mut().find(|server| server.address.map(SocketAddr::V4) == Some(address))
    }
}

fn answer(operator: Option<Key>, outcome: &MergeOutcome, effects: &mut Effects) {
    if let Some(key) = operator {
        effects.push(Effect::Answer { key, text: format!("{outcome}\n") });
    }
}
