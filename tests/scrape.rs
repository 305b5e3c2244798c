//! The address for Prometheus and for health checks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use node::{Node, fresh_address, wait_until};
use support::PATIENCE;

struct Scraped {
    node: Node,
    address: SocketAddr,
}

impl Scraped {
    fn start() -> Scraped {
        let address = fresh_address();
        let node = Node::start(7, &["--metrics", &address.to_string()]);
        Scraped { node, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends this, and reads to the end.
    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: cfp\r\n\r\n"))
    }
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_scraper_gets_the_metrics_whatever_it_adds_behind_the_path() {
    let scraped = Scraped::start();
    let _ana = scraped.node.guest("ana");
    for path in ["/metrics", "/metrics?name[]=cfp_clients"] {
        let answer = scraped.get(path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(head.contains("text/plain"), "{head}");
        assert!(body.contains("\ncfp_clients 1\n"), "{body}");
    }
}

#[test]
fn a_health_check_is_answered_and_other_paths_and_methods_are_not() {
    let scraped = Scraped::start();
    assert!(scraped.get("/healthz").ends_with("\r\n\r\nok\n"));
    let statuses = [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metricsx HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("\x11\x03ana\n\n", "400"),
    ];
    for (request, status) in statuses {
        let answer = scraped.send(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
}

#[test]
fn a_request_that_comes_in_pieces_is_put_together_and_one_without_an_end_is_cut_off() {
    let scraped = Scraped::start();
    let mut stream = scraped.connect();
    for piece in ["GE", "T /healthz HT", "TP/1.0\r", "\n\r", "\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        // As many reads as writes, each answered for before the next.
        scraped.node.ask("siblings");
    }
    assert!(answer(stream).starts_with("HTTP/1.1 200 "));
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(cfp::limits::HTTP_HEAD_MAX_BYTES));
    assert!(scraped.send(&endless).starts_with("HTTP/1.1 431 "));
}

/// A connection to the metrics' address from another address of this machine.
fn connect_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    use rustix::net::{self, AddressFamily, SocketType};
    let fd = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    net::bind(&fd, &SocketAddr::from((source, 0))).unwrap();
    net::connect(&fd, &address).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_health_check_gets_in_whoever_holds_all_the_places() {
    let scraped = Scraped::start();
    // Scrapers that say nothing, that are slow with their request, and that do not take the answer.
    let mut held = Vec::new();
    for (count, begun) in [(cfp::limits::SCRAPERS_MAX, ""), (20, "GET /met"), (20, "GET /metrics HTTP/1.1\r\n\r\n")] {
        for _ in 0..count {
            let mut stream = scraped.connect();
            let _ = stream.write_all(begun.as_bytes());
            held.push(stream);
        }
        assert!(scraped.get("/healthz").ends_with("\r\n\r\nok\n"));
    }
    let gave_way = scraped.node.metric("cfp_closed_connections_total{reason=\"gave_way\"}");
    assert!(gave_way >= 3, "{gave_way}");
    drop(held);
}

#[test]
fn a_crowd_from_one_address_takes_no_place_from_another() {
    let scraped = Scraped::start();
    let mut slow = connect_from([127, 0, 0, 2], scraped.address);
    slow.write_all(b"GET /healthz HT").unwrap();
    // It has its place before they come.
    wait_until(|| scraped.node.metric("cfp_connections") >= 2, || "it does not get in".to_owned());
    let crowd: Vec<TcpStream> = (0..8 * cfp::limits::SCRAPERS_MAX).map(|_| scraped.connect()).collect();
    assert!(scraped.get("/healthz").contains("200 OK"));
    slow.write_all(b"TP/1.1\r\n\r\n").unwrap();
    assert!(answer(slow).ends_with("\r\n\r\nok\n"));
    drop(crowd);
}

#[test]
fn places_are_held_until_the_connection_is_gone_so_descriptors_are_bounded() {
    let scraped = Scraped::start();
    // They have their answer, and don't hang up.
    let mut answered = Vec::new();
    for _ in 0..4 * cfp::limits::SCRAPERS_MAX {
        let mut stream = scraped.connect();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        answered.push(stream);
    }
    let connections = scraped.node.metric("cfp_connections");
    assert!(connections <= cfp::limits::SCRAPERS_MAX as u64 + 1, "{connections}");
}

#[test]
fn head_is_answered_without_the_body_and_other_methods_are_told_what_is_allowed() {
    let scraped = Scraped::start();
    for (path, status, length) in
        [("/healthz", "200", Some(3)), ("/metrics", "200", None), ("/nothing", "404", Some(25))]
    {
        let answer = scraped.send(&format!("HEAD {path} HTTP/1.1\r\nHost: cfp\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && body.is_empty(), "{answer}");
        let said: usize = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        assert!(length.map_or(said > 1000, |length| said == length), "{path}: {said}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = scraped.send(&format!("{method} /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    }
}

#[test]
fn the_version_and_what_the_process_uses_are_among_the_metrics() {
    let scraped = Scraped::start();
    let answer = scraped.get("/metrics");
    assert!(answer.contains(&format!("\ncfp_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))), "{answer}");
    let value = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {answer}")).parse::<f64>().unwrap()
    };
    let resident = scraped.node.server.resident_bytes() as f64;
    assert!((resident / 2.0..resident * 2.0).contains(&value("process_resident_memory_bytes")));
    assert!(value("process_virtual_memory_bytes") >= resident / 2.0 && value("process_max_fds") >= 1.0);
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((since_1970 - 3600.0..=since_1970).contains(&value("process_start_time_seconds")));
    assert!(value("process_cpu_seconds_total") >= 0.0);
}
