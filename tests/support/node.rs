//! A server that merges with others: with an ID and an address of its own, and an operator.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use cfp::wire::{Packet, ServerId};

use crate::support::server::BINARY;
use crate::support::{Client, PATIENCE, Server};

/// A running server. Dropping it kills the process without a word.
pub struct Node {
    pub id: u32,
    pub address: SocketAddr,
    pub server: Server,
    control: PathBuf,
}

/// Address and port that no other test listens at: an address of this process, and a port of this call. What
/// connects without choosing an address comes from 127.0.0.1, and takes no port here.
pub fn fresh_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let port = 20_000 + COUNT.fetch_add(1, Ordering::Relaxed);
    SocketAddrV4::new([127, 80, high, low].into(), port).into()
}

impl Node {
    /// Starts a server at an address of its own.
    pub fn start(id: u32, arguments: &[&str]) -> Node {
        Node::start_at(id, fresh_address(), arguments)
    }

    /// Starts a server at this address.
    pub fn start_at(id: u32, address: SocketAddr, arguments: &[&str]) -> Node {
        Node::start_by(Command::new(BINARY), id, address, arguments)
    }

    /// Starts a server at this address by a command that lacks its arguments only.
    pub fn start_by(mut command: Command, id: u32, address: SocketAddr, arguments: &[&str]) -> Node {
        let control = fresh_path("control");
        command.args(["--id", &id.to_string(), "--listen", &address.to_string()]);
        command.args(["--control", control.to_str().unwrap()]).args(arguments);
        let server = Server::spawn(command);
        Node { id, address: server.address(), server, control }
    }

    /// Its address as command lines and answers have it.
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// Its control socket.
    pub fn control(&self) -> &Path {
        &self.control
    }

    /// Gives the operator's command; returns the answer's lines, the last of which is `ok` or an error.
    pub fn ask(&self, command: &str) -> Vec<String> {
        ask(&self.control, command)
    }

    /// Gives several commands at once, whose answers have one line each.
    pub fn ask_all(&self, commands: &str, lines: usize) -> Vec<String> {
        let stream = UnixStream::connect(&self.control).expect("the control socket answers");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (commands, writer) = (commands.to_owned(), stream.try_clone().unwrap());
        let writing = std::thread::spawn(move || (&writer).write_all(commands.as_bytes()).unwrap());
        let answers = BufReader::new(&stream).lines().take(lines).map(|line| line.expect("the answer comes")).collect();
        writing.join().unwrap();
        answers
    }

    /// Asks for a merge, which must be done.
    pub fn merge(&self, other: &Node) {
        assert_eq!(self.ask(&format!("merge {}", other.address)), ["ok"]);
    }

    /// One value of `status`.
    pub fn status(&self, name: &str) -> String {
        let lines = self.ask("status");
        let value = lines.iter().find_map(|line| line.strip_prefix(&format!("{name}\t")));
        value.unwrap_or_else(|| panic!("{name} is in {lines:?}")).to_owned()
    }

    /// One value of `metrics`, with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let lines = self.ask("metrics");
        let value = lines.iter().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or_else(|| panic!("{name} is in {lines:?}")).parse().unwrap()
    }

    /// The servers that it knows: ID, address, state.
    pub fn siblings(&self) -> Vec<(u32, String, String)> {
        let lines = self.ask("siblings");
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!(last, "ok");
        let fields = lines.iter().map(|line| line.split('\t').collect::<Vec<_>>());
        // Merges that wait have no ID.
        let fields = fields.filter(|fields| fields[0] != "-");
        fields.map(|fields| (fields[0].parse().unwrap(), fields[1].to_owned(), fields[2].to_owned())).collect()
    }

    /// Waits until it knows these servers, all linked, and no others.
    pub fn wait_until_linked_with(&self, ids: &[u32]) {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        wait_until(
            || {
                let siblings = self.siblings();
                siblings.iter().map(|sibling| sibling.0).eq(ids.iter().copied())
                    && siblings.iter().all(|sibling| sibling.2 == "linked")
            },
            || format!("server {} has {:?}, not {ids:?}", self.id, self.siblings()),
        );
    }

    /// Waits until it has lost the link to this server.
    pub fn wait_until_lost(&self, id: u32) {
        let is_lost = |(other, _, state): &(u32, String, String)| *other == id && state == "lost";
        wait_until(|| self.siblings().iter().any(is_lost), || format!("server {} has {:?}", self.id, self.siblings()));
    }

    /// A guest who is logged in.
    pub fn guest(&self, nickname: &str) -> Client {
        self.server.guest(nickname)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.control);
    }
}

/// Waits until each of these servers is linked with all the others.
pub fn wait_for_clique<'a>(nodes: impl IntoIterator<Item = &'a Node>) {
    let nodes: Vec<&Node> = nodes.into_iter().collect();
    for node in &nodes {
        let others = nodes.iter().map(|other| other.id).filter(|&id| id != node.id);
        node.wait_until_linked_with(&others.collect::<Vec<_>>());
    }
}

/// Waits for a condition. `problem` says what is the case instead.
pub fn wait_until(mut condition: impl FnMut() -> bool, problem: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{}", problem());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One command through a control socket.
pub fn ask(control: &Path, command: &str) -> Vec<String> {
    let stream = UnixStream::connect(control).expect("the control socket answers");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (&stream).write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(&stream).lines() {
        lines.push(line.expect("the answer comes"));
        if lines.last().is_some_and(|line| line == "ok" || line.starts_with("error ")) {
            return lines;
        }
    }
    panic!("the answer ended with {lines:?}");
}

/// A path in the folder for temporary files that no other test uses.
pub fn fresh_path(what: &str) -> PathBuf {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let name = format!("cfp-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

/// What a client says to one of another server.
pub fn tell(client: &mut Client, server: u32, receiver: &str, message: &str) {
    client.send(&Packet::MsgPrv { destination: ServerId(server), receiver, message });
}

/// The next packet must be a public message from a client of this server.
pub fn expect_public(client: &mut Client, server: u32, sender: &str, message: &str) {
    client.expect(&Packet::MsgPblInc { origin: ServerId(server), sender, message });
}

/// The next packet must be a private message from a client of this server.
pub fn expect_private(client: &mut Client, server: u32, sender: &str, receiver: &str, message: &str) {
    client.expect(&Packet::MsgPrvInc { origin: ServerId(server), sender, receiver, message });
}

/// Everything sent so far is handled, and nothing but what was expected has come.
pub fn expect_nothing_else(client: &mut Client, server: u32, nickname: &str) {
    tell(client, server, nickname, "are you there?");
    expect_private(client, server, nickname, nickname, "are you there?");
}
