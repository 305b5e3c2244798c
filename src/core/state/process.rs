//! What only the shell knows of the process, for the metrics.

/// Figures of the process. A figure is missing if the system does not have it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time used, of all kinds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The limit on descriptors.
    pub max_fds: Option<u64>,
    /// When it started, since 1970.
    pub start_time_seconds: Option<f64>,
}
