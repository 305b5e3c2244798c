//! PBKDF2-HMAC-SHA256 that can be stopped between two iterations.
//!
//! The HMAC is a library's; the loop around it is here because no library lets go of the processor in between.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The first block of PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2), at some point of its iterations.
#[derive(Clone)]
pub struct Pbkdf2 {
    prf: Hmac<Sha256>,
    /// U_i of the RFC.
    last: [u8; 32],
    /// U_1 xor … xor U_i.
    sum: [u8; 32],
    iterations_left: u32,
}

impl std::fmt::Debug for Pbkdf2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pbkdf2").field("iterations_left", &self.iterations_left).finish_non_exhaustive()
    }
}

impl Pbkdf2 {
    /// Begins; does the first iteration. `iterations` is at least 1.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Pbkdf2 {
        let prf =
            Hmac::<Sha256>::new_from_slice(password).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        let mut first = prf.clone();
        first.update(salt);
        first.update(&1_u32.to_be_bytes());
        let last: [u8; 32] = first.finalize().into_bytes().into();
        Pbkdf2 { prf, last, sum: last, iterations_left: iterations.saturating_sub(1) }
    }

    /// Does up to so many iterations more. Returns the 32 bytes when all are done.
    pub fn advance(&mut self, iterations: u32) -> Option<[u8; 32]> {
        let now = iterations.min(self.iterations_left);
        for _ in 0..now {
            let mut prf = self.prf.clone();
            prf.update(&self.last);
            self.last = prf.finalize().into_bytes().into();
            for (sum, byte) in self.sum.iter_mut().zip(self.last) {
                *sum ^= byte;
            }
        }
        self.iterations_left -= now;
        (self.iterations_left == 0).then_some(self.sum)
    }

    /// Does all that is left.
    pub fn finish(mut self) -> [u8; 32] {
        self.advance(u32::MAX);
        self.sum
    }
}
