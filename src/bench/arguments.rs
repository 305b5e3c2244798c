//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::protocol::ProtocolKind;
use super::report::{Sample, figure, percentiles};
use super::server::{Launcher, Program, ServerUnderTest, launch, raise_descriptor_limit};
use super::suite::{self, Size};
use super::workload::cross::CrossPlan;
use super::workload::files::FilesPlan;
use super::workload::handshakes::HandshakesPlan;
use super::workload::logins::LoginsPlan;
use super::workload::relay::RelayPlan;
use super::workload::slow::SlowPlan;
use super::workload::{DirectPlan, PacedPlan, RoomPlan, direct, idle, paced, room, storm};
use super::{Doing, Fault, Result, floor, reports};
use crate::arguments::{Arguments, Spec};

const USAGE: &str = "\
usage: cfp-bench COMMAND [OPTIONS]

Without --server, a server is started for the measurement, on a core of its own if there are two.

  all      every workload, with the server and the floor, and a table
  floor    be the floor server
  room     one client writes to a room in bursts        --members --window --bursts
  paced    one client writes to a room at a fixed rate  --members --rate --messages
  direct   pairs write in private                       --pairs --window --messages --idle
  idle     clients log in and are silent                --members
  storm    clients log in at once                       --members

  files    a file passes while a room talks             --members --rate --messages
  fairness one client floods, a pair writes             --messages
  scale    rooms of 10 to 10,000, and idle clients      --members --messages
  cross    a message to a merged server           --members --window --bursts --second --second-pid
  relay    a message that a routed server passes on    --window --bursts
  slow     some members do not read                    --members --slow --bytes
  handshakes   TLS handshakes from ten addresses, a pair writes      --rate --messages
  logins   a flood of wrong passwords, a pair writes    --nickname --idle --members
  start    time until a started server listens, memory  --binary
";

/// The commands that know TLS.
const TLS_COMMANDS: [&str; 8] = ["all", "room", "paced", "direct", "idle", "storm", "slow", "handshakes"];

/// Does what the arguments behind the program's name say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let options = options();
    let matches = options.parse(arguments).map_err(Fault::Usage)?;
    let command = matches.free.first().map_or("", String::as_str);
    if matches.opt_present("help") || command == "help" {
        return say!("{}", options.usage(USAGE).trim_end());
    }
    if command == "launch" {
        let (program, rest) = match matches.free.get(1..) {
            Some([program, rest @ ..]) => (program, rest),
            _ => return Err(Fault::Usage("launch what?".into())),
        };
        return launch(number(&matches, "core")?, program, rest).map(|_| ());
    }
    raise_descriptor_limit();
    if command == "floor" {
        let address = address(&matches, "listen")?.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7777)));
        return floor::serve(address, number(&matches, "paired")?.unwrap_or(0), |address| {
            // The program that started this one waits for this line. If it has closed the pipe, that is no fault.
            let _ = say!("{address}");
        });
    }
    let size = if matches.opt_present("quick") { Size::Quick } else { Size::Full };
    let mut launcher = Launcher::new(server_program(&matches)?)?;
    if matches.opt_present("tls") {
        if !TLS_COMMANDS.contains(&command) {
            return Err(Fault::Usage(format!("--tls: only for {}", TLS_COMMANDS.join(", "))));
        }
        launcher = launcher.with_tls()?;
    }
    let context = Context { launcher, matches: &matches };
    let pick = |name, full: u64, quick: u64| {
        Ok::<u64, Fault>(number(&matches, name)?.unwrap_or(if size == Size::Full { full } else { quick }))
    };
    match command {
        "all" => {
            let peers = matches.opt_strs("peer").iter().map(|name| peer(name)).collect::<Result<Vec<_>>>()?;
            suite::all(&context.launcher, &peers, pick("runs", 5, 1)? as usize, size)
        }
        "room" => {
            let members = pick("members", 100, 100)? as usize;
            let plan = RoomPlan { members, window: pick("window", 256, 256)?, bursts: pick("bursts", 500, 20)? };
            context.each("ns per delivery", 0, |server| room(server, plan))
        }
        "paced" => {
            let (members, rate) = (pick("members", 100, 100)? as usize, pick("rate", 1000, 1000)?);
            let plan = PacedPlan { members, rate, messages: pick("messages", 3 * rate, rate / 5)? };
            context.each("ns per delivery", 0, |server| paced(server, plan))
        }
        "direct" => {
            let plan = DirectPlan {
                pairs: pick("pairs", 100, 100)? as usize,
                idle: pick("idle", 0, 0)? as usize,
                window: pick("window", 8, 8)?,
                messages: pick("messages", 800_000, 16_000)?,
            };
            context.each("ns per message", 2 * plan.pairs, |server| direct(server, plan))
        }
        "idle" => {
            let members = pick("members", 10_000, 500)? as usize;
            context.each("bytes resident each", 0, |server| idle(server, members))
        }
        "storm" => {
            let members = pick("members", 5_000, 500)? as usize;
            context.each("ns per login", 0, |server| storm(server, members))
        }
        "files" => {
            let (members, rate) = (pick("members", 100, 20)? as usize, pick("rate", 1000, 1000)?);
            let plan = FilesPlan { members, rate, messages: pick("messages", 3 * rate, rate / 5)? };
            reports::print_files(&context.launcher, context.external()?, plan)
        }
        "fairness" => reports::print_fairness(&context.server(0)?, pick("messages", 500, 30)?),
        "scale" => {
            let (members, deliveries) = (pick("members", 10_000, 100)?, pick("messages", 8_000_000, 100_000)?);
            reports::print_scale(&context.launcher, members as usize, deliveries, pick("runs", 3, 1)? as usize)
        }
        "cross" => {
            let members = pick("members", 100, 20)? as usize;
            let plan = CrossPlan { members, window: pick("window", 64, 64)?, bursts: pick("bursts", 400, 20)? };
            let second = address(&matches, "second")?.map(|address| {
                Ok::<_, Fault>(ServerUnderTest::running(address, number(&matches, "second-pid")?, ProtocolKind::Cfp))
            });
            let external = context.external()?.zip(second.transpose()?);
            reports::print_cross(&context.launcher, external, plan, pick("runs", 5, 1)? as usize)
        }
        "relay" => {
            let plan = RelayPlan { window: pick("window", 64, 64)?, bursts: pick("bursts", 4000, 20)? };
            reports::print_relay(&context.launcher, plan, pick("runs", 5, 1)? as usize)
        }
        "slow" => {
            let (members, slow) = (pick("members", 1000, 50)? as usize, pick("slow", 200, 10)? as usize);
            let plan = SlowPlan { members, slow: slow.min(members), bytes: pick("bytes", 6 << 20, 1 << 20)? };
            reports::print_slow(&context.launcher, context.external()?, plan)
        }
        "handshakes" => {
            let plan = HandshakesPlan { rate: pick("rate", 1000, 100)?, handshakes: pick("messages", 5000, 30)? };
            reports::print_handshakes(&context.server(0)?, plan)
        }
        "logins" => {
            let plan =
                LoginsPlan { online: pick("idle", 200, 20)?.max(2) as usize, logins: pick("members", 50, 5)? as usize };
            let nickname = matches.opt_str("nickname").unwrap_or_else(|| reports::REGISTERED.to_owned());
            let external = context.external()?.map(|server| (server, nickname));
            reports::print_logins(&context.launcher, external, plan)
        }
        "start" => reports::print_start(&context.launcher.server, pick("runs", 10, 3)? as usize),
        "" => Err(Fault::Usage("which command?".into())),
        other => Err(Fault::Usage(format!("there is no command {other:?}"))),
    }
}

struct Context<'m> {
    launcher: Launcher,
    matches: &'m Arguments,
}

impl Context<'_> {
    fn language(&self) -> Result<ProtocolKind> {
        let Some(name) = self.matches.opt_str("language") else { return Ok(ProtocolKind::Cfp) };
        ProtocolKind::parse(&name).ok_or_else(|| Fault::Usage(format!("--language: {name:?} is not known")))
    }

    /// The server named on the command line.
    fn external(&self) -> Result<Option<ServerUnderTest>> {
        let Some(address) = address(self.matches, "server")? else { return Ok(None) };
        let server = ServerUnderTest::running(address, number(self.matches, "pid")?, self.language()?);
        match (self.launcher.has_tls(), self.matches.opt_str("ca")) {
            (true, Some(ca)) => server.with_tls(Path::new(&ca)).map(Some),
            (true, None) => Err(Fault::Usage("--tls and --server need --ca".into())),
            (false, _) => Ok(Some(server)),
        }
    }

    /// The server named on the command line, or else one that is started.
    fn server(&self, paired: usize) -> Result<ServerUnderTest> {
        if let Some(server) = self.external()? {
            return Ok(server);
        }
        let program = if self.language()? == ProtocolKind::Floor { Program::Floor } else { Program::Server };
        self.launcher.start(program, &[], paired)
    }

    /// Runs a workload and prints what it gave, as often as was asked for.
    fn each(&self, unit: &str, paired: usize, workload: impl Fn(&ServerUnderTest) -> Result<Sample>) -> Result<()> {
        for _ in 0..number(self.matches, "runs")?.unwrap_or(1) {
            let server = self.server(paired)?;
            let sample = workload(&server)?;
            let most = server.meter.and_then(|meter| meter.most_resident_bytes()).unwrap_or_default();
            let cost = sample.cost.map_or_else(|| "no process to look at (--pid)".to_owned(), figure);
            say!(
                "{cost} {unit}; {} a second; generator {} ns; latency at 50 / 99 / 99.9 %: {} µs; {} KiB resident at most",
                figure(sample.rate),
                figure(sample.generator_ns),
                percentiles(&sample.latencies),
                figure(most as f64 / 1024.0),
            )?;
        }
        Ok(())
    }
}

fn options() -> Spec {
    let mut options = Spec::new();
    options
        .optflag("h", "help", "print this")
        .optopt("s", "server", "a server that runs already", "IP:PORT")
        .optopt("p", "pid", "its process, for processor time and memory", "PID")
        .optopt("l", "language", "what it speaks: cfp (default), floor, redis, nats or mqtt", "NAME")
        .optopt("b", "binary", "the cfp-server to start (default: beside this program)", "PATH")
        .optopt("r", "runs", "how often to measure (default: 1; all: 5)", "N")
        .optflag("q", "quick", "a few seconds, to see that it works")
        .optflag("t", "tls", "with TLS; all: beside cfp-server without it")
        .optopt("", "ca", "--tls and --server: what signed the server's certificate for localhost", "FILE")
        .optmulti("", "peer", "all: measure redis-server, nats-server or mosquitto too; may be repeated", "NAME")
        .optopt("", "members", "connections", "N")
        .optopt("", "window", "messages sent at once", "N")
        .optopt("", "bursts", "how often", "N")
        .optopt("", "rate", "messages a second", "N")
        .optopt("", "messages", "messages in all", "N")
        .optopt("", "pairs", "pairs of a sender and a receiver", "N")
        .optopt("", "idle", "clients that are silent", "N")
        .optopt("", "slow", "members that do not read", "N")
        .optopt("", "bytes", "sent to each member", "N")
        .optopt("", "nickname", "logins: a registered user of the server at --server", "NAME")
        .optopt("", "second", "cross: the other server", "IP:PORT")
        .optopt("", "second-pid", "cross: its process", "PID")
        .optopt("", "listen", "floor: the listen address (default: 127.0.0.1:7777)", "IP:PORT")
        .optopt("", "paired", "floor: the first N connections are partners, two by two", "N")
        .optopt("", "core", "launch: the processor to use", "N");
    options
}

fn number<T: TryFrom<u64>>(matches: &Arguments, name: &str) -> Result<Option<T>> {
    matches.number(name, ..).map_err(Fault::Usage)
}

fn address(matches: &Arguments, name: &str) -> Result<Option<SocketAddr>> {
    matches.address(name).map_err(Fault::Usage)
}

fn peer(name: &str) -> Result<Program> {
    Program::peer(name).ok_or_else(|| Fault::Usage(format!("--peer: {name:?} is not known")))
}

fn server_program(matches: &Arguments) -> Result<PathBuf> {
    if let Some(path) = matches.opt_str("binary") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().doing("cannot find the own program")?;
    Ok(own.with_file_name("cfp-server"))
}
