//! From bytes as they come to whole packets.

use super::frame::Skipped;
use super::{Code, CutOff, FrameLimits, Scan, Skip, scan};
use crate::wire::pool::BufferPool;

/// What a connection keeps of its input between two reads: nothing, or the start of one packet, or whole packets that
/// its state was not ready to handle.
///
/// All connections share one read buffer, and packets are handled in place there. Only a packet that was cut at the end
/// of a read is put together in here:
///
/// ```text
///  carry [ start of a packet |          the read [ its end | packet | packet | start of … ]
///                            ╰───── moved here ◀────────╯                    ╰─▶ kept as the next carry
/// ```
///
/// Invariants: while `skip` is there, `carry` is empty or is input that has not been looked at; an incomplete packet
/// in `carry` is never longer than [`FrameLimits::packet_max_bytes`].
#[derive(Debug, Default)]
pub struct Inbox {
    carry: Vec<u8>,
    /// The packet in `carry` has been handed out.
    handed_out: bool,
    /// Size of what the last step handed out from its input: a step may have dropped the end of a skipped packet before.
    handed_out_of_input_bytes: usize,
    skip: Option<Skip>,
}

/// What stands next in the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// One whole packet.
    Packet(&'a [u8]),
    /// A packet that is skipped: of `code`, with a field over its limit (or nested forwards). `head` ends with the
    /// count that was too large. Said once, when that is known; the rest is dropped as it comes.
    Overlong {
        /// The packet's code.
        code: Code,
        /// Its bytes up to the over-long field.
        head: &'a [u8],
    },
    /// An unknown code was skipped.
    Unknown,
    /// Nothing more can be said before more input comes.
    Pending,
}

impl Inbox {
    /// Takes the next packet from what is kept and from the front of `input`.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8], limits: &FrameLimits) -> Input<'a> {
        self.drop_handed_out();
        loop {
            if let Some(skip) = &mut self.skip {
                match skip.advance(input) {
                    Skipped::More => return Input::Pending,
                    Skipped::Done => self.skip = None,
                    Skipped::Unknown => {
                        self.skip = None;
                        return Input::Unknown;
                    }
                }
            }
            if self.carry.is_empty() {
                return self.next_in_input(input, limits);
            }
            match scan(&self.carry, limits) {
                Scan::Incomplete { total } => {
                    let missing = total - self.carry.len();
                    let (taken, rest) = input.split_at(missing.min(input.len()));
                    if taken.is_empty() {
                        return Input::Pending;
                    }
                    // Twice as much when it grows, so that many small reads copy little, but never more than the packet.
                    let needed = self.carry.len() + taken.len();
                    if needed > self.carry.capacity() {
                        let capacity = needed.max(total.min(2 * self.carry.capacity()));
                        self.carry.reserve_exact(capacity - self.carry.len());
                    }
                    self.carry.extend_from_slice(taken);
                    *input = rest;
                }
                // In these three cases, `carry` ends at the end of the packet, its head or the code: no step took more
                // than was missing.
                Scan::Packet { len } => {
                    debug_assert_eq!(len, self.carry.len());
                    self.handed_out = true;
                    return Input::Packet(&self.carry);
                }
                Scan::Overlong { code, head, skip } => {
                    debug_assert_eq!(head, self.carry.len());
                    self.skip = Some(skip);
                    self.handed_out = true;
                    return Input::Overlong { code, head: &self.carry };
                }
                Scan::Unknown { len } => {
                    debug_assert_eq!(len, self.carry.len());
                    self.carry.clear();
                    return Input::Unknown;
                }
            }
        }
    }

    fn next_in_input<'i>(&mut self, input: &mut &'i [u8], limits: &FrameLimits) -> Input<'i> {
        if input.is_empty() {
            return Input::Pending;
        }
        match scan(input, limits) {
            Scan::Incomplete { .. } => Input::Pending,
            Scan::Packet { len } => {
                self.handed_out_of_input_bytes = len;
                Input::Packet(split_off(input, len))
            }
            Scan::Overlong { code, head, skip } => {
                self.skip = Some(skip);
                self.handed_out_of_input_bytes = head;
                Input::Overlong { code, head: split_off(input, head) }
            }
            Scan::Unknown { len } => {
                split_off(input, len);
                Input::Unknown
            }
        }
    }

    /// Ends a walk: keeps `rest`, the input that was not taken.
    pub fn keep(&mut self, rest: &[u8], pool: &mut BufferPool) {
        self.drop_handed_out();
        self.append(rest, pool);
    }

    /// Ends a walk at a packet that was handed out and not handled (it may be over-long). Keeps the packet too, so that
    /// it is handed out again. `from_packet` is the input as it was before the call that handed it out.
    pub fn keep_with_packet(&mut self, from_packet: &[u8], rest: &[u8], pool: &mut BufferPool) {
        // The skip of an over-long packet begins anew with it; no other packet leaves one.
        self.skip = None;
        if std::mem::take(&mut self.handed_out) {
            self.append(rest, pool);
        } else {
            let dropped = from_packet.len().saturating_sub(rest.len() + self.handed_out_of_input_bytes);
            self.append(from_packet.get(dropped..).unwrap_or_default(), pool);
        }
    }

    /// Takes out what is kept, to be walked again as input. Between two walks, this may hold whole packets.
    pub fn take_kept(&mut self) -> Vec<u8> {
        debug_assert!(!self.handed_out);
        std::mem::take(&mut self.carry)
    }

    /// Length in bytes of the field that is being skipped, as its packet announced it; 0 if none is. On a link, a
    /// length that no server allows shows that the frame is lost (D19).
    pub fn skipped_field_bytes(&self) -> u64 {
        self.skip.as_ref().map_or(0, Skip::announced_bytes)
    }

    /// The packet in whose middle the stream stands, if it is one that is kept.
    pub fn cut_off(&self, limits: &FrameLimits) -> Option<CutOff> {
        if self.skip.is_some() { None } else { CutOff::of(&self.carry, limits) }
    }

    /// Bytes kept.
    pub fn kept_bytes(&self) -> usize {
        self.carry.len()
    }

    /// Memory that they take.
    pub fn held_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// Whether the stream stands in the middle of a packet (or has whole packets waiting).
    pub fn is_mid_packet(&self) -> bool {
        !self.carry.is_empty() || self.skip.is_some()
    }

    fn drop_handed_out(&mut self) {
        if std::mem::take(&mut self.handed_out) {
            self.carry.clear();
        }
    }

    fn append(&mut self, bytes: &[u8], pool: &mut BufferPool) {
        if self.carry.is_empty() {
            // The buffer goes back through the pool, so that a large buffer does not stay for one byte of the next
            // packet.
            pool.give(std::mem::take(&mut self.carry));
            if bytes.is_empty() {
                return;
            }
            self.carry = pool.take();
        }
        self.carry.reserve_exact(bytes.len());
        self.carry.extend_from_slice(bytes);
    }
}

/// Splits `len` bytes off the front of `input`, fewer if there are fewer.
fn split_off<'i>(input: &mut &'i [u8], len: usize) -> &'i [u8] {
    let (front, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
    *input = rest;
    front
}
