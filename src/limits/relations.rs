//! How the limits have to fit together, checked when the program is compiled. A limit can be changed alone in `limits.rs`;
//! if another one then no longer fits, one of these lines says which.

use super::*;

/// The largest packet with the default limit of messages: a message in a forwarded packet, with two nicknames.
const PACKET_BYTES: usize = 5 + 1 + 4 + 2 * (4 + NICKNAME_MAX_BYTES) + 4 + MESSAGE_MAX_BYTES;

/// LINKS of a server with as many links as there may be.
const ROUTED_LINKS_BYTES: usize = 25 + 8 * ROUTED_LINKS_MAX;

const fn silence_ms(keepalive: Keepalive) -> u64 {
    1000 * (keepalive.idle_seconds + keepalive.interval_seconds * keepalive.probes) as u64
}

const _: () = {
    // The protocol.
    assert!(SIBLINGS_MAX + 1 == NETWORK_MAX_SERVERS, "a server of a full network is linked with all others");
    assert!(DESCRIPTIONS_MAX >= NETWORK_MAX_SERVERS, "a merge packet describes a whole network");
    assert!(MESSAGE_MAX_BYTES <= MESSAGE_CEILING_BYTES, "the default is allowed");
    assert!(FILE_NAME_MAX_BYTES > 0 && CHUNK_BYTES > 0 && PASSWORD_MAX_BYTES >= NICKNAME_MAX_BYTES);

    // A routed network.
    assert!(
        ROUTED_ONWARD_BURST_BYTES + ROUTED_OWN_NEWS_BURST_BYTES + ROUTED_ENTRIES_MAX * ROUTED_LINKS_BYTES
            <= ROUTED_NEWS_BURST_BYTES,
        "a neighbour takes at once all that an honest server tells at once, when the link comes up"
    );
    assert!(ROUTED_ONWARD_RATE_BYTES + ROUTED_OWN_NEWS_RATE_BYTES <= ROUTED_NEWS_RATE_BYTES, "and what it tells later");

    // A turn.
    assert!(READ_BYTES <= TURN_WORK_BYTES, "a turn can handle a whole read");
    assert!(CONNECTION_WORK_BYTES >= READ_BYTES, "a connection's share covers what one read brings");
    assert!(MODEST_WORK_BYTES < CONNECTION_WORK_BYTES, "there is a share that is not modest");
    assert!(ROUNDS_WORK_BYTES <= TURN_WORK_BYTES, "rounds end before the turn is full");
    assert!(TURN_PUBLIC_MIN_BYTES <= TURN_PUBLIC_BYTES && TURN_PUBLIC_BYTES <= TURN_DELIVERY_BYTES);
    assert!(FORWARDS_KEPT_BYTES >= TURN_PUBLIC_BYTES, "steady traffic to other servers allocates nothing");

    // Queues.
    assert!(PACKET_BYTES < QUEUE_MAX_BYTES / HIGH_WATER_DIVISOR, "one packet alone passes no high-water mark");
    assert!(
        LINK_HIGH_WATER_BYTES <= LINK_QUEUE_MAX_BYTES / HIGH_WATER_DIVISOR,
        "senders to a link wait before it is full"
    );
    assert!(PACKET_BYTES < LINK_HIGH_WATER_BYTES, "one packet alone does not make senders to a link wait");
    assert!(LINK_QUEUE_MAX_BYTES < MEMORY_MAX_BYTES, "one link does not use up the memory of all");
    assert!(
        QUEUES_MIN_BYTES as usize >= MEMORY_MIN_PACKETS * PACKET_BYTES,
        "memory that was lowered has room for a message of the default size"
    );
    assert!(QUEUES_MIN_BYTES as usize >= QUEUE_MAX_BYTES, "the smallest memory holds one full queue");
    assert!(
        POOL_MAX_BUFFERS * POOL_BUFFER_MAX_BYTES <= PROCESS_BYTES as usize,
        "pools are within the process's own memory"
    );
    assert!(
        SOCKET_BUFFER_MIN_BYTES <= SOCKET_BUFFER_USUAL_BYTES && SOCKET_BUFFER_USUAL_BYTES <= SOCKET_BUFFER_MAX_BYTES
    );

    // Receivers that are behind (D49).
    assert!(PRIVATE_QUEUE_DIVISOR < HIGH_WATER_DIVISOR, "senders are slowed before they are refused");
    assert!(
        QUEUE_MAX_BYTES / PRIVATE_QUEUE_DIVISOR + TURN_PUBLIC_BYTES < QUEUE_MAX_BYTES,
        "a queue that is full of what is private has room for what one turn says in public"
    );
    assert!(MESSAGE_BURST_BYTES <= MESSAGE_RATE_BYTES, "a private message waits a second at most");
    assert!(PUBLIC_SHARE_MIN_BYTES < PUBLIC_RATE_BYTES / PUBLIC_BURST_PARTS);
    assert!(CHUNK_PAUSE_BYTES >= 16 * CHUNK_BYTES, "a chunk for each wait makes no queue grow");

    // Times.
    assert!(ANNOUNCEMENT_MS > 2 * RECONCILE_MS, "one missed announcement does not make a list stale");
    assert!(silence_ms(PROBE_KEEPALIVE) < PROBE_MS, "a probe ends after its answer");
    assert!(silence_ms(LINK_KEEPALIVE) < silence_ms(CLIENT_KEEPALIVE), "a dead server is noticed before a dead client");
    assert!(passwords::FAILURE_DELAY_MAX_MS <= u16::MAX as u64, "a login keeps its delay in so many bits");
    assert!(DIAL_SOON_MS < DIAL_DELAY_MIN_MS && DIAL_DELAY_MIN_MS < DIAL_DELAY_MAX_MS);
    assert!(DIAL_DELAY_MAX_MS < FORGET_MS, "a lost server is dialled before it is forgotten");
    assert!(LINK_PAUSE_MS < STALLED_READER_MS, "a link goes on before its receiver is given up");
    assert!(
        CHUNK_PAUSE_MS < STALLED_READER_MS,
        "a receiver that is too slow for a file is closed before one that takes nothing"
    );
    assert!(LINK_PAUSE_MS < DEAD_READER_MS && DEAD_READER_MS < CHUNK_PAUSE_MS);
    assert!(SLOWED_MIN_MS < SLOWED_MAX_MS && SLOWED_MAX_MS < DEAD_READER_MS);
    assert!(LINGER_MS < DRAIN_MS && DRAIN_MS < HANDSHAKE_MS);
    assert!(ANSWER_PATIENCE_MS < SLOW_ANSWER_PATIENCE_MS && DIAL_MS < SLOW_ANSWER_PATIENCE_MS);

    // Passwords, operators, names.
    assert!(PASSWORD_ITERATIONS <= PASSWORD_ITERATIONS_MAX);
    assert!(PASSWORD_CHECKS_PER_ADDRESS_MAX < PASSWORD_CHECKS_MAX, "one address does not fill the queue of checks");
    assert!(COMMAND_MAX_BYTES <= OPERATOR_HIGH_WATER_BYTES && OPERATOR_HIGH_WATER_BYTES < OPERATOR_QUEUE_MAX_BYTES);
    assert!(HOST_LABEL_MAX_BYTES < HOST_NAME_MAX_BYTES && NAME_SERVERS_MAX > 0);
    assert!(
        RESERVED_DESCRIPTORS as usize >= SIBLINGS_MAX + OPERATORS_MAX + SCRAPERS_MAX,
        "what has no limit of its own fits"
    );
};
