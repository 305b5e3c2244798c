//! A proxy that makes mistakes: it takes the packets that pass apart, and a rule says what becomes of each.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use cfp::wire::{Code, FrameLimits, Packet, Scan, Skipped, scan};

const LIMITS: FrameLimits = FrameLimits { message_max_bytes: 16 << 20, ..FrameLimits::DEFAULT };
const ROUTED_LIMITS: FrameLimits = FrameLimits { descriptions_max: 65, has_routed_codes: true, ..LIMITS };

/// From whom a piece comes: who has connected, or who was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The connection is there.
    Open,
    /// One whole packet, and which one it is of those that were read together.
    Packet(&'a [u8], usize),
    /// A byte that is no code.
    Unknown,
    /// The first bytes of a packet with a field over its limit, up to that field's size. The rest passes as it is, or
    /// not at all.
    Overlong(&'a [u8]),
    /// What was read ends in the middle of a packet.
    Partial,
    /// The end.
    End,
}

/// What becomes of a piece.
pub enum Fate {
    Pass,
    Drop,
    /// These bytes instead.
    Replace(Vec<u8>),
    /// It passes, and these bytes go back.
    Answer(Vec<u8>),
    /// It does not pass, and these bytes go back.
    Reply(Vec<u8>),
    /// Both connections end.
    Close,
    /// These bytes instead, and the end.
    Last(Vec<u8>),
    /// Every connection ends, and no new one is taken.
    Die,
}

/// What a rule may remember of a connection.
#[derive(Debug, Default)]
pub struct Memory {
    /// The number of the connection, from 0.
    pub index: usize,
    /// Packets that this rule has counted here.
    pub count: usize,
    /// Bytes that wait.
    pub held: Vec<u8>,
    pub is_logged_in: bool,
    /// It began with an MRGREQ.
    pub is_link: bool,
    /// Packets that this rule has kept, of all connections.
    pub stash: Arc<Mutex<Vec<Vec<u8>>>>,
}

pub type Rule = Arc<dyn Fn(&mut Memory, Way, Piece<'_>) -> Fate + Send + Sync>;

/// A running proxy. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(upstream: SocketAddr, rule: Rule) -> Proxy {
        Proxy::start_with(upstream, LIMITS, rule)
    }

    /// In front of a routed server: it knows the packets of routed links.
    pub fn start_routed(upstream: SocketAddr, rule: Rule) -> Proxy {
        Proxy::start_with(upstream, ROUTED_LIMITS, rule)
    }

    fn start_with(upstream: SocketAddr, limits: FrameLimits, rule: Rule) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), is_over: Arc::default() };
        let is_over = Arc::clone(&proxy.is_over);
        thread::spawn(move || {
            let stash = Arc::default();
            for (index, stream) in listener.incoming().enumerate() {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let memory = Memory { index, stash: Arc::clone(&stash), ..Memory::default() };
                pass_on(stream.unwrap(), (upstream, limits), memory, &rule, &is_over);
            }
        });
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(
    client: TcpStream,
    (upstream, limits): (SocketAddr, FrameLimits),
    memory: Memory,
    rule: &Rule,
    is_over: &Arc<AtomicBool>,
) {
    let Ok(server) = TcpStream::connect(upstream) else { return };
    let memory = Arc::new(Mutex::new(memory));
    for (way, from, to) in [(Way::Up, &client, &server), (Way::Down, &server, &client)] {
        from.set_nodelay(true).unwrap();
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (rule, memory, is_over) = (Arc::clone(rule), Arc::clone(&memory), Arc::clone(is_over));
        let side = Side { way, from, to, limits, rule, memory, is_over };
        if way == Way::Up && !side.decide(Piece::Open) {
            return;
        }
        thread::spawn(move || side.run());
    }
}

struct Side {
    way: Way,
    from: TcpStream,
    to: TcpStream,
    limits: FrameLimits,
    rule: Rule,
    memory: Arc<Mutex<Memory>>,
    is_over: Arc<AtomicBool>,
}

impl Side {
    fn run(self) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 64 * 1024]);
        let mut skip = None;
        while let Ok(count @ 1..) = (&self.from).read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            if !self.take(&mut bytes, &mut skip) {
                return;
            }
        }
        if self.decide(Piece::End) {
            let _ = self.to.shutdown(Shutdown::Write);
        }
    }

    /// Takes whole pieces off the front. Whether the connections go on.
    fn take(&self, bytes: &mut Vec<u8>, skip: &mut Option<(cfp::wire::Skip, bool)>) -> bool {
        let mut at = 0;
        while !bytes.is_empty() {
            if let Some((place, passes)) = skip {
                let mut rest = bytes.as_slice();
                let skipped = place.advance(&mut rest);
                let (taken, is_over) = (bytes.len() - rest.len(), skipped != Skipped::More);
                if *passes {
                    let _ = (&self.to).write_all(&bytes[..taken]);
                }
                bytes.drain(..taken);
                if is_over {
                    *skip = None;
                }
                continue;
            }
            // The codes of routed links are unknown to clients.
            let has_routed_codes = self.limits.has_routed_codes && self.memory.lock().unwrap().is_link;
            let limits = FrameLimits { has_routed_codes, ..self.limits };
            let (length, goes_on) = match scan(bytes, &limits) {
                Scan::Incomplete { .. } => return self.decide(Piece::Partial),
                Scan::Packet { len } => (len, self.decide(Piece::Packet(&bytes[..len], at))),
                Scan::Unknown { len } => (len, self.decide(Piece::Unknown)),
                Scan::Overlong { head, skip: place, .. } => {
                    let piece = Piece::Overlong(&bytes[..head]);
                    let fate = self.fate(piece);
                    *skip = Some((place, matches!(fate, Fate::Pass)));
                    (head, self.carry_out(piece, fate))
                }
            };
            bytes.drain(..length);
            at += 1;
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn fate(&self, piece: Piece<'_>) -> Fate {
        if self.is_over.load(Ordering::Relaxed) {
            return Fate::Close;
        }
        let mut memory = self.memory.lock().unwrap();
        let fate = (self.rule)(&mut memory, self.way, piece);
        match (self.way, piece) {
            (Way::Down, Piece::Packet([0x10, 0], _)) => memory.is_logged_in = true,
            (Way::Up, Piece::Packet([0xA0, ..], _)) => memory.is_link = true,
            _ => {}
        }
        fate
    }

    fn decide(&self, piece: Piece<'_>) -> bool {
        self.carry_out(piece, self.fate(piece))
    }

    fn carry_out(&self, piece: Piece<'_>, fate: Fate) -> bool {
        let (mut to, mut back) = (&self.to, &self.from);
        let itself = match piece {
            Piece::Packet(bytes, _) | Piece::Overlong(bytes) => bytes,
            Piece::Unknown => &[0x77],
            Piece::Open | Piece::Partial | Piece::End => &[],
        };
        // Whoever has gone gets nothing.
        match fate {
            Fate::Pass => drop(to.write_all(itself)),
            Fate::Drop => return piece != Piece::End,
            Fate::Replace(bytes) => drop(to.write_all(&bytes)),
            // In this order: the piece may make its receiver leave.
            Fate::Answer(bytes) => drop((back.write_all(&bytes), to.write_all(itself))),
            Fate::Reply(bytes) => drop(back.write_all(&bytes)),
            Fate::Last(bytes) => {
                let _ = to.write_all(&bytes);
                self.close();
                return false;
            }
            Fate::Die => {
                self.is_over.store(true, Ordering::Relaxed);
                self.close();
                return false;
            }
            Fate::Close => {
                self.close();
                return false;
            }
        }
        true
    }

    fn close(&self) {
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }
}

/// Passes everything on.
pub fn faithful() -> Rule {
    rule(|_, _, _| Fate::Pass)
}

pub fn rule(rule: impl Fn(&mut Memory, Way, Piece<'_>) -> Fate + Send + Sync + 'static) -> Rule {
    Arc::new(rule)
}

/// A rule for packets of one code in one direction; all else passes.
pub fn on(way: Way, code: Code, fate: impl Fn(&mut Memory, &[u8]) -> Fate + Send + Sync + 'static) -> Rule {
    rule(move |memory, going, piece| match piece {
        Piece::Packet(bytes, _) if going == way && Code::from_byte(bytes[0]) == Some(code) => fate(memory, bytes),
        _ => Fate::Pass,
    })
}

/// Changes packets of one code that come from the server.
pub fn alters(code: Code, change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Rule {
    changes(Way::Down, code, change)
}

/// Changes packets of one code that go to the server.
pub fn rewrites(code: Code, change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Rule {
    changes(Way::Up, code, change)
}

fn changes(way: Way, code: Code, change: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Rule {
    on(way, code, move |_, bytes| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        Fate::Replace(bytes)
    })
}

/// Sets one byte of packets of this code that come from the server.
pub fn sets(code: Code, at: usize, value: u8) -> Rule {
    alters(code, move |bytes| bytes[at] = value)
}

/// Takes one answer for another: the last byte of packets of this code.
pub fn confuses(code: Code, from: u8, to: u8) -> Rule {
    alters(code, move |bytes| {
        let last = bytes.last_mut().unwrap();
        *last = if *last == from { to } else { *last };
    })
}

/// Drops the n-th packet of this code, from 1, on each connection.
pub fn drops_nth(way: Way, code: Code, number: usize) -> Rule {
    on(way, code, move |memory, _| {
        memory.count += 1;
        if memory.count == number { Fate::Drop } else { Fate::Pass }
    })
}

/// Lets the n-th packet of this code, from 1, go behind the next one, on each connection that is `late`.
pub fn swaps_nth(code: Code, number: usize, is_late: fn(&Memory) -> bool) -> Rule {
    on(Way::Down, code, move |memory, bytes| {
        memory.count += 1;
        match memory.count {
            count if count == number && is_late(memory) => {
                memory.held = bytes.to_vec();
                Fate::Drop
            }
            count if count == number + 1 => Fate::Replace([bytes, &std::mem::take(&mut memory.held)].concat()),
            _ => Fate::Pass,
        }
    })
}

/// Closes on packets that go to the server, are whole, and can't be read.
pub fn closes_on_malformed(way: Way) -> Rule {
    rule(move |_, going, piece| match piece {
        Piece::Packet(bytes, _) if going == way && Packet::decode(bytes).is_err() => Fate::Close,
        _ => Fate::Pass,
    })
}

/// Does so with what has a field over its limit.
pub fn with_overlong(fate: fn() -> Fate) -> Rule {
    rule(move |_, _, piece| if let Piece::Overlong(_) = piece { fate() } else { Fate::Pass })
}

/// Does so with unknown codes.
pub fn with_unknown(fate: fn() -> Fate) -> Rule {
    rule(move |_, _, piece| if piece == Piece::Unknown { fate() } else { Fate::Pass })
}
