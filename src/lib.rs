//! The Chat Fusion Protocol (CFP): chat over TCP, with guests and registered users, files, and servers that merge.
//!
//! This package is a server, `cfp-server`, a console client, `cfp-client`, and this library for authors of bots,
//! clients and servers. It is called `cfp` in the code.
//!
//! # A bot in ten minutes
//!
//! Start a server in a clone of the repository, and make a program beside the clone:
//!
//! ```text
//! cfp-server$ cargo run --release --bin cfp-server -- --id 7
//!
//! $ cargo new clock && cd clock
//! clock$ cargo add cfp-server --path ../cfp-server --no-default-features
//! ```
//!
//! Without the default features, the library is nine small crates, itself among them, and nothing of the server. Its
//! first build takes 5 seconds of processor time. This is `src/main.rs`, a bot that answers each private message with the
//! time:
//!
//! ```no_run
//! use cfp::blocking::{Connection, Event, Login};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut connection = Connection::connect("127.0.0.1:7777", Login::Guest("clock"))?;
//!     connection.say("tell me anything, and I say what time it is")?;
//!     while let Some(event) = connection.next_event()? {
//!         if let Event::Private { from, .. } = event {
//!             let seconds = std::time::UNIX_EPOCH.elapsed()?.as_secs();
//!             connection.tell(&from, &format!("{seconds} seconds since 1970"))?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! `cargo run` starts it. Talk with it from a third terminal: type `/msg clock@7 what time is it?`
//!
//! ```text
//! cfp-server$ cargo run --release --features client --bin cfp-client -- 127.0.0.1:7777 ana
//! ```
//!
//! | a bot | calls |
//! |---|---|
//! | logs in as a registered user | [`Login::User`] |
//! | lets nobody listen on the way | `connect_tls`, with the feature `tls`: 22 crates, 19 seconds |
//! | talks in public, or to one person | [`say`], [`tell`] |
//! | waits for what happens, or does something from time to time | [`next_event`], [`next_event_within`] |
//! | sends and receives files | [`send_file`], [`accept_files`] |
//! | writes to somebody who has not written first | `"ana@7".parse::<`[`Person`]`>()` |
//! | runs for years | [connects again](blocking#connecting-again) when the server has restarted |
//!
//! [`Login::User`]: blocking::Login::User
//! [`say`]: blocking::Connection::say
//! [`tell`]: blocking::Connection::tell
//! [`next_event`]: blocking::Connection::next_event
//! [`next_event_within`]: blocking::Connection::next_event_within
//! [`send_file`]: blocking::Connection::send_file
//! [`accept_files`]: blocking::Connection::accept_files
//! [`Person`]: blocking::Person
//!
//! [`blocking`] says what every bot has to know. `docs/examples/` has whole programs: the echo bot, and a bridge
//! between two servers that do not merge.
//!
//! # Packets
//!
//! [`wire`] is the packets themselves, for programs with sockets of their own:
//!
//! ```
//! use cfp::wire::{Decoder, Packet, ServerId};
//!
//! let mut bytes = Vec::new();
//! Packet::MsgPrv { destination: ServerId(7), receiver: "bob", message: "psst" }.encode(&mut bytes);
//! assert_eq!(bytes, b"\x21\0\0\0\x07\0\0\0\x03bob\0\0\0\x04psst");
//!
//! let mut decoder = Decoder::new();
//! decoder.feed(&bytes);
//! assert!(matches!(decoder.next(), Some(Ok(Packet::MsgPrv { receiver: "bob", .. }))));
//! ```
//!
//! `docs/protocol.md` has every packet and every decision on what the RFC leaves open, and `docs/vectors.json` has them
//! as data.
//!
//! # Stability
//!
//! [`wire`] and [`blocking`] follow semantic versioning; `docs/public-api.txt` lists them line by line. All other modules
//! are the server's own, hidden here, and change without notice.
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `server` | yes | the server, with its dependencies |
//! | `tls` | yes | TLS, for the programs, and for bots without the server |
//! | `client` | no | the console client |
//! | `bench` | no | the benchmark |
//! | `conform` | no | the conformance kit, which needs no server |
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
//! | `tls` | TLS for the server, the client and bots | `core`, `wire`, `limits` |
//! | `shell` | all that uses the kernel: poll, sockets, files, signals, clock, options | `core`, `tls`, `wire`, `limits` |
//! | `blocking` | one connection for bots | `tls`, `wire`, `limits` |
//! | `arguments` | command lines, by the rules of all programs | |
//! | `conform` | the conformance kit | `wire`, `blocking`, `arguments` |
//! | `client` | the console client | `wire`, `blocking`, `limits`, and a few modules of the others |
//! | `bench` | the benchmark | `wire`, `limits`, and a few modules of the others |
//!
//! Three rules: `wire` is bytes alone; `core` does no I/O; `shell` does it. `tests/layering.rs` checks them.
//!
//! `docs/architecture.md` follows one message through the files.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(any(feature = "server", feature = "conform"))]
#[doc(hidden)]
pub mod arguments;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
pub mod blocking;
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod client;
#[cfg(feature = "conform")]
#[doc(hidden)]
pub mod conform;
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
