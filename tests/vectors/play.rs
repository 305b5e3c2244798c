//! Plays vectors against a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::bytes_of;
use crate::support::Client;
use crate::written::hex;

/// Plays the steps, each on the connection that it names.
pub fn session(server: SocketAddr, steps: &[Value], whole: &Value) {
    let mut open: BTreeMap<&str, Client> = BTreeMap::new();
    for step in steps {
        let name = step["on"].as_str().unwrap();
        let client = open.entry(name).or_insert_with(|| Client::connect(server));
        if step["end"] == true {
            open.remove(name).unwrap().expect_end();
        } else if step["shut"] == true {
            client.shut_sending_side();
        } else if let Some(bytes) = step.get("send") {
            client.send_bytes(&bytes_of(bytes));
        } else {
            let expected = step["receive"].as_str().unwrap();
            let received = hex(&client.receive());
            let is_like = |(expected, seen): (char, char)| expected == seen || expected == '?';
            let is_expected = received.len() == expected.len() && expected.chars().zip(received.chars()).all(is_like);
            assert!(is_expected, "{step} got {received} in {whole}");
        }
    }
    // So that their nicknames are free for the next session.
    for client in open.into_values() {
        leave(client);
    }
}

/// Brings a connection into the state, sends what is to be ignored, and then what tells that it was.
pub fn ignored(server: SocketAddr, state: &Value, vector: &Value) {
    let mut steps = state["before"].as_array().unwrap().clone();
    steps.push(serde_json::json!({"on": "it", "send": vector["bytes"]}));
    steps.extend(state["probe"].as_array().unwrap().clone());
    session(server, &steps, vector);
}

fn leave(mut client: Client) {
    client.shut_sending_side();
    client.expect_end();
}
