//! The measurements beside the table: each starts what it needs, and prints lines of its own.

use std::path::Path;

use super::report::{figure, median, percentiles, print_table};
use super::server::{Launcher, Program, ServerUnderTest, scratch_folder};
use super::workload::cross::{CrossPlan, CrossSample, Setting, cross};
use super::workload::fairness::fairness;
use super::workload::files::{FilesPlan, PAIRED, files};
use super::workload::handshakes::{HandshakesPlan, handshakes};
use super::workload::logins::{LoginsPlan, logins_flood};
use super::workload::relay::{RelayPlan, Relaying};
use super::workload::slow::{SlowPlan, slow};
use super::workload::start::start;
use super::workload::{DirectPlan, RoomPlan, direct, room};
use super::{Doing, Fault, Result};
use crate::wire::ServerId;

/// The registered users of [`print_logins`].
pub const REGISTERED: &str = "bench-registered";

/// Files, with cfp-server and the floor in turn.
pub fn print_files(launcher: &Launcher, external: Option<ServerUnderTest>, plan: FilesPlan) -> Result<()> {
    let mut table = vec![
        ["", "file alone, MB/s", "file with room, MB/s", "room alone, µs", "room with file, µs"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut add = |name: &str, server: &ServerUnderTest| -> Result<()> {
        let sample = files(server, plan)?;
        table.push(vec![
            name.to_owned(),
            figure(sample.file_alone / 1e6),
            figure(sample.file_with_room / 1e6),
            percentiles(&sample.room_alone),
            percentiles(&sample.room_with_file),
        ]);
        Ok(())
    };
    match external {
        Some(server) => add("server", &server)?,
        None => {
            for program in [Program::Floor, Program::Server] {
                add(program.name(), &launcher.start(program, &[], PAIRED)?)?;
            }
        }
    }
    print_table(&table)?;
    Ok(())
}

/// What a flooder does to others.
pub fn print_fairness(server: &ServerUnderTest, messages: u64) -> Result<()> {
    let sample = fairness(server, messages)?;
    print_table(&[
        ["others", "a pair's latency at 50 / 99 / 99.9 %, µs", "flooder, messages a second"]
            .map(str::to_owned)
            .to_vec(),
        vec!["silent".into(), percentiles(&sample.quiet), "–".into()],
        vec!["one floods in private".into(), percentiles(&sample.private_flood), figure(sample.private_rate)],
        vec!["one floods in public".into(), percentiles(&sample.public_flood), figure(sample.public_rate)],
        vec!["six flood in private".into(), percentiles(&sample.all_flood), figure(sample.share_of_flooder)],
    ])?;
    say!("each of the other five: {} messages a second", figure(sample.share_of_others))?;
    Ok(())
}

/// Cost for each delivery in rooms of growing size, and of a private message with growing numbers of idle clients.
pub fn print_scale(launcher: &Launcher, members_max: usize, deliveries: u64, runs: usize) -> Result<()> {
    let sizes = [10, 30, 100, 300, 1000, 3000, 10_000].into_iter().filter(|&size| size <= members_max);
    let mut table = vec![["members", "floor, ns", "cfp-server, ns", "ratio"].map(str::to_owned).to_vec()];
    for members in sizes {
        let window = 64;
        let plan = RoomPlan { members, window, bursts: deliveries / (window * members as u64) + 1 };
        table.push(compare(launcher, members, runs, 0, |server| room(server, plan).map(|sample| sample.cost))?);
    }
    print_table(&table)?;
    say!("")?;
    let mut table = vec![["idle clients", "floor, ns", "cfp-server, ns", "ratio"].map(str::to_owned).to_vec()];
    for idle in [0, 100, 1000, 9_000].into_iter().filter(|&idle| idle <= members_max) {
        let plan = DirectPlan { pairs: 100, idle, window: 8, messages: deliveries / 10 };
        table.push(compare(launcher, idle, runs, 200, |server| direct(server, plan).map(|sample| sample.cost))?);
    }
    print_table(&table)?;
    Ok(())
}

fn compare(
    launcher: &Launcher,
    title: usize,
    runs: usize,
    paired: usize,
    workload: impl Fn(&ServerUnderTest) -> Result<Option<f64>>,
) -> Result<Vec<String>> {
    let (mut floor_ns, mut server_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let floor = workload(&launcher.start(Program::Floor, &[], paired)?)?.unwrap_or_default();
        let server = workload(&launcher.start(Program::Server, &[], paired)?)?.unwrap_or_default();
        floor_ns.push(floor);
        server_ns.push(server);
        ratios.push(server / floor);
    }
    let [floor, server, ratio] = [floor_ns, server_ns, ratios].map(|values| median(values).unwrap_or_default());
    Ok(vec![title.to_string(), figure(floor), figure(server), format!("{ratio:.2}")])
}

/// The time of a message to another server, and the cost of the same message without one. `external`: two merged
/// servers.
pub fn print_cross(
    launcher: &Launcher,
    external: Option<(ServerUnderTest, ServerUnderTest)>,
    plan: CrossPlan,
    runs: usize,
) -> Result<()> {
    if let Some((origin, receiver)) = external {
        let sample = cross(&origin, &receiver, plan, Setting::Merged)?;
        say!("origin: {} ns per message", figure(sample.origin_ns))?;
        say!("receiver: {} ns per delivery", figure(sample.receiver_ns))?;
        return Ok(());
    }
    // If both shared one core, each would interrupt the other in the middle of a turn.
    let beside = launcher.beside();
    let run = |origin: &Launcher, receiver: &Launcher, setting| -> Result<CrossSample> {
        let receiver = receiver.start(Program::Server, &["--id".into(), "8".into()], 0)?;
        let merge = ["--merge".to_owned(), receiver.address.to_string()];
        let merge = if setting == Setting::Merged { merge.as_slice() } else { &[] };
        let origin = origin.start(Program::Server, merge, 0)?;
        cross(&origin, &receiver, plan, setting)
    };
    let [mut alone, mut client, mut link, mut merged, mut local, mut from_other] = [const { Vec::new() }; 6];
    for _ in 0..runs {
        let sample = run(launcher, &beside, Setting::Apart)?;
        alone.push(sample.origin_ns);
        client.push(sample.with_client_ns - sample.origin_ns);
        link.push(sample.with_link_ns - sample.origin_ns);
        merged.push(run(launcher, &beside, Setting::Merged)?.origin_ns);
        local.push(run(&beside, launcher, Setting::Apart)?.receiver_ns);
        from_other.push(run(&beside, launcher, Setting::Merged)?.receiver_ns);
    }
    let medians = [alone, client, link, merged, local, from_other].map(|ns| median(ns).unwrap_or_default());
    let [alone, client, link, merged, local, from_other] = medians;
    say!("a message, its speaker alone gets it: {} ns", figure(alone))?;
    say!("for one more client: {} ns", figure(client))?;
    say!("for a link that is only read: {} ns", figure(link))?;
    say!("for another server (from run to run): {} ns", figure(merged - alone))?;
    say!("a delivery from another server: {:.2} × a local one", from_other / local)?;
    Ok(())
}

/// What a public message from another server costs, and what it costs to pass it on in a routed network.
pub fn print_relay(launcher: &Launcher, plan: RelayPlan, runs: usize) -> Result<()> {
    // Routed or not, clients, links besides the one that it comes over.
    const CASES: [(bool, usize, usize); 6] =
        [(false, 1, 0), (false, 2, 0), (true, 1, 0), (true, 1, 1), (true, 1, 2), (true, 1, 15)];
    let id = ServerId(7);
    let mut costs = CASES.map(|_| Vec::new());
    for _ in 0..runs {
        for (&(is_routed, clients, links), costs) in CASES.iter().zip(&mut costs) {
            let arguments = if is_routed { vec!["--routed".to_owned()] } else { Vec::new() };
            let subject = launcher.start(Program::Server, &arguments, 0)?;
            costs.push(Relaying::open(&subject, id, is_routed, clients, links)?.measure(plan)?);
        }
    }
    let medians = costs.each_ref().map(|ns| median(ns.clone()).unwrap_or_default());
    let [dense, more, routed, one, two, fifteen] = medians;
    // A run's cases were measured one after the other, and the machine's other load changes from run to run.
    let [base, .., relayed, _, _] = &costs;
    let times = median(relayed.iter().zip(base).map(|(cost, base)| cost / base).collect()).unwrap_or_default();
    say!("a message from another server, one client gets it: {} ns", figure(dense))?;
    say!("for one more client: {} ns", figure(more - dense))?;
    say!("in a routed network: {} ns", figure(routed))?;
    say!("and passed on over one link: {} ns, {times:.2} × as much as without", figure(one))?;
    say!("for the second link: {} ns", figure(two - one))?;
    say!("for each of fourteen further links: {} ns", figure((fifteen - one) / 14.0))?;
    Ok(())
}

/// Memory for slow readers. Without `external`, the server is started with limits so high that it closes no slow
/// reader.
pub fn print_slow(launcher: &Launcher, external: Option<ServerUnderTest>, plan: SlowPlan) -> Result<()> {
    let patient = ["--max-queue", "1073741824", "--max-memory", "2147483648"].map(str::to_owned);
    let server = external.map_or_else(|| launcher.start(Program::Server, &patient, 0), Ok)?;
    let lines = slow(&server, plan)?;
    let sent = lines.last().map_or(0.0, |&(sent, _)| sent as f64);
    let most = lines.iter().map(|&(_, growth)| growth).fold(0.0, f64::max);
    say!(
        "{} of {} don't read; {} bytes were sent to each: the server grew by {} bytes at most, {:.2} × what was sent once",
        plan.slow,
        plan.members,
        figure(sent),
        figure(most),
        most / sent,
    )?;
    let each = (most - sent) / plan.slow.max(1) as f64;
    say!("besides that, {} bytes for each that does not read", figure(each.max(0.0)))?;
    say!("then they read all of it")?;
    Ok(())
}

/// Handshakes beside a pair that writes.
pub fn print_handshakes(server: &ServerUnderTest, plan: HandshakesPlan) -> Result<()> {
    let sample = handshakes(server, plan)?;
    let cost = sample.sample.cost.map_or_else(|| "–".to_owned(), |ns| figure(ns / 1000.0));
    say!("a pair's latency at 50 / 99 / 99.9 %, alone: {} µs", percentiles(&sample.quiet))?;
    say!("beside {} handshakes in a second: {} µs", figure(sample.sample.rate), percentiles(&sample.beside))?;
    say!("a handshake, with its connection and the pair's messages: {cost} µs of processor time")?;
    Ok(())
}

/// Wrong passwords. Without `external`, starts a server with one registered user.
pub fn print_logins(launcher: &Launcher, external: Option<(ServerUnderTest, String)>, plan: LoginsPlan) -> Result<()> {
    let (server, nickname, folder) = match external {
        Some((server, nickname)) => (server, nickname, None),
        None => {
            let folder = scratch_folder()?;
            let users = folder.join("users");
            write_users(&launcher.server, &users)?;
            let arguments = ["--users".to_owned(), users.display().to_string()];
            (launcher.start(Program::Server, &arguments, 0)?, REGISTERED.to_owned(), Some(folder))
        }
    };
    let sample = logins_flood(&server, &nickname, plan);
    if let Some(folder) = folder {
        let _ = std::fs::remove_dir_all(folder);
    }
    let sample = sample?;
    say!("a pair's latency at 50 / 99 / 99.9 %, {} online: {} µs", plan.online, percentiles(&sample.quiet))?;
    say!(
        "during {} logins with a wrong password ({} s): {} µs",
        plan.logins,
        figure(sample.seconds),
        percentiles(&sample.flood)
    )?;
    Ok(())
}

/// The line for the users file comes from the server itself.
fn write_users(server: &Path, users: &Path) -> Result<()> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(server)
        .args(["--hash-password", REGISTERED])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(format_args!("cannot start {}", server.display()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(b"right\n").doing("cannot say the password")?;
    }
    let output = child.wait_with_output().doing("cannot read the users file's line")?;
    if !output.status.success() {
        return Err(Fault::Wrong("--hash-password failed".into()));
    }
    std::fs::write(users, output.stdout).doing("cannot write the users file")
}

/// Start-up time and memory, several times.
pub fn print_start(server: &Path, runs: usize) -> Result<()> {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (ms, bytes) = start(server)?;
        times.push(ms);
        sizes.push(bytes as f64);
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    let time = median(times).unwrap_or_default();
    say!("listening after {} ms (longest of {runs}: {} ms)", figure(time), figure(worst))?;
    say!("resident when idle: {} KiB", figure(median(sizes).unwrap_or_default() / 1024.0))?;
    Ok(())
}
