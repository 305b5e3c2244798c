//! Host names to addresses without blocking: a [resolver] that has no socket, and the [`Socket`] that it is lent.

mod hosts;
pub mod resolver;
mod socket;

pub use socket::Socket;
