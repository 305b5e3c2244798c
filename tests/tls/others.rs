//! Other makes of TLS: openssl, GnuTLS, Python, stunnel.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::certificates::{Folder, slices};
use crate::node::{Node, fresh_address, wait_until};
use crate::program::{self, Program};
use crate::{failures, node};

/// Runs a program with this input; it ends when that is over.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// What the server answers to a login and `hi`.
const ANSWER: &[u8] = b"\x10\0\x30\0\0\0\x07\0\0\0\x03ana\0\0\0\x02hi";

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn openssl_with_each_kind_of_key() {
    let folder = Folder::empty();
    let subject = "-nodes -days 9 -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    for (name, kind) in [("p256", "ec -pkeyopt ec_paramgen_curve:P-256"), ("ed25519", "ed25519"), ("rsa", "rsa:2048")] {
        folder.openssl(&format!("req -x509 -newkey {kind} {subject} -keyout {name}.key -out {name}.pem"));
        let node = Node::start(7, &slices(&folder.options(name)));
        let (place, ca) = (node.place(), folder.path(&format!("{name}.pem")));
        // It stays until the server closes, which it does when the input is over.
        let arguments =
            ["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-CAfile", &ca, "-connect", &place];
        let script = format!(
            "(printf '\\0\\0\\0\\0\\003ana\\040\\0\\0\\0\\002hi'; sleep 1) | openssl {} 2>/dev/null",
            arguments.join(" ")
        );
        let output = run("sh", &["-c", &script], b"");
        assert_eq!(output.stdout, ANSWER, "{name}");
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn older_versions_and_other_protocols_are_refused_with_an_alert() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let place = node.place();
    for old in ["-tls1_2", "-tls1_1", "-tls1"] {
        let output = run("openssl", &["s_client", old, "-cipher", "ALL:@SECLEVEL=0", "-connect", &place], b"");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("alert protocol version") || text.contains("alert handshake failure"), "{old}: {text}");
    }
    wait_until(|| failures(&node, "protocol") == 3, || node.ask("metrics").join("\n"));
    wait_until(|| node.server.count_in_log("INFO ] TLS from ") == 3, || "one line for each".to_owned());
    let with_alpn = |names| {
        // Its input is over when the handshake is, too.
        let output = run("sh", &["-c", &format!("sleep 1 | openssl s_client {names} -connect {place}")], b"");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let text = with_alpn("-alpn h2,http/1.1");
    assert!(text.contains("alert no application protocol"), "{text}");
    assert!(with_alpn("-alpn h2,cfp").contains("ALPN protocol: cfp"));
    let text = with_alpn("");
    assert!(text.contains("No ALPN negotiated"), "{text}");
    // There are no tickets to come back with, and no early data.
    assert!(text.contains("TLSv1.3") && !text.contains("Resumption PSK") && !text.contains("early data was accepted"));
}

#[test]
#[ignore = "needs openssl and testssl: .ci/run runs it"]
fn testssl_finds_nothing_that_is_worse_than_low() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let (findings, place) = (folder.path("findings.json"), node.place());
    // Protocols, kinds of ciphers, forward secrecy, the server's preferences, vulnerabilities. The certificate is one
    // for trying, which nobody vouches for.
    let options = ["--quiet", "--warnings", "batch", "--openssl-timeout", "5", "--jsonfile", &findings];
    let output = run("testssl", &[&options[..], &["-p", "-s", "-f", "-P", "-U", &place]].concat(), b"");
    let text = std::fs::read_to_string(&findings).unwrap_or_default();
    let found: Vec<&str> = text.split("\"id\"").skip(1).collect();
    let said = String::from_utf8_lossy(&output.stdout);
    let has = |id: &str| found.iter().any(|finding| finding.contains(id) && finding.contains("\"OK\""));
    assert!(has("TLS1_3") && has("heartbleed") && has("secure_client_renego"), "{said}");
    for severity in ["MEDIUM", "HIGH", "CRITICAL"] {
        let bad: Vec<_> = found.iter().filter(|finding| finding.contains(&format!("\"{severity}\""))).collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_key_update_of_openssl_is_answered_and_renegotiation_means_nothing() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let place = node.place();
    // `K` asks for a key update on a line of its own; in TLS 1.3 `R` means nothing.
    let script = format!(
        "(printf '\\0\\0\\0\\0\\003ana'; sleep 0.3; printf '\\nK\\n'; sleep 0.3; printf '\\nR\\n'; sleep 0.3) | \
         openssl s_client -nocommands -quiet -no_ign_eof -connect {place} 2>/dev/null"
    );
    let output = run("sh", &["-c", &script], b"");
    assert_eq!(output.stdout, [0x10, 0]);
}

#[test]
#[ignore = "needs openssl and gnutls-cli: .ci/run runs it"]
fn gnutls() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let script = format!(
        "(printf '\\0\\0\\0\\0\\003ana\\040\\0\\0\\0\\002hi'; sleep 1) | gnutls-cli --logfile=/dev/null \
         --x509cafile={} --verify-hostname=localhost --port {} {} 2>/dev/null",
        folder.path("cert.pem"),
        node.address.port(),
        node.address.ip(),
    );
    let output = run("sh", &["-c", &script], b"");
    assert_eq!(output.stdout, ANSWER, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs openssl and python3: .ci/run runs it"]
fn python() {
    let folder = Folder::new();
    let node = node(&folder, &[]);
    let program = format!(
        r#"
import socket, ssl
context = ssl.create_default_context(cafile={:?})
raw = socket.create_connection(({:?}, {}))
stream = context.wrap_socket(raw, server_hostname="localhost")
stream.sendall(b"\0\0\0\0\3ana\x20\0\0\0\2hi")
got = b""
while len(got) < 20:
    got += stream.recv(100)
assert got == b"\x10\0\x30\0\0\0\7\0\0\0\3ana\0\0\0\2hi", got
version = stream.version()
# Both sides say the end.
stream.unwrap()
print(version)
"#,
        folder.path("cert.pem"),
        node.address.ip().to_string(),
        node.address.port()
    );
    let output = run("python3", &["-c", &program], b"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "TLSv1.3\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs openssl and stunnel: .ci/run runs it"]
fn stunnel_in_front_says_from_where_clients_come() {
    let folder = Folder::new();
    let (node, proxy) = (Node::start(7, &["--proxy-from", "127.0.0.1"]), fresh_address());
    let config = format!(
        "foreground = yes\nsyslog = no\npid =\n[cfp]\naccept = {proxy}\nconnect = {}\nprotocol = proxy\ncert = {}\nkey = {}\n",
        node.address,
        folder.path("cert.pem"),
        folder.path("key.pem")
    );
    let file = program::file("stunnel.conf", &config);
    let _stunnel = Program::start("stunnel", &[file.to_str().unwrap()], proxy);
    let mut client = crate::certificates::connect_from([127, 0, 0, 77].into(), proxy, &folder.path("cert.pem"));
    client.log_in_as_guest("ana");
    assert!(node.ask("clients")[0].contains("\t127.0.0.77:"), "{:?}", node.ask("clients"));
}

#[test]
#[ignore = "needs openssl and haproxy: .ci/run runs it"]
fn haproxy_in_front_of_tls() {
    let folder = Folder::new();
    for version in ["send-proxy", "send-proxy-v2"] {
        let (node, proxy) = (node(&folder, &["--proxy-from", "127.0.0.1", "--require-tls"]), fresh_address());
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
             listen cfp\n bind {proxy}\n server cfp {} {version}\n",
            node.address
        );
        let file = program::file("haproxy.cfg", &config);
        let _haproxy = Program::start("haproxy", &["-db", "-f", file.to_str().unwrap()], proxy);
        let mut client = crate::certificates::connect_from([127, 0, 0, 77].into(), proxy, &folder.path("cert.pem"));
        client.log_in_as_guest("ana");
        assert!(node.ask("clients")[0].contains("\t127.0.0.77:"), "{:?}", node.ask("clients"));
        assert_eq!(node.metric("cfp_tls_connections"), 1);
    }
}
