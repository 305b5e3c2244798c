//! The console client with TLS: which certificates it trusts, and that it never speaks without TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::certificates::Folder;
use crate::node;
use crate::node::Node;

/// Says one line and leaves.
fn say(place: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([place, "ana", "--no-files"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"hi there\n");
    child.wait_with_output().unwrap()
}

fn fails(place: &str, arguments: &[&str], part: &str) {
    let output = say(place, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(part), "{arguments:?}: {text}");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn it_talks_to_a_server_that_its_ca_its_fingerprint_or_its_name_vouches_for() {
    let folder = Folder::new();
    let node = node(&folder, &["--require-tls"]);
    let (place, ca) = (node.place(), folder.path("cert.pem"));
    let line = node.server.wait_for_log("sha256 ");
    let fingerprint = line.rsplit(' ').next().unwrap().to_owned();
    for arguments in [
        &["--tls", "--ca", &ca, "--tls-name", "localhost"][..],
        &["--tls", "--fingerprint", &fingerprint],
        &["--tls", "--fingerprint", &fingerprint.to_uppercase()],
    ] {
        let output = say(&place, arguments);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && out.contains("[7] ana: hi there"), "{arguments:?}: {out}{err}");
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn it_says_why_it_does_not_talk_to_others() {
    let (folder, other) = (Folder::new(), Folder::new());
    let node = node(&folder, &[]);
    let (place, ca, wrong) = (node.place(), folder.path("cert.pem"), other.path("cert.pem"));
    fails(&place, &["--tls", "--ca", &wrong, "--tls-name", "localhost"], "invalid peer certificate");
    fails(&place, &["--tls"], "invalid peer certificate");
    fails(&place, &["--tls", "--fingerprint", &"ab".repeat(32)], "not the certificate with that fingerprint");
    // The address in HOST:PORT is not among the certificate's names.
    fails(&place, &["--tls", "--ca", &ca], "not valid for");
    fails(&place, &["--tls", "--ca", &folder.path("none.pem")], "none.pem");
    // The server learns it, too, by an alert. With a file that is not there, no server is asked.
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"tls_failed\"}"), 4);
}

#[test]
fn it_sends_nothing_to_a_server_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = vec![0; 4096];
        let count = stream.read(&mut got).unwrap();
        got.truncate(count);
        // As if it let us in.
        let _ = stream.write_all(&[0x10, 0]);
        let _ = stream.read_to_end(&mut got);
        got
    });
    let password = crate::program::file("password", "secret-word\n");
    fails(&place, &["--tls", "--password-file", password.to_str().unwrap()], "cannot connect to");
    let got = server.join().unwrap();
    assert_eq!(got[0], 0x16);
    assert!(!got.windows(11).any(|window| window == b"secret-word") && !got.windows(3).any(|window| window == b"ana"));
    // The real server says nothing at all.
    let plain = Node::start(7, &["--handshake-timeout", "1"]);
    fails(&plain.place(), &["--tls"], "no answer in TLS");
    plain.server.wait_for_log("a TLS client came to a server without a certificate");
}
