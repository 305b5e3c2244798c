//! The server under test, and what cases share.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::blocking::{Stream, dial};
use crate::conform::case::{Check, Seen, Stop};
use crate::conform::limits::{CONNECT_MS, PROBE_MS};
use crate::conform::log::Log;
use crate::conform::peer::{Peer, QUESTION, encoded};
use crate::conform::security::Security;
use crate::wire::{AuthResponse, Code, Description, Descriptions, FileChunk, Packet, ServerId};

/// A server: where it listens, and its ID.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// Its ID.
    pub id: ServerId,
    /// How connections to it are made.
    pub security: Security,
}

impl Target {
    /// A new connection.
    pub fn open(&self) -> std::io::Result<Box<dyn Stream>> {
        self.security.secure(dial(self.address, Duration::from_millis(CONNECT_MS))?)
    }
}

/// What the command line says of the servers.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server under test.
    pub target: Target,
    /// Servers that are merged with it.
    pub others: Vec<Target>,
    /// A registered user of it: nickname and password.
    pub user: Option<(String, String)>,
    /// How long to wait for what must come.
    pub patience: Duration,
    /// Whether to run what takes a minute.
    pub is_slow: bool,
    /// Whether the server is one of a routed network.
    pub is_routed: bool,
    /// The port at which the kit plays a server; 0 for any.
    pub port: u16,
}

/// What cases run on.
pub struct Bench {
    /// What was asked for.
    pub setup: Setup,
    /// Makes the names of this run its own.
    seed: u64,
    /// In all nicknames and messages of this case.
    mark: String,
    /// Grows with each name.
    count: u32,
    question: Option<Question>,
    listener: Option<TcpListener>,
    /// Of all connections.
    pub log: Log,
}

/// A packet to oneself, that shows that all before it was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Private,
    Public,
}

impl Bench {
    /// Nothing is connected yet. `seed` makes the names of this run its own.
    pub fn new(setup: Setup, seed: u64) -> Bench {
        Bench { setup, seed, mark: mark(seed), count: 0, question: None, listener: None, log: Log::default() }
    }

    /// A case begins. It has a mark of its own: what an earlier one has sent, and did not wait for when it failed, is none
    /// of its messages.
    pub fn begin_case(&mut self) {
        self.log.begin();
        self.seed = self.seed.wrapping_add(1);
        self.mark = mark(self.seed);
    }

    /// The server's ID.
    pub fn id(&self) -> ServerId {
        self.setup.target.id
    }

    fn number(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// A nickname or text of this run that nobody has used.
    pub fn text(&mut self, word: &str) -> String {
        let number = self.number();
        format!("{word}{number}{}", self.mark)
    }

    /// A new connection.
    pub fn dial(&self) -> Result<Peer, Stop> {
        Peer::connect(&self.setup.target, self.setup.patience, &self.mark, &self.log)
    }

    /// A new connection to another server.
    pub fn dial_other(&self, other: &Target) -> Result<Peer, Stop> {
        Peer::connect(other, self.setup.patience, &self.mark, &self.log)
    }

    /// A client that is logged in as a guest.
    pub fn guest(&mut self, word: &str) -> Result<Peer, Stop> {
        let peer = self.dial()?;
        self.log_in(peer, word)
    }

    /// A guest on another server.
    pub fn guest_of(&mut self, other: &Target, word: &str) -> Result<Peer, Stop> {
        let peer = self.dial_other(other)?;
        self.log_in(peer, word)
    }

    /// Logs in as a guest. If that does not work, the case is skipped: case 3.1 says why.
    pub fn log_in(&mut self, mut peer: Peer, word: &str) -> Result<Peer, Stop> {
        let nickname = self.text(word);
        peer.send(&Packet::AuthGst { nickname: &nickname })?;
        let why = match self.log.open() {
            0 | 1 => "a guest must be able to log in; see case 3.1",
            _ => "several guests must be able to log in at once; see case 1.1",
        };
        peer.expect(&accepted()).map_err(|stop| stop.or_skip(why))?;
        peer.set_nickname(nickname);
        Ok(peer)
    }

    /// All that the client has sent was handled, and nothing else has come: it asks itself something.
    pub fn settle(&mut self, peer: &mut Peer) -> Check {
        let question = match self.question {
            Some(question) => question,
            None => self.find_question()?,
        };
        let text = self.text(QUESTION);
        ask(peer, question, self.id(), &text)
    }

    /// Finds out which question has an answer.
    fn find_question(&mut self) -> Result<Question, Stop> {
        let id = self.id();
        for question in [Question::Private, Question::Public] {
            let mut peer = self.guest("probe")?.with_patience(self.setup.patience.min(Duration::from_millis(PROBE_MS)));
            let text = self.text(QUESTION);
            if ask(&mut peer, question, id, &text).is_ok() {
                self.question = Some(question);
                return Ok(question);
            }
        }
        let why =
            "neither a private nor a public message to oneself comes back, which this case needs; see 5.1 and D6.1";
        Err(Stop::skipped(why))
    }

    /// A newcomer's connection still works: it logs in.
    pub fn still_logs_in(&mut self, mut peer: Peer) -> Result<Peer, Stop> {
        let nickname = self.text("eve");
        peer.send(&Packet::AuthGst { nickname: &nickname })?;
        peer.expect(&accepted())?;
        peer.set_nickname(nickname);
        Ok(peer)
    }

    /// A registered user.
    pub fn user(&self) -> Result<(String, String), Stop> {
        let needs = "needs --user NICKNAME --password PASSWORD: a registered user of the server, not connected";
        self.setup.user.clone().ok_or_else(|| Stop::skipped(needs))
    }

    /// Another server of the network.
    pub fn other(&self) -> Result<Target, Stop> {
        let needs = "needs --second HOST:PORT --second-id ID: a server that is merged with the first";
        self.setup.others.first().cloned().ok_or_else(|| Stop::skipped(needs))
    }

    /// The case is for a routed server.
    pub fn must_be_routed(&self) -> Check {
        let needs = "needs --routed: a server of a routed network, which is another kind of network (D24)";
        if self.setup.is_routed { Ok(()) } else { Err(Stop::skipped(needs)) }
    }

    /// The case is for a server that is linked with all others, as the RFC's main part has it.
    pub fn must_be_dense(&self) -> Check {
        let needs = "is for a dense server, where all are linked: run it without --routed";
        if self.setup.is_routed { Err(Stop::skipped(needs)) } else { Ok(()) }
    }

    /// An ID that no server of the network has.
    pub fn fresh_id(&mut self) -> ServerId {
        let number = self.number();
        let base = u32::from_str_radix(self.mark.trim_start_matches('-'), 16).unwrap_or(0);
        ServerId(0xC000_0000 + base * 0x1000 + number)
    }

    /// Plays a server that is merged with the one under test, and that says nothing of itself (as the RFC has it). If
    /// that does not work, the case is skipped.
    pub fn link(&mut self) -> Result<Link, Stop> {
        let (peer, id) = (self.dial()?, self.fresh_id());
        self.link_as(peer, id, &[])
    }

    /// As [`Bench::link`], with this ID and list.
    pub fn link_as(&mut self, mut peer: Peer, id: ServerId, siblings: &[Description]) -> Result<Link, Stop> {
        self.must_be_dense()?;
        peer.send_bytes(&merge_request(id, siblings))?;
        let from = peer.local_address().map_or_else(String::new, |address| format!(" from {}", address.ip()));
        let answer = match peer.next_of_ours(None) {
            Seen::Bytes(bytes) if bytes.first() == Some(&Code::MrgRsp.byte()) => bytes,
            Seen::End => {
                let why = "it does not merge, or does not permit that address (cfp-server: --allow-peer ADDRESS)";
                return Err(Stop::skipped(format!("the server closes an MRGREQ{from} without an answer: {why}")));
            }
            _ => return Err(Stop::skipped(format!("the server does not accept an MRGREQ{from}; see case 7.1"))),
        };
        peer.set_nickname(format!("server {id}"));
        Ok(Link { peer, id, home: self.id(), answer })
    }

    /// The listener of the server that the kit plays, and its description.
    pub fn described(&mut self, peer: &Peer) -> Result<Description, Stop> {
        let address = ipv4_of(peer)?;
        if self.listener.is_none() {
            let bound = TcpListener::bind((address, self.setup.port)).or_else(|_| TcpListener::bind((address, 0)));
            self.listener = Some(bound.map_err(|error| Stop::skipped(format!("cannot listen at {address}: {error}")))?);
        }
        let port = self.listener.as_ref().and_then(|listener| listener.local_addr().ok()).map_or(0, |own| own.port());
        // It is known by its address, too, so that a later run at the same port is the same server.
        let server = ServerId(4_000_000_000 + u32::from(port));
        Ok(Description { server, address, port: port.into() })
    }

    /// The next connection to the described server.
    pub fn accept(&self) -> Option<Peer> {
        accept(self.listener.as_ref()?, self.setup.patience, &self.mark, &self.log)
    }

    /// A server that nobody knows yet, with a listener of its own.
    pub fn unknown_server(&mut self, peer: &Peer) -> Result<(TcpListener, Description), Stop> {
        let address = ipv4_of(peer)?;
        let cannot = |error: std::io::Error| Stop::skipped(format!("cannot listen at {address}: {error}"));
        let listener = TcpListener::bind((address, 0)).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        Ok((listener, Description { server: self.fresh_id(), address, port: port.into() }))
    }

    /// The server under test must connect to this listener and ask to merge. Returns its request, and the connection.
    pub fn expect_dial(&self, listener: &TcpListener) -> Result<(Peer, Vec<u8>), Stop> {
        let expected =
            Seen::Words(format!("a connection to {} with an MRGREQ from server {}", place(listener), self.id()));
        let Some(mut peer) = accept(listener, self.setup.patience, &self.mark, &self.log) else {
            return Err(Stop::deviation(expected, Seen::Nothing).of(String::new(), self.log.last()));
        };
        let (seen, id) = (peer.next(), self.id());
        match seen {
            Seen::Bytes(bytes) if matches!(Packet::decode(&bytes), Ok(Packet::MrgReq { server, .. }) if server == id) => {
                Ok((peer, bytes))
            }
            seen => Err(peer.stop(expected, seen)),
        }
    }
}

fn mark(seed: u64) -> String {
    format!("-{:04x}", seed & 0xFFFF)
}

/// A server that the kit plays, merged with the one under test.
pub struct Link {
    /// The connection.
    pub peer: Peer,
    /// The played server.
    pub id: ServerId,
    /// The server under test.
    home: ServerId,
    /// Its MRGRSP.
    pub answer: Vec<u8>,
}

impl Link {
    /// Sends a packet of the played server's clients.
    pub fn forward(&mut self, content: &Packet<'_>) -> Check {
        self.forward_bytes(&encoded(content))
    }

    /// Forwards these bytes.
    pub fn forward_bytes(&mut self, content: &[u8]) -> Check {
        let destination = self.home;
        self.peer.send(&Packet::PckFwd { destination, content })
    }

    /// The next packet must be this one, forwarded.
    pub fn expect(&mut self, content: &Packet<'_>) -> Check {
        self.peer.expect_forward(&Packet::PckFwd { destination: self.id, content: &encoded(content) })
    }

    /// The link still works: a private message arrives at this client, and nothing before it.
    pub fn settle(&mut self, bench: &mut Bench, client: &mut Peer) -> Check {
        let message = bench.text("over the link ");
        let receiver = client.nickname().to_owned();
        let packet = Packet::MsgPrvInc { origin: self.id, sender: "eve", receiver: &receiver, message: &message };
        self.forward(&packet)?;
        client.expect(&packet)
    }
}

fn ask(peer: &mut Peer, question: Question, id: ServerId, text: &str) -> Check {
    let nickname = peer.nickname().to_owned();
    let (sender, receiver, message) = (nickname.as_str(), nickname.as_str(), text);
    match question {
        Question::Private => {
            peer.send(&Packet::MsgPrv { destination: id, receiver, message })?;
            peer.expect(&Packet::MsgPrvInc { origin: id, sender, receiver, message })
        }
        Question::Public => {
            peer.send(&Packet::MsgPbl { message })?;
            peer.expect(&Packet::MsgPblInc { origin: id, sender, message })
        }
    }
}

/// AUTHRSP 0.
pub fn accepted() -> Packet<'static> {
    Packet::AuthRsp { response: AuthResponse::Accepted }
}

/// The bytes of an MRGREQ.
pub fn merge_request(server: ServerId, siblings: &[Description]) -> Vec<u8> {
    let each = |it: &Description| [it.server.0.to_be_bytes(), it.address.octets(), it.port.to_be_bytes()].concat();
    let bytes: Vec<u8> = siblings.iter().flat_map(each).collect();
    encoded(&Packet::MrgReq { server, siblings: Descriptions::new(&bytes).unwrap_or_default() })
}

/// A chunk of a transfer.
pub fn chunk<'a>(transfer_id: u32, file_name: &'a str, chunks: u32, content: &'a [u8; 1024]) -> FileChunk<'a> {
    FileChunk { transfer_id, file_name, chunks, content }
}

fn ipv4_of(peer: &Peer) -> Result<Ipv4Addr, Stop> {
    match peer.local_address().map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(address)) => Ok(address),
        _ => Err(Stop::skipped("needs a connection over IPv4: descriptions have no room for an IPv6 address")),
    }
}

fn place(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

fn accept(listener: &TcpListener, patience: Duration, mark: &str, log: &Log) -> Option<Peer> {
    let end = Instant::now() + patience;
    listener.set_nonblocking(true).ok()?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).ok()?;
                return Some(Peer::new(Box::new(stream), patience, mark, log));
            }
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return None,
        }
    }
}
