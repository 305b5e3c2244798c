//! Numbers for Prometheus: their text, and the few lines of HTTP that carry it.

use std::fmt::{Display, Write as _};

use super::Engine;
use crate::core::engine::connection::Connection;
use crate::core::engine::socket::Socket;
use crate::core::session::Session;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason};
use crate::core::state::key::Key;
use crate::core::time::Millis;
use crate::limits;
use crate::wire::Code;

impl<S: Socket> Engine<S> {
    /// A scraper has connected.
    pub fn on_scraper(&mut self, socket: S, now: Millis) -> Option<Key> {
        self.now = now;
        let scrapers = self.connections.iter().filter(|(_, c)| matches!(c.session, Session::Scraper)).count();
        if scrapers >= limits::SCRAPERS_MAX || self.shutdown_since.is_some() {
            return None;
        }
        let key = self.connections.insert(|serial| Connection::new(socket, serial, None, Session::Scraper, now));
        self.schedule(key);
        Some(key)
    }

    /// A part of a scraper's request. The whole of it is answered, and the connection closed.
    pub(super) fn handle_http(&mut self, key: Key, input: &[u8]) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let mut inbox = connection.take_inbox();
        let mut head = inbox.take_kept();
        self.private_queued_bytes -= head.len();
        head.extend_from_slice(input);
        let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let answer = match request.parse(&head) {
            Ok(httparse::Status::Partial) if head.len() <= limits::HTTP_HEAD_MAX_BYTES => None,
            Ok(httparse::Status::Complete(_)) => Some(self.answer_http(request.method, request.path)),
            Ok(httparse::Status::Partial) => Some(http_response("431 Request Header Fields Too Large", "too long\n")),
            Err(_) => Some(http_response("400 Bad Request", "not HTTP\n")),
        };
        match answer {
            Some(answer) => {
                self.effects.send_encoded(key, answer.as_bytes());
                self.effects.close(key, CloseReason::Left, CloseMode::AfterWriting);
            }
            None => {
                let Some(connection) = self.connections.get_mut(key) else { return };
                inbox.keep(&head, &mut self.buffers);
                connection.put_inbox(inbox, self.now, &mut self.inboxes);
                self.private_queued_bytes += head.len();
            }
        }
        self.apply_effects();
    }

    fn answer_http(&self, method: Option<&str>, path: Option<&str>) -> String {
        // What a scraper adds behind a question mark asks for nothing that we have.
        let path = path.and_then(|path| path.split('?').next());
        match (method, path) {
            (Some("GET"), Some("/metrics")) => http_response("200 OK", &self.metrics()),
            (Some("GET"), Some("/healthz")) => http_response("200 OK", "ok\n"),
            (Some("GET"), _) => http_response("404 Not Found", "try /metrics or /healthz\n"),
            _ => http_response("405 Method Not Allowed", "only GET\n"),
        }
    }

    /// All metrics, in Prometheus' text format.
    pub(super) fn metrics(&self) -> String {
        let mut text = Text::default();
        self.gauges(&mut text);
        self.traffic(&mut text);
        self.links(&mut text);
        text.0
    }

    fn gauges(&self, text: &mut Text) {
        let (core, counters) = (&self.core, &self.core.counters);
        let largest = self.connections.iter().map(|(_, c)| c.outbox.pending_bytes(&self.public)).max().unwrap_or(0);
        text.one("cfp_uptime_seconds", "gauge", "Seconds since the start.", self.now.0 / 1000);
        text.one("cfp_clients", "gauge", "Clients logged in.", core.directory.len());
        text.one("cfp_connections", "gauge", "Connections of all kinds.", self.connections.len());
        text.one(
            "cfp_queued_bytes",
            "gauge",
            "Output and input that waits, all connections together.",
            self.queued_bytes(),
        );
        text.one(
            "cfp_largest_queue_bytes",
            "gauge",
            "Output that waits for the connection that is most behind.",
            largest,
        );
        text.one("cfp_memory_limit_bytes", "gauge", "The bound on all queues.", core.config.max_memory_bytes);
        text.one(
            "cfp_senders_waiting",
            "gauge",
            "Senders not read from until a receiver has drained.",
            core.pressure.waiting(),
        );
        text.one(
            "cfp_password_checks_waiting",
            "gauge",
            "Logins whose password is being looked at.",
            core.password_checks.len(),
        );
        text.one("cfp_registered_users", "gauge", "Users in the users file.", core.users.len());
        text.one("cfp_accepted_total", "counter", "Connections accepted.", counters.accepted);
        text.one("cfp_accept_errors_total", "counter", "Accepts that failed.", counters.accept_errors);
        text.one("cfp_received_bytes_total", "counter", "Bytes read.", counters.bytes_in);
        text.one("cfp_sent_bytes_total", "counter", "Bytes written.", counters.bytes_out);
        let name = "cfp_turn_seconds";
        text.head(name, "histogram", "Length of a turn of the loop.");
        for (end_us, count) in counters.turns.cumulative() {
            text.line(&format!("{name}_bucket{{le=\"{}\"}}", end_us as f64 / 1e6), count);
        }
        text.line(&format!("{name}_bucket{{le=\"+Inf\"}}"), counters.turns.count);
        text.line(&format!("{name}_sum"), counters.turns.sum_us as f64 / 1e6);
        text.line(&format!("{name}_count"), counters.turns.count);
    }

    fn traffic(&self, text: &mut Text) {
        let counters = &self.core.counters;
        let directions = [("in", &counters.packets_in), ("out", &counters.packets_out)];
        text.head("cfp_packets_total", "counter", "Packets by code and direction.");
        for (direction, traffic) in directions {
            for code in Code::ALL {
                let labels = format!("cfp_packets_total{{code=\"{}\",direction=\"{direction}\"}}", code.name());
                text.line(&labels, traffic.packets(code));
            }
        }
        text.head("cfp_packet_bytes_total", "counter", "Bytes of packets by code and direction.");
        for (direction, traffic) in directions {
            for code in Code::ALL {
                let labels = format!("cfp_packet_bytes_total{{code=\"{}\",direction=\"{direction}\"}}", code.name());
                text.line(&labels, traffic.bytes(code));
            }
        }
        text.head("cfp_ignored_packets_total", "counter", "Ignored packets by reason.");
        for reason in Ignored::ALL {
            let labels = format!("cfp_ignored_packets_total{{reason=\"{}\"}}", reason.name());
            text.line(&labels, counters.ignored.get(reason.index()));
        }
        text.head("cfp_closed_connections_total", "counter", "Ends of connections by reason.");
        for reason in CloseReason::ALL {
            let labels = format!("cfp_closed_connections_total{{reason=\"{}\"}}", reason.name());
            text.line(&labels, counters.closed.get(reason.index()));
        }
    }

    fn links(&self, text: &mut Text) {
        let mesh = &self.core.mesh;
        text.one("cfp_mesh_complete", "gauge", "1 where every known server is linked.", u8::from(mesh.is_complete()));
        let dropped = self.core.counters.link_packets_dropped;
        text.one(
            "cfp_link_dropped_packets_total",
            "counter",
            "Packets that were queued for a link when it was lost.",
            dropped,
        );
        text.head("cfp_link_up", "gauge", "1 where the link to that server is up.");
        for server in mesh.servers() {
            text.line(&format!("cfp_link_up{{server=\"{}\"}}", server.id), u8::from(server.link.is_some()));
        }
        text.head("cfp_link_queued_bytes", "gauge", "Output that waits for that server.");
        for (id, key) in mesh.links() {
            let queued = self.connections.get(key).map_or(0, |link| link.outbox.pending_bytes(&self.public));
            text.line(&format!("cfp_link_queued_bytes{{server=\"{id}\"}}"), queued);
        }
    }
}

/// Prometheus' text exposition format, version 0.0.4.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, value);
    }
}

fn http_response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
