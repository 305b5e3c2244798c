//! `docs/grafana.json` and `docs/alerts.yml` ask only for what the server tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use node::{Node, fresh_address};
use regex_lite::Regex;
use serde_json::Value;

/// Labels that Prometheus adds to what it scrapes.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];
/// A metric that Prometheus makes itself.
const UP: &str = "up";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docs/grafana.json")).unwrap()
}

/// Every expression of the dashboard, with Grafana's variables replaced by values.
fn dashboard_expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries = variables.iter().filter_map(|variable| variable["definition"].as_str());
    let queries = queries.map(|query| query.replace("label_values(", "").replace(", instance)", ""));
    let all = expressions.into_iter().chain(queries);
    all.map(|text| text.replace("$__rate_interval", "5m").replace("$instance", ".*")).collect()
}

/// Every expression of the rules.
fn alert_expressions() -> Vec<String> {
    let rules = read("docs/alerts.yml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect()
}

/// What a server answers to a scrape, with a link that was there.
fn metrics() -> String {
    let address = fresh_address();
    let one = Node::start(7, &["--metrics", &address.to_string()]);
    let two = Node::start(8, &["--merge", &one.address.to_string()]);
    one.wait_until_linked_with(&[8]);
    let text = scrape(address);
    drop(two);
    text
}

fn scrape(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn every_metric_and_label_in_the_dashboard_and_the_alerts_is_one_that_the_server_tells() {
    let metrics = metrics();
    let types = Regex::new(r"(?m)^# TYPE (\w+) (\w+)$").unwrap();
    let mut known = BTreeSet::from([UP.to_owned()]);
    for found in types.captures_iter(&metrics) {
        let endings: &[&str] = if &found[2] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(endings.iter().map(|ending| format!("{}{ending}", &found[1])));
    }
    let selector = Regex::new(r"\b(up|cfp_\w+|process_\w+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)=~?"([^"]*)""#).unwrap();
    let (dashboard, alerts) = (dashboard_expressions(), alert_expressions());
    assert!(dashboard.len() > 30 && alerts.len() > 10, "{} {}", dashboard.len(), alerts.len());
    let mut asked = BTreeSet::new();
    for expression in dashboard.iter().chain(&alerts) {
        assert!(selector.is_match(expression), "{expression} asks for nothing of ours");
        for found in selector.captures_iter(expression) {
            assert!(known.contains(&found[1]), "{expression}: there is no {}", &found[1]);
            asked.insert(found[1].to_owned());
            for label in matcher.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
                let (name, value) = (&label[1], &label[2]);
                let series = |line: &str| line.starts_with(&found[1]) && line.contains(&format!("{name}=\"{value}\""));
                assert!(
                    OF_PROMETHEUS.contains(&name) || metrics.lines().any(series),
                    "{expression}: no {name}={value}"
                );
            }
        }
    }
    // What nobody looks at is not worth counting.
    let missing: Vec<&String> = known.iter().filter(|name| !asked.contains(*name)).collect();
    let elsewhere =
        ["cfp_connections", "cfp_packet_bytes_total", "cfp_registered_users", "process_virtual_memory_bytes"];
    let left: Vec<&&String> = missing
        .iter()
        .filter(|name| !elsewhere.contains(&name.as_str()) && !name.starts_with("cfp_turn_seconds_"))
        .collect();
    assert!(left.is_empty(), "in no panel and no rule: {left:?}");
}

#[test]
fn the_panels_of_the_dashboard_lie_beside_each_other_and_have_ids_of_their_own() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let (title, place) = (&panel["title"], &panel["gridPos"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let number = |name: &str| place[name].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{title}");
        for y in number("y")..number("y") + number("h") {
            for x in number("x")..number("x") + number("w") {
                assert!(taken.insert((x, y)), "{title} covers another panel");
            }
        }
    }
}

fn promtool(arguments: &[&str], folder: &Path, input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
    text
}

#[test]
#[ignore = "needs promtool: .ci/run runs it"]
fn promtool_takes_the_metrics_the_alerts_and_the_expressions_of_the_dashboard() {
    let folder = std::env::temp_dir().join(format!("cfp-monitoring-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["docs/alerts.yml", "tests/monitoring/alerts.test.yml"] {
        std::fs::copy(path(name), folder.join(path(name).file_name().unwrap())).unwrap();
    }
    // It knows the language in rules alone.
    let rules = dashboard_expressions().into_iter().enumerate().map(|(at, expression)| {
        let expression = Value::String(expression);
        format!("      - {{ record: \"panel:{at}\", expr: {expression} }}\n")
    });
    let rules = format!("groups:\n  - name: dashboard\n    rules:\n{}", rules.collect::<String>());
    std::fs::write(folder.join("dashboard.yml"), rules).unwrap();
    let said = promtool(&["check", "rules", "alerts.yml", "dashboard.yml"], &folder, "");
    assert!(said.contains(&format!("{} rules found", alert_expressions().len())), "{said}");
    promtool(&["test", "rules", "alerts.test.yml"], &folder, "");
    promtool(&["check", "metrics"], &folder, &metrics());
    std::fs::remove_dir_all(&folder).unwrap();
}
