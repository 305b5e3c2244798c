//! What the two files say: addresses from hosts(5); servers, names to try and patience from resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use resolv_conf::Config;

use super::ResolveError;
use crate::limits::{
    HOST_LABEL_MAX_BYTES, HOST_NAME_MAX_BYTES, NAME_SERVER_ATTEMPTS_MAX, NAME_SERVER_SECONDS_MAX, NAME_SERVERS_MAX,
    NDOTS_MAX, RESOLVED_ADDRESSES_MAX, SEARCH_DOMAINS_MAX,
};

/// The port of name servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// The answer if no name server is needed for it: an address, a mistake, a name in hosts, `localhost`.
pub(super) fn local_answer(host: &str, hosts: &str) -> Option<Result<Vec<Ipv4Addr>, ResolveError>> {
    if let Ok(address) = host.parse() {
        return Some(Ok(vec![address]));
    }
    let name = without_last_dot(host);
    if !is_host_name(name) {
        return Some(Err(ResolveError::InvalidName));
    }
    let addresses = addresses_in_hosts(name, hosts);
    if !addresses.is_empty() {
        return Some(Ok(addresses));
    }
    // RFC 6761 section 6.3: the name and all names below it, without asking anybody.
    let top = name.rsplit('.').next().unwrap_or_default();
    top.eq_ignore_ascii_case("localhost").then(|| Ok(vec![Ipv4Addr::LOCALHOST]))
}

fn addresses_in_hosts(name: &str, hosts: &str) -> Vec<Ipv4Addr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let addresses = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then(|| address.parse().ok())?
    });
    addresses.take(RESOLVED_ADDRESSES_MAX).collect()
}

/// resolv.conf, as far as it matters to us. A line that makes no sense is skipped, as libc does.
pub(super) struct Settings {
    /// The name servers, in order. Empty only if all name servers of the file are IPv6.
    pub servers: Vec<SocketAddr>,
    /// Patience with one server for one question.
    pub timeout_ms: u64,
    /// How often each server is asked one question.
    pub attempts: u32,
    ndots: u32,
    search: Vec<String>,
}

impl Settings {
    /// Reads the text of a resolv.conf. An empty one means the server on this machine.
    pub fn parse(resolv_conf: &str) -> Settings {
        let (config, _mistakes) = Config::parse_with_errors(resolv_conf.as_bytes());
        let listed = config.nameservers.iter().map(IpAddr::from);
        let mut servers: Vec<SocketAddr> =
            listed.filter(IpAddr::is_ipv4).take(NAME_SERVERS_MAX).map(|ip| SocketAddr::new(ip, DNS_PORT)).collect();
        if config.nameservers.is_empty() {
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        Settings {
            servers,
            timeout_ms: u64::from(config.timeout.clamp(1, NAME_SERVER_SECONDS_MAX)) * 1_000,
            attempts: config.attempts.clamp(1, NAME_SERVER_ATTEMPTS_MAX),
            ndots: config.ndots.min(NDOTS_MAX),
            search: config.get_last_search_or_domain().take(SEARCH_DOMAINS_MAX).cloned().collect(),
        }
    }

    /// The full names that `host` can stand for, the likeliest first. It is one itself.
    pub fn names_to_try(&self, host: &str) -> Vec<String> {
        let name = without_last_dot(host);
        if name != host {
            return vec![name.to_owned()];
        }
        let mut names = Vec::with_capacity(self.search.len() + 1);
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        if dots >= self.ndots as usize {
            names.push(name.to_owned());
        }
        for domain in &self.search {
            let full = match without_last_dot(domain) {
                "" => name.to_owned(),
                domain => format!("{name}.{domain}"),
            };
            if is_host_name(&full) && !names.contains(&full) {
                names.push(full);
            }
        }
        if !names.iter().any(|listed| listed == name) {
            names.push(name.to_owned());
        }
        names
    }
}

fn without_last_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Letters, digits, hyphens (RFC 1123 section 2.1), and the underscores of container names. So nothing else gets into a
/// question, such as the escapes of the DNS's text form.
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=HOST_LABEL_MAX_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= HOST_NAME_MAX_BYTES && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str, resolv_conf: &str) -> Vec<String> {
        Settings::parse(resolv_conf).names_to_try(host)
    }

    #[test]
    fn every_line_of_hosts_with_the_name_counts_in_order_unless_it_is_of_ipv6() {
        let hosts = "# 10.0.0.9 chat\n::1 chat\n10.0.0.2\tone CHAT two\n10.0.0.3 chatty\n  10.0.0.1 chat#x\nbad chat\n";
        let expected = vec![Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1)];
        assert_eq!(local_answer("chat", hosts), Some(Ok(expected.clone())));
        assert_eq!(local_answer("chat.", hosts), Some(Ok(expected)));
        assert_eq!(local_answer("10.0.0.2x", hosts), None);
    }

    #[test]
    fn localhost_needs_no_file() {
        for name in ["localhost", "LOCALHOST.", "chat.localhost"] {
            assert_eq!(local_answer(name, ""), Some(Ok(vec![Ipv4Addr::LOCALHOST])), "{name}");
        }
        assert_eq!(local_answer("localhost.test", ""), None);
        assert_eq!(local_answer("localhost", "127.0.0.5 localhost"), Some(Ok(vec![Ipv4Addr::new(127, 0, 0, 5)])));
    }

    #[test]
    fn what_can_t_be_a_host_name_is_refused_unasked() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63).as_str(); 4].join(".");
        for name in ["", ".", "a..b", "a b", "a\\.b", "käse", "::1", "a/b", &long_label, &long_name] {
            assert_eq!(local_answer(name, ""), Some(Err(ResolveError::InvalidName)), "{name}");
        }
        for name in ["a", "chat_a.docker-net", &long_label[1..], &long_name[2..]] {
            assert_eq!(local_answer(name, ""), None, "{name}");
        }
    }

    #[test]
    fn ndots_says_whether_a_name_is_tried_as_it_is_before_or_after_the_search_domains() {
        assert_eq!(names("a", "search x.test y.test."), ["a.x.test", "a.y.test", "a"]);
        assert_eq!(names("a.b", "search x.test"), ["a.b", "a.b.x.test"]);
        assert_eq!(names("a.b", "search x.test\noptions ndots:2"), ["a.b.x.test", "a.b"]);
        assert_eq!(names("a", "search x.test\noptions ndots:0"), ["a", "a.x.test"]);
    }

    #[test]
    fn a_last_dot_means_this_very_name() {
        assert_eq!(names("a.", "search x.test"), ["a"]);
    }

    #[test]
    fn the_last_of_domain_and_search_counts_and_the_root_is_the_name_itself() {
        assert_eq!(names("a", "search x.test\ndomain z.test"), ["a.z.test", "a"]);
        assert_eq!(names("a", "search . x.test"), ["a", "a.x.test"]);
        assert_eq!(names("a", ""), ["a"]);
    }

    #[test]
    fn a_search_domain_that_makes_the_name_too_long_is_passed_over() {
        let host = ["a".repeat(60).as_str(); 4].join(".");
        assert_eq!(names(&host, "search long-domain.test b"), [host.clone(), format!("{host}.b")]);
    }

    #[test]
    fn no_more_of_resolv_conf_is_taken_than_its_manual_allows() {
        let mut text = String::from("options ndots:99 timeout:99 attempts:99\nsearch a b c d e f g h\nnonsense\n");
        for host in 1..=5 {
            text.push_str(&format!("nameserver fe80::{host}\nnameserver 10.0.0.{host}\n"));
        }
        let settings = Settings::parse(&text);
        assert_eq!(settings.servers.len(), NAME_SERVERS_MAX);
        assert!(settings.servers.iter().all(|server| server.is_ipv4() && server.port() == 53));
        assert_eq!((settings.timeout_ms, settings.attempts, settings.ndots), (30_000, 5, 15));
        assert_eq!(settings.search.len(), SEARCH_DOMAINS_MAX);
        let settings = Settings::parse("options timeout:0 attempts:0");
        assert_eq!((settings.timeout_ms, settings.attempts), (1_000, 1));
        let settings = Settings::parse("");
        assert_eq!((settings.timeout_ms, settings.attempts, settings.ndots), (5_000, 2, 1));
    }
}
