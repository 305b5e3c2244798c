//! People that the client has heard of, has written to, or does not want to hear.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use super::limits::{IGNORED_FILE_BYTES, IGNORED_MAX, SEEN_MAX, WRITTEN_TO_MAX};
use super::paths;
use super::recipient::Recipient;
use crate::wire::ServerId;

/// Somebody who has said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub who: Recipient,
    /// When last.
    pub at: Timestamp,
    /// How last.
    pub how: How,
}

/// How somebody was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In public.
    Public,
    /// By a private message.
    Private,
    /// By a file.
    File,
}

impl How {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            How::Public => "public",
            How::Private => "private",
            How::File => "file",
        }
    }
}

/// Everybody.
#[derive(Debug, Default)]
pub struct People {
    /// The latest first.
    heard: VecDeque<Heard>,
    /// Whom we wrote to, the latest first. Kept apart, so that strangers cannot push them out.
    written_to: VecDeque<Recipient>,
    /// Who wrote to us last.
    wrote_last: Option<Recipient>,
    own_nickname: String,
    own_server: Option<ServerId>,
    /// Who the user was told to be.
    told: Option<Recipient>,
    ignored: Vec<Recipient>,
    ignored_path: Option<PathBuf>,
}

/// Who is meant by a nickname alone.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This one.
    One(Recipient),
    /// Nobody of that name was heard of.
    Nobody,
    /// Several.
    Several(Vec<Recipient>),
}

impl People {
    /// We are logged in under this nickname, anew.
    pub fn set_nickname(&mut self, nickname: &str) {
        nickname.clone_into(&mut self.own_nickname);
        self.own_server = None;
    }

    /// One of our own messages came back from this server, so it is ours. Returns whether that is news.
    pub fn set_server(&mut self, server: ServerId) -> bool {
        self.own_server = Some(server);
        let own = self.own();
        let is_news = own != self.told;
        self.told = own;
        is_news
    }

    /// Our nickname.
    pub fn own_nickname(&self) -> &str {
        &self.own_nickname
    }

    /// Ourselves, once our server is known.
    pub fn own(&self) -> Option<Recipient> {
        Some(Recipient::new(self.own_server?, &self.own_nickname))
    }

    /// Whether a text names us: as a word, whatever its case.
    pub fn is_mentioned(&self, text: &str) -> bool {
        let (text, name) = (text.to_lowercase(), self.own_nickname.to_lowercase());
        let is_word = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
        !name.is_empty()
            && text.match_indices(&name).any(|(at, _)| {
                let before = text.get(..at).and_then(|before| before.chars().next_back());
                let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
                !is_word(before) && !is_word(after)
            })
    }

    /// Somebody has sent something.
    pub fn on_heard(&mut self, who: &Recipient, how: How, at: Timestamp) {
        if how == How::Private {
            self.wrote_last = Some(who.clone());
        }
        let known = self.heard.iter().position(|heard| heard.who == *who).and_then(|at| self.heard.remove(at));
        self.heard.truncate(SEEN_MAX - 1);
        let heard = known.map_or_else(|| Heard { who: who.clone(), at, how }, |heard| Heard { at, how, ..heard });
        self.heard.push_front(heard);
    }

    /// We have written to somebody.
    pub fn on_written_to(&mut self, who: &Recipient) {
        self.written_to.retain(|known| known != who);
        self.written_to.truncate(WRITTEN_TO_MAX - 1);
        self.written_to.push_front(who.clone());
    }

    /// Who was heard, the latest first.
    pub fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.heard.iter()
    }

    /// Whom we wrote to but have not heard of.
    pub fn only_written_to(&self) -> impl Iterator<Item = &Recipient> {
        self.written_to.iter().filter(|who| !self.heard.iter().any(|heard| heard.who == **who))
    }

    /// Whom `/reply` means: who wrote to us last, or else whom we wrote to last.
    pub fn reply_to(&self) -> Option<&Recipient> {
        self.wrote_last.as_ref().or_else(|| self.written_to.front())
    }

    /// Everybody for completion, without ourselves: the latest first.
    pub fn for_completion(&self) -> Vec<Recipient> {
        let own = self.own();
        let heard = self.heard.iter().map(|heard| &heard.who);
        heard.chain(self.only_written_to()).filter(|who| own.as_ref() != Some(who)).cloned().collect()
    }

    /// Who is meant by a nickname alone.
    pub fn named(&self, nickname: &str) -> Meaning {
        let mut all = self.for_completion();
        all.retain(|who| who.nickname == nickname);
        match all.len() {
            0 => Meaning::Nobody,
            1 => all.pop().map_or(Meaning::Nobody, Meaning::One),
            _ => Meaning::Several(all),
        }
    }

    /// Whether nothing of this person is to be shown.
    pub fn is_ignored(&self, who: &Recipient) -> bool {
        self.ignored.contains(who)
    }

    /// Whether nothing of the client of this server is to be shown: looked at for each chunk of a file.
    pub fn is_ignored_by(&self, server: ServerId, nickname: &str) -> bool {
        self.ignored.iter().any(|who| who.is(server, nickname))
    }

    /// Everybody who is ignored.
    pub fn ignored(&self) -> &[Recipient] {
        &self.ignored
    }

    /// Reads who is ignored, and keeps it there from now on.
    ///
    /// # Errors
    /// What the disk says.
    pub fn keep_ignored_in(&mut self, path: PathBuf) -> io::Result<()> {
        self.ignored = read_ignored(&path)?;
        self.ignored_path = Some(path);
        Ok(())
    }

    /// Ignores somebody from now on. Returns whether that changes something.
    ///
    /// # Errors
    /// It is so, but could not be kept; or there are too many.
    pub fn ignore(&mut self, who: &Recipient) -> io::Result<bool> {
        if self.is_ignored(who) {
            return Ok(false);
        }
        if self.ignored.len() >= IGNORED_MAX {
            return Err(io::Error::other(format!("{IGNORED_MAX} people are ignored already")));
        }
        self.change_ignored(|ignored| {
            if !ignored.contains(who) {
                ignored.push(who.clone());
            }
        })?;
        Ok(true)
    }

    /// Does not ignore somebody any more. Returns whether that changes something.
    ///
    /// # Errors
    /// It is so, but could not be kept.
    pub fn unignore(&mut self, who: &Recipient) -> io::Result<bool> {
        let is_change = self.is_ignored(who);
        self.change_ignored(|ignored| ignored.retain(|other| other != who))?;
        Ok(is_change)
    }

    /// Changes the list here and in its file, which another client may have changed meanwhile.
    fn change_ignored(&mut self, change: impl Fn(&mut Vec<Recipient>)) -> io::Result<()> {
        change(&mut self.ignored);
        let Some(path) = &self.ignored_path else { return Ok(()) };
        if let Some(folder) = path.parent() {
            paths::make_private(folder)?;
        }
        let lock = open_private(&path.with_extension("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let mut all = read_ignored(path)?;
        change(&mut all);
        let text: String = all.iter().map(|who| format!("{who}\n")).collect();
        let beside = path.with_extension("new");
        let mut file = open_private(&beside)?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)?;
        self.ignored = all;
        Ok(())
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)
}

/// A person a line, as it is typed. Lines that are none are passed over.
fn read_ignored(path: &Path) -> io::Result<Vec<Recipient>> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(IGNORED_FILE_BYTES).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let people = text.lines().filter_map(|line| Recipient::parse(line).filter(|(_, rest)| rest.is_empty()));
    Ok(people.map(|(who, _)| who).take(IGNORED_MAX).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn somebody(nickname: &str, server: u32) -> Recipient {
        Recipient::new(ServerId(server), nickname)
    }

    #[test]
    fn a_nickname_alone_means_the_only_one_of_that_name() {
        let mut people = People::default();
        people.set_nickname("ana");
        people.set_server(ServerId(7));
        assert_eq!(people.named("bob"), Meaning::Nobody);
        people.on_written_to(&somebody("bob", 7));
        assert_eq!(people.named("bob"), Meaning::One(somebody("bob", 7)));
        people.on_heard(&somebody("bob", 7), How::Public, Timestamp::UNIX_EPOCH);
        assert_eq!(people.named("bob"), Meaning::One(somebody("bob", 7)));
        people.on_heard(&somebody("bob", 8), How::Public, Timestamp::UNIX_EPOCH);
        assert_eq!(people.named("bob"), Meaning::Several(vec![somebody("bob", 8), somebody("bob", 7)]));
        people.on_heard(&somebody("ana", 7), How::Public, Timestamp::UNIX_EPOCH);
        assert_eq!(people.named("ana"), Meaning::Nobody);
    }

    #[test]
    fn an_answer_goes_to_who_wrote_last_and_strangers_push_out_only_strangers() {
        let mut people = People::default();
        assert_eq!(people.reply_to(), None);
        people.on_written_to(&somebody("bob", 7));
        assert_eq!(people.reply_to(), Some(&somebody("bob", 7)));
        people.on_heard(&somebody("carl", 7), How::Private, Timestamp::UNIX_EPOCH);
        for number in 0..2 * SEEN_MAX {
            people.on_heard(&somebody(&number.to_string(), 7), How::Public, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(people.reply_to(), Some(&somebody("carl", 7)));
        assert_eq!(people.heard().count(), SEEN_MAX);
        assert!(people.for_completion().contains(&somebody("bob", 7)));
    }

    #[test]
    fn a_mention_is_a_word_of_its_own() {
        let mut people = People::default();
        people.set_nickname("Ana");
        for text in ["ana", "hi ANA!", "@ana, look", "banana? ana?"] {
            assert!(people.is_mentioned(text), "{text}");
        }
        for text in ["banana", "anatomy", "", "an a"] {
            assert!(!people.is_mentioned(text), "{text}");
        }
    }

    #[test]
    fn who_is_ignored_is_kept_and_two_clients_do_not_undo_each_other() {
        let folder = std::env::temp_dir().join(format!("cfp-ignored-{:016x}", getrandom::u64().unwrap()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("ignored");
        let open = || {
            let mut people = People::default();
            people.keep_ignored_in(path.clone()).unwrap();
            people
        };
        let (mut one, mut other) = (open(), open());
        let (bob, carl) = (somebody("two \"words\"\u{202e}", 7), somebody("carl", 8));
        assert!(one.ignore(&bob).unwrap() && !one.ignore(&bob).unwrap());
        assert!(other.ignore(&carl).unwrap());
        let third = open();
        assert!(third.is_ignored(&bob) && third.is_ignored(&carl));
        assert!(other.unignore(&bob).unwrap());
        assert!(!open().is_ignored(&bob) && open().is_ignored(&carl));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
