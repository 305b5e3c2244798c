//! What the operator decides at start.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use ipnet::IpNet;

use crate::limits;
use crate::wire::{FrameLimits, ServerId};

/// The typed configuration. `options.rs` makes it from the command line, tests make it directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This server's ID.
    pub id: ServerId,
    /// Registered users only.
    pub no_guests: bool,
    /// Limits of framing.
    pub frame: FrameLimits,
    /// Connections held at once, links to servers and operators not counted. Used up by strangers, who give way to
    /// newcomers (D62), and by clients: then newcomers pay.
    pub max_clients: usize,
    /// Connections at once from one address. Used up by those from there; they pay (D62).
    pub max_per_address: Option<usize>,
    /// Most that one client may send in a second.
    pub max_rate_bytes: Option<usize>,
    /// Most output that one client may be behind with.
    pub max_queue_bytes: usize,
    /// The limit of the queue for a link to another server.
    pub max_link_queue_bytes: usize,
    /// Most queued output and input together.
    pub max_memory_bytes: usize,
    /// Time to log in or merge in.
    pub handshake_ms: u64,
    /// Its listen address, for the operator to see.
    pub listen: Option<SocketAddr>,
    /// The address told to other servers; without one, this server does not describe itself.
    pub advertise: Option<SocketAddrV4>,
    /// Networks from which merge requests are accepted, beside the addresses of D20.
    pub allow_peers: Vec<IpNet>,
    /// Networks whose connections come through a proxy and begin with its header (D46).
    pub proxies: Vec<IpNet>,
    /// Connections without TLS are closed (D43).
    pub requires_tls: bool,
    /// Links use TLS, and certificates name the server (D44).
    pub has_peer_ca: bool,
    /// The server is routed (D24), and started then, in seconds since 1970. It then has an address to advertise.
    pub routed: Option<u32>,
    /// What jitter is drawn from.
    pub seed: u64,
}

impl Config {
    /// The defaults, for a server with this ID.
    pub fn new(id: ServerId) -> Config {
        Config {
            id,
            no_guests: false,
            frame: FrameLimits::default(),
            max_clients: usize::MAX,
            max_per_address: None,
            max_rate_bytes: None,
            max_queue_bytes: limits::QUEUE_MAX_BYTES,
            max_link_queue_bytes: limits::LINK_QUEUE_MAX_BYTES,
            max_memory_bytes: limits::MEMORY_MAX_BYTES,
            handshake_ms: limits::HANDSHAKE_MS,
            listen: None,
            advertise: None,
            allow_peers: Vec::new(),
            proxies: Vec::new(),
            requires_tls: false,
            has_peer_ca: false,
            routed: None,
            seed: 0,
        }
    }

    /// The server is routed, and started then, in seconds since 1970.
    pub fn route(&mut self, started_seconds: u32) {
        self.routed = Some(started_seconds);
        self.frame.descriptions_max = limits::ROUTED_DESCRIPTIONS_MAX;
        self.frame.has_routed_codes = true;
    }

    /// The least `max_memory_bytes` with which the longest message can be delivered.
    pub fn memory_min_bytes(&self) -> usize {
        limits::MEMORY_MIN_PACKETS.saturating_mul(self.frame.packet_max_bytes())
    }

    /// Whether a connection from this address comes through a proxy.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }
}
