//! Whole clients: bytes in, the engine, bytes out. The input is a list of what four connections do to a server while a
//! well-behaved client looks on:
//!
//! ```text
//!  what (5 bits), who (3 bits) | arguments | what, who | …
//! ```
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../support/metered_pipe.rs"]
mod metered_pipe;
#[path = "../../support/reference.rs"]
mod reference;
#[path = "../../support/witnessed.rs"]
mod witnessed;

use libfuzzer_sys::fuzz_target;
use witnessed::{SLOTS, Server};

fuzz_target!(|data: &[u8]| {
    let mut server = Server::new();
    let mut input = Script(data);
    while let Some(what) = input.byte() {
        let slot = usize::from(what & 7) % SLOTS;
        match what >> 3 {
            0 => {
                let count = input.count();
                server.send(slot, input.bytes(count), 1);
            }
            1 => {
                let (times, count) = (input.count(), input.count());
                server.send(slot, input.bytes(count), times);
            }
            2 => server.turn(0),
            3 => server.run_until_idle(),
            4 => match input.count() {
                255 => server.set_room(slot, usize::MAX),
                small => server.set_room(slot, small * small),
            },
            5 => server.set_read_max(slot, input.count()),
            6 => server.end(slot),
            7 => {
                // Up to two minutes.
                let time = input.count() as u64;
                server.turn(2 * time * time);
            }
            8 => server.reset(slot),
            9 => server.answer_dial(slot, true),
            10 => server.answer_dial(slot, false),
            // So that chance does not waste most bytes.
            _ => server.turn(1),
        }
    }
    server.finish();
});

/// The rest of the input.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn count(&mut self) -> usize {
        self.byte().unwrap_or(0).into()
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
