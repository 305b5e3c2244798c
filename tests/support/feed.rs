//! Feeds a stream to an `Inbox` the way an engine does: in reads of any size, with walks that stop in the middle and
//! are taken up again later. A connection of the library does neither, so this loop is its own.

use cfp::wire::pool::BufferPool;
use cfp::wire::{FrameLimits, Inbox, Input};

use super::reference::Event;

/// What a connection has of its input side, and what was handled so far.
pub struct Feed {
    pub inbox: Inbox,
    pub events: Vec<Event>,
    pool: BufferPool,
    limits: FrameLimits,
    /// The last walk stopped before its input's end: the kept bytes were not walked yet.
    stopped: bool,
}

impl Feed {
    pub fn new(limits: FrameLimits) -> Feed {
        Feed { inbox: Inbox::default(), events: Vec::new(), pool: BufferPool::default(), limits, stopped: false }
    }

    /// Feeds all of `stream`. Each of the `choices` decides the size of a read or whether a walk stops. 0 is the
    /// plainest choice, and missing choices are 0.
    pub fn all(&mut self, mut stream: &[u8], mut choices: impl Iterator<Item = u8>) {
        let mut choice = || choices.next().unwrap_or(0);
        while !stream.is_empty() {
            let size = match choice() {
                0 => stream.len(),
                small @ 1..=160 => usize::from(small),
                large => usize::from(large - 160) * 128,
            };
            let (read, rest) = stream.split_at(size.min(stream.len()));
            stream = rest;
            self.read(read, &mut choice);
        }
        self.resume(&mut choice);
    }

    /// Feeds one read. A choice decides whether a walk that stopped goes on before it.
    pub fn read(&mut self, read: &[u8], choice: &mut impl FnMut() -> u8) {
        if self.stopped && choice() % 2 == 1 {
            return self.inbox.keep(read, &mut self.pool);
        }
        self.resume(choice);
        self.stopped = self.walk(read, false, choice);
    }

    /// Resumes a stopped walk, to the end of the kept bytes.
    pub fn resume(&mut self, choice: &mut impl FnMut() -> u8) {
        while self.stopped {
            let kept = self.inbox.take_kept();
            self.stopped = self.walk(&kept, true, choice);
            self.pool.give(kept);
        }
    }

    /// One walk; returns true if it stopped. A `resumed` walk handles at least one packet.
    fn walk(&mut self, input: &[u8], resumed: bool, choice: &mut impl FnMut() -> u8) -> bool {
        let mut rest = input;
        let mut must_handle = resumed;
        loop {
            let before = rest;
            let event = match self.inbox.next(&mut rest, &self.limits) {
                Input::Packet(bytes) => Event::Packet(bytes.to_vec()),
                Input::Overlong { code, head } => Event::Overlong(code, head.to_vec()),
                Input::Unknown => Event::Unknown,
                Input::Pending => {
                    self.inbox.keep(rest, &mut self.pool);
                    assert!(self.inbox.kept_bytes() <= self.limits.packet_max_bytes());
                    return false;
                }
            };
            let stop = if must_handle { 0 } else { choice() % 8 };
            must_handle = false;
            if stop == 1 && event != Event::Unknown {
                self.inbox.keep_with_packet(before, rest, &mut self.pool);
                return true;
            }
            self.events.push(event);
            if stop == 2 {
                self.inbox.keep(rest, &mut self.pool);
                return true;
            }
        }
    }
}
