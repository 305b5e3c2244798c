//! A connection that we dialled, and on which we asked to merge.

use super::{Session, Sibling, Verdict};
use crate::core::state::Turn;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::mesh::{DialFor, Dialled, Offer};
use crate::wire::{Descriptions, Packet, ServerId};

/// Waits for MRGRSP or MRGDECL.
#[derive(Debug)]
pub struct Requesting {
    dial_for: DialFor,
    /// How many links there had been when our list was sent.
    listed_at: u64,
    /// What came of it, where that is not the end of the connection itself.
    outcome: Option<Dialled>,
}

impl Requesting {
    /// Sends our request on a connection that has just been dialled.
    pub fn begin(dial_for: DialFor, turn: &mut Turn<'_>) -> Requesting {
        let mesh = &turn.core.mesh;
        let receiver = match dial_for {
            DialFor::Server(id) => Some(id),
            DialFor::Target(_) => None,
        };
        let list = mesh.describe(true, receiver, turn.peer);
        let siblings = Descriptions::new(&list).unwrap_or_default();
        turn.effects.send(turn.key, &Packet::MrgReq { server: turn.core.config.id, siblings });
        Requesting { dial_for, listed_at: mesh.links_made(), outcome: None }
    }

    /// For whom it was dialled.
    pub fn dial_for(&self) -> DialFor {
        self.dial_for
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Verdict {
        match *packet {
            Packet::MrgRsp { server, siblings } => self.on_response(server, siblings, turn),
            Packet::MrgDecl { reason } => self.end(Dialled::Declined(reason), CloseReason::Declined, turn),
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// More descriptions than a network may have servers.
    pub(super) fn on_too_many_descriptions(&mut self, turn: &mut Turn<'_>) -> Verdict {
        self.end(Dialled::Unfit(crate::wire::DeclineReason::ServerLimit), CloseReason::Unfit, turn)
    }

    pub(super) fn on_end(self, reason: CloseReason, turn: &mut Turn<'_>) {
        let outcome = self.outcome.unwrap_or_else(|| {
            Dialled::Failed(match reason {
                CloseReason::Left | CloseReason::Lost => {
                    "closed without an answer (does its --allow-peer permit us?)".to_owned()
                }
                other => other.to_string(),
            })
        });
        turn.core.mesh.on_dial_ended(self.dial_for, &outcome, turn.now, turn.effects);
    }

    fn on_response(&mut self, server: ServerId, siblings: Descriptions<'_>, turn: &mut Turn<'_>) -> Verdict {
        let offer = Offer::read(server, siblings);
        let mesh = &mut turn.core.mesh;
        if let Err(reason) = mesh.fits(&offer) {
            return self.end(Dialled::Unfit(reason), CloseReason::Unfit, turn);
        }
        if let Some(link) = mesh.link_to(server) {
            // It dialled us too, and neither could know that it was the same server.
            if !mesh.own_dial_stays(server) {
                mesh.on_dial_accepted(self.dial_for, server, turn.now, turn.effects);
                return self.end(Dialled::Failed("linked already".to_owned()), CloseReason::Superseded, turn);
            }
            turn.effects.close(link, CloseReason::Superseded, CloseMode::AfterWriting);
        }
        mesh.on_dial_accepted(self.dial_for, server, turn.now, turn.effects);
        mesh.on_link_up(turn.key, &offer, Some(self.listed_at), turn.now, turn.effects);
        Verdict::Become(Session::Sibling(Sibling::new(server)))
    }

    fn end(&mut self, outcome: Dialled, reason: CloseReason, turn: &mut Turn<'_>) -> Verdict {
        self.outcome = Some(outcome);
        turn.effects.close(turn.key, reason, CloseMode::AfterWriting);
        Verdict::Handled
    }
}
