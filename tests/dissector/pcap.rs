//! Captures made by hand: a few streams, cut into segments as the test likes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that is removed when dropped.
pub struct CaptureFile(PathBuf);

impl CaptureFile {
    /// A file with these bytes.
    pub fn new(bytes: &[u8]) -> CaptureFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cfp-capture-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        CaptureFile(path)
    }

    /// Its address.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for CaptureFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes the pcap format: a header, then records of raw IPv4 packets.
pub struct Pcap {
    bytes: Vec<u8>,
    frames: u32,
    /// Sequence number of the next byte from port to port.
    next: BTreeMap<(u16, u16), u32>,
}

impl Pcap {
    pub fn new() -> Pcap {
        // Magic, version 2.4, no time zone, no accuracy, longest record, link type 101 (raw IP).
        let mut bytes = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([262_144_u32, 101].into_iter().flat_map(u32::to_le_bytes));
        Pcap { bytes, frames: 0, next: BTreeMap::new() }
    }

    /// One segment.
    pub fn segment(&mut self, from: u16, to: u16, data: &[u8]) {
        self.segment_cut_off(from, to, data, usize::MAX);
    }

    /// One segment of whose packet the capture has `captured` bytes at most.
    pub fn segment_cut_off(&mut self, from: u16, to: u16, data: &[u8], captured: usize) {
        let acknowledged = self.next.get(&(to, from)).copied().unwrap_or(1);
        let sequence = self.next.entry((from, to)).or_insert(1);
        let mut packet = vec![0x45, 0];
        packet.extend(u16::try_from(40 + data.len()).unwrap().to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend([from, to].into_iter().flat_map(u16::to_be_bytes));
        packet.extend([*sequence, acknowledged].into_iter().flat_map(u32::to_be_bytes));
        // Five words of header, PSH and ACK, the window. There is no checksum, because none is checked.
        packet.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(data);
        *sequence = sequence.wrapping_add(data.len() as u32);
        let kept = packet.len().min(captured);
        let record = [self.frames, 0, kept as u32, packet.len() as u32];
        self.bytes.extend(record.into_iter().flat_map(u32::to_le_bytes));
        self.bytes.extend(&packet[..kept]);
        self.frames += 1;
    }

    /// A stream in segments of so many bytes.
    pub fn segments(&mut self, from: u16, to: u16, stream: &[u8], size: usize) {
        for segment in stream.chunks(size) {
            self.segment(from, to, segment);
        }
    }

    pub fn file(&self) -> CaptureFile {
        CaptureFile::new(&self.bytes)
    }
}
