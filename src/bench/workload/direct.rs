//! Pairs: one writes to the other in private.

use std::time::Instant;

use super::{SURPLUS, Silence};
use crate::bench::Result;
use crate::bench::connections::{Connections, Members, Receiver};
use crate::bench::protocol::{Protocol, Route};
use crate::bench::report::{Latencies, Sample, Stopwatch, latencies, record};
use crate::bench::server::ServerUnderTest;

/// How many and how long.
#[derive(Debug, Clone, Copy)]
pub struct DirectPlan {
    /// Pairs of a sender and a receiver.
    pub pairs: usize,
    /// Logged in besides, and silent.
    pub idle: usize,
    /// Messages that each sender sends in one write; the next ones when its receiver has got them all.
    pub window: u64,
    /// Messages of all senders together.
    pub messages: u64,
}

/// Measures the processor time for each message in nanoseconds.
pub fn direct(server: &ServerUnderTest, plan: DirectPlan) -> Result<Sample> {
    let protocol = Protocol::open(server)?;
    let is_separate = protocol.has_separate_publisher();
    let mut connections = Connections::to(server)?;
    connections.join(server.address, 2 * plan.pairs + plan.idle, |member| {
        protocol.hello(member, is_separate && member % 2 == 0 && member < 2 * plan.pairs)
    })?;
    let mut state = DirectState {
        pairs: (0..plan.pairs).map(|pair| Pair::new(protocol.private(2 * pair, 2 * pair + 1))).collect(),
        window: plan.window,
        left: 0,
        outstanding: 0,
        is_separate,
        latencies: latencies(),
        bytes: Vec::new(),
    };
    run(&mut connections, &mut state, plan.messages / 10 + 1)?;
    state.latencies.reset();
    let stopwatch = Stopwatch::start(server);
    let messages = run(&mut connections, &mut state, plan.messages)?;
    let sample = stopwatch.stop(messages, state.latencies.clone());
    connections.turn_for(SURPLUS, &mut state)?;
    Ok(sample)
}

/// Sends `messages`, rounded up to whole windows, and waits for them. Returns how many they were.
fn run(connections: &mut Connections, state: &mut DirectState, messages: u64) -> Result<u64> {
    let whole = messages.div_ceil(state.window) * state.window;
    state.left = whole;
    for pair in 0..state.pairs.len() {
        state.send(pair, connections.members())?;
    }
    while state.outstanding > 0 {
        connections.turn_or_stall(state)?;
    }
    Ok(whole)
}

struct DirectState {
    pairs: Vec<Pair>,
    window: u64,
    /// Messages that may still be sent.
    left: u64,
    /// Deliveries to come.
    outstanding: u64,
    is_separate: bool,
    latencies: Latencies,
    bytes: Vec<u8>,
}

struct Pair {
    route: Route,
    next: u64,
    end: u64,
    sent_at: Instant,
}

impl Pair {
    fn new(route: Route) -> Pair {
        Pair { route, next: 0, end: 0, sent_at: Instant::now() }
    }
}

impl DirectState {
    fn send(&mut self, index: usize, members: &mut Members) -> Result<()> {
        let Some(pair) = self.pairs.get_mut(index).filter(|_| self.left > 0) else { return Ok(()) };
        self.bytes.clear();
        for number in pair.end..pair.end + self.window {
            pair.route.sent.append(number, &mut self.bytes);
        }
        pair.end += self.window;
        self.left -= self.window;
        self.outstanding += self.window;
        pair.sent_at = Instant::now();
        members.send(2 * index, &self.bytes)
    }
}

impl Receiver for DirectState {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], at: Instant, members: &mut Members) -> Result<()> {
        let index = member / 2;
        let receives = member % 2 == 1;
        let Some(pair) = self.pairs.get_mut(index).filter(|_| receives) else {
            // A sender of other languages gets acknowledgements.
            if !self.is_separate {
                return Silence.on_bytes(member, bytes, at, members);
            }
            if !members.answer_ping(member, bytes)? {
                *bytes = &[];
            }
            return Ok(());
        };
        let count = members.take_all(member, &pair.route.delivered, &mut pair.next, pair.end, bytes)?;
        self.outstanding -= count;
        let ns = at.saturating_duration_since(pair.sent_at).as_nanos() as u64;
        record(&mut self.latencies, ns, count);
        if pair.next == pair.end && count > 0 { self.send(index, members) } else { Ok(()) }
    }
}
