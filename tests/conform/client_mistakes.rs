//! For each case of a client, a mistake that it must find. Up is from the client to the kit.

use std::path::Path;

use cfp::wire::{Code, Packet};

use crate::proxy::{Fate, Piece, Rule, Way, closes_on_malformed, on, rewrites, rule, sets};
use crate::support::client::encoded;

use Way::{Down, Up};

pub fn mistakes(download: &Path) -> Vec<(&'static str, Rule)> {
    let elsewhere = download.to_owned();
    let flips_last = |code| rewrites(code, |bytes| *bytes.last_mut().unwrap() ^= 1);
    vec![
        ("C2.1", rule(|_, way, piece| if (way, piece) == (Down, Piece::Partial) { Fate::Close } else { Fate::Pass })),
        (
            "C2.2",
            rule(|_, way, piece| match piece {
                Piece::Packet(_, 1..) if way == Down => Fate::Drop,
                _ => Fate::Pass,
            }),
        ),
        ("C3.1", flips_last(Code::AuthGst)),
        ("C3.2", flips_last(Code::AuthUsr)),
        ("C3.3", on(Down, Code::AuthRsp, |_, _| Fate::Answer(encoded(&Packet::MsgPbl { message: "am I in?" })))),
        ("C4.1", flips_last(Code::MsgPbl)),
        (
            "C4.2",
            rewrites(Code::MsgPbl, |bytes| {
                let characters = String::from_utf8_lossy(&bytes[5..]).chars().count() as u32;
                bytes[1..5].copy_from_slice(&characters.to_be_bytes());
            }),
        ),
        ("C4.3", sets_message()),
        ("C5.1", rewrites(Code::MsgPrv, |bytes| bytes[4] = 99)),
        ("C5.2", on(Down, Code::MsgPrvInc, |_, _| Fate::Drop)),
        (
            "C6.1",
            rewrites(Code::FileChnk, |bytes| {
                let at = bytes.len() - 1024;
                bytes[at] ^= 1;
            }),
        ),
        (
            "C6.2",
            rewrites(Code::FileChnk, |bytes| {
                let receiver = 9 + bytes[8] as usize;
                bytes[receiver..receiver + 4].fill(1);
            }),
        ),
        ("C6.3", on(Down, Code::FileChnkInc, |_, _| Fate::Drop)),
        ("C8.1", on(Down, Code::Error, |_, _| Fate::Close)),
        ("CD1.1", closes_on_malformed(Down)),
        ("CD10.1", on(Down, Code::MsgPblInc, |_, bytes| if bytes.len() > 60_000 { Fate::Drop } else { Fate::Pass })),
        ("CD11.1", flips_last(Code::FileChnk)),
        (
            "CD11.2",
            on(Down, Code::FileChnkInc, move |_, bytes| {
                if let Ok(Packet::FileChnkInc { chunk, .. }) = Packet::decode(bytes) {
                    std::fs::write(elsewhere.join(chunk.file_name), chunk.content).unwrap();
                }
                Fate::Pass
            }),
        ),
        ("CD22.1", rule(|_, way, piece| if (way, piece) == (Up, Piece::End) { Fate::Drop } else { Fate::Pass })),
    ]
}

/// The message is another one.
fn sets_message() -> Rule {
    sets(Code::MsgPblInc, 20, b'?')
}
