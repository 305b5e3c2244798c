//! The conformance kit: everything holds for our own server and client, and each case finds a mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "conform/client_mistakes.rs"]
mod client_mistakes;
#[allow(dead_code, reason = "only its addresses are needed")]
#[path = "support/node.rs"]
mod node;
#[path = "conform/output.rs"]
mod output;
#[path = "conform/proxy.rs"]
mod proxy;
#[path = "conform/routed_mistakes.rs"]
mod routed_mistakes;
#[path = "conform/server_mistakes.rs"]
mod server_mistakes;
mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use cfp::conform::{Fault, client_cases, run, server_cases};
use proxy::{Proxy, Rule, faithful};
use serde_json::Value;
use support::Server;
use support::server::BINARY;
use support::users::UsersFile;

/// Runs the kit within this process; returns whether nothing failed, and its JSON.
fn kit(arguments: &[&str]) -> (bool, Value) {
    let arguments = ["--json"].iter().chain(arguments).map(OsString::from);
    let mut out = Vec::new();
    let is_fine = match run(arguments, &mut out) {
        Ok(is_fine) => is_fine,
        Err(Fault::Usage(text) | Fault::Run(text)) => panic!("{text}"),
    };
    (is_fine, serde_json::from_slice(&out).unwrap())
}

/// A server with a registered user, and a second one that is merged with it.
struct Servers {
    first: Server,
    second: Option<Server>,
    _users: UsersFile,
}

impl Servers {
    fn start(has_second: bool) -> Servers {
        Servers::start_as(has_second, &[])
    }

    fn start_as(has_second: bool, more: &[&str]) -> Servers {
        let users = UsersFile::new(&[("maria", "open sesame")]);
        let first = Server::start(&[&["--users", users.path()], more].concat());
        let second = has_second.then(|| {
            let mut command = Command::new(BINARY);
            command.args(["--id", "8", "--listen", "127.0.0.1:0", "--merge", &first.address().to_string()]).args(more);
            let second = Server::spawn(command);
            first.wait_for_log("server 8");
            second.wait_for_log("server 7");
            second
        });
        Servers { first, second, _users: users }
    }

    /// Runs the kit against the first server, over a proxy or not.
    fn check(&self, address: SocketAddr, more: &[&str]) -> (bool, Value) {
        let address = address.to_string();
        let mut arguments = vec![&*address, "--id", "7", "--port", "0", "--user", "maria", "--password", "open sesame"];
        let second = self.second.as_ref().map(|second| second.address().to_string());
        if let Some(second) = &second {
            arguments.extend(["--second", second, "--second-id", "8"]);
        }
        arguments.extend(more);
        kit(&arguments)
    }
}

fn cases(result: &Value) -> &Vec<Value> {
    result["cases"].as_array().unwrap()
}

/// The cases that did not come out so.
fn others(result: &Value, verdict: &str) -> Vec<String> {
    let others = cases(result).iter().filter(|case| case["verdict"] != verdict);
    others.map(Value::to_string).collect()
}

/// Those that only --slow runs.
const SLOW: [&str; 2] = ["D3.3", "D8.5"];

/// Why a case is not run for a server that is not routed, or is.
const NEEDS_ROUTED: &str = "needs --routed";
const NEEDS_DENSE: &str = "is for a dense server";

/// But for those that are skipped for this reason.
fn assert_all_hold(result: &Value, expected: usize, why: &str) {
    let others = others(result, "ok");
    let is_slow = |other: &String| SLOW.iter().any(|id| other.contains(&format!("\"id\":\"{id}\"")));
    let is_skipped = |other: &String| other.contains(&format!("\"why\":\"{why}"));
    let unexpected: Vec<&String> = others.iter().filter(|other| !is_slow(other) && !is_skipped(other)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert_eq!(cases(result).len(), expected);
}

#[test]
fn everything_holds_for_our_server_directly_and_over_a_faithful_proxy() {
    let servers = Servers::start(true);
    for address in [servers.first.address(), Proxy::start(servers.first.address(), faithful()).address()] {
        let (is_fine, result) = servers.check(address, &["--patience", "60"]);
        assert_all_hold(&result, server_cases().len(), NEEDS_ROUTED);
        assert!(is_fine);
    }
}

#[test]
fn everything_that_is_for_a_routed_server_holds_for_ours() {
    let servers = Servers::start_as(true, &["--routed"]);
    let proxy = Proxy::start_routed(servers.first.address(), faithful());
    for address in [servers.first.address(), proxy.address()] {
        let (is_fine, result) = servers.check(address, &["--routed", "--patience", "60"]);
        assert_all_hold(&result, server_cases().len(), NEEDS_DENSE);
        assert!(is_fine);
        // What a client sees is the same on both kinds.
        let is_for_clients = |case: &&Value| case["verdict"] == "ok" && !case["id"].as_str().unwrap().starts_with('D');
        let (count, all) = (cases(&result).iter().filter(is_for_clients).count(), cases(&result).len());
        assert!(count > all / 4, "{count} of {all}");
    }
}

#[test]
fn each_case_of_a_routed_server_finds_a_server_with_that_mistake() {
    for_each(routed_mistakes::mistakes(), |(id, mistake)| {
        let servers = Servers::start_as(false, &["--routed"]);
        let proxy = Proxy::start_routed(servers.first.address(), mistake);
        let (is_fine, result) = servers.check(proxy.address(), &["--routed", "--case", id]);
        finds(id, &result, is_fine)
    });
}

#[test]
#[ignore = "takes more than a minute"]
fn what_takes_a_minute_holds_for_our_server() {
    let servers = Servers::start(false);
    let only = ["--slow", "--patience", "60", "--case", SLOW[0], "--case", SLOW[1]];
    let (_, result) = servers.check(servers.first.address(), &only);
    assert_eq!(others(&result, "ok"), Vec::<String>::new());
}

/// Does the work for each item, a few at a time. All must succeed.
fn for_each<T: Send>(items: Vec<T>, work: impl Fn(T) -> Result<(), String> + Sync) {
    let (items, failed) = (Mutex::new(items), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(item) = items.lock().unwrap().pop() else { break };
                    if let Err(why) = work(item) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The case must find the mistake, which is the same as to say that something else is seen than is expected.
fn finds(id: &str, result: &Value, is_fine: bool) -> Result<(), String> {
    let expected = if cfp::conform::is_decision(id) { "note" } else { "FAIL" };
    let [case] = cases(result).as_slice() else { panic!("one case: {result}") };
    // To be read with --nocapture: whether it is found for the right reason.
    println!(
        "{id}: {}\n  expected {}\n  seen     {}\n  {}",
        case["claim"], case["expected"], case["seen"], case["hint"]
    );
    let is_found = case["verdict"] == expected && case["expected"] != case["seen"];
    if is_found && is_fine == (expected == "note") { Ok(()) } else { Err(format!("{id} is not found: {case:#}")) }
}

fn ids<'a>(cases: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    cases.into_iter().collect()
}

#[test]
fn each_case_of_a_server_finds_a_server_with_that_mistake() {
    let mistakes: Vec<(&str, Rule)> =
        server_mistakes::mistakes().into_iter().chain(server_mistakes::of_decisions()).collect();
    let (known, routed) = (server_cases(), routed_mistakes::mistakes());
    let all = mistakes.iter().chain(&routed).map(|(id, _)| *id);
    assert_eq!(ids(all), ids(known.iter().map(|(id, _)| *id)));
    for_each(mistakes, |(id, mistake)| {
        let servers = Servers::start(server_mistakes::needs_second(id));
        let proxy = Proxy::start(servers.first.address(), mistake);
        let (is_fine, result) = servers.check(proxy.address(), &["--slow", "--case", id]);
        finds(id, &result, is_fine)
    });
}

/// A folder of its own, with one for downloads in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cfp-conform-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir_all(folder.0.join("in")).unwrap();
        folder
    }

    fn download(&self) -> PathBuf {
        self.0.join("in")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the kit with our client, which connects over a proxy.
fn check_client(mistake: Rule, folder: &Folder, more: &[&str]) -> (bool, Value) {
    let (client, listen) = (env!("CARGO_BIN_EXE_cfp-client"), node::fresh_address());
    let proxy = Proxy::start(listen, mistake);
    let (listen, proxy) = (listen.to_string(), proxy.address());
    let password = folder.0.join("password").display().to_string();
    let run = format!("exec {client} {proxy} {{nickname}} --accept-all --download {{download}}");
    let run_user = format!("echo {{password}} > {password}; exec {client} {proxy} {{nickname}} -p {password}");
    let download = folder.download().display().to_string();
    let arguments = ["--client", "--listen", &listen, "--run", &run, "--run-user", &run_user, "--download", &download];
    let typed = ["--tell", "/msg {receiver}@{server} {text}", "--send", "/file {receiver}@{server} {path}"];
    kit(&[&arguments[..], &typed, &["--leave", "/quit"], more].concat())
}

#[test]
fn everything_holds_for_our_client() {
    let (is_fine, result) = check_client(faithful(), &Folder::new(), &["--patience", "60"]);
    assert_all_hold(&result, client_cases().len(), NEEDS_ROUTED);
    assert!(is_fine);
}

#[test]
fn each_case_of_a_client_finds_a_client_with_that_mistake() {
    let known = client_cases();
    let table = client_mistakes::mistakes(&Folder::new().download());
    assert_eq!(ids(table.iter().map(|(id, _)| *id)), ids(known.iter().map(|(id, _)| *id)));
    for_each(known, |(id, _)| {
        let folder = Folder::new();
        let (_, mistake) =
            client_mistakes::mistakes(&folder.download()).into_iter().find(|(known, _)| *known == id).unwrap();
        let (is_fine, result) = check_client(mistake, &folder, &["--case", id]);
        finds(id, &result, is_fine)
    });
}
