//! The benchmark: a load generator, the floor it compares with, and the workloads. Behind the feature `bench`; the
//! server is built without it.
//!
//! ```text
//!  suite ──▶ server under test (a process: cfp-server, floor, or another) ◀── meter (/proc: processor time, memory)
//!    │                        ▲
//!    └──▶ workload ──▶ connections (one thread, many connections) ──▶ message (every delivery checked) ──▶ report
//! ```
//!
//! The *floor* is a program that only reads, appends to one buffer in each turn of its loop, and writes that buffer
//! once to each connection. So it shows what the kernel takes for the same deliveries, for any program.

/// Prints a line, like `println!`. If that fails, it is a fault instead of a panic.
macro_rules! say {
    ($($text:tt)*) => { $crate::bench::print_line(format_args!($($text)*)) };
}

pub mod arguments;
pub mod connections;
pub mod floor;
pub mod message;
pub mod meter;
pub mod protocol;
pub mod report;
pub mod reports;
pub mod rivals;
pub mod server;
pub mod suite;
pub mod tls;
pub mod workload;

use std::fmt;

use crate::shell::stdio;

/// Why a run did not end well.
#[derive(Debug)]
pub enum Fault {
    /// A mistake on the command line.
    Usage(String),
    /// The operating system said no.
    Io {
        /// What was being done.
        doing: String,
        /// What it said.
        source: std::io::Error,
    },
    /// The server under test did what it must not: lost, doubled or reordered a delivery, closed a connection, or did
    /// not answer in time.
    Wrong(String),
}

fn print_line(line: fmt::Arguments<'_>) -> Result<()> {
    stdio::show(&format!("{line}\n")).map_err(Fault::Wrong)
}

/// What a part of a run gives.
pub type Result<T> = std::result::Result<T, Fault>;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Usage(text) | Fault::Wrong(text) => f.write_str(text),
            Fault::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Says what was being done when the operating system said no.
pub(crate) trait Doing<T> {
    /// Adds `doing` to the error.
    fn doing(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|source| Fault::Io { doing: doing.to_string(), source: source.into() })
    }
}
