//! The control socket: what an operator sees and does while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output};

use node::{Node, ask, fresh_path, wait_for_clique, wait_until};
use support::server::BINARY;
use support::users::UsersFile;
use support::{Client, PATIENCE, Server};

/// Runs `--ask`.
fn run_ask(control: &Path, command: &str) -> Output {
    Command::new(BINARY).arg("--control").arg(control).args(["--ask", command]).output().unwrap()
}

/// Tries to start a server with this control socket; it must end.
fn start_and_fail(control: &Path) -> Output {
    let listen = ["--id", "8", "--listen", "127.0.0.1:0", "--control"];
    Command::new(BINARY).args(listen).arg(control).output().unwrap()
}

/// The error's one line on standard error.
fn problem(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap().to_owned()
}

#[test]
fn ask_prints_the_answer_and_exits_with_0_on_ok_and_1_on_an_error() {
    let node = Node::start(7, &[]);
    let output = run_ask(node.control(), "siblings");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"ok\n".as_slice()));
    let output = run_ask(node.control(), "forget 9");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"error no such server\n".as_slice()));
}

#[test]
fn ask_says_that_nobody_is_there() {
    let control = fresh_path("control");
    assert!(problem(&run_ask(&control, "status")).contains(control.to_str().unwrap()));
}

#[test]
fn ask_gives_up_on_a_server_that_hangs() {
    let control = fresh_path("control");
    let _hung = UnixListener::bind(&control).unwrap();
    assert!(problem(&run_ask(&control, "status")).contains("does not answer"));
    std::fs::remove_file(&control).unwrap();
}

/// A listener with a full accept queue, so that no more connections can be made.
fn hung_with_a_full_queue(control: &Path) -> (UnixListener, Vec<socket2::Socket>) {
    let listener = UnixListener::bind(control).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        if socket.connect(&socket2::SockAddr::unix(control).unwrap()).is_err() {
            return (listener, waiting);
        }
        waiting.push(socket);
    }
}

#[test]
fn behind_a_hung_server_whose_queue_is_full_neither_ask_nor_a_second_start_hangs() {
    let control = fresh_path("control");
    let _hung = hung_with_a_full_queue(&control);
    assert!(problem(&run_ask(&control, "status")).contains("does not answer"));
    assert!(problem(&run_ask(&control, "merge 127.0.0.1:1")).contains("does not answer"));
    assert!(problem(&start_and_fail(&control)).contains("another server answers there"));
    assert!(control.exists(), "the other server's file stays");
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn ask_gives_up_on_an_answer_that_drips() {
    let control = fresh_path("control");
    let listener = UnixListener::bind(&control).unwrap();
    // A byte now and then, for as long as the other end listens: that is not an answer.
    let dripping = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    assert!(problem(&run_ask(&control, "status")).contains("does not answer"));
    dripping.join().unwrap();
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn a_socket_that_cannot_be_tried_is_not_replaced() {
    let control = fresh_path("control");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&control).unwrap();
    assert!(problem(&start_and_fail(&control)).contains(control.to_str().unwrap()));
    assert!(control.exists());
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn a_server_that_stops_leaves_the_socket_file_of_another_one_alone() {
    let control = fresh_path("control");
    let server = Server::start(&["--control", control.to_str().unwrap()]);
    std::fs::remove_file(&control).unwrap();
    let _other = UnixListener::bind(&control).unwrap();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait_for_exit().code(), Some(0));
    assert!(control.exists());
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn ask_says_when_an_answer_ends_early() {
    let control = fresh_path("control");
    let listener = UnixListener::bind(&control).unwrap();
    let half = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"id\t7\n").unwrap();
        let mut command = [0; 7];
        stream.read_exact(&mut command).unwrap();
    });
    assert!(problem(&run_ask(&control, "status")).contains("ended too early"));
    half.join().unwrap();
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn the_control_socket_is_for_its_own_user_only_and_goes_with_the_server() {
    let node = Node::start(7, &[]);
    let mode = std::fs::metadata(node.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(node.ask("shutdown"), ["ok"]);
    wait_until(|| !node.control().exists(), || "the socket file is still there".to_owned());
}

#[test]
fn a_socket_file_left_over_is_replaced() {
    let control = fresh_path("control");
    drop(UnixListener::bind(&control).unwrap());
    assert!(control.exists());
    let server = Server::start(&["--control", control.to_str().unwrap()]);
    assert!(ask(&control, "status").contains(&"id\t7".to_owned()));
    // A killed server leaves one, too.
    drop(server);
    assert!(control.exists());
    let _again = Server::start(&["--control", control.to_str().unwrap()]);
    assert!(ask(&control, "status").contains(&"id\t7".to_owned()));
    std::fs::remove_file(&control).unwrap();
}

#[test]
fn a_socket_file_that_answers_is_an_error() {
    let node = Node::start(7, &[]);
    assert!(problem(&start_and_fail(node.control())).contains("another server answers there"));
    assert_eq!(node.status("id"), "7");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let file = UsersFile::of_text("# not a socket\n");
    assert!(problem(&start_and_fail(Path::new(file.path()))).contains("is no socket"));
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "# not a socket\n");
}

#[test]
fn status_says_how_the_server_does() {
    let (node, other) = (Node::start(7, &["--advertise", "127.1.2.3:4567"]), Node::start(8, &[]));
    let before =
        ["id", "version", "listen", "advertise", "clients", "siblings", "queued_bytes"].map(|n| node.status(n));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(before, ["7", version, &node.place(), "127.1.2.3:4567", "0", "0", "0"]);
    assert!(node.status("uptime_seconds").parse::<u64>().is_ok());
    let _ana = node.guest("ana");
    // Its advertised address is never told to others, and no server has it: it dials.
    node.merge(&other);
    assert_eq!((node.status("clients"), node.status("siblings")), ("1".to_owned(), "1".to_owned()));
    assert_eq!(node.ask("status").last().unwrap(), "ok");
}

#[test]
fn clients_are_listed_with_their_kind_address_queue_and_time() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    assert_eq!(node.ask("clients"), ["ok"]);
    let (ana, mut maria) = (node.guest("ana"), node.server.connect());
    maria.send(&cfp::wire::Packet::AuthUsr { nickname: "maria", password: "open sesame" });
    maria.receive();
    // Connected, but not logged in.
    let _nobody = node.server.connect();
    let mut lines = node.ask("clients");
    lines.sort_unstable();
    let fields: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    assert_eq!(fields.len(), 3, "{lines:?}");
    assert_eq!(fields[0][..4], ["ana", "guest", &ana.local_address().to_string(), "0"]);
    assert_eq!(fields[1][..4], ["maria", "user", &maria.local_address().to_string(), "0"]);
    assert!(fields[..2].iter().all(|fields| fields.len() == 5 && fields[4].parse::<u64>().is_ok()), "{lines:?}");
}

#[test]
fn no_nickname_is_taken_for_the_end_of_an_answer_or_changes_how_it_looks() {
    let node = Node::start(7, &[]);
    let nicknames = ["error no such thing", "ok", "a\u{202e}b", "back\\slash", "\u{200d}"];
    let mut clients: Vec<Client> = nicknames.iter().map(|nickname| node.guest(nickname)).collect();
    let output = run_ask(node.control(), "clients");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let mut lines: Vec<&str> = text.lines().collect();
    // A reader that follows the manual finds one end.
    assert!(lines[..lines.len() - 1].iter().all(|line| !line.starts_with("error ") && *line != "ok"), "{text}");
    assert_eq!(lines.pop(), Some("ok"));
    let mut shown: Vec<&str> = lines.iter().map(|line| line.split('\t').next().unwrap()).collect();
    shown.sort_unstable();
    let mut expected = ["error\\u{20}no such thing", "ok", "a\\u{202e}b", "back\\\\slash", "\\u{200d}"];
    expected.sort_unstable();
    assert_eq!(shown, expected);
    // The shown form can be used, and the nickname itself, too.
    assert_eq!(node.ask("kick error\\u{20}no such thing"), ["ok"]);
    assert_eq!(node.ask("kick a\\u{202e}b"), ["ok"]);
    assert_eq!(node.ask("kick back\\slash"), ["ok"]);
    clients[0].expect_end();
    clients[2].expect_end();
    clients[3].expect_end();
}

#[test]
fn siblings_are_listed_with_address_state_and_time() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    assert_eq!(one.ask("siblings"), ["ok"]);
    one.merge(&two);
    let state = |word: &str| {
        let lines = one.ask("siblings");
        let fields: Vec<&str> = lines[0].split('\t').collect();
        assert_eq!((lines.len(), fields.len(), &fields[..2]), (2, 4, &["2", two.place().as_str()][..]));
        assert!(fields[3].parse::<u64>().is_ok());
        fields[2] == word
    };
    assert!(state("linked"));
    two.server.signal(rustix::process::Signal::KILL);
    wait_until(|| state("lost"), || "it is not seen as lost".to_owned());
}

#[test]
fn a_merge_is_answered_when_it_is_done_or_declined_or_not_reached() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    let merge = |node: &Node, place: &str| node.ask(&format!("merge {place}"));
    assert_eq!(merge(&one, &two.place()), ["ok"]);
    one.wait_until_linked_with(&[2]);
    wait_for_clique([&one, &two]);
    assert_eq!(merge(&one, &two.place()), ["error already merged"]);
    assert_eq!(merge(&two, &one.place()), ["error already merged"]);
    let same_id = Node::start(1, &[]);
    assert_eq!(merge(&two, &same_id.place()), ["error server id conflict"]);
    for nobody in [node::fresh_address().to_string(), "no-such-host.invalid:7777".to_owned()] {
        let answer = merge(&one, &nobody);
        assert!(answer.len() == 1 && answer[0].starts_with("error unreachable "), "{answer:?}");
    }
    for wrong in
        ["merge", "merge nowhere", "merge 127.0.0.1", "merge 127.0.0.1:0", "merge 127.0.0.1:70000", "merge ::1:7777"]
    {
        assert_eq!(one.ask(wrong), ["error expected merge HOST:PORT"], "{wrong}");
    }
    wait_for_clique([&one, &two]);
}

#[test]
fn a_server_does_not_merge_with_itself_under_whatever_address() {
    let node = Node::start(1, &[]);
    assert_eq!(node.ask(&format!("merge {}", node.address)), ["error that is this server"]);
    assert!(node.siblings().is_empty());
    let port = node::fresh_address().port();
    let everywhere = std::net::SocketAddr::from(([0, 0, 0, 0], port));
    let own = ["--advertise", &format!("127.0.0.1:{port}"), "--merge", &format!("127.0.0.2:{port}")];
    let node = Node::start_at(2, everywhere, &own);
    node.server.wait_for_log("is passed over: that is this server");
    assert_eq!(node.status("mesh_complete"), "1");
    for host in ["127.0.0.1", "127.0.0.3", "localhost"] {
        assert_eq!(node.ask(&format!("merge {host}:{port}")), ["error that is this server"], "{host}");
    }
}

#[test]
fn merges_that_wait_are_listed_with_the_last_error_and_can_be_given_up() {
    let nobody = node::fresh_address();
    let node = Node::start(1, &["--merge", &nobody.to_string()]);
    let is_tried = || node.ask("siblings").first().is_some_and(|line| line.contains("refused"));
    wait_until(is_tried, || format!("{:?}", node.ask("siblings")));
    let lines = node.ask("siblings");
    let fields: Vec<&str> = lines[0].split('\t').collect();
    assert_eq!((fields.len(), &fields[..3]), (5, &["-", nobody.to_string().as_str(), "waiting"][..]), "{lines:?}");
    assert!(fields[3].parse::<u64>().is_ok(), "{lines:?}");
    assert_eq!(node.ask("forget 127.0.0.1:9"), ["error no such merge waits"]);
    assert_eq!(node.ask(&format!("forget {nobody}")), ["ok"]);
    assert_eq!(node.ask("siblings"), ["ok"]);
    assert_eq!(node.status("mesh_complete"), "1");
}

#[test]
fn who_declines_a_merge_says_which_id_and_which_two_addresses() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    let other = Node::start(2, &[]);
    assert_eq!(other.ask(&format!("merge {}", one.address)), ["error server id conflict"]);
    let line = one.server.wait_for_log("declined a merge with server 2");
    assert!(line.contains(&other.place()) && line.contains(&two.place()) && line.contains("ID 2"), "{line}");
    let line = other.server.wait_for_log("was declined");
    assert!(line.contains("one ID would stand for two servers"), "{line}");
}

#[test]
fn the_loop_goes_on_while_an_operator_waits_for_a_merge() {
    let node = Node::start(7, &[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut operator = UnixStream::connect(node.control()).unwrap();
    operator.set_read_timeout(Some(PATIENCE)).unwrap();
    // The next command's answer waits for that of this one.
    writeln!(operator, "merge {}\nhelp", silent.local_addr().unwrap()).unwrap();
    let (dialled, _) = silent.accept().unwrap();
    let mut ana = node.guest("ana");
    ana.expect_nothing_but_itself("ana");
    assert_eq!(node.status("clients"), "1");
    drop((dialled, silent));
    let mut answer = Vec::new();
    while !answer.ends_with(b"this list\nok\n") {
        let mut buffer = [0; 4096];
        let count = operator.read(&mut buffer).unwrap();
        assert!(count > 0);
        answer.extend_from_slice(&buffer[..count]);
    }
    assert!(answer.starts_with(b"error unreachable "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn kick_closes_a_client() {
    let node = Node::start(7, &[]);
    let (mut ana, mut bob) = (node.guest("ana"), node.guest("two words"));
    assert_eq!(node.ask("kick two words"), ["ok"]);
    bob.expect_end();
    assert_eq!(node.ask("kick two words"), ["error no such client"]);
    assert_eq!(node.ask("kick"), ["error expected kick NICKNAME"]);
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn reload_reads_the_users_file_again() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let node = Node::start(7, &["--users", users.path()]);
    let mut eve = node.guest("eve");
    users.write(&[("eve", "secret"), ("zoe", "secret")]);
    assert_eq!(node.ask("reload"), ["2 added, 1 removed, 0 changed", "ok"]);
    eve.expect_end();
    users.write_text("no colon\n");
    let answer = node.ask("reload");
    assert!(answer.len() == 1 && answer[0].starts_with("error ") && answer[0].contains("line 1"), "{answer:?}");
    assert_eq!(node.status("registered_users"), "2");
    let without = Node::start(8, &[]);
    assert_eq!(without.ask("reload"), ["error the server has no users file"]);
}

#[test]
fn shutdown_stops_the_server() {
    let node = Node::start(7, &[]);
    let mut ana = node.guest("ana");
    assert_eq!(node.ask("shutdown"), ["ok"]);
    ana.expect_end();
    drop(ana);
    node.server.wait_for_log("stopped");
}

#[test]
fn help_names_every_command() {
    let node = Node::start(7, &[]);
    let lines = node.ask("help");
    for command in [
        "status", "clients", "siblings", "merge", "forget", "kick", "ban", "unban", "bans", "reload", "metrics",
        "shutdown", "help",
    ] {
        assert!(lines.iter().any(|line| line.split(['\t', ' ']).next() == Some(command)), "{command} in {lines:?}");
    }
    assert_eq!(lines.last().unwrap(), "ok");
}

#[test]
fn metrics_are_prometheus_text() {
    let node = Node::start(7, &[]);
    let _ana = node.guest("ana");
    assert_eq!((node.metric("cfp_clients"), node.metric("cfp_mesh_complete")), (1, 1));
    let lines = node.ask("metrics");
    let names = lines[..lines.len() - 1].iter().filter(|line| !line.starts_with('#'));
    let is_known = |line: &String| line.starts_with("cfp_") || line.starts_with("process_");
    assert!(names.clone().count() > 10 && names.into_iter().all(is_known), "{lines:#?}");
}

#[test]
fn a_command_that_is_none_is_an_error_and_the_next_one_is_read() {
    let node = Node::start(7, &[]);
    for wrong in ["", "statusse", "status now", "STATUS"] {
        let answer = node.ask(wrong);
        assert!(answer.len() == 1 && answer[0].starts_with("error unknown command"), "{answer:?}");
    }
    assert_eq!(node.ask("forget seven"), ["error expected forget ID or forget HOST:PORT"]);
    let mut operator = UnixStream::connect(node.control()).unwrap();
    operator.set_read_timeout(Some(PATIENCE)).unwrap();
    operator.write_all(b"nonsense\nsibl").unwrap();
    operator.write_all(b"ings\r\nkick x\n").unwrap();
    operator.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    operator.read_to_string(&mut answer).unwrap();
    let lines: Vec<&str> = answer.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("error ") && lines[1..] == ["ok", "error no such client"],
        "{answer}"
    );
}

#[test]
fn a_line_without_an_end_is_cut_off() {
    let node = Node::start(7, &[]);
    let mut operator = UnixStream::connect(node.control()).unwrap();
    operator.set_read_timeout(Some(PATIENCE)).unwrap();
    operator.write_all(&[b'x'; 5000]).unwrap();
    let mut answer = String::new();
    operator.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "error the line is too long\n");
}

#[test]
fn ask_prints_the_metrics_and_nothing_else() {
    let node = Node::start(7, &[]);
    let output = run_ask(node.control(), "metrics");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for line in text.lines() {
        assert!(line.starts_with("# ") || line.starts_with("cfp_") || line.starts_with("process_"), "{line}");
    }
    assert!(text.contains("# TYPE cfp_clients gauge\ncfp_clients 0\n"), "{text}");
}

#[test]
fn a_client_is_no_operator() {
    let node = Node::start(7, &[]);
    let mut client = Client::connect(node.address);
    client.send_bytes(b"shutdown\n");
    node.guest("ana").expect_nothing_but_itself("ana");
}
