//! Some members of a room stop reading for a while. This measures what they cost in memory.

use std::time::Duration;

use super::room::Room;
use crate::bench::report::figure;
use crate::bench::server::ServerUnderTest;
use crate::bench::{Fault, Result};
use crate::shell::stdio::complain;

/// Messages in one write.
const WINDOW: u64 = 256;
/// Bursts between two looks at the memory.
const BURSTS: u64 = 16;

/// How large.
#[derive(Debug, Clone, Copy)]
pub struct SlowPlan {
    /// Members of the room.
    pub members: usize,
    /// Members of the room that do not read.
    pub slow: usize,
    /// What each reader is sent, at most.
    pub bytes: u64,
}

/// Resident memory of the server while the room talks: lines of (bytes sent to each member, growth in bytes). Data that
/// the kernel does not take for the slow members waits in the server. It should grow by what was sent once, and not
/// once for each slow member. In the end they read all of it: none was closed, and nothing was lost.
pub fn slow(server: &ServerUnderTest, plan: SlowPlan) -> Result<Vec<(u64, f64)>> {
    let meter = server.meter.ok_or_else(|| Fault::Usage("memory needs --pid".into()))?;
    let mut room = Room::open(server, plan.members)?;
    room.bursts(WINDOW, 1)?;
    let slow = plan.members - plan.slow..plan.members;
    for member in slow.clone() {
        room.pause(member)?;
    }
    let resident = || meter.resident_bytes().map(|bytes| bytes as f64).ok_or(Fault::Wrong("the server ended".into()));
    let before = resident()?;
    let (mut sent, mut lines) = (0, Vec::new());
    while sent < plan.bytes {
        room.bursts(WINDOW, BURSTS)?;
        sent += WINDOW * BURSTS * room.delivered_bytes() as u64;
        std::thread::sleep(Duration::from_millis(20));
        let growth = resident()? - before;
        complain(&format!("{} bytes sent to each: {} bytes more\n", figure(sent as f64), figure(growth)));
        lines.push((sent, growth));
    }
    slow.clone().try_for_each(|member| room.resume(member))?;
    room.drain()?;
    Ok(lines)
}
