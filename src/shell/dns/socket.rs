//! The resolver's socket and files: looks host names up without stopping the loop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::core::state::mesh::DialFor;
use crate::core::time::Millis;
use crate::limits;
use crate::shell::dns::hosts::{Search, read_small};
use crate::shell::dns::resolver::Resolver;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A host that has been looked up.
#[derive(Debug)]
pub struct Answer {
    /// The owner of the lookup.
    pub dial_for: DialFor,
    /// The port that goes with it.
    pub port: u16,
    /// The addresses, or why there are none.
    pub addresses: Result<Vec<IpAddr>, String>,
}

/// Lookups under way.
#[allow(missing_debug_implementations, reason = "the resolver has none")]
pub struct Socket {
    resolver: Resolver,
    /// Open while something is being looked up. A new one each time: its port, which the kernel draws, is half of
    /// what a forger would have to guess.
    socket: Option<UdpSocket>,
    asked: BTreeMap<u64, (DialFor, u16)>,
    next_id: u64,
    /// Hosts that wait for `/etc/hosts` to be searched, one after the other: as many as the mesh wants to dial.
    waiting: VecDeque<(u64, String)>,
    /// The search for the first of them.
    search: Option<Search>,
}

impl Socket {
    /// No lookup is under way. Query IDs are drawn from `seed`.
    pub fn new(seed: u64) -> Socket {
        Socket {
            resolver: Resolver::new(seed),
            socket: None,
            asked: BTreeMap::new(),
            next_id: 0,
            waiting: VecDeque::new(),
            search: None,
        }
    }

    /// Begins to look `host` up: with the next [`Socket::on_turn`].
    pub fn start(&mut self, dial_for: DialFor, host: String, port: u16) {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, (dial_for, port));
        self.waiting.push_back((id, host));
    }

    /// Whether [`Socket::on_turn`] has something to do at once.
    pub fn wants_turn(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Searches a slice of `/etc/hosts`. If the name is not in the file, asks a name server. The socket is watched
    /// under `token`.
    pub fn on_turn(&mut self, registry: &Registry, token: Token, now: Millis) {
        let Some((_, host)) = self.waiting.front() else { return };
        let search = self.search.get_or_insert_with(|| Search::new(Path::new(HOSTS), host));
        let Some(lines) = search.step(Path::new(HOSTS)) else { return };
        self.search = None;
        let Some((id, host)) = self.waiting.pop_front() else { return };
        self.resolver.start(id, &host, &lines, &read_small(Path::new(RESOLV_CONF)), now);
        if self.socket.is_none() && !self.resolver.is_idle() {
            match open(registry, token) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => log::warn!("cannot look up names: {error}"),
            }
        }
        self.transmit();
    }

    /// Datagrams have come.
    pub fn on_readable(&mut self, now: Millis) {
        let Some(socket) = &self.socket else { return };
        let mut datagram = [0; limits::DNS_ANSWER_MAX_BYTES];
        for _ in 0..limits::DATAGRAMS_PER_TURN {
            match socket.recv_from(&mut datagram) {
                Ok((count, from)) => self.resolver.on_datagram(from, datagram.get(..count).unwrap_or(&[]), now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nothing listens at the name server's port: the time limit covers that.
                Err(_) => {}
            }
        }
        self.transmit();
    }

    /// When time matters next.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.resolver.next_deadline()
    }

    /// The next host that has been looked up.
    pub fn poll_answer(&mut self, now: Millis) -> Option<Answer> {
        if self.resolver.next_deadline().is_some_and(|when| when <= now) {
            self.resolver.on_deadline(now);
            self.transmit();
        }
        let (id, result) = self.resolver.poll_answer()?;
        if self.resolver.is_idle() {
            self.socket = None;
        }
        let (dial_for, port) = self.asked.remove(&id)?;
        let addresses =
            result.map(|found| found.into_iter().map(IpAddr::V4).collect()).map_err(|error| error.to_string());
        Some(Answer { dial_for, port, addresses })
    }

    fn transmit(&mut self) {
        while let Some((server, query)) = self.resolver.poll_transmit() {
            if let Some(socket) = &self.socket
                && let Err(error) = socket.send_to(&query, server)
            {
                // The resolver asks again, or asks another server, when its time is up.
                log::debug!("name server {server}: {error}");
            }
        }
    }
}

fn open(registry: &Registry, token: Token) -> io::Result<UdpSocket> {
    let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    registry.register(&mut socket, token, Interest::READABLE)?;
    Ok(socket)
}
