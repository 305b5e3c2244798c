//! Every bound of the client, with a line of why each.
//!
//! Sizes are in bytes and times in milliseconds, as the names say.

use crate::limits::CHUNK_BYTES;

// ---- What is typed and shown --------------------------------------------------------------------------------------

/// Longest message that is sent: a server with default options ignores longer ones, without an answer (D10).
pub const MESSAGE_MAX_BYTES: usize = crate::limits::MESSAGE_MAX_BYTES;
/// Longest line that is read: the longest message, behind a command and a receiver. More is skipped up to its end.
pub const LINE_MAX_BYTES: usize = MESSAGE_MAX_BYTES + 1024;
/// Longest message that is shown. A server may allow longer ones; those are skipped, and said to be.
pub const SHOWN_MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// Lines that wait to be drawn; then whoever brings more waits, and in the end the server.
pub const SCREEN_QUEUE_LINES: usize = 256;
/// The same in bytes, since a line may be a long message. One line always fits.
pub const SCREEN_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Lines typed ahead of what has been carried out.
pub const INPUT_QUEUE_LINES: usize = 16;
/// Lines that the history holds.
pub const HISTORY_LINES: usize = 1000;
/// Nicknames remembered for completion; the one not heard of for longest goes first.
pub const SEEN_MAX: usize = 256;
/// How often the status line is drawn anew while something is under way.
pub const STATUS_MS: u64 = 200;
/// Bytes of a message that are repeated when it could not be delivered.
pub const EXCERPT_MAX_BYTES: usize = 40;

// ---- The connection -----------------------------------------------------------------------------------------------

/// Patience with each address of the server.
pub const CONNECT_MS: u64 = 10_000;
/// Patience with the answer to a login: a server that is busy with many passwords needs a while.
pub const LOGIN_MS: u64 = 30_000;
/// First delay before a lost connection is tried again; it doubles with each failure.
pub const RECONNECT_MIN_MS: u64 = 1_000;
/// Longest such delay.
pub const RECONNECT_MAX_MS: u64 = 30_000;
/// After our sending side is closed, a silence so long means that the server does not close its own.
pub const FINISH_MS: u64 = 30_000;
/// When told to end at once, how long the terminal may take to be restored: it may take nothing any more.
pub const RESTORE_MS: u64 = 500;
/// Tries with another nickname or password before we give up.
pub const LOGIN_TRIES_MAX: u32 = 5;
/// Silence after which the kernel asks whether the server is still there, and how often it asks.
pub const KEEPALIVE_MS: u64 = 30_000;
/// How long sent bytes may stay unacknowledged before the connection counts as lost.
pub const UNACKNOWLEDGED_MS: u32 = 60_000;
/// One read takes so much. Large, since a file comes in thousands of small packets.
pub const READ_BYTES: usize = 256 * 1024;
/// A read that waits for longer than this returns, so that transfers that stopped can be noticed.
pub const READ_WAIT_MS: u64 = 1_000;

// ---- Sending ------------------------------------------------------------------------------------------------------

/// Chunks of one file that go with one write. A message waits for one such write at most, and other files take turns.
pub const CHUNKS_PER_TURN: usize = 64;
/// Bytes that the kernel takes from us before it has sent them: what a message waits behind. Without this limit
/// the socket's buffer grows to megabytes, which is seconds on a slow line.
pub const UNSENT_MAX_BYTES: u32 = 128 * 1024;
/// Messages that wait to be sent. Beyond that a script waits and a person is told.
pub const CHAT_QUEUE_BYTES: usize = 1024 * 1024;
/// Files that are sent at once, those still being read through for their SHA-256 included.
pub const UPLOADS_MAX: usize = 16;
/// Bytes read at once for the SHA-256 of a file.
pub const HASH_READ_BYTES: usize = 256 * 1024;
/// Largest file: the number of its chunks has 32 bits.
pub const FILE_MAX_BYTES: u64 = u32::MAX as u64 * CHUNK_BYTES as u64;

// ---- Telling what an ERROR is about -------------------------------------------------------------------------------

/// Messages and files that an ERROR may still be about.
pub const RECENT_MAX: usize = 128;
/// After so long no ERROR comes any more: the servers answer at once, but a chunk may wait in a queue before.
pub const ERROR_WAIT_MS: u64 = 15_000;
/// Once the ERRORs of a stopped file have paused for so long, the next is about something else.
pub const ERROR_DRAIN_MS: u64 = 2_000;

// ---- Receiving ----------------------------------------------------------------------------------------------------

/// Files received at once.
pub const DOWNLOADS_MAX: usize = 64;
/// The same from one sender, so that nobody can take all.
pub const DOWNLOADS_PER_SENDER_MAX: usize = 16;
/// Default of what the files under way may come to together.
pub const DOWNLOADS_MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Refused and aborted files whose further chunks are passed over in silence; the oldest is forgotten first.
pub const PASSED_OVER_MAX: usize = 256;
/// A file of which nothing has come for so long is given up.
pub const DOWNLOAD_IDLE_MS: u64 = 60_000;
/// Announcements of files that have not begun.
pub const ANNOUNCEMENTS_MAX: usize = 256;
/// The same from one sender: their own go first when there are more.
pub const ANNOUNCEMENTS_PER_SENDER_MAX: usize = 32;
/// An announcement is forgotten after so long. Files that are sent at once take turns, so it may take a while.
pub const ANNOUNCEMENT_MS: u64 = 600_000;
/// Bytes of one file that are collected before they are hashed and written.
pub const DOWNLOAD_BUFFER_BYTES: usize = 64 * 1024;
/// Files from this size on are hashed by a thread of their own.
pub const HASH_BESIDE_BYTES: u64 = 1024 * 1024;
/// Blocks that this thread may be behind. With all files at once that stays below the client's 20 MiB.
pub const HASH_BEHIND_BLOCKS: usize = 2;
/// Longest name that a received file gets: what file systems take, less room for a number.
pub const SAVED_NAME_MAX_BYTES: usize = crate::limits::FILE_NAME_MAX_BYTES - 15;
/// Numbers that are tried to find a free name: enough to get past every number there is, in steps that double.
pub const SAVED_NAME_TRIES_MAX: u32 = SAVED_NAME_STEPS_OF_ONE + 32;
/// The first of these go up by one, as people expect it.
pub const SAVED_NAME_STEPS_OF_ONE: u32 = 16;
/// Names whose next number is kept, so that thousands of files of one name don't look for theirs from the beginning.
pub const NUMBERED_NAMES_MAX: usize = 256;
/// Names tried for an unfinished file: one does, unless clients start at that moment.
pub const PARTIAL_TRIES_MAX: usize = 8;
/// Entries of the download folder that are looked at for what killed clients have left. Only a start waits for it.
pub const FOLDER_ENTRIES_MAX: usize = 100_000;
