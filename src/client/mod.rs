//! The console client.
//!
//! What can be tested without a socket, a disk or a terminal stands in modules of its own:
//!
//! | module | what it knows |
//! |---|---|
//! | [`command`], [`address`] | what is typed |
//! | [`escape`], [`file_name`] | what others may put into texts and names |
//! | [`upload`], [`outbox`] | chunks of a file; what is sent when |
//! | [`download`], [`hasher`] | which chunk belongs to which file |
//! | [`recent`] | what an ERROR is about |
//! | [`progress`] | the status line |
//!
//! Around them: [`options`], [`password`], [`disk`] (the download folder), [`screen`], [`output`] and [`editor`] (the user),
//! [`link`] and [`traffic`] (the server), [`session`] (which ties them together).

// Their macros abort where nobody reads.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod address;
pub mod command;
pub mod disk;
pub mod download;
pub mod editor;
pub mod escape;
pub mod file_name;
pub mod hasher;
pub mod limits;
pub mod link;
pub mod options;
pub mod outbox;
pub mod output;
pub mod password;
pub mod progress;
pub mod recent;
pub mod screen;
pub mod session;
pub mod signals;
pub mod traffic;
pub mod upload;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use disk::Folder;
use link::{Link, Seen};
use progress::Progress;
use screen::Screen;

use crate::shell::terminal::Terminal;

/// What all threads of the client share.
#[derive(Debug)]
pub struct Context {
    /// Where lines go.
    pub screen: Screen,
    /// Transfers under way.
    pub progress: Progress,
    /// Where received files go.
    pub folder: Folder,
    /// What the files that come in may come to together.
    pub max_download_bytes: u64,
    /// The transfer ID of the next file.
    pub next_transfer_id: AtomicU32,
    /// Something could not be sent, which the exit status tells.
    pub has_failed: AtomicBool,
    /// A signal has told us to end: its handler does it.
    pub is_told_to_end: AtomicBool,
    /// The terminal as it was found.
    pub terminal: Terminal,
    /// The connection, while there is one.
    pub link: Mutex<Option<Arc<Link>>>,
    seen: Mutex<Seen>,
    started: Instant,
}

impl Context {
    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Who was heard of.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, while there is one.
    pub fn link(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something could not be sent.
    pub fn fail(&self, text: impl Into<String>) {
        self.has_failed.store(true, Ordering::Release);
        self.screen.problem(text);
    }

    fn new(screen: Screen, progress: Progress, folder: Folder, max_download_bytes: u64) -> Context {
        // Random, so that a client that was started again does not go on with the numbers of the one before.
        let first_transfer_id = getrandom::u32().unwrap_or_default();
        Context {
            screen,
            progress,
            folder,
            max_download_bytes,
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
