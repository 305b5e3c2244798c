//! Figures of the process for the metrics, read from the kernel when a scraper or an operator asks.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::core::state::process::ProcessFigures;

/// Knows when the process started.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    started: SystemTime,
}

impl Process {
    /// To be called at the start.
    pub fn start() -> Process {
        Process { started: SystemTime::now() }
    }

    /// The figures of now.
    pub fn measure(&self) -> ProcessFigures {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        ProcessFigures {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            resident_bytes: kib_line(&status, "VmRSS:"),
            virtual_bytes: kib_line(&status, "VmSize:"),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
            start_time_seconds: self.started.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64()),
        }
    }
}

/// A value of /proc/self/status (proc(5)), in bytes.
fn kib_line(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// From Linux 6.2 on, the size of the folder is the number of descriptors. Before, it is 0, and the figure is left out:
/// counting thousands of entries would stop the loop for milliseconds.
fn open_fds() -> Option<u64> {
    fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|&count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_this_process() {
        let process = Process::start();
        let figures = process.measure();
        let resident = figures.resident_bytes.unwrap();
        assert!((100 << 10..1 << 40).contains(&resident) && figures.virtual_bytes.unwrap() >= resident, "{figures:?}");
        assert!(figures.cpu_seconds.unwrap() > 0.0 && figures.start_time_seconds.unwrap() > 1e9, "{figures:?}");
        if let Some(before) = figures.open_fds {
            let _files = [0; 5].map(|_| fs::File::open("/proc/self/status").unwrap());
            assert!(process.measure().open_fds.unwrap() >= before.min(5), "{before}");
        }
    }

    #[test]
    fn a_value_that_the_system_does_not_say_is_none() {
        assert_eq!(kib_line("VmSize:\t  1234 kB\nVmRSS:\t 12 kB\n", "VmRSS:"), Some(12 * 1024));
        assert_eq!(kib_line("VmRSS:\t12 MB\n", "VmRSS:"), None);
        assert_eq!(kib_line("", "VmRSS:"), None);
    }
}
