//! Plays vectors against a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::bytes_of;
use crate::support::Client;

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
            let expected = bytes_of(&step["receive"]);
            let received = client.receive();
            assert!(received == expected, "{step} got {received:02x?} in {whole}");
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
