//! Connections that we open ourselves, to other servers.

use std::net::{IpAddr, SocketAddr};

use super::{Engine, Request};
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::session::{Requesting, Session};
use crate::core::state::address::Remote;
use crate::core::state::key::Key;
use crate::core::state::mesh::{Dial, DialFor, DialTo, Dialled, HostPort};
use crate::core::time::Millis;

impl<S: Socket> Engine<S> {
    /// Asks for a merge at start: tried until it is accepted or declined.
    pub fn merge_at_start(&mut self, name: HostPort, now: Millis) {
        self.core.mesh.request_merge(name, None, now);
    }

    /// A dial that was asked for has a socket, which may still be connecting; or it has failed at once. Returns the
    /// connection for the reactor to watch, unless the dial is no longer wanted.
    pub fn on_dialled(
        &mut self,
        dial_for: DialFor,
        address: SocketAddr,
        socket: Result<S, String>,
        now: Millis,
    ) -> Option<Key> {
        self.now = now;
        let socket = match socket {
            Ok(socket) if self.shutdown_since.is_none() => socket,
            Ok(_) => return None,
            Err(why) => {
                self.on_dial_failed(dial_for, why);
                return None;
            }
        };
        let local = socket.local_address();
        let session = Session::Closing { queue_limit_bytes: self.core.config.max_queue_bytes };
        let key = self.connections.insert(|serial| Connection::new(socket, serial, Some(address), session, now));
        if !self.core.mesh.on_dialled(dial_for, key, address, local) {
            self.connections.remove(key);
            return None;
        }
        let mut context = Self::context(&mut self.core, &mut self.effects, key, Remote::new(Some(address)), now);
        let session = Session::Requesting(Box::new(Requesting::begin(dial_for, &mut context)));
        if let Some(connection) = self.connections.get_mut(key) {
            connection.session = session;
        }
        self.apply_effects();
        self.schedule(key);
        Some(key)
    }

    /// A host has been looked up.
    pub fn on_resolved(&mut self, dial_for: DialFor, port: u16, addresses: Result<Vec<IpAddr>, String>, now: Millis) {
        self.now = now;
        match addresses {
            Ok(addresses) => match self.core.mesh.on_resolved(dial_for, &addresses) {
                Some(address) => {
                    let address = SocketAddr::new(address, port);
                    self.requests.push_back(Request::Dial { dial_for, address });
                }
                None if addresses.is_empty() => self.on_dial_failed(dial_for, "the name has no address".to_owned()),
                None => self.on_dial_ended(dial_for, &Dialled::Ourselves),
            },
            Err(why) => self.on_dial_failed(dial_for, why),
        }
    }

    /// Requests the dials that are due, and forgets servers that have been gone for too long.
    pub(super) fn dial(&mut self) {
        if self.shutdown_since.is_some() {
            return;
        }
        self.core.mesh.forget_old(self.now, &mut self.effects);
        self.core.mesh.reconcile(self.now, &mut self.effects);
        while let Some(Dial { dial_for, to }) = self.core.mesh.poll_dial(self.now) {
            match to {
                DialTo::Address(address) => self.requests.push_back(Request::Dial { dial_for, address }),
                DialTo::Name(HostPort { host, port }) => match host.parse() {
                    Ok(address) => self.on_resolved(dial_for, port, Ok(vec![address]), self.now),
                    Err(_) => self.requests.push_back(Request::Resolve { dial_for, host, port }),
                },
            }
        }
        self.apply_effects();
    }

    fn on_dial_failed(&mut self, dial_for: DialFor, why: String) {
        self.on_dial_ended(dial_for, &Dialled::Failed(why));
    }

    fn on_dial_ended(&mut self, dial_for: DialFor, dialled: &Dialled) {
        self.core.mesh.on_dial_ended(dial_for, dialled, self.now, &mut self.effects);
        self.apply_effects();
    }
}
