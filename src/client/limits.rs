//! Every bound of the client, with a line of why each.
//!
//! Sizes are in bytes and times in milliseconds, as the names say.

use crate::limits::CHUNK_BYTES;

// ---- What is typed and shown --------------------------------------------------------------------------------------

/// Longest message that is sent: a server with default options ignores longer ones, without an answer (D10).
pub const MESSAGE_MAX_BYTES: usize = crate::limits::MESSAGE_MAX_BYTES;
/// Longest line that is read: the longest message, behind a command and a receiver. More is skipped up to its end.
pub const LINE_MAX_BYTES: usize = MESSAGE_MAX_BYTES + 1024;
/// Longest message that is shown. A server may allow longer ones. They are skipped, with a line about it.
pub const SHOWN_MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// Lines that wait to be drawn. Beyond that, the thread that brings more waits, and in the end the server.
pub const SCREEN_QUEUE_LINES: usize = 256;
/// Bytes of lines that wait to be drawn, because a line may be a long message. One line always fits.
pub const SCREEN_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Lines typed ahead of what has been carried out.
pub const INPUT_QUEUE_LINES: usize = 16;
/// Longest object that a program may write: each byte of the longest message as an escape, and the other fields.
pub const OBJECT_MAX_BYTES: usize = 6 * MESSAGE_MAX_BYTES + 4096;
/// Lines that the history holds.
pub const HISTORY_LINES: usize = 1000;
/// Bytes that the history holds, because a line may be a long message.
pub const HISTORY_BYTES: usize = 1024 * 1024;
/// What is read of the file that keeps it, from the end. Large, because other programs may have written to it.
pub const HISTORY_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// States of the typed text that can be brought back. Only the user can use them up.
pub const UNDO_MAX: usize = 64;
/// People remembered for `/who` and completion; the one not heard of for longest is forgotten first. Strangers can use it
/// up, and push each other out.
pub const SEEN_MAX: usize = 256;
/// People that the user has written to. Strangers cannot push them out.
pub const WRITTEN_TO_MAX: usize = 64;
/// People who are ignored. Only the user can use it up.
pub const IGNORED_MAX: usize = 1000;
/// What is read of the file with them: as many of the longest nicknames, all escaped.
pub const IGNORED_FILE_BYTES: u64 = 1024 * 1024;
/// People whose colour is remembered; who has not spoken for longest is forgotten first.
pub const COLORED_PEOPLE_MAX: usize = 64;
/// Entries of a folder that completion looks at.
pub const COMPLETED_ENTRIES_MAX: usize = 10_000;
/// Line breaks of one message that are shown as such. Further ones are shown as escapes: else a message of 64 KiB would
/// be 65,536 rows.
pub const MESSAGE_BREAKS_MAX: usize = 100;
/// Bytes drawn at once. Between two drawings, keys are taken: so they wait for as long as the terminal needs for this.
pub const DRAW_BYTES: usize = 8 * 1024;
/// What a waiting line takes besides its text.
pub const LINE_OVERHEAD_BYTES: usize = 256;
/// The bell and the desktop are bothered once in this time: a flood of private messages would else ring for ever.
pub const ALERT_MS: u64 = 1_000;
/// Bytes of a message that the desktop is told.
pub const ALERT_MAX_BYTES: usize = 200;
/// How long the rest of a key's sequence may take: after that, an Escape was a key of its own.
pub const ESCAPE_MS: u64 = 50;
/// Keys taken by one read.
pub const KEYS_READ_BYTES: usize = 4096;
/// How long a program that stops itself may take to stand still.
pub const SUSPEND_MS: u64 = 50;
/// How often it is looked at whether the log was rotated.
pub const LOG_CHECK_MS: u64 = 1_000;
/// Lines that answer typed commands while a terminal takes nothing. Further ones are left out and counted.
pub const SCREEN_OWN_LINES: usize = 4 * SCREEN_QUEUE_LINES;
/// Equal lines that are shown before the further ones are counted: each of a few lost messages is worth a line.
pub const REPEATS_SHOWN: u32 = 8;
/// Different lines that are remembered for that; the oldest goes first.
pub const REPEATS_MAX: usize = 16;
/// After this time, the number of further equal lines is shown.
pub const REPEATS_WINDOW_MS: u64 = 1_000;
/// While equal lines go on, that time doubles up to this.
pub const REPEATS_WINDOW_MAX_MS: u64 = 60_000;
/// Rows that a question, or why there is no connection, may take on a narrow screen.
pub const STATUS_ROWS_MAX: usize = 4;
/// How often the status line is drawn anew while something is under way.
pub const STATUS_MS: u64 = 200;
/// Bytes of a message that are repeated when it could not be delivered.
pub const EXCERPT_MAX_BYTES: usize = 40;

// ---- The connection -----------------------------------------------------------------------------------------------

/// Patience with each address of the server.
pub const CONNECT_MS: u64 = 10_000;
/// Patience with the answer to a login: a server that is busy with many passwords needs a while.
pub const LOGIN_MS: u64 = 30_000;
/// After a login under another nickname, the old connection may take so long to end, with what still comes.
pub const RETIRE_MS: u64 = 2_000;
/// Public messages remembered to tell those that two connections bring from those that only one brings.
pub const OVERLAP_MAX: usize = 256;
/// An own message that has not come back after so long is said to be pending.
pub const PENDING_MS: u64 = 5_000;
/// Own messages that may be lost with the connection. Of more, only the number is known.
pub const PENDING_MAX: usize = 256;
/// So many of them are named, the others are counted.
pub const LOST_NAMED_MAX: usize = 20;
/// After a silence of so long, a private message to oneself tells whether earlier private messages were handled.
pub const FENCE_MS: u64 = 1_000;
/// How often the server is asked whether it is there, while it sends nothing.
pub const PROBE_EVERY_MS: u64 = 30_000;
/// The first time, it is asked after a silence of so long.
pub const PROBE_FIRST_MS: u64 = 5_000;
/// How long it may take to answer. Long: a server may be stopped for a while and go on.
pub const PROBE_WAIT_MS: u64 = 30_000;
/// A tick that comes so late means that the machine slept or the program was stopped: the server is asked at once.
pub const GAP_MS: u64 = 3_000;
/// How long it may take to answer then. With a tick, that is less than ten seconds.
pub const GAP_WAIT_MS: u64 = 7_000;
/// How long sent bytes may stay unacknowledged then, if something is under way so that there is no asking. Longer than a
/// receiver that reads slowly holds its sender up each time.
pub const GAP_UNACKNOWLEDGED_MS: u32 = 20_000;
/// First delay before a lost connection is tried again; it doubles with each failure.
pub const RECONNECT_MIN_MS: u64 = 1_000;
/// Longest delay between tries to connect.
pub const RECONNECT_MAX_MS: u64 = 30_000;
/// A connection that has held for so long was fine: the next try after its loss comes soon again. (A server that makes no
/// sense would else be asked every second.)
pub const STEADY_MS: u64 = 30_000;
/// How often it is looked at what time brings.
pub const TICK_MS: u64 = 1_000;
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
/// A read that waits for longer than this returns, so that stopped transfers can be noticed.
pub const READ_WAIT_MS: u64 = 1_000;

// ---- Sending ------------------------------------------------------------------------------------------------------

/// Chunks of one file in one write. A message waits for one such write at most, and files take turns.
pub const CHUNKS_PER_TURN: usize = 64;
/// Bytes that the kernel takes from us before it has sent them: what a message waits behind. Without this limit
/// the socket's buffer grows to megabytes, which is seconds on a slow line.
pub const UNSENT_MAX_BYTES: u32 = 128 * 1024;
/// Messages that wait to be sent. Beyond that, a script waits, and a person is told.
pub const CHAT_QUEUE_BYTES: usize = 1024 * 1024;
/// The rate of a transfer is that of the last so many milliseconds.
pub const RATE_WINDOW_MS: u64 = 5_000;
/// Files that are sent at once, including those still being read for their SHA-256.
pub const UPLOADS_MAX: usize = 16;
/// Bytes read at once for the SHA-256 of a file.
pub const HASH_READ_BYTES: usize = 256 * 1024;
/// A file that was written to while it was sent is read again up to this size, to see whether the announced part is as it
/// was. Messages wait for that.
pub const REHASH_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Largest file: the number of its chunks has 32 bits.
pub const FILE_MAX_BYTES: u64 = u32::MAX as u64 * CHUNK_BYTES as u64;

// ---- Telling what an ERROR is about -------------------------------------------------------------------------------

/// Messages and files that an ERROR may still be about.
pub const RECENT_MAX: usize = 128;
/// After so long no ERROR comes any more: the servers answer at once, but a chunk may wait in a queue before.
pub const ERROR_WAIT_MS: u64 = 15_000;
/// If the server does not say that it has handled a file's last chunk, the file counts as handled after this time.
pub const FILE_FENCE_MS: u64 = 10_000;
/// A file counts as sent when no ERROR has come for so long after its last chunk, and the client does not leave before.
pub const SENT_WAIT_MS: u64 = 500;
/// So many things are named in one line about an ERROR.
pub const NAMED_AT_ONCE_MAX: usize = 20;

// ---- Receiving ----------------------------------------------------------------------------------------------------

/// Files received at once. Only those whose files the user takes can use it up.
pub const DOWNLOADS_MAX: usize = 64;
/// Files received at once from one sender, so that none can use up all places.
pub const DOWNLOADS_PER_SENDER_MAX: usize = 16;
/// Default of what all files come to that a run of the client takes.
pub const DOWNLOADS_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Files that a run of the client takes: empty ones cost no bytes, but each takes a place in a folder.
pub const DOWNLOAD_FILES_MAX: u64 = 100_000;
/// Files that wait for the user's answer. Used up by strangers. Then offers of others are refused until the user has
/// answered or [`OFFER_MS`] is over. The sender with the most loses one of them before others lose any.
pub const OFFERS_MAX: usize = 32;
/// Files of one sender that wait for the user's answer.
pub const OFFERS_PER_SENDER_MAX: usize = 8;
/// Bytes of files that wait for the user's answer, all together. Beyond that, the sender with the most bytes loses its
/// largest file.
pub const SPOOL_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How long the user may take to answer.
pub const OFFER_MS: u64 = 300_000;
/// After an offer has gone by itself, `/accept` must say whose it means for so long: the user may not have seen that.
pub const OFFER_GONE_MS: u64 = 5_000;
/// People whose next file the user permits; the oldest permission goes first.
pub const PERMITS_MAX: usize = 64;
/// How long a permission lasts: after that, a guest's nickname may be another person's.
pub const PERMIT_MS: u64 = 3_600_000;
/// Refused and given up files whose further chunks are passed over in silence; the oldest is forgotten first.
pub const PASSED_OVER_MAX: usize = 256;
/// Refused and given up files of one sender: its own are forgotten first if there are more.
pub const PASSED_OVER_PER_SENDER_MAX: usize = 32;
/// They are forgotten when nothing has come for so long: after that the sender may well begin anew.
pub const PASSED_OVER_MS: u64 = 600_000;
/// A file of which nothing has come for so long is given up.
pub const DOWNLOAD_IDLE_MS: u64 = 60_000;
/// A time without reading counts as so much at most: a terminal that was held, or a client that was stopped, is not the
/// sender's silence.
pub const CLOCK_STEP_MAX_MS: u64 = 2 * READ_WAIT_MS;
/// Announcements of files that have not begun.
pub const ANNOUNCEMENTS_MAX: usize = 256;
/// Announcements of one sender: its own are forgotten first if there are more.
pub const ANNOUNCEMENTS_PER_SENDER_MAX: usize = 32;
/// How long an announcement is kept. Files that are sent at once take turns, so it may take a while.
pub const ANNOUNCEMENT_MS: u64 = 600_000;
/// Bytes of one file that are collected before they are hashed and written.
pub const DOWNLOAD_BUFFER_BYTES: usize = 64 * 1024;
/// Files from this size on are hashed by a thread of their own.
pub const HASH_BESIDE_BYTES: u64 = 1024 * 1024;
/// Blocks that this thread may be behind. With all files at once that stays below the client's 20 MiB.
pub const HASH_BEHIND_BLOCKS: usize = 2;
/// Longest name of a received file: what file systems take, less space for a number.
pub const SAVED_NAME_MAX_BYTES: usize = crate::limits::FILE_NAME_MAX_BYTES - 15;
/// Numbers that are tried to find a free name: enough to get past every number there is, in steps that double.
pub const SAVED_NAME_TRIES_MAX: u32 = SAVED_NAME_STEPS_OF_ONE + 32;
/// The first of these go up by one, as people expect it.
pub const SAVED_NAME_STEPS_OF_ONE: u32 = 16;
/// Names whose next number is kept, so that thousands of files of one name do not search theirs from the beginning.
pub const NUMBERED_NAMES_MAX: usize = 256;
/// Names tried for an unfinished file: one does, unless clients start at that moment.
pub const PARTIAL_TRIES_MAX: usize = 8;
/// Entries of the download folder that are looked at for what killed clients have left. Only a start waits for it.
pub const FOLDER_ENTRIES_MAX: usize = 100_000;
