//! Links between servers that are known by their certificates (D44, D45).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::certificates::{Folder, slices};
use crate::failures;
use crate::node::{Node, fresh_address, wait_until};
use crate::support::Client;

/// A request to merge, as server 8.
const REQUEST: &str = "\\240\\0\\0\\0\\010\\0\\0\\0\\0";

fn peer(folder: &Folder, id: u32, more: &[&str]) -> Node {
    Node::start(id, &[slices(&folder.peer_options(id)), more.to_vec()].concat())
}

/// Asks to merge as server 8, with this certificate; what comes back.
fn ask_to_merge(node: &Node, folder: &Folder, certificate: &str) -> Vec<u8> {
    let identity = match certificate {
        "" => String::new(),
        name => format!("-cert {} -key {}", folder.path(&format!("{name}.pem")), folder.path(&format!("{name}.key"))),
    };
    let script = format!(
        "(printf '{REQUEST}'; sleep 1) | openssl s_client -quiet -no_ign_eof {identity} -connect {} 2>/dev/null",
        node.address
    );
    Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap().stdout
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn servers_of_one_ca_merge_over_tls_and_say_so() {
    let folder = Folder::with_peers(&[1, 2, 3]);
    let [one, two, three] = [1, 2, 3].map(|id| peer(&folder, id, &["--require-tls"]));
    one.merge(&two);
    two.merge(&three);
    for node in [&one, &two, &three] {
        wait_until(|| node.metric("cfp_links_tls") == 2, || node.ask("siblings").join("\n"));
    }
    let [mut ana, mut bob] = [(&one, "ana"), (&three, "bob")].map(|(node, nickname)| {
        let mut client = crate::certificates::connect(node.address, &folder.path("peer-ca.pem"));
        client.log_in_as_guest(nickname);
        client
    });
    ana.say("over TLS");
    ana.receive();
    let message = bob.receive();
    assert!(message.ends_with(b"over TLS"), "{message:?}");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn only_a_certificate_of_the_ca_that_names_the_server_lets_it_merge_and_each_fault_has_its_name() {
    let (folder, other) = (Folder::with_peers(&[7, 8, 9]), Folder::with_peers(&[8]));
    std::fs::copy(other.path("cfp-8.pem"), folder.path("strange.pem")).unwrap();
    std::fs::copy(other.path("cfp-8.key"), folder.path("strange.key")).unwrap();
    folder.openssl(
        "req -x509 -newkey ed25519 -nodes -days 9 -subj /CN=cfp-8 -addext subjectAltName=DNS:cfp-8 -keyout own.key -out own.pem",
    );
    sign(&folder, "old", "-not_before 20200101000000Z -not_after 20210101000000Z", "serverAuth,clientAuth");
    sign(&folder, "young", "-not_before 20900101000000Z -not_after 20910101000000Z", "serverAuth,clientAuth");
    sign(&folder, "server", "-days 9", "serverAuth");
    let node = peer(&folder, 7, &["--require-tls"]);
    for (certificate, reason, words) in [
        ("strange", "unknown_ca", "its CA did not sign it"),
        ("own", "unknown_ca", "signs itself"),
        ("old", "expired", "expired"),
        ("young", "expired", "not valid yet"),
        ("server", "wrong_use", "extended key usage"),
    ] {
        let before = failures(&node, reason);
        assert_eq!(ask_to_merge(&node, &folder, certificate), b"", "{certificate}");
        assert_eq!(failures(&node, reason), before + 1, "{certificate}: {}", node.ask("metrics").join("\n"));
        node.server.wait_for_log(words);
    }
    // The right CA and another ID; no certificate at all, even from loopback.
    for certificate in ["cfp-9", ""] {
        assert_eq!(ask_to_merge(&node, &folder, certificate), b"", "{certificate}");
    }
    node.server.wait_for_log("no certificate that names the server that it says it is");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"not_the_server\"}"), 2);
    assert_eq!(node.ask("siblings"), ["ok"]);
    assert_eq!(ask_to_merge(&node, &folder, "cfp-8").first(), Some(&0xA1));
}

/// A certificate for server 8 from the folder's CA.
fn sign(folder: &Folder, name: &str, time: &str, uses: &str) {
    folder.write("extensions", &format!("subjectAltName=DNS:cfp-8\nextendedKeyUsage={uses}\n"));
    folder.openssl(&format!("req -new -newkey ed25519 -nodes -subj /CN=cfp-8 -keyout {name}.key -out {name}.csr"));
    if time.starts_with("-days") {
        folder.openssl(&format!(
            "x509 -req -in {name}.csr -CA peer-ca.pem -CAkey peer-ca.key -set_serial 7 {time} -extfile extensions -out {name}.pem"
        ));
        return;
    }
    let times: Vec<&str> = time.split(' ').collect();
    folder.write("index", "");
    folder.write("serial", "07\n");
    folder.write(
        "ca.cnf",
        &format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={}\nserial={}\nnew_certs_dir={}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n",
            folder.path("index"),
            folder.path("serial"),
            folder.path(".")
        ),
    );
    folder.openssl(&format!(
        "ca -batch -notext -config ca.cnf -cert peer-ca.pem -keyfile peer-ca.key -startdate {} -enddate {} -extfile extensions -in {name}.csr -out {name}.pem",
        times[1], times[3]
    ));
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn without_require_tls_addresses_go_on_to_permit_but_a_certificate_must_be_the_right_one() {
    let folder = Folder::with_peers(&[7, 8, 9]);
    let node = peer(&folder, 7, &[]);
    assert_eq!(ask_to_merge(&node, &folder, "cfp-9"), b"");
    // A server that has no certificate yet dials plain, while the network changes over.
    let plain = Node::start(6, &[]);
    plain.merge(&node);
    wait_until(|| node.status("siblings") == "1", || "it is linked".to_owned());
    assert_eq!(node.metric("cfp_links_tls"), 0);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_certificate_permits_from_anywhere_also_through_a_proxy() {
    let folder = Folder::with_peers(&[7, 8]);
    let node = peer(&folder, 7, &["--proxy-from", "127.0.0.9"]);
    let raw = Client::connect_from([127, 0, 0, 9].into(), node.address).into_stream();
    (&raw).write_all(b"PROXY TCP4 192.0.2.1 192.0.2.7 4000 7777\r\n").unwrap();
    let files = cfp::tls::Files {
        certificate: folder.path("cfp-8.pem").into(),
        key: folder.path("cfp-8.key").into(),
        peer_ca: Some(folder.path("peer-ca.pem").into()),
        id: cfp::wire::ServerId(8),
        is_required: false,
    };
    let (tls, _) = cfp::tls::Tls::open(files).unwrap();
    let stream = cfp::tls::TlsStream::with_cipher(
        raw,
        tls.dial(Some(cfp::wire::ServerId(7))).unwrap(),
        std::time::Instant::now() + crate::support::PATIENCE,
    )
    .unwrap();
    (&stream).write_all(b"\xa0\0\0\0\x08\0\0\0\0").unwrap();
    let mut answer = [0; 1];
    stream.tcp().set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    (&stream).read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0xA1]);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_server_with_a_ca_never_dials_plain() {
    let folder = Folder::with_peers(&[7, 8]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let node = peer(&folder, 7, &["--merge", &place]);
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first, [0x16], "it is a handshake");
        // An answer in clear is none.
        let _ = stream.write_all(b"\xa1\0\0\0\x08\0\0\0\0");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(node.status("siblings"), "0");
    node.server.wait_for_log("TLS to 127.0.0.1:");
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_server_that_comes_back_without_tls_is_not_linked_again() {
    let folder = Folder::with_peers(&[7, 8]);
    let address = fresh_address();
    let one = peer(&folder, 7, &["--require-tls"]);
    let two = Node::start_at(8, address, &slices(&folder.peer_options(8)));
    one.merge(&two);
    drop(two);
    wait_until(|| one.status("siblings") == "0", || "it is lost".to_owned());
    let two = Node::start_at(8, address, &["--merge", &one.place()]);
    two.server.wait_for_log("cannot merge with");
    one.server.wait_for_log("no TLS, which --require-tls asks for");
    assert_eq!((one.status("siblings"), two.status("siblings")), ("0".to_owned(), "0".to_owned()));
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_server_dialled_by_id_must_be_that_server() {
    let folder = Folder::with_peers(&[7, 8, 9]);
    let address = fresh_address();
    let one = peer(&folder, 7, &[]);
    let two = Node::start_at(8, address, &slices(&folder.peer_options(8)));
    one.merge(&two);
    drop(two);
    // Another server of the same network at its address.
    let nine = Node::start_at(9, address, &slices(&folder.peer_options(9)));
    wait_until(|| failures(&one, "wrong_name") > 0, || one.ask("siblings").join("\n"));
    drop(nine);
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn mistakes_with_the_ca_are_said_at_the_start() {
    let (folder, other) = (Folder::with_peers(&[7, 8]), Folder::with_peers(&[7]));
    sign(&folder, "server", "-days 9", "serverAuth");
    let start = |id: &str, name: &str, ca: &str| {
        let (cert, key) = (folder.path(&format!("{name}.pem")), folder.path(&format!("{name}.key")));
        let arguments =
            ["--id", id, "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key, "--peer-ca", ca];
        let output = Command::new(crate::support::server::BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let ca = folder.path("peer-ca.pem");
    assert!(
        start("8", "cfp-7", &ca)
            .contains("does not name this server: among its alternative names must be the DNS name cfp-8")
    );
    assert!(start("7", "cfp-7", &other.path("peer-ca.pem")).contains("is not from the CA in"));
    assert!(start("8", "server", &ca).contains("lacks the use clientAuth"));
    assert!(start("7", "cfp-7", &folder.path("none.pem")).contains("none.pem"));
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn a_new_ca_counts_at_once_for_new_links() {
    let (folder, other) = (Folder::with_peers(&[7, 8]), Folder::with_peers(&[7, 8]));
    let node = peer(&folder, 7, &["--require-tls"]);
    assert_eq!(ask_to_merge(&node, &other, "cfp-8"), b"");
    for file in ["peer-ca.pem", "cfp-7.pem", "cfp-7.key"] {
        std::fs::copy(other.path(file), folder.path(file)).unwrap();
    }
    assert_eq!(node.ask("reload")[1], "ok");
    assert_eq!(ask_to_merge(&node, &other, "cfp-8").first(), Some(&0xA1));
}
