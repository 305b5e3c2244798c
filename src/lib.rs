//! A server for the Chat Fusion Protocol: one process, one thread, one loop.
//!
//! Data goes round once, in one direction:
//!
//! ```text
//!  socket ─▶ inbox ─▶ frame ─▶ packet ─▶ handler of the connection's state ─▶ core ─▶ effects
//!  socket ◀─ outbox ◀─ settle ◀───────────────────────────────────────────────────────────┘
//! ```
//!
//! A handler never writes to a connection: it appends effects, and one place applies them. Each turn of the loop has
//! the same phases: poll; mark what is ready; accept; for each ready connection, in rotation, one read, its packets
//! handled, their effects settled; write every outbox that has something, once; deadlines; dial; free what was closed.
//!
//! | module | what lives there | may import |
//! |---|---|---|
//! | [`wire`] | the protocol's bytes: codes, packets, framing | [`limits`], [`pool`] |
//! | [`core`] | what all connections share: who is logged in, who is registered, who is merged; effects | `wire`, [`time`] |
//! | [`session`] | what a connection is, a file for each state, with the handlers | `core`, `wire` |
//! | [`public_log`], [`forwards`], [`outbox`] | what waits to be written: public messages once for all, the rest for each | `limits`, `wire` |
//! | [`connection`] | an entry of the slab: socket, inbox, outbox, state | the above |
//! | [`engine`] | the slab, a turn of the loop, settling, deadlines; no clock, no poll | the above |
//! | [`socket`], [`lookup`], [`resolver`], [`control`], [`users_file`] | what the program has to do with the kernel | |
//! | [`reactor`], [`door`] | poll, listeners, dialling, signals, the clock | all of it |
//! | [`options`], [`memory`], [`start`], [`logging`], [`supervisor`] | around the loop: command line, limits, start, log, systemd | |
//!
//! `docs/architecture.md` follows one message through the files.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "client")]
pub mod client;
pub mod connection;
pub mod control;
pub mod core;
pub mod door;
pub mod engine;
pub mod forwards;
pub mod limits;
pub mod logging;
pub mod lookup;
pub mod memory;
pub mod options;
pub mod outbox;
pub mod pool;
pub mod public_log;
pub mod reactor;
pub mod resolver;
pub mod session;
pub mod socket;
pub mod start;
pub mod supervisor;
pub mod time;
pub mod users_file;
pub mod wire;
