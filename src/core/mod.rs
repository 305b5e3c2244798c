//! The server without a kernel: no socket, clock, file or randomness. Time comes in as [`time::Millis`], seeds come in
//! as numbers, and what only the kernel can do goes out as a [request](engine::Request). The simulator runs this code
//! unchanged.
//!
//! | folder | what lives there | may import |
//! |---|---|---|
//! | [`time`] | milliseconds | nothing |
//! | [`state`] | the state that connections share: clients, registered users, servers; effects | [`time`] |
//! | [`output`] | what waits to be written | [`time`] |
//! | [`session`] | a file for each state of a connection, with its handler | `state` |
//! | [`engine`] | the slab of connections, and one turn of the loop over it | all of these |
//!
//! All of them may import `wire` and `limits`.

pub mod engine;
pub mod output;
pub mod session;
pub mod state;
pub mod time;
