//! A room with a fixed number of messages a second, whether or not the last ones have arrived.

use std::time::{Duration, Instant};

use super::SURPLUS;
use super::room::{Room, SentAt};
use crate::bench::Result;
use crate::bench::report::{Sample, Stopwatch};
use crate::bench::server::ServerUnderTest;

/// Waiting is done by the kernel, whose timer counts milliseconds, until this is left; then by looking again and again.
const SPIN: Duration = Duration::from_millis(2);

/// How large, how fast and how long.
#[derive(Debug, Clone, Copy)]
pub struct PacedPlan {
    /// The receivers of every message.
    pub members: usize,
    /// Messages sent in a second.
    pub rate: u64,
    /// Messages sent in all.
    pub messages: u64,
}

/// Measures the processor time for each delivery in nanoseconds.
pub fn paced(server: &ServerUnderTest, plan: PacedPlan) -> Result<Sample> {
    let mut room = Room::open(server, plan.members)?;
    send_paced(&mut room, plan.rate, plan.messages / 10 + 1)?;
    room.state.latencies.reset();
    let stopwatch = Stopwatch::start(server);
    send_paced(&mut room, plan.rate, plan.messages)?;
    let sample = stopwatch.stop(plan.messages * plan.members as u64, room.state.latencies.clone());
    room.connections.turn_for(SURPLUS, &mut room.state)?;
    Ok(sample)
}

fn send_paced(room: &mut Room, rate: u64, messages: u64) -> Result<()> {
    let mut pace = Pace::new(Duration::from_nanos(1_000_000_000 / rate.max(1)), messages);
    room.state.sent_at = SentAt::Each { first: room.next_number(), times: Vec::new() };
    let mut bytes = Vec::new();
    while !pace.is_over() {
        if let Some(due) = pace.take(Instant::now()) {
            if let SentAt::Each { times, .. } = &mut room.state.sent_at {
                times.push(due);
            }
            bytes.clear();
            room.append(1, &mut bytes);
            room.send(&bytes)?;
        }
        room.connections.turn(Some(pace.wait(Instant::now())), &mut room.state)?;
    }
    room.drain()
}

/// Says when something that happens in regular intervals is due.
///
/// It does not wait for answers, so a slow server is not spared. But if the generator itself was held up, what it
/// missed is put off and not sent in one lump, which would be another workload.
pub struct Pace {
    due: Instant,
    interval: Duration,
    left: u64,
}

impl Pace {
    /// From now on, `count` times.
    pub fn new(interval: Duration, count: u64) -> Pace {
        Pace { due: Instant::now(), interval, left: count }
    }

    /// Whether all were taken.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The time at which the next one was due, if it is by now.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        if now < self.due || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let is_late = now >= self.due + self.interval;
        let due = if is_late { now } else { self.due };
        self.due = due + self.interval;
        Some(due)
    }

    /// How long the kernel may wait.
    pub fn wait(&self, now: Instant) -> Duration {
        let left = self.due.saturating_duration_since(now);
        if left > SPIN { left - Duration::from_millis(1) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_put_off() {
        let mut pace = Pace::new(Duration::from_millis(10), 3);
        let (start, ms) = (pace.due, Duration::from_millis);
        assert_eq!(pace.take(start + ms(1)), Some(start));
        assert_eq!(pace.take(start + ms(9)), None);
        assert_eq!(pace.take(start + ms(35)), Some(start + ms(35)));
        assert_eq!(pace.take(start + ms(44)), None);
        assert_eq!(pace.take(start + ms(46)), Some(start + ms(45)));
        assert!(pace.is_over());
    }
}
