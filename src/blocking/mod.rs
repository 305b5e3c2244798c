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
//! - **Without TLS, a password travels in clear text.** The feature `tls` brings `Connection::connect_tls`.
//! - **Received names are hostile.** A file name may hold slashes, dots and control characters (D11).
//!
//! # Connecting again
//!
//! A server that restarts closes its connections. Within seconds, it takes the same nickname again:
//!
//! ```no_run
//! use std::thread::sleep;
//! use std::time::Duration;
//!
//! use cfp::blocking::{Connection, Event, Login, LoginError};
//! use cfp::wire::AuthResponse;
//!
//! fn main() -> Result<(), LoginError> {
//!     let mut pause = Duration::from_secs(1);
//!     loop {
//!         match Connection::connect("127.0.0.1:7777", Login::Guest("echo")) {
//!             Ok(connection) => {
//!                 pause = Duration::from_secs(1);
//!                 if let Err(error) = run(connection) {
//!                     eprintln!("the connection is lost: {error}");
//!                 }
//!             }
//!             // The server may not know yet that a connection of ours is lost.
//!             Err(error @ (LoginError::Unreachable(_) | LoginError::Refused(AuthResponse::InUse))) => {
//!                 eprintln!("cannot connect: {error}");
//!             }
//!             Err(error) => return Err(error),
//!         }
//!         sleep(pause);
//!         pause = (pause * 2).min(Duration::from_secs(60));
//!     }
//! }
//!
//! fn run(mut connection: Connection) -> std::io::Result<()> {
//!     while let Some(event) = connection.next_event()? {
//!         if let Event::Private { from, text } = event {
//!             connection.tell(&from, &text)?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod connection;
mod event;
mod files;
mod login;
mod packets;
#[cfg(feature = "tls")]
mod secure;
mod stream;

pub use connection::{Connection, Next};
pub use event::{Event, Person, PersonError};
pub use files::ReceivedFile;
pub use login::{Login, LoginError};
#[cfg(feature = "tls")]
pub use secure::Trust;

// For the other programs of this package and for the tests. No promise.
#[doc(hidden)]
pub use packets::{Arrival, PacketStream, Reading, dial};
#[cfg(feature = "tls")]
#[doc(hidden)]
pub use secure::Opener;
#[doc(hidden)]
pub use stream::Stream;
