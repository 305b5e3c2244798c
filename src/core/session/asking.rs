//! A connection on which a sibling whose link is silent is asked whether it lives (D57).
//!
//! The RFC has no ping. But a linked server answers a request to merge on another connection with MRGDECL 0, so this
//! request shows whether it lives. A stopped process answers nothing, although its kernel goes on acknowledging what
//! comes over the link.

use super::{Session, Sibling, Verdict};
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::key::Key;
use crate::core::state::mesh::{Joined, Offer};
use crate::wire::{Descriptions, Packet, ServerId};

/// Waits for a sign of life.
#[derive(Debug)]
pub struct Asking {
    server: ServerId,
    /// The link that is silent.
    link: Key,
    /// The list of servers that we sent.
    told: Vec<u8>,
    /// Our request was written, so a kernel there has accepted the connection.
    pub is_sent: bool,
    is_answered: bool,
}

impl Asking {
    /// Sends our request on a connection that has just been dialled.
    pub fn begin(server: ServerId, link: Key, context: &mut Context<'_>) -> Asking {
        let mesh = &context.core.mesh;
        let list = mesh.describe(true, Some(server), context.remote);
        let siblings = Descriptions::new(&list).unwrap_or_default();
        context.effects.send(context.key, &Packet::MrgReq { server: context.core.config.id, siblings });
        Asking { server, link, told: list, is_sent: false, is_answered: false }
    }

    /// The server that is asked.
    pub fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match *packet {
            Packet::MrgDecl { .. } => self.on_sign_of_life(context),
            Packet::MrgRsp { server, siblings } if server == self.server => {
                self.on_accepted(&Offer::read(server, siblings), context)
            }
            // Another server listens there now: this says nothing about the one that was asked.
            Packet::MrgRsp { .. } => {
                self.is_answered = true;
                context.effects.close(context.key, CloseReason::Unfit, CloseMode::AfterWriting);
                Verdict::Handled
            }
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// It answers, whatever it says.
    pub(super) fn on_sign_of_life(&mut self, context: &mut Context<'_>) -> Verdict {
        self.is_answered = true;
        context.effects.push(Effect::Lives(self.link));
        context.effects.close(context.key, CloseReason::Left, CloseMode::AfterWriting);
        Verdict::Handled
    }

    pub(super) fn on_end(self, reason: CloseReason, context: &mut Context<'_>) {
        // A connection that was refused, or closed, or never came about, says nothing of the link.
        if reason == CloseReason::NoAnswer && self.is_sent && !self.is_answered {
            context.effects.push(Effect::IsSilent(self.link));
        }
    }

    /// It does not know the link any more, and takes this connection as the link. So do we.
    fn on_accepted(&mut self, offer: &Offer, context: &mut Context<'_>) -> Verdict {
        self.is_answered = true;
        let mesh = &mut context.core.mesh;
        if mesh.fits(offer, context.remote, context.now).is_err() {
            context.effects.close(context.key, CloseReason::Unfit, CloseMode::AfterWriting);
            return Verdict::Handled;
        }
        if let Some(link) = mesh.link_to(self.server) {
            context.effects.close(link, CloseReason::Superseded, CloseMode::AfterWriting);
        }
        let joined = Joined { remote: context.remote, is_dialled: true, told: std::mem::take(&mut self.told) };
        mesh.on_link_up(context.key, offer, joined, context.now, context.effects);
        Verdict::Become(Session::Sibling(Sibling::new(self.server, context.now)))
    }
}
