//! Connections through a proxy that names the client's address (D46, D47).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::net::Ipv4Addr;

use cfp::wire::Packet;
use node::{Node, wait_until};
use support::Client;
use support::client::encoded;

/// The addresses of the tests' proxies.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

fn node(arguments: &[&str]) -> Node {
    Node::start(7, &[&["--proxy-from", "127.0.0.9"], arguments].concat())
}

/// A connection through a proxy that has said nothing yet.
fn through_proxy(node: &Node) -> Client {
    Client::connect_from(PROXY, node.address)
}

fn version_1(source: &str) -> Vec<u8> {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let destination = if source.contains(':') { "2001:db8::7" } else { "192.0.2.7" };
    format!("PROXY {family} {source} {destination} 4000 7777\r\n").into_bytes()
}

fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len, rest].concat()
}

/// Address of the only client, as the operator sees it.
fn address_of_client(node: &Node) -> String {
    wait_until(|| node.ask("clients").len() == 2, || "the client is in".to_owned());
    node.ask("clients")[0].split('\t').nth(2).unwrap().to_owned()
}

#[test]
fn a_client_has_the_address_that_the_proxy_names() {
    let node = node(&[]);
    let four = b"\xc0\x00\x02\x01\xc0\x00\x02\x07\x0f\xa0\x1e\x61";
    for (header, address) in [
        (version_1("192.0.2.1"), "192.0.2.1:4000"),
        (version_1("2001:db8::1"), "[2001:db8::1]:4000"),
        (version_2(0x21, 0x11, four), "192.0.2.1:4000"),
        (version_2(0x21, 0x11, &[&four[..], b"\x04\x00\x03abc"].concat()), "192.0.2.1:4000"),
    ] {
        let mut client = through_proxy(&node);
        // With what comes behind it in one piece.
        client.send_bytes(&[header, encoded(&Packet::AuthGst { nickname: "ana" }), vec![0x20]].concat());
        client.send_bytes(b"\0\0\0\x02hi");
        assert_eq!(client.receive(), [0x10, 0]);
        client.expect_public("ana", "hi");
        assert_eq!(address_of_client(&node), address);
        drop(client);
        wait_until(|| node.ask("clients").len() == 1, || "the client is gone".to_owned());
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let node = node(&[]);
    let mut client = through_proxy(&node);
    for byte in version_1("192.0.2.1") {
        client.send_bytes(&[byte]);
        // Each byte is a turn of its own: the answer comes from the loop.
        node.status("clients");
    }
    client.log_in_as_guest("ana");
    assert_eq!(address_of_client(&node), "192.0.2.1:4000");
}

#[test]
fn a_proxy_that_speaks_for_itself_keeps_its_own_address() {
    let node = node(&[]);
    for header in [version_2(0x20, 0x00, &[]), version_2(0x21, 0x00, &[]), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut client = through_proxy(&node);
        client.send_bytes(&header);
        client.log_in_as_guest("ana");
        assert!(address_of_client(&node).starts_with("127.0.0.9:"));
        drop(client);
        wait_until(|| node.ask("clients").len() == 1, || "the client is gone".to_owned());
    }
    // A health check says so and leaves: nothing to warn of.
    let mut check = through_proxy(&node);
    check.send_bytes(&version_2(0x20, 0x00, &[]));
    check.shut_sending_side();
    check.expect_end();
    assert_eq!(node.server.count_in_log("WARN"), 0);
}

#[test]
fn a_proxy_that_sends_no_header_is_closed_at_once_and_the_log_says_so() {
    let node = node(&[]);
    for wrong in [
        encoded(&Packet::AuthGst { nickname: "ana" }),
        b"\x16\x03\x01\x02\x00".to_vec(),
        b"PROXY TCP9 what\r\n".to_vec(),
        version_2(0x21, 0x11, &[0; 1024]),
    ] {
        let mut client = through_proxy(&node);
        client.send_bytes_if_open(&wrong);
        client.expect_end();
    }
    node.server.wait_for_log("no PROXY header came first");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"proxy_header\"}"), 4);
}

#[test]
fn a_proxy_has_the_time_of_the_handshake_for_its_header() {
    let node = node(&["--handshake-timeout", "1"]);
    let mut silent = through_proxy(&node);
    let mut halfway = through_proxy(&node);
    halfway.send_bytes(b"PROXY TCP4 192.0.2.1 ");
    silent.expect_end();
    halfway.expect_end();
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"proxy_header\"}"), 2);
}

#[test]
fn from_any_other_address_a_header_is_input_like_any_other() {
    let node = node(&[]);
    let mut client = Client::connect(node.address);
    // Neither of its bytes is a code, but for PCKFWD's in `P`: it announces a packet that is not for this state.
    client.send_bytes(b"\r\n\r\n");
    client.log_in_as_guest("ana");
    assert_eq!(node.metric("cfp_ignored_packets_total{reason=\"unknown_code\"}"), 4);
    assert!(address_of_client(&node).starts_with("127.0.0.1:"));
}

#[test]
fn limits_for_each_address_count_the_one_that_the_proxy_names() {
    let node = node(&["--max-per-address", "2"]);
    // So many connections wait for their header: the proxy's own address has no limit.
    let mut clients: Vec<Client> = (0..6).map(|_| through_proxy(&node)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send_bytes(&version_1(&format!("192.0.2.{}", index / 2)));
        client.log_in_as_guest(&format!("guest{index}"));
    }
    let mut third = through_proxy(&node);
    third.send_bytes(&version_1("192.0.2.1"));
    third.expect_end();
    drop(clients.remove(2));
    wait_until(|| node.status("clients") == "5", || "there is room again".to_owned());
    let mut third = through_proxy(&node);
    third.send_bytes(&version_1("192.0.2.1"));
    third.log_in_as_guest("third");
}

#[test]
fn who_came_through_a_proxy_may_not_merge_whatever_address_it_claims() {
    let node = node(&["--allow-peer", "192.0.2.0/24"]);
    let request = b"\xa0\x00\x00\x00\x09\x00\x00\x00\x00";
    for header in [
        version_1("127.0.0.1"),
        version_1("192.0.2.1"),
        version_2(0x20, 0x00, &[]),
        version_2(0x21, 0x21, &[&[0; 15][..], &[1], &[0; 20]].concat()),
    ] {
        let mut client = through_proxy(&node);
        client.send_bytes(&[&header[..], request].concat());
        client.expect_end();
    }
    // Nor one that announces too much.
    let mut client = through_proxy(&node);
    client.send_bytes(&[&version_1("127.0.0.1")[..], b"\xa0\x00\x00\x00\x09\x00\x00\x00\xff"].concat());
    client.expect_end();
    node.server.wait_for_log("may not merge with us: it came through a proxy");
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"proxied_merge\"}"), 5);
    assert_eq!(node.ask("siblings"), ["ok"]);
    // From the same addresses without a proxy, it may.
    let mut direct = Client::connect(node.address);
    direct.send_bytes(request);
    assert_eq!(direct.receive()[0], 0xA1);
}

#[test]
fn a_tls_client_at_a_server_without_a_certificate_is_named_in_the_log() {
    let node = Node::start(7, &[]);
    let mut client = Client::connect(node.address);
    client.send_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    node.server.wait_for_log("a TLS client came to a server without a certificate, from 127.0.0.1:");
    // It is input like any other (D2), and only the very first byte says it.
    let mut guest = Client::connect(node.address);
    guest.send_bytes(&[0x02]);
    guest.send_bytes(&[0x16]);
    guest.log_in_as_guest("ana");
    node.server.expect_in_log("a TLS client came", 1);
}
