//! What waits to be written: public messages once for all clients and once more for all links, the rest for each
//! connection.

pub mod link_batch;
pub mod outbox;
pub mod public_log;
