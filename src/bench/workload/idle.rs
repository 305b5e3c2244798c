//! Many who are logged in and say nothing.

use std::time::{Duration, Instant};

use super::Silence;
use crate::bench::Result;
use crate::bench::crowd::Crowd;
use crate::bench::dialect::Dialect;
use crate::bench::report::{Sample, latencies};
use crate::bench::subject::Subject;

/// Memory is looked at so often, until it has not changed from one time to the next.
const STEADY_POLL: Duration = Duration::from_millis(100);
/// At most so many times.
const STEADY_POLLS_MAX: usize = 20;

/// Measures the resident memory for each of `members` in bytes.
pub fn idle(subject: &Subject, members: usize) -> Result<Sample> {
    let dialect = Dialect::open(subject.language, subject.address)?;
    let before = steady_bytes(subject);
    let mut crowd = Crowd::new()?;
    let since = Instant::now();
    crowd.join(subject.address, members, |member| dialect.hello(member, false))?;
    let rate = members as f64 / since.elapsed().as_secs_f64();
    crowd.turn_for(STEADY_POLL, &mut Silence)?;
    let after = steady_bytes(subject);
    let cost = before.zip(after).map(|(before, after)| (after as f64 - before as f64) / members as f64);
    Ok(Sample { cost, rate, generator_ns: 0.0, latencies: latencies() })
}

fn steady_bytes(subject: &Subject) -> Option<u64> {
    let meter = subject.meter?;
    let mut bytes = meter.resident_bytes()?;
    for _ in 0..STEADY_POLLS_MAX {
        std::thread::sleep(STEADY_POLL);
        let again = meter.resident_bytes()?;
        if again == bytes {
            break;
        }
        bytes = again;
    }
    Some(bytes)
}
