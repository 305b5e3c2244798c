//! How much memory the server may take, and what that means for its limits.
//!
//! ```text
//!   needed = BASE + connections × CONNECTION + 2 × --max-memory
//!                                            + 2 × --max-memory where the control group counts sockets too
//! ```
//!
//! Twice the queues, since a buffer that grows has up to twice the room that is used. Version 2 of control groups also
//! counts what the kernel holds *in* sockets, which no program bounds as a whole; so as much again is set aside for
//! that, and the start says how many clients who do not read it is enough for. Where a control group allows less, the
//! kernel would end the server at the worst moment; so the limits are lowered at the start, and it says so.

use std::path::{Path, PathBuf};

/// The process itself: binary, poll, read buffer, pools, tables.
pub const BASE_BYTES: u64 = 4 * 1024 * 1024;
/// One connection: its entry with its nickname, and what the kernel charges for a socket that holds nothing. Measured
/// with 1,000 clients who are logged in, on Linux 6.18: 352 bytes resident, and 1.5 KiB of the kernel's where sockets are
/// not counted (version 1), 3.9 KiB where they are (version 2).
pub const CONNECTION_BYTES: u64 = 5 * 1024;
/// What the kernel holds for a client who logged in and does not read, in a room where others write: 118 KiB measured
/// on Linux 6.18, with the kernel's own buffer sizes. Who read much before may hold more.
pub const UNREAD_SOCKET_BYTES: u64 = 128 * 1024;
/// No bound on queues is set lower than this: below it, a single slow reader would be everybody's trouble.
pub const QUEUES_MIN_BYTES: u64 = 1024 * 1024;

/// What the limits come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Connections held at once.
    pub max_clients: u64,
    /// All queues together.
    pub max_memory_bytes: u64,
    /// Whether what sockets hold is counted, too.
    pub counts_sockets: bool,
}

impl Budget {
    /// Memory that the server may come to need.
    pub fn needed_bytes(self) -> u64 {
        BASE_BYTES
            .saturating_add(self.max_clients.saturating_mul(CONNECTION_BYTES))
            .saturating_add(self.max_memory_bytes.saturating_mul(2))
            .saturating_add(self.sockets_bytes())
    }

    /// Of that, what is set aside for the contents of sockets.
    pub fn sockets_bytes(self) -> u64 {
        if self.counts_sockets { self.max_memory_bytes.saturating_mul(2) } else { 0 }
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
        let queues = (left / if self.counts_sockets { 4 } else { 2 }).max(QUEUES_MIN_BYTES);
        Budget { max_clients, max_memory_bytes: self.max_memory_bytes.min(queues), ..self }
    }
}

/// What a control group allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupLimit {
    /// The most memory.
    pub bytes: u64,
    /// Whether that covers what sockets hold: it does in version 2. In version 1 that has a counter of its own.
    pub counts_sockets: bool,
}

/// The memory limit of the control group that we are in (version 2 or 1), where there is one.
pub fn control_group_limit() -> Option<GroupLimit> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_below(Path::new("/sys/fs/cgroup"), &membership)
}

/// The lowest limit of our group and of those around it. In a container, only the root of what we see is there: it is
/// the group that we are in.
fn limit_below(root: &Path, membership: &str) -> Option<GroupLimit> {
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let counts_sockets = controllers.is_empty();
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        let (folder, file) = if counts_sockets {
            (root.to_owned(), "memory.max")
        } else if is_memory {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let bytes = read_limit(folder.join(group).join(file));
            limits.extend(bytes.map(|bytes| GroupLimit { bytes, counts_sockets }));
        }
    }
    limits.into_iter().min()
}

/// Version 2 says `max` and version 1 a number near 2^63 where there is no limit.
fn read_limit(path: PathBuf) -> Option<u64> {
    let limit = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_budget_that_fits_stays_as_it_is() {
        let budget = Budget { max_clients: 1000, max_memory_bytes: 64 * MIB, counts_sockets: false };
        assert_eq!(budget.fit(1024 * MIB, false), budget);
    }

    #[test]
    fn a_budget_that_does_not_fit_is_lowered_until_it_does() {
        for counts_sockets in [false, true] {
            let budget = Budget { max_clients: 1_000_000, max_memory_bytes: 64 * MIB, counts_sockets };
            let lowered = budget.fit(16 * MIB, false);
            assert!(lowered.needed_bytes() <= 16 * MIB, "{lowered:?}");
            assert!(lowered.max_clients >= 1000, "{lowered:?}");
            let chosen = Budget { max_clients: 1500, ..budget }.fit(16 * MIB, true);
            assert_eq!(chosen.max_clients, 1500);
            assert!(chosen.needed_bytes() <= 16 * MIB, "{chosen:?}");
        }
    }

    #[test]
    fn what_sockets_hold_is_set_aside_where_it_is_counted() {
        let budget = Budget { max_clients: 1000, max_memory_bytes: 8 * MIB, counts_sockets: true };
        let without = Budget { counts_sockets: false, ..budget };
        assert_eq!(budget.needed_bytes() - without.needed_bytes(), 16 * MIB);
        assert_eq!((budget.sockets_bytes(), without.sockets_bytes()), (16 * MIB, 0));
    }

    /// Files of control groups that are not there in truth.
    struct Groups(PathBuf);

    impl Groups {
        fn new(name: &str, files: &[(&str, &str)]) -> Groups {
            let root = std::env::temp_dir().join(format!("cfp-groups-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Groups(root)
        }

        fn limit(&self, membership: &str) -> Option<(u64, bool)> {
            limit_below(&self.0, membership).map(|limit| (limit.bytes, limit.counts_sockets))
        }
    }

    impl Drop for Groups {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn in_version_2_the_lowest_limit_around_us_counts_and_sockets_are_in_it() {
        let membership = "0::/system.slice/cfp.service\n";
        let service = ("system.slice/cfp.service/memory.max", "16777216\n");
        let slice = ("system.slice/memory.max", "8388608\n");
        assert_eq!(Groups::new("service", &[service]).limit(membership), Some((16 * MIB, true)));
        assert_eq!(Groups::new("slice", &[service, slice]).limit(membership), Some((8 * MIB, true)));
        // In a container, the group that we are in is the root of what we see.
        assert_eq!(Groups::new("root", &[("memory.max", "16777216\n")]).limit("0::/\n"), Some((16 * MIB, true)));
        assert_eq!(Groups::new("max", &[("memory.max", "max\n")]).limit("0::/\n"), None);
    }

    #[test]
    fn in_version_1_the_memory_controller_has_a_tree_of_its_own_and_sockets_are_not_in_it() {
        let membership = "4:cpu,memory:/docker/abc\n1:cpuset:/\n0::/\n";
        let limit = |text| ("memory/docker/abc/memory.limit_in_bytes", text);
        assert_eq!(Groups::new("v1", &[limit("16777216\n")]).limit(membership), Some((16 * MIB, false)));
        assert_eq!(Groups::new("v1-none", &[limit("9223372036854771712\n")]).limit(membership), None);
        let seen_inside = Groups::new("v1-inside", &[("memory/memory.limit_in_bytes", "16777216\n")]);
        assert_eq!(seen_inside.limit(membership), Some((16 * MIB, false)));
        assert_eq!(Groups::new("nothing", &[]).limit(membership), None);
    }
}
