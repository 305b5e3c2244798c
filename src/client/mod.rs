//! The console client.
//!
//! What can be tested without a socket, a disk or a terminal stands in modules of its own:
//!
//! | module | what it knows |
//! |---|---|
//! | [`command`], [`recipient`], [`people`] | what is typed, and who is meant |
//! | [`json`] | what programs write and read |
//! | [`escape`], [`file_name`] | what others may put into texts and names |
//! | [`upload`], [`outbox`] | chunks of a file; what is sent when |
//! | [`consent`] | whose files are taken |
//! | [`download`], [`hasher`] | which chunk belongs to which file |
//! | [`recent`], [`pending`] | what an ERROR is about; which messages have not come back |
//! | [`watch`], [`overlap`] | whether the server is there; what two connections both bring |
//! | [`repeats`] | which lines are counted instead of shown |
//! | [`progress`] | the status line |
//!
//! Around them: [`options`], [`paths`], [`password`], [`disk`] (the download folder), [`screen`], [`log_file`],
//! [`output`] and [`term`] (the user), [`files`] (commands about files), [`link`], [`reader`] and [`writer`] (the
//! server), [`session`] (which ties them together).

// Their macros abort if the reader has gone.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod command;
pub mod consent;
pub mod disk;
pub mod download;
pub mod escape;
pub mod file_name;
pub mod files;
pub mod hasher;
pub mod json;
pub mod limits;
pub mod link;
pub mod log_file;
pub mod options;
pub mod outbox;
pub mod output;
pub mod overlap;
pub mod password;
pub mod paths;
pub mod pending;
pub mod people;
pub mod progress;
pub mod reader;
pub mod recent;
pub mod recipient;
pub mod repeats;
pub mod screen;
pub mod security;
pub mod session;
pub mod signals;
pub mod term;
pub mod upload;
pub mod watch;
pub mod writer;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::time::{ClockId, clock_gettime};

use consent::Consent;
use disk::Folder;
use download::{Downloads, Outcome, Say};
use link::Link;
use overlap::Shown;
use people::People;
use progress::Progress;
use screen::Screen;

use crate::shell::terminal::Terminal;

/// What all threads of the client share.
#[derive(Debug)]
pub struct Context {
    /// The target of lines.
    pub screen: Screen,
    /// Transfers under way.
    pub progress: Progress,
    /// The folder for received files.
    pub folder: Folder,
    /// The transfer ID of the next file.
    pub next_transfer_id: AtomicU32,
    /// Something could not be sent, which the exit status tells.
    pub has_failed: AtomicBool,
    /// A signal has told us to end: its handler does it.
    pub is_told_to_end: AtomicBool,
    /// The terminal as it was found.
    pub terminal: Terminal,
    /// The connection, if there is one.
    pub link: Mutex<Option<Arc<Link>>>,
    downloads: Mutex<FolderDownloads>,
    people: Mutex<People>,
    shown: Mutex<Shown>,
}

/// The files that come into a folder.
pub type FolderDownloads = Downloads<Folder>;

impl Context {
    /// Milliseconds since some moment, the time of sleep included.
    pub fn now_ms(&self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        u64::try_from(now.tv_sec).unwrap_or_default() * 1000
            + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
    }

    /// Ourselves, and others that the client has heard of.
    pub fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The public messages that were shown last.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if there is one.
    pub fn link(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something could not be sent.
    pub fn fail(&self, text: impl Into<String>) {
        self.note_failure();
        self.screen.problem(text);
    }

    /// Lets the exit status tell that something could not be sent.
    pub fn note_failure(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// Does something with received files. Returns the lines to show, because showing them may take long.
    pub fn on_downloads<T>(&self, act: impl FnOnce(&mut FolderDownloads, Say<'_>) -> T) -> (T, Vec<Outcome>) {
        let mut outcomes = Vec::new();
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut downloads, &mut |outcome| outcomes.push(outcome));
        (done, outcomes)
    }

    /// Does something with received files for a typed command, and shows the lines.
    pub fn answer<T>(&self, act: impl FnOnce(&mut FolderDownloads, Say<'_>) -> T) -> T {
        let (done, outcomes) = self.on_downloads(act);
        for outcome in outcomes {
            self.screen.show_now(outcome.line());
        }
        done
    }

    /// The time that the files that come in have been told last.
    pub fn downloads_ms(&self) -> u64 {
        self.on_downloads(|downloads, _| downloads.now_ms()).0
    }

    fn new(screen: Screen, progress: Progress, folder: Folder, consent: Consent, max_download_bytes: u64) -> Context {
        let downloads = Downloads::new(folder.clone(), progress.clone(), consent, max_download_bytes);
        // Random, so that a client that was started again does not reuse the numbers of the one before.
        let first_transfer_id = getrandom::u32().unwrap_or_default();
        Context {
            screen,
            progress,
            folder,
            downloads: Mutex::new(downloads),
            next_transfer_id: AtomicU32::new(first_transfer_id),
            has_failed: AtomicBool::new(false),
            is_told_to_end: AtomicBool::new(false),
            terminal: Terminal::remember(),
            link: Mutex::default(),
            people: Mutex::default(),
            shown: Mutex::default(),
        }
    }
}
