//! Limits of a routed network.

/// Servers in one routed network, ourselves included (D27). Each hears all others, so what all say has to pass through
/// every one.
pub const ROUTED_MAX_SERVERS: usize = 64;
/// Links of one routed server (D27): each is one more write for every public message.
pub const ROUTED_LINKS_MAX: usize = 16;
/// Descriptions in a merge packet of a routed server: the whole network, its own twice (D25, D26).
pub const ROUTED_DESCRIPTIONS_MAX: usize = ROUTED_MAX_SERVERS + 1;
/// Servers whose links are remembered: those of two networks that have merged at once, before one of them leaves. Used
/// up by a member that invents servers; servers that are not reached go first.
pub const ROUTED_ENTRIES_MAX: usize = 2 * ROUTED_MAX_SERVERS;
/// Bytes of LINKS that a neighbour may send at once: many times what 64 servers have to tell.
pub const ROUTED_NEWS_BURST_BYTES: usize = 128 * 1024;
/// And a second, beyond that. Used up by a neighbour; its link pays, which is not read from meanwhile.
pub const ROUTED_NEWS_RATE_BYTES: usize = 64 * 1024;
/// Bytes of others' LINKS that a server passes on at once, 250 changes, and a second beyond that. Used up by members that
/// tell of links again and again; then the news of each server waits for its turn, 0.6 s at most. With what a
/// server tells of its own links, and of all when a link comes up (20 KiB), it is less than what a neighbour takes: so
/// nobody reads an honest server's link later for it.
pub const ROUTED_ONWARD_BURST_BYTES: usize = 40 * 1024;
/// See [`ROUTED_ONWARD_BURST_BYTES`].
pub const ROUTED_ONWARD_RATE_BYTES: usize = 32 * 1024;
/// Bytes that a server tells of its own links at once, and a second beyond that: 400 changes, and 50. Used up by peers
/// that merge and leave again and again; then merges are declined for a moment, which others that come pay for, too.
/// More would be too much news for our neighbours, who would read our links later.
pub const ROUTED_OWN_NEWS_BURST_BYTES: usize = 64 * 1024;
/// See [`ROUTED_OWN_NEWS_BURST_BYTES`].
pub const ROUTED_OWN_NEWS_RATE_BYTES: usize = 8 * 1024;
/// More changes of a server's links than may be under way at once. Versions that jump further in one incarnation are of
/// two lives.
pub const ROUTED_VERSIONS_MAX: u32 = 0xffff;
/// From this incarnation on, a server that finds LINKS of itself does not go on behind it (D39): no higher one is left.
pub const ROUTED_INCARNATION_MAX: u32 = u32::MAX - 0xffff;
