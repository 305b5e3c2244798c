//! A server for the Chat Fusion Protocol.

pub mod limits;
pub mod pool;
pub mod wire;
