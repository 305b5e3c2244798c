//! The generator's connections: one thread, one poll, one read buffer.
//!
//! They are not connections of the library: thousands share a thread, so nothing may block; what comes is compared as bytes,
//! many deliveries at once, since decoding would cost more than the server that is measured; and other chat servers are
//! measured, too, whose packets it does not know.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use super::message::{Frame, Hello, describe};
use super::server::ServerUnderTest;
use super::tls::{Dial, Taken, Tls};
use super::{Doing, Fault, Result, rivals};
use crate::limits::HANDSHAKES_PER_ADDRESS_MAX;

/// Readiness events taken in one turn.
const EVENTS_PER_TURN: usize = 4096;
/// The most that one read takes. Bursts of the workloads are far smaller, so only the buffer's front is used, and stays
/// in the processor's cache.
const READ_BYTES: usize = 256 * 1024;
/// Connections on their way in at once. It is fewer than a listening socket usually holds, so the kernel drops none and
/// tries none again a second later.
const JOINING_MAX: usize = 512;
/// With TLS. A server closes one whose handshake would be one too many that waits, from one address.
const JOINING_WITH_TLS_MAX: usize = HANDSHAKES_PER_ADDRESS_MAX * 3 / 4;
/// Receive buffer of a member that is paused.
const PAUSED_RECEIVE_BYTES: usize = 16 * 1024;
/// Nothing having come for so long, while something is awaited, is an error.
pub const STALL: Duration = Duration::from_secs(20);

/// What a workload does with what comes.
pub trait Receiver {
    /// Takes what it can off the front of `bytes`, which `member` got; the rest is kept and comes again with more
    /// behind it. `at` is the time of the read.
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], at: Instant, members: &mut Members) -> Result<()>;

    /// The server closed the connection of `member`.
    fn on_end(&mut self, member: usize) -> Result<()> {
        Err(Fault::Wrong(format!("the server closed connection {member}")))
    }
}

/// All connections of one run.
pub struct Connections {
    poll: Poll,
    events: Events,
    buffers: Buffers,
    members: Members,
    /// How a connection with TLS is opened, if it has that.
    dial: Option<Dial>,
}

/// What all connections share.
struct Buffers {
    plain: Vec<u8>,
    /// What comes encrypted.
    sealed: Vec<u8>,
}

/// The connections, for sending.
pub struct Members(Vec<Member>);

struct Member {
    stream: TcpStream,
    tls: Option<Box<Tls>>,
    /// The start of a packet.
    partial: Vec<u8>,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
    /// Not read from: a slow reader.
    is_paused: bool,
    is_over: bool,
}

impl Connections {
    /// A set of connections with none in it, which are to speak to this server as it does: with TLS or without.
    pub fn to(server: &ServerUnderTest) -> Result<Connections> {
        let sealed_bytes = if server.dial.is_some() { READ_BYTES } else { 0 };
        Ok(Connections {
            poll: Poll::new().doing("cannot create a poll")?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            buffers: Buffers { plain: vec![0; READ_BYTES], sealed: vec![0; sealed_bytes] },
            members: Members(Vec::new()),
            dial: server.dial.clone(),
        })
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.members.0.len()
    }

    /// For sending.
    pub fn members(&mut self) -> &mut Members {
        &mut self.members
    }

    /// Connects `count` members, in order, and waits until every one is in. `hello` gets each one's index.
    pub fn join(&mut self, address: SocketAddr, count: usize, hello: impl Fn(usize) -> Hello) -> Result<()> {
        self.join_from(|_| None, address, count, hello)
    }

    /// Connects from chosen local addresses.
    pub fn join_from(
        &mut self,
        local: impl Fn(usize) -> Option<SocketAddr>,
        address: SocketAddr,
        count: usize,
        hello: impl Fn(usize) -> Hello,
    ) -> Result<()> {
        let first = self.len();
        let most = if self.dial.is_some() { JOINING_WITH_TLS_MAX } else { JOINING_MAX };
        let mut joining = Joining { first, answers: VecDeque::new(), pending: 0 };
        while self.len() < first + count || joining.pending > 0 {
            while self.len() < first + count && joining.pending < most {
                let index = self.len();
                let hello = hello(index);
                self.connect(local(index), address)?;
                self.members.send(index, &hello.greeting)?;
                joining.answers.push_back(Some(hello.answer));
                joining.pending += 1;
            }
            let before = joining.pending;
            self.turn_or_stall(&mut joining)?;
            // Logged-in connections at the front need no place any more.
            if joining.pending < before {
                while let Some(None) = joining.answers.front() {
                    joining.answers.pop_front();
                    joining.first += 1;
                }
            }
        }
        Ok(())
    }

    /// Starts one more connection.
    pub fn connect(&mut self, local: Option<SocketAddr>, address: SocketAddr) -> Result<usize> {
        let index = self.len();
        let mut stream = open(local, address).doing(format_args!("cannot connect to {address}"))?;
        // The handshake over loopback is done by the time connect returns, so this fails only if reading fails too.
        let _ = stream.set_nodelay(true);
        register(self.poll.registry(), &mut stream, index)?;
        let (partial, mut unsent) = (Vec::new(), Vec::new());
        let tls = match &self.dial {
            Some(dial) => Some(Box::new(Tls::new(dial()?, &mut unsent)?)),
            None => None,
        };
        self.members.0.push(Member { stream, tls, partial, unsent, is_paused: false, is_over: false });
        self.members.flush(index)?;
        Ok(index)
    }

    /// Waits for input, `timeout` at most, and hands it out. Returns how many events there were.
    pub fn turn(&mut self, timeout: Option<Duration>, audience: &mut impl Receiver) -> Result<usize> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            other => other.doing("cannot wait for input")?,
        }
        let mut count = 0;
        for event in &self.events {
            count += 1;
            let index = event.token().0;
            if event.is_writable() {
                self.members.flush(index)?;
            }
            if event.is_readable() || event.is_read_closed() {
                self.members.read(index, event.is_read_closed(), &mut self.buffers, audience)?;
            }
        }
        Ok(count)
    }

    /// A turn that must bring something: an error if nothing comes for [`STALL`].
    pub fn turn_or_stall(&mut self, audience: &mut impl Receiver) -> Result<()> {
        let since = Instant::now();
        while self.turn(Some(STALL), audience)? == 0 {
            if since.elapsed() >= STALL {
                return Err(Fault::Wrong(format!("nothing came for {} s, and something should", STALL.as_secs())));
            }
        }
        Ok(())
    }

    /// Reads again for a member that was paused.
    pub fn resume(&mut self, index: usize, audience: &mut impl Receiver) -> Result<()> {
        if let Some(member) = self.members.0.get_mut(index) {
            member.is_paused = false;
        }
        // The kernel has said long ago that there is something.
        self.members.read(index, false, &mut self.buffers, audience)
    }

    /// Turns for `time`.
    pub fn turn_for(&mut self, time: Duration, audience: &mut impl Receiver) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(Some(left), audience)?;
        }
    }
}

impl Members {
    /// Sends to the server. What the kernel does not take is kept and sent when it does; workloads bound it by what
    /// they have under way.
    pub fn send(&mut self, index: usize, mut bytes: &[u8]) -> Result<()> {
        let Some(member) = self.0.get_mut(index) else { return Ok(()) };
        if let Some(tls) = &mut member.tls {
            let is_blocked = !member.unsent.is_empty();
            tls.seal(bytes, &mut member.unsent).doing(format_args!("connection {index}: cannot encrypt"))?;
            return if is_blocked { Ok(()) } else { self.flush(index) };
        }
        if member.unsent.is_empty() {
            let written = write(&mut member.stream, bytes, index)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        member.unsent.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether something waits for the kernel to take it.
    pub fn is_blocked(&self, index: usize) -> bool {
        self.0
            .get(index)
            .is_some_and(|member| !member.unsent.is_empty() || member.tls.as_ref().is_some_and(|tls| tls.is_waiting()))
    }

    /// Whether it has TLS, and the two ends have not agreed.
    pub fn is_handshaking(&self, index: usize) -> bool {
        self.0.get(index).and_then(|member| member.tls.as_ref()).is_some_and(|tls| tls.is_handshaking())
    }

    /// Ends a connection. Its descriptor stays until the end of the run.
    pub fn hang_up(&mut self, index: usize) {
        if let Some(member) = self.0.get_mut(index) {
            let _ = member.stream.shutdown(std::net::Shutdown::Both);
            (member.is_over, member.tls) = (true, None);
            member.unsent.clear();
        }
    }

    /// NATS asks from time to time whether a client is alive. Answers that, and says whether `bytes` began so.
    pub fn answer_ping(&mut self, index: usize, bytes: &mut &[u8]) -> Result<bool> {
        let is_ping = rivals::take_ping(bytes);
        if is_ping {
            self.send(index, rivals::PONG)?;
        }
        Ok(is_ping)
    }

    /// [`Frame::take_all`]; with NATS, a ping of the server may stand among the deliveries.
    #[inline]
    pub fn take_all(
        &mut self,
        index: usize,
        frame: &Frame,
        next: &mut u64,
        end: u64,
        bytes: &mut &[u8],
    ) -> Result<u64> {
        let mut count = frame.take(next, end, bytes)?;
        while !frame.is_start_of(bytes) {
            if !self.answer_ping(index, bytes)? {
                return Err(frame.surprise(*next, bytes));
            }
            count += frame.take(next, end, bytes)?;
        }
        Ok(count)
    }

    /// Stops reading for a member, which becomes a slow reader. Tells the kernel to hold little for it.
    pub fn pause(&mut self, index: usize) -> Result<()> {
        let Some(member) = self.0.get_mut(index) else { return Ok(()) };
        member.is_paused = true;
        rustix::net::sockopt::set_socket_recv_buffer_size(&member.stream, PAUSED_RECEIVE_BYTES)
            .doing("cannot set a receive buffer")
    }

    fn flush(&mut self, index: usize) -> Result<()> {
        let Some(member) = self.0.get_mut(index) else { return Ok(()) };
        if !member.unsent.is_empty() {
            let written = write(&mut member.stream, &member.unsent, index)?;
            member.unsent.drain(..written);
        }
        Ok(())
    }

    /// Reads until a read comes back short, which means that a stream socket is drained (epoll(7)). If the event
    /// announced the end of the stream, reads up to that.
    fn read(&mut self, index: usize, to_end: bool, buffers: &mut Buffers, audience: &mut impl Receiver) -> Result<()> {
        loop {
            let Some(member) = self.0.get_mut(index) else { return Ok(()) };
            if member.is_over || member.is_paused {
                return Ok(());
            }
            let mut partial = std::mem::take(&mut member.partial);
            let kept = partial.len();
            if let Some(front) = buffers.plain.get_mut(..kept) {
                front.copy_from_slice(&partial);
            }
            let space = buffers.plain.get_mut(kept..).unwrap_or_default();
            let mut space_bytes = space.len();
            let result = match &mut member.tls {
                None => member.stream.read(space).map(|count| Taken { sealed: count, plain: count, is_end: false }),
                Some(tls) => {
                    space_bytes = space.len().min(buffers.sealed.len()) - tls.kept_bytes();
                    tls.read(&mut member.stream, &mut buffers.sealed, space, &mut member.unsent)
                }
            };
            let taken = match result {
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    member.partial = partial;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    member.partial = partial;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Taken { sealed: 0, plain: 0, is_end: true },
                Err(source) => return Err(Fault::Io { doing: format!("connection {index}: cannot read"), source }),
            };
            if taken.sealed == 0 || (taken.is_end && taken.plain == 0) {
                member.is_over = true;
                return audience.on_end(index);
            }
            let at = Instant::now();
            // A handshake goes on, and what waited for it is sent.
            self.flush(index)?;
            let mut bytes = buffers.plain.get(..kept + taken.plain).unwrap_or_default();
            if taken.plain > 0 {
                audience.on_bytes(index, &mut bytes, at, self).map_err(|fault| about(index, fault))?;
            }
            partial.clear();
            partial.extend_from_slice(bytes);
            if partial.len() >= READ_BYTES {
                return Err(Fault::Wrong(format!("connection {index}: a packet of over {READ_BYTES} bytes")));
            }
            if let Some(member) = self.0.get_mut(index) {
                member.partial = partial;
            }
            if taken.sealed < space_bytes && !to_end {
                return Ok(());
            }
        }
    }
}

/// Waits for each new member's answer.
struct Joining {
    /// Index of the member whose answer stands first in `answers`.
    first: usize,
    answers: VecDeque<Option<Vec<u8>>>,
    pending: usize,
}

impl Receiver for Joining {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], _at: Instant, members: &mut Members) -> Result<()> {
        if members.answer_ping(member, bytes)? {
            return Ok(());
        }
        let place = member.checked_sub(self.first).and_then(|place| self.answers.get_mut(place));
        let Some(expected) = place.filter(|place| place.is_some()) else {
            return Err(Fault::Wrong(format!("before anybody spoke: {}", describe(bytes))));
        };
        if expected.as_ref().is_some_and(|answer| bytes.ends_with(answer)) {
            *expected = None;
            *bytes = &[];
            self.pending -= 1;
        } else if expected.as_ref().is_some_and(|answer| bytes.first() == Some(&0x10) && answer.len() == 2) {
            return Err(Fault::Wrong(format!("login: {}", describe(bytes))));
        }
        Ok(())
    }
}

fn about(index: usize, fault: Fault) -> Fault {
    match fault {
        Fault::Wrong(text) => Fault::Wrong(format!("connection {index}: {text}")),
        other => other,
    }
}

fn open(local: Option<SocketAddr>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let Some(local) = local else { return TcpStream::connect(address) };
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    bind(&socket, &local)?;
    match connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from_std(std::net::TcpStream::from(socket))),
        Err(error) => Err(error.into()),
    }
}

fn register(registry: &Registry, stream: &mut TcpStream, index: usize) -> Result<()> {
    registry.register(stream, Token(index), Interest::READABLE | Interest::WRITABLE).doing("cannot register")
}

/// Writes what the kernel takes, which is nothing if the connection is not up yet.
fn write(stream: &mut TcpStream, mut bytes: &[u8], index: usize) -> Result<usize> {
    let mut written = 0;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => {
                written += count;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
            Err(source) => return Err(Fault::Io { doing: format!("connection {index}: cannot write"), source }),
        }
    }
    Ok(written)
}
