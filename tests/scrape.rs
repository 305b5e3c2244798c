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

#[test]
fn one_scraper_too_many_is_turned_away_until_another_has_gone() {
    let scraped = Scraped::start();
    let mut idle: Vec<TcpStream> = (0..cfp::limits::SCRAPERS_MAX).map(|_| scraped.connect()).collect();
    assert_eq!(scraped.connect().read(&mut [0; 1]).unwrap(), 0);
    idle.pop();
    wait_until(
        || {
            let mut stream = scraped.connect();
            let is_sent = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").is_ok();
            let mut answer = Vec::new();
            is_sent && stream.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200 ")
        },
        || "no place is free again".to_owned(),
    );
}
