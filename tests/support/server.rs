//! The real server as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, PATIENCE};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_cfp-server");

/// A running server. Dropping it ends the process.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Log,
}

/// What the server has written to standard error so far, line by line.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<LogLines>, Condvar)>);

#[derive(Default)]
struct LogLines {
    lines: Vec<String>,
    is_over: bool,
}

impl Server {
    /// Starts server 7 on a free port of 127.0.0.1, with more arguments, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Server {
        let mut command = Command::new(BINARY);
        command.args(["--id", "7", "--listen", "127.0.0.1:0"]).args(arguments);
        Server::spawn(command)
    }

    /// A server with at most this many descriptors.
    pub fn start_with_descriptors(descriptors: u32, arguments: &[&str]) -> Server {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")).arg(BINARY);
        command.args(["--id", "7", "--listen", "127.0.0.1:0"]).args(arguments);
        Server::spawn(command)
    }

    /// Runs a command that starts a server, and waits until that listens.
    pub fn spawn(mut command: Command) -> Server {
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let log = Log::default();
        let (stderr, writer) = (child.stderr.take().expect("standard error is piped"), log.clone());
        std::thread::spawn(move || writer.collect(BufReader::new(stderr)));
        let line = log.wait_for("listens on ");
        let address = line.split("listens on ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        Server { child, address: address.parse().expect("the log names the address"), log }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Connections through a proxy that names the client's address (D46, D47).
    pub fn guest(&self, nickname: &str) -> Client {
        let mut client = self.connect();
        client.log_in_as_guest(nickname);
        client
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that contains `text`; returns the first one.
    pub fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// The log lines so far that contain `text`.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log.0.0.lock().unwrap().lines.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until that many lines of the log contain `text`: what the server wrote a moment ago may not be read yet.
    /// More of them are a failure.
    pub fn expect_in_log(&self, text: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count_in_log(text) < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.count_in_log(text), count, "lines with {text:?}");
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_exit(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server has not ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak_resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Processor time used so far, in clock ticks (a hundredth of a second each).
    pub fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is the name in parentheses; utime and stime are the 14th and 15th.
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn collect(&self, stderr: impl BufRead) {
        for line in stderr.lines().map_while(Result::ok) {
            self.0.0.lock().unwrap().lines.push(line);
            self.0.1.notify_all();
        }
        self.0.0.lock().unwrap().is_over = true;
        self.0.1.notify_all();
    }

    fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut log = self.0.0.lock().unwrap();
        loop {
            if let Some(line) = log.lines[seen..].iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            seen = log.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !log.is_over, "no log line with {text:?} in {:#?}", log.lines);
            log = self.0.1.wait_timeout(log, left).unwrap().0;
        }
    }
}
