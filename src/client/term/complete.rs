//! Completion with Tab: commands, people and paths.

use std::fs;

use crate::client::command::{NAMES, NAMES_WITH_SOMEBODY};
use crate::client::escape::is_treacherous;
use crate::client::limits::COMPLETED_ENTRIES_MAX;
use crate::client::paths;
use crate::client::recipient::Recipient;

/// Candidates that Tab goes through.
#[derive(Debug)]
pub struct Completion {
    /// Where the part begins that they replace.
    pub from: usize,
    /// The part as it was typed.
    part: String,
    candidates: Vec<String>,
    /// The one that is shown; after the last comes what was typed.
    at: usize,
}

impl Completion {
    /// Completions of the text before the cursor.
    pub fn of(before: &str, people: &[Recipient]) -> Option<Completion> {
        let (from, candidates) = complete(before, people, paths_like);
        let part = before.get(from..)?.to_owned();
        (!candidates.is_empty()).then_some(Completion { from, part, candidates, at: 0 })
    }

    /// What stands there now.
    pub fn shown(&self) -> &str {
        self.candidates.get(self.at).unwrap_or(&self.part)
    }

    /// Whether there is nothing to go through.
    pub fn is_only(&self) -> bool {
        self.candidates.len() == 1
    }

    /// The next candidate, or the one before.
    pub fn step(&mut self, is_back: bool) {
        let len = self.candidates.len() + 1;
        self.at = (self.at + if is_back { len - 1 } else { 1 }) % len;
    }
}

/// Completions of the text before the cursor, and the position of the part that they replace. The people that were heard
/// of last come first.
fn complete(before: &str, people: &[Recipient], paths: impl Fn(&str) -> Vec<String>) -> (usize, Vec<String>) {
    let starting = |candidates: Vec<String>, part: &str| {
        let fitting = candidates.into_iter().filter(|candidate| candidate.starts_with(part)).collect();
        (before.len() - part.len(), fitting)
    };
    if let Some(part) = before.strip_prefix("/log ") {
        return starting(paths(part.trim_start()), part.trim_start());
    }
    let command = NAMES_WITH_SOMEBODY.iter().find_map(|name| before.strip_prefix(name));
    match command {
        Some(rest) => match Recipient::parse(rest) {
            Some((_, rest)) if before.starts_with("/file ") && rest.starts_with(' ') => {
                let part = rest.trim_start();
                starting(paths(part), part)
            }
            Some((_, rest)) if !rest.is_empty() => named_in_text(before, people),
            _ => {
                let fitting = people.iter().filter(|person| is_meant(person, rest));
                (before.len() - rest.len(), fitting.map(|person| format!("{person} ")).collect())
            }
        },
        None if before.starts_with('/') && !before.contains(' ') => {
            starting(NAMES.iter().map(|&name| name.to_owned()).collect(), before)
        }
        None => named_in_text(before, people),
    }
}

/// Nicknames in the text of a message.
fn named_in_text(before: &str, people: &[Recipient]) -> (usize, Vec<String>) {
    let part = before.rsplit([' ', '\n']).next().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for person in people.iter().filter(|person| begins_with(&person.nickname, part)) {
        let is_plain = !person.nickname.chars().any(is_treacherous);
        if !part.is_empty() && is_plain && !names.contains(&person.nickname) {
            names.push(person.nickname.clone());
        }
    }
    (before.len() - part.len(), names)
}

/// Whether the typed beginning is this person's: as it must be typed, or the nickname without its quotes.
fn is_meant(person: &Recipient, typed: &str) -> bool {
    let bare = typed.strip_prefix('"').unwrap_or(typed);
    begins_with(&person.to_string(), typed) || begins_with(&format!("{}@{}", person.nickname, person.server), bare)
}

fn begins_with(text: &str, part: &str) -> bool {
    let mut chars = text.chars().flat_map(char::to_lowercase);
    part.chars().flat_map(char::to_lowercase).all(|char| chars.next() == Some(char))
}

/// Files and folders whose path begins like this.
fn paths_like(part: &str) -> Vec<String> {
    let (folder, start) = part.rsplit_once('/').map_or(("", part), |(folder, start)| (folder, start));
    let read = match folder {
        "" if part.starts_with('/') => "/",
        "" => ".",
        folder => folder,
    };
    let Ok(entries) = fs::read_dir(paths::expand(read)) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .take(COMPLETED_ENTRIES_MAX)
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_meant = name.starts_with(start) && (!name.starts_with('.') || start.starts_with('.'));
            // A name with odd characters would draw itself.
            let is_plain = !name.chars().any(is_treacherous);
            let slash = if entry.file_type().is_ok_and(|kind| kind.is_dir()) { "/" } else { "" };
            let prefix = part.get(..part.len() - start.len()).unwrap_or_default();
            (is_meant && is_plain).then(|| format!("{prefix}{name}{slash}"))
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServerId;

    fn completed(before: &str) -> (usize, Vec<String>) {
        let people = ["ben", "two words", "Bea"].map(|nickname| Recipient::new(ServerId(7), nickname));
        complete(before, &people, |part| vec![format!("{part}.txt")])
    }

    #[test]
    fn commands_nicknames_and_paths_are_completed() {
        assert_eq!(completed("/ms"), (0, vec!["/msg ".to_owned()]));
        assert_eq!(completed("/msg be"), (5, vec!["ben@7 ".to_owned(), "Bea@7 ".to_owned()]));
        assert_eq!(completed("/msg ben@7 be"), (11, vec!["ben".to_owned(), "Bea".to_owned()]));
        assert_eq!(completed("/file ben@7 a/b"), (12, vec!["a/b.txt".to_owned()]));
        assert_eq!(completed("/log a"), (5, vec!["a.txt".to_owned()]));
        assert_eq!(completed("hello be"), (6, vec!["ben".to_owned(), "Bea".to_owned()]));
        assert_eq!(completed("hello "), (6, vec![]));
    }

    #[test]
    fn a_name_with_blanks_is_completed_from_its_first_letter_and_from_a_quote() {
        for typed in ["t", "two w", "\"t", "\"two w"] {
            assert_eq!(completed(&format!("/msg {typed}")), (5, vec!["\"two words\"@7 ".to_owned()]), "{typed}");
        }
        assert_eq!(completed("hello tw"), (6, vec!["two words".to_owned()]));
    }

    #[test]
    fn tab_goes_through_the_candidates_and_back_to_what_was_typed() {
        let people = ["ben", "bea"].map(|nickname| Recipient::new(ServerId(7), nickname));
        let mut completion = Completion::of("hi be", &people).unwrap_or_else(|| unreachable!("there are two"));
        let mut shown = Vec::new();
        for _ in 0..4 {
            shown.push(completion.shown().to_owned());
            completion.step(false);
        }
        assert_eq!(shown, ["ben", "bea", "be", "ben"]);
        completion.step(true);
        assert_eq!(completion.shown(), "ben");
    }
}
