//! A connection that we dialled, and on which we asked to merge.

use super::{Session, Sibling, Verdict};
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::mesh::{DialFor, Dialled, Joined, Misfit, Offer};
use crate::wire::{CutOff, Descriptions, Packet, ServerId};

/// Waits for MRGRSP or MRGDECL.
#[derive(Debug)]
pub struct Requesting {
    dial_for: DialFor,
    /// The list of servers that we sent.
    told: Vec<u8>,
    /// The outcome, if it is not the end of the connection itself.
    outcome: Option<Dialled>,
}

impl Requesting {
    /// Sends our request on a connection that has just been dialled.
    pub fn begin(dial_for: DialFor, context: &mut Context<'_>) -> Requesting {
        let mesh = &context.core.mesh;
        let list = mesh.describe(true, mesh.receiver(dial_for), context.remote);
        let siblings = Descriptions::new(&list).unwrap_or_default();
        context.effects.send(context.key, &Packet::MrgReq { server: context.core.config.id, siblings });
        Requesting { dial_for, told: list, outcome: None }
    }

    /// The owner of the dial.
    pub fn dial_for(&self) -> DialFor {
        self.dial_for
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match *packet {
            Packet::MrgRsp { server, siblings } => self.on_response(server, siblings, context),
            Packet::MrgDecl { reason } => self.end(Dialled::Declined(reason), CloseReason::Declined, context),
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// More descriptions than a network may have servers.
    pub(super) fn on_too_many_descriptions(&mut self, context: &mut Context<'_>) -> Verdict {
        self.end(
            Dialled::Unfit(Misfit::LongList(context.core.config.frame.descriptions_max)),
            CloseReason::Unfit,
            context,
        )
    }

    pub(super) fn on_end(self, reason: CloseReason, cut_off: Option<CutOff>, context: &mut Context<'_>) {
        let outcome = self.outcome.unwrap_or_else(|| {
            Dialled::Failed(match reason {
                _ if let Some(cut_off) = cut_off => cut_off.to_string(),
                CloseReason::Left | CloseReason::Lost => {
                    "closed without an answer (does its --allow-peer permit us?)".to_owned()
                }
                other => other.to_string(),
            })
        });
        context.core.mesh.on_dial_ended(self.dial_for, &outcome, context.now, context.effects);
    }

    fn on_response(&mut self, server: ServerId, siblings: Descriptions<'_>, context: &mut Context<'_>) -> Verdict {
        let offer = Offer::read(server, siblings);
        let is_certified = context.certified_ids.is_some_and(|ids| ids.contains(&server));
        if context.core.config.has_peer_ca && !is_certified {
            let why = format!("its certificate does not name cfp-{server}, which it says it is");
            return self.end(Dialled::Failed(why), CloseReason::NotTheServer, context);
        }
        let mesh = &mut context.core.mesh;
        if let Err(misfit) = mesh.fits(&offer, context.remote, context.now) {
            log::debug!("the answer of server {server} does not fit: {misfit}");
            mesh.note_word(&offer, context.remote, context.now);
            return self.end(Dialled::Unfit(misfit), CloseReason::Unfit, context);
        }
        if let Some(link) = mesh.link_to(server) {
            // It dialled us too, and neither side could know that it was the same server.
            if !mesh.own_dial_stays(server) && !mesh.gives_way(server, self.dial_for) {
                mesh.on_dial_accepted(self.dial_for, server, context.now, context.effects);
                return self.end(Dialled::Failed("linked already".to_owned()), CloseReason::Superseded, context);
            }
            context.effects.close(link, CloseReason::Superseded, CloseMode::AfterWriting);
        }
        mesh.on_dial_accepted(self.dial_for, server, context.now, context.effects);
        let joined = Joined { remote: context.remote, is_dialled: true, told: std::mem::take(&mut self.told) };
        mesh.on_link_up(context.key, &offer, joined, context.now, context.effects);
        Verdict::Become(Session::Sibling(Sibling::new(server, context.now)))
    }

    fn end(&mut self, outcome: Dialled, reason: CloseReason, context: &mut Context<'_>) -> Verdict {
        self.outcome = Some(outcome);
        context.effects.close(context.key, reason, CloseMode::AfterWriting);
        Verdict::Handled
    }
}
