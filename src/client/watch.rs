//! Whether the server is still there. The protocol has no ping. So, while the server sends nothing, the client sends a
//! private message to a server that does not exist: its own server answers that with an ERROR at once (D13). Nobody gets
//! the message, and the ERROR is not shown.

use super::limits::{GAP_MS, GAP_UNACKNOWLEDGED_MS, GAP_WAIT_MS, PROBE_EVERY_MS, PROBE_FIRST_MS, PROBE_WAIT_MS};

/// What is known of one connection.
#[derive(Debug, Default)]
pub struct Watch {
    /// When bytes came last.
    heard_ms: u64,
    /// When the server was asked, and how long it may take.
    asked: Option<(u64, u64)>,
    /// The server has answered such a question before.
    answers: bool,
    /// Time has jumped, so the next question comes at once, and silence decides whatever the server did before.
    has_gap: bool,
    /// Time has jumped, and the kernel was not told yet.
    wants_haste: bool,
    /// When it was.
    hastened_ms: Option<u64>,
    ticked_ms: Option<u64>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// Nothing.
    Fine,
    /// Ask.
    Ask,
    /// The server is gone.
    Gone,
    /// Time has jumped while something is under way. An answer would wait behind that, on a slow line for long. But the
    /// kernel sees what is acknowledged: let it wait for that less long.
    Hasten,
    /// Let it wait as long as usual.
    Relax,
}

/// What is going on besides.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// What comes is read: nobody waits for the screen.
    pub is_reading: bool,
    /// Nothing of ours is under way that the server may be busy with.
    pub is_idle: bool,
    /// No other ERROR is to be expected.
    pub is_quiet: bool,
}

impl Watch {
    /// Bytes came.
    pub fn on_heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.asked = None;
        self.has_gap = false;
        self.wants_haste = false;
    }

    /// The answer to a question came.
    pub fn on_answer(&mut self) {
        self.answers = true;
    }

    /// Time passes. `now_ms` has to count the time of sleep, too.
    pub fn on_tick(&mut self, now_ms: u64, idle: Idle) -> Watched {
        let before_ms = self.ticked_ms.replace(now_ms).unwrap_or(now_ms);
        if now_ms.saturating_sub(before_ms) >= GAP_MS {
            self.has_gap = true;
            self.wants_haste = true;
            // What was asked before the gap could not be answered in it.
            self.asked = None;
        }
        if !idle.is_idle && std::mem::take(&mut self.wants_haste) {
            self.hastened_ms = Some(now_ms);
            return Watched::Hasten;
        }
        let is_over = |since_ms| now_ms.saturating_sub(since_ms) >= 2 * u64::from(GAP_UNACKNOWLEDGED_MS);
        if self.hastened_ms.is_some_and(is_over) {
            self.hastened_ms = None;
            return Watched::Relax;
        }
        if !idle.is_reading {
            // An answer may lie there, unread.
            self.heard_ms = now_ms;
            self.asked = None;
            return Watched::Fine;
        }
        if let Some((asked_ms, wait_ms)) = self.asked {
            let is_over = now_ms.saturating_sub(asked_ms) >= wait_ms;
            return if is_over && (self.answers || self.has_gap) { Watched::Gone } else { Watched::Fine };
        }
        let silent_ms = now_ms.saturating_sub(self.heard_ms);
        let due_ms = if self.answers { PROBE_EVERY_MS } else { PROBE_FIRST_MS };
        if idle.is_idle && (self.has_gap || (idle.is_quiet && silent_ms >= due_ms)) {
            self.asked = Some((now_ms, if self.has_gap { GAP_WAIT_MS } else { PROBE_WAIT_MS }));
            return Watched::Ask;
        }
        Watched::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(is_idle: bool) -> Idle {
        Idle { is_reading: true, is_idle, is_quiet: true }
    }

    /// Ticks once a second up to `to_ms`; when it said what.
    fn ticks(watch: &mut Watch, from_ms: u64, to_ms: u64, is_idle: bool) -> Vec<(u64, Watched)> {
        let times = (from_ms..to_ms).step_by(1000);
        times.map(|ms| (ms, watch.on_tick(ms, idle(is_idle)))).filter(|(_, what)| *what != Watched::Fine).collect()
    }

    #[test]
    fn a_silent_server_is_asked_and_gone_if_it_answered_before() {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, 0, 6_000, true), [(PROBE_FIRST_MS, Watched::Ask)]);
        watch.on_heard(6_000);
        watch.on_answer();
        let (asked, gone) = (6_000 + PROBE_EVERY_MS, 6_000 + PROBE_EVERY_MS + PROBE_WAIT_MS);
        assert_eq!(ticks(&mut watch, 6_000, gone + 500, true), [(asked, Watched::Ask), (gone, Watched::Gone)]);
    }

    #[test]
    fn a_server_that_never_answers_is_not_taken_for_gone() {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, 0, 1_000_000, true), [(PROBE_FIRST_MS, Watched::Ask)]);
    }

    #[test]
    fn after_a_sleep_it_is_asked_at_once_and_gone_within_ten_seconds() {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, 0, 2_000, true), []);
        let woken_ms = 3_600_000;
        let expected = [(woken_ms, Watched::Ask), (woken_ms + GAP_WAIT_MS, Watched::Gone)];
        assert_eq!(ticks(&mut watch, woken_ms, woken_ms + GAP_WAIT_MS + 500, true), expected);
        const { assert!(GAP_WAIT_MS < 9_000) };
        // It answers.
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, 0, 2_000, true), []);
        assert_eq!(watch.on_tick(woken_ms, idle(true)), Watched::Ask);
        watch.on_heard(woken_ms + 100);
        watch.on_answer();
        assert_eq!(ticks(&mut watch, woken_ms + 1000, woken_ms + 20_000, true), []);
    }

    #[test]
    fn while_the_screen_takes_nothing_silence_means_nothing() {
        let mut watch = Watch::default();
        watch.on_answer();
        let held = Idle { is_reading: false, ..idle(true) };
        assert!((0..600_000).step_by(1000).all(|ms| watch.on_tick(ms, held) == Watched::Fine));
    }

    #[test]
    fn a_busy_connection_is_not_asked() {
        assert_eq!(ticks(&mut Watch::default(), 0, 600_000, false), []);
    }

    #[test]
    fn after_a_sleep_the_kernel_waits_less_long_for_a_while_if_the_connection_is_busy() {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, 0, 2_000, false), []);
        let (woken_ms, haste_ms) = (3_600_000, 2 * u64::from(GAP_UNACKNOWLEDGED_MS));
        let expected = [(woken_ms, Watched::Hasten), (woken_ms + haste_ms, Watched::Relax)];
        assert_eq!(ticks(&mut watch, woken_ms, woken_ms + 600_000, false), expected);
        // Once nothing is under way, it is asked.
        assert_eq!(watch.on_tick(woken_ms + 600_000, idle(true)), Watched::Ask);
    }
}
