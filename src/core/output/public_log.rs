//! The stream of public messages, kept once for all clients.
//!
//! Every client of a server gets the same public messages in the same order (D6). So they are encoded once, into one
//! log, and a client's position in it is a number:
//!
//! ```text
//!   start                                             end
//!     ▼                                                ▼
//!     [ block of 64 KiB ][ block of 64 KiB ][ block …  ]
//!          ▲ a slow reader    ▲ another            ▲ all that keep up: written in this turn
//! ```
//!
//! A reader that is behind *pins* the block in which it stands. Blocks before the first pinned one are freed at the end
//! of each turn, so a hundred slow readers cost the memory of the slowest.

use std::collections::VecDeque;

use crate::limits::LOG_BLOCK_BYTES;

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Readers that stand in this block.
    pins: u32,
}

impl Block {
    /// Appends bytes for which there is space. A block never takes more than its size.
    fn append(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.max(2 * self.bytes.capacity()).min(LOG_BLOCK_BYTES);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// The log. Positions are bytes since the server started.
#[derive(Debug, Default)]
pub struct PublicLog {
    /// All full but the last; together they cover `start..end`.
    blocks: VecDeque<Block>,
    start: u64,
    end: u64,
    spare: Vec<u8>,
}

impl PublicLog {
    /// The position behind the newest message.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Memory in bytes that the log holds for readers that are behind, without the last block's free space.
    pub fn held_bytes(&self) -> usize {
        usize::try_from(self.end - self.start).unwrap_or(usize::MAX)
    }

    /// The bytes from `position` to the end of the block that it is in. Empty at the end of the log.
    pub fn slice_at(&self, position: u64) -> &[u8] {
        let (index, offset) = self.place(position);
        self.blocks.get(index).and_then(|block| block.bytes.get(offset..)).unwrap_or(&[])
    }

    /// Appends one message.
    pub fn append(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.blocks.back().map_or(0, |block| LOG_BLOCK_BYTES - block.bytes.len());
            if room == 0 {
                self.blocks.push_back(Block { bytes: std::mem::take(&mut self.spare), pins: 0 });
                continue;
            }
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if let Some(block) = self.blocks.back_mut() {
                block.append(now);
            }
            bytes = rest;
        }
    }

    /// A reader stays behind at `position`, before the end.
    pub fn pin(&mut self, position: u64) {
        debug_assert!(position >= self.start && position < self.end);
        let (index, _) = self.place(position);
        if let Some(block) = self.blocks.get_mut(index) {
            block.pins += 1;
        }
    }

    /// The reader that stood at `position` has moved on, or is gone.
    pub fn unpin(&mut self, position: u64) {
        let (index, _) = self.place(position);
        if let Some(block) = self.blocks.get_mut(index) {
            debug_assert!(block.pins > 0, "only a pinned block is unpinned");
            block.pins -= 1;
        }
    }

    /// Frees the blocks that are no longer needed: every reader stands at the end or has pinned its position.
    pub fn trim(&mut self) {
        while let Some(block) = self.blocks.front()
            && block.pins == 0
        {
            self.start += block.bytes.len() as u64;
            let Some(mut block) = self.blocks.pop_front() else { break };
            block.bytes.clear();
            self.spare = block.bytes;
        }
    }

    /// Pins of all blocks, for the engine's own check.
    pub fn pins(&self) -> usize {
        self.blocks.iter().map(|block| block.pins as usize).sum()
    }

    fn place(&self, position: u64) -> (usize, usize) {
        let distance = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        (distance / LOG_BLOCK_BYTES, distance % LOG_BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(log: &PublicLog, mut position: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while position < log.end() {
            let slice = log.slice_at(position);
            all.extend_from_slice(slice);
            position += slice.len() as u64;
        }
        all
    }

    #[test]
    fn what_was_appended_is_read_from_any_position_across_blocks() {
        let mut log = PublicLog::default();
        let written: Vec<u8> = (0..3 * LOG_BLOCK_BYTES + 77).map(|i| (i % 251) as u8).collect();
        for piece in written.chunks(1013) {
            log.append(piece);
        }
        for position in [0, 1, LOG_BLOCK_BYTES - 1, LOG_BLOCK_BYTES, 2 * LOG_BLOCK_BYTES + 5, written.len()] {
            assert_eq!(read_from(&log, position as u64), written[position..]);
        }
    }

    #[test]
    fn a_block_that_grows_is_moved_few_times_and_has_no_more_than_its_size() {
        let mut log = PublicLog::default();
        let mut sizes = Vec::new();
        for _ in 0..LOG_BLOCK_BYTES {
            log.append(b"x");
            let capacity = log.blocks[0].bytes.capacity();
            if sizes.last() != Some(&capacity) {
                sizes.push(capacity);
            }
        }
        assert_eq!(sizes, (0..=LOG_BLOCK_BYTES.ilog2()).map(|bits| 1 << bits).collect::<Vec<usize>>());
    }

    #[test]
    fn blocks_stay_while_a_reader_stands_in_them_or_before_them() {
        let mut log = PublicLog::default();
        log.append(&vec![1; LOG_BLOCK_BYTES + 10]);
        let behind = 5;
        log.pin(behind);
        log.append(&vec![2; LOG_BLOCK_BYTES]);
        log.trim();
        assert_eq!(log.held_bytes(), 2 * LOG_BLOCK_BYTES + 10);
        log.unpin(behind);
        let ahead = LOG_BLOCK_BYTES as u64 + 3;
        log.pin(ahead);
        log.trim();
        assert_eq!(log.held_bytes(), LOG_BLOCK_BYTES + 10);
        assert_eq!(log.slice_at(ahead)[0], 1);
        log.unpin(ahead);
        log.trim();
        assert_eq!((log.held_bytes(), log.pins()), (0, 0));
        log.append(b"next");
        assert_eq!(read_from(&log, 2 * LOG_BLOCK_BYTES as u64 + 10), b"next");
    }
}
