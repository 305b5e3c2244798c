//! A server for the Chat Fusion Protocol.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "client")]
pub mod client;
pub mod connection;
pub mod control;
pub mod core;
pub mod engine;
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
