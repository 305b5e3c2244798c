//! What a write was given, taken in pieces of a record's size.

use std::io::IoSlice;

/// Bytes that are left to be written.
pub(super) struct Rest<'a> {
    slices: &'a [IoSlice<'a>],
    /// So far in the first of them.
    at: usize,
}

impl<'a> Rest<'a> {
    pub(super) fn of(slices: &'a [IoSlice<'a>]) -> Rest<'a> {
        Rest { slices, at: 0 }
    }

    /// The next piece of at most `max` bytes: as it lies there, if it is in one slice, else put together.
    pub(super) fn take<'b>(&mut self, max: usize, gathered: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        gathered.clear();
        while let Some((first, others)) = self.slices.split_first() {
            let slice = first.get(self.at..).unwrap_or(&[]);
            let is_alone = gathered.is_empty() && (slice.len() >= max || others.is_empty());
            let (piece, rest) = slice.split_at(slice.len().min(max - gathered.len()));
            if rest.is_empty() {
                (self.slices, self.at) = (others, 0);
            } else {
                self.at += piece.len();
            }
            if is_alone {
                return piece;
            }
            gathered.extend_from_slice(piece);
            if gathered.len() == max {
                break;
            }
        }
        gathered
    }
}
