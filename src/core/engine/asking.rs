//! Asking siblings whose links are silent whether they live (D57).

use std::net::{IpAddr, SocketAddr};

use super::{Engine, Request};
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::session::{Asking, Session};
use crate::core::state::address::Remote;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// A link has been silent for long enough: asks its server whether it lives. Asks all others that are due soon,
    /// too, so that an idle network wakes rarely.
    pub(super) fn ask_silent(&mut self) {
        let links: Vec<Key> = self.core.mesh.links().map(|(_, key)| key).collect();
        for key in links {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let is_soon = connection.ask_at().is_some_and(|when| when <= self.now + limits::LINK_SILENCE_MS / 4);
            // We would ask in TLS, which a server that has a plain link may not have (D45).
            let is_askable = connection.socket.is_encrypted() || !self.core.config.has_peer_ca;
            if !is_soon || connection.may_have_spoken_since(self.now) {
                continue;
            }
            let Some(sibling) = connection.session.as_sibling_mut() else { continue };
            // Also if it can't be asked: otherwise it would be due again at once, and for ever.
            sibling.liveness.asked_at = Some(self.now);
            if !is_askable {
                continue;
            }
            let server = sibling.server();
            // A server that did not say where it listens cannot be asked.
            let address = self.core.mesh.servers().find(|known| known.id == server).and_then(|known| known.address);
            if let Some(address) = address {
                self.requests.push_back(Request::Ask { link: key, address: address.into() });
            }
        }
    }

    /// A connection that was asked for by [`Request::Ask`] has a socket, which may still be connecting; or it has failed
    /// at once. Returns the connection for the reactor to watch.
    pub fn on_ask_dialled(
        &mut self,
        link: Key,
        address: SocketAddr,
        socket: Result<S, String>,
        now: Millis,
    ) -> Option<Key> {
        self.now = now;
        let socket = socket.ok().filter(|_| self.shutdown_since.is_none())?;
        let server = self.connections.get(link)?.session.as_sibling()?.server();
        let session = Session::Closing { queue_limit_bytes: self.core.config.max_queue_bytes };
        let key = self.connections.insert(|serial| Connection::new(socket, serial, Some(address), session, now));
        let mut context = Self::context(&mut self.core, &mut self.effects, key, Remote::new(Some(address)), now);
        let session = Session::Asking(Box::new(Asking::begin(server, link, &mut context)));
        if let Some(connection) = self.connections.get_mut(key) {
            connection.session = session;
        }
        self.apply_effects();
        self.schedule(key);
        Some(key)
    }

    /// The server at the other end of `link` has answered, or has asked us itself over the connection `by`.
    pub(super) fn on_lives(&mut self, link: Key, by: Option<Key>) {
        let ip = |key| Some(self.connections.get(key)?.remote.address()?.ip());
        if by.is_some_and(|by| ip(by) != ip(link)) {
            return;
        }
        let sibling = self.connections.get_mut(link).and_then(|connection| connection.session.as_sibling_mut());
        let Some(sibling) = sibling else { return };
        sibling.liveness.heard_at = self.now;
        sibling.liveness.has_answered |= by.is_none();
    }

    /// The server at the other end of `link` was asked, and did not answer. That counts in two cases: it has answered
    /// such a question before, or the link comes from the host that it named. Otherwise another program or a proxy may
    /// listen there.
    pub(super) fn on_silent(&mut self, link: Key) {
        let Some(connection) = self.connections.get(link) else { return };
        let Some(sibling) = connection.session.as_sibling() else { return };
        let (server, liveness) = (sibling.server(), sibling.liveness);
        let named = self.core.mesh.servers().find(|known| known.id == server).and_then(|known| known.address);
        let remote_ip = connection.remote.address().map(|address| address.ip().to_canonical());
        let is_its_host = named.zip(remote_ip).is_some_and(|(named, remote)| {
            IpAddr::from(*named.ip()) == remote || named.ip().is_loopback() && remote.is_loopback()
        });
        let is_sure = liveness.has_answered || is_its_host;
        let was_heard = Some(liveness.heard_at) > liveness.asked_at || connection.may_have_spoken_since(self.now);
        if is_sure && !was_heard {
            self.close(link, CloseReason::Silent, CloseMode::Now);
        } else {
            self.schedule(link);
        }
    }
}
