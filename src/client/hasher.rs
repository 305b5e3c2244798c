//! SHA-256 of what comes in, beside the thread that reads it: a large file comes in faster that way.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};

use super::limits::{HASH_BEHIND_BLOCKS, HASH_BESIDE_BYTES};

/// The hash of a file that comes in block by block.
#[derive(Debug)]
pub enum Hasher {
    /// Hashed by the thread that reads it: a small file is not worth a thread.
    Here(Box<Sha256>),
    /// Hashed by a thread, which is a few blocks behind.
    Beside(SyncSender<Vec<u8>>, JoinHandle<[u8; 32]>),
}

impl Hasher {
    /// For a file of so many bytes.
    pub fn new(bytes: u64) -> Hasher {
        if bytes < HASH_BESIDE_BYTES {
            return Hasher::Here(Box::default());
        }
        let (blocks, incoming) = sync_channel::<Vec<u8>>(HASH_BEHIND_BLOCKS);
        let hash = move || {
            let mut hash = Sha256::new();
            incoming.iter().for_each(|block| hash.update(block));
            hash.finalize().into()
        };
        match thread::Builder::new().name("hashing".into()).spawn(hash) {
            Ok(worker) => Hasher::Beside(blocks, worker),
            Err(_) => Hasher::Here(Box::default()),
        }
    }

    /// Takes the next block. Returns a buffer for the one after it.
    pub fn update(&mut self, mut block: Vec<u8>) -> Vec<u8> {
        match self {
            Hasher::Here(hash) => {
                hash.update(&block);
                block.clear();
                block
            }
            Hasher::Beside(blocks, _) => {
                let capacity = block.capacity();
                // The worker ends only when this sender is gone.
                let _ = blocks.send(block);
                Vec::with_capacity(capacity)
            }
        }
    }

    /// The hash of all blocks; `None` if the worker died.
    pub fn finish(self) -> Option<[u8; 32]> {
        match self {
            Hasher::Here(hash) => Some(hash.finalize().into()),
            Hasher::Beside(blocks, worker) => {
                drop(blocks);
                worker.join().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_same_hash_wherever_it_is_made() {
        for bytes in [0, HASH_BESIDE_BYTES] {
            let mut hasher = Hasher::new(bytes);
            assert_eq!(matches!(hasher, Hasher::Beside(..)), bytes > 0);
            let mut block = Vec::new();
            for number in 0..100u8 {
                block.extend_from_slice(&[number; 1000]);
                block = hasher.update(block);
                assert!(block.is_empty());
            }
            let whole: Vec<u8> = (0..100u8).flat_map(|number| [number; 1000]).collect();
            assert_eq!(hasher.finish(), Some(Sha256::digest(whole).into()));
        }
    }
}
