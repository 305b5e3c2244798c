//! Many clients that are logged in and say nothing.

use std::time::{Duration, Instant};

use super::Silence;
use crate::bench::Result;
use crate::bench::connections::Connections;
use crate::bench::protocol::Protocol;
use crate::bench::report::{Sample, latencies};
use crate::bench::server::ServerUnderTest;

/// Memory is looked at so often, until it has not changed from one time to the next.
const STEADY_POLL: Duration = Duration::from_millis(100);
/// At most so many times.
const STEADY_POLLS_MAX: usize = 20;

/// Measures the resident memory for each of `members` in bytes.
pub fn idle(server: &ServerUnderTest, members: usize) -> Result<Sample> {
    let protocol = Protocol::open(server)?;
    let before = steady_bytes(server);
    let mut connections = Connections::to(server)?;
    let since = Instant::now();
    connections.join(server.address, members, |member| protocol.hello(member, false))?;
    let rate = members as f64 / since.elapsed().as_secs_f64();
    connections.turn_for(STEADY_POLL, &mut Silence)?;
    let after = steady_bytes(server);
    let cost = before.zip(after).map(|(before, after)| (after as f64 - before as f64) / members as f64);
    Ok(Sample { cost, rate, generator_ns: 0.0, latencies: latencies() })
}

fn steady_bytes(server: &ServerUnderTest) -> Option<u64> {
    let meter = server.meter?;
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
