//! Merges that were asked for by name: with `--merge`, or by an operator.

use std::net::{SocketAddr, SocketAddrV4};

use super::dialler::{Dialler, Pace};
use super::dialling::{Dialled, in_words};
use super::{HostPort, Mesh, Misfit, Server};
use crate::core::state::effects::{Effect, Effects};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::{DeclineReason, ServerId};

/// A merge that was asked for by name.
#[derive(Debug)]
pub(super) struct MergeTarget {
    pub name: HostPort,
    /// From `--merge`: tried until it is accepted or declined, and redialled for ever. Else from an operator.
    is_permanent: bool,
    /// It was linked, and left since merges did not fit together: it is asked for ever, whatever it answers.
    was_left: bool,
    /// The operator's connection that waits for the outcome.
    operator: Option<Key>,
    /// The address that its name had at the last dial.
    pub address: Option<SocketAddr>,
    since: Millis,
    /// What came of the last try.
    last_error: Option<String>,
    pub dialler: Dialler,
}

/// A merge that waits, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeStatus {
    /// What was asked for.
    pub name: HostPort,
    /// Since when.
    pub since: Millis,
    /// Why it is not done, if it was tried.
    pub last_error: Option<String>,
}

/// What came of a merge that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// The link is up.
    Merged,
    /// The other side declined.
    Declined(DeclineReason),
    /// Its answer did not fit.
    Unfit(Misfit),
    /// The dial got no answer.
    Unreachable(String),
    /// It is this very server.
    Ourselves,
    /// The operator has given it up.
    GivenUp,
}

impl std::fmt::Display for MergeOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = match self {
            MergeOutcome::Merged => return f.write_str("ok"),
            MergeOutcome::Unreachable(why) => return write!(f, "error unreachable {why}"),
            MergeOutcome::Ourselves => return f.write_str("error that is this server"),
            MergeOutcome::GivenUp => return f.write_str("error given up"),
            MergeOutcome::Unfit(Misfit::NotRouted) => return f.write_str("error not a routed server"),
            MergeOutcome::Declined(reason) => *reason,
            MergeOutcome::Unfit(misfit) => misfit.reason(),
        };
        f.write_str(match reason {
            DeclineReason::AlreadyMerged => "error already merged",
            DeclineReason::ServerLimit => "error server limit",
            DeclineReason::IdConflict => "error server id conflict",
        })
    }
}

impl MergeTarget {
    /// The address of the last dial.
    pub fn dialled(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Mesh {
    /// The operator wants a merge. `operator` waits for the outcome; without one it is tried until it is done.
    pub fn request_merge(&mut self, name: HostPort, operator: Option<Key>, now: Millis) {
        self.add_target(name, operator, false, now, now);
    }

    /// A server that `--merge` named was left, since merges did not fit together: it is asked again, for ever.
    pub(super) fn request_merge_again(&mut self, name: HostPort, now: Millis) {
        self.add_target(name, None, true, now + limits::EXCLUDED_MS, now);
    }

    fn add_target(&mut self, name: HostPort, operator: Option<Key>, was_left: bool, next: Millis, now: Millis) {
        let target = MergeTarget {
            name,
            is_permanent: operator.is_none(),
            was_left,
            operator,
            address: None,
            since: now,
            last_error: None,
            dialler: Dialler::at(next),
        };
        let id = self.next_target;
        self.next_target = id.wrapping_add(1);
        self.targets.insert(id, target);
    }

    /// How many merges are waiting or under way.
    pub fn pending_merges(&self) -> usize {
        self.targets.len()
    }

    /// Merges that are waiting or under way.
    pub fn waiting_merges(&self) -> impl Iterator<Item = MergeStatus> {
        self.targets.values().map(|target| MergeStatus {
            name: target.name.clone(),
            since: target.since,
            last_error: target.last_error.clone(),
        })
    }

    /// Gives merges with this name up that wait. Returns whether there was such a one.
    pub fn forget_merge(&mut self, name: &HostPort, effects: &mut Effects) -> bool {
        let ids: Vec<u32> = self.targets.iter().filter(|(_, target)| target.name == *name).map(|(&id, _)| id).collect();
        for id in &ids {
            let Some(target) = self.targets.remove(id) else { continue };
            target.dialler.close(None, effects);
            log::info!("the merge with {name} is given up: an operator said so");
            answer(target.operator, &MergeOutcome::GivenUp, effects);
        }
        !ids.is_empty()
    }

    /// The operator's connection is gone: the outcome of its merge is no longer wanted.
    pub fn on_operator_gone(&mut self, operator: Key) {
        for target in self.targets.values_mut() {
            target.operator.take_if(|waiting| *waiting == operator);
        }
    }

    /// The link to the server at `address` is up: dials to it that are under way end.
    pub(super) fn close_target_dials(&self, address: Option<SocketAddrV4>, link: Key, effects: &mut Effects) {
        let dialled = address.map(SocketAddr::V4);
        for target in self.targets.values().filter(|target| dialled.is_some() && target.dialled() == dialled) {
            target.dialler.close(Some(link), effects);
        }
    }

    /// `server` has accepted.
    pub(super) fn on_target_merged(&mut self, id: u32, server: ServerId, now: Millis, effects: &mut Effects) {
        let Some(target) = self.targets.remove(&id) else { return };
        if target.is_permanent {
            self.servers.entry(server).or_insert_with(|| Server::new(now)).name = Some(target.name);
        }
        answer(target.operator, &MergeOutcome::Merged, effects);
    }

    pub(super) fn on_target_ended(&mut self, id: u32, dialled: &Dialled, now: Millis, effects: &mut Effects) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        if target.dialler.is_ourselves() {
            target.dialler.pass_over();
            target.dialler.next_address(now);
            return;
        }
        let Some(outcome) = self.outcome(id, dialled) else {
            self.try_again(id, dialled, now);
            return;
        };
        self.end_target(id, &outcome, effects);
    }

    /// What a try has come to, if it was the last.
    fn outcome(&self, id: u32, dialled: &Dialled) -> Option<MergeOutcome> {
        let target = self.targets.get(&id)?;
        let is_linked = target.address.is_some_and(|address| self.link_at(address).is_some());
        let tries = target.dialler.retry.failures;
        let is_patient = target.is_permanent && tries < limits::ID_CONFLICT_TRIES_MAX;
        match dialled {
            Dialled::Ourselves => Some(MergeOutcome::Ourselves),
            Dialled::Declined(DeclineReason::AlreadyMerged) => {
                // If we have no link to it, this is temporary: the other side has not noticed yet that an older link of
                // ours is gone (D17). If it goes on declining so, we have it under another address.
                let is_final = is_linked || tries >= limits::ALREADY_MERGED_TRIES_MAX;
                is_final.then_some(MergeOutcome::Declined(DeclineReason::AlreadyMerged))
            }
            // It dialled us meanwhile, and our own dial gave way to that.
            Dialled::Failed(_) if is_linked => Some(MergeOutcome::Merged),
            // Another address of the name may be another server, or a live one.
            _ if target.dialler.has_untried => None,
            Dialled::Declined(_) | Dialled::Unfit(_) if target.was_left => None,
            // The ID may be known from before a restart elsewhere: until the old link is found dead (D15, D21).
            Dialled::Declined(DeclineReason::IdConflict) if is_patient => None,
            Dialled::Unfit(misfit) if is_patient && misfit.reason() == DeclineReason::IdConflict => None,
            Dialled::Declined(reason) => Some(MergeOutcome::Declined(*reason)),
            Dialled::Unfit(misfit) => Some(MergeOutcome::Unfit(*misfit)),
            Dialled::Failed(why) if !target.is_permanent => {
                // A link that is given up for the other's own dial comes up within moments.
                (tries >= 1).then(|| MergeOutcome::Unreachable(why.clone()))
            }
            Dialled::Failed(_) => None,
        }
    }

    fn try_again(&mut self, id: u32, dialled: &Dialled, now: Millis) {
        let is_routed = self.routed.is_some();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let why = match dialled {
            Dialled::Failed(why) => why.clone(),
            Dialled::Declined(reason) => format!("declined: {}", in_words(*reason, is_routed)),
            Dialled::Unfit(misfit) => misfit.to_string(),
            Dialled::Ourselves => "that is this server".to_owned(),
        };
        if target.last_error.is_none() {
            log::warn!("cannot merge with {} yet: {why}; will try again", target.name);
        }
        target.last_error = Some(why);
        if target.dialler.has_untried {
            target.dialler.next_address(now);
        } else {
            let pace = if target.was_left { Pace::Slow } else { Pace::Quick };
            target.dialler.fail(pace, now, &mut self.random);
        }
    }

    fn end_target(&mut self, id: u32, outcome: &MergeOutcome, effects: &mut Effects) {
        let is_routed = self.routed.is_some();
        let Some(target) = self.targets.remove(&id) else { return };
        let name = &target.name;
        match outcome {
            MergeOutcome::Merged | MergeOutcome::GivenUp => {}
            MergeOutcome::Declined(reason) => {
                log::error!("the merge with {name} was declined: {}", in_words(*reason, is_routed));
            }
            MergeOutcome::Unfit(misfit) => log::error!("the merge with {name} does not fit: {misfit}"),
            MergeOutcome::Unreachable(why) => log::warn!("cannot merge with {name}: {why}"),
            MergeOutcome::Ourselves => log::info!("the merge with {name} is passed over: that is this server"),
        }
        if target.is_permanent
            && let Some(server) = self.server_at_mut(target.address)
        {
            server.name = Some(target.name);
        }
        match outcome {
            // The packet has no reason for that.
            MergeOutcome::Declined(DeclineReason::ServerLimit) if is_routed => {
                answer(target.operator, &"error server limit, or not a routed server", effects);
            }
            _ => answer(target.operator, outcome, effects),
        }
    }

    fn server_at_mut(&mut self, address: Option<SocketAddr>) -> Option<&mut Server> {
        let address = address?;
        self.servers.values_mut().find(|server| server.place().map(SocketAddr::V4) == Some(address))
    }
}

fn answer(operator: Option<Key>, outcome: &dyn std::fmt::Display, effects: &mut Effects) {
    if let Some(key) = operator {
        effects.push(Effect::Answer { key, text: format!("{outcome}\n") });
    }
}
