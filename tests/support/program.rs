//! Programs of others. The tests that need them are ignored, and .ci/run installs them and runs these tests.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// A program that runs beside the test. Dropping it kills it.
pub struct Program(Child);

impl Program {
    /// Starts a program that listens at `address`, and waits until it does. What it says goes to the test's output.
    pub fn start(name: &str, arguments: &[&str], address: SocketAddr) -> Program {
        let mut command = Command::new(path_of(name).expect("it is installed"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        for output in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
            let name = name.to_owned();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    println!("{name}: {line}");
                }
            });
        }
        let mut program = Program(child);
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < PATIENCE, "{name} does not listen");
            assert!(program.0.try_wait().unwrap().is_none(), "{name} has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boxed(output: impl std::io::Read + Send + 'static) -> Box<dyn std::io::Read + Send> {
    Box::new(output)
}

fn path_of(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(more).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A file of its own for a test, with this text.
pub fn file(name: &str, text: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("cfp-{}-{number}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}
