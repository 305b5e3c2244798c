//! Many clients log in at once.

use crate::bench::Result;
use crate::bench::connections::Connections;
use crate::bench::protocol::Protocol;
use crate::bench::report::{Sample, Stopwatch, latencies};
use crate::bench::server::ServerUnderTest;

/// Measures the processor time for each login in nanoseconds, the connection's acceptance included.
pub fn storm(subject: &ServerUnderTest, logins: usize) -> Result<Sample> {
    let protocol = Protocol::open(subject)?;
    let mut connections = Connections::to(subject)?;
    let stopwatch = Stopwatch::start(subject);
    connections.join(subject.address, logins, |member| protocol.hello(member, false))?;
    Ok(stopwatch.stop(logins as u64, latencies()))
}
