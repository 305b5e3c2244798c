//! Host names to addresses without blocking: a [resolver] that has no socket, and the [`Socket`] that it is lent.

pub mod resolver;
mod socket;

pub use socket::Socket;
