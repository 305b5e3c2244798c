//! Bounds of the kit. The peer is the program under test, which its own author runs: he uses them up, and he pays.

/// Longest wait for something that must come, in seconds, unless `--patience` says otherwise.
pub const PATIENCE_S: u64 = 5;
/// Longest `--patience`: a case waits so long several times.
pub const PATIENCE_MAX_S: u64 = 600;
/// After so many waits in vain, the program under test is taken for one that does not answer, and the kit waits a fifth of
/// the patience: else a run would take ten minutes.
pub const WAITS_IN_VAIN_MAX: u32 = 5;
/// Longest wait for a connection to be made, in milliseconds.
pub const CONNECT_MS: u64 = 10_000;
/// Longest wait for the answer that tells which way of asking works, in milliseconds: it may never come.
pub const PROBE_MS: u64 = 2_000;
/// Input of one connection that is kept while something is sent over it. Past it, nothing is read until that is sent.
pub const RECEIVED_MAX_BYTES: usize = 64 << 20;
/// Packets that are kept to be shown as sent.
pub const SENT_SHOWN: usize = 4;
/// Bytes of each of them that are kept.
pub const SENT_SHOWN_BYTES: usize = 4096;
/// Output of the client under test that is kept, in bytes.
pub const OUTPUT_MAX_BYTES: usize = 16 << 20;
/// Port at which the kit plays a server, unless `--port` says otherwise: the RFC's number.
pub const PORT: u16 = 9207;
