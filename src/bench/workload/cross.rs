//! Two merged servers: one client speaks on the first, many listen on the second. And, to compare with, two servers
//! that are not merged and do as much.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SURPLUS;
use super::paced::Pace;
use super::streams::{Streams, nothing_else};
use crate::bench::connections::{Connections, Members, Receiver};
use crate::bench::protocol::{Protocol, Route};
use crate::bench::server::ServerUnderTest;
use crate::bench::{Doing, Fault, Result};
use crate::wire::{Descriptions, Packet, ServerId, forward_header};

/// The two servers must have merged within this.
const MERGE_MAX: Duration = Duration::from_secs(10);
/// Numbers of nicknames that no member of the room has: one more client, and the client that finds out about the merge.
const LISTENER: usize = 99_998;
const SPEAKER: usize = 99_997;
const EAR: usize = 99_996;
/// The far end of a link: it poses as a server, and only reads.
const LINKED: ServerId = ServerId(99);
/// How often the extra reader changes within one run. The cases alternate, because one case differs more between runs
/// than the cases differ.
const ROUNDS: u64 = 20;
/// How often the speaker tries until a client on the other server hears it.
const TRY: Duration = Duration::from_millis(50);

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub struct CrossPlan {
    /// The receivers on the second server.
    pub members: usize,
    /// Messages sent in one write.
    pub window: u64,
    /// How often.
    pub bursts: u64,
}

/// What the two servers have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Nothing: a client of each speaks, one after the other.
    Apart,
    /// They are merged: a client of the first speaks.
    Merged,
}

/// The extra reader of public messages on the first server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Nobody,
    /// One more client.
    Client,
    /// The other end of a link, which does no more than that client: it reads.
    Link,
}

/// What it costs the two servers, in nanoseconds of processor time.
pub struct CrossSample {
    /// The first server, for each message (its speaker gets it too).
    pub origin_ns: f64,
    /// The room with one more client, and with a link that is only read. Measured only while the servers are not
    /// merged.
    pub with_client_ns: f64,
    /// See `with_client_ns`.
    pub with_link_ns: f64,
    /// The second server, for each delivery.
    pub receiver_ns: f64,
}

/// Measures both servers at once. In every setting each of them is woken once for each burst, and finds the other
/// processor asleep when it writes: to wake that is dear, and must not be what differs.
pub fn cross(
    origin: &ServerUnderTest,
    receiver: &ServerUnderTest,
    plan: CrossPlan,
    setting: Setting,
) -> Result<CrossSample> {
    let meters = origin.meter.zip(receiver.meter);
    let (first, second) = meters.ok_or_else(|| Fault::Usage("this needs --pid and --second-pid".into()))?;
    // To open a stream says something, which a merged server would hear sooner or later.
    let here = Protocol::open(origin)?;
    let there = if setting == Setting::Merged {
        await_merge(&here, origin, receiver)?;
        here.clone()
    } else {
        Protocol::open(receiver)?
    };
    let mut connections = Connections::to(origin)?;
    let all = 1 + plan.members;
    connections.join(origin.address, 1, |member| here.hello(member, false))?;
    connections.join(receiver.address, plan.members, |member| there.hello(member, false))?;
    let mut streams = Streams::default();
    let spoken = if setting == Setting::Merged {
        vec![streams.add(here.public(0), 0, 0..all, false)]
    } else {
        let other = streams.add(there.public(1), 1, 1..all, false);
        vec![streams.add(here.public(0), 0, 0..1, false), other]
    };
    let mut bursts = |count| -> Result<()> {
        for _ in 0..count {
            for &stream in &spoken {
                streams.send(stream, plan.window, Instant::now(), connections.members())?;
                let mut nobody: [(usize, Pace); 0] = [];
                streams.drive(&mut connections, &mut nobody, &[], &mut nothing_else)?;
            }
        }
        Ok(())
    };
    let now = || {
        std::thread::sleep(Duration::from_millis(5));
        first.processor_ns().zip(second.processor_ns()).ok_or_else(|| Fault::Wrong("a server ended".into()))
    };
    let (warming, measured) = (plan.bursts / ROUNDS / 10 + 1, plan.bursts / ROUNDS + 1);
    let readers: &[Reader] = match setting {
        Setting::Apart => &[Reader::Nobody, Reader::Client, Reader::Link],
        Setting::Merged => &[Reader::Nobody],
    };
    let mut origin_ns = [0; 3];
    let mut receiver_ns = 0;
    for _ in 0..ROUNDS {
        for (&reader, origin_ns) in readers.iter().zip(&mut origin_ns) {
            let listener = match reader {
                Reader::Nobody => None,
                Reader::Client => Some(Listener::join(origin.address, &here)?),
                Reader::Link => Some(Listener::merge(origin.address)?),
            };
            bursts(warming)?;
            let before = now()?;
            bursts(measured)?;
            let after = now()?;
            *origin_ns += after.0 - before.0;
            receiver_ns += after.1 - before.1;
            if let Some(listener) = listener {
                listener.leave((warming + measured) * plan.window, here.public(0).delivered.len())?;
            }
        }
    }
    connections.turn_for(SURPLUS, &mut super::Silence)?;
    let messages = (ROUNDS * measured * plan.window) as f64;
    let [alone, with_client, with_link] = origin_ns.map(|ns| ns as f64 / messages);
    Ok(CrossSample {
        origin_ns: alone,
        with_client_ns: with_client,
        with_link_ns: with_link,
        receiver_ns: receiver_ns as f64 / (messages * (readers.len() * plan.members) as f64),
    })
}

/// A client, or a server that describes no server, with a thread of its own that reads. Waking a sleeping reader is a
/// large part of a delivery's cost. A member of the room is awake already, and would cost less than another server.
struct Listener {
    stream: TcpStream,
    /// What each message has in front, beside what a client gets.
    header_bytes: usize,
    thread: JoinHandle<io::Result<u64>>,
}

impl Listener {
    fn join(address: SocketAddr, protocol: &Protocol) -> Result<Listener> {
        let hello = protocol.hello(LISTENER, false);
        Listener::start(address, &hello.greeting, hello.answer.len(), 0)
    }

    fn merge(address: SocketAddr) -> Result<Listener> {
        let mut request = Vec::new();
        Packet::MrgReq { server: LINKED, siblings: Descriptions::default() }.encode(&mut request);
        // A request without descriptions gets an answer without descriptions.
        Listener::start(address, &request, request.len(), forward_header(LINKED).len())
    }

    fn start(address: SocketAddr, greeting: &[u8], answer_bytes: usize, header_bytes: usize) -> Result<Listener> {
        let mut stream = TcpStream::connect(address).doing("cannot connect a listener")?;
        stream.write_all(greeting).doing("cannot greet as a listener")?;
        stream.read_exact(&mut vec![0; answer_bytes]).doing("a listener got no answer")?;
        let mut reader = stream.try_clone().doing("cannot listen")?;
        let thread = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        Ok(Listener { stream, header_bytes, thread })
    }

    /// Ends it; it must have got so many messages of this size.
    fn leave(self, messages: u64, message_bytes: usize) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).doing("cannot leave")?;
        let read = self.thread.join().map_err(|_| Fault::Wrong("a listener panicked".into()))?;
        let bytes = read.doing("cannot listen")?;
        let expected_bytes = messages * (self.header_bytes + message_bytes) as u64;
        if bytes == expected_bytes {
            return Ok(());
        }
        Err(Fault::Wrong(format!("a listener got {bytes} bytes instead of {expected_bytes}")))
    }
}

/// Speaks on one server until a client of the other hears it.
fn await_merge(protocol: &Protocol, origin: &ServerUnderTest, receiver: &ServerUnderTest) -> Result<()> {
    let mut connections = Connections::to(origin)?;
    connections.join(origin.address, 1, |_| protocol.hello(SPEAKER, false))?;
    connections.join(receiver.address, 1, |_| protocol.hello(EAR, false))?;
    let Route { sent, delivered } = protocol.public(SPEAKER);
    let since = Instant::now();
    let mut ear = Ear { last: Vec::new(), has_heard: false };
    for number in 0.. {
        let mut message = Vec::new();
        sent.append(number, &mut message);
        ear.last.clear();
        delivered.append(number, &mut ear.last);
        connections.members().send(0, &message)?;
        connections.turn_for(TRY, &mut ear)?;
        if ear.has_heard {
            break;
        }
        if since.elapsed() > MERGE_MAX {
            return Err(Fault::Wrong("the two servers did not merge".into()));
        }
    }
    Ok(())
}

struct Ear {
    /// The last message that was sent.
    last: Vec<u8>,
    has_heard: bool,
}

impl Receiver for Ear {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], _at: Instant, _members: &mut Members) -> Result<()> {
        self.has_heard |= member == 1 && bytes.ends_with(&self.last);
        let kept = bytes.len().min(self.last.len());
        *bytes = if self.has_heard { &[] } else { bytes.get(bytes.len() - kept..).unwrap_or_default() };
        Ok(())
    }
}
