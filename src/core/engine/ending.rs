//! The one log line for each connection's end. It comes when its whole queue is written, or is given up, and has the
//! figures of that moment.

use super::Engine;
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::session::Session;
use crate::core::state::effects::CloseReason;
use crate::core::state::key::Key;
use crate::wire::{Code, CutOff};

/// The facts that are known when a connection's session ends.
#[derive(Debug)]
pub struct Ending {
    who: String,
    level: log::Level,
    reason: CloseReason,
    cut_off: Option<CutOff>,
}

impl Ending {
    /// The session of `connection` ends now. `may_merge` tells whether the other end is one that may merge with us.
    pub fn new<S>(connection: &Connection<S>, reason: CloseReason, cut_off: Option<CutOff>, may_merge: bool) -> Ending {
        let asks_for_action = matches!(
            reason,
            CloseReason::SlowReader
                | CloseReason::Stalled
                | CloseReason::Memory
                | CloseReason::KeptInput
                | CloseReason::IgnoredPackets
                | CloseReason::NotPermitted
                | CloseReason::ProxiedMerge
                | CloseReason::ProxyHeader
                | CloseReason::NotTheServer
                | CloseReason::Unfit
                | CloseReason::OutOfFrame
                | CloseReason::Silent
        );
        let is_merge_packet = |cut_off: CutOff| matches!(cut_off.code, Code::MrgReq | Code::MrgRsp | Code::MrgDecl);
        let level = match &connection.session {
            _ if asks_for_action => log::Level::Warn,
            Session::Client(_) | Session::Sibling(_) => log::Level::Info,
            // A server of another make: its operator has to know how far it came.
            _ if may_merge && cut_off.is_some_and(is_merge_packet) => log::Level::Info,
            // Somebody has to set up that client's program anew.
            _ if reason == CloseReason::Plaintext => log::Level::Info,
            _ => log::Level::Debug,
        };
        Ending { who: connection.session.to_string(), level, reason, cut_off }
    }
}

impl<S: Socket> Engine<S> {
    /// Says that a connection has ended, once. `cut_short` is why what was still queued is given up.
    pub(super) fn log_end(&mut self, key: Key, cut_short: Option<CloseReason>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(Ending { who, level, reason, cut_off }) = self.endings.remove(&key) else { return };
        let stopped = cut_off.map_or(String::new(), |cut_off| format!(", {cut_off}"));
        let cut_short = cut_short.filter(|&why| why != reason).map_or(String::new(), |why| format!("; then: {why}"));
        // What lines are counted by: clients that come and go hide neither another reason nor a link that ends.
        let kind = format!("{} {}", who.split(' ').next().unwrap_or_default(), reason.name());
        log::log!(
            level,
            reason = kind.as_str();
            "{who} from {} ended: {reason}{stopped}{cut_short} ({} bytes in, {} out, {} queued, {} s)",
            connection.remote,
            connection.bytes_in,
            connection.bytes_out,
            connection.outbox.pending_bytes(&self.output),
            self.now.since(connection.opened) / 1000,
        );
    }
}
