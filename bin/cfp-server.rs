//! The server's command: parse, start the log, run, turn an error into one line and an exit status.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::process::ExitCode;

use cfp::control::ControlListener;
use cfp::core::mesh::Address;
use cfp::core::users::{Users, users_line};
use cfp::engine::Engine;
use cfp::limits;
use cfp::logging;
use cfp::lookup::Lookup;
use cfp::memory::{self, Budget};
use cfp::options::{self, Command, Options};
use cfp::reactor::{Reactor, Stop};
use cfp::socket;
use cfp::time::Millis;
use cfp::users_file::{UserEdit, UsersFile};
use cfp::wire::Nickname;

fn main() -> ExitCode {
    let command = options::texts(std::env::args_os().skip(1)).and_then(|arguments| options::parse(&arguments));
    let result = match command {
        Ok(Command::Help) => print(&options::usage()),
        Ok(Command::Version) => print(&format!("cfp-server {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::HashPassword(nickname)) => hash_password(&nickname),
        Ok(Command::AddUser(file, nickname)) => add_user(&UsersFile::new(file), &nickname),
        Ok(Command::RemoveUser(file, nickname)) => remove_user(&UsersFile::new(file), &nickname),
        Ok(Command::Check(options)) => check(&options),
        Ok(Command::Ask(control, command)) => match cfp::control::ask(&control, &command, &mut io::stdout()) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(problem) => Err(problem),
        },
        Ok(Command::Serve(options)) => return serve(*options),
        Err(error) => {
            eprintln!("cfp-server: {error}\nTry 'cfp-server --help'.");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

fn serve(options: Options) -> ExitCode {
    logging::start();
    match start(options) {
        Ok(reactor) => match reactor.run() {
            Ok(Stop::Drained) => {
                log::info!("stopped");
                ExitCode::SUCCESS
            }
            Ok(Stop::Hurried) => fail("asked to stop twice: ended at once"),
            Err(error) => fail(&format!("the loop cannot go on: {error}")),
        },
        Err(problem) => fail(&problem),
    }
}

/// Everything that can go wrong before the first connection, with what to say then.
fn start(mut options: Options) -> Result<Reactor, String> {
    let descriptors = raise_descriptor_limit();
    set_budget(&mut options, descriptors);
    let users_file = options.users.map(UsersFile::new);
    let users = read_users(users_file.as_ref())?;
    let (id, registered) = (options.config.id, users.len());
    let cannot_listen =
        |error| format!("cannot listen on {}: {error}; choose another --listen IP:PORT", options.listen);
    let listener = socket::listen(options.listen).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let control = options.control.as_deref().map(ControlListener::bind).transpose()?;
    let metrics = options.metrics.map(|address| {
        let listener =
            socket::listen(address).map_err(|error| format!("cannot serve metrics on {address}: {error}"))?;
        log::info!("metrics at http://{}/metrics", listener.local_addr().unwrap_or(address));
        Ok::<_, String>(listener)
    });
    let metrics = metrics.transpose()?;
    options.config.listen = Some(address);
    options.config.advertise = options.advertise.or_else(|| advertised_by_default(address));
    options.config.seed = getrandom::u64().map_err(|error| format!("no randomness: {error}"))?;
    let lookup = Lookup::new(getrandom::u64().map_err(|error| format!("no randomness: {error}"))?);
    let advertise = Address(options.config.advertise);
    log::info!("server {id} listens on {address} (advertised as {advertise}, {registered} registered users)");
    let mut engine = Engine::new(options.config, users);
    for name in options.merge {
        engine.merge_at_start(name, Millis(0));
    }
    Reactor::new(engine, listener, control, metrics, users_file, lookup)
        .map_err(|error| format!("cannot start: {error}"))
}

/// Derives the number of connections from the descriptors, and lowers what the control group's memory has no room for.
fn set_budget(options: &mut Options, descriptors: u64) {
    let config = &mut options.config;
    let room = descriptors.saturating_sub(limits::RESERVED_DESCRIPTORS).max(descriptors / 2);
    let max_clients = options.max_clients.map_or(room, |chosen| chosen as u64);
    let asked = Budget { max_clients, max_memory_bytes: config.max_memory_bytes as u64 };
    let limit = memory::control_group_limit();
    let budget = limit.map_or(asked, |limit| asked.fit(limit, options.max_clients.is_some()));
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    if let Some(limit) = limit
        && budget != asked
    {
        log::warn!(
            "the control group allows {} MiB of memory and the limits came to {}: lowered to {} clients and {} bytes of queues",
            mib(limit),
            mib(asked.needed_bytes()),
            budget.max_clients,
            budget.max_memory_bytes
        );
    }
    if limit.is_some_and(|limit| budget.needed_bytes() > limit) {
        log::warn!("that may still be too much: choose a smaller --max-clients");
    }
    config.max_clients = usize::try_from(budget.max_clients).unwrap_or(usize::MAX);
    config.max_memory_bytes = usize::try_from(budget.max_memory_bytes).unwrap_or(usize::MAX);
    log::info!(
        "memory: at most {} MiB = {} + {} clients × {} KiB + 2 × {} MiB of queues; {descriptors} descriptors",
        mib(budget.needed_bytes()),
        mib(memory::BASE_BYTES),
        budget.max_clients,
        memory::CONNECTION_BYTES / 1024,
        mib(budget.max_memory_bytes)
    );
}

/// What others are told where `--advertise` was not given: the listen address; where that is unspecified, the address
/// of the interface with the default route.
fn advertised_by_default(listen: SocketAddr) -> Option<SocketAddrV4> {
    match listen.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(SocketAddrV4::new(address, listen.port())),
        IpAddr::V6(address) if !address.is_unspecified() => None,
        _ => {
            // Connecting a datagram socket sends nothing; it only makes the kernel choose a route.
            let route = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| socket.local_addr()));
            match route.map(|address| address.ip()) {
                Ok(IpAddr::V4(address)) => Some(SocketAddrV4::new(address, listen.port())),
                _ => Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, listen.port())),
            }
        }
    }
}

fn check(options: &Options) -> Result<(), String> {
    logging::start();
    let users = read_users(options.users.clone().map(UsersFile::new).as_ref())?;
    print(&format!("options are fine, {} registered users\n", users.len()))
}

fn read_users(file: Option<&UsersFile>) -> Result<Users, String> {
    let Some(file) = file else { return Ok(Users::none()) };
    let users = file.read()?;
    if file.is_world_readable() {
        log::warn!("everybody on this machine can read the users file, and try passwords on it: chmod o-r it");
    }
    Ok(users)
}

fn hash_password(nickname: &str) -> Result<(), String> {
    let (nickname, password, salt) = new_password(nickname)?;
    let began = std::time::Instant::now();
    let line = users_line(nickname, &password, &salt);
    eprintln!("cfp-server: one check of this password takes {} ms of this machine", began.elapsed().as_millis());
    print(&format!("{line}\n"))
}

fn add_user(file: &UsersFile, nickname: &str) -> Result<(), String> {
    let (nickname, password, salt) = new_password(nickname)?;
    match file.add(nickname, &password, &salt)? {
        UserEdit::Changed => {
            print(&format!("{:?} has another password; a running server learns of it with SIGHUP\n", nickname.as_str()))
        }
        _ => print(&format!("{:?} is added; a running server learns of it with SIGHUP\n", nickname.as_str())),
    }
}

fn remove_user(file: &UsersFile, nickname: &str) -> Result<(), String> {
    file.remove(Nickname::parse(nickname).ok_or("not a legal nickname")?)?;
    print(&format!("{nickname:?} is removed; a running server learns of it with SIGHUP\n"))
}

/// What a new line of the users file is made of.
fn new_password(nickname: &str) -> Result<(Nickname<'_>, String, [u8; 16]), String> {
    let nickname = Nickname::parse(nickname).ok_or("not a legal nickname")?;
    let password = read_password().map_err(|error| format!("cannot read the password: {error}"))?;
    if password.len() > limits::PASSWORD_MAX_BYTES {
        return Err(format!("the password is longer than {} bytes", limits::PASSWORD_MAX_BYTES));
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| format!("no randomness for a salt: {error}"))?;
    Ok((nickname, password, salt))
}

/// One line from standard input, without echo where that is a terminal.
fn read_password() -> io::Result<String> {
    let stdin = io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        eprint!("Password: ");
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        let read = stdin.lock().read_line(&mut line);
        tcsetattr(&stdin, OptionalActions::Now, &before)?;
        eprintln!();
        read?;
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Raises the descriptor limit to its hard value; returns what it is then.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| format!("standard output: {error}"))
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("cfp-server: {problem}");
    ExitCode::FAILURE
}
