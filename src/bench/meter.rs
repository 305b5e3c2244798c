//! What a process costs, as Linux counts it under `/proc`.

use std::fs;

/// Looks at one process.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    pid: u32,
}

impl Meter {
    /// For the process `pid`.
    pub fn new(pid: u32) -> Meter {
        Meter { pid }
    }

    /// For this process.
    pub fn own() -> Meter {
        Meter::new(std::process::id())
    }

    /// Processor time of all its threads since its start, in nanoseconds; exact for threads that sleep.
    pub fn processor_ns(&self) -> Option<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            total += schedstat.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(total)
    }

    /// The most memory that was ever resident, in bytes.
    pub fn most_resident_bytes(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Resident memory in bytes. `smaps_rollup` counts pages; `statm`, which any user may read, may lag behind by some.
    pub fn resident_bytes(&self) -> Option<u64> {
        let exact = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        });
        exact.or_else(|| {
            let text = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
            Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * rustix::param::page_size() as u64)
        })
    }
}
