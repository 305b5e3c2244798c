//! The rest of files that were not taken or were given up: chunks that must not begin a new file.
//!
//! A chunk does not say which one of a file it is. So the rest of a file can be told from a new one by counting alone.

use super::{Key, Sender};
use crate::client::limits::{PASSED_OVER_MAX, PASSED_OVER_MS, PASSED_OVER_PER_SENDER_MAX};
use crate::wire::FileChunk;

/// All files whose further chunks are passed over in silence.
#[derive(Debug, Default)]
pub(super) struct PassedOver(Vec<Rest>);

#[derive(Debug)]
struct Rest {
    key: Key,
    name: String,
    chunks: u32,
    chunks_left: u32,
    last_ms: u64,
}

impl PassedOver {
    /// From now on, the rest of a file is ignored. If there are too many, one of the same sender is forgotten before
    /// others.
    pub fn add(&mut self, key: Key, name: String, chunks: u32, chunks_done: u32, now_ms: u64) {
        let chunks_left = chunks.saturating_sub(chunks_done);
        if chunks_left == 0 {
            return;
        }
        let theirs = self.0.iter().filter(|rest| rest.key.from == key.from).count();
        if theirs >= PASSED_OVER_PER_SENDER_MAX {
            if let Some(oldest) = self.0.iter().position(|rest| rest.key.from == key.from) {
                self.0.remove(oldest);
            }
        } else if self.0.len() >= PASSED_OVER_MAX {
            self.0.remove(0);
        }
        self.0.push(Rest { key, name, chunks, chunks_left, last_ms: now_ms });
    }

    /// Whether a chunk belongs to one of them. A chunk that says something else of its file begins a new one.
    pub fn takes(&mut self, from: Sender<'_>, chunk: &FileChunk<'_>, now_ms: u64) -> bool {
        let Some(at) = self.0.iter().position(|rest| from.is(&rest.key, chunk.transfer_id)) else { return false };
        let Some(rest) = self.0.get_mut(at) else { return false };
        let belongs = rest.chunks == chunk.chunks && rest.name == chunk.file_name;
        rest.chunks_left -= 1;
        rest.last_ms = now_ms;
        if !belongs || rest.chunks_left == 0 {
            self.0.remove(at);
        }
        belongs
    }

    /// The sender announces a file with this transfer ID: what comes next is that one.
    pub fn forget(&mut self, key: &Key) {
        self.0.retain(|rest| rest.key != *key);
    }

    /// Forgets those of which nothing has come for long.
    pub fn on_time(&mut self, now_ms: u64) {
        self.0.retain(|rest| now_ms.saturating_sub(rest.last_ms) < PASSED_OVER_MS);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
