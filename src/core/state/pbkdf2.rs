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

#[cfg(test)]
mod tests {
    use super::*;

    /// PBKDF2-HMAC-SHA256 of "password" and "salt", as other libraries have it.
    const KNOWN: [(u32, &str); 3] = [
        (1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"),
        (2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
        (4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    ];

    fn hex(hash: [u8; 32]) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_hash_is_the_same_however_it_is_cut_into_slices() {
        for (iterations, hash) in KNOWN {
            assert_eq!(hex(Pbkdf2::new(b"password", b"salt", iterations).finish()), hash);
            for slice in [1, 3, 1_000, u32::MAX] {
                let mut work = Pbkdf2::new(b"password", b"salt", iterations);
                let done = (1..10_000).find_map(|slices| work.advance(slice).map(|hash| (slices, hash)));
                let (slices, sum) = done.unwrap();
                assert_eq!((slices, hex(sum)), ((iterations - 1).div_ceil(slice).max(1), hash.to_owned()));
            }
        }
    }
}
