//! The process under test: started for the measurement, or running already.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::meter::Meter;
use super::protocol::ProtocolKind;
use super::tls::{Certificate, Dial, dial};
use super::{Doing, Fault, Result};

/// A started server must listen within this.
const START_MAX: Duration = Duration::from_secs(10);
/// How often it is tried.
const START_POLL: Duration = Duration::from_millis(1);

/// A running server.
pub struct ServerUnderTest {
    /// Its address.
    pub address: SocketAddr,
    /// What it costs, if its process is known.
    pub meter: Option<Meter>,
    /// What it speaks.
    pub language: ProtocolKind,
    /// How a connection with TLS to it is opened, if that is measured.
    pub dial: Option<Dial>,
    _process: Option<Process>,
}

impl ServerUnderTest {
    /// A process that was running before.
    pub fn running(address: SocketAddr, pid: Option<u32>, language: ProtocolKind) -> ServerUnderTest {
        ServerUnderTest { address, meter: pid.map(Meter::new), language, dial: None, _process: None }
    }

    /// Measured with TLS: its certificate for localhost is signed by what is in this file.
    pub fn with_tls(self, ca: &Path) -> Result<ServerUnderTest> {
        Ok(ServerUnderTest { dial: Some(dial(ca)?), ..self })
    }
}

/// A program that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// cfp-server.
    Server,
    /// The floor.
    Floor,
    /// redis-server.
    Redis,
    /// nats-server.
    Nats,
    /// mosquitto.
    Mosquitto,
}

impl Program {
    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Program::Server => "cfp-server",
            Program::Floor => "floor",
            Program::Redis => "redis-server",
            Program::Nats => "nats-server",
            Program::Mosquitto => "mosquitto",
        }
    }

    /// The peer called `name`.
    pub fn peer(name: &str) -> Option<Program> {
        [Program::Redis, Program::Nats, Program::Mosquitto].into_iter().find(|program| program.name() == name)
    }
}

/// Starts programs, each pinned to one core while the generator has another.
#[derive(Clone)]
pub struct Launcher {
    /// The cfp-server to measure.
    pub server: PathBuf,
    core: Option<usize>,
    own_core: Option<usize>,
    /// Of what it starts, which then speaks TLS.
    certificate: Option<Rc<Certificate>>,
}

impl Launcher {
    /// Pins this process to the last core that it may use and what it starts to the first, if there are two.
    pub fn new(server: PathBuf) -> Result<Launcher> {
        let allowed = sched_getaffinity(None).doing("cannot read the processor affinity")?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
        let (core, own_core) = match (cores.first(), cores.last()) {
            (Some(&first), Some(&last)) if first != last => {
                pin(last)?;
                (Some(first), Some(last))
            }
            _ => (None, None),
        };
        Ok(Launcher { server, core, own_core, certificate: None })
    }

    /// A process on the generator's own core: its time is not measured.
    pub fn beside(&self) -> Launcher {
        Launcher { core: self.own_core, ..self.clone() }
    }

    /// As this one, but what it starts speaks TLS.
    pub fn with_tls(&self) -> Result<Launcher> {
        Ok(Launcher { certificate: Some(Rc::new(Certificate::new()?)), ..self.clone() })
    }

    /// As this one, but what it starts speaks no TLS.
    pub fn without_tls(&self) -> Launcher {
        Launcher { certificate: None, ..self.clone() }
    }

    /// Whether what it starts speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// Starts `program` and waits until it listens. `arguments` are added to its command line; of the floor's first
    /// connections `paired` are partners.
    pub fn start(&self, program: Program, arguments: &[String], paired: usize) -> Result<ServerUnderTest> {
        let own = std::env::current_exe().doing("cannot find the own program")?;
        let mut process = Process { child: None, folder: None };
        let address = if program == Program::Floor { None } else { Some(free_address()?) };
        let mut command = Command::new(&own);
        command.arg("launch");
        command.args(self.core.map(|core| format!("--core={core}")));
        command.arg("--");
        let port = address.map(|address| address.port().to_string()).unwrap_or_default();
        let certificate = self.certificate.as_deref();
        let files = certificate
            .map(|certificate| [certificate.path(), certificate.key()].map(|path| path.display().to_string()));
        let language = match program {
            Program::Server => {
                command.arg(&self.server).args(["--listen", &format!("127.0.0.1:{port}")]);
                if !arguments.iter().any(|argument| argument == "--id") {
                    command.args(["--id", "7"]);
                }
                if let Some([path, key]) = &files {
                    command.args(["--tls-cert", path, "--tls-key", key]);
                }
                ProtocolKind::Cfp
            }
            Program::Floor => {
                command.arg(&own).args(["floor", "--listen", "127.0.0.1:0", "--paired", &paired.to_string()]);
                ProtocolKind::Floor
            }
            Program::Redis => {
                command.args(["redis-server", "--bind", "127.0.0.1", "--save", ""]);
                match &files {
                    None => command.args(["--port", &port]),
                    Some([path, key]) => command
                        .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"])
                        .args(["--tls-cert-file", path, "--tls-key-file", key, "--tls-ca-cert-file", path]),
                };
                command.args(["--maxclients", "15000", "--tcp-backlog", "4096", "--loglevel", "warning"]);
                ProtocolKind::Redis
            }
            Program::Nats if files.is_some() => {
                return Err(Fault::Usage("nats-server with TLS begins without it, which is not measured".into()));
            }
            Program::Nats => {
                command.args(["nats-server", "--addr", "127.0.0.1", "--port", &port]);
                ProtocolKind::Nats
            }
            Program::Mosquitto => {
                // Without the limit's removal it drops messages for a reader that is behind by 1,000.
                let tls = files.as_ref().map(|[path, key]| format!("certfile {path}\nkeyfile {key}\n"));
                let text = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
                     max_queued_messages 0\nlog_type error\nuser root\n{}",
                    tls.unwrap_or_default()
                );
                let path = process.folder()?.join("mosquitto.conf");
                std::fs::write(&path, text).doing("cannot write mosquitto's configuration")?;
                command.arg("mosquitto").arg("-c").arg(path);
                ProtocolKind::Mqtt
            }
        };
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(if address.is_none() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().doing(format_args!("cannot start {}", program.name()))?;
        let output = child.stdout.take();
        process.child = Some(child);
        let address = match (address, output) {
            (Some(address), _) => process.await_listening(address, program)?,
            (None, Some(output)) => {
                let mut line = String::new();
                BufReader::new(output).read_line(&mut line).doing("cannot read the floor's address")?;
                line.trim().parse().map_err(|_| Fault::Wrong(format!("the floor did not start: {line:?}")))?
            }
            (None, None) => return Err(Fault::Wrong("the floor has no output".into())),
        };
        let meter = process.child.as_ref().map(|child| Meter::new(child.id()));
        let server = ServerUnderTest { address, meter, language, dial: None, _process: Some(process) };
        match certificate {
            Some(certificate) if program != Program::Floor => server.with_tls(&certificate.path()),
            _ => Ok(server),
        }
    }
}

/// Ends the process that it stands for.
pub struct Process {
    child: Option<Child>,
    folder: Option<PathBuf>,
}

impl Process {
    /// For a child that was just started.
    pub fn new(child: Child) -> Process {
        Process { child: Some(child), folder: None }
    }

    fn folder(&mut self) -> Result<&Path> {
        let folder = scratch_folder()?;
        Ok(self.folder.insert(folder))
    }

    fn await_listening(&mut self, address: SocketAddr, program: Program) -> Result<SocketAddr> {
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(Fault::Wrong(format!("{} ended at once: {status}", program.name())));
            }
            if since.elapsed() > START_MAX {
                return Err(Fault::Wrong(format!("{} does not listen on {address}", program.name())));
            }
            std::thread::sleep(START_POLL);
        }
        Ok(address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// An empty folder of our own.
pub fn scratch_folder() -> Result<PathBuf> {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("cfp-bench-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).doing(format_args!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// A loopback address at which nothing listens.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).doing("cannot find a free port")?;
    listener.local_addr().doing("cannot find a free port")
}

/// What `launch` does: pins itself, asks to end with its parent, and becomes the program. Both outlast that.
pub fn launch(core: Option<usize>, program: &str, arguments: &[String]) -> Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt;
    if let Some(core) = core {
        pin(core)?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).doing("cannot ask to end with the parent")?;
    let source = Command::new(program).args(arguments).exec();
    Err(Fault::Io { doing: format!("cannot start {program}"), source })
}

/// Lifts the limit on file descriptors to its hard value.
pub fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).doing(format_args!("cannot use processor {core} alone"))
}
