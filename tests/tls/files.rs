//! The operator's files: each mistake is one line, and a reload disturbs no connection.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use cfp::tls::Trust;

use crate::certificates::{Folder, connect, shake_hands, slices};
use crate::node;
use crate::support::Client;
use crate::support::server::BINARY;

/// Runs to the end: exit status, and what it says.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(BINARY).args(["--id", "7", "--listen", "127.0.0.1:0"]).args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn cannot_start(arguments: &[&str], parts: &[&str]) {
    for arguments in [arguments.to_vec(), [arguments, &["--check"]].concat()] {
        let (status, text) = run(&arguments);
        assert_eq!((status, text.lines().count()), (1, 1), "{arguments:?}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    }
}

#[test]
fn options_that_need_one_another_are_asked_for() {
    for (arguments, part) in [
        (&["--tls-cert", "c.pem"][..], "--tls-cert needs --tls-key FILE"),
        (&["--tls-key", "k.pem"], "--tls-key needs --tls-cert FILE"),
        (&["--require-tls"], "--require-tls needs --tls-cert FILE"),
        (&["--peer-ca", "ca.pem"], "--peer-ca needs --tls-cert FILE"),
    ] {
        let (status, text) = run(arguments);
        assert_eq!(status, 2, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_file_that_is_not_right_is_named_with_what_is_wrong() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let with = |cert: &str, key: &str, parts: &[&str]| cannot_start(&["--tls-cert", cert, "--tls-key", key], parts);
    folder.write("empty.pem", "");
    with(&folder.path("none.pem"), &key, &["none.pem", "No such file"]);
    with(&folder.path("empty.pem"), &key, &["empty.pem", "there is none in it"]);
    with(&cert, &folder.path("empty.pem"), &["empty.pem", "no private key"]);
    with(&cert, &other.path("key.pem"), &["key.pem", "does not belong to"]);
    folder.openssl("ec -in key.pem -aes256 -passout pass:secret -out locked.pem");
    with(&cert, &folder.path("locked.pem"), &["locked.pem", "not encrypted with a password"]);
    // The server's own certificate has to come first.
    let chain = |first: &Folder, second: &Folder| {
        let read = |folder: &Folder| std::fs::read_to_string(folder.path("cert.pem")).unwrap();
        read(first) + &read(second)
    };
    folder.write("wrong-order.pem", &chain(&other, &folder));
    with(&folder.path("wrong-order.pem"), &key, &["wrong-order.pem", "put that first"]);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn what_is_only_worth_a_warning_is_warned_of() {
    let folder = Folder::with_peers(&[7]);
    let node = node::Node::start(7, &slices(&folder.options("cfp-7")));
    node.server.wait_for_log("fullchain.pem");
    let short = Folder::empty();
    short.openssl("req -x509 -newkey ed25519 -nodes -days 3 -subj /CN=x -keyout short.key -out short.pem");
    Command::new("chmod").args(["644", &short.path("short.key")]).status().unwrap();
    let node = node::Node::start(7, &slices(&short.options("short")));
    node.server.wait_for_log("everybody on this machine can read it");
    node.server.wait_for_log("the certificate ends in ");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_reload_gives_newcomers_the_new_certificate_and_disturbs_nobody() {
    let folder = Folder::new();
    let node = crate::node(&folder, &[]);
    let old_ca = folder.path("old.pem");
    std::fs::copy(folder.path("cert.pem"), &old_ca).unwrap();
    let mut ana = connect(node.address, &old_ca);
    ana.log_in_as_guest("ana");

    folder.script("make-certificate.sh", &[]);
    let answer = node.ask("reload");
    assert!(answer[0].starts_with("certificate for localhost, until "), "{answer:?}");
    assert_eq!(answer[1], "ok");
    ana.say("still here");
    ana.expect_public("ana", "still here");
    let raw = || Client::connect(node.address).into_stream();
    assert!(shake_hands(raw(), &Trust::File(old_ca.clone().into())).is_err());
    connect(node.address, &folder.path("cert.pem")).log_in_as_guest("bob");

    // A broken file changes nothing, and the log names its mistake.
    let good = std::fs::read(folder.path("key.pem")).unwrap();
    folder.write("key.pem", "nothing");
    let answer = node.ask("reload");
    assert!(answer[0].starts_with("error key ") && answer[0].contains("read before stay in force"), "{answer:?}");
    node.server.wait_for_log("there is no private key in it");
    connect(node.address, &folder.path("cert.pem")).log_in_as_guest("carla");
    std::fs::write(folder.path("key.pem"), good).unwrap();
    assert_eq!(node.ask("reload")[1], "ok");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn reloads_beside_people_who_talk_close_nobody() {
    let folder = Folder::new();
    let node = crate::node(&folder, &[]);
    let is_over = AtomicBool::new(false);
    let first_ca = std::fs::read(folder.path("cert.pem")).unwrap();
    folder.write("first.pem", &String::from_utf8(first_ca).unwrap());
    let clients: Vec<Client> = (0..4).map(|_| connect(node.address, &folder.path("first.pem"))).collect();
    let rounds: Vec<u64> = std::thread::scope(|scope| {
        let talkers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(index, mut client)| {
                scope.spawn({
                    let is_over = &is_over;
                    move || {
                        let nickname = format!("talker{index}");
                        client.log_in_as_guest(&nickname);
                        let mut round = 0;
                        while !is_over.load(Ordering::Relaxed) {
                            let text = format!("{round} {}", "x".repeat(round as usize % 3000));
                            client.tell(&nickname, &text);
                            client.expect_private(&nickname, &nickname, &text);
                            round += 1;
                        }
                        client.expect_nothing_but_itself(&nickname);
                        round
                    }
                })
            })
            .collect();
        for round in 0..10 {
            folder.script("make-certificate.sh", &[]);
            assert_eq!(node.ask("reload")[1], "ok");
            connect(node.address, &folder.path("cert.pem")).log_in_as_guest(&format!("newcomer{round}"));
        }
        is_over.store(true, Ordering::Relaxed);
        talkers.into_iter().map(|talker| talker.join().unwrap()).collect()
    });
    assert!(rounds.iter().all(|&round| round > 10), "{rounds:?}");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"tls_failed\"}"), 0);
}
