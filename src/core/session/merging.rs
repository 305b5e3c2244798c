//! A connection that asks to merge (RFC section 7).

use super::{Session, Sibling, Verdict};
use crate::core::state::Turn;
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::mesh::{Decision, Offer};
use crate::wire::{DeclineReason, Descriptions, Packet, ServerId};

/// MRGREQ on a connection that is nobody yet.
pub(super) fn on_request(server: ServerId, siblings: Descriptions<'_>, turn: &mut Turn<'_>) -> Verdict {
    if !is_permitted(turn) {
        return Verdict::Handled;
    }
    let offer = Offer::read(server, siblings);
    match turn.core.mesh.decide(&offer, turn.now) {
        Decision::Decline(reason) => {
            if let Some(link) = turn.core.mesh.link_to(server) {
                // It would not ask if it still had that link (D17), also where it has come back elsewhere (D21).
                turn.effects.push(Effect::Probe(link));
            }
            log::info!("declined a merge with server {server}: {reason:?}");
            decline(reason, turn);
            Verdict::Handled
        }
        Decision::Yield => {
            turn.effects.close(turn.key, CloseReason::Superseded, CloseMode::AfterWriting);
            Verdict::Handled
        }
        Decision::Accept => accept(&offer, turn),
    }
}

/// MRGREQ that announces more descriptions than a network may have servers: answered before they arrive (D17).
pub(super) fn on_too_many_descriptions(turn: &mut Turn<'_>) -> Verdict {
    if is_permitted(turn) {
        decline(DeclineReason::ServerLimit, turn);
    }
    Verdict::Handled
}

fn accept(offer: &Offer, turn: &mut Turn<'_>) -> Verdict {
    let mesh = &mut turn.core.mesh;
    // Before the link is up, so that the list does not name the receiver.
    let list = mesh.describe(offer.address.is_some(), Some(offer.server), None);
    let siblings = Descriptions::new(&list).unwrap_or_default();
    turn.effects.send(turn.key, &Packet::MrgRsp { server: turn.core.config.id, siblings });
    mesh.on_link_up(turn.key, offer, None, turn.now, turn.effects);
    Verdict::Become(Session::Sibling(Sibling::new(offer.server)))
}

/// Looks at the allow-list before anything else is looked at (D20).
fn is_permitted(turn: &mut Turn<'_>) -> bool {
    let permitted = turn.core.mesh.permits(turn.peer);
    if !permitted {
        turn.effects.close(turn.key, CloseReason::NotPermitted, CloseMode::AfterWriting);
    }
    permitted
}

fn decline(reason: DeclineReason, turn: &mut Turn<'_>) {
    turn.effects.send(turn.key, &Packet::MrgDecl { reason });
    turn.effects.close(turn.key, CloseReason::Declined, CloseMode::AfterWriting);
}
