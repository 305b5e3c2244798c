//! Cases of a client. The kit is its server.

mod cases;
mod console;
mod stage;

pub use cases::CASES;
pub use console::Manner;
pub use stage::{Setup, Stage};
