//! Name resolution.

use super::NETWORK_MAX_SERVERS;

/// Names looked up at once: a few times the servers of a network, so that only a mistake reaches it. Used up by
/// operators and siblings; the dial fails, and is tried again.
pub const LOOKUPS_MAX: usize = 4 * NETWORK_MAX_SERVERS;
/// Time for one lookup in all, whatever resolv.conf asks for. After this, its answer is no longer wanted. Used up by a
/// name server; the merge by that name pays.
pub const LOOKUP_MS: u64 = 30_000;
/// Name servers that are asked (resolv.conf(5), MAXNS).
pub const NAME_SERVERS_MAX: usize = 3;
/// Search domains that are tried: what libc's limit was for long, and more questions than anybody wants to wait for.
pub const SEARCH_DOMAINS_MAX: usize = 6;
/// Largest `ndots` (resolv.conf(5)).
pub const NDOTS_MAX: u32 = 15;
/// Largest `timeout` (resolv.conf(5)).
pub const NAME_SERVER_SECONDS_MAX: u32 = 30;
/// Largest `attempts` (resolv.conf(5)).
pub const NAME_SERVER_ATTEMPTS_MAX: u32 = 5;
/// Longest name, in its written form without the last dot (RFC 1035 section 3.1).
pub const HOST_NAME_MAX_BYTES: usize = 253;
/// Longest part of a name between dots (RFC 1035 section 3.1).
pub const HOST_LABEL_MAX_BYTES: usize = 63;
/// A longer answer is not looked at. 512 is the rule (RFC 1035 section 4.2.1); the rest is for servers that break it.
/// Used up by a name server; the merge by that name pays.
pub const DNS_ANSWER_MAX_BYTES: usize = 4096;
/// Answers read from the resolver's socket in one turn. More come only if a stranger sends to that socket. Used up by
/// such a stranger; the lookup pays, with a turn of delay.
pub const DATAGRAMS_PER_TURN: usize = 64;
/// Bytes read of /etc/resolv.conf, at once: far more than it ever has.
pub const RESOLVER_FILE_MAX_BYTES: u64 = 64 * 1024;
/// Bytes read of /etc/hosts in one turn. Lists that block advertisers have megabytes, and no connection shall wait for
/// them.
pub const HOSTS_SLICE_BYTES: usize = 64 * 1024;
/// Bytes read of /etc/hosts in all. The rest is ignored, with a line in the log.
pub const HOSTS_FILE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Aliases (CNAME) followed from the name that was asked for: more is a mistake, or a circle. Used up by a name server;
/// the merge by that name pays.
pub const ALIASES_MAX: usize = 16;
/// Addresses taken for one name, in the order in which they are listed: a dial tries no more. Used up by a name server;
/// the merge by that name pays.
pub const RESOLVED_ADDRESSES_MAX: usize = 64;
