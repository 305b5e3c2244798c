//! What waits to be written: public messages once for all clients and once more for all links, the rest for each
//! connection.

pub mod blocks;
pub mod client_outbox;
pub mod link_batch;
pub mod link_outbox;
pub mod outbox;
pub mod public_log;
