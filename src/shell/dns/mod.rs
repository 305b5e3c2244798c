//! Host names to addresses without blocking: a resolver that has no socket, and the socket that it is lent.

pub mod resolver;
pub mod socket;
