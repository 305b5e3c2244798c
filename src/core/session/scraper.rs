//! A scraper of metrics, or a health check: one request over HTTP, one answer, then the end.

use crate::limits;

/// A connection to the address of `--metrics`.
#[derive(Debug, Default)]
pub struct Scraper {
    /// The request was for the metrics, and their answer is awaited.
    awaited: Option<Body>,
}

/// Whether an answer has its body, or is its head alone (HEAD).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Sent,
    Left,
}

/// What to do for a scraper.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing before more of its request comes.
    Pending,
    /// Send this, then close.
    Answer(String),
    /// It wants the metrics: send what [`Scraper::with_metrics`] makes of them, then close.
    Metrics,
}

impl Scraper {
    /// Looks at a request, of which `head` is all that has come so far.
    pub fn on_input(&mut self, head: &[u8]) -> Reply {
        let mut headers = [httparse::EMPTY_HEADER; limits::HTTP_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Partial) if head.len() <= limits::HTTP_HEAD_MAX_BYTES => Reply::Pending,
            Ok(httparse::Status::Complete(_)) => self.on_request(request.method, request.path),
            Ok(httparse::Status::Partial) => {
                Reply::Answer(response("431 Request Header Fields Too Large", "", "too long\n", Body::Sent))
            }
            Err(_) => Reply::Answer(response("400 Bad Request", "", "not HTTP\n", Body::Sent)),
        }
    }

    /// Whether it waits for the metrics.
    pub fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// The answer that has the metrics in it.
    pub fn with_metrics(&mut self, metrics: &str) -> String {
        response("200 OK", "", metrics, self.awaited.take().unwrap_or(Body::Sent))
    }

    fn on_request(&mut self, method: Option<&str>, path: Option<&str>) -> Reply {
        let body = match method {
            Some("GET") => Body::Sent,
            Some("HEAD") => Body::Left,
            _ => {
                let allow = "Allow: GET, HEAD\r\n";
                return Reply::Answer(response("405 Method Not Allowed", allow, "only GET and HEAD\n", Body::Sent));
            }
        };
        // What a scraper adds behind a question mark asks for nothing that we have.
        match path.and_then(|path| path.split('?').next()) {
            Some("/metrics") => {
                self.awaited = Some(body);
                Reply::Metrics
            }
            Some("/healthz") => Reply::Answer(response("200 OK", "", "ok\n", body)),
            _ => Reply::Answer(response("404 Not Found", "", "try /metrics or /healthz\n", body)),
        }
    }
}

/// `headers` are whole lines.
fn response(status: &str, headers: &str, content: &str, body: Body) -> String {
    let length = content.len();
    let content = if body == Body::Sent { content } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         {headers}Connection: close\r\n\r\n{content}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(request: &str) -> Reply {
        Scraper::default().on_input(request.as_bytes())
    }

    #[test]
    fn a_head_is_waited_for_up_to_its_limit() {
        let head = |bytes: usize| format!("{:x<bytes$}", "GET /metrics HTTP/1.1\r\nA: ");
        assert_eq!(reply(&head(limits::HTTP_HEAD_MAX_BYTES)), Reply::Pending);
        let Reply::Answer(answer) = reply(&head(limits::HTTP_HEAD_MAX_BYTES + 1)) else { panic!("it is too long") };
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[test]
    fn each_request_has_its_answer_and_a_head_request_only_the_head() {
        for (request, status, content) in [
            ("GET /healthz HTTP/1.1\r\n\r\n", "200 OK", "ok\n"),
            ("HEAD /healthz HTTP/1.1\r\n\r\n", "200 OK", ""),
            ("GET /healthz?x=1 HTTP/1.1\r\n\r\n", "200 OK", "ok\n"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "only GET and HEAD\n"),
            ("GET / HTTP/1.1\r\n\r\n", "404 Not Found", "try /metrics or /healthz\n"),
            ("hello\r\n\r\n", "400 Bad Request", "not HTTP\n"),
        ] {
            let Reply::Answer(answer) = reply(request) else { panic!("{request} has no answer") };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
            let (_, given) = answer.split_once("\r\n\r\n").unwrap_or_default();
            assert_eq!(given, content, "{request}");
        }
        for (method, content) in [("GET", "figures\n"), ("HEAD", "")] {
            let mut scraper = Scraper::default();
            assert_eq!(scraper.on_input(format!("{method} /metrics HTTP/1.1\r\n\r\n").as_bytes()), Reply::Metrics);
            let answer = scraper.with_metrics("figures\n");
            assert!(answer.contains("\r\nContent-Length: 8\r\n") && answer.ends_with(&format!("\r\n\r\n{content}")));
            assert!(!scraper.is_waiting());
        }
    }
}
