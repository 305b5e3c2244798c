//! Decisions of `docs/protocol.md` that have no case of their own, and why.

/// From, to, why.
pub const UNCHECKED: &[(u32, u32, &str)] = &[
    (16, 16, "case 7.4 has it"),
    (18, 18, "case 7.7 has its first half; which of two connections stays needs two servers that dial at one moment"),
    (20, 20, "which addresses may merge is a matter of the operator"),
    (30, 31, "which links carry shows in the cases of D33 and D34; the table itself is no matter of packets"),
    (35, 35, "who waits for whom takes queues that are full"),
    (36, 37, "D21 and D20 have cases of the same for a dense server, or a reason"),
    (38, 38, "two merges at one moment take two networks"),
    (40, 48, "TLS and proxies need options of our server"),
    (49, 50, "what happens to slow receivers takes minutes and gigabytes to see"),
    (51, 52, "what siblings say of others takes several servers and minutes to see"),
    (54, 54, "a server that comes back elsewhere takes minutes to see"),
    (56, 58, "the end of connections, silent links and memory are a matter of the implementation"),
    (59, 59, "bans need an operator of our server"),
    (61, 62, "who waits for whom on a full server takes a full server to see"),
];
