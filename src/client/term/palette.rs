//! Colours of people: the last few who spoke all have different ones.

use crate::client::limits::COLORED_PEOPLE_MAX;
use crate::client::recipient::Recipient;

/// SGR parameters that read well on light and dark grounds. Red is for problems, magenta for private messages.
const COLORS: [&str; 12] = [
    "32", "33", "34", "36", "38;5;208", "38;5;141", "38;5;37", "38;5;172", "38;5;69", "38;5;71", "38;5;168", "38;5;245",
];

/// Who has which colour, the latest speaker last.
#[derive(Debug, Default)]
pub struct Palette(Vec<(Recipient, usize)>);

impl Palette {
    /// The colour of somebody who speaks now. Who spoke among the last twelve keeps it.
    pub fn color_of(&mut self, who: &Recipient) -> &'static str {
        let known = self.0.iter().position(|(person, _)| person == who).map(|at| self.0.remove(at));
        let later = self.0.len().saturating_sub(COLORS.len() - 1);
        let is_free = |color: usize| !self.0.iter().skip(later).any(|&(_, used)| used == color);
        let color = match known {
            Some((_, color)) if is_free(color) => color,
            _ => (0..COLORS.len())
                .map(|step| (start(who) + step) % COLORS.len())
                .find(|&color| is_free(color))
                .unwrap_or_default(),
        };
        if self.0.len() >= COLORED_PEOPLE_MAX {
            self.0.remove(0);
        }
        self.0.push((who.clone(), color));
        COLORS.get(color).copied().unwrap_or_default()
    }
}

/// The colour that somebody has unless it is taken, so that it is mostly the same in each run.
fn start(who: &Recipient) -> usize {
    let bytes = who.nickname.bytes().chain(who.server.0.to_le_bytes());
    bytes.fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % COLORS.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServerId;
    use proptest::prelude::*;
    use std::collections::{HashMap, VecDeque};

    proptest! {
        #[test]
        fn the_last_twelve_who_spoke_have_different_colors(speakers in prop::collection::vec(0u32..40, 0..200)) {
            let mut palette = Palette::default();
            let mut last: VecDeque<u32> = VecDeque::new();
            let mut colors = HashMap::new();
            for speaker in speakers {
                let color = palette.color_of(&Recipient::new(ServerId(speaker), "x"));
                last.retain(|&other| other != speaker);
                if last.len() == COLORS.len() {
                    last.pop_front();
                }
                let same: Vec<_> = last.iter().filter(|other| colors.get(*other) == Some(&color)).collect();
                prop_assert!(same.is_empty(), "{speaker} as {same:?}");
                colors.insert(speaker, color);
                last.push_back(speaker);
            }
        }
    }
}
