//! Servers that siblings are linked with and that we dial in vain. Most often a firewall stands between them and us, and
//! our users hear half of a conversation. So the pair is named: in `siblings`, and once in the log.

use std::net::SocketAddrV4;

use super::{DialFor, Mesh};
use crate::core::time::Millis;
use crate::limits;
use crate::wire::ServerId;

impl Mesh {
    /// The linked siblings that say that they are linked with this server there.
    pub(super) fn linked_with(&self, id: ServerId, address: Option<SocketAddrV4>) -> Vec<ServerId> {
        let Some(address) = address else { return Vec::new() };
        let siblings = self.servers.iter().filter(|(_, server)| server.up().is_some());
        siblings
            .filter(|(_, server)| server.announcement.others.get(&id) == Some(&address))
            .map(|(&id, _)| id)
            .collect()
    }

    /// A dial has failed: if it goes on failing, and siblings are linked with that server, says so once.
    pub(super) fn note_apart(&mut self, dial_for: DialFor, now: Millis) {
        let dialled = match dial_for {
            DialFor::Server(id) => self.servers.get(&id).and_then(|server| Some((id, server.place()?, server.since))),
            DialFor::Heard(address) => {
                let heard = self.hearsay.dials.get(&address);
                heard.and_then(|heard| Some((heard.named?.0, address, heard.first)))
            }
            DialFor::MergeTarget(_) => None,
        };
        let Some((id, address, since)) = dialled else { return };
        let others = self.linked_with(id, Some(address));
        // Siblings need a while to notice, and to tell, that they have lost a server.
        if others.is_empty() || now.since(since) < limits::APART_MS {
            return;
        }
        let was_told = self.dialler(dial_for).is_none_or(|dialler| std::mem::replace(&mut dialler.is_told_apart, true));
        if !was_told {
            let ip = address.ip();
            log::warn!(
                "server {id} is linked with server {} and not with us: look for a firewall between us and {ip}",
                Ids(&others)
            );
        }
    }
}

/// IDs in a list.
pub struct Ids<'a>(pub &'a [ServerId]);

impl std::fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, id) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::{Dialled, Joined, Offer, Permissions};
    use super::*;
    use crate::core::state::effects::Effects;
    use crate::core::state::key::Key;

    fn address(id: u32) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, id as u8].into(), 7777)
    }

    #[test]
    fn a_server_that_a_sibling_reaches_and_we_do_not_is_told_of_once() {
        let mut mesh = Mesh::new(ServerId(1), Some(address(1)), Permissions::default(), 1);
        let mut effects = Effects::default();
        let others = vec![(ServerId(3), address(3))];
        let offer =
            Offer { server: ServerId(2), address: Some(address(2)), is_routed: false, others, is_contradictory: false };
        let joined = Joined { remote: Some(SocketAddr::V4(address(2))), is_dialled: false, told: Vec::new() };
        mesh.on_link_up(Key { index: 2, serial: 2 }, &offer, joined, Millis(1), &mut effects);
        let mut told_at = Vec::new();
        let mut now = Millis(1);
        let is_told = |mesh: &mut Mesh| {
            mesh.dialler(DialFor::Heard(address(3))).is_some_and(|dialler| std::mem::take(&mut dialler.is_told_apart))
        };
        while now.0 < 10 * limits::APART_MS {
            now = now + 100;
            while let Some(dial) = mesh.poll_dial(now) {
                mesh.on_dial_ended(dial.dial_for, &Dialled::Failed("no route".to_owned()), now, &mut effects);
                let dialler = mesh.dialler(dial.dial_for).unwrap();
                if dialler.is_told_apart && told_at.is_empty() {
                    told_at.push(now);
                }
            }
        }
        assert!(told_at[0].0 >= limits::APART_MS && is_told(&mut mesh), "{told_at:?}");
        let third = mesh.servers().find(|server| server.id == ServerId(3)).unwrap();
        assert_eq!((third.state, &third.linked_with[..]), ("dialling", &[ServerId(2)][..]));
        assert_eq!(Ids(&[ServerId(2), ServerId(4)]).to_string(), "2, 4");
    }
}
