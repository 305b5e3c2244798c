//! How much memory the server may take, and what that means for its limits.
//!
//! ```text
//!   needed = BASE + connections × CONNECTION + 2 × --max-memory
//! ```
//!
//! Twice the queues, since a buffer that grows has up to twice the room that is used. Where a control group allows
//! less, the kernel would end the server at the worst moment; so the limits are lowered at the start, and it says so.

use std::path::Path;

/// The process itself: binary, poll, read buffer, pools, tables.
pub const BASE_BYTES: u64 = 4 * 1024 * 1024;
/// One connection: its entry with its nickname, and what the kernel charges for a socket that holds nothing. Measured
/// with 1,000 clients who are logged in, on Linux 6.18: 352 bytes resident, and 1.5 KiB of the kernel's where sockets are
/// not counted (version 1), 3.9 KiB where they are (version 2). What sockets hold is not in it: see
/// docs/container/README.md.
pub const CONNECTION_BYTES: u64 = 5 * 1024;
/// No bound on queues is set lower than this: below it, a single slow reader would be everybody's trouble.
pub const QUEUES_MIN_BYTES: u64 = 1024 * 1024;

/// What the limits come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Connections held at once.
    pub max_clients: u64,
    /// All queues together.
    pub max_memory_bytes: u64,
}

impl Budget {
    /// Memory that the server may come to need.
    pub fn needed_bytes(self) -> u64 {
        BASE_BYTES
            .saturating_add(self.max_clients.saturating_mul(CONNECTION_BYTES))
            .saturating_add(self.max_memory_bytes.saturating_mul(2))
    }

    /// The same budget, lowered until it fits into `limit_bytes`. Connections keep up to half of what is there where
    /// their number was derived; a number that the operator chose stays.
    pub fn fit(self, limit_bytes: u64, is_clients_chosen: bool) -> Budget {
        if self.needed_bytes() <= limit_bytes {
            return self;
        }
        let free = limit_bytes.saturating_sub(BASE_BYTES);
        let affordable = (free / 2 / CONNECTION_BYTES).max(1);
        let max_clients = if is_clients_chosen { self.max_clients } else { self.max_clients.min(affordable) };
        let left = free.saturating_sub(max_clients.saturating_mul(CONNECTION_BYTES));
        let queues = (left / 2).max(QUEUES_MIN_BYTES);
        Budget { max_clients, max_memory_bytes: self.max_memory_bytes.min(queues) }
    }
}

/// The memory limit of the control group that we are in (version 2 or 1), where there is one.
pub fn control_group_limit() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    candidates(&membership).iter().find_map(|path| read_limit(Path::new(path)))
}

/// Where the limit may stand: in a container, the group that we are in is the root of what we see.
fn candidates(membership: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let group = group.trim_end_matches('/');
        if controllers.is_empty() {
            paths.extend([group, ""].map(|group| format!("/sys/fs/cgroup{group}/memory.max")));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            paths.extend([group, ""].map(|group| format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")));
        }
    }
    paths
}

/// Version 2 says `max` and version 1 a number near 2^63 where there is no limit.
fn read_limit(path: &Path) -> Option<u64> {
    let limit = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_budget_that_fits_stays_as_it_is() {
        let budget = Budget { max_clients: 1000, max_memory_bytes: 64 * MIB };
        assert_eq!(budget.fit(1024 * MIB, false), budget);
    }

    #[test]
    fn a_budget_that_does_not_fit_is_lowered_until_it_does() {
        let budget = Budget { max_clients: 1_000_000, max_memory_bytes: 64 * MIB };
        let lowered = budget.fit(16 * MIB, false);
        assert!(lowered.needed_bytes() <= 16 * MIB, "{lowered:?}");
        assert!(lowered.max_clients >= 1000, "{lowered:?}");
        let chosen = Budget { max_clients: 1500, ..budget }.fit(16 * MIB, true);
        assert_eq!(chosen.max_clients, 1500);
        assert!(chosen.needed_bytes() <= 16 * MIB, "{chosen:?}");
    }

    #[test]
    fn the_limit_is_looked_for_in_both_versions_of_control_groups() {
        assert_eq!(
            candidates("0::/system.slice/cfp.service\n"),
            ["/sys/fs/cgroup/system.slice/cfp.service/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            candidates("4:memory:/docker/abc\n1:cpu:/\n"),
            ["/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }
}
