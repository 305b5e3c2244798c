//! A client that blocks: it sends given packets and compares the answers.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cfp::blocking::{Arrival, PacketStream, Reading};
use cfp::wire::{AuthResponse, FrameLimits, Packet, Scan, scan};
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use super::{ID, PATIENCE};

/// What the client understands: the longest messages, and what comes over a routed link.
const LIMITS: FrameLimits =
    FrameLimits { message_max_bytes: 16 * 1024 * 1024, descriptions_max: 65, has_routed_codes: true };

/// One connection to a server. What comes is compared as bytes, and what is sent is written without reading meanwhile: a
/// test of a receiver that is behind must be one.
pub struct Client {
    packets: PacketStream<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Client {
        Client::new(TcpStream::connect_timeout(&address, PATIENCE).expect("the server takes connections"))
    }

    /// Connects with a receive buffer of about so many bytes, so that the kernel soon takes no more for a client
    /// that does not read.
    pub fn connect_with_receive_buffer(address: SocketAddr, bytes: usize) -> Client {
        let fd = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&fd, bytes).unwrap();
        net::connect(&fd, &address).expect("the server takes connections");
        Client::new(fd.into())
    }

    /// Connects from this address of the machine.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Client {
        let fd = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        net::bind(&fd, &SocketAddr::from((source, 0))).unwrap();
        net::connect(&fd, &address).expect("the server takes connections");
        Client::new(fd.into())
    }

    /// A connection that is there already.
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { packets: PacketStream::new(stream, LIMITS) }
    }

    /// The connection itself.
    pub fn into_stream(self) -> TcpStream {
        self.packets.into_stream()
    }

    /// The same connection, for another thread that reads from it or writes to it.
    pub fn stream(&self) -> TcpStream {
        self.packets.tcp().try_clone().unwrap()
    }

    /// Its own end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.packets.tcp().local_addr().unwrap()
    }

    /// Logs in as a guest; the server must let it in.
    pub fn log_in_as_guest(&mut self, nickname: &str) {
        self.send(&Packet::AuthGst { nickname });
        self.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    }

    /// Sends one packet.
    pub fn send(&mut self, packet: &Packet<'_>) {
        self.send_bytes(&encoded(packet));
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.packets.stream().write_all(bytes).expect("the server takes input");
    }

    /// Sends bytes; a server that has closed meanwhile is fine.
    pub fn send_bytes_if_open(&mut self, bytes: &[u8]) {
        match self.packets.stream().write_all(bytes) {
            Err(error) if !is_reset(error.kind()) => panic!("{error}"),
            _ => {}
        }
    }

    /// Writes as much of `bytes` as the kernel takes, until it takes none for `pause` or the server
    /// has closed. Returns how much that was.
    pub fn send_until_blocked(&mut self, bytes: &[u8], pause: Duration) -> usize {
        self.packets.tcp().set_write_timeout(Some(pause)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.packets.stream().write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if is_timeout(error.kind()) || is_reset(error.kind()) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.packets.tcp().set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// A public message.
    pub fn say(&mut self, message: &str) {
        self.send(&Packet::MsgPbl { message });
    }

    /// A private message to a client of the same server.
    pub fn tell(&mut self, receiver: &str, message: &str) {
        self.send(&Packet::MsgPrv { destination: ID, receiver, message });
    }

    /// The next packet's bytes.
    pub fn receive(&mut self) -> Vec<u8> {
        match ended_by_reset(self.packets.next_until(Some(Instant::now() + PATIENCE)), Arrival::End) {
            Arrival::Frame(frame) if frame.fault.is_none() => self.packets.decoder().bytes(&frame).to_vec(),
            Arrival::Frame(frame) => panic!("the server sent {:?}", frame.fault),
            Arrival::Nothing => panic!("nothing comes behind {:?}", self.packets.decoder().take_rest()),
            Arrival::End => panic!("the end came after {:?}", self.packets.decoder().take_rest()),
        }
    }

    /// The next packet must be this one.
    pub fn expect(&mut self, packet: &Packet<'_>) {
        let received = self.receive();
        assert!(received == encoded(packet), "expected {packet:?}\n     got {:?}", Packet::decode(&received));
    }

    /// The next packet must be a public message.
    pub fn expect_public(&mut self, sender: &str, message: &str) {
        self.expect(&Packet::MsgPblInc { origin: ID, sender, message });
    }

    /// The next packet must be a private message.
    pub fn expect_private(&mut self, sender: &str, receiver: &str, message: &str) {
        self.expect(&Packet::MsgPrvInc { origin: ID, sender, receiver, message });
    }

    /// Everything that was sent before is handled, and nothing but what was expected has come: sends a private message
    /// to itself, which must be the next to come.
    pub fn expect_nothing_but_itself(&mut self, nickname: &str) {
        self.tell(nickname, "are you there?");
        self.expect_private(nickname, nickname, "are you there?");
    }

    /// The server must close, with nothing more to say. A reset counts: input of ours may have been on its way.
    pub fn expect_end(&mut self) {
        let rest = self.receive_to_end();
        assert!(rest.is_empty(), "{:?}", Packet::decode(&rest));
    }

    /// Everything up to the end.
    pub fn receive_to_end(&mut self) -> Vec<u8> {
        loop {
            match ended_by_reset(self.packets.read(Some(PATIENCE)), Reading::End) {
                Reading::Some => {}
                Reading::Nothing => panic!("no end comes"),
                Reading::End => return self.packets.decoder().take_rest(),
            }
        }
    }

    /// Whether nothing at all comes for so long.
    pub fn is_silent_for(&mut self, pause: Duration) -> bool {
        self.packets.read(Some(pause)).is_ok_and(|read| read == Reading::Nothing)
    }

    /// Says that nothing more comes from here.
    pub fn shut_sending_side(&self) {
        self.packets.tcp().shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        sockopt::set_socket_linger(self.packets.tcp(), Some(Duration::ZERO)).unwrap();
    }
}

/// A reset is an end: input of ours may have been on its way.
fn ended_by_reset<T>(result: io::Result<T>, end: T) -> T {
    match result {
        Ok(read) => read,
        Err(error) if is_reset(error.kind()) => end,
        Err(error) => panic!("{error}"),
    }
}

/// A packet's bytes.
pub fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// The whole packets in `bytes`, which must end with one.
pub fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let Scan::Packet { len } = scan(bytes, &LIMITS) else { panic!("{} bytes are no whole packet", bytes.len()) };
        let (packet, rest) = bytes.split_at(len);
        packets.push(packet);
        bytes = rest;
    }
    packets
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
