//! Two merged servers: one client speaks on the first, many listen on the second. And, to compare with, two servers
//! that are not merged and do as much.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SURPLUS;
use super::lanes::{Lanes, nothing_else};
use super::paced::Pace;
use crate::bench::crowd::{Audience, Crowd, Members};
use crate::bench::dialect::{Dialect, Route};
use crate::bench::subject::Subject;
use crate::bench::{Doing, Fault, Result};

/// The two servers must have merged within this.
const MERGE_MAX: Duration = Duration::from_secs(10);
/// Numbers of nicknames that no member of the crowd has: one more client, and who finds out about the merge.
const LISTENER: usize = 99_998;
const SPEAKER: usize = 99_997;
const EAR: usize = 99_996;
/// How often the speaker tries until somebody on the other server hears it.
const TRY: Duration = Duration::from_millis(50);

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub struct CrossPlan {
    /// Who listens on the second server.
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
    /// The same, and the first server has one more client.
    ApartWithClient,
    /// They are merged: a client of the first speaks.
    Merged,
}

/// What it costs the two servers, in nanoseconds of processor time.
pub struct CrossSample {
    /// The first server, for each message (its speaker gets it too).
    pub origin_ns: f64,
    /// The second server, for each delivery.
    pub receiver_ns: f64,
}

/// Measures both servers at once. In every setting each of them is woken once for each burst, and finds the other
/// processor asleep when it writes: to wake that is dear, and must not be what differs.
pub fn cross(origin: &Subject, receiver: &Subject, plan: CrossPlan, setting: Setting) -> Result<CrossSample> {
    let meters = origin.meter.zip(receiver.meter);
    let (first, second) = meters.ok_or_else(|| Fault::Usage("this needs --pid and --second-pid".into()))?;
    // To open a dialect says something, which a merged server would hear sooner or later.
    let here = Dialect::open(origin.language, origin.address)?;
    let there = if setting == Setting::Merged {
        await_merge(&here, origin, receiver)?;
        here.clone()
    } else {
        Dialect::open(receiver.language, receiver.address)?
    };
    let mut crowd = Crowd::new()?;
    let all = 1 + plan.members;
    crowd.join(origin.address, 1, |member| here.hello(member, false))?;
    crowd.join(receiver.address, plan.members, |member| there.hello(member, false))?;
    let mut lanes = Lanes::default();
    let spoken = if setting == Setting::Merged {
        vec![lanes.add(here.public(0), 0, 0..all, false)]
    } else {
        let other = lanes.add(there.public(1), 1, 1..all, false);
        vec![lanes.add(here.public(0), 0, 0..1, false), other]
    };
    let listener =
        if setting == Setting::ApartWithClient { Some(Listener::join(origin.address, &here)?) } else { None };
    let mut bursts = |count| -> Result<()> {
        for _ in 0..count {
            for &lane in &spoken {
                lanes.send(lane, plan.window, Instant::now(), crowd.members())?;
                let mut nobody: [(usize, Pace); 0] = [];
                lanes.drive(&mut crowd, &mut nobody, &[], &mut nothing_else)?;
            }
        }
        Ok(())
    };
    bursts(plan.bursts / 10 + 1)?;
    let now = || {
        std::thread::sleep(Duration::from_millis(5));
        first.processor_ns().zip(second.processor_ns()).ok_or_else(|| Fault::Wrong("a server ended".into()))
    };
    let before = now()?;
    bursts(plan.bursts)?;
    let after = now()?;
    crowd.turn_for(SURPLUS, &mut super::Silence)?;
    if let Some(listener) = listener {
        let bursts = plan.bursts / 10 + 1 + plan.bursts;
        listener.leave(bursts * plan.window * here.public(0).delivered.len() as u64)?;
    }
    let messages = (plan.bursts * plan.window) as f64;
    Ok(CrossSample {
        origin_ns: (after.0 - before.0) as f64 / messages,
        receiver_ns: (after.1 - before.1) as f64 / (messages * plan.members as f64),
    })
}

/// A client with a thread of its own. To wake one who sleeps is a large part of what a delivery costs: a member of the
/// crowd, which is awake already, would cost less than another server.
struct Listener {
    stream: TcpStream,
    thread: JoinHandle<io::Result<u64>>,
}

impl Listener {
    fn join(address: SocketAddr, dialect: &Dialect) -> Result<Listener> {
        let mut stream = TcpStream::connect(address).doing("cannot connect a listener")?;
        let hello = dialect.hello(LISTENER, false);
        stream.write_all(&hello.greeting).doing("cannot log a listener in")?;
        stream.read_exact(&mut vec![0; hello.answer.len()]).doing("cannot log a listener in")?;
        let mut reader = stream.try_clone().doing("cannot listen")?;
        let thread = std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        Ok(Listener { stream, thread })
    }

    fn leave(self, expected_bytes: u64) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).doing("cannot leave")?;
        let read = self.thread.join().map_err(|_| Fault::Wrong("a listener panicked".into()))?;
        let bytes = read.doing("cannot listen")?;
        if bytes == expected_bytes {
            return Ok(());
        }
        Err(Fault::Wrong(format!("a listener got {bytes} bytes instead of {expected_bytes}")))
    }
}

/// Speaks on the one until the last of it is heard on the other.
fn await_merge(dialect: &Dialect, origin: &Subject, receiver: &Subject) -> Result<()> {
    let mut crowd = Crowd::new()?;
    crowd.join(origin.address, 1, |_| dialect.hello(SPEAKER, false))?;
    crowd.join(receiver.address, 1, |_| dialect.hello(EAR, false))?;
    let Route { sent, delivered } = dialect.public(SPEAKER);
    let since = Instant::now();
    let mut ear = Ear { last: Vec::new(), has_heard: false };
    for number in 0.. {
        let mut message = Vec::new();
        sent.append(number, &mut message);
        ear.last.clear();
        delivered.append(number, &mut ear.last);
        crowd.members().send(0, &message)?;
        crowd.turn_for(TRY, &mut ear)?;
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

impl Audience for Ear {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], _at: Instant, _members: &mut Members) -> Result<()> {
        self.has_heard |= member == 1 && bytes.ends_with(&self.last);
        let kept = bytes.len().min(self.last.len());
        *bytes = if self.has_heard { &[] } else { bytes.get(bytes.len() - kept..).unwrap_or_default() };
        Ok(())
    }
}
