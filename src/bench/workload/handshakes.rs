//! Handshakes at a fixed rate from several addresses, while two clients write to each other. Each costs the server a
//! third of a millisecond, which cannot be divided.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::paced::Pace;
use super::streams::{Streams, nothing_else};
use crate::bench::connections::{Connections, STALL};
use crate::bench::protocol::Protocol;
use crate::bench::report::{Latencies, Sample, Stopwatch, latencies};
use crate::bench::server::ServerUnderTest;
use crate::bench::{Fault, Result};

/// Between two private messages.
const INTERVAL: Duration = Duration::from_millis(10);
/// Messages without handshakes, to compare with.
const QUIET_MESSAGES: u64 = 200;
/// Addresses from which the handshakes come.
const ADDRESSES: usize = 10;

/// How many.
#[derive(Debug, Clone, Copy)]
pub struct HandshakesPlan {
    /// In a second.
    pub rate: u64,
    /// In all.
    pub handshakes: u64,
}

/// What it gave.
pub struct HandshakesSample {
    /// Latencies of the pair's messages without handshakes.
    pub quiet: Latencies,
    /// Latencies beside them.
    pub beside: Latencies,
    /// The server's processor time for each handshake in nanoseconds (the pair's messages included), and how many were
    /// over in a second.
    pub sample: Sample,
}

/// Connects, shakes hands and hangs up, as often as the plan says.
pub fn handshakes(server: &ServerUnderTest, plan: HandshakesPlan) -> Result<HandshakesSample> {
    if server.dial.is_none() {
        return Err(Fault::Usage("handshakes: without --tls there are none".into()));
    }
    let protocol = Protocol::open(server)?;
    let mut connections = Connections::to(server)?;
    connections.join(server.address, 2, |member| protocol.hello(member, false))?;
    let mut streams = Streams::default();
    let pair = streams.add(protocol.private(0, 1), 0, 1..2, true);
    let mut quiet_paces = [(pair, Pace::new(INTERVAL, QUIET_MESSAGES))];
    streams.drive(&mut connections, &mut quiet_paces, &[], &mut nothing_else)?;
    let quiet = streams.stream(pair).map_or_else(latencies, |stream| stream.latencies.clone());
    streams.reset();

    let stopwatch = Stopwatch::start(server);
    let mut dials = Pace::new(Duration::from_nanos(1_000_000_000 / plan.rate.max(1)), plan.handshakes);
    let mut pair_pace = Pace::new(INTERVAL, u64::MAX);
    let (mut pending, mut addresses) = (VecDeque::new(), (1..=ADDRESSES as u8).cycle());
    let mut heard_at = Instant::now();
    while !dials.is_over() || !pending.is_empty() || streams.outstanding() > 0 {
        while dials.take(Instant::now()).is_some() {
            let local = SocketAddr::from((Ipv4Addr::new(127, 0, 1, addresses.next().unwrap_or(1)), 0));
            pending.push_back(connections.connect(Some(local), server.address)?);
        }
        if !dials.is_over()
            && let Some(due) = pair_pace.take(Instant::now())
        {
            streams.send(pair, 1, due, connections.members())?;
        }
        let now = Instant::now();
        let wait = if dials.is_over() { INTERVAL } else { dials.wait(now).min(pair_pace.wait(now)) };
        if streams.turn(&mut connections, wait)? > 0 {
            heard_at = Instant::now();
        } else if heard_at.elapsed() > STALL {
            return Err(Fault::Wrong(format!("{} handshakes are not over, and nothing comes", pending.len())));
        }
        // They are done in the order in which they came, or nearly.
        while let Some(member) =
            pending.front().copied().filter(|&member| !connections.members().is_handshaking(member))
        {
            connections.members().hang_up(member);
            pending.pop_front();
        }
    }
    let beside = streams.stream(pair).map_or_else(latencies, |stream| stream.latencies.clone());
    Ok(HandshakesSample { quiet, beside, sample: stopwatch.stop(plan.handshakes, latencies()) })
}
