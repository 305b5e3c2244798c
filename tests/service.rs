//! What the server tells a service manager (sd_notify(3)), and the unit that asks for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::server::BINARY;
use support::users::UsersFile;
use support::{PATIENCE, Server};

/// The service manager's end of the notifications.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let path = std::env::temp_dir().join(format!("cfp-notify-{}-{name}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, path }
    }

    /// Starts a server that reports here; with a watchdog if `watchdog_us` is more than 0.
    fn start(&self, watchdog_us: u64, arguments: &[&str]) -> Server {
        // The watchdog is for the process that WATCHDOG_PID names, which a shell knows and we don't yet.
        let watchdog = format!("export WATCHDOG_USEC={watchdog_us} WATCHDOG_PID=$$;");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{} exec \"$0\" \"$@\"", if watchdog_us > 0 { &watchdog } else { "" }));
        command.arg(BINARY).args(["--id", "7", "--listen", "127.0.0.1:0"]).args(arguments);
        command.env("NOTIFY_SOCKET", &self.path).env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        Server::spawn(command)
    }

    /// The lines of the next message.
    fn receive(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).expect("the server reports");
        std::str::from_utf8(&buffer[..count]).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits for a message with a line that `is_wanted`; returns the message.
    fn wait_for(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.receive();
            if message.iter().any(|line| is_wanted(line)) {
                return message;
            }
            assert!(Instant::now() < deadline, "the last message was {message:?}");
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn ready_is_the_first_word_and_stopping_the_last() {
    let manager = Manager::new("ready");
    let server = manager.start(0, &[]);
    assert_eq!(manager.receive(), ["READY=1"]);
    // Connections are possible by then.
    server.guest("ana");
    server.signal(Signal::TERM);
    manager.wait_for(|line| line == "STOPPING=1");
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn a_reload_is_announced_with_its_time_and_ends_with_ready() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let manager = Manager::new("reload");
    let server = manager.start(0, &["--users", users.path()]);
    manager.wait_for(|line| line == "READY=1");
    // A file that can't be read ends the reload, too: the manager must not wait for it for ever.
    for text in ["", "no colon\n"] {
        users.write_text(text);
        let before_us = monotonic_us();
        server.signal(Signal::HUP);
        let message = manager.wait_for(|line| line == "RELOADING=1");
        let stamp = message.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("systemd wants a time");
        let stamp_us: u64 = stamp.parse().unwrap();
        assert!((before_us..=monotonic_us()).contains(&stamp_us), "{message:?}");
        manager.wait_for(|line| line == "READY=1");
    }
}

#[test]
fn a_reload_ends_where_there_is_no_users_file_too() {
    let manager = Manager::new("no-users");
    let server = manager.start(0, &[]);
    manager.wait_for(|line| line == "READY=1");
    server.signal(Signal::HUP);
    manager.wait_for(|line| line == "RELOADING=1");
    manager.wait_for(|line| line == "READY=1");
}

#[test]
fn the_status_counts_clients_and_siblings() {
    let manager = Manager::new("status");
    // With a watchdog of 20 ms the status comes every 10.
    let one = manager.start(20_000, &[]);
    manager.wait_for(|line| line == "STATUS=0 clients, 0 siblings");
    let (_ana, _bob) = (one.guest("ana"), one.guest("bob"));
    manager.wait_for(|line| line == "STATUS=2 clients, 0 siblings");
    let address = one.address().to_string();
    let mut two = Command::new(BINARY);
    two.args(["--id", "8", "--listen", "127.0.0.1:0", "--merge", &address]);
    let _two = Server::spawn(two);
    manager.wait_for(|line| line == "STATUS=2 clients, 1 siblings");
}

#[test]
fn the_loop_feeds_the_watchdog_and_a_stopped_one_does_not() {
    let manager = Manager::new("watchdog");
    let server = manager.start(20_000, &[]);
    for _ in 0..3 {
        manager.wait_for(|line| line == "WATCHDOG=1");
    }
    server.signal(Signal::STOP);
    // What was sent before is taken out; then nothing may come in many times the interval.
    let silence = Duration::from_millis(500);
    manager.socket.set_read_timeout(Some(silence)).unwrap();
    let mut buffer = [0; 4096];
    let sent_before = (0..1000).take_while(|_| manager.socket.recv(&mut buffer).is_ok()).count();
    assert!(sent_before < 1000, "a stopped server feeds the watchdog");
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    server.signal(Signal::CONT);
    manager.wait_for(|line| line == "WATCHDOG=1");
}

#[test]
fn without_a_watchdog_none_is_fed() {
    let manager = Manager::new("none");
    let server = manager.start(0, &[]);
    manager.wait_for(|line| line.starts_with("STATUS="));
    server.signal(Signal::TERM);
    let mut lines = Vec::new();
    while !lines.contains(&"STOPPING=1".to_owned()) {
        lines.extend(manager.receive());
    }
    assert!(!lines.iter().any(|line| line.starts_with("WATCHDOG=")), "{lines:?}");
}

#[test]
fn a_manager_that_does_not_listen_is_not_waited_for_and_hears_later_that_the_server_is_ready() {
    let manager = Manager::new("deaf");
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let mut filled = 0;
    while filler.send_to(b"X=1\n", &manager.path).is_ok() {
        filled += 1;
    }
    assert!(filled > 0);
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = manager.start(20_000, &["--users", users.path()]);
    server.guest("ana").expect_nothing_but_itself("ana");
    server.signal(Signal::HUP);
    server.wait_for_log("users file read again");
    server.guest("bob").expect_nothing_but_itself("bob");
    // The queue has room again.
    for _ in 0..filled {
        assert_eq!(manager.receive(), ["X=1"]);
    }
    manager.wait_for(|line| line == "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit().code(), Some(0));
}

#[test]
fn a_socket_in_the_abstract_namespace_is_told_as_well() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("cfp-notify-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager { socket, path: format!("@{name}").into() };
    let _server = manager.start(0, &[]);
    assert_eq!(manager.receive(), ["READY=1"]);
}

#[test]
fn variables_of_the_manager_that_make_no_sense_change_nothing() {
    for (name, value) in [("NOTIFY_SOCKET", ""), ("NOTIFY_SOCKET", "/nonexistent/notify"), ("JOURNAL_STREAM", "x")] {
        let mut command = Command::new(BINARY);
        command.args(["--id", "7", "--listen", "127.0.0.1:0"]).env(name, value).env("WATCHDOG_USEC", "0");
        let server = Server::spawn(command);
        server.guest("ana").expect_nothing_but_itself("ana");
        assert!(server.processor_ticks() < 50);
    }
}

#[test]
fn in_the_journal_lines_have_a_priority_and_no_time_of_their_own() {
    let mut command = Command::new("sh");
    // The descriptor's device and inode, as systemd says them of its own stream.
    command.arg("-c").arg("JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"");
    command.arg(BINARY).args(["--id", "7", "--listen", "127.0.0.1:0", "--allow-peer", "192.0.2.1"]);
    let server = Server::spawn(command);
    assert!(server.wait_for_log("listens on").starts_with("<6>server 7 listens on "));
    let mut ana = server.guest("ana");
    for _ in 0..=cfp::limits::IGNORED_PACKETS_MAX {
        ana.send_bytes(&[0xff]);
    }
    assert!(server.wait_for_log("too many ignored packets").starts_with("<4>client \"ana\""));
    // A stream other than the named one is no journal.
    let mut command = Command::new(BINARY);
    command.args(["--id", "7", "--listen", "127.0.0.1:0"]).env("JOURNAL_STREAM", "1:1");
    assert!(Server::spawn(command).wait_for_log("listens on").starts_with('['));
}

#[test]
#[ignore = "needs systemd-analyze: .ci/run runs it where that is"]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string("docs/cfp-server.service").unwrap();
    let runs = "\nExecStart=cfp-server\n";
    assert!(unit.contains(runs), "{unit}");
    // It checks that the program is there, which is not installed here.
    let folder = std::env::temp_dir().join(format!("cfp-unit-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("cfp-server.service");
    std::fs::write(&file, unit.replace(runs, &format!("\nExecStart={BINARY}\n"))).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // Complaints about other units of this machine are not ours.
    let complaints: Vec<&str> = text.lines().filter(|line| line.contains("cfp-server")).collect();
    assert!(complaints.is_empty(), "{text}");
}

/// CLOCK_MONOTONIC, in microseconds.
fn monotonic_us() -> u64 {
    let now = sd_notify::NotifyState::monotonic_usec_now().unwrap().to_string();
    now.strip_prefix("MONOTONIC_USEC=").unwrap().trim().parse().unwrap()
}
