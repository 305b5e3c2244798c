//! What fuzzing of whole clients has found (`tests/fuzz/`, target `session`), as plain tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/metered_pipe.rs"]
mod metered_pipe;
#[path = "support/reference.rs"]
mod reference;
#[path = "support/witnessed.rs"]
mod witnessed;

use cfp::limits;
use witnessed::Server;

#[test]
fn who_neither_logs_in_nor_leaves_is_closed_in_the_end() {
    let mut server = Server::new();
    server.send(0, &[0x00], 1);
    server.run_until_idle();
    server.turn(limits::HANDSHAKE_MS);
    // It was told the end and keeps its side open.
    server.turn(0);
    server.turn(limits::LINGER_MS);
    assert!(server.is_gone(0));
    server.finish();
}
