//! Starting up: everything that can go wrong before the first connection, with what to say then.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::core::engine::Engine;
use crate::core::state::config::Config;
use crate::core::state::mesh::OrDash;
use crate::core::state::users::Users;
use crate::core::time::Millis;
use crate::limits;
use crate::shell::addresses;
use crate::shell::control::ControlListener;
use crate::shell::dns;
use crate::shell::memory::{self, Budget, GroupLimit};
use crate::shell::options::{self, Options};
use crate::shell::reactor::{Listeners, Reactor};
use crate::shell::socket;
use crate::shell::transport::Security;
use crate::shell::users_file::UsersFile;

/// Why the server cannot start: one line that says what is wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub enum StartError {
    /// The command line has to say more, or something else.
    Usage(String),
    /// Something is not as it should be on this machine.
    Cannot(String),
}

impl From<String> for StartError {
    fn from(problem: String) -> StartError {
        StartError::Cannot(problem)
    }
}

/// Looks at everything that can be looked at without listening. Returns the registered users, and what the operator
/// should know of their file.
pub fn check(options: &Options) -> Result<(Users, Vec<String>), StartError> {
    advertised(options, options.listen)?;
    let file = options.users.clone().map(UsersFile::new);
    let users = read_users(file.as_ref())?;
    let security = Security::open(options.tls.as_ref(), options.config.id)?;
    let tls_warning = security.warning().map(str::to_owned);
    Ok((users, file.iter().flat_map(UsersFile::warnings).chain(tls_warning).chain(options.warning.clone()).collect()))
}

/// Opens all that the server needs. An error is one line that says what is wrong, where, and what to do; nothing is
/// logged before it is certain that the server can run.
pub fn start(mut options: Options) -> Result<Reactor, StartError> {
    let descriptors = raise_descriptor_limit();
    let limit = memory::control_group_limit();
    let users_room = limit.map_or(u64::MAX, memory::users_room_bytes);
    let users_file = options.users.clone().map(|path| UsersFile::new(path).with_room(bytes(users_room)));
    let users = read_users(users_file.as_ref())?;
    let security = Security::open(options.tls.as_ref(), options.config.id)?;
    let cannot_listen =
        |error| format!("cannot listen on {}: {error}; choose another --listen IP:PORT", options.listen);
    let listener = socket::listen(options.listen).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    options.config.advertise = advertised(&options, address)?;
    if options.config.routed.is_some() {
        options.config.route(seconds_since_1970());
    }
    let control = options.control.as_deref().map(ControlListener::bind).transpose()?;
    let cannot_serve =
        |metrics| move |error| format!("cannot serve metrics on {metrics}: {error}; choose another --metrics IP:PORT");
    let metrics = options.metrics.map(|metrics| socket::listen(metrics).map_err(cannot_serve(metrics))).transpose()?;
    let random = || getrandom::u64().map_err(|error| format!("no randomness: {error}"));
    let lookup = dns::Socket::new(random()?);
    options.config.seed = random()?;
    options.config.listen = Some(address);

    let users_bytes = memory::users_bytes(users.held_bytes() as u64);
    let socket_buffer_bytes = set_budget(&mut options, descriptors, limit, users_bytes)?;
    // On a reload, the users may take the memory that is set aside for them.
    let users_file = users_file.map(|file| file.with_room(limit.map_or(usize::MAX, |_| bytes(users_bytes))));
    if let Some(bytes) = socket_buffer_bytes {
        socket::bound_buffers(&listener, bytes)
            .map_err(|error| format!("cannot bound the sockets' buffers: {error}"))?;
    }
    for warning in users_file.iter().flat_map(UsersFile::warnings).chain(options.warning.take()) {
        log::warn!("{warning}");
    }
    let metrics_address = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    let (id, advertise, registered) = (options.config.id, OrDash(options.config.advertise), users.len());
    let is_routed = options.config.routed.is_some();
    let mut engine = Engine::new(options.config, users);
    engine.set_certificate_end(security.seconds_left(), Millis(0));
    let listeners = Listeners { clients: listener, control, metrics };
    let options_tls = options.tls;
    let (certificate, tls_warning) = (security.describe(), security.warning().map(str::to_owned));
    for name in options.merge {
        engine.merge_at_start(name, Millis(0));
    }
    let reactor = Reactor::new(engine, listeners, users_file, security, lookup, socket_buffer_bytes)
        .map_err(|error| StartError::Cannot(format!("cannot watch the sockets: {error}")))?;
    // Only now do signals stop the server cleanly: a script that waits for this line may send one.
    if let Some(metrics) = metrics_address {
        log::info!("metrics at http://{metrics}/metrics");
    }
    log::info!("server {id} listens on {address} (advertised as {advertise}, {registered} registered users)");
    if is_routed {
        log::info!("routed: it passes on what other servers send to each other");
    }
    let is_open = options_tls.as_ref().is_none_or(|tls| !tls.is_required);
    if let Some(certificate) = certificate {
        log::info!("TLS: {certificate}");
        let who =
            if is_open { "clients may come without TLS, too: --require-tls ends that" } else { "TLS is required" };
        log::info!("{who}");
    }
    if let Some(warning) = tls_warning {
        log::warn!("{warning}");
    }
    Ok(reactor)
}

/// The registered users; without a file, none.
pub fn read_users(file: Option<&UsersFile>) -> Result<Users, String> {
    file.map_or_else(|| Ok(Users::none()), UsersFile::read)
}

/// Derives the number of connections from the descriptors, and lowers the limits to the memory of the control group.
/// Returns the bound on each buffer of a socket, if there has to be one.
fn set_budget(
    options: &mut Options,
    descriptors: u64,
    limit: Option<GroupLimit>,
    users_bytes: u64,
) -> Result<Option<usize>, StartError> {
    let config = &mut options.config;
    let room = descriptors.saturating_sub(limits::RESERVED_DESCRIPTORS).max(descriptors / 2);
    let max_clients = options.max_clients.map_or(room, |chosen| chosen as u64);
    let tls_bytes = if options.tls.is_some() { limits::TLS_CONNECTION_BYTES } else { 0 };
    let asked = Budget {
        max_clients,
        max_memory_bytes: config.max_memory_bytes as u64,
        tls_bytes,
        users_bytes,
        sockets_bytes: None,
    };
    let budget = limit.map_or(asked, |limit| asked.fit(limit, options.max_clients.is_some()));
    if let Some(limit) = limit
        && !asked.fits(limit)
    {
        log::warn!(
            "the control group allows {} KiB of memory and the limits came to {}: lowered to {} clients and {} KiB of queues",
            limit.bytes / 1024,
            kib(asked.needed_bytes()),
            budget.max_clients,
            kib(budget.max_memory_bytes)
        );
    }
    if limit.is_some_and(|limit| !budget.fits(limit)) {
        log::warn!("that may still be too much: choose a smaller --max-clients");
    }
    config.max_clients = usize::try_from(budget.max_clients).unwrap_or(usize::MAX);
    config.max_memory_bytes = usize::try_from(budget.max_memory_bytes).unwrap_or(usize::MAX);
    if config.max_memory_bytes < config.memory_min_bytes() {
        return Err(StartError::Usage(format!(
            "--max-message {}: needs {} KiB of queues, and the control group's memory has room for {}; choose a smaller --max-message, or allow the group more memory",
            config.frame.message_max_bytes,
            kib(config.memory_min_bytes() as u64),
            kib(budget.max_memory_bytes)
        )));
    }
    log::info!("memory: {}; {descriptors} descriptors", formula(budget));
    bound_queues(config);
    Ok(budget.socket_buffer_bytes().and_then(|bytes| usize::try_from(bytes).ok()))
}

/// What the limits come to, as a sum that can be checked.
fn formula(budget: Budget) -> String {
    let (base, connection, queues) =
        (kib(limits::PROCESS_BYTES), kib(budget.connection_bytes()), kib(budget.max_memory_bytes));
    let (total, clients) = (kib(budget.needed_bytes()), budget.max_clients);
    let slack = limits::ALLOCATOR_SLACK;
    let mut sum =
        format!("at most {total} KiB = {base} + {clients} clients × {connection} + {slack} × {queues} of queues");
    if budget.users_bytes > 0 {
        sum += &format!(" + 2 × {} of users", kib(budget.users_bytes));
    }
    match (budget.sockets_bytes, budget.socket_buffer_bytes()) {
        (Some(bytes), Some(buffer_bytes)) => {
            let socket_bytes = buffer_bytes * limits::SOCKET_BYTES_PER_BUFFER_BYTE;
            let full = (bytes / socket_bytes).min(clients);
            format!("{sum} + {} in sockets, where {full} may hold {} each", bytes / 1024, kib(socket_bytes))
        }
        (Some(bytes), None) => format!("{sum} + {} in sockets", bytes / 1024),
        (None, _) => sum,
    }
}

/// As much as this machine can count.
fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Whole KiB, and never less than there is.
fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1024)
}

/// No single queue is allowed more than all together: its senders are to be held back before it has to be closed.
fn bound_queues(config: &mut Config) {
    config.max_queue_bytes = config.max_queue_bytes.min(config.max_memory_bytes);
    config.max_link_queue_bytes = config.max_link_queue_bytes.min(config.max_memory_bytes);
}

/// The address that other servers are told: `--advertise`, else the listen address. If that is unspecified, an address
/// of this machine.
fn advertised(options: &Options, listen: SocketAddr) -> Result<Option<SocketAddrV4>, StartError> {
    if options.advertise.is_some() {
        return Ok(options.advertise);
    }
    let own = match listen.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => address,
        IpAddr::V6(address) if !address.is_unspecified() && options.config.routed.is_some() => {
            return Err(StartError::Usage(format!(
                "--routed needs an IPv4 address that others reach, and --listen {listen} is none: say --advertise IP:PORT"
            )));
        }
        IpAddr::V6(address) if !address.is_unspecified() => return Ok(None),
        _ => addresses::own_ipv4().map_err(|problem| {
            StartError::Usage(format!(
                "--listen {listen} is any address of this machine, {problem}; say --advertise IP:PORT"
            ))
        })?,
    };
    options::check_reachable(own, &options.merge).map_err(|error| StartError::Usage(error.to_string()))?;
    Ok(Some(SocketAddrV4::new(own, listen.port())))
}

/// The time by this machine's clock, which may be wrong (D39).
fn seconds_since_1970() -> u32 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX)
}

/// Raises the descriptor limit to its hard value; returns what it is then.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::options::Command;
    use crate::wire::ServerId;

    #[test]
    fn no_queue_may_take_more_than_all_together() {
        let mut config = Config::new(ServerId(7));
        config.max_memory_bytes = 3 << 20;
        bound_queues(&mut config);
        assert_eq!((config.max_queue_bytes, config.max_link_queue_bytes), (limits::QUEUE_MAX_BYTES, 3 << 20));
    }

    #[test]
    fn queues_that_were_lowered_have_room_for_the_longest_message_or_the_start_says_that_they_have_not() {
        let group = Some(GroupLimit { bytes: 16 << 20, counts_sockets: true });
        let lowered = |message_bytes: u32| {
            let message_bytes = message_bytes.to_string();
            let arguments = ["--id", "7", "--max-message", &message_bytes, "--max-queue", "20000000"];
            let Ok(Command::Serve(mut options)) = options::parse(arguments.map(Into::into)) else { panic!("they fit") };
            set_budget(&mut options, 65_536, group, 0).map(|_| options.config)
        };
        let config = lowered(500_000).unwrap();
        assert!(config.max_memory_bytes < 2 << 20, "it was lowered: {}", config.max_memory_bytes);
        assert!(config.max_queue_bytes >= config.frame.packet_max_bytes());
        assert!(config.max_link_queue_bytes >= config.frame.packet_max_bytes());
        let Err(StartError::Usage(problem)) = lowered(600_000) else { panic!("it does not fit") };
        assert!(problem.starts_with("--max-message 600000: needs 1759 KiB of queues"), "{problem}");
    }

    #[test]
    fn the_sum_in_the_log_adds_up() {
        let asked = Budget { max_clients: 1_000_000, max_memory_bytes: 64 << 20, ..Budget::default() };
        let fit = |counts_sockets| asked.fit(GroupLimit { bytes: 16 << 20, counts_sockets }, false);
        assert_eq!(formula(fit(false)), "at most 16384 KiB = 4096 + 1228 clients × 5 + 2 × 3074 of queues");
        assert_eq!(4096 + 1228 * 5 + 2 * 3074, 16384);
        assert_eq!(
            formula(fit(true)),
            "at most 16384 KiB = 4096 + 1228 clients × 5 + 2 × 1537 of queues + 3074 in sockets, where 48 may hold 64 each"
        );
        assert_eq!(4096 + 1228 * 5 + 2 * 1537 + 3074, 16384);
    }
}
