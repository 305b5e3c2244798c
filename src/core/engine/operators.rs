//! Operators: their lines, and the answers, which need to see all connections.

use std::fmt::Write as _;

use super::{Engine, Request};
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::session::operator::{Command, HELP};
use crate::core::session::{Operator, Session};
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::state::mesh::{Ids, OrDash};
use crate::core::time::Millis;
use crate::limits;
use crate::wire::visible::{Field, unescape};

impl<S: Socket> Engine<S> {
    /// An operator has connected to the control socket. If all places are taken, the operator that has been idle for
    /// longest is closed: a health check must get in, whatever scripts forgot to hang up.
    pub fn on_operator(&mut self, socket: S, now: Millis) -> Option<Key> {
        self.now = now;
        if self.shutdown_since.is_some() {
            return None;
        }
        if self.operators.len() >= limits::OPERATORS_MAX
            && let Some((key, idle_ms)) = self.operator_to_give_way()
        {
            log::warn!(
                "closed an operator's idle connection for a new one, after {} s without a command: {} are connected",
                idle_ms / 1000,
                limits::OPERATORS_MAX
            );
            self.operators.retain(|&other| other != key);
            self.close(key, CloseReason::GaveWay, CloseMode::Now);
            self.apply_effects();
        }
        let session = Session::Operator(Operator { is_waiting: false, active_at: now });
        let key = self.connections.insert(|serial| {
            // Its command has most often come with it.
            Connection { is_readable: true, ..Connection::new(socket, serial, None, session, now) }
        });
        self.operators.push(key);
        self.enqueue(key);
        Some(key)
    }

    /// An operator that has had its last answer goes first, then the one that has been idle for longest. An operator
    /// that waits for an answer, or has not read one, goes last.
    fn operator_to_give_way(&self) -> Option<(Key, u64)> {
        let operators = self.operators.iter().filter_map(|&key| Some((key, self.connections.get(key)?)));
        let ranked = operators.map(|(key, connection)| match &connection.session {
            Session::Operator(operator) => {
                let is_busy = operator.is_waiting || connection.outbox.pending_bytes(&self.output) > 0;
                (key, (is_busy, operator.active_at))
            }
            _ => (key, (false, Millis(0))),
        });
        // Of several that are equal, the first one: the oldest.
        ranked.min_by_key(|&(_, rank)| rank).map(|(key, (_, active_at))| (key, self.now.since(active_at)))
    }

    /// Answers an operator whose command had to wait for the reactor.
    pub fn answer_operator(&mut self, operator: Key, text: &str) {
        self.answer(operator, text);
        self.apply_effects();
    }

    /// The late answer to a command; the operator's next one is read then.
    pub(super) fn answer(&mut self, key: Key, text: &str) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Session::Operator(operator) = &mut connection.session else { return };
        operator.is_waiting = false;
        self.effects.send_encoded(key, text.as_bytes());
        self.enqueue(key);
    }

    /// Takes an operator's input apart into lines, and has each done.
    pub(super) fn handle_lines(&mut self, key: Key, input: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let mut inbox = self.intake.take(connection);
        let mut text = inbox.take_kept();
        text.extend_from_slice(input);
        let mut rest = text.as_slice();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or(&[]);
            self.on_line(key, line);
            self.pause_if_behind(key);
            if self.connections.get(key).is_none_or(|c| c.is_held() || !c.is_open()) {
                break;
            }
        }
        if rest.len() > limits::COMMAND_MAX_BYTES && !rest.contains(&b'\n') {
            self.effects.send_encoded(key, b"error the line is too long\n");
            self.effects.close(key, CloseReason::IgnoredPackets, CloseMode::AfterWriting);
            self.apply_effects();
        }
        let Some(connection) = self.connections.get_mut(key).filter(|connection| connection.is_open()) else { return };
        inbox.keep(rest, &mut self.intake.buffers);
        self.intake.put(connection, inbox, self.now);
        connection.has_backlog = connection.is_held() && !rest.is_empty();
    }

    fn on_line(&mut self, key: Key, line: &[u8]) {
        if let Some(Session::Operator(operator)) = self.connections.get_mut(key).map(|c| &mut c.session) {
            operator.active_at = self.now;
        }
        let line = String::from_utf8_lossy(line);
        let answer = match Command::parse(line.trim_end_matches('\r')) {
            Ok(command) => self.run(key, command),
            Err(problem) => Some(format!("error {problem}\n")),
        };
        if let Some(answer) = answer {
            self.effects.send_encoded(key, answer.as_bytes());
        }
        self.apply_effects();
    }

    /// Carries out a command. If the answer comes later, the operator waits.
    fn run(&mut self, key: Key, command: Command) -> Option<String> {
        let answer = match command {
            Command::Status => self.status(),
            Command::Clients => self.client_list(),
            Command::Siblings => self.sibling_list(),
            Command::Routes => self.route_list(),
            Command::Help => format!("{HELP}ok\n"),
            Command::Kick(nickname) => {
                match self.core.directory.find(&nickname).or_else(|| self.core.directory.find(&unescape(&nickname))) {
                    Some(client) => {
                        self.close(client, CloseReason::Kicked, CloseMode::AfterWriting);
                        "ok\n".to_owned()
                    }
                    None => "error no such client\n".to_owned(),
                }
            }
            Command::Ban(whom) => self.ban(&whom),
            Command::Unban(whom) => self.unban(&whom),
            Command::Bans => self.ban_list(),
            Command::Forget(id) if self.core.mesh.forget(id, &mut self.effects) => "ok\n".to_owned(),
            Command::Forget(id) if self.core.mesh.link_to(id).is_some() => "error that server is linked\n".to_owned(),
            Command::Forget(_) => "error no such server\n".to_owned(),
            Command::ForgetMerge(name) if self.core.mesh.forget_merge(&name, &mut self.effects) => "ok\n".to_owned(),
            Command::ForgetMerge(_) => "error no such merge waits\n".to_owned(),
            Command::Merge(_) if self.core.mesh.pending_merges() >= limits::TARGETS_MAX => {
                "error too many merges wait\n".to_owned()
            }
            Command::Merge(name) => {
                self.core.mesh.request_merge(name, Some(key), self.now);
                return self.wait(key);
            }
            Command::Metrics => {
                self.requests.push_back(Request::Measure { asked_by: key });
                return self.wait(key);
            }
            Command::Reload => {
                self.requests.push_back(Request::Reload { operator: key });
                return self.wait(key);
            }
            Command::Shutdown => {
                self.requests.push_back(Request::Shutdown);
                "ok\n".to_owned()
            }
        };
        Some(answer)
    }

    fn wait(&mut self, key: Key) -> Option<String> {
        if let Some(Session::Operator(operator)) = self.connections.get_mut(key).map(|c| &mut c.session) {
            operator.is_waiting = true;
        }
        None
    }

    fn status(&self) -> String {
        let core = &self.core;
        let lines = [
            ("id", core.config.id.to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("listen", core.config.listen.map_or("-".to_owned(), |address| address.to_string())),
            ("advertise", OrDash(core.mesh.advertise()).to_string()),
            ("uptime_seconds", (self.now.0 / 1000).to_string()),
            ("clients", core.directory.len().to_string()),
            ("siblings", core.mesh.links().count().to_string()),
            ("queued_bytes", self.queued_bytes().to_string()),
            ("connections", self.connections.len().to_string()),
            ("registered_users", core.users.len().to_string()),
            ("password_checks", core.password_checks.len().to_string()),
            ("client_connections", self.quota.client_connections.to_string()),
            ("max_clients", core.config.max_clients.to_string()),
            ("max_per_address", core.config.max_per_address.map_or("-".to_owned(), |limit| limit.to_string())),
            ("max_rate_bytes", core.config.max_rate_bytes.map_or("-".to_owned(), |limit| limit.to_string())),
            ("max_message_bytes", core.config.frame.message_max_bytes.to_string()),
            ("max_queue_bytes", core.config.max_queue_bytes.to_string()),
            ("max_link_queue_bytes", core.config.max_link_queue_bytes.to_string()),
            ("max_memory_bytes", core.config.max_memory_bytes.to_string()),
            ("mesh_complete", u8::from(core.mesh.is_complete()).to_string()),
        ];
        let mut text = String::new();
        for (name, value) in lines.into_iter().chain(self.route_status()) {
            let _ = writeln!(text, "{name}\t{value}");
        }
        text + "ok\n"
    }

    fn client_list(&self) -> String {
        let mut text = String::new();
        for (_, connection) in self.connections.iter() {
            let client = connection.session.as_client().filter(|client| !client.has_left());
            let Some(client) = client else { continue };
            let kind = if client.is_registered() { "user" } else { "guest" };
            let queued_bytes = connection.outbox.pending_bytes(&self.output) + connection.kept_bytes();
            let seconds = self.now.since(connection.opened) / 1000;
            let (nickname, remote) = (client.nickname(), connection.remote);
            let _ = writeln!(text, "{}\t{kind}\t{remote}\t{queued_bytes}\t{seconds}", Field(nickname));
        }
        text + "ok\n"
    }

    fn sibling_list(&self) -> String {
        let mut text = String::new();
        for server in self.core.mesh.servers() {
            let state = server.state;
            let seconds = self.now.since(server.since) / 1000;
            let _ = write!(text, "{}\t{}\t{state}\t{seconds}", server.id, OrDash(server.address));
            match &server.linked_with[..] {
                [] => text.push('\n'),
                others => {
                    let _ = writeln!(text, "\tlinked with {}, not with us", Ids(others));
                }
            }
        }
        for merge in self.core.mesh.waiting_merges() {
            let seconds = self.now.since(merge.since) / 1000;
            let last_error = merge.last_error.as_deref().unwrap_or("-");
            let _ = writeln!(text, "-\t{}\twaiting\t{seconds}\t{last_error}", merge.name);
        }
        text + "ok\n"
    }
}
