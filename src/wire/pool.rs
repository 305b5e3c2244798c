//! Buffers that pass from connection to connection. Steady traffic allocates nothing, and an idle connection owns no
//! buffer.

use crate::limits::{POOL_BUFFER_MAX_BYTES, POOL_MAX_BUFFERS};

/// Empty buffers with some capacity, ready for use.
#[derive(Debug, Default)]
pub struct BufferPool {
    spare: Vec<Vec<u8>>,
}

impl BufferPool {
    /// An empty buffer; it has capacity if the pool had one.
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back. What grew large goes to the allocator.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity > 0 && capacity <= POOL_BUFFER_MAX_BYTES && self.spare.len() < POOL_MAX_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// What each buffer that is kept holds, in bytes.
    pub fn spare_bytes(&self) -> impl Iterator<Item = usize> {
        self.spare.iter().map(Vec::capacity)
    }
}
