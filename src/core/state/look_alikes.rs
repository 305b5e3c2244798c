//! What a nickname looks like: two that look alike have a number in common (D60).
//!
//! ```text
//!  Mаria (with a Cyrillic а) ──▶ full-width and other forms as plain letters, no accents, nothing invisible: Mаria
//!                            ──▶ as it is, in small letters, in capitals:       Mаria    mаria    MАRIA
//!                            ──▶ each letter as the one that it looks like:     Maria    rnaria   MARlA
//!                            ──▶ hashed: three numbers
//! ```
//!
//! The letters are those of Unicode's technical standard 39 (skeletons). The tables of a library for it would be a
//! third of the program, and most of their entries are never used here. So `look_alikes.txt` has the needed part.
//! `tests/look_alikes.rs` makes it from the library, and compares it with the library.

use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

/// Three sections, each after a line that begins with `=`: ranges of code points that are left out, in hexadecimal;
/// then lines of a text, a tab, and the characters that stand for it: what forms are forms of, and what looks like it.
const TEXT: &str = include_str!("look_alikes.txt");

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::parse(TEXT));

/// Characters that change the direction of what follows: with them, a text can be shown in another order.
const DIRECTIONS: [std::ops::RangeInclusive<char>; 2] = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// What a nickname looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look([u64; 3]);

impl Look {
    /// What this nickname looks like.
    pub fn of(nickname: &str) -> Look {
        let plain = plain(nickname);
        let small = plain.chars().flat_map(char::to_lowercase);
        let capital = plain.chars().flat_map(char::to_uppercase);
        Look([hash(&skeleton(plain.chars())), hash(&skeleton(small)), hash(&skeleton(capital))])
    }

    /// Its numbers.
    pub fn numbers(self) -> [u64; 3] {
        self.0
    }

    /// Whether another nickname looks like this one.
    pub fn resembles(self, other: Look) -> bool {
        self.0.iter().any(|number| other.0.contains(number))
    }
}

/// Whether it may be shown in another order than it has, and so may look like any nickname.
pub fn may_be_reordered(nickname: &str) -> bool {
    nickname.chars().any(|c| DIRECTIONS.iter().any(|range| range.contains(&c)))
}

/// Without accents and what can't be seen; forms of letters as the letters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    text.chars().for_each(|c| TABLES.add_plain(c, &mut plain));
    plain
}

/// Replaces each character by the one that it looks like, and blanks by one space between two words.
fn skeleton(plain: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for c in plain {
        match TABLES.prototypes.find(c) {
            Some(prototype) => text.push_str(prototype),
            None => text.push(c),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn hash(text: &str) -> u64 {
    // A hash without a key, so that every run gives the same numbers.
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// First and last of the Hangul syllables, which are made of their parts by a formula (Unicode section 3.12).
const SYLLABLES: std::ops::RangeInclusive<u32> = 0xac00..=0xd7a3;
const FIRST_PARTS: [u32; 3] = [0x1100, 0x1161, 0x11a7];
const PARTS: [u32; 2] = [21, 28];

struct Tables {
    removed: Vec<(u32, u32)>,
    forms: Table,
    prototypes: Table,
}

/// From a character to a text.
#[derive(Default)]
struct Table {
    /// Sorted by the character; the text by its place in `TEXT`, which has less than 64 KiB.
    entries: Vec<(char, u16, u8)>,
}

impl Table {
    /// Adds a line: a text, a tab, and what stands for it.
    fn add(&mut self, line: &str, start: usize) {
        let Some((text, sources)) = line.split_once('\t') else { return };
        let (Ok(start), Ok(length)) = (u16::try_from(start), u8::try_from(text.len())) else { return };
        self.entries.extend(sources.chars().map(|source| (source, start, length)));
    }

    fn find(&self, c: char) -> Option<&'static str> {
        let place = self.entries.binary_search_by_key(&c, |&(source, ..)| source).ok()?;
        let &(_, start, length) = self.entries.get(place)?;
        TEXT.get(usize::from(start)..usize::from(start) + usize::from(length))
    }
}

impl Tables {
    fn parse(text: &str) -> Tables {
        let mut tables = Tables { removed: Vec::new(), forms: Table::default(), prototypes: Table::default() };
        let (mut section, mut start) = ("", 0);
        for line in text.split('\n') {
            if let Some(name) = line.strip_prefix("= ") {
                section = name;
            } else {
                match section {
                    "removed" => tables.removed.extend(range(line)),
                    "forms" => tables.forms.add(line, start),
                    "prototypes" => tables.prototypes.add(line, start),
                    _ => {}
                }
            }
            start += line.len() + 1;
        }
        tables.forms.entries.sort_unstable();
        tables.prototypes.entries.sort_unstable();
        tables
    }

    fn add_plain(&self, c: char, plain: &mut String) {
        if c.is_ascii() {
            plain.push(c);
        } else if SYLLABLES.contains(&u32::from(c)) {
            plain.extend(parts_of_syllable(c));
        } else if let Some(form) = self.forms.find(c) {
            plain.push_str(form);
        } else if !self.is_removed(c) {
            plain.push(c);
        }
    }

    fn is_removed(&self, c: char) -> bool {
        let c = u32::from(c);
        let after = self.removed.partition_point(|&(first, _)| first <= c);
        self.removed.get(..after).and_then(<[_]>::last).is_some_and(|&(_, last)| c <= last)
    }
}

/// Two numbers in hexadecimal.
fn range(line: &str) -> Option<(u32, u32)> {
    let (first, last) = line.split_once(' ')?;
    Some((u32::from_str_radix(first, 16).ok()?, u32::from_str_radix(last, 16).ok()?))
}

fn parts_of_syllable(c: char) -> impl Iterator<Item = char> {
    let place = u32::from(c) - SYLLABLES.start();
    let [vowels, endings] = PARTS;
    let parts = [place / (vowels * endings), place / endings % vowels, place % endings];
    // The ending numbered 0 is none.
    let count = if place.is_multiple_of(endings) { 2 } else { 3 };
    FIRST_PARTS.into_iter().zip(parts).take(count).filter_map(|(first, part)| char::from_u32(first + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_like(one: &str, other: &str) -> bool {
        Look::of(one).resembles(Look::of(other))
    }

    #[test]
    fn names_that_look_alike_have_something_in_common() {
        for like in [
            "maria",
            "Maria",
            "MARIA",
            "mAriA",
            "m\u{430}ria",
            "M\u{430}ria",
            "\u{41c}\u{410}R\u{406}\u{410}",
            "mar\u{131}a",
            "mar\u{456}a",
            "m\u{e1}ria",
            "ma\u{301}ria",
            "m\u{327}\u{300}\u{20dd}aria",
            "mar\u{ec}a",
            "ma\u{200b}ria",
            "maria\u{200d}",
            "\u{feff}maria",
            "ma\u{ad}ria",
            "maria\u{3164}",
            "maria\u{e0041}",
            "maria\u{2800}",
            "\u{ff4d}\u{ff41}\u{ff52}\u{ff49}\u{ff41}",
            "\u{ff2d}aria",
            "\u{1d5c6}aria",
            "\u{217f}aria",
            "rnaria",
            "MARlA",
            "MAR1A",
            "\u{200f}maria",
            "ma\u{fe0f}ria",
            "ma\u{fffa}ria",
            "M\u{391}R\u{399}\u{391}",
        ] {
            assert!(is_like("maria", like), "{like:?}");
        }
        assert!(is_like("zoe", "z\u{f8}e") && is_like("bob", "b0b") && is_like("stra\u{df}e", "STRASSE"));
        assert!(is_like("two words", "two\u{a0}\u{3000}words"));
        // Whole syllables, and their parts.
        assert!(is_like("\u{ac00}\u{ac01}", "\u{1100}\u{1161}\u{1100}\u{1161}\u{11a8}"));
    }

    #[test]
    fn names_that_do_not_look_alike_have_nothing_in_common() {
        for other in
            ["mario", "marie", "mari", "mariaa", "maria2", "marla", "airam", "\u{43c}\u{430}\u{448}\u{430}", "maria b"]
        {
            assert!(!is_like("maria", other), "{other:?}");
        }
        assert!(!is_like("two words", "twowords"));
        assert!(!is_like("\u{5f20}\u{4f1f}", "\u{5f20}\u{6770}") && !is_like("\u{ac00}", "\u{ac01}"));
    }

    #[test]
    fn what_can_be_shown_in_another_order_is_known() {
        assert!(may_be_reordered("\u{202e}airam") && may_be_reordered("a\u{2066}b\u{2069}"));
        assert!(!may_be_reordered("maria") && !may_be_reordered("\u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{200f}"));
    }

    #[test]
    fn every_syllable_has_the_parts_that_the_library_says() {
        use unicode_normalization::UnicodeNormalization;
        for syllable in SYLLABLES {
            let syllable = char::from_u32(syllable).unwrap();
            assert!(parts_of_syllable(syllable).eq(syllable.nfd()), "{syllable}");
        }
    }
}
