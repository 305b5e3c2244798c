//! A server for the Chat Fusion Protocol: one process, one thread, one loop.
//!
//! Data goes round once, in one direction:
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
//! | module | what lives there | may import |
//! |---|---|---|
//! | [`wire`] | the protocol's bytes: codes, packets, framing | [`limits`] |
//! | [`core`] | the server without a kernel: state, sessions, output, engine; no clock, no poll, no file | [`wire`] |
//! | [`shell`] | all that meets the kernel: poll, sockets, files, signals, the clock, the command line | [`core`] |
//!
//! Three rules: `wire` knows nobody; `core` knows no kernel; `shell` is the rest. `tests/layering.rs` holds them.
//!
//! `docs/architecture.md` follows one message through the files.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "client")]
pub mod client;
pub mod core;
pub mod limits;
pub mod shell;
pub mod wire;
