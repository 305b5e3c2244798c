//! One client floods. What do the others notice?

use std::time::{Duration, Instant};

use super::lanes::{Flood, Lanes, nothing_else};
use super::paced::Pace;
use crate::bench::Result;
use crate::bench::crowd::Crowd;
use crate::bench::dialect::Dialect;
use crate::bench::report::{Latencies, latencies};
use crate::bench::subject::Subject;

/// Messages written at once: about 64 KiB.
const BATCH: u64 = 700;
/// Messages of the flooder that may be under way: more than its sockets hold.
const UNDER_WAY_MAX: u64 = 64 * 1024;
/// In public: about 90 KiB for each receiver, so that the generator is no slow reader.
const PUBLIC_UNDER_WAY_MAX: u64 = 1024;
/// What others do who have much to say too.
const OTHERS: usize = 5;
/// The pair that is looked at, the flooder and who it writes to.
const FIRST_OTHER: usize = 4;

/// What it gave: latencies of one private message every 10 ms between two clients, and rates.
pub struct FairnessSample {
    /// Nobody else says anything.
    pub quiet: Latencies,
    /// A third client floods a fourth in private.
    pub private_flood: Latencies,
    /// Its messages in a second.
    pub private_rate: f64,
    /// A third client floods everybody in public.
    pub public_flood: Latencies,
    /// Its messages in a second.
    pub public_rate: f64,
    /// Others write in private too, as fast as their sockets take it.
    pub all_flood: Latencies,
    /// The flooder's messages in a second.
    pub share_of_flooder: f64,
    /// The same of each of the others, on average.
    pub share_of_others: f64,
}

/// Measures each for so many private messages.
pub fn fairness(subject: &Subject, messages: u64) -> Result<FairnessSample> {
    let dialect = Dialect::open(subject.language, subject.address)?;
    let mut crowd = Crowd::new()?;
    let all = FIRST_OTHER + 2 * OTHERS;
    crowd.join(subject.address, all, |member| dialect.hello(member, false))?;
    let mut lanes = Lanes::default();
    let pair = lanes.add(dialect.private(0, 1), 0, 1..2, true);
    let private = lanes.add(dialect.private(2, 3), 2, 3..4, false);
    let public = lanes.add(dialect.public(2), 2, 0..all, false);
    let private_flood = Flood { lane: private, batch: BATCH, under_way_max: UNDER_WAY_MAX };
    let public_flood = Flood { lane: public, batch: BATCH, under_way_max: PUBLIC_UNDER_WAY_MAX };
    let mut floods = vec![private_flood];
    for other in 0..OTHERS {
        let sender = FIRST_OTHER + 2 * other;
        let lane = lanes.add(dialect.private(sender, sender + 1), sender, sender + 1..sender + 2, false);
        floods.push(Flood { lane, ..private_flood });
    }
    let mut part = |floods: &[Flood]| -> Result<(Latencies, Vec<f64>)> {
        lanes.reset();
        let since = Instant::now();
        let mut paced = [(pair, Pace::new(Duration::from_millis(10), messages))];
        lanes.drive(&mut crowd, &mut paced, floods, &mut nothing_else)?;
        let seconds = since.elapsed().as_secs_f64();
        let rate = |flood: &Flood| lanes.lane(flood.lane).map_or(0.0, |lane| lane.delivered as f64 / seconds);
        let rates = floods.iter().map(rate).collect();
        Ok((lanes.lane(pair).map_or_else(latencies, |lane| lane.latencies.clone()), rates))
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
