//! Real proxies in front: HAProxy, nginx and stunnel, as docs/operations.md has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
#[path = "support/program.rs"]
mod program;
mod support;

use std::net::SocketAddr;

use node::{Node, fresh_address, wait_until};
use program::Program;
use support::Client;

/// A client's address, which no proxy has.
const HOME: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 77);

fn node() -> Node {
    Node::start(7, &["--proxy-from", "127.0.0.1"])
}

/// A client comes through the proxy: it has its own address, chats, and may not merge.
fn a_client_is_known_by_its_own_address(node: &Node, proxy: SocketAddr) {
    let mut client = Client::connect_from(HOME, proxy);
    let own = client.local_address().to_string();
    client.log_in_as_guest("ana");
    client.say("hi");
    client.expect_public("ana", "hi");
    assert_eq!(node.ask("clients")[0].split('\t').nth(2), Some(own.as_str()));
    let mut stranger = Client::connect(proxy);
    stranger.send_bytes(b"\xa0\x00\x00\x00\x63\x00\x00\x00\x00");
    stranger.expect_end();
    assert_eq!(node.metric("cfp_closed_connections_total{reason=\"proxied_merge\"}"), 1);
}

fn haproxy(node: &Node, proxy: SocketAddr, options: &str) -> Program {
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
         listen cfp\n bind {proxy}\n server cfp {} {options}\n",
        node.address
    );
    let file = program::file("haproxy.cfg", &config);
    Program::start("haproxy", &["-db", "-f", file.to_str().unwrap()], proxy)
}

#[test]
#[ignore = "needs haproxy: .ci/run runs it"]
fn haproxy_with_either_version_and_its_health_check() {
    for version in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn", "send-proxy-v2 proxy-v2-options unique-id,crc32c"]
    {
        let (node, proxy) = (node(), fresh_address());
        let _haproxy = haproxy(&node, proxy, &format!("{version} check check-send-proxy inter 200ms"));
        a_client_is_known_by_its_own_address(&node, proxy);
        // Checks come all the time (LOCAL, or a header of HAProxy's own), are no reason to warn, and find it up.
        let accepted = node.metric("cfp_accepted_total");
        wait_until(|| node.metric("cfp_accepted_total") > accepted + 3, || "health checks come".to_owned());
        assert_eq!(node.metric("cfp_closed_connections_total{reason=\"proxy_header\"}"), 0);
        Client::connect(proxy).log_in_as_guest("later");
    }
}

#[test]
#[ignore = "needs nginx: .ci/run runs it"]
fn nginx() {
    let (node, proxy) = (node(), fresh_address());
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nmaster_process off;\npid {};\nerror_log stderr;\n\
         events {{}}\nstream {{ server {{ listen {proxy}; proxy_pass {}; proxy_protocol on; }} }}\n",
        program::file("nginx.pid", "").display(),
        node.address
    );
    let file = program::file("nginx.conf", &config);
    let _nginx = Program::start("nginx", &["-c", file.to_str().unwrap()], proxy);
    a_client_is_known_by_its_own_address(&node, proxy);
}
