//! One client floods. What do the others notice?

use std::time::{Duration, Instant};

use super::paced::Pace;
use super::streams::{Flood, Streams, nothing_else};
use crate::bench::Result;
use crate::bench::connections::Connections;
use crate::bench::protocol::Protocol;
use crate::bench::report::{Latencies, latencies};
use crate::bench::server::ServerUnderTest;

/// Messages written at once: about 64 KiB.
const BATCH: u64 = 700;
/// Messages of the flooder that may be under way: more than its sockets hold.
const UNDER_WAY_MAX: u64 = 64 * 1024;
/// For public messages: about 90 KiB for each receiver, so that the generator is no slow reader.
const PUBLIC_UNDER_WAY_MAX: u64 = 1024;
/// The other clients' load.
const OTHERS: usize = 5;
/// The pair under test, the flooder and the receiver of its messages.
const FIRST_OTHER: usize = 4;

/// What it gave: latencies of one private message every 10 ms between two clients, and rates.
pub struct FairnessSample {
    /// No other client sends anything.
    pub quiet: Latencies,
    /// A third client floods a fourth in private.
    pub private_flood: Latencies,
    /// Its messages in a second.
    pub private_rate: f64,
    /// A third client floods the room with public messages.
    pub public_flood: Latencies,
    /// Its messages in a second.
    pub public_rate: f64,
    /// Others write in private too, as fast as their sockets take it.
    pub all_flood: Latencies,
    /// The flooder's messages in a second.
    pub share_of_flooder: f64,
    /// The same figure for each of the other clients, on average.
    pub share_of_others: f64,
}

/// Measures each for so many private messages.
pub fn fairness(server: &ServerUnderTest, messages: u64) -> Result<FairnessSample> {
    let protocol = Protocol::open(server)?;
    let mut connections = Connections::to(server)?;
    let all = FIRST_OTHER + 2 * OTHERS;
    connections.join(server.address, all, |member| protocol.hello(member, false))?;
    let mut streams = Streams::default();
    let pair = streams.add(protocol.private(0, 1), 0, 1..2, true);
    let private = streams.add(protocol.private(2, 3), 2, 3..4, false);
    let public = streams.add(protocol.public(2), 2, 0..all, false);
    let private_flood = Flood { stream: private, batch: BATCH, under_way_max: UNDER_WAY_MAX };
    let public_flood = Flood { stream: public, batch: BATCH, under_way_max: PUBLIC_UNDER_WAY_MAX };
    let mut floods = vec![private_flood];
    for other in 0..OTHERS {
        let sender = FIRST_OTHER + 2 * other;
        let stream = streams.add(protocol.private(sender, sender + 1), sender, sender + 1..sender + 2, false);
        floods.push(Flood { stream, ..private_flood });
    }
    let mut part = |floods: &[Flood]| -> Result<(Latencies, Vec<f64>)> {
        streams.reset();
        let since = Instant::now();
        let mut paced = [(pair, Pace::new(Duration::from_millis(10), messages))];
        streams.drive(&mut connections, &mut paced, floods, &mut nothing_else)?;
        let seconds = since.elapsed().as_secs_f64();
        let rate = |flood: &Flood| streams.stream(flood.stream).map_or(0.0, |stream| stream.delivered as f64 / seconds);
        let rates = floods.iter().map(rate).collect();
        Ok((streams.stream(pair).map_or_else(latencies, |stream| stream.latencies.clone()), rates))
    };
    let first = |rates: &[f64]| rates.first().copied().unwrap_or_default();
    let (quiet, _) = part(&[])?;
    let (private_flood, private_rates) = part(&[private_flood])?;
    let (public_flood, public_rates) = part(&[public_flood])?;
    let (all_flood, shares) = part(&floods)?;
    Ok(FairnessSample {
        quiet,
        private_flood,
        private_rate: first(&private_rates),
        public_flood,
        public_rate: first(&public_rates) / all as f64,
        all_flood,
        share_of_flooder: first(&shares),
        share_of_others: shares.iter().skip(1).sum::<f64>() / OTHERS as f64,
    })
}
