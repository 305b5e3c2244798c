//! How soon a server listens, and what it is worth then.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::meter::Meter;
use crate::bench::server::{Process, free_address};
use crate::bench::{Doing, Fault, Result};

/// Tried so often.
const POLL: Duration = Duration::from_micros(100);
/// For so long.
const MAX: Duration = Duration::from_secs(10);
/// Memory is looked at so long after that.
const IDLE: Duration = Duration::from_millis(300);

/// Starts the server. Returns the time until it listened in milliseconds, and its resident bytes when it is idle.
pub fn start(server: &Path) -> Result<(f64, u64)> {
    let address = free_address()?;
    let mut command = Command::new(server);
    command.args(["--id", "7", "--listen", &address.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let since = Instant::now();
    let child = command.spawn().doing(format_args!("cannot start {}", server.display()))?;
    let meter = Meter::new(child.id());
    let _process = Process::new(child);
    while TcpStream::connect(address).is_err() {
        if since.elapsed() > MAX {
            return Err(Fault::Wrong(format!("{} does not listen", server.display())));
        }
        std::thread::sleep(POLL);
    }
    let ms = since.elapsed().as_secs_f64() * 1000.0;
    std::thread::sleep(IDLE);
    Ok((ms, meter.resident_bytes().ok_or_else(|| Fault::Wrong("the server ended".into()))?))
}
