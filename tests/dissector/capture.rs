//! A live capture on the loopback interface, limited to a few ports.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::pcap::CaptureFile;
use super::support::PATIENCE;

/// A capture that goes on. Dropping it ends the process.
pub struct Capture {
    child: Child,
    bytes: Arc<(Mutex<Vec<u8>>, Condvar)>,
}

impl Capture {
    /// Begins, and waits until the interface is listened on. The error says why that is not possible here.
    pub fn start(servers: &[SocketAddr]) -> Result<Capture, String> {
        let filter: Vec<String> = servers.iter().map(|address| format!("tcp port {}", address.port())).collect();
        let mut child = Command::new("dumpcap")
            .args(["-i", "lo", "-w", "-", "-f", &filter.join(" or ")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("dumpcap: {error}"))?;
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let bytes = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let writer = Arc::clone(&bytes);
        std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                writer.0.lock().unwrap().extend_from_slice(&buffer[..count]);
                writer.1.notify_all();
            }
        });
        // It names its output once it captures. Without the right to, it says why and ends.
        let (mut said, mut line) = (String::new(), String::new());
        while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
            if line.starts_with("File: ") {
                std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
                return Ok(Capture { child, bytes });
            }
            said.push_str(&std::mem::take(&mut line));
        }
        let _ = child.wait();
        Err(said)
    }

    /// Waits until these bytes have been captured `times` times, and ends.
    pub fn finish(self, last: &[u8], times: usize) -> CaptureFile {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = self.bytes.0.lock().unwrap();
        while bytes.windows(last.len()).filter(|window| *window == last).count() < times {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the last packet was not captured");
            bytes = self.bytes.1.wait_timeout(bytes, left).unwrap().0;
        }
        CaptureFile::new(&bytes)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
