//! Many clients log in at once.

use crate::bench::Result;
use crate::bench::connections::Connections;
use crate::bench::protocol::Protocol;
use crate::bench::report::{Sample, Stopwatch, latencies};
use crate::bench::server::ServerUnderTest;

/// Measures the processor time for each login in nanoseconds, the connection's acceptance included.
pub fn storm(server: &ServerUnderTest, logins: usize) -> Result<Sample> {
    let protocol = Protocol::open(server)?;
    let mut connections = Connections::to(server)?;
    let stopwatch = Stopwatch::start(server);
    connections.join(server.address, logins, |member| protocol.hello(member, false))?;
    Ok(stopwatch.stop(logins as u64, latencies()))
}
