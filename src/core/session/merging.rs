//! A connection that asks to merge (RFC section 7).

use super::{Session, Sibling, Verdict};
use crate::core::state::Context;
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::mesh::{Decision, Joined, Misfit, Offer, OrDash};
use crate::wire::{DeclineReason, Descriptions, Packet, ServerId};

/// MRGREQ on the connection of a newcomer.
pub(super) fn on_request(server: ServerId, siblings: Descriptions<'_>, context: &mut Context<'_>) -> Verdict {
    if !is_permitted(Some(server), context) {
        return Verdict::Handled;
    }
    let offer = Offer::read(server, siblings);
    match context.core.mesh.decide(&offer, context.remote, context.now) {
        Decision::Decline(misfit) => {
            if let Some(link) = context.core.mesh.link_to(server) {
                // It would not ask if it still had that link (D17). This also holds if it has come back at another
                // address (D21).
                context.effects.push(Effect::Probe(link));
                // Or it asks whether we live, and so lives itself (D57).
                context.effects.push(Effect::HasAsked { link, by: context.key });
                context.core.mesh.contest(&offer, context.now);
            }
            context.core.mesh.note_word(&offer, context.remote, context.now);
            let reason = misfit.reason();
            // A sibling that asks whether we live is no news.
            let level = if reason == DeclineReason::AlreadyMerged { log::Level::Debug } else { log::Level::Info };
            log::log!(level, reason:?; "declined a merge with server {server} ({}): {misfit}", OrDash(offer.address));
            decline(reason, context);
            Verdict::Handled
        }
        Decision::Ourselves => {
            context.effects.close(context.key, CloseReason::Superseded, CloseMode::AfterWriting);
            Verdict::Handled
        }
        Decision::Yield => {
            context.effects.close(context.key, CloseReason::Superseded, CloseMode::AfterWriting);
            Verdict::Handled
        }
        Decision::Accept => accept(&offer, context),
    }
}

/// MRGREQ that announces more descriptions than a network may have servers: answered before they arrive (D17).
pub(super) fn on_too_many_descriptions(head: &[u8], context: &mut Context<'_>) -> Verdict {
    let server = head.get(1..5).and_then(|id| <[u8; 4]>::try_from(id).ok());
    let server = server.map(|id| ServerId(u32::from_be_bytes(id)));
    if is_permitted(server, context) {
        let (id, misfit) = (server.unwrap_or_default(), Misfit::LongList(context.core.config.frame.descriptions_max));
        log::info!("declined a merge with server {id} (-): {misfit}");
        decline(DeclineReason::ServerLimit, context);
    }
    Verdict::Handled
}

fn accept(offer: &Offer, context: &mut Context<'_>) -> Verdict {
    let mesh = &mut context.core.mesh;
    // Before the link is up, so that the list does not name the receiver.
    let list = mesh.describe(offer.address.is_some(), Some(offer.server), None);
    let siblings = Descriptions::new(&list).unwrap_or_default();
    context.effects.send(context.key, &Packet::MrgRsp { server: context.core.config.id, siblings });
    let joined = Joined { remote: context.remote, is_dialled: false, told: list };
    mesh.on_link_up(context.key, offer, joined, context.now, context.effects);
    Verdict::Become(Session::Sibling(Sibling::new(offer.server, context.now)))
}

/// Checks the requesting server before anything else: by a certificate that names it (D44), else by its address (D20,
/// D47).
fn is_permitted(server: Option<ServerId>, context: &mut Context<'_>) -> bool {
    let config = &context.core.config;
    let needs_certificate = config.has_peer_ca && config.requires_tls;
    let refusal = if let Some(ids) = context.certified_ids {
        if server.is_none_or(|server| ids.contains(&server)) {
            return true;
        }
        CloseReason::NotTheServer
    } else if needs_certificate {
        CloseReason::NotTheServer
    } else if context.is_proxied {
        CloseReason::ProxiedMerge
    } else if server.is_some_and(|server| context.core.mesh.permits(context.remote, server)) {
        return true;
    } else {
        CloseReason::NotPermitted
    };
    context.effects.close(context.key, refusal, CloseMode::AfterWriting);
    false
}

fn decline(reason: DeclineReason, context: &mut Context<'_>) {
    context.effects.send(context.key, &Packet::MrgDecl { reason });
    context.effects.close(context.key, CloseReason::Declined, CloseMode::AfterWriting);
}
