//! A room with so many messages a second, whether or not the last ones have arrived.

use std::time::{Duration, Instant};

use super::SURPLUS;
use super::room::{Room, SentAt};
use crate::bench::Result;
use crate::bench::report::{Sample, Stopwatch};
use crate::bench::subject::Subject;

/// Waiting is done by the kernel, whose timer counts milliseconds, until this is left; then by looking again and again.
const SPIN: Duration = Duration::from_millis(2);

/// How large, how fast and how long.
#[derive(Debug, Clone, Copy)]
pub struct PacedPlan {
    /// Who gets every message.
    pub members: usize,
    /// Messages sent in a second.
    pub rate: u64,
    /// Messages sent in all.
    pub messages: u64,
}

/// Measures the processor time for each delivery in nanoseconds.
pub fn paced(subject: &Subject, plan: PacedPlan) -> Result<Sample> {
    let mut room = Room::open(subject, plan.members)?;
    send_paced(&mut room, plan.rate, plan.messages / 10 + 1)?;
    room.state.latencies.reset();
    let stopwatch = Stopwatch::start(subject);
    send_paced(&mut room, plan.rate, plan.messages)?;
    let sample = stopwatch.stop(plan.messages * plan.members as u64, room.state.latencies.clone());
    room.crowd.turn_for(SURPLUS, &mut room.state)?;
    Ok(sample)
}

fn send_paced(room: &mut Room, rate: u64, messages: u64) -> Result<()> {
    let mut pace = Pace::new(Duration::from_nanos(1_000_000_000 / rate.max(1)), messages);
    let (start, interval_ns) = (pace.start, pace.interval.as_nanos() as u64);
    room.state.sent_at = SentAt::Paced { first: room.next_number(), start, interval_ns };
    let mut bytes = Vec::new();
    while !pace.is_over() {
        let due = pace.take_due(Instant::now());
        if due > 0 {
            bytes.clear();
            room.append(due, &mut bytes);
            room.send(&bytes)?;
        }
        room.crowd.turn(Some(pace.wait(Instant::now())), &mut room.state)?;
    }
    room.drain()
}

/// Says when something that happens in regular intervals is due.
pub struct Pace {
    /// When the first one is due.
    pub start: Instant,
    /// Between two.
    pub interval: Duration,
    taken: u64,
    count: u64,
}

impl Pace {
    /// From now on, `count` times.
    pub fn new(interval: Duration, count: u64) -> Pace {
        Pace { start: Instant::now(), interval, taken: 0, count }
    }

    /// Whether all were taken.
    pub fn is_over(&self) -> bool {
        self.taken >= self.count
    }

    /// How many are due now that were not taken before.
    pub fn take_due(&mut self, now: Instant) -> u64 {
        let elapsed_ns = now.saturating_duration_since(self.start).as_nanos() as u64;
        let due = (elapsed_ns / self.interval.as_nanos().max(1) as u64 + 1).min(self.count);
        let new = due.saturating_sub(self.taken);
        self.taken = due;
        new
    }

    /// When number `index`, counted from 0, is due.
    pub fn due_at(&self, index: u64) -> Instant {
        self.start + Duration::from_nanos(self.interval.as_nanos() as u64 * index)
    }

    /// How long the kernel may wait.
    pub fn wait(&self, now: Instant) -> Duration {
        let left = self.due_at(self.taken).saturating_duration_since(now);
        if left > SPIN { left - Duration::from_millis(1) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_due_at_once() {
        let mut pace = Pace::new(Duration::from_millis(10), 5);
        assert_eq!(pace.take_due(pace.start), 1);
        assert_eq!(pace.take_due(pace.start + Duration::from_millis(9)), 0);
        assert_eq!(pace.take_due(pace.start + Duration::from_millis(31)), 3);
        assert_eq!(pace.due_at(4), pace.start + Duration::from_millis(40));
        assert_eq!(pace.take_due(pace.start + Duration::from_secs(1)), 1);
        assert!(pace.is_over());
    }
}
