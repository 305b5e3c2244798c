//! A link of a routed network: what is ours, what goes on, and the news of links (D24 to D39).

use std::collections::BTreeSet;

use super::sibling::Sibling;
use super::{Pause, PauseReason, Verdict};
use crate::core::state::Context;
use crate::core::state::counters::Ignored;
use crate::core::state::key::Key;
use crate::core::state::mesh::dialable;
use crate::core::state::ordered::insert_all;
use crate::limits::LINK_PAUSE_MS;
use crate::wire::{
    Description, Descriptions, ErrorReason, Neighbours, Nickname, Packet, RELAY_HEADER_BYTES, RelayHeader, ServerId,
};

/// LINKS before its list: code, description, incarnation, version, count.
const LINKS_HEAD_BYTES: usize = 1 + Descriptions::ENTRY_BYTES + 4 + 4 + 4;

/// A packet over the link with `sibling`, which is routed like us.
pub(super) fn on_packet(sibling: &mut Sibling, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
    let (key, server) = (context.key, sibling.server());
    let Some(routed) = context.core.mesh.routed_mut() else { return Verdict::Ignored(Ignored::State) };
    match *packet {
        Packet::Hello { stamp } => {
            if !routed.on_hello(server, key, stamp, context.effects) {
                return Verdict::Ignored(Ignored::State);
            }
            Verdict::Handled
        }
        Packet::Links { server: description, incarnation, version, neighbours } => {
            on_links(server, &description, (incarnation, version), neighbours, context)
        }
        Packet::Hold { server, is_held } => {
            routed.on_hold(key, server, is_held);
            routed.update_holds(&mut context.core.pressure, context.now, context.effects);
            Verdict::Handled
        }
        Packet::Relay { header, content } => {
            let row = match routed.check(key, &header, context.now) {
                Ok(row) => row,
                Err(reason) => return Verdict::Ignored(reason),
            };
            let verdict = on_relay(sibling, &header, content, context);
            // One that waits comes again.
            if !matches!(verdict, Verdict::Pause(_)) {
                if let Some(routed) = context.core.mesh.routed_mut() {
                    routed.take(row, &header);
                }
                sibling.on_handled(RELAY_HEADER_BYTES + content.len());
            }
            verdict
        }
        _ => Verdict::Ignored(Ignored::State),
    }
}

/// Tells the origin of a packet that it could not be delivered. Dropped if nothing leads there.
pub(super) fn answer(origin: ServerId, sender: &str, reason: ErrorReason, context: &mut Context<'_>) {
    if let Some(link) = context.core.mesh.next_hop(origin, context.now) {
        let envelope = context.core.mesh.envelope(origin, context.effects);
        context.effects.forward(link, &envelope, &Packet::Error { sender, reason });
    }
}

fn on_links(
    from: ServerId,
    of: &Description,
    age: (u32, u32),
    neighbours: Neighbours<'_>,
    context: &mut Context<'_>,
) -> Verdict {
    let Some(place) = dialable(*of) else { return Verdict::Ignored(Ignored::Value) };
    let list: Vec<(ServerId, u32)> = neighbours.iter().collect();
    let names: BTreeSet<ServerId> = insert_all(list.iter().map(|&(neighbour, _)| neighbour));
    if names.len() < list.len() {
        return Verdict::Ignored(Ignored::Value);
    }
    let (key, now) = (context.key, context.now);
    let Some(routed) = context.core.mesh.routed_mut() else { return Verdict::Ignored(Ignored::State) };
    if let Some(until) = routed.admit_links(from, LINKS_HEAD_BYTES + neighbours.as_bytes().len(), now) {
        let until = until.min(now + LINK_PAUSE_MS);
        return Verdict::Pause(Pause { reason: PauseReason::News, receiver: None, until });
    }
    routed.on_links(key, place, age, list, now, context.effects);
    Verdict::Handled
}

/// A packet that is taken (D34).
fn on_relay(sibling: &Sibling, header: &RelayHeader, content: &[u8], context: &mut Context<'_>) -> Verdict {
    let is_ours = header.destination == context.core.config.id;
    let packet = match Packet::decode(content) {
        Ok(packet) => packet,
        Err(malformed) => return Verdict::Ignored(malformed.into()),
    };
    match packet {
        Packet::MsgPblInc { .. } => {
            if !is_ours {
                return Verdict::Ignored(Ignored::Misaddressed);
            }
            let verdict = sibling.admit_public(header.origin, &packet, content, context);
            if matches!(verdict, Verdict::Handled) {
                context.effects.publish_and_relay(context.key, header, content);
            }
            verdict
        }
        _ if is_ours => sibling.on_forwarded(header.origin, &packet, content, context),
        Packet::MsgPrvInc { origin, sender, .. } | Packet::FileChnkInc { origin, sender, .. } => {
            if origin != header.origin {
                Verdict::Ignored(Ignored::Misaddressed)
            } else if Nickname::parse(sender).is_none() {
                Verdict::Ignored(Ignored::Nickname)
            } else {
                pass_on(header, content, Some(sender), context)
            }
        }
        Packet::Error { .. } => pass_on(header, content, None, context),
        _ => Verdict::Ignored(Ignored::State),
    }
}

/// A packet for another server. `sender` is to be told if it goes no further.
fn pass_on(header: &RelayHeader, content: &[u8], sender: Option<&str>, context: &mut Context<'_>) -> Verdict {
    let from = context.key;
    let link = context.core.mesh.next_hop(header.destination, context.now).filter(|&link| link != from);
    let bytes = RELAY_HEADER_BYTES + content.len();
    match (link, sender) {
        (Some(link), Some(_)) if context.core.pressure.has_room(link, bytes) => {
            context.core.counters.relayed += 1;
            context.effects.relay(link, header, content);
            hold_back(header.destination, from, context);
        }
        // Few, and small.
        (Some(link), None) => {
            context.core.counters.relayed += 1;
            context.effects.relay(link, header, content);
        }
        (_, Some(sender)) => {
            context.core.counters.refused += u64::from(link.is_some());
            answer(header.origin, sender, ErrorReason::UnknownServer, context);
        }
        (None, None) => {}
    }
    Verdict::Handled
}

fn hold_back(server: ServerId, from: Key, context: &mut Context<'_>) {
    let core = &mut *context.core;
    if let Some(routed) = core.mesh.routed_mut() {
        routed.hold_back(server, from, &core.pressure, context.effects);
    }
}
