//! The Chat Fusion Protocol (CFP): chat over TCP, with guests and registered users, files, and servers that merge.
//!
//! This package is a server, `cfp-server`, a console client, `cfp-client`, and this library for authors of bots,
//! clients and servers. For a bot, take the library without the server:
//!
//! ```toml
//! [dependencies]
//! cfp-server = { version = "0.1", default-features = false }
//! ```
//!
//! It is called `cfp` in the code. [`blocking::Connection`] is one connection, without threads or a runtime:
//!
//! ```no_run
//! use cfp::blocking::{Connection, Event, Login};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut connection = Connection::connect("127.0.0.1:7777", Login::Guest("clock"))?;
//! while let Some(event) = connection.next_event()? {
//!     if let Event::Private { from, .. } = event {
//!         let seconds = std::time::UNIX_EPOCH.elapsed()?.as_secs();
//!         connection.tell(&from, &format!("{seconds} seconds since 1970"))?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`wire`] is the packets themselves, for programs with sockets of their own:
//!
//! ```
//! use cfp::wire::{Packet, ServerId};
//!
//! let mut bytes = Vec::new();
//! Packet::MsgPrv { destination: ServerId(7), receiver: "bob", message: "psst" }.encode(&mut bytes);
//! assert_eq!(bytes, b"\x21\0\0\0\x07\0\0\0\x03bob\0\0\0\x04psst");
//! ```
//!
//! `docs/protocol.md` has every packet and every decision on what the RFC leaves open. `docs/examples/` has whole
//! programs.
//!
//! # Stability
//!
//! [`wire`] and [`blocking`] follow semantic versioning. All other modules are the server's own, hidden here, and change
//! without notice.
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `server` | yes | the server, with its dependencies |
//! | `tls` | no | TLS, for the server and the console client |
//! | `client` | no | the console client |
//! | `bench` | no | the benchmark |
//!
//! # How the server is built
//!
//! One process, one thread, one loop. Data goes round once, in one direction:
//!
//! ```text
//!  socket ─▶ inbox ─▶ frame ─▶ packet ─▶ handler of the connection's state ─▶ core ─▶ effects
//!  socket ◀─ outbox ◀─ apply ◀───────────────────────────────────────────────────────────┘
//! ```
//!
//! A handler never writes to a connection: it appends effects, and one place applies them. Each turn of the loop has
//! the same phases: poll; mark what is ready; accept; for each ready connection, in rotation, one read, its packets
//! handled, their effects applied; write every outbox that has something, once; deadlines; dial; free what was closed.
//!
//! | module | content | may import |
//! |---|---|---|
//! | `limits` | the bounds of the server and of the library | |
//! | `wire` | the protocol's bytes: codes, packets, framing | `limits` |
//! | `core` | the server without a kernel: state, sessions, output, engine; no clock, no poll, no file | `wire`, `limits` |
//! | `tls` | TLS for the server and the client | `core`, `wire`, `limits` |
//! | `shell` | all that uses the kernel: poll, sockets, files, signals, clock, options | `core`, `tls`, `wire`, `limits` |
//! | `blocking` | one connection for bots | `wire`, `limits` |
//! | `client`, `bench` | the console client and the benchmark | `wire`, `limits`, and a few modules of the others |
//!
//! Three rules: `wire` is bytes alone; `core` does no I/O; `shell` does it. `tests/layering.rs` checks them.
//!
//! `docs/architecture.md` follows one message through the files.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
pub mod blocking;
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod client;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod core;
#[doc(hidden)]
pub mod limits;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod shell;
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod tls;
pub mod wire;
