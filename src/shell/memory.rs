//! How much memory the server may take, and what that means for its limits.
//!
//! ```text
//!   needed = PROCESS + connections × CONNECTION + 2 × --max-memory + 2 × users (+ sockets)
//! ```
//!
//! The users are there twice while their file is read again.
//!
//! Twice the queues, because a buffer that grows has up to twice the room that is used. Version 2 of control groups
//! also counts what the kernel holds *in* sockets. There, the rest of the limit is set aside for sockets, and at least
//! as much as for the queues. Each socket's buffers are bounded accordingly. If a control group allowed less than the
//! sum, the kernel would kill the server at the worst moment. So the server lowers its limits at the start, and logs
//! it.

use std::path::{Path, PathBuf};

use crate::limits;

/// What the limits come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Connections held at once.
    pub max_clients: u64,
    /// All queues together.
    pub max_memory_bytes: u64,
    /// What TLS adds to each connection, if there is a certificate.
    pub tls_bytes: u64,
    /// One table of registered users, with some room to grow.
    pub users_bytes: u64,
    /// What the kernel may hold in sockets, if the control group counts that.
    pub sockets_bytes: Option<u64>,
}

impl Budget {
    /// Memory that the server may come to need.
    pub fn needed_bytes(self) -> u64 {
        limits::PROCESS_BYTES
            .saturating_add(self.max_clients.saturating_mul(self.connection_bytes()))
            .saturating_add(self.max_memory_bytes.saturating_mul(limits::ALLOCATOR_SLACK))
            .saturating_add(self.users_bytes.saturating_mul(2))
            .saturating_add(self.sockets_bytes.unwrap_or(0))
    }

    /// What one connection takes.
    pub fn connection_bytes(self) -> u64 {
        limits::CONNECTION_BYTES + self.tls_bytes
    }

    /// The same budget, lowered until it fits into the limit. If the number of connections was derived, connections
    /// keep up to half of the memory. A number that the operator chose stays.
    pub fn fit(self, limit: GroupLimit, is_clients_chosen: bool) -> Budget {
        let own = Budget { sockets_bytes: None, ..self };
        let fitting = if own.fits(limit) { own } else { own.lowered(limit, is_clients_chosen) };
        let left = limit.bytes.saturating_sub(fitting.needed_bytes());
        Budget { sockets_bytes: limit.counts_sockets.then_some(left), ..fitting }
    }

    /// Whether the limit has room for it and, if sockets are counted, for sockets that hold as much as the queues.
    pub fn fits(self, limit: GroupLimit) -> bool {
        let sockets =
            if limit.counts_sockets { self.max_memory_bytes.saturating_mul(limits::ALLOCATOR_SLACK) } else { 0 };
        Budget { sockets_bytes: Some(sockets), ..self }.needed_bytes() <= limit.bytes
    }

    fn lowered(self, limit: GroupLimit, is_clients_chosen: bool) -> Budget {
        let free = limit.bytes.saturating_sub(limits::PROCESS_BYTES).saturating_sub(self.users_bytes.saturating_mul(2));
        let affordable = (free / 2 / self.connection_bytes()).max(1);
        let max_clients = if is_clients_chosen { self.max_clients } else { self.max_clients.min(affordable) };
        let left = free.saturating_sub(max_clients.saturating_mul(self.connection_bytes()));
        let queues =
            (left / limits::ALLOCATOR_SLACK / if limit.counts_sockets { 2 } else { 1 }).max(limits::QUEUES_MIN_BYTES);
        Budget { max_clients, max_memory_bytes: self.max_memory_bytes.min(queues), ..self }
    }

    /// The bound on each buffer of a socket, as setsockopt(2) takes it. It is an equal share of what sockets may hold,
    /// or the usual size as long as some sockets can be full at once. `None` if sockets are not counted, or if the
    /// kernel's own bounds are enough.
    pub fn socket_buffer_bytes(self) -> Option<u64> {
        let buffers_bytes = self.sockets_bytes? / limits::SOCKET_BYTES_PER_BUFFER_BYTE;
        let share = buffers_bytes / self.max_clients.max(1);
        let usual = (buffers_bytes / limits::FULL_SOCKETS).min(limits::SOCKET_BUFFER_USUAL_BYTES);
        (share < limits::SOCKET_BUFFER_MAX_BYTES).then_some(share.max(usual).max(limits::SOCKET_BUFFER_MIN_BYTES))
    }
}

/// The memory set aside for one table of users, given the memory of the users at the start.
pub fn users_bytes(held_bytes: u64) -> u64 {
    if held_bytes == 0 { 0 } else { held_bytes + held_bytes / 2 + limits::USERS_GROWTH_BYTES }
}

/// Most memory that the users at the start may take, so that the least of everything else fits too.
pub fn users_room_bytes(limit: GroupLimit) -> u64 {
    // Connections get as much as queues and sockets do.
    let rest = limits::ALLOCATOR_SLACK * limits::QUEUES_MIN_BYTES * if limit.counts_sockets { 4 } else { 2 };
    let table = limit.bytes.saturating_sub(limits::PROCESS_BYTES + rest) / 2;
    table.saturating_sub(limits::USERS_GROWTH_BYTES) / 3 * 2
}

/// What a control group allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupLimit {
    /// The most memory.
    pub bytes: u64,
    /// Whether that covers what sockets hold: it does in version 2. In version 1 that has a counter of its own.
    pub counts_sockets: bool,
}

/// The memory limit of our control group (version 2 or 1), if there is one.
pub fn control_group_limit() -> Option<GroupLimit> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_below(Path::new("/sys/fs/cgroup"), &membership)
}

/// The lowest limit of our group and of those around it. In a container, only the root is visible, and it is our own
/// group.
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

/// Without a limit, version 2 says `max`, and version 1 says a number near 2^63.
fn read_limit(path: PathBuf) -> Option<u64> {
    let limit = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn limit(bytes: u64, counts_sockets: bool) -> GroupLimit {
        GroupLimit { bytes, counts_sockets }
    }

    #[test]
    fn a_budget_that_fits_stays_as_it_is() {
        let budget = Budget { max_clients: 1000, max_memory_bytes: 64 * MIB, sockets_bytes: None, ..Budget::default() };
        assert_eq!(budget.fit(limit(1024 * MIB, false), false), budget);
        let with_sockets = budget.fit(limit(1024 * MIB, true), false);
        assert_eq!(Budget { sockets_bytes: None, ..with_sockets }, budget);
    }

    #[test]
    fn with_a_certificate_fewer_clients_fit() {
        let budget = Budget { max_clients: 1_000_000, max_memory_bytes: 64 * MIB, ..Budget::default() };
        let with_tls = Budget { tls_bytes: limits::TLS_CONNECTION_BYTES, ..budget };
        let clients = |budget: Budget| budget.fit(limit(16 * MIB, false), false).max_clients;
        assert_eq!(clients(budget) * budget.connection_bytes() / with_tls.connection_bytes(), clients(with_tls));
    }

    #[test]
    fn a_budget_that_does_not_fit_is_lowered_until_it_does() {
        for limit in [limit(16 * MIB, false), limit(16 * MIB, true)] {
            let budget = Budget { max_clients: 1_000_000, max_memory_bytes: 64 * MIB, ..Budget::default() };
            let lowered = budget.fit(limit, false);
            assert!(lowered.fits(limit) && lowered.max_clients >= 1000, "{lowered:?}");
            let chosen = Budget { max_clients: 1500, ..budget }.fit(limit, true);
            assert!(chosen.fits(limit) && chosen.max_clients == 1500, "{chosen:?}");
            // There is an end to what can be done.
            let too_many = Budget { max_clients: 3000, ..budget }.fit(limit, true);
            assert!(!too_many.fits(limit) && too_many.max_memory_bytes == limits::QUEUES_MIN_BYTES, "{too_many:?}");
        }
    }

    #[test]
    fn the_users_are_in_the_sum_twice_and_must_leave_room_for_the_rest() {
        for limit in [limit(16 * MIB, false), limit(16 * MIB, true)] {
            let most = users_room_bytes(limit);
            assert!(most > MIB);
            let users_bytes = users_bytes(most);
            let budget = Budget { max_clients: 1000, max_memory_bytes: 64 * MIB, users_bytes, ..Budget::default() };
            let lowered = budget.fit(limit, false);
            assert!(lowered.fits(limit) && lowered.users_bytes == users_bytes, "{lowered:?}");
        }
        assert_eq!(users_room_bytes(limit(4 * MIB, false)), 0);
    }

    #[test]
    fn where_sockets_are_counted_their_buffers_are_bounded_by_what_is_left() {
        let budget = Budget { max_clients: 1000, max_memory_bytes: MIB, ..Budget::default() };
        let buffer = |left_bytes: u64, counts_sockets| {
            let bytes = budget.needed_bytes() + left_bytes;
            budget.fit(limit(bytes, counts_sockets), true).socket_buffer_bytes()
        };
        assert_eq!(buffer(400 * MIB, false), None);
        // Memory that is enough for all, for some, for few.
        assert_eq!(buffer(400 * MIB, true), Some(400 * MIB / 1000 / 4));
        assert_eq!(buffer(100 * MIB, true), Some(limits::SOCKET_BUFFER_USUAL_BYTES));
        assert_eq!(buffer(8 * MIB, true), Some(8 * MIB / limits::FULL_SOCKETS / 4));
        assert_eq!(buffer(2 * MIB, true), Some(limits::SOCKET_BUFFER_MIN_BYTES));
        assert_eq!(buffer(4000 * MIB, true), None);
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
