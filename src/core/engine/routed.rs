//! The engine's part of a routed network: which links get public messages, and what operators see of it.

use std::fmt::Write as _;

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::state::mesh::OrDash;
use crate::core::state::routed::Surplus;
use crate::wire::{ErrorReason, Packet, ServerId};

impl<S: Socket> Engine<S> {
    /// Makes the tree anew if links have changed, and lets those links have our clients' public messages that carry.
    pub(super) fn refresh_routes(&mut self) {
        let Some(routed) = self.core.mesh.routed_mut() else { return };
        routed.refresh(self.now);
        if self.synced_tree == (routed.tree_changes(), routed.links_ever()) {
            return;
        }
        self.synced_tree = (routed.tree_changes(), routed.links_ever());
        let carrying: Vec<(ServerId, Key)> = routed.carrying().collect();
        self.routed_carrying_links = carrying.len();
        let links: Vec<(ServerId, Key)> = self.core.mesh.links().collect();
        for (server, key) in links {
            let Some(connection) = self.connections.get_mut(key).filter(|connection| connection.is_open()) else {
                continue;
            };
            connection.outbox.carry(server, carrying.contains(&(server, key)), &mut self.output);
        }
    }

    /// The turn's changes of links: what they mean for those who wait, for the log, and for networks that do not fit
    /// together.
    pub(super) fn settle_routes(&mut self) {
        if self.core.mesh.routed().is_none() {
            return;
        }
        self.refresh_routes();
        self.update_holds();
        let Some(routed) = self.core.mesh.routed_mut() else { return };
        routed.log_changes();
        match routed.surplus() {
            Some(Surplus::OurId(other)) => {
                let id = self.core.config.id;
                let links: Vec<Key> = self.core.mesh.links().map(|(_, key)| key).collect();
                if !links.is_empty() {
                    log::error!(
                        "another server of the network has our ID {id}, at {}, and keeps it: leaving; give one of the two another --id",
                        OrDash(other)
                    );
                }
                links.into_iter().for_each(|key| self.effects.close(key, CloseReason::Unfit, CloseMode::AfterWriting));
            }
            Some(Surplus::Youngest(server)) => {
                if let Some(key) = self.core.mesh.link_to(server) {
                    log::warn!("more servers than a routed network may have: leaving server {server}");
                    self.effects.close(key, CloseReason::Unfit, CloseMode::AfterWriting);
                }
            }
            None => {}
        }
        self.apply_effects();
    }

    /// Queues or routes have changed: those who wait for a server, and need not, go on (D35).
    pub(super) fn update_holds(&mut self) {
        let core = &mut self.core;
        if let Some(routed) = core.mesh.routed_mut() {
            routed.update_holds(&mut core.pressure, self.now, &mut self.effects);
        }
    }

    /// A public message of another server goes on over every link that carries, except for the one that it came over.
    pub(super) fn relay_public(&mut self, bytes: std::ops::Range<usize>, from: Key) {
        self.refresh_routes();
        let links = self.carrying_links();
        let Some(connection) = self.connections.get_mut(from).filter(|connection| connection.is_open()) else { return };
        // What came over it came over a link that carries.
        let others = links.saturating_sub(usize::from(connection.outbox.gets_public()));
        if others > 0 {
            let packet = self.effects.bytes(bytes);
            connection.outbox.relay(packet, &mut self.output);
            self.core.counters.relayed += others as u64;
            self.core.counters.packets_out.count(packet.first(), packet.len(), others);
        }
    }

    /// Whether a packet that was queued for a lost link carries something for a client. News of links and of siblings is
    /// not lost: it comes anew with the link.
    pub(super) fn is_of_a_client(packet: &[u8]) -> bool {
        matches!(Packet::decode(packet), Ok(Packet::PckFwd { .. } | Packet::Relay { .. }))
    }

    /// A packet that was queued for a lost link, of a client of ours or of another server.
    pub(super) fn sender_of_undelivered(packet: &[u8], own: ServerId) -> Option<(ServerId, &str)> {
        let (origin, content) = match Packet::decode(packet).ok()? {
            Packet::PckFwd { content, .. } => (own, content),
            Packet::Relay { header, content } => (header.origin, content),
            _ => return None,
        };
        match Packet::decode(content).ok()? {
            Packet::MsgPrvInc { sender, .. } | Packet::FileChnkInc { sender, .. } => Some((origin, sender)),
            _ => None,
        }
    }

    /// Tells a client of another server, through the network, that its packet went no further than to us.
    pub(super) fn report_to_origin(&mut self, origin: ServerId, sender: &str) {
        if let Some(link) = self.core.mesh.next_hop(origin, self.now) {
            let envelope = self.core.mesh.envelope(origin, &mut self.effects);
            let error = Packet::Error { sender, reason: ErrorReason::UnknownServer };
            self.effects.forward(link, &envelope, &error);
        }
    }

    /// How many links get a public message of our own clients. In a routed network as of the last
    /// [`Engine::refresh_routes`].
    pub(super) fn carrying_links(&self) -> usize {
        if self.core.mesh.routed().is_some() { self.routed_carrying_links } else { self.core.mesh.links().count() }
    }

    /// The answer to `routes`: for each server that is reached, the next server on the way and the path length.
    pub(super) fn route_list(&mut self) -> String {
        self.refresh_routes();
        let mut text = String::new();
        match self.core.mesh.routed() {
            Some(routed) => {
                for (id, route) in routed.tree().routes.iter() {
                    let _ = writeln!(text, "{id}\t{}\t{}", route.next, route.length);
                }
            }
            None => {
                for id in self.core.mesh.route_lengths().keys() {
                    let _ = writeln!(text, "{id}\t{id}\t0");
                }
            }
        }
        text + "ok\n"
    }

    /// What `status` says of the network.
    pub(super) fn route_status(&self) -> Vec<(&'static str, String)> {
        let Some(routed) = self.core.mesh.routed() else { return vec![("mode", "dense".to_owned())] };
        let routes = &routed.tree().routes;
        let longest = routes.values().map(|route| route.length).max().unwrap_or(0);
        vec![
            ("mode", "routed".to_owned()),
            ("servers", (routes.len() + 1).to_string()),
            ("path_length_max", longest.to_string()),
            ("tree_changes", routed.tree_changes().to_string()),
        ]
    }
}
