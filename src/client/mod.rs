//! The console client.
//!
//! What can be tested without a socket, a disk or a terminal stands in modules of its own:
//!
//! | module | what it knows |
//! |---|---|
//! | [`command`], [`recipient`] | what is typed |
//! | [`escape`], [`file_name`] | what others may put into texts and names |
//! | [`upload`], [`outbox`] | chunks of a file; what is sent when |
//! | [`consent`] | whose files are taken |
//! | [`download`], [`hasher`] | which chunk belongs to which file |
//! | [`recent`] | what an ERROR is about |
//! | [`repeats`] | which lines are counted instead of shown |
//! | [`progress`] | the status line |
//!
//! Around them: [`options`], [`password`], [`disk`] (the download folder), [`screen`], [`output`] and [`editor`] (the
//! user), [`files`] (commands about files), [`link`], [`reader`] and [`writer`] (the server), [`session`] (which ties
//! them together).

// Their macros abort if the reader has gone.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod command;
pub mod consent;
pub mod disk;
pub mod download;
pub mod editor;
pub mod escape;
pub mod file_name;
pub mod files;
pub mod hasher;
pub mod limits;
pub mod link;
pub mod options;
pub mod outbox;
pub mod output;
pub mod password;
pub mod progress;
pub mod reader;
pub mod recent;
pub mod recipient;
pub mod repeats;
pub mod screen;
pub mod security;
pub mod session;
pub mod signals;
pub mod upload;
pub mod writer;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use consent::Consent;
use disk::Folder;
use download::{Downloads, Outcome, Say};
use link::{Link, Seen};
use progress::Progress;
use screen::{Line, Screen};

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
    seen: Mutex<Seen>,
    started: Instant,
}

/// The files that come into a folder.
pub type FolderDownloads = Downloads<Folder>;

impl Context {
    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// People that the client has heard of.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
            let text = outcome.to_string();
            self.screen.show_now(&if outcome.what.is_problem() { Line::Problem(text) } else { Line::Notice(text) });
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
            seen: Mutex::default(),
            started: Instant::now(),
        }
    }
}
