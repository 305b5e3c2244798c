//! Numbers for Prometheus, and their text.

use std::fmt::{Display, Write as _};

use super::Engine;
use crate::core::engine::socket::Socket;
use crate::core::state::counters::{Ignored, LoginResult, TlsFailure};
use crate::core::state::effects::CloseReason;
use crate::core::state::process::ProcessFigures;
use crate::core::state::routed::Routed;
use crate::wire::Code;

impl<S: Socket> Engine<S> {
    /// All metrics, in Prometheus' text format.
    pub(super) fn metrics(&self, process: &ProcessFigures) -> String {
        let mut text = Text::default();
        let build = format!("cfp_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        text.head("cfp_build_info", "gauge", "1, with the program's version.");
        text.line(&build, 1);
        self.gauges(&mut text);
        self.traffic(&mut text);
        self.links(&mut text);
        self.routes(&mut text);
        self.tls(&mut text);
        write_process(process, &mut text);
        text.0
    }

    fn gauges(&self, text: &mut Text) {
        let (core, counters) = (&self.core, &self.core.counters);
        let largest = self.connections.iter().map(|(_, c)| c.outbox.pending_bytes(&self.output)).max().unwrap_or(0);
        text.one("cfp_uptime_seconds", "gauge", "Seconds since the start.", self.now.0 / 1000);
        text.one("cfp_clients", "gauge", "Clients logged in.", core.directory.len());
        text.one("cfp_connections", "gauge", "Connections of all kinds.", self.connections.len());
        text.one(
            "cfp_client_connections",
            "gauge",
            "Connections that count for --max-clients.",
            self.quota.client_connections,
        );
        text.one("cfp_client_connections_limit", "gauge", "--max-clients.", core.config.max_clients);
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
            "Connections not read from for a while: a receiver is behind, or they say too much.",
            self.pauses.len(),
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
        text.head("cfp_logins_total", "counter", "Ends of logins by result.");
        for result in LoginResult::ALL {
            let labels = format!("cfp_logins_total{{result=\"{}\"}}", result.name());
            text.line(&labels, counters.logins.get(result.index()));
        }
        text.head("cfp_closed_connections_total", "counter", "Ends of connections by reason.");
        for reason in CloseReason::ALL {
            let labels = format!("cfp_closed_connections_total{{reason=\"{}\"}}", reason.name());
            text.line(&labels, counters.closed.get(reason.index()));
        }
    }

    fn tls(&self, text: &mut Text) {
        let counters = &self.core.counters;
        let encrypted = || self.connections.iter().filter(|(_, connection)| connection.socket.is_encrypted());
        let links = encrypted().filter(|(_, connection)| connection.session.as_sibling().is_some()).count();
        text.one("cfp_tls_connections", "gauge", "Connections with TLS.", encrypted().count());
        text.one("cfp_links_tls", "gauge", "Links to other servers with TLS.", links);
        text.one(
            "cfp_tls_handshakes_total",
            "counter",
            "TLS handshakes that came to a good end.",
            counters.tls_handshakes,
        );
        text.head("cfp_tls_handshake_failures_total", "counter", "Connections with TLS that failed, by reason.");
        for reason in TlsFailure::ALL {
            let labels = format!("cfp_tls_handshake_failures_total{{reason=\"{}\"}}", reason.name());
            text.line(&labels, counters.tls_failures.get(reason.index()));
        }
        text.head("cfp_tls_certificate_seconds_left", "gauge", "Time until our certificate ends, if we have one.");
        if let Some(end) = self.certificate_end {
            text.line("cfp_tls_certificate_seconds_left", end.since(self.now) / 1000);
        }
    }

    /// The routing table. In a dense network, each linked server is its own next one.
    fn routes(&self, text: &mut Text) {
        let (mesh, counters) = (&self.core.mesh, &self.core.counters);
        let routes = mesh.route_lengths();
        text.one("cfp_servers", "gauge", "Servers that are reached, this one included.", routes.len() + 1);
        text.head("cfp_path_length", "gauge", "Servers between us and that server.");
        for (id, length) in &routes {
            text.line(&format!("cfp_path_length{{server=\"{id}\"}}"), length);
        }
        text.head("cfp_link_carries", "gauge", "1 if packets go over the link to that server, 0 if it is a spare.");
        for (id, _) in mesh.links() {
            let carries = routes.get(&id) == Some(&0);
            text.line(&format!("cfp_link_carries{{server=\"{id}\"}}"), u8::from(carries));
        }
        let held = mesh.routed().map_or(0, |routed| routed.held_servers().len());
        text.one(
            "cfp_held_servers",
            "gauge",
            "Servers that senders wait for, since a link on the way is behind.",
            held,
        );
        let changes = mesh.routed().map_or(0, Routed::tree_changes);
        text.one("cfp_tree_changes_total", "counter", "Changes of the routing table.", changes);
        text.one("cfp_relayed_packets_total", "counter", "Packets passed on for other servers.", counters.relayed);
    }

    fn links(&self, text: &mut Text) {
        let mesh = &self.core.mesh;
        text.one("cfp_mesh_complete", "gauge", "1 if every known server is linked.", u8::from(mesh.is_complete()));
        text.one(
            "cfp_refused_packets_total",
            "counter",
            "Private messages and file chunks answered with an ERROR, since the receiver's queue was full.",
            self.core.counters.refused,
        );
        let dropped = self.core.counters.link_packets_dropped;
        text.one(
            "cfp_link_dropped_packets_total",
            "counter",
            "Packets for clients that were queued for a link when it was lost.",
            dropped,
        );
        text.head("cfp_link_up", "gauge", "1 if the link to that server is up.");
        for server in mesh.servers() {
            text.line(&format!("cfp_link_up{{server=\"{}\"}}", server.id), u8::from(server.link.is_some()));
        }
        text.head("cfp_link_queued_bytes", "gauge", "Output that waits for that server.");
        for (id, key) in mesh.links() {
            let queued = self.connections.get(key).map_or(0, |link| link.outbox.pending_bytes(&self.output));
            text.line(&format!("cfp_link_queued_bytes{{server=\"{id}\"}}"), queued);
        }
    }
}

/// The figures that every exporter has, under the names that Prometheus gave them. What the system does not say is left
/// out.
fn write_process(process: &ProcessFigures, text: &mut Text) {
    let seconds = |value: Option<f64>| value.map(|seconds| seconds.to_string());
    let whole = |value: Option<u64>| value.map(|number| number.to_string());
    for (name, kind, help, value) in [
        ("process_cpu_seconds_total", "counter", "Processor time used.", seconds(process.cpu_seconds)),
        ("process_resident_memory_bytes", "gauge", "Memory that is resident.", whole(process.resident_bytes)),
        ("process_virtual_memory_bytes", "gauge", "Address space.", whole(process.virtual_bytes)),
        ("process_open_fds", "gauge", "Open descriptors.", whole(process.open_fds)),
        ("process_max_fds", "gauge", "The limit on descriptors.", whole(process.max_fds)),
        (
            "process_start_time_seconds",
            "gauge",
            "When it started, in seconds since 1970.",
            seconds(process.start_time_seconds),
        ),
    ] {
        if let Some(value) = value {
            text.one(name, kind, help, value);
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
