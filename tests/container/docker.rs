//! Containers and networks of Docker. What a test makes is named after its process and removed when it is dropped. No
//! other container is ever touched.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest that anything here is waited for: a lost link may take 14 s to be noticed, and a busy machine longer.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How often a container is started that runc, which needs more threads than the server, did not get started.
const STARTS_MAX: usize = 10;

/// The port of every server.
const PORT: u16 = 7777;
const METRICS_PORT: u16 = 9100;
const CONTROL: &str = "/run/cfp/control";

/// What a server may do in its container: nothing but chat.
const NOTHING_ALLOWED: &[&str] = &[
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=65532:65532",
    "--memory=16m",
    "--memory-swap=16m",
    "--cpus=0.1",
    "--tmpfs=/run/cfp:uid=65532,gid=65532,mode=0700,size=64k",
];
/// Processes for the server alone, which has one thread.
const PIDS_OF_SERVER: u8 = 4;
/// Processes for `docker exec` and health checks, too. Before it becomes the program, runc is a Go process with its
/// threads, and one time in twenty they need more.
const PIDS_WITH_EXEC: u8 = 32;

/// The image to test.
pub fn image() -> String {
    let image = std::env::var("CFP_IMAGE").unwrap_or_default();
    assert!(!image.is_empty(), "CFP_IMAGE names no image: scripts/container-faults.sh builds one and runs this");
    must(&["info"]);
    image
}

/// Runs a command of Docker's; returns what it wrote, or its complaint.
fn run(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) }
}

fn must(arguments: &[&str]) -> String {
    run(arguments).unwrap_or_else(|problem| panic!("docker {arguments:?}: {problem}"))
}

fn unique_name(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("cfp-test-{}-{kind}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_every(POLL, what, look)
}

fn wait_every<T>(pause: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(pause);
    }
}

/// A network with addresses that are known beforehand.
pub struct Network {
    name: String,
    prefix: [u8; 3],
}

impl Network {
    /// A network of 10.x.y.0/24 that is not in use.
    pub fn new() -> Network {
        Network::create(&[])
    }

    /// One that does not lead outside.
    pub fn internal() -> Network {
        Network::create(&["--internal"])
    }

    fn create(options: &[&str]) -> Network {
        let name = unique_name("net");
        // If the addresses are taken, Docker says so, and the next ones are tried.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..64 {
            let number = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let prefix = [10, 64 + (number / 256 % 128) as u8, (number % 256) as u8];
            let subnet = Network::cidr_of(prefix);
            if run(&[&["network", "create"], options, &["--subnet", &subnet, &name]].concat()).is_ok() {
                return Network { name, prefix };
            }
        }
        panic!("no network can be created");
    }

    /// All of its addresses.
    pub fn cidr(&self) -> String {
        Network::cidr_of(self.prefix)
    }

    fn cidr_of([a, b, c]: [u8; 3]) -> String {
        format!("{a}.{b}.{c}.0/24")
    }

    /// Its first addresses, which the servers up to 14 have.
    pub fn cidr_of_first(&self) -> String {
        format!("{}/28", self.address(0))
    }

    /// The address of server `id`: the first address of the network is Docker's own.
    pub fn address_of(&self, id: u8) -> Ipv4Addr {
        self.address(id + 1)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, last)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run(&["network", "rm", &self.name]);
    }
}

/// A server in a container with an address of its own.
pub struct Host {
    /// Its name, which the others can look up.
    pub name: String,
    address: Ipv4Addr,
}

impl Host {
    /// Starts server `id` at the network's address for it, and waits until it listens.
    pub fn start(image: &str, network: &Network, id: u8, arguments: &[&str]) -> Host {
        Host::start_with(&["--no-healthcheck"], PIDS_WITH_EXEC, image, network, id, arguments)
    }

    /// A server with the image's own health check, only more often.
    pub fn start_with_health_check(image: &str, network: &Network, id: u8, arguments: &[&str]) -> Host {
        Host::start_with(&["--health-interval=1s"], PIDS_WITH_EXEC, image, network, id, arguments)
    }

    /// A server in whose container no other process can be started.
    pub fn start_alone(image: &str, network: &Network, id: u8, arguments: &[&str]) -> Host {
        Host::start_with(&["--no-healthcheck"], PIDS_OF_SERVER, image, network, id, arguments)
    }

    fn start_with(health: &[&str], pids: u8, image: &str, network: &Network, id: u8, arguments: &[&str]) -> Host {
        let host = Host { name: unique_name("host"), address: network.address_of(id) };
        let (address, id, pids_limit) = (host.address.to_string(), id.to_string(), format!("--pids-limit={pids}"));
        let metrics = format!("0.0.0.0:{METRICS_PORT}");
        let mut command =
            vec!["run", "--pull=never", "--detach", "--name", &host.name, "--network", &network.name, "--ip", &address];
        command.push(&pids_limit);
        command.extend(health);
        command.extend(NOTHING_ALLOWED);
        command.extend([image, "--id", &id, "--metrics", &metrics]);
        command.extend(arguments);
        let mut starts = 1;
        while let Err(problem) = run(&command) {
            let is_runc = ["runtime", "stopped process", "init"].iter().any(|word| problem.contains(word));
            assert!(pids < PIDS_WITH_EXEC && is_runc && starts < STARTS_MAX, "{problem}");
            starts += 1;
            must(&["rm", "--force", &host.name]);
        }
        host.wait_for_log("listens on");
        host
    }

    /// Runs the image as it is, and waits until it listens.
    pub fn start_plain(image: &str, options: &[&str], arguments: &[&str]) -> Host {
        let host = Host::run_plain(image, options, arguments);
        host.wait_for_log("listens on");
        host
    }

    /// Runs the image as it is.
    pub fn run_plain(image: &str, options: &[&str], arguments: &[&str]) -> Host {
        let host = Host { name: unique_name("plain"), address: Ipv4Addr::UNSPECIFIED };
        let run = ["run", "--pull=never", "--detach", "--no-healthcheck", "--name", &host.name];
        must(&[&run, options, &[image], arguments].concat());
        host
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        (self.address, PORT).into()
    }

    /// Its address as text.
    pub fn target(&self) -> String {
        self.address().to_string()
    }

    /// Where its port is published on this machine.
    pub fn published(&self) -> SocketAddr {
        must(&["port", &self.name, &PORT.to_string()]).parse().expect("one port is published")
    }

    /// A command about this container.
    pub fn docker(&self, command: &[&str]) -> String {
        let mut arguments = command.to_vec();
        arguments.push(&self.name);
        must(&arguments)
    }

    /// Pulls the cable.
    pub fn disconnect(&self, network: &Network) {
        must(&["network", "disconnect", &network.name, &self.name]);
    }

    /// Connects it again, with the same address.
    pub fn reconnect(&self, network: &Network) {
        must(&["network", "connect", "--ip", &self.address.to_string(), &network.name, &self.name]);
    }

    /// Asks over the control socket, with the program in the container: works with the cable pulled, too.
    pub fn ask(&self, command: &str) -> Result<String, String> {
        run(&["exec", &self.name, "/cfp-server", "--control", CONTROL, "--ask", command])
    }

    /// What Docker knows of it.
    pub fn inspect(&self, format: &str) -> String {
        must(&["inspect", "--format", format, &self.name])
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.name]).output().expect("docker runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Waits for a line of its log that contains `text`.
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_every(Duration::from_millis(100), &format!("{text:?} in the log of {}", self.name), || {
            self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// Its metrics, over the network; `None` if it cannot be reached.
    pub fn metrics(&self) -> Option<String> {
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&(self.address, METRICS_PORT).into(), limit).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: cfp\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Whether it has links to exactly so many servers, and misses none.
    pub fn is_merged_with(&self, siblings: usize) -> bool {
        let Some(metrics) = self.metrics() else { return false };
        let is_up = |line: &&str| line.starts_with("cfp_link_up{") && line.ends_with("} 1");
        let is_complete = metrics.lines().any(|line| line == "cfp_mesh_complete 1");
        is_complete && metrics.lines().filter(is_up).count() == siblings
    }

    /// Waits for that.
    pub fn wait_until_merged_with(&self, siblings: usize) {
        wait_for(&format!("{} has {siblings} siblings", self.name), || self.is_merged_with(siblings).then_some(()));
    }

    /// Waits until a link is missing.
    pub fn wait_until_cut(&self) {
        wait_every(Duration::from_millis(200), &format!("{} misses a link", self.name), || {
            self.metrics()?.contains("\ncfp_mesh_complete 0\n").then_some(())
        });
    }

    /// Its metrics, for a server that cannot be reached over the network.
    pub fn wait_until_cut_off(&self) {
        wait_every(Duration::from_secs(1), &format!("{} misses a link", self.name), || {
            self.ask("status").ok()?.contains("mesh_complete\t0").then_some(())
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of {} ({}):\n{}", self.name, self.address, self.log());
        }
        let _ = run(&["rm", "--force", &self.name]);
    }
}
