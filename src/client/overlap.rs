//! Two connections at the same time bring the same public messages, in the same order (D6). When one takes over from the
//! other, this finds where the second is beyond what the first has brought.
//!
//! ```text
//!  old:  … a  b  c  d               shown
//!  new:           c  d  e  f        c and d are held and dropped, e and f are shown
//! ```

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::limits::OVERLAP_MAX;
use super::screen::Said;

/// The public messages that were shown last.
#[derive(Debug, Clone, Default)]
pub struct Shown(VecDeque<u64>);

impl Shown {
    /// One was shown.
    pub fn on_shown(&mut self, said: &Said) {
        if self.0.len() >= OVERLAP_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash(said));
    }
}

/// Compares what a new connection brings first with what was shown last.
#[derive(Debug)]
pub struct Overlap {
    shown: Shown,
    held: Vec<(u64, Said)>,
}

impl Overlap {
    /// After these were shown.
    pub fn new(shown: Shown) -> Overlap {
        Overlap { shown, held: Vec::new() }
    }

    /// A message came. Returns those that are to be shown now, and whether the overlap is over.
    pub fn on_message(&mut self, said: Said) -> (Vec<Said>, bool) {
        self.held.push((hash(&said), said));
        let held: Vec<u64> = self.held.iter().map(|(hash, _)| *hash).collect();
        let shown = self.shown.0.make_contiguous();
        // Whether all that is held, and more to come, may be a part of what was shown.
        let may_go_on = shown.windows(held.len() + 1).any(|window| window.starts_with(&held));
        if may_go_on { (Vec::new(), false) } else { (self.finish(), true) }
    }

    /// No more comes for now: what is held and was not shown.
    pub fn finish(&mut self) -> Vec<Said> {
        let held: Vec<u64> = self.held.iter().map(|(hash, _)| *hash).collect();
        let shown = self.shown.0.make_contiguous();
        let same = (0..=held.len()).rev().find(|&len| shown.ends_with(held.get(..len).unwrap_or_default()));
        self.shown.0.clear();
        std::mem::take(&mut self.held).into_iter().skip(same.unwrap_or(0)).map(|(_, said)| said).collect()
    }
}

fn hash(said: &Said) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&said.who.nickname, said.who.server.0, &said.text).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::recipient::Recipient;
    use crate::client::screen::Way;
    use crate::wire::ServerId;
    use proptest::prelude::*;

    fn said(text: char) -> Said {
        let who = Recipient::new(ServerId(7), "ana");
        Said { who, way: Way::Public, text: text.into(), is_own: false, is_mention: false, is_announcement: false }
    }

    /// What is shown of `new` after `old`.
    fn shown(old: &str, new: &str) -> String {
        let mut before = Shown::default();
        old.chars().for_each(|text| before.on_shown(&said(text)));
        let mut overlap = Some(Overlap::new(before));
        let mut shown = String::new();
        for text in new.chars() {
            let Some(open) = &mut overlap else {
                shown.push(text);
                continue;
            };
            let (now, is_over) = open.on_message(said(text));
            shown.extend(now.into_iter().map(|said| said.text));
            if is_over {
                overlap = None;
            }
        }
        shown.extend(overlap.iter_mut().flat_map(|open| open.finish()).map(|said| said.text));
        shown
    }

    #[test]
    fn what_both_bring_is_shown_once() {
        assert_eq!(shown("abcd", "cdef"), "ef");
        assert_eq!(shown("abcd", "efgh"), "efgh");
        assert_eq!(shown("abcd", ""), "");
        assert_eq!(shown("", "ab"), "ab");
        assert_eq!(shown("axb", "ax"), "ax");
        assert_eq!(shown("xaxa", "axab"), "b");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(old in "[a-z]{0,20}", both in "[a-z]{0,20}", new in "[A-Z]{0,20}") {
            // Letters that differ, so that there is one answer.
            prop_assert_eq!(shown(&(old + &both), &(both + &new)), new);
        }
    }
}
