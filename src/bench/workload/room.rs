//! A room: every member gets what one member says.

use std::time::Instant;

use super::SURPLUS;
use crate::bench::Result;
use crate::bench::connections::{Connections, Members, Receiver};
use crate::bench::message::Frame;
use crate::bench::protocol::{Protocol, Route};
use crate::bench::report::{Latencies, Sample, Stopwatch, latencies, record};
use crate::bench::server::ServerUnderTest;

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub struct RoomPlan {
    /// The receivers of every message. The sender is one of them if the protocol allows it.
    pub members: usize,
    /// Messages sent in one write. The next ones follow when every member has got these.
    pub window: u64,
    /// How often.
    pub bursts: u64,
}

/// Measures the processor time for each delivery in nanoseconds.
pub fn room(server: &ServerUnderTest, plan: RoomPlan) -> Result<Sample> {
    let mut room = Room::open(server, plan.members)?;
    room.bursts(plan.window, plan.bursts / 10 + 1)?;
    room.state.latencies.reset();
    let stopwatch = Stopwatch::start(server);
    room.bursts(plan.window, plan.bursts)?;
    let deliveries = plan.bursts * plan.window * plan.members as u64;
    let sample = stopwatch.stop(deliveries, room.state.latencies.clone());
    room.connections.turn_for(SURPLUS, &mut room.state)?;
    Ok(sample)
}

/// Connections whose members are all in one room.
pub struct Room {
    /// Its connections.
    pub connections: Connections,
    /// What they have got.
    pub state: RoomState,
    publisher: usize,
    sent: Frame,
}

/// What the members have got so far.
pub struct RoomState {
    delivered: Frame,
    /// The next number for each member.
    next: Vec<u64>,
    /// The first number that was not sent.
    end: u64,
    /// Deliveries to come.
    pub outstanding: u64,
    /// Members that do not read.
    paused: usize,
    /// When each message was sent, or should have been.
    pub sent_at: SentAt,
    /// Of all deliveries.
    pub latencies: Latencies,
}

/// When messages were sent.
#[derive(Debug)]
pub enum SentAt {
    /// All that are under way at once.
    Together(Instant),
    /// Starts number `first` and those that follow, each at its own time.
    Each {
        /// The number sent first.
        first: u64,
        /// When it and the others were sent.
        times: Vec<Instant>,
    },
}

impl Room {
    /// Connects `members`, and a publisher behind them if the protocol needs one.
    pub fn open(server: &ServerUnderTest, members: usize) -> Result<Room> {
        let protocol = Protocol::open(server)?;
        let publisher = if protocol.has_separate_publisher() { members } else { 0 };
        let mut connections = Connections::to(server)?;
        connections
            .join(server.address, members.max(publisher + 1), |member| protocol.hello(member, member >= members))?;
        let Route { sent, delivered } = protocol.public(publisher);
        let state = RoomState {
            delivered,
            next: vec![0; members],
            end: 0,
            outstanding: 0,
            paused: 0,
            sent_at: SentAt::Together(Instant::now()),
            latencies: latencies(),
        };
        Ok(Room { connections, state, publisher, sent })
    }

    /// Appends the next `count` messages to `out` and expects them everywhere.
    pub fn append(&mut self, count: u64, out: &mut Vec<u8>) {
        for number in self.state.end..self.state.end + count {
            self.sent.append(number, out);
        }
        self.state.end += count;
        self.state.outstanding += count * (self.state.next.len() - self.state.paused) as u64;
    }

    /// Sends bytes made by [`append`](Room::append).
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.connections.members().send(self.publisher, bytes)
    }

    /// The number of the next message.
    pub fn next_number(&self) -> u64 {
        self.state.end
    }

    /// Sends a window of messages, waits for all deliveries, and again.
    pub fn bursts(&mut self, window: u64, bursts: u64) -> Result<()> {
        let mut bytes = Vec::new();
        for _ in 0..bursts {
            bytes.clear();
            self.append(window, &mut bytes);
            self.state.sent_at = SentAt::Together(Instant::now());
            self.send(&bytes)?;
            self.drain()?;
        }
        Ok(())
    }

    /// A member no longer reads, and no delivery to it is awaited.
    pub fn pause(&mut self, member: usize) -> Result<()> {
        self.state.paused += 1;
        self.connections.members().pause(member)
    }

    /// A member that was paused reads all that it has missed; [`drain`](Room::drain) waits for that.
    pub fn resume(&mut self, member: usize) -> Result<()> {
        let missed = self.state.next.get(member).map_or(0, |next| self.state.end - next);
        self.state.outstanding += missed;
        self.state.paused -= 1;
        self.connections.resume(member, &mut self.state)
    }

    /// Size of one delivery.
    pub fn delivered_bytes(&self) -> usize {
        self.state.delivered.len()
    }

    /// Waits for all deliveries.
    pub fn drain(&mut self) -> Result<()> {
        while self.state.outstanding > 0 {
            self.connections.turn_or_stall(&mut self.state)?;
        }
        Ok(())
    }
}

impl Receiver for RoomState {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], at: Instant, members: &mut Members) -> Result<()> {
        let Some(next) = self.next.get_mut(member) else {
            // A publisher of its own gets acknowledgements only.
            if !members.answer_ping(member, bytes)? {
                *bytes = &[];
            }
            return Ok(());
        };
        let first = *next;
        let count = members.take_all(member, &self.delivered, next, self.end, bytes)?;
        self.outstanding -= count;
        match &self.sent_at {
            SentAt::Together(sent_at) => record(&mut self.latencies, ns(at, *sent_at), count),
            SentAt::Each { first: number, times } => {
                let from = first.saturating_sub(*number) as usize;
                for sent_at in times.iter().skip(from).take(count as usize) {
                    record(&mut self.latencies, ns(at, *sent_at), 1);
                }
            }
        }
        Ok(())
    }
}

fn ns(later: Instant, earlier: Instant) -> u64 {
    later.saturating_duration_since(earlier).as_nanos() as u64
}
