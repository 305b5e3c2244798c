//! Passwords, and the users file.

/// Iterations of PBKDF2-HMAC-SHA256 for a new password (OWASP's figure).
pub const PASSWORD_ITERATIONS: u32 = 600_000;
/// More iterations than this in the users file is taken for a mistake: one check would take seconds.
pub const PASSWORD_ITERATIONS_MAX: u32 = 10_000_000;
/// Iterations done between two turns: about half a millisecond of processor time if the processor hashes in hardware, two
/// if not.
pub const PASSWORD_SLICE_ITERATIONS: u32 = 2_048;
/// Password checks that wait at once. Each takes a tenth of a second, so a longer queue would answer clients that have
/// given up. For one more, the oldest of the largest group is dropped. Used up by strangers; the oldest of the largest
/// group of addresses pays.
pub const PASSWORD_CHECKS_MAX: usize = 1024;
/// Password checks that wait from one address (one /64 of IPv6). An office behind one address gets in, and a flood does
/// not fill the queue. Used up by that address; its oldest check pays.
pub const PASSWORD_CHECKS_PER_ADDRESS_MAX: usize = 256;
/// While others wait, this many checks in a row go to addresses that have logged in before. Then comes one of the
/// others. Used up by addresses that have logged in; the others pay, with three checks.
pub const KNOWN_TURNS_IN_A_ROW: u8 = 3;
/// Pairs of a user and an address that are remembered for that, the latest: some 300 KiB. Only a right password makes
/// one, and each user has a few at most, so no user drives out another's.
pub const KNOWN_ADDRESSES_MAX: usize = 4096;
/// Of one user: home, work, a telephone, and one more.
pub const KNOWN_ADDRESSES_PER_USER_MAX: usize = 4;
/// Addresses whose wrong passwords are counted. Used up by a stranger with many addresses, who can make the server
/// forget failures; the forgotten address gains by that, and nobody pays.
pub const FAILURES_ADDRESSES_MAX: usize = 1024;
/// Wrong passwords of an address that are answered at once: people mistype.
pub const FAILURES_FREE: u32 = 4;
/// The next one is answered after this. It doubles with each one more.
pub const FAILURE_DELAY_MIN_MS: u64 = 100;
/// It grows no further: a client may take a longer silence for the end. Used up by whoever guesses; everybody behind
/// its address pays who mistypes a password. A right one is answered at once.
pub const FAILURE_DELAY_MAX_MS: u64 = 2_000;
/// In such a time without a wrong password, half of them are forgotten.
pub const FAILURES_HALVE_MS: u64 = 60_000;
/// Log lines for the wrong passwords of one address in [`FAILURE_LINES_MS`]. The next line gives the number of the
/// lines left out. So one address cannot hide the lines of others behind the bound on all lines of a kind.
pub const FAILURE_LINES_PER_ADDRESS: u32 = 5;
/// The time in which these lines are counted.
pub const FAILURE_LINES_MS: u64 = 10_000;
/// Size of a users file: far beyond any sensible one, but reading it stops there. The operator's own doing, and the
/// operator pays.
pub const USERS_FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Longest line of it: a nickname and its hash have 200 bytes, and a comment may be as long as a paragraph. Used up by
/// the operator, who pays.
pub const USERS_LINE_MAX_BYTES: usize = 4096;
/// So much of it is read and looked at between two turns: some 150 users, under a millisecond.
pub const USERS_SLICE_BYTES: usize = 16 * 1024;
/// So often a users file may change while it is read, before that is given up.
pub const USERS_READ_TRIES_MAX: u32 = 5;
/// How long `--add-user` waits for others that change the file at the same time; each takes a few milliseconds.
pub const USERS_LOCK_PATIENCE_MS: u64 = 10_000;
/// How often it looks whether they are done.
pub const USERS_LOCK_RETRY_MS: u64 = 20;
/// An extended attribute of the users file, and the list of their names: what Linux allows (XATTR_SIZE_MAX).
pub const USERS_ATTRIBUTE_MAX_BYTES: usize = 64 * 1024;
/// Connections looked at in one turn after a reload, for clients whose login no longer stands.
pub const USERS_SWEEP_CONNECTIONS: usize = 256;
/// Users of the list before that are freed in one turn.
pub const USERS_FREED_PER_TURN: usize = 1024;
