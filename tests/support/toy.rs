//! A toy in the place of TLS: the same records and pauses, and for a seed the same bytes.
//!
//! ```text
//!  dialler 16 0303 len [hello]   ▶        the first byte decides, as for TLS
//!          ◀ 16 0303 len [answer]
//!          16 0303 len [finished] ▶       then records of type 17, each byte the other way round
//! ```

use cfp::core::engine::cipher::{Cipher, Ciphers, Opened, Refusal};
use cfp::core::state::counters::TlsFailure;
use cfp::wire::ServerId;

const HANDSHAKE: u8 = 0x16;
const DATA: u8 = 0x17;
const END: u8 = 0x15;
/// Sent as a record of its own, it asks for one.
pub const PING: u8 = 0x18;

/// Makes toys.
#[derive(Debug)]
pub struct ToyCiphers {
    pub is_required: bool,
}

impl Ciphers for ToyCiphers {
    type Cipher = Toy;

    fn accept(&self) -> Option<Toy> {
        Some(Toy::new(false))
    }

    fn is_required(&self) -> bool {
        self.is_required
    }
}

/// One end.
#[derive(Debug)]
pub struct Toy {
    is_dialler: bool,
    /// Steps of the handshake that have been taken.
    steps: u8,
}

impl Toy {
    pub fn new(is_dialler: bool) -> Toy {
        Toy { is_dialler, steps: 0 }
    }
}

/// A record.
pub fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &len[..], &bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()].concat()
}

/// A record of data.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    record(DATA, bytes)
}

/// All of a dialler's handshake, which needs no answer to be sent.
pub fn handshake() -> Vec<u8> {
    [record(HANDSHAKE, b"hello"), record(HANDSHAKE, b"finished")].concat()
}

/// The record that ends.
pub fn end() -> Vec<u8> {
    record(END, b"")
}

/// The content of the records of data, and whether an end came.
pub fn opened(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let (mut plain, mut has_end) = (Vec::new(), false);
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == DATA {
            plain.extend(rest[..len].iter().map(|byte| !byte));
        }
        has_end |= *kind == END;
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "whole records");
    (plain, has_end)
}

impl Cipher for Toy {
    fn open(&mut self, input: &mut [u8], plain: &mut [u8], out: &mut Vec<u8>) -> Result<Opened, Refusal> {
        let mut opened = Opened::default();
        if self.is_dialler && self.steps == 0 {
            out.extend(record(HANDSHAKE, b"hello"));
            self.steps = 1;
        }
        while let [kind, _, _, high, low, rest @ ..] = &input[opened.consumed..] {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(bytes) = rest.get(..len) else { break };
            match (*kind, self.is_handshaking()) {
                (HANDSHAKE, true) => {
                    self.steps += 1;
                    if self.steps < 3 || self.is_dialler {
                        out.extend(record(HANDSHAKE, if self.is_dialler { b"finished" } else { b"answer" }));
                    }
                    self.steps += 1;
                }
                (DATA, false) => {
                    for (place, byte) in plain[opened.plain..].iter_mut().zip(bytes) {
                        *place = !byte;
                    }
                    opened.plain += len;
                    opened.records += usize::from(len > 0);
                }
                (END, false) => {
                    opened.is_end = true;
                    opened.consumed = input.len();
                    break;
                }
                (PING, false) => out.extend(record(PING, b"")),
                _ => {
                    out.extend(record(END, b"alert"));
                    return Err(Refusal::Tls(TlsFailure::Protocol, format!("a record of type {kind:#x}")));
                }
            }
            opened.consumed += 5 + len;
        }
        Ok(opened)
    }

    fn seal(&mut self, _: &mut [u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        out.extend(sealed(plain));
        Ok(())
    }

    fn seal_end(&mut self, _: &mut [u8], out: &mut Vec<u8>) {
        out.extend(end());
    }

    fn is_handshaking(&self) -> bool {
        self.steps < 3
    }

    fn certified_ids(&self) -> Option<&[ServerId]> {
        None
    }
}
