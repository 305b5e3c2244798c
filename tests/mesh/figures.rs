//! Figures, for a person to read: `cargo test --release --test mesh -- --ignored --nocapture --test-threads 1 figures`

use std::time::{Duration, Instant};

use crate::networks::{Lottery, start_ten};
use crate::node::{Node, expect_private, tell, wait_for_clique, wait_until};
use crate::support::Client;

#[test]
#[ignore = "measures"]
fn time_until_ten_servers_are_a_clique() {
    let mut lottery = Lottery::new();
    let mut took: Vec<Duration> = (0..20)
        .map(|_| {
            let began = Instant::now();
            let nodes = start_ten(&mut lottery);
            let started = began.elapsed();
            wait_for_clique(&nodes);
            let all = began.elapsed();
            println!("all ten listen after {started:.0?}, a clique after {all:.0?}");
            all
        })
        .collect();
    took.sort_unstable();
    println!("ten servers are a clique after {:.0?} (median), {:.0?} at most", took[took.len() / 2], took[19]);
}

#[test]
#[ignore = "measures"]
fn latency_of_a_private_message_on_one_server_and_across_two() {
    let (one, two) = (Node::start(1, &[]), Node::start(2, &[]));
    one.merge(&two);
    wait_until(|| one.status("connections") == "2", || "more connections than the link".to_owned());
    let (mut ana, mut bob, mut eve) = (one.guest("ana"), one.guest("bob"), two.guest("eve"));
    // Alternating, so that the machine's other load affects both alike.
    let (mut here, mut across) = (Vec::new(), Vec::new());
    for _ in 0..20_000 {
        here.push(latency(&mut ana, 1, "bob", &mut bob));
        across.push(latency(&mut ana, 2, "eve", &mut eve));
    }
    for (what, latencies) in [("one server", &mut here), ("across two", &mut across)] {
        latencies.sort_unstable();
        let at = |percent: usize| latencies[latencies.len() * percent / 100];
        println!("{what}: median {:.1?}, 90 % {:.1?}, 99 % {:.1?}", at(50), at(90), at(99));
    }
}

fn latency(ana: &mut Client, server: u32, receiver: &str, client: &mut Client) -> Duration {
    let began = Instant::now();
    tell(ana, server, receiver, "psst");
    expect_private(client, 1, "ana", receiver, "psst");
    began.elapsed()
}

#[test]
#[ignore = "measures"]
fn processor_time_of_a_public_message_for_each_sibling_and_each_client() {
    const MESSAGES: usize = 20_000;
    let ticks = |siblings: u32, clients: u32| {
        let node = Node::start(1, &[]);
        let others: Vec<Node> = (0..siblings).map(|i| Node::start(2 + i, &[])).collect();
        for other in &others {
            other.merge(&node);
        }
        wait_for_clique(others.iter().chain([&node]));
        let mut ana = node.guest("ana");
        let readers: Vec<_> = (0..clients)
            .map(|i| {
                let mut reader = node.guest(&format!("reader {i}"));
                std::thread::spawn(move || (0..MESSAGES).for_each(|_| drop(reader.receive())))
            })
            .collect();
        let before = node.server.processor_ticks();
        for _ in 0..MESSAGES {
            // One at a time: batches would hide the cost.
            ana.say("a public message of about eighty bytes, which is what people say to each other ...");
            ana.receive();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        node.server.processor_ticks() - before
    };
    let us = |ticks: u64| ticks as f64 * 10_000.0 / MESSAGES as f64;
    let base = us(ticks(0, 0));
    println!("one client: {base:.1} µs of processor time a message");
    for count in [4, 9] {
        let of_siblings = (us(ticks(count, 0)) - base) / f64::from(count);
        let of_clients = (us(ticks(0, count)) - base) / f64::from(count);
        println!("with {count} more: {of_siblings:.1} µs for each sibling, {of_clients:.1} µs for each client");
    }
}

#[test]
#[ignore = "measures"]
fn time_until_a_message_gets_through_when_a_ring_of_routed_servers_is_cut() {
    let mut took = crate::routed_networks::cut_rings(200);
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!("200 cuts: median {:.1?}, 99 % {:.1?}, at most {:.1?}", at(50), at(99), took[199]);
}
