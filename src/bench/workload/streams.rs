//! Several streams of messages at once: the sender and the receivers of each, and what has arrived. For workloads in
//! which different things happen side by side.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::paced::Pace;
use crate::bench::connections::{Connections, Members, Receiver};
use crate::bench::message::describe;
use crate::bench::protocol::Route;
use crate::bench::report::{Latencies, latencies, record};
use crate::bench::{Fault, Result};

/// One stream.
pub struct Stream {
    route: Route,
    sender: usize,
    receivers: Range<usize>,
    /// The next number for each receiver.
    next: Vec<u64>,
    end: u64,
    /// When each message was sent; empty if latencies are not wanted.
    sent_at: Option<Vec<Instant>>,
    /// Deliveries to come.
    outstanding: u64,
    /// Deliveries so far.
    pub delivered: u64,
    /// Of all deliveries.
    pub latencies: Latencies,
}

/// All streams of a run.
#[derive(Default)]
pub struct Streams {
    streams: Vec<Stream>,
    bytes: Vec<u8>,
}

/// A stream whose sender sends as fast as its socket takes it.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Index of the stream.
    pub stream: usize,
    /// Messages written at once.
    pub batch: u64,
    /// No more is written while so many deliveries for each receiver are outstanding: what the generator itself has
    /// not read yet must not make it a slow reader.
    pub under_way_max: u64,
}

impl Streams {
    /// Adds a stream and returns its index. `is_timed`: latencies are wanted, and the time of each message is kept.
    pub fn add(&mut self, route: Route, sender: usize, receivers: Range<usize>, is_timed: bool) -> usize {
        self.streams.push(Stream {
            route,
            sender,
            next: vec![0; receivers.len()],
            receivers,
            end: 0,
            sent_at: is_timed.then(Vec::new),
            outstanding: 0,
            delivered: 0,
            latencies: latencies(),
        });
        self.streams.len() - 1
    }

    /// A stream.
    pub fn stream(&self, index: usize) -> Option<&Stream> {
        self.streams.get(index)
    }

    /// Forgets latencies and counts, but not messages under way.
    pub fn reset(&mut self) {
        for stream in &mut self.streams {
            stream.latencies.reset();
            stream.delivered = 0;
        }
    }

    /// Deliveries to come.
    pub fn outstanding(&self) -> u64 {
        self.streams.iter().map(|stream| stream.outstanding).sum()
    }

    /// Sends the next `count` messages of a stream in one write.
    pub fn send(&mut self, index: usize, count: u64, at: Instant, members: &mut Members) -> Result<()> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        self.bytes.clear();
        for number in stream.end..stream.end + count {
            stream.route.sent.append(number, &mut self.bytes);
        }
        stream.end += count;
        stream.outstanding += count * stream.receivers.len() as u64;
        if let Some(times) = &mut stream.sent_at {
            times.extend((0..count).map(|_| at));
        }
        members.send(stream.sender, &self.bytes)
    }

    /// Sends the messages of each of `paced` when they are due, and floods, until the first of `paced` is over. Then
    /// waits for the messages under way.
    pub fn drive(
        &mut self,
        connections: &mut Connections,
        paced: &mut [(usize, Pace)],
        floods: &[Flood],
        audience: &mut impl FnMut(&mut Streams, usize, &mut &[u8]) -> Result<bool>,
    ) -> Result<()> {
        while !paced.first().is_none_or(|(_, pace)| pace.is_over()) {
            let mut wait = Duration::from_millis(100);
            for (stream, pace) in paced.iter_mut() {
                if let Some(due) = pace.take(Instant::now()) {
                    self.send(*stream, 1, due, connections.members())?;
                }
                wait = wait.min(pace.wait(Instant::now()));
            }
            for flood in floods {
                if self.may_flood(flood, connections.members()) {
                    self.send(flood.stream, flood.batch, Instant::now(), connections.members())?;
                    wait = Duration::ZERO;
                }
            }
            connections.turn(Some(wait), &mut With { streams: self, first: audience })?;
        }
        while self.outstanding() > 0 {
            connections.turn_or_stall(&mut With { streams: self, first: audience })?;
        }
        Ok(())
    }

    /// Waits for what comes, `wait` at most. Returns how many events there were.
    pub fn turn(&mut self, connections: &mut Connections, wait: Duration) -> Result<usize> {
        connections.turn(Some(wait), &mut With { streams: self, first: &mut nothing_else })
    }

    fn may_flood(&self, flood: &Flood, members: &Members) -> bool {
        self.streams.get(flood.stream).is_some_and(|stream| {
            let receivers = stream.receivers.len().max(1) as u64;
            stream.outstanding / receivers < flood.under_way_max && !members.is_blocked(stream.sender)
        })
    }

    /// What comes for a member must belong to one of the streams.
    pub fn receive(&mut self, member: usize, bytes: &mut &[u8], at: Instant) -> Result<()> {
        loop {
            let before = bytes.len();
            for stream in self.streams.iter_mut().filter(|stream| stream.receivers.contains(&member)) {
                stream.take(member, bytes, at)?;
            }
            if bytes.len() == before || bytes.is_empty() {
                break;
            }
        }
        let mut streams = self.streams.iter().filter(|stream| stream.receivers.contains(&member));
        if bytes.is_empty() || streams.any(|stream| stream.route.delivered.is_start_of(bytes)) {
            return Ok(());
        }
        Err(Fault::Wrong(format!("expected a delivery, got {}", describe(bytes))))
    }
}

/// Nothing comes but what the streams bring.
pub fn nothing_else(_: &mut Streams, _: usize, _: &mut &[u8]) -> Result<bool> {
    Ok(false)
}

impl Stream {
    fn take(&mut self, member: usize, bytes: &mut &[u8], at: Instant) -> Result<()> {
        let Some(next) = self.next.get_mut(member - self.receivers.start) else { return Ok(()) };
        let first = *next;
        let count = self.route.delivered.take(next, self.end, bytes)?;
        self.outstanding -= count;
        self.delivered += count;
        if let Some(times) = &self.sent_at {
            for sent_at in times.iter().skip(first as usize).take(count as usize) {
                let ns = at.saturating_duration_since(*sent_at).as_nanos() as u64;
                record(&mut self.latencies, ns, 1);
            }
        }
        Ok(())
    }
}

/// The streams, and a reader that looks at each event first and says whether it took it.
struct With<'a, F> {
    streams: &'a mut Streams,
    first: &'a mut F,
}

impl<F: FnMut(&mut Streams, usize, &mut &[u8]) -> Result<bool>> Receiver for With<'_, F> {
    fn on_bytes(&mut self, member: usize, bytes: &mut &[u8], at: Instant, _members: &mut Members) -> Result<()> {
        if (self.first)(self.streams, member, bytes)? { Ok(()) } else { self.streams.receive(member, bytes, at) }
    }
}
