//! A server that the test plays itself, byte by byte.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::support::{Client, PATIENCE};

use super::node::Node;

/// The address at which a peer says that it listens, and does.
pub struct Home {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Home {
    /// Listens at a free port.
    pub fn new() -> Home {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Home { address: listener.local_addr().unwrap(), listener }
    }

    /// The next connection that comes.
    pub fn accept(&self) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    return Client::new(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "nobody dials {}", self.address);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its description, as hexadecimal digits.
    pub fn described(&self, id: u32) -> String {
        described(id, &self.address.to_string())
    }
}

/// A sibling description as hexadecimal digits: ID, IPv4 address, port.
pub fn described(id: u32, address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let host: u32 = host.parse::<std::net::Ipv4Addr>().unwrap().into();
    format!("{id:08x} {host:08x} {:08x} ", port.parse::<u32>().unwrap())
}

/// Bytes from hexadecimal digits, blanks between them wherever it helps.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter(|char| !char.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// A text as it stands in a packet, as hexadecimal digits.
pub fn text(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{:08x} {bytes} ", text.len())
}

/// Sends bytes given as hexadecimal digits.
pub fn send(peer: &mut Client, digits: &str) {
    peer.send_bytes(&hex(digits));
}

/// The next packet must have these bytes.
pub fn expect(peer: &mut Client, digits: &str) {
    let (received, expected) = (peer.receive(), hex(digits));
    assert!(received == expected, "expected {expected:02x?}\n     got {received:02x?}");
}

/// A link to `node` from a peer of this ID that describes itself, dialled by the peer.
pub fn linked(node: &Node, id: u32, home: &Home) -> Client {
    let mut peer = Client::connect(node.address);
    link(&mut peer, node, id, home);
    peer
}

/// Links over an open connection. Of the answer, it checks only that it is one.
pub fn link(peer: &mut Client, node: &Node, id: u32, home: &Home) {
    send(peer, &format!("A0 {id:08x} 00000001 {}", home.described(id)));
    assert_eq!(peer.receive()[..5], hex(&format!("A1 {:08x}", node.id)));
}

/// A link from a peer that does not describe itself.
pub fn linked_without_description(node: &Node, id: u32) -> Client {
    let mut peer = Client::connect(node.address);
    send(&mut peer, &format!("A0 {id:08x} 00000000"));
    assert_eq!(peer.receive()[..5], hex(&format!("A1 {:08x}", node.id)));
    peer
}
