//! Runs the real server and the real client, and a bare client that sends what ours never would.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use cfp::blocking::{Arrival, Login, PacketStream};
use cfp::core::state::random::Random;
use cfp::limits::CHUNK_BYTES;
use cfp::wire::{FileChunk, FrameLimits, Packet, ServerId};
use sha2::{Digest, Sha256};

/// Far longer than anything takes: a test that waits for this long has found a bug.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a free port.
pub struct Server {
    pub address: String,
    pub id: u32,
    process: Running,
    log: Lines,
}

impl Server {
    pub fn start(id: u32, arguments: &[&str]) -> Server {
        Server::start_at("127.0.0.1:0", id, arguments)
    }

    pub fn start_at(listen: &str, id: u32, arguments: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cfp-server"))
            .args(["--id", &id.to_string(), "--listen", listen])
            .args(arguments)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Lines::of(process.stderr.take().unwrap());
        let process = Running(process);
        let line = log.expect("listens on ");
        let address = line.split("listens on ").nth(1).unwrap().split_whitespace().next().unwrap();
        Server { address: address.trim_end_matches(',').to_owned(), id, process, log }
    }

    /// Waits for a log line.
    pub fn expect(&self, part: &str) -> String {
        self.log.expect(part)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }
}

/// The lines that something prints, read as they come.
pub struct Lines {
    lines: Receiver<String>,
}

impl Lines {
    fn of(source: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Lines { lines }
    }

    /// Waits for a line that contains `part`, passing over others.
    pub fn expect(&self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => passed.push(line),
                Err(error) => panic!("no line with {part:?} ({error}); there were {passed:#?}"),
            }
        }
    }

    /// All lines up to the end.
    pub fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("no end after {rest:#?}"),
            }
        }
    }
}

/// Our client, driven through pipes.
pub struct Client {
    pub out: Lines,
    pub err: Lines,
    process: Running,
    input: Option<ChildStdin>,
}

impl Client {
    /// Starts it and waits until it is logged in.
    pub fn start(server: &str, nickname: &str, arguments: &[&str]) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
        command.args([server, nickname]).args(arguments);
        let client = Client::spawn(command);
        client.err.expect("connected to");
        client
    }

    /// Starts a command that is the client or becomes it.
    pub fn spawn(mut command: Command) -> Client {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (Lines::of(process.stdout.take().unwrap()), Lines::of(process.stderr.take().unwrap()));
        let input = process.stdin.take();
        Client { out, err, process: Running(process), input }
    }

    pub fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    pub fn type_bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn expect(&self, part: &str) -> String {
        self.out.expect(part)
    }

    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end; its exit status and what it printed meanwhile.
    pub fn wait(mut self) -> (i32, Vec<String>, Vec<String>) {
        let (out, err) = (self.out.rest(), self.err.rest());
        (self.process.0.wait().unwrap().code().unwrap_or(-1), out, err)
    }

    /// Ends the input and waits for its end.
    pub fn finish(mut self) -> (i32, Vec<String>, Vec<String>) {
        self.end_input();
        self.wait()
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// A client that sends any packet.
pub struct Bare {
    packets: PacketStream<TcpStream>,
}

/// It says that it is gone. Closing alone is not enough: a process that another test is just starting holds every
/// descriptor of this one for a moment, and until then the server has its nickname in use.
impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.packets.tcp().shutdown(Shutdown::Both);
    }
}

impl Bare {
    pub fn log_in(server: &str, nickname: &str) -> Bare {
        let mut packets = PacketStream::new(TcpStream::connect(server).unwrap(), FrameLimits::DEFAULT);
        packets.log_in(Login::Guest(nickname), PATIENCE).unwrap();
        Bare { packets }
    }

    pub fn send(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        let end = Instant::now() + PATIENCE;
        let wait = |_: &mut PacketStream<TcpStream>| {
            assert!(Instant::now() < end, "the server takes nothing");
            Ok(())
        };
        self.packets.write(&bytes, wait).unwrap();
    }

    pub fn say(&mut self, message: &str) {
        self.send(Packet::MsgPbl { message });
    }

    pub fn tell(&mut self, destination: u32, receiver: &str, message: &str) {
        self.send(Packet::MsgPrv { destination: ServerId(destination), receiver, message });
    }

    /// Sends one chunk, padded.
    pub fn chunk(
        &mut self,
        destination: u32,
        receiver: &str,
        (transfer_id, file_name): (u32, &str),
        chunks: u32,
        data: &[u8],
    ) {
        let mut content = [0; CHUNK_BYTES];
        content[..data.len()].copy_from_slice(data);
        let chunk = FileChunk { transfer_id, file_name, chunks, content: &content };
        self.send(Packet::FileChnk { destination: ServerId(destination), receiver, chunk });
    }

    /// Waits for a packet that `pick` makes something of, passing over others.
    pub fn receive<T>(&mut self, mut pick: impl FnMut(Packet<'_>) -> Option<T>) -> T {
        loop {
            match self.packets.next_until(Some(Instant::now() + PATIENCE)).unwrap() {
                Arrival::Frame(frame) => {
                    if let Some(picked) = pick(self.packets.decoder().packet(&frame).unwrap()) {
                        return picked;
                    }
                }
                other => panic!("{other:?} in place of a packet"),
            }
        }
    }

    pub fn close(self) {
        self.packets.tcp().shutdown(Shutdown::Both).unwrap();
    }
}

/// A folder of its own for a test, removed afterwards.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("cfp-client-{:016x}", getrandom::u64().unwrap()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// A file whose content depends on its size alone, with no two chunks alike.
    pub fn file(&self, name: &str, size: usize) -> String {
        let mut numbers = Random::new(size as u64);
        let mut content = Vec::with_capacity(size + 8);
        while content.len() < size {
            content.extend_from_slice(&numbers.below(u64::MAX).to_le_bytes());
        }
        content.truncate(size);
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The names in it, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// SHA-256 of a file, and its size.
pub fn digest(path: impl AsRef<Path>) -> (usize, Vec<u8>) {
    let content = fs::read(path).unwrap();
    (content.len(), Sha256::digest(&content).to_vec())
}
