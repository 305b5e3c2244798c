//! Routed servers on hosts of their own, and what stands between these: a firewall, a link that is reset, packets that
//! are dropped.
//!
//! The hosts are network namespaces on a bridge. `scripts/routed-faults.sh` runs this, where that can be made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cfp::limits::CHUNK_BYTES;
use cfp::wire::{ErrorReason, FileChunk, Packet, ServerId};
use node::{Node, expect_nothing_else, expect_private, tell, wait_until};
use sha2::{Digest, Sha256};
use support::Client;
use support::server::BINARY;

/// Resets of a link, unless `CFP_RESETS` has another number.
const RESETS: usize = 40;
const PORT: u16 = 7777;

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn must(program: &str, arguments: &[&str]) -> String {
    run(program, arguments).unwrap_or_else(|problem| panic!("{program} {arguments:?}: {problem}"))
}

/// Hosts 1, 2, 3, … on a network of their own. This machine reaches all of them, as their clients do.
struct Site {
    name: String,
    prefix: [u8; 3],
    hosts: u8,
}

impl Site {
    fn new(hosts: u8) -> Site {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let prefix = [10, 200 + (process % 50) as u8, (process / 50 + number) as u8];
        // Names of interfaces have at most 15 bytes.
        let site = Site { name: format!("cfp{:x}-{number}", process & 0xf_ffff), prefix, hosts };
        // The bridge has a namespace of its own: on this machine, a firewall of Docker's might close it.
        let switch = site.space(0);
        must("ip", &["netns", "add", &switch]);
        must("ip", &["-n", &switch, "link", "add", "bridge", "type", "bridge"]);
        must("ip", &["-n", &switch, "link", "set", "bridge", "up"]);
        let own = &site.name;
        must("ip", &["link", "add", own, "type", "veth", "peer", "name", "outside", "netns", &switch]);
        must("ip", &["address", "add", &format!("{}/24", site.ip(254)), "dev", own]);
        must("ip", &["link", "set", own, "up"]);
        must("ip", &["-n", &switch, "link", "set", "outside", "master", "bridge", "up"]);
        for host in 1..=hosts {
            let (space, cable) = (site.space(host), format!("host{host}"));
            must("ip", &["netns", "add", &space]);
            must(
                "ip",
                &["-n", &switch, "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &space],
            );
            must("ip", &["-n", &switch, "link", "set", &cable, "master", "bridge", "up"]);
            must("ip", &["-n", &space, "address", "add", &format!("{}/24", site.ip(host)), "dev", "eth0"]);
            must("ip", &["-n", &space, "link", "set", "eth0", "up"]);
            must("ip", &["-n", &space, "link", "set", "lo", "up"]);
        }
        site
    }

    /// The name of a host's namespace; 0 is the switch.
    fn space(&self, host: u8) -> String {
        format!("{}-{host}", self.name)
    }

    fn ip(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, host)
    }

    /// Runs a command on a host.
    fn on(&self, host: u8, command: &[&str]) -> Result<String, String> {
        run("ip", &[&["netns", "exec", &self.space(host)], command].concat())
    }

    /// Starts the routed server of a host. It is to merge with these.
    fn start(&self, host: u8, merges: &[u8]) -> Node {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host), BINARY]);
        let mut arguments = vec!["--routed".to_owned(), "--allow-peer".to_owned(), format!("{}/24", self.ip(0))];
        for &other in merges {
            arguments.extend(["--merge".to_owned(), format!("{}:{PORT}", self.ip(other))]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Node::start_by(command, host.into(), SocketAddr::from((self.ip(host), PORT)), &arguments)
    }

    /// Nothing gets through between two hosts, and nobody is told.
    fn part(&self, a: u8, b: u8) {
        self.firewall("-A", a, b);
    }

    fn unite(&self, a: u8, b: u8) {
        self.firewall("-D", a, b);
    }

    fn firewall(&self, change: &str, a: u8, b: u8) {
        for (here, there) in [(a, b), (b, a)] {
            let there = self.ip(there).to_string();
            self.on(here, &["iptables", "-w", change, "INPUT", "-s", &there, "-j", "DROP"]).unwrap();
        }
    }

    /// Resets all connections between two hosts.
    fn reset(&self, a: u8, b: u8) {
        let there = self.ip(b).to_string();
        self.on(a, &["ss", "-K", "state", "established", "dst", &there]).unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for host in 0..=self.hosts {
            let _ = run("ip", &["netns", "del", &self.space(host)]);
        }
    }
}

fn next_to(node: &Node, server: u32) -> Option<String> {
    let lines = node.ask("routes");
    let mut rows = lines.iter().map(|line| line.split('\t').collect::<Vec<&str>>());
    rows.find(|row| row[0] == server.to_string()).map(|row| row[1].to_owned())
}

/// Waits until the first of these reaches the second by the third.
fn wait_for_way(node: &Node, server: u32, next: u32) {
    wait_until(|| next_to(node, server) == Some(next.to_string()), || format!("{:?}", node.ask("routes")));
}

#[test]
#[ignore = "needs network namespaces, ip(8) and iptables(8): scripts/routed-faults.sh runs it"]
fn the_ends_of_a_row_that_a_firewall_keeps_apart_exchange_messages_files_and_errors() {
    let site = Site::new(3);
    site.part(1, 3);
    let nodes = [site.start(1, &[]), site.start(2, &[1]), site.start(3, &[2])];
    wait_for_way(&nodes[0], 3, 2);
    wait_for_way(&nodes[2], 1, 2);
    // It is a firewall: what dials through it hears nothing.
    let dials = ["timeout", "2", "bash", "-c", &format!("exec 3<>/dev/tcp/{}/{PORT}", site.ip(3))].map(str::to_owned);
    let dials: Vec<&str> = dials.iter().map(String::as_str).collect();
    assert!(site.on(1, &dials).is_err() && site.on(2, &dials).is_ok());
    let (mut ana, mut bob, mut carl) = (nodes[0].guest("ana"), nodes[1].guest("bob"), nodes[2].guest("carl"));
    ana.say("hi all");
    carl.say("hi");
    // What two clients of different servers say has no order of its own.
    for (guest, own, name) in [(&mut ana, 1, "ana"), (&mut carl, 3, "carl")] {
        let mut heard = [guest.receive(), guest.receive()];
        heard.sort_unstable();
        let all = [(1, "ana", "hi all"), (3, "carl", "hi")]
            .map(|(id, sender, message)| encoded(&Packet::MsgPblInc { origin: ServerId(id), sender, message }));
        assert_eq!(heard, all, "{name} on {own}");
    }
    drop((bob.receive(), bob.receive()));
    tell(&mut ana, 3, "carl", "psst");
    expect_private(&mut carl, 1, "ana", "carl", "psst");
    tell(&mut carl, 1, "ana", "psst too");
    expect_private(&mut ana, 3, "carl", "ana", "psst too");
    let there = send_file(&mut ana, 1, "ana", &mut carl, 3, "carl");
    let back = send_file(&mut carl, 3, "carl", &mut ana, 1, "ana");
    println!("SHA-256 of the files there and back: {there}, {back}");
    tell(&mut ana, 3, "nobody", "psst");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownReceiver });
    tell(&mut ana, 9, "nobody", "psst");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    for (guest, server, name) in [(&mut ana, 1, "ana"), (&mut bob, 2, "bob"), (&mut carl, 3, "carl")] {
        expect_nothing_else(guest, server, name);
    }
    // The middle is gone: the ends learn it, and say so.
    let [one, two, three] = nodes;
    drop(two);
    one.server.wait_for_log("server 3 is out of reach");
    tell(&mut ana, 3, "carl", "are you there?");
    ana.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
    drop(three);
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    support::client::encoded(packet)
}

/// A file of 2 MiB and some; returns the hash that its sender and its receiver agree on.
fn send_file(from: &mut Client, origin: u32, sender: &str, to: &mut Client, server: u32, receiver: &str) -> String {
    let mut state = u64::from(origin) + 1;
    let bytes: Vec<u8> = (0..2048 * CHUNK_BYTES + 77)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let chunks = bytes.len().div_ceil(CHUNK_BYTES) as u32;
    let mut sending = Client::new(from.stream());
    let (receiving, copy) = (receiver.to_owned(), bytes.clone());
    let thread = std::thread::spawn(move || {
        for piece in copy.chunks(CHUNK_BYTES) {
            let mut content = [0; CHUNK_BYTES];
            content[..piece.len()].copy_from_slice(piece);
            let chunk = FileChunk { transfer_id: 1, file_name: "f", chunks, content: &content };
            sending.send(&Packet::FileChnk { destination: ServerId(server), receiver: &receiving, chunk });
        }
    });
    let mut got = Vec::new();
    for _ in 0..chunks {
        let packet = to.receive();
        match Packet::decode(&packet).unwrap() {
            Packet::FileChnkInc { origin: from, sender: by, receiver: whom, chunk } => {
                assert_eq!((from, by, whom), (ServerId(origin), sender, receiver));
                got.extend_from_slice(chunk.content);
            }
            other => panic!("{other:?}"),
        }
    }
    thread.join().unwrap();
    got.truncate(bytes.len());
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hash(&got), hash(&bytes));
    hash(&got)
}

/// What one client says every millisecond, and when another one hears it.
struct Talk {
    stop: mpsc::Sender<()>,
    speaking: std::thread::JoinHandle<()>,
    heard: mpsc::Receiver<Instant>,
}

impl Talk {
    fn begin(mut speaker: Client, listener: &Client) -> Talk {
        let (stop, is_over) = mpsc::channel();
        let (tell, heard) = mpsc::channel();
        let (mut echo, mut stream) = (speaker.stream(), listener.stream());
        std::thread::spawn(move || std::io::copy(&mut echo, &mut std::io::sink()));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) && tell.send(Instant::now()).is_ok() {}
        });
        let speaking = std::thread::spawn(move || {
            while is_over.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                speaker.say("still there?");
            }
        });
        Talk { stop, speaking, heard }
    }

    /// The longest time between two messages from `since` until now, and a moment longer.
    fn longest_gap(&self, since: Instant) -> Duration {
        let until = Instant::now() + Duration::from_millis(200);
        let mut times = vec![since];
        while let Ok(at) = self.heard.recv_timeout(support::PATIENCE) {
            if at > since {
                times.push(at);
            }
            if at > until {
                break;
            }
        }
        times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("it is heard again")
    }

    fn end(self) {
        drop(self.stop);
        self.speaking.join().unwrap();
    }
}

/// A ring of three, and a client on server 1 that talks while one on server 2 listens.
fn ring() -> (Site, [Node; 3]) {
    let site = Site::new(3);
    let nodes = [site.start(1, &[]), site.start(2, &[1]), site.start(3, &[1, 2])];
    let is_ring = |node: &Node| {
        let siblings = node.siblings();
        siblings.len() == 2 && siblings.iter().all(|sibling| ["linked", "spare"].contains(&&*sibling.2))
    };
    for node in &nodes {
        wait_until(|| is_ring(node), || format!("{:?}", node.siblings()));
    }
    (site, nodes)
}

#[test]
#[ignore = "needs network namespaces, ip(8), ss(8) and iptables(8): scripts/routed-faults.sh runs it"]
fn a_ring_goes_on_by_its_spare_when_a_link_is_reset() {
    let resets = std::env::var("CFP_RESETS").ok().map_or(RESETS, |text| text.parse().expect("a number"));
    let (site, [one, two, three]) = ring();
    let bob = two.guest("bob");
    let talk = Talk::begin(one.guest("ana"), &bob);
    let mut gaps = Vec::new();
    for _ in 0..resets {
        // The link that carries, from server 1 on: to server 2, or to server 3 if the talk goes that way round.
        let next = next_to(&one, 2).unwrap();
        let far = next.parse().unwrap();
        let began = Instant::now();
        site.reset(1, far);
        gaps.push(talk.longest_gap(began));
        // The link is back, as a spare.
        for node in [&one, &two, &three] {
            let is_up = || node.siblings().iter().all(|sibling| ["linked", "spare"].contains(&&*sibling.2));
            wait_until(is_up, || format!("{:?}", node.siblings()));
        }
        assert_ne!(next_to(&one, 2).unwrap(), next, "the younger link is a spare now");
    }
    talk.end();
    gaps.sort_unstable();
    let at = |percent: usize| gaps[(gaps.len() * percent).div_ceil(100).max(1) - 1];
    println!(
        "{resets} resets of the link that carries: silent for {:.1?} at the 50th percentile, {:.1?} at the 99th",
        at(50),
        at(99)
    );
}

#[test]
#[ignore = "needs network namespaces, ip(8) and iptables(8): scripts/routed-faults.sh runs it"]
fn a_ring_goes_on_by_its_spare_when_the_packets_of_a_link_are_dropped() {
    let (site, [one, two, three]) = ring();
    wait_for_way(&one, 2, 2);
    let bob = two.guest("bob");
    let talk = Talk::begin(one.guest("ana"), &bob);
    let began = Instant::now();
    site.part(1, 2);
    let lost = "lost the link to server";
    wait_until(|| one.server.count_in_log(lost) + two.server.count_in_log(lost) > 0, || "it is not noticed".to_owned());
    let noticed = Instant::now();
    let gap = talk.longest_gap(noticed);
    println!("noticed after {:.1?}; heard again within {gap:.1?} of that", noticed - began);
    wait_for_way(&one, 2, 3);
    site.unite(1, 2);
    let is_up = || one.siblings().iter().all(|sibling| ["linked", "spare"].contains(&&*sibling.2));
    wait_until(is_up, || format!("{:?}", one.siblings()));
    assert_eq!(next_to(&one, 2).unwrap(), "3", "what came back is a spare");
    assert_eq!(three.server.count_in_log(lost), 0);
    talk.end();
}
