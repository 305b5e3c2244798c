//! Every bound of the server and of the library, with a line of why each. The console client has its own, in
//! `client/limits.rs`. Bounds that an operator can change have their defaults here.
//!
//! Each bound that a peer can reach says who can use it up, and who pays for that. If these differ, it is a fault,
//! unless the line says what is done about it.
//!
//! Sizes are in bytes and times in milliseconds, as the names say.

mod flow;
mod name_resolution;
mod passwords;
mod relations;
mod routed;

pub use flow::*;
pub use name_resolution::*;
pub use passwords::*;
pub use routed::*;

// ---- The protocol's own -------------------------------------------------------------------------------------------

/// Bytes of content in every file chunk (RFC section 6, D11).
pub const CHUNK_BYTES: usize = 1024;
/// Longest nickname (D7).
pub const NICKNAME_MAX_BYTES: usize = 64;
/// Longest password that is looked at; a longer one is wrong (D9).
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Longest file name (D11): what file systems take.
pub const FILE_NAME_MAX_BYTES: usize = 255;
/// Servers in one merged network, ourselves included (RFC section 7, D16).
pub const NETWORK_MAX_SERVERS: usize = 10;
/// Links to other servers: one for each (D16).
pub const SIBLINGS_MAX: usize = NETWORK_MAX_SERVERS - 1;
/// Sibling descriptions that a merge packet may announce; more is declined unread (D17).
pub const DESCRIPTIONS_MAX: usize = 10;

// ---- Patience with one connection (D3, D8) ------------------------------------------------------------------------

/// Ignored packets that a client may send; the next one closes its connection (D3). Used up by a client; it pays.
pub const IGNORED_PACKETS_MAX: u8 = 64;
/// Failed logins on one connection; the last of them is answered, then the connection is closed (D8).
/// Used up by a stranger; it pays.
pub const LOGIN_TRIES_MAX: u8 = 5;
/// Default time to log in or merge in (D8). Used up by a stranger; it pays. Many of them can hold all places of
/// `--max-clients`, and they pay too: those of the address that has most of them give way to newcomers (D62).
pub const HANDSHAKE_MS: u64 = 10_000;
/// A client's longest stop in the middle of a packet (D3). Used up by a client; it pays.
pub const MID_PACKET_MS: u64 = 60_000;
/// A receiver that takes nothing of what waits for it for so long is closed: long enough for a laptop that changes
/// its network, short enough that a dead reader does not hold its senders for minutes. Used up by a reader; it pays.
pub const STALLED_READER_MS: u64 = 30_000;
/// After the last byte was written, how long the other side gets to close first. Closing at once, with input unread,
/// would make the kernel throw away what it has not sent yet. Used up by whoever does not close; it alone pays, with
/// its place.
pub const LINGER_MS: u64 = 1_000;
/// Input that is read and thrown away while lingering, so that a flood cannot prolong the connection. Used up by the
/// closed connection; it pays.
pub const LINGER_MAX_BYTES: u32 = 16 * 1024 * 1024;
/// Time for a requested stop: writing the queues, and lingering. Used up by slow readers; they pay with what they have
/// not taken.
pub const DRAIN_MS: u64 = 5_000;

/// A connection whose very first byte is this one speaks TLS: a handshake record. No code of the protocol is equal to
/// it (D40).
pub const TLS_FIRST_BYTE: u8 = 0x16;
/// Longest PROXY header (D46). Version 1 has 107 bytes; version 2 has 52 and whatever the proxy adds, which is a few
/// hundred bytes at most: names and certificates of its own TLS. Used up by whoever comes from a proxy's address; it
/// pays.
pub const PROXY_HEADER_MAX_BYTES: usize = 1024;

// ---- TLS (D40 to D48) -------------------------------------------------------------------------------------------------

/// Most bytes in one record, and the most of a record that waits for a slow reader (RFC 8446, section 5.1).
pub const RECORD_BYTES: usize = 16 * 1024;
/// Longest record, with its header and what encryption adds (RFC 8446, section 5.2).
pub const RECORD_MAX_BYTES: usize = 5 + RECORD_BYTES + 256;
/// What a record takes besides its content: header, its true kind, and the proof that it is genuine (RFC 8446,
/// section 5.2).
pub const RECORD_OVERHEAD_BYTES: usize = 5 + 1 + 16;
/// Work that opening a record counts as, besides its bytes.
pub const RECORD_WORK_BYTES: usize = PACKET_WORK_BYTES;
/// What a record without content counts as besides: it may change keys, which takes some 4 µs. Used up by who sends
/// them; it pays.
pub const EMPTY_RECORD_WORK_BYTES: usize = 4096;
/// Most work that the records of one read count as: others have their share in the same turn. Used up by who sends
/// them; it pays.
pub const RECORDS_WORK_MAX_BYTES: usize = TURN_WORK_BYTES / 4;
/// After a read with more records without content than this, the next one is short. Used up by who sends them; it pays.
pub const EMPTY_RECORDS_MAX: usize = 32;
/// Such a read takes no more than this: about as many records as fit into the work above. Used up by who sends them; it
/// pays.
pub const EMPTY_READ_BYTES: usize = 4096;
/// Input kept of a handshake that is not over: certificates of both sides fit, with their chains. Used up by a
/// newcomer; it pays.
pub const HANDSHAKE_KEPT_MAX_BYTES: usize = RECORD_MAX_BYTES;
/// Steps of handshakes in one turn. A step takes up to half a millisecond, and cannot be divided. Used up by newcomers;
/// they pay, each network with its own turns.
pub const HANDSHAKES_PER_TURN: usize = 4;
/// Connections whose handshake waits for its turn. They are served within half a second. For one more, the oldest of the
/// largest group is closed. Used up by strangers; the largest group of addresses pays.
pub const HANDSHAKES_WAITING_MAX: usize = 1024;
/// Handshakes that wait, from one address (one /64 of IPv6). For one more, its oldest is closed. Used up by that address;
/// it pays.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 256;

/// A certificate that ends within this is warned of: two weeks are enough to renew it.
pub const CERTIFICATE_WARNING_SECONDS: u64 = 14 * 86_400;
/// So often.
pub const CERTIFICATE_WARNING_MS: u64 = 86_400_000;

// ---- The turn of the loop -----------------------------------------------------------------------------------------

/// The most that one read takes. Each connection gets one read a round. Also the size of the one read buffer that all
/// connections share. Used up by a busy connection; it pays: the rest waits for its next turn.
pub const READ_BYTES: usize = 64 * 1024;
/// Work of one turn, all connections together: bytes of input handled, and what the next two constants add. It takes
/// some 2 ms. A connection that is not served before it is used up has its share in the next turn. This also bounds
/// what a turn can add to the queues. Used up by the busiest connections; they pay, because the others go first.
pub const TURN_WORK_BYTES: usize = 2 * 1024 * 1024;
/// What a packet, or one look at a connection, costs besides its bytes: as much as so many bytes of a file.
pub const PACKET_WORK_BYTES: usize = 128;
/// Work that a write to one connection counts as: it is a system call.
pub const WRITE_WORK_BYTES: usize = 2048;
/// Work for one connection before others are served: one read of a file with its packets, or some 900 of the smallest
/// packets. Used up by a busy connection; it pays.
pub const CONNECTION_WORK_BYTES: usize = 2 * READ_BYTES;
/// A connection that used no more than this when it was served last goes first. What people type stays below it.
pub const MODEST_WORK_BYTES: usize = 16 * 1024;
/// Rounds of reads go on within a turn until this much work is done. Then public messages are written. It takes some
/// 0.4 ms, six reads of a file. A write to every client costs most. More rounds would help a file little, and delay
/// messages more. Used up by busy connections; all pay, with less than half a millisecond.
pub const ROUNDS_WORK_BYTES: usize = 7 * READ_BYTES;
/// Readiness events taken from the kernel in one turn; the rest come with the next. Used up by active connections, more
/// of them than this; they pay, with a turn of delay.
pub const EVENTS_PER_TURN: usize = 1024;
/// Time between two log lines about connections that found no place.
pub const TURNED_AWAY_LINE_MS: u64 = 10_000;
/// Connections accepted in one turn, so that a storm of them does not delay the connections that are there. Used up by
/// newcomers; they pay, with a turn of delay.
pub const ACCEPTS_PER_TURN: usize = 256;
/// Bytes of public messages after which a turn stops handling input and writes. No more than a quarter of
/// `--max-queue`, so that one turn makes no slow reader. Used up by clients that send in public; they all pay, with a
/// turn of delay.
pub const TURN_PUBLIC_BYTES: usize = 256 * 1024;
/// The same bytes, multiplied by the clients that get them: what one turn may hand to the kernel (a few milliseconds'
/// work). Used up by clients that send in public; they all pay, with a turn of delay.
pub const TURN_DELIVERY_BYTES: usize = 32 * 1024 * 1024;
/// However large the room, a turn takes at least this many bytes of public messages, so that they still go in batches.
pub const TURN_PUBLIC_MIN_BYTES: usize = 16 * 1024;
/// Memory kept for what a turn forwards to other servers: a turn's public messages with their headers, but for rare
/// long ones.
pub const FORWARDS_KEPT_BYTES: usize = 2 * TURN_PUBLIC_BYTES;
/// Memory kept for the bytes and the number of one packet's effects: a message of the default size, with its header.
pub const EFFECTS_KEPT_BYTES: usize = 128 * 1024;
/// See above.
pub const EFFECTS_KEPT: usize = 256;
/// Slices given to one gathering write; what does not fit goes with the next turn. Used up by a reader with many small
/// packets; it pays, with a turn of delay.
pub const SLICES_PER_WRITE: usize = 64;
/// Connections in a row that were gone before they were accepted; after so many, accepting waits as after any error.
pub const ACCEPTS_GONE_MAX: u32 = 16;
/// Pause after an accept failed, for want of a descriptor or for another reason, so that the loop does not spin on it.
/// Used up by strangers that connect and reset, many at once; newcomers pay with this pause, and nobody else.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// Connections that the kernel holds for us until we accept them.
/// Used up by newcomers; other newcomers pay, as far as the kernel has no other way (SYN cookies).
pub const LISTEN_BACKLOG: i32 = 4096;

// ---- Queues and memory --------------------------------------------------------------------------------------------

/// Default longest message text (D10).
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Largest `--max-message`: a packet must stay well below what a queue may hold.
pub const MESSAGE_CEILING_BYTES: usize = 16 * 1024 * 1024;
/// A field on a link that announces more is no field (D19). No server may allow more, so the frame is lost. Skipping
/// what it announces would make the link mute for up to 4 GiB. Used up by a sibling; it loses its own link.
pub const LINK_FIELD_MAX_BYTES: u64 = MESSAGE_CEILING_BYTES as u64;
/// Default length of a client's queue beyond which it is closed as a slow reader. Used up by senders that are faster
/// than the reader, and they are slowed first (D49); the reader pays.
pub const QUEUE_MAX_BYTES: usize = 1024 * 1024;
/// Default for a link to another server, behind which a whole server's users stand. Used up by the clients here, and
/// they are slowed first (D49); the link pays, and is dialled anew.
pub const LINK_QUEUE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Default bound on all queued output and input together.
/// Used up by anybody; the address that holds most pays (`core/engine/memory.rs`).
pub const MEMORY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// It has room for so many of the longest packets at least: one while it comes in, and one that waits for a link, which
/// may have three quarters of it.
pub const MEMORY_MIN_PACKETS: usize = 3;
/// What a turn may bring beyond the bound on all queues before it ends, and that is judged. Else a turn without much
/// memory would be one packet long. Used up by whoever sends much; when the bound is passed, whoever holds most pays.
pub const TURN_MEMORY_BYTES: usize = 64 * 1024;
/// Input that is kept of one newcomer. The longest legal login or merge request has 1.1 KiB. Used up by a newcomer that
/// sends more; it pays alone: the rest waits in the kernel, or is skipped.
pub const NEWCOMER_KEPT_BYTES: usize = 8 * 1024;
/// Input that is kept of all newcomers together. Used up by strangers; strangers pay: those from the address that holds
/// most.
pub const NEWCOMER_KEPT_TOTAL_BYTES: usize = 1024 * 1024;
/// No more than this part of the bound on all queues, if that is small.
pub const NEWCOMER_KEPT_DIVISOR: usize = 4;
/// Longest message text that is kept of a newcomer. Its messages are ignored, however long they are. Used up by a
/// newcomer; it pays.
pub const NEWCOMER_MESSAGE_MAX_BYTES: usize = 4096;
/// The part of the bound on all queues that links may not use. Links are closed last, so without it their queues could
/// push out all clients. When links need more, the link that holds most is closed. Used up by what is sent to other
/// servers; the link that holds most pays.
pub const NOT_LINKS_DIVISOR: usize = 4;
/// Newcomers from one address that hold no more than this may be logging in: they are not closed before clients. Used
/// up by newcomers from one address; that address pays.
pub const LOGIN_HELD_BYTES: usize = 4096;
/// The kernel's receive buffer of a connection. Left alone it grows to megabytes of a file, behind which waits what the
/// sender says next. On a line with a round trip of 100 ms this still lets 2.5 MB/s through. Used up by a sender; it
/// pays, with a wait.
pub const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes that the kernel takes of a connection's output before it can send them: enough to keep any line busy until
/// our next turn. More would hide from us when a receiver drains.
pub const UNSENT_MAX_BYTES: u32 = 128 * 1024;
/// Public messages are kept in blocks of this size for readers that are behind.
pub const LOG_BLOCK_BYTES: usize = 64 * 1024;
/// Private output of a connection is kept in blocks of this size. It is a little less than a page, so that allocators,
/// with their own few bytes for each, waste nothing (musl's has a size of 4080).
pub const QUEUE_BLOCK_BYTES: usize = 4064;
/// The first block of a queue: most queues are one answer or one message, and over with the turn.
pub const QUEUE_FIRST_BLOCK_BYTES: usize = 496;
/// What a block takes beside its bytes: the allocator's part, and its place in a row that may have grown to twice that.
pub const QUEUE_BLOCK_OVERHEAD_BYTES: usize = 16 + 2 * 24;
/// What a queue takes beside itself and its blocks: the allocator's part, and two rows for four blocks each.
pub const QUEUE_OVERHEAD_BYTES: usize = 3 * 16 + 2 * 4 * 24;
/// Empty blocks kept for the next use: 254 KiB, several reads of a file.
pub const QUEUE_SPARE_BLOCKS: usize = 64;
/// First blocks that are kept: 31 KiB, enough for a turn with a private message for each of as many connections.
pub const QUEUE_SPARE_FIRST_BLOCKS: usize = 64;
/// Places that a queue between two uses keeps for blocks: a read of a file fills fewer.
pub const QUEUE_SPARE_PLACES: usize = 32;
/// What kept input takes beside its buffer and its note of it: the allocator's part of both.
pub const INBOX_OVERHEAD_BYTES: usize = 2 * 16;
/// Empty blocks and buffers kept for the next use, so that steady traffic allocates nothing.
pub const POOL_MAX_BUFFERS: usize = 128;
/// A buffer that grew beyond this goes back to the allocator instead of the pool.
pub const POOL_BUFFER_MAX_BYTES: usize = 4 * 1024;

// ---- What memory the limits come to (`shell/memory.rs`) ------------------------------------------------------------------

/// The process itself: binary, poll, read buffer, pools, tables.
pub const PROCESS_BYTES: u64 = 4 * 1024 * 1024;
/// One connection: its entry with its nickname, and what the kernel charges for an empty socket. Measured with 1,000
/// logged-in clients, on Linux 6.18: 352 bytes resident, and the kernel's share. That is 1.5 KiB if sockets are not
/// counted (version 1), and 3.9 KiB if they are (version 2). A client that writes to nine other servers adds 630 bytes
/// for what these may still answer (D13).
pub const CONNECTION_BYTES: u64 = 5 * 1024;
/// What TLS adds to it, with a certificate: 3.4 KiB resident, measured with 4,000 idle clients.
pub const TLS_CONNECTION_BYTES: u64 = 4 * 1024;
/// What the bound on all queues may come to in resident memory, as a multiple: an allocator cannot use every gap. Measured
/// with the release binary and glibc, 2 MiB of queues and 300 clients, under the attacks of `tests/resident.rs` one after
/// the other: 7,380 KiB at the peak. Without the process and the connections, that is 1.6 times the bound.
pub const ALLOCATOR_SLACK: u64 = 2;
/// What a registered user takes beside an entry in the table, the nickname and the salt: the allocator's part.
pub const USER_OVERHEAD_BYTES: usize = 64;
/// Memory set aside for users beyond those of the start, so that a reload may add some: this, and half as much again.
pub const USERS_GROWTH_BYTES: u64 = 64 * 1024;
/// The lowest bound on all queues: below it, a single slow reader would affect all other connections.
pub const QUEUES_MIN_BYTES: u64 = 1024 * 1024;
/// No bound on a socket's buffer is set lower than this: over a way of 50 ms it still lets 320 KiB through in a second.
pub const SOCKET_BUFFER_MIN_BYTES: u64 = 16 * 1024;
/// A buffer size that is enough for most: it lets 1.2 MiB a second through on the same path.
pub const SOCKET_BUFFER_USUAL_BYTES: u64 = 64 * 1024;
/// From here on the kernel's own bounds do, which are about as large (`tcp_wmem` and `tcp_rmem` of tcp(7)).
pub const SOCKET_BUFFER_MAX_BYTES: u64 = 1024 * 1024;
/// Sockets that can be full at once with usual buffers. More would be a crowd of slow readers.
pub const FULL_SOCKETS: u64 = 64;
/// What a socket may hold for each byte of its bound: two directions, and the kernel doubles the value for its own
/// bookkeeping (SO_SNDBUF of socket(7)).
pub const SOCKET_BYTES_PER_BUFFER_BYTE: u64 = 4;

// ---- Descriptors and connections ----------------------------------------------------------------------------------

/// Descriptors left to the program itself when `--max-clients` is derived from the descriptor limit: standard streams,
/// poll, signals, listeners, links to servers, dials, operators, scrapers and the users file.
pub const RESERVED_DESCRIPTORS: u64 = 96;

// ---- The mesh (D16 to D23) ------------------------------------------------------------------------------------------

/// Time for a dialled server to connect and answer our request: long enough for a lost SYN to be sent again twice. Used
/// up by a server that does not answer; our dial to it pays.
pub const DIAL_MS: u64 = 5_000;
/// Delay before a server is dialled again, the first time; it doubles with each failure.
pub const DIAL_DELAY_MIN_MS: u64 = 100;
/// The longest delay between dials. A server that is back after an hour is linked within seconds, and nine dials in
/// that time cost nothing.
pub const DIAL_DELAY_MAX_MS: u64 = 5_000;
/// A server that was just learned of is dialled after a random time within this, so that two servers rarely dial each
/// other at once.
pub const DIAL_SOON_MS: u64 = 20;
/// A link that held for as long is a good one: when it is lost, the delays begin anew. Less, and they go on growing.
pub const LINK_HELD_MS: u64 = 10_000;
/// So often in a row a lost server may say that we don't fit together, before it is given up. So often it may also be
/// accepted and leave at once, before its list counts like a stranger's. Used up by that server; it pays.
pub const UNFIT_TRIES_MAX: u32 = 3;
/// How often a server checks whether its network is a clique, and tells siblings its list again: between half of this
/// and all of it, so that servers do not do it in step.
pub const RECONCILE_MS: u64 = 20_000;
/// A sibling whose last list is this old, and differs from what holds, is not followed. It is more than two rounds,
/// because one may be missed. Used up by a sibling that announces nothing; it pays: others are followed.
pub const ANNOUNCEMENT_MS: u64 = 2 * RECONCILE_MS + RECONCILE_MS / 2;
/// Looks in a row at which the network does not fit, before links are closed: over 30 s, far more than the 15 s within
/// which a dead link is noticed, and with it what did not fit for a moment.
pub const CONFLICTS_MAX: u32 = 3;
/// So many siblings may lie without honest servers parting (D52): what one more of them says, an honest one says, too.
pub const LIARS_MAX: usize = 2;
/// A link that is younger is not closed for not fitting: within this, an honest newcomer has met all the others.
pub const SETTLE_MS: u64 = RECONCILE_MS;
/// How long a server that we left is not admitted again, because it conflicted: until the servers that keep it have
/// settled.
pub const EXCLUDED_MS: u64 = 120_000;
/// What a server said that asked us to merge and did not fit is believed for as long: over two of the longest delays
/// after which it asks again. Used up by a server that says so once; it is only ever believed as far as a sibling says
/// the same.
pub const WORD_MS: u64 = 5 * HEARSAY_DELAY_MAX_MS / 2;
/// Delay after the first dial in vain to an address that a sibling named and that we were never linked with (D51).
pub const HEARSAY_DELAY_MIN_MS: u64 = 500;
/// The delay grows by this factor: four dials in the first half minute, since a server may be a moment late to hear of
/// us.
pub const HEARSAY_DELAY_FACTOR: u64 = 6;
/// It grows no further. A sibling may make us dial a stranger's address twice in this time, and no more. Used up by a
/// sibling that lies; the stranger pays, with these two dials.
pub const HEARSAY_DELAY_MAX_MS: u64 = 120_000;
/// After a dial to one port of a host that a sibling elsewhere named, no other port of it is dialled for this long.
/// Used up by a sibling; the servers that it names on that host pay, with a later first dial.
pub const HEARSAY_HOST_MS: u64 = 30_000;
/// A server that siblings reach and we do not is a matter for the log after so long. Siblings may need half of that to
/// notice and to tell that it is gone.
pub const APART_MS: u64 = 60_000;
/// Addresses that the siblings on one host may have us dial within `FORGET_MS`: nearly two networks. Used up by a liar;
/// it pays with its own host's share.
pub const HEARSAY_PER_HOST_MAX: usize = 16;
/// Such addresses of all siblings: nine hosts that each use up theirs. Used up by siblings, none of which can use
/// another's part.
pub const HEARSAY_MAX: usize = SIBLINGS_MAX * HEARSAY_PER_HOST_MAX;
/// How often the former address of a server is dialled in vain after it came back elsewhere (D54): some four minutes.
/// Used up by a server that comes back elsewhere; the former address pays, with dials at the delays above.
pub const FORMER_TRIES_MAX: u32 = 6;
/// One line of the log in this time about what one sibling says of others.
pub const HEARSAY_LOG_MS: u64 = 60_000;
/// Lost servers that are dialled again, beside those that have a place. Used up by servers that come and go under ever
/// new IDs; the oldest of them is forgotten.
pub const LOST_MAX: usize = 32;
/// A link over which nothing has come for as long is a silent one: its server is asked whether it lives (D57). With the
/// next one, a stopped server is noticed within a minute; an idle network of ten dials nine times in that time. Used up
/// by a silent server; it pays.
pub const LINK_SILENCE_MS: u64 = 25_000;
/// Time for the answer: as long as a vanished server takes to be noticed. Used up by a silent server; it pays with its
/// link.
pub const ASK_ANSWER_MS: u64 = 15_000;
/// A packet that was forwarded may be answered with an ERROR for as long, and for a third longer at most; a later one is
/// not believed. As long as a link may be silent before it is lost. A sibling can make our clients see that many of their
/// own packets as failed. Used up by a client or link; it pays.
pub const ERROR_WAIT_MS: u64 = 15_000;
/// And in a routed network, where packets, and answers to them, also wait for links of other servers: as long as a
/// server that is out of reach is remembered.
pub const ROUTED_ERROR_WAIT_MS: u64 = FORGET_MS;
/// A lost server that was not named in `--merge` is given up after this (D21).
pub const FORGET_MS: u64 = 10 * 60 * 1000;
/// So often a server may say "already merged" while we see no link to it, before we believe it. With the delays above
/// that is over ten seconds: more than the 4 s within which it notices that an older link is dead (D17). Used up by the
/// server that says so; the merge with it pays.
pub const ALREADY_MERGED_TRIES_MAX: u32 = 7;
/// So often the server that `--merge` names may decline for a conflict of IDs, before we believe it: over fifteen
/// seconds, in which a link from before our restart under another address is found dead and dialled in vain.
pub const ID_CONFLICT_TRIES_MAX: u32 = 10;
/// Addresses that operators named, kept as permitted peers (D20). Used up by operators; they pay.
pub const NAMED_ADDRESSES_MAX: usize = 256;
/// Merges that operators wait for at once. Used up by operators; they pay.
pub const TARGETS_MAX: usize = 64;

// ---- The control socket ---------------------------------------------------------------------------------------------

/// Networks and nicknames that operators keep out, together: some 500 KiB. Only operators use it up.
pub const BANS_MAX: usize = 4096;
/// Operators connected at once. For one more, the operator that has been idle for longest is closed. Used up by
/// operators, who need access to the control socket; the one that has been idle for longest pays.
pub const OPERATORS_MAX: usize = 16;
/// Operators accepted in one turn, and scrapers: a storm of them delays no other connection. Used up by operators and
/// scrapers; they pay, with a turn of delay.
pub const OPERATOR_ACCEPTS_PER_TURN: usize = 4;
/// After a line whose answer leaves so much to be written, the operator's next line waits until half of it is. Used up
/// by an operator; it pays.
pub const OPERATOR_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Longest command line. Used up by an operator; it pays.
pub const COMMAND_MAX_BYTES: usize = 4096;
/// Most of an answer that waits: the list of the clients of a large server. Used up by an operator; it pays.
pub const OPERATOR_QUEUE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Connections of metrics scrapers at once, closing ones included. For one more, the oldest from the address that has
/// most of them is closed, so that a health check from elsewhere always gets in. Used up by scrapers; the address with
/// most of them pays.
pub const SCRAPERS_MAX: usize = 16;
/// Time for a scraper's whole request. Used up by a scraper; it pays.
pub const SCRAPE_MS: u64 = 5_000;
/// Longest head of a scraper's request. Used up by a scraper; it pays.
pub const HTTP_HEAD_MAX_BYTES: usize = 8 * 1024;
/// Header lines of it. Used up by a scraper; it pays.
pub const HTTP_HEADERS_MAX: usize = 64;

/// How long `--ask` waits for the next bit of an answer: the server answers within a turn.
pub const ANSWER_PATIENCE_MS: u64 = 2_000;
/// Time for `merge`, which takes as long as the other server does, and for `reload`, which takes as long as the users
/// file does.
pub const SLOW_ANSWER_PATIENCE_MS: u64 = 30_000;

// ---- systemd --------------------------------------------------------------------------------------------------------

/// How often the status line is brought up to date. More often would be noise: systemd shows its latest text only.
pub const STATUS_MS: u64 = 10_000;
/// If the service manager's queue was full, how soon the server reports again that it is ready. The service manager
/// waits for that.
pub const READY_RETRY_MS: u64 = 1_000;

// ---- The kernel's own patience ------------------------------------------------------------------------------------

/// Keepalive of a client: first probe after so many seconds of silence, then so many seconds apart, so many times.
/// 60 + 3 × 15 = 105 s: a client that vanished is noticed within two minutes.
pub const CLIENT_KEEPALIVE: Keepalive =
    Keepalive { idle_seconds: 60, interval_seconds: 15, probes: 3, unacknowledged_ms: 105_000 };
/// A link to another server: 5 + 3 × 3 = 14 s of silence, and as much with something unacknowledged. The RFC has no
/// ping, so the kernel finds out about a pulled cable.
pub const LINK_KEEPALIVE: Keepalive =
    Keepalive { idle_seconds: 5, interval_seconds: 3, probes: 3, unacknowledged_ms: 14_000 };
/// The keepalive while a connection is being probed because a client waits for the answer (D9, D17): it is gone within
/// 4 s.
pub const PROBE_KEEPALIVE: Keepalive =
    Keepalive { idle_seconds: 1, interval_seconds: 1, probes: 2, unacknowledged_ms: 3_000 };
/// How long a connection stays under the probe's settings.
pub const PROBE_MS: u64 = 6_000;

/// Keepalive settings for a peer that sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle_seconds: u32,
    /// Time between probes.
    pub interval_seconds: u32,
    /// Unanswered probes before the connection is gone.
    pub probes: u32,
    /// How long sent data may stay unacknowledged (TCP_USER_TIMEOUT).
    pub unacknowledged_ms: u32,
}

// ---- The log ------------------------------------------------------------------------------------------------------

/// Lines of one kind (place in the program, level, reason) that are written in one window; the rest are counted. A peer
/// that causes many lines hides only lines of that kind.
pub const LOG_LINES_PER_WINDOW: u32 = 20;
/// When a window ends, the number of lines left out of it is logged.
pub const LOG_WINDOW_MS: u64 = 10_000;
/// Kinds of lines with a window of their own. There are some dozens; what more there might be share one for each level.
pub const LOG_KINDS_MAX: usize = 256;
/// A longer line is cut. A pipe takes so much whole or not at all (PIPE_BUF of Linux).
pub const LOG_LINE_MAX_BYTES: usize = 4096;
/// How long the last words of a program that ends wait for standard error to take them.
pub const STDERR_PATIENCE_MS: u64 = 1_000;

// ---- The library for bots (`blocking/`) ---------------------------------------------------------------------------

/// Time to connect to one address.
pub const BOT_CONNECT_MS: u64 = 10_000;
/// Time for the answer to a login: a server that checks many passwords answers late.
pub const BOT_LOGIN_MS: u64 = 60_000;
/// A write that waits for so long lets the bot read what has come meanwhile.
pub const BOT_WRITE_WAIT_MS: u64 = 50;
/// Events read ahead while something is sent. The server uses it up, and the bot alone pays: past it, nothing is read, and
/// the server sees a slow reader.
pub const BOT_AHEAD_BYTES: usize = 1024 * 1024;
/// Transfers under way that a bot keeps track of. Senders use them up; the transfer that has waited longest gives way.
pub const BOT_TRANSFERS_MAX: usize = 64;
/// Announcements that a bot remembers. Senders use them up; the sender with most of them loses its oldest.
pub const BOT_ANNOUNCEMENTS_MAX: usize = 64;
