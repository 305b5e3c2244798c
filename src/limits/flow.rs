//! Who waits for whom, and for how long, if a receiver is behind (D49).

/// A queue is past its high-water mark at this part of its limit: its senders are then slowed (D49). Used up by a
/// receiver that reads slowly, or by its senders; the senders pay with waits that the next ones bound.
pub const HIGH_WATER_DIVISOR: usize = 4;
/// The highest high-water mark of a link. Everything that is sent next waits behind a link's queue, so senders wait
/// early there. The limit is for public messages, which are never held back for a link. Used up by clients here that
/// send to that server; those pay that send more.
pub const LINK_HIGH_WATER_BYTES: usize = 128 * 1024;
/// The longest pause of a link, for a receiver that is behind or a sender of too much. Every other user behind the link
/// waits, too. Used up by one receiver, or by one user behind the link; all users behind it pay, so the next one bounds
/// how often.
pub const LINK_PAUSE_MS: u64 = 250;
/// After so long a pause, so much is handled of a link before the next one; after a shorter one, less in proportion. So
/// a link moves half a megabyte a second at the very least, whatever its receivers and senders do. Used up by a pause;
/// the next one pays: it does not come, and the packet is queued or refused.
pub const LINK_RELIEF_BYTES: u64 = 128 * 1024;
/// A client's file chunk waits for a receiver that is behind until that has taken so much since the wait began. Counted
/// by what it takes, not by what waits for it: others can keep that up. Used up by the receiver; the sender of the file
/// pays with this wait, which the next one ends.
pub const CHUNK_PAUSE_BYTES: usize = 32 * 1024;
/// A receiver that takes less in this time, under 4 KiB a second, is closed as a slow reader, and the sender goes on.
/// Used up by the receiver; it pays.
pub const CHUNK_PAUSE_MS: u64 = 8_000;
/// A client that is behind itself is paused, too, so that its reading paces its own echoes. It goes on when it has
/// taken this much more than its longest packet, or after the time below: others can keep its queue filled. Used up by
/// the client's own reading; it pays.
pub const OWN_PAUSE_BYTES: usize = 1024;
/// The longest such pause. Used up by whoever fills its queue; the client pays with a second for each of its packets,
/// and no more.
pub const OWN_PAUSE_MS: u64 = 1_000;
/// Bytes a second of private messages to receivers that are behind: from one client, or from one link for all its
/// users. Used up by a sender; it pays with a wait of a second at most. Of a link, by any user behind it; the link's
/// pauses are bounded above.
pub const MESSAGE_RATE_BYTES: usize = 128 * 1024;
/// So much of it at once, before anything waits: what people write never does. Used up by a sender; it pays.
pub const MESSAGE_BURST_BYTES: usize = 64 * 1024;
/// Private messages and file chunks fill a queue to this part of its limit, and are refused beyond. So no receiver is
/// closed as a slow reader because of what others send to it alone. Used up by whoever sends most to a receiver that is
/// behind, and it is slowed first; all who write to that receiver pay with an ERROR, as long as it reads less than such
/// a sender may send.
pub const PRIVATE_QUEUE_DIVISOR: usize = 2;
/// While a receiver is behind, public messages at this rate always pass, from all clients of this server together. Each
/// has an equal share, and the rest is for those that send more. A receiver that reads more than this gets everything.
/// One that reads less is closed as a slow reader if a flood goes on. Used up by clients that send most; they pay: the
/// share of the others is never delayed.
pub const PUBLIC_RATE_BYTES: usize = 256 * 1024;
/// Clients that send more can save up this part of a second's worth. Used up by clients that send more; they pay.
pub const PUBLIC_BURST_PARTS: usize = 16;
/// However many clients there are, each may say so much at once: a message of a few lines.
pub const PUBLIC_SHARE_MIN_BYTES: usize = 512;
/// A client that has taken nothing for this long slows no public messages. It is longer than the pauses of a receiver
/// that reads a megabyte a second: its kernel asks for more only when a sixteenth of its buffer is free. Used up by a
/// reader that takes nothing; clients that send much in public pay, once for this long.
pub const DEAD_READER_MS: u64 = 1_000;
/// A client that has used up its `--max-rate` waits for this part of a second's worth before it is read from again, so
/// that it is not read from byte by byte.
pub const RATE_PARTS: usize = 20;
/// The shortest wait of a public message, so that many messages go in one turn.
pub const SLOWED_MIN_MS: u64 = 10;
/// After so long, it is looked at whether there is still a reason to wait.
pub const SLOWED_MAX_MS: u64 = 250;
