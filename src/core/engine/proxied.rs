//! Connections that come through a proxy, before the header that names the client's address (D46).

use std::io;

use super::Engine;
use crate::core::engine::proxy_header::{self, Preamble};
use crate::core::engine::socket::Socket;
use crate::core::session::{Handshake, Session};
use crate::core::state::address::Remote;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::limits;

impl<S: Socket> Engine<S> {
    /// Looks at what a proxy has sent so far. Nothing is taken from the kernel before the header is whole, and then
    /// nothing but the header: what comes behind it is read as if it came first.
    pub(super) fn serve_proxied(&mut self, key: Key) {
        let mut buffer = std::mem::take(&mut self.intake.read_buffer);
        if let Some(window) = buffer.get_mut(..limits::PROXY_HEADER_MAX_BYTES)
            && let Err(reason) = self.read_header(key, window)
        {
            self.close(key, reason, CloseMode::Now);
        }
        self.intake.read_buffer = buffer;
        self.apply_effects();
    }

    fn read_header(&mut self, key: Key, window: &mut [u8]) -> Result<(), CloseReason> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let count = match connection.socket.peek(window) {
            Ok(0) => return Err(CloseReason::Left),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.is_readable = false;
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => return Err(CloseReason::Lost),
        };
        match proxy_header::scan(window.get(..count).unwrap_or(&[])) {
            Preamble::Other => Err(CloseReason::ProxyHeader),
            // All that came before the end of input is there.
            Preamble::Incomplete if connection.end_is_near => Err(CloseReason::Left),
            Preamble::Incomplete => {
                connection.is_readable = false;
                Ok(())
            }
            Preamble::Header { len, source } => {
                let header = window.get_mut(..len).unwrap_or(&mut []);
                let taken = connection.socket.take_peeked(header).map_err(|_| CloseReason::Lost)?;
                if taken < len {
                    return Err(CloseReason::Lost);
                }
                self.core.counters.bytes_in += len as u64;
                self.spent.work_bytes += len;
                let remote = Remote::through_proxy(source.or(connection.remote.address()));
                connection.session = Session::Handshake(Handshake::default());
                // From here on it is one of those from there.
                self.leave_strangers(key);
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.remote = remote;
                }
                if self.core.bans.has_remote(source, self.now) {
                    return Err(CloseReason::Banned);
                }
                if self.make_room_at_address(remote) {
                    self.count(key);
                    return Ok(());
                }
                self.log_turned_away(remote.address());
                Err(CloseReason::TooMany)
            }
        }
    }
}
