//! Pipes that behave like TCP connections: bounded, slow, and apt to break.
//!
//! ```text
//!   end 0 (dialled)   sending ──deliver──▶ received   end 1 (accepted)
//!                    received ◀──deliver── sending
//! ```
//!
//! A write goes into `sending`, an event of the world moves some of it to the other end's `received`. What the kernel
//! would tell a poll is an `edge`: it is set by what happens, and taken when the owner runs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use cfp::core::engine::Readiness;
use cfp::core::engine::socket::{Received, Sent, Socket};
use cfp::core::state::key::Key;
use cfp::limits::{CLIENT_KEEPALIVE, Keepalive, LINK_KEEPALIVE};

use super::codes::CodeCheck;
use super::dice::Dice;
use super::hash::Fnv;

/// As much as tells what was said first.
const HEAD_BYTES: usize = 32;

/// One of the two ends of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndId {
    pub pipe: usize,
    pub side: usize,
}

impl EndId {
    pub fn other(self) -> EndId {
        EndId { pipe: self.pipe, side: 1 - self.side }
    }
}

/// The holder of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A server, by its number among the hosts.
    Host(usize),
    /// A server of another make.
    Foreigner(usize),
    /// A server that lies.
    Liar(usize),
    /// A client, a vandal or an operator.
    Person(usize),
}

/// What has to happen some time after something was done to a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// What this end has sent goes on its way.
    Deliver(EndId),
    /// This end may write again.
    Space(EndId),
    /// This end learns that the connection is broken.
    Reset(EndId),
    /// Nothing has been heard of the other side for this end's patience.
    Patience(EndId),
    /// The holder has to look at what is ready.
    Wake(Owner),
}

#[derive(Debug)]
pub struct End {
    pub owner: Owner,
    /// The engine's name for it, once it is watched.
    pub key: Option<Key>,
    is_open: bool,
    received: VecDeque<u8>,
    end_received: bool,
    error: Option<ErrorKind>,
    sending: VecDeque<u8>,
    end_sent: bool,
    is_delivering: bool,
    wants_space: bool,
    has_edge: bool,
    keepalive: Keepalive,
    pub written_bytes: u64,
    /// The first bytes that were written.
    pub head: Vec<u8>,
    codes: CodeCheck,
}

impl End {
    /// The first byte that was said. An encrypted end begins with the toy's answer, and the first record of data follows.
    pub fn first_said(&self) -> Option<u8> {
        match self.head.as_slice() {
            [0x16, _, _, _, len, rest @ ..] => rest.get(usize::from(*len) + 5).map(|byte| !byte),
            said => said.first().copied(),
        }
    }

    fn new(owner: Owner, keepalive: Keepalive, codes: CodeCheck) -> End {
        End {
            owner,
            key: None,
            is_open: true,
            received: VecDeque::new(),
            end_received: false,
            error: None,
            sending: VecDeque::new(),
            end_sent: false,
            is_delivering: false,
            wants_space: false,
            has_edge: false,
            keepalive,
            written_bytes: 0,
            head: Vec::new(),
            codes,
        }
    }
}

#[derive(Debug)]
pub struct Pipe {
    pub ends: [End; 2],
    pub is_connected: bool,
    /// Nothing gets through in either direction, and neither end is told.
    pub is_silent: bool,
}

/// All pipes there ever were, and their planned events.
#[derive(Debug)]
pub struct Net {
    pub pipes: Vec<Pipe>,
    pub later: Vec<Later>,
    ready: BTreeMap<Owner, VecDeque<EndId>>,
    dice: Dice,
    capacity_bytes: usize,
    /// The servers that are routed.
    pub routed: BTreeSet<Owner>,
    /// All bytes that were ever written, and where.
    pub hash: Fnv,
    pub bytes: u64,
}

pub type SharedNet = Rc<RefCell<Net>>;

impl Net {
    pub fn new(seed: u64, capacity_bytes: usize) -> SharedNet {
        Rc::new(RefCell::new(Net {
            pipes: Vec::new(),
            later: Vec::new(),
            ready: BTreeMap::new(),
            dice: Dice::new(seed),
            capacity_bytes,
            routed: BTreeSet::new(),
            hash: Fnv::new(),
            bytes: 0,
        }))
    }

    pub fn end(&self, id: EndId) -> &End {
        &self.pipes[id.pipe].ends[id.side]
    }

    fn end_mut(&mut self, id: EndId) -> &mut End {
        &mut self.pipes[id.pipe].ends[id.side]
    }

    /// From now on the engine watches this end, and is told what is there already.
    pub fn watch(&mut self, id: EndId, key: Key) {
        self.end_mut(id).key = Some(key);
        if self.pipes[id.pipe].is_connected {
            self.edge(id);
        }
    }

    /// Whether an end is still held.
    pub fn is_open(&self, pipe: usize) -> bool {
        self.pipes[pipe].ends.iter().any(|end| end.is_open)
    }

    pub fn is_end_open(&self, id: EndId) -> bool {
        self.end(id).is_open
    }

    /// What there is to be told to an owner, in the order in which it came up.
    pub fn take_ready(&mut self, owner: Owner) -> VecDeque<EndId> {
        self.ready.remove(&owner).unwrap_or_default()
    }

    pub fn is_nothing_ready(&self) -> bool {
        self.ready.is_empty()
    }

    /// What was taken and not looked at comes first the next time.
    pub fn put_back(&mut self, id: EndId) {
        self.ready.entry(self.end(id).owner).or_default().push_front(id);
    }

    /// What a poll would say of this end now.
    pub fn take_edge(&mut self, id: EndId) -> Option<(Key, Readiness)> {
        let is_chatty = self.dice.chance(500);
        let capacity_bytes = self.capacity_bytes;
        let is_connected = self.pipes[id.pipe].is_connected;
        let end = self.end_mut(id);
        if !std::mem::take(&mut end.has_edge) || !end.is_open {
            return None;
        }
        let is_broken = end.error.is_some();
        // An event for one direction mostly tells of both.
        let has_space = is_connected && end.sending.len() < capacity_bytes && (end.wants_space || is_chatty);
        if has_space {
            end.wants_space = false;
        }
        let readiness = Readiness {
            readable: !end.received.is_empty() || end.end_received || is_broken,
            writable: has_space || is_broken,
            read_closed: end.end_received || is_broken,
            broken: is_broken,
        };
        Some((end.key?, readiness))
    }

    fn edge(&mut self, id: EndId) {
        let end = self.end_mut(id);
        if !end.is_open {
            return;
        }
        let owner = end.owner;
        if !std::mem::replace(&mut end.has_edge, true) {
            self.ready.entry(owner).or_default().push_back(id);
        }
        self.later.push(Later::Wake(owner));
    }

    /// The two sides know each other from here on.
    pub fn connect(&mut self, pipe: usize) {
        self.pipes[pipe].is_connected = true;
        self.end_mut(EndId { pipe, side: 0 }).wants_space = true;
        self.edge(EndId { pipe, side: 0 });
    }

    /// Some of what `from` has sent arrives.
    pub fn deliver(&mut self, from: EndId) {
        self.end_mut(from).is_delivering = false;
        let pipe = &self.pipes[from.pipe];
        if pipe.is_silent || !pipe.is_connected {
            return;
        }
        let far = self.end(from.other());
        // An end that knows of the break takes nothing more: its lost bytes would be a gap.
        if !far.is_open || far.error.is_some() {
            self.end_mut(from).sending = VecDeque::new();
            if self.end(from).is_open && self.end(from).error.is_none() {
                self.later.push(Later::Reset(from));
            }
            return;
        }
        let room = self.capacity_bytes.saturating_sub(self.end(from.other()).received.len());
        let possible = room.min(self.end(from).sending.len());
        let count = if possible == 0 { 0 } else { self.dice.between(1, possible as u64) as usize };
        let moved: Vec<u8> = self.end_mut(from).sending.drain(..count).collect();
        self.end_mut(from.other()).received.extend(moved);
        let is_all = self.end(from).sending.is_empty();
        let ends_now = is_all && self.end(from).end_sent && !self.end(from.other()).end_received;
        if ends_now {
            self.end_mut(from.other()).end_received = true;
        }
        if count > 0 || ends_now {
            self.edge(from.other());
        }
        if count > 0 && self.end(from).wants_space {
            self.edge(from);
        }
        if !is_all && self.end(from.other()).received.len() < self.capacity_bytes {
            self.schedule_delivery(from);
        }
    }

    /// An edge for a writer whose last write found no room.
    pub fn tell_space(&mut self, id: EndId) {
        let end = self.end(id);
        if end.wants_space && end.sending.len() < self.capacity_bytes && self.pipes[id.pipe].is_connected {
            self.edge(id);
        }
    }

    /// This end learns that the connection is broken.
    pub fn break_end(&mut self, id: EndId, kind: ErrorKind) {
        let drops = self.dice.chance(500);
        let end = self.end_mut(id);
        if !end.is_open || end.error.is_some() {
            return;
        }
        end.error = Some(kind);
        end.sending = VecDeque::new();
        if drops {
            end.received = VecDeque::new();
        }
        self.edge(id);
    }

    /// A reset from the other side: it does not get through a silent pipe.
    pub fn reset(&mut self, id: EndId) {
        if !self.pipes[id.pipe].is_silent {
            self.break_end(id, ErrorKind::ConnectionReset);
        }
    }

    pub fn silence(&mut self, pipe: usize) {
        self.pipes[pipe].is_silent = true;
        self.later.extend([0, 1].map(|side| Later::Patience(EndId { pipe, side })));
    }

    pub fn unsilence(&mut self, pipe: usize) {
        self.pipes[pipe].is_silent = false;
        for side in [0, 1] {
            self.schedule_delivery(EndId { pipe, side });
        }
    }

    /// How long this end's kernel waits for a word from the other side.
    pub fn patience_ms(&self, id: EndId) -> u64 {
        let keepalive = self.end(id).keepalive;
        1000 * u64::from(keepalive.idle_seconds + keepalive.interval_seconds * keepalive.probes)
    }

    fn schedule_delivery(&mut self, from: EndId) {
        if !std::mem::replace(&mut self.end_mut(from).is_delivering, true) {
            self.later.push(Later::Deliver(from));
        }
    }

    /// The process that held this end closed it, or is gone.
    fn close(&mut self, id: EndId) {
        let is_connected = self.pipes[id.pipe].is_connected;
        let end = self.end_mut(id);
        if !std::mem::replace(&mut end.is_open, false) {
            return;
        }
        let has_unread = !end.received.is_empty();
        end.received = VecDeque::new();
        if end.error.is_some() || !is_connected {
            return;
        }
        if has_unread {
            // The kernel throws away what it has not sent yet, and resets the connection.
            end.sending = VecDeque::new();
            self.later.push(Later::Reset(id.other()));
        } else {
            end.end_sent = true;
            self.schedule_delivery(id);
        }
    }
}

/// Makes a pipe that is not connected yet. Returns both ends.
pub fn make_pipe(net: &SharedNet, owners: [Owner; 2]) -> (PipeEnd, PipeEnd) {
    let pipe = net.borrow().pipes.len();
    let [dialler, listener] = owners;
    let patience = if let Owner::Host(_) = dialler { LINK_KEEPALIVE } else { CLIENT_KEEPALIVE };
    let codes = |writer, reader| CodeCheck::new(writer, reader, &net.borrow().routed);
    let ends = [
        End::new(dialler, patience, codes(dialler, listener)),
        End::new(listener, CLIENT_KEEPALIVE, codes(listener, dialler)),
    ];
    net.borrow_mut().pipes.push(Pipe { ends, is_connected: false, is_silent: false });
    let end = |side| PipeEnd { net: Rc::clone(net), id: EndId { pipe, side } };
    (end(0), end(1))
}

/// The socket of one side.
#[derive(Debug)]
pub struct PipeEnd {
    net: SharedNet,
    pub id: EndId,
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.net.borrow_mut().close(self.id);
    }
}

impl Socket for PipeEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let net = &mut *self.net.borrow_mut();
        let end = &mut net.pipes[self.id.pipe].ends[self.id.side];
        if end.received.is_empty() {
            return match end.error {
                Some(kind) => Err(kind.into()),
                None if end.end_received => Ok(Received::End),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let possible = end.received.len().min(buffer.len());
        let count = if net.dice.chance(700) { possible } else { net.dice.between(1, possible as u64) as usize };
        for (place, byte) in buffer.iter_mut().zip(end.received.drain(..count)) {
            *place = byte;
        }
        if !end.received.is_empty() {
            // A short read means "drained" to its reader. So this is as if the rest had come only now.
            net.edge(self.id);
        }
        net.schedule_delivery(self.id.other());
        Ok(Received::plain(count, buffer.len()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let net = &mut *self.net.borrow_mut();
        let capacity_bytes = net.capacity_bytes;
        let pipe = &mut net.pipes[self.id.pipe];
        let is_connected = pipe.is_connected;
        let end = &mut pipe.ends[self.id.side];
        if let Some(kind) = end.error {
            return Err(kind.into());
        }
        if end.end_sent {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let possible = bytes.len().min(capacity_bytes - end.sending.len());
        if !is_connected || possible == 0 {
            end.wants_space = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = if net.dice.chance(700) { possible } else { net.dice.between(1, possible as u64) as usize };
        let written = &bytes[..count];
        end.sending.extend(written);
        end.written_bytes += count as u64;
        end.head.extend(written.iter().take(HEAD_BYTES - end.head.len()));
        end.codes.on_written(&end.head, written);
        if count < bytes.len() {
            end.wants_space = true;
            net.later.push(Later::Space(self.id));
        }
        net.hash.write(&(self.id.pipe as u64).to_le_bytes());
        net.hash.write(&[self.id.side as u8]);
        net.hash.write(written);
        net.bytes += count as u64;
        net.schedule_delivery(self.id);
        Ok(Sent::plain(count, bytes.len()))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(&all)
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let end = &mut net.pipes[self.id.pipe].ends[self.id.side];
        match end.error {
            Some(kind) => return Err(kind.into()),
            None if end.received.is_empty() && !end.end_received => return Err(ErrorKind::WouldBlock.into()),
            None => {}
        }
        let count = end.received.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(&end.received) {
            *place = *byte;
        }
        Ok(count)
    }

    fn take_peeked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let end = &mut net.pipes[self.id.pipe].ends[self.id.side];
        for place in &mut *buffer {
            *place = end.received.pop_front().unwrap();
        }
        net.schedule_delivery(self.id.other());
        Ok(buffer.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let net = &mut *self.net.borrow_mut();
        if !net.pipes[self.id.pipe].is_connected || net.end(self.id).error.is_some() {
            return Err(ErrorKind::NotConnected.into());
        }
        net.end_mut(self.id).end_sent = true;
        net.schedule_delivery(self.id);
        Ok(())
    }

    fn set_keepalive(&mut self, keepalive: Keepalive) {
        let net = &mut *self.net.borrow_mut();
        net.end_mut(self.id).keepalive = keepalive;
        if net.pipes[self.id.pipe].is_silent {
            net.later.push(Later::Patience(self.id));
        }
    }
}
