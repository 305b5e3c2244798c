//! One connection to a server, for bots and tests: log in, say, tell, send and receive files, next event.
//!
//! It needs no thread and no runtime. A bot that answers each private message with its text:
//!
//! ```no_run
#![doc = include_str!("../../docs/examples/echo.rs")]
//! ```
//!
//! What to know:
//!
//! - **Read while you write.** A server stops reading from a client whose receivers are slow, and closes a client that
//!   does not read. Every call that sends reads what comes meanwhile, up to 1 MiB of it, and keeps it as events. A bot that
//!   sends for minutes without [`Connection::next_event`] is closed like any other client that does not read.
//! - **Your own public messages come back to you** (D6). Compare the sender with [`Connection::nickname`] before you answer,
//!   or two bots talk with each other for ever.
//! - **A message is at most 65,536 bytes** unless the server allows more; the server ignores a longer one. Calls refuse it.
//! - **Received names are hostile.** A file name may hold slashes, dots and control characters (D11).

mod connection;
mod event;
mod files;
mod stream;

pub use connection::{Connection, Login, LoginError, Next};
pub use event::{Event, Person, PersonError};
pub use files::ReceivedFile;
