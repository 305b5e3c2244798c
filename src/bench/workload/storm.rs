//! Everybody comes at once.

use crate::bench::Result;
use crate::bench::crowd::Crowd;
use crate::bench::dialect::Dialect;
use crate::bench::report::{Sample, Stopwatch, latencies};
use crate::bench::subject::Subject;

/// Measures the processor time for each login in nanoseconds, the connection's acceptance included.
pub fn storm(subject: &Subject, logins: usize) -> Result<Sample> {
    let dialect = Dialect::open(subject.language, subject.address)?;
    let mut crowd = Crowd::new()?;
    let stopwatch = Stopwatch::start(subject);
    crowd.join(subject.address, logins, |member| dialect.hello(member, false))?;
    Ok(stopwatch.stop(logins as u64, latencies()))
}
