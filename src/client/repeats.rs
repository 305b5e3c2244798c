//! Lines that the network causes again and again: the first are shown, the rest are counted.
//!
//! ```text
//!  * something did not arrive: nobody of that name is connected there              the first 8
//!  * something did not arrive: nobody of that name is connected there (and 8,000 more)
//! ```

use super::limits::{REPEATS_MAX, REPEATS_SHOWN, REPEATS_WINDOW_MAX_MS, REPEATS_WINDOW_MS};

/// What was said lately.
#[derive(Debug, Default)]
pub struct Repeats(Vec<Repeated>);

#[derive(Debug)]
struct Repeated {
    text: String,
    shown: u32,
    held_back: u64,
    /// When the number of held back lines is shown.
    due_ms: u64,
    window_ms: u64,
}

impl Repeats {
    /// A line is about to be shown. Returns whether to show it, and which line to show before it.
    pub fn on_line(&mut self, text: &str, now_ms: u64) -> (bool, Option<String>) {
        if let Some(known) = self.0.iter_mut().find(|known| known.text == text) {
            if known.shown < REPEATS_SHOWN {
                known.shown += 1;
                return (true, None);
            }
            known.held_back += 1;
            return (false, None);
        }
        let oldest = if self.0.len() >= REPEATS_MAX { Some(self.0.remove(0)) } else { None };
        let due_ms = now_ms + REPEATS_WINDOW_MS;
        self.0.push(Repeated { text: text.to_owned(), shown: 1, held_back: 0, due_ms, window_ms: REPEATS_WINDOW_MS });
        (true, oldest.and_then(|known| known.summary()))
    }

    /// The due line about held back ones. While they go on, it comes less and less often.
    pub fn on_time(&mut self, now_ms: u64) -> Vec<String> {
        let mut due = Vec::new();
        self.0.retain_mut(|known| {
            if now_ms < known.due_ms {
                return true;
            }
            due.extend(known.summary());
            known.window_ms = (known.window_ms * 2).min(REPEATS_WINDOW_MAX_MS);
            known.due_ms = now_ms + known.window_ms;
            // If nothing was held back, the run of equal lines is over.
            std::mem::take(&mut known.held_back) > 0
        });
        due
    }

    /// Everything that was held back.
    pub fn drain(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0).iter().filter_map(Repeated::summary).collect()
    }
}

impl Repeated {
    fn summary(&self) -> Option<String> {
        (self.held_back > 0).then(|| format!("{} (and {} more)", self.text, grouped(self.held_back)))
    }
}

/// A number as people write it: `8,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_counted_after_the_first_few() {
        let mut repeats = Repeats::default();
        let shown = (0..8008).filter(|_| repeats.on_line("x", 0).0).count();
        assert_eq!(shown, REPEATS_SHOWN as usize);
        assert_eq!(repeats.on_time(REPEATS_WINDOW_MS - 1), [""; 0]);
        assert_eq!(repeats.on_time(REPEATS_WINDOW_MS), ["x (and 8,000 more)"]);
        // It goes on, and is said half as often.
        assert!(!repeats.on_line("x", REPEATS_WINDOW_MS).0);
        assert_eq!(repeats.on_time(3 * REPEATS_WINDOW_MS - 1), [""; 0]);
        assert_eq!(repeats.on_time(3 * REPEATS_WINDOW_MS), ["x (and 1 more)"]);
        // It has paused, so it is new again.
        assert_eq!(repeats.on_time(1_000_000), [""; 0]);
        assert!(repeats.on_line("x", 1_000_000).0);
    }

    #[test]
    fn lines_that_take_turns_are_counted_each_and_many_kinds_take_no_memory() {
        let mut repeats = Repeats::default();
        for _ in 0..100 {
            repeats.on_line("x", 0);
            repeats.on_line("y", 0);
        }
        assert_eq!(repeats.drain(), ["x (and 92 more)", "y (and 92 more)"]);
        for _ in 0..10 {
            repeats.on_line("first", 0);
        }
        let summaries: Vec<String> = (0..1000).filter_map(|number| repeats.on_line(&number.to_string(), 0).1).collect();
        assert_eq!(summaries, ["first (and 2 more)"]);
        assert_eq!(repeats.0.len(), REPEATS_MAX);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
