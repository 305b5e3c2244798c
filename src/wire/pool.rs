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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_given_back_is_handed_out_again_empty() {
        let mut pool = BufferPool::default();
        pool.give(vec![1; POOL_BUFFER_MAX_BYTES]);
        assert_eq!(pool.spare_bytes().collect::<Vec<_>>(), [POOL_BUFFER_MAX_BYTES]);
        let buffer = pool.take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, POOL_BUFFER_MAX_BYTES));
        assert_eq!(pool.take().capacity(), 0);
    }

    #[test]
    fn what_is_empty_large_or_one_too_many_is_not_kept() {
        let mut pool = BufferPool::default();
        pool.give(Vec::new());
        pool.give(Vec::with_capacity(POOL_BUFFER_MAX_BYTES + 1));
        assert_eq!(pool.spare_bytes().count(), 0);
        for _ in 0..=POOL_MAX_BUFFERS {
            pool.give(Vec::with_capacity(1));
        }
        assert_eq!(pool.spare_bytes().count(), POOL_MAX_BUFFERS);
    }
}
