//! The resolver's socket and files: looks host names up without stopping the loop.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use crate::core::state::mesh::DialFor;
use crate::core::time::Millis;
use crate::limits;
use crate::shell::dns::resolver::Resolver;
use crate::shell::regular_file;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A host that has been looked up.
#[derive(Debug)]
pub struct Answer {
    /// For whom.
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
}

impl Socket {
    /// No lookup is under way. Query IDs are drawn from `seed`.
    pub fn new(seed: u64) -> Socket {
        Socket { resolver: Resolver::new(seed), socket: None, asked: BTreeMap::new(), next_id: 0 }
    }

    /// Begins to look `host` up; the socket is watched under `token`.
    pub fn start(&mut self, registry: &Registry, token: Token, dial_for: DialFor, host: &str, port: u16, now: Millis) {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, (dial_for, port));
        self.resolver.start(id, host, &read(Path::new(HOSTS)), &read(Path::new(RESOLV_CONF)), now);
        if self.socket.is_none() && !self.resolver.is_idle() {
            match open(registry, token) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => log::warn!("cannot look names up: {error}"),
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
                // Nobody listens at the name server's port: the time limit covers that.
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
                // The resolver asks again, or somebody else, when its time is up.
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

/// A file's beginning, or nothing where it can't be read: a container may have neither.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read =
        regular_file::open(path).and_then(|file| file.take(limits::RESOLVER_FILE_MAX_BYTES).read_to_end(&mut bytes));
    if let Err(error) = read {
        log::debug!("{}: {error}", path.display());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
