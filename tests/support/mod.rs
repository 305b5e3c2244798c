//! What the tests through the real binary share: the server as a process, and a client that blocks.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

pub mod client;
pub mod metered_pipe;
pub mod pipe;
pub mod server;
pub mod users;

use std::time::Duration;

pub use client::Client;
pub use server::Server;

/// The longest that any test waits for something that must happen. Generous: the machine may be busy with others.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The ID of every server that the tests start.
pub const ID: cfp::wire::ServerId = cfp::wire::ServerId(7);
