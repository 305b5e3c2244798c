//! Bytes in a row of blocks, and the pool that lends the blocks and counts them.
//!
//! A queue that grows never moves its content, and needs no space for twice as much. All blocks but the first of a row
//! have one size, so a block that one queue gives back fits every other queue.

use std::collections::{VecDeque, vec_deque};

use crate::limits::{
    QUEUE_BLOCK_BYTES, QUEUE_BLOCK_OVERHEAD_BYTES, QUEUE_FIRST_BLOCK_BYTES, QUEUE_SPARE_BLOCKS,
    QUEUE_SPARE_FIRST_BLOCKS, QUEUE_SPARE_PLACES,
};

/// Entries of a row of records must not stand across two blocks.
const _: () = assert!(QUEUE_FIRST_BLOCK_BYTES.is_multiple_of(16) && QUEUE_BLOCK_BYTES.is_multiple_of(16));

/// Empty blocks for the next use, and how much is lent.
#[derive(Debug, Default)]
pub struct BlockPool {
    first: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    lent_bytes: usize,
}

impl BlockPool {
    /// Memory of the blocks that are in use, in bytes, with what it takes to keep each of them.
    pub fn lent_bytes(&self) -> usize {
        self.lent_bytes
    }

    /// What each block that is kept for the next use holds, in bytes.
    pub fn spare_bytes(&self) -> impl Iterator<Item = usize> {
        self.first.iter().chain(&self.others).map(Vec::capacity)
    }

    /// Counts memory that a queue takes beside its blocks.
    pub fn lend(&mut self, bytes: usize) {
        self.lent_bytes += bytes;
    }

    /// Counts memory that a queue has given back.
    pub fn take_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.lent_bytes, "only what was lent comes back");
        self.lent_bytes = self.lent_bytes.saturating_sub(bytes);
    }

    fn take(&mut self, is_first: bool) -> Vec<u8> {
        let (spare, bytes) = match is_first {
            true => (&mut self.first, QUEUE_FIRST_BLOCK_BYTES),
            false => (&mut self.others, QUEUE_BLOCK_BYTES),
        };
        let block = spare.pop().unwrap_or_else(|| Vec::with_capacity(bytes));
        self.lend(block.capacity() + QUEUE_BLOCK_OVERHEAD_BYTES);
        block
    }

    fn give(&mut self, mut block: Vec<u8>) {
        self.take_back(block.capacity() + QUEUE_BLOCK_OVERHEAD_BYTES);
        let is_first = block.capacity() < QUEUE_BLOCK_BYTES;
        let (spare, most) = match is_first {
            true => (&mut self.first, QUEUE_SPARE_FIRST_BLOCKS),
            false => (&mut self.others, QUEUE_SPARE_BLOCKS),
        };
        if spare.len() < most {
            block.clear();
            spare.push(block);
        }
    }
}

/// Bytes, first in, first out.
///
/// ```text
///   [ written | waits ][ waits        ][ waits | free ]
///             ▲ head
/// ```
#[derive(Debug, Default)]
pub struct Row {
    /// None of them is empty, none but the last has room.
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that are gone.
    head: usize,
    len: usize,
    /// What the blocks take.
    held_bytes: usize,
}

impl Row {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Memory that it takes of the pool.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes.
    pub fn push(&mut self, mut bytes: &[u8], pool: &mut BlockPool) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let free = self.blocks.back().map_or(0, |block| block.capacity() - block.len());
            if free == 0 {
                let block = pool.take(self.blocks.is_empty());
                self.held_bytes += block.capacity() + QUEUE_BLOCK_OVERHEAD_BYTES;
                self.blocks.push_back(block);
                continue;
            }
            let (now, rest) = bytes.split_at(free.min(bytes.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.extend_from_slice(now);
            }
            bytes = rest;
        }
    }

    /// Drops so many bytes from the front, and gives back the blocks that they filled.
    pub fn drop_front(&mut self, count: usize, pool: &mut BlockPool) {
        debug_assert!(count <= self.len);
        self.len = self.len.saturating_sub(count);
        self.head += count;
        while let Some(block) = self.blocks.front()
            && self.head >= block.len()
        {
            self.head -= block.len();
            if let Some(block) = self.blocks.pop_front() {
                self.held_bytes -= block.capacity() + QUEUE_BLOCK_OVERHEAD_BYTES;
                pool.give(block);
            }
        }
    }

    /// Takes an entry from the front, in a row that holds nothing but entries of this size: 16 bytes or a part of that.
    pub fn pop_entry<const N: usize>(&mut self, pool: &mut BlockPool) -> Option<[u8; N]> {
        let entry = *self.blocks.front()?.get(self.head..)?.first_chunk()?;
        self.drop_front(N, pool);
        Some(entry)
    }

    /// Everything that waits, to be looked at from the front.
    pub fn reader(&self) -> Reader<'_> {
        let mut blocks = self.blocks.iter();
        let first = blocks.next().and_then(|block| block.get(self.head..)).unwrap_or(&[]);
        Reader { first, blocks }
    }

    /// All waiting bytes, if they are in one piece.
    pub fn only_slice(&self) -> Option<&[u8]> {
        if self.blocks.len() == 1 { self.blocks.front()?.get(self.head..) } else { None }
    }

    /// Gives everything back. What the row itself takes stays for its next use, within reason.
    pub fn clear(&mut self, pool: &mut BlockPool) {
        self.drop_front(self.len, pool);
        self.blocks.shrink_to(QUEUE_SPARE_PLACES);
    }
}

/// A walk over a row.
#[derive(Debug)]
pub struct Reader<'a> {
    first: &'a [u8],
    blocks: vec_deque::Iter<'a, Vec<u8>>,
}

impl<'a> Reader<'a> {
    /// The next bytes that lie in one piece, `max` at most. Empty at the end.
    pub fn next(&mut self, max: usize) -> &'a [u8] {
        while self.first.is_empty() {
            match self.blocks.next() {
                Some(block) => self.first = block,
                None => return &[],
            }
        }
        let (piece, rest) = self.first.split_at(max.min(self.first.len()));
        self.first = rest;
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(row: &Row) -> Vec<u8> {
        let mut reader = row.reader();
        let mut bytes = Vec::new();
        while let piece = reader.next(usize::MAX)
            && !piece.is_empty()
        {
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    #[test]
    fn what_is_pushed_comes_out_in_order_and_each_block_goes_back_when_it_is_used_up() {
        let (mut row, mut pool) = (Row::default(), BlockPool::default());
        let bytes: Vec<u8> = (0..3 * QUEUE_BLOCK_BYTES).map(|i| (i % 251) as u8).collect();
        bytes.chunks(1013).for_each(|piece| row.push(piece, &mut pool));
        assert_eq!((row.len(), all(&row)), (bytes.len(), bytes.clone()));
        let full = pool.lent_bytes();
        assert!(full >= bytes.len() && full < bytes.len() + QUEUE_BLOCK_BYTES + 5 * QUEUE_BLOCK_OVERHEAD_BYTES);
        let mut gone = 0;
        for step in [1, QUEUE_FIRST_BLOCK_BYTES - 1, 2 * QUEUE_BLOCK_BYTES, 7] {
            row.drop_front(step, &mut pool);
            gone += step;
            assert_eq!(all(&row), bytes[gone..]);
        }
        assert!(pool.lent_bytes() < full - 2 * QUEUE_BLOCK_BYTES);
        row.clear(&mut pool);
        assert_eq!((row.len(), pool.lent_bytes()), (0, 0));
    }

    #[test]
    fn the_pool_keeps_a_bounded_number_of_blocks_and_lends_them_again() {
        let (mut row, mut pool) = (Row::default(), BlockPool::default());
        row.push(&vec![1; 4 * QUEUE_SPARE_BLOCKS * QUEUE_BLOCK_BYTES], &mut pool);
        row.clear(&mut pool);
        assert_eq!(pool.spare_bytes().count(), QUEUE_SPARE_BLOCKS + 1);
        row.push(b"hi", &mut pool);
        assert_eq!((row.only_slice(), pool.spare_bytes().count()), (Some(&b"hi"[..]), QUEUE_SPARE_BLOCKS));
    }
}
