//! For each case of a routed server, a mistake that it must find.

use cfp::wire::Code;

use crate::proxy::{Fate, Rule, Way, alters, confuses, on, rewrites};

use Code::{Hello, Links, MrgDecl, MrgRsp, Relay};
use Way::{Down, Up};

/// Ours has this ID.
const ID: [u8; 4] = [0, 0, 0, 7];

/// By the IDs of the cases.
pub fn mistakes() -> Vec<(&'static str, Rule)> {
    vec![
        (
            "D25.1",
            alters(MrgRsp, |bytes| {
                bytes.drain(9..21);
                bytes[8] -= 1;
            }),
        ),
        ("D25.2", confuses(MrgDecl, 1, 0)),
        (
            "D26.1",
            alters(MrgRsp, |bytes| {
                bytes.truncate(9 + 24);
                bytes[8] = 2;
            }),
        ),
        ("D27.1", confuses(MrgDecl, 1, 2)),
        ("D28.1", rewrites(Hello, |bytes| bytes[4] ^= 1)),
        ("D29.1", on(Down, Links, |_, bytes| if bytes[1..5] == ID { Fate::Pass } else { Fate::Drop })),
        ("D32.1", alters(Relay, |bytes| bytes[8] ^= 1)),
        (
            "D33.1",
            // Each is made a new one.
            on(Up, Relay, |memory, bytes| {
                memory.count += 1;
                let mut bytes = bytes.to_vec();
                bytes[16] = memory.count as u8;
                Fate::Replace(bytes)
            }),
        ),
        (
            "D33.2",
            // Each is made one of the first's origin, in the header and in the content.
            on(Up, Relay, |memory, bytes| {
                memory.count += 1;
                if memory.held.is_empty() {
                    memory.held = bytes[5..9].to_vec();
                }
                let mut bytes = bytes.to_vec();
                bytes[5..9].copy_from_slice(&memory.held);
                bytes[18..22].copy_from_slice(&memory.held);
                bytes[16] = memory.count as u8;
                Fate::Replace(bytes)
            }),
        ),
        ("D34.1", alters(Relay, |bytes| bytes[16] ^= 1)),
        ("D34.2", confuses(Relay, 0, 1)),
        ("D34.3", alters(Relay, |bytes| bytes[1..5].copy_from_slice(&ID))),
        ("D39.1", on(Up, Links, |_, bytes| if bytes[1..5] == ID { Fate::Drop } else { Fate::Pass })),
    ]
}
