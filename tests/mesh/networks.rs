//! Networks of real servers that grow, and stop at the limits.

use std::net::SocketAddr;
use std::thread;

use crate::node::{Node, fresh_address, wait_for_clique};

/// Numbers from a seed, for orders that a failure can be repeated with.
pub struct Lottery(u64);

impl Lottery {
    /// From the environment's `CFP_SEED`, else from the clock. It is printed, so that a failure names it.
    pub fn new() -> Lottery {
        let seed = match std::env::var("CFP_SEED") {
            Ok(seed) => seed.parse().expect("CFP_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        };
        println!("CFP_SEED={seed}");
        Lottery(seed | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // Xorshift (Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// Ten servers, started at once, each but one with `--merge` to another, in any shape and order.
pub fn start_ten(lottery: &mut Lottery) -> Vec<Node> {
    let mut servers: Vec<(u32, SocketAddr)> = (1..=10).map(|id| (id, fresh_address())).collect();
    lottery.shuffle(&mut servers);
    let mut plan: Vec<(u32, SocketAddr, Option<SocketAddr>)> = Vec::new();
    for (place, &(id, address)) in servers.iter().enumerate() {
        plan.push((id, address, (place > 0).then(|| servers[lottery.below(place)].1)));
    }
    lottery.shuffle(&mut plan);
    let threads: Vec<_> = plan
        .into_iter()
        .map(|(id, address, target)| {
            thread::spawn(move || match target {
                Some(target) => Node::start_at(id, address, &["--merge", &target.to_string()]),
                None => Node::start_at(id, address, &[]),
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// The first server of each pair merges with the second, all at the same time.
fn merge_at_once(nodes: &[Node], merges: &[(usize, usize)]) {
    thread::scope(|scope| {
        for &(from, to) in merges {
            let (from, to) = (&nodes[from], &nodes[to]);
            scope.spawn(move || {
                let answer = from.ask(&format!("merge {}", to.address));
                // The network may have linked them before this merge's turn came.
                assert!(answer == ["ok"] || answer == ["error already merged"], "{answer:?}");
            });
        }
    });
}

#[test]
fn a_server_merges_at_start_with_one_that_comes_later() {
    let address = fresh_address();
    let early = Node::start(1, &["--merge", &address.to_string()]);
    early.server.wait_for_log(&format!("cannot merge with {address} yet"));
    assert_eq!(early.status("mesh_complete"), "0");
    let late = Node::start_at(2, address, &[]);
    wait_for_clique([&early, &late]);
    assert_eq!(early.siblings(), [(2, late.place(), "linked".to_owned())]);
    assert_eq!(late.siblings(), [(1, early.place(), "linked".to_owned())]);
    assert_eq!(early.status("mesh_complete"), "1");
}

#[test]
fn a_server_is_merged_with_under_a_name() {
    // Names are looked up in /etc/hosts too, and every machine has this one there or knows it otherwise.
    let other = Node::start_at(2, "127.0.0.1:0".parse().unwrap(), &[]);
    let one = Node::start(1, &["--merge", &format!("localhost:{}", other.address.port())]);
    wait_for_clique([&one, &other]);
}

#[test]
fn two_networks_of_three_become_a_clique() {
    let nodes: Vec<Node> = (1..=6).map(|id| Node::start(id, &[])).collect();
    for (from, to) in [(0, 1), (2, 1), (3, 4), (4, 5)] {
        nodes[from].merge(&nodes[to]);
    }
    wait_for_clique(&nodes[..3]);
    wait_for_clique(&nodes[3..]);
    nodes[2].merge(&nodes[3]);
    wait_for_clique(&nodes);
}

#[test]
fn two_networks_that_merge_at_two_points_at_once_become_a_clique() {
    let nodes: Vec<Node> = (1..=6).map(|id| Node::start(id, &[])).collect();
    for (from, to) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
        nodes[from].merge(&nodes[to]);
    }
    wait_for_clique(&nodes[..3]);
    wait_for_clique(&nodes[3..]);
    merge_at_once(&nodes, &[(0, 3), (5, 2)]);
    wait_for_clique(&nodes);
}

#[test]
fn ten_servers_started_at_once_become_a_clique_and_the_eleventh_is_declined() {
    let nodes = start_ten(&mut Lottery::new());
    wait_for_clique(&nodes);
    let eleventh = Node::start(11, &[]);
    assert_eq!(eleventh.ask(&format!("merge {}", nodes[0].address)), ["error server limit"]);
    assert_eq!(nodes[1].ask(&format!("merge {}", eleventh.address)), ["error server limit"]);
    assert!(eleventh.siblings().is_empty());
    wait_for_clique(&nodes);
}

#[test]
fn ten_running_servers_merged_in_any_order_at_once_become_a_clique() {
    let mut lottery = Lottery::new();
    let mut nodes: Vec<Node> = (1..=10).map(|id| Node::start(id, &[])).collect();
    lottery.shuffle(&mut nodes);
    let mut merges: Vec<(usize, usize)> = (1..10).map(|place| (place, lottery.below(place))).collect();
    for merge in &mut merges {
        if lottery.below(2) == 0 {
            *merge = (merge.1, merge.0);
        }
    }
    lottery.shuffle(&mut merges);
    merge_at_once(&nodes, &merges);
    wait_for_clique(&nodes);
}

#[test]
fn two_networks_that_are_too_large_together_stay_as_they_are() {
    let nodes: Vec<Node> = (1..=11).map(|id| Node::start(id, &[])).collect();
    for id in [2, 3, 4, 5, 6] {
        nodes[id - 1].merge(&nodes[0]);
    }
    for id in [8, 9, 10, 11] {
        nodes[id - 1].merge(&nodes[6]);
    }
    wait_for_clique(&nodes[..6]);
    wait_for_clique(&nodes[6..]);
    assert_eq!(nodes[3].ask(&format!("merge {}", nodes[9].address)), ["error server limit"]);
    assert_eq!(nodes[9].ask(&format!("merge {}", nodes[3].address)), ["error server limit"]);
    wait_for_clique(&nodes[..6]);
    wait_for_clique(&nodes[6..]);
}

#[test]
fn a_server_does_not_merge_with_another_of_its_own_id() {
    let (one, other) = (Node::start(1, &[]), Node::start(1, &[]));
    assert_eq!(one.ask(&format!("merge {}", other.address)), ["error server id conflict"]);
    assert!(one.siblings().is_empty() && other.siblings().is_empty());
}

#[test]
fn networks_with_one_id_twice_do_not_merge() {
    let (one, two, three, another_two) =
        (Node::start(1, &[]), Node::start(2, &[]), Node::start(3, &[]), Node::start(2, &[]));
    one.merge(&two);
    three.merge(&another_two);
    assert_eq!(one.ask(&format!("merge {}", three.address)), ["error server id conflict"]);
    // One of the two networks has the asking server's ID.
    assert_eq!(two.ask(&format!("merge {}", three.address)), ["error server id conflict"]);
    wait_for_clique([&one, &two]);
    wait_for_clique([&three, &another_two]);
}

#[test]
fn two_servers_that_dial_each_other_at_the_same_time_keep_one_link() {
    let (address, other_address) = (fresh_address(), fresh_address());
    let start = |id, address: SocketAddr, target: SocketAddr| {
        thread::spawn(move || Node::start_at(id, address, &["--merge", &target.to_string()]))
    };
    let threads = [start(1, address, other_address), start(2, other_address, address)];
    let nodes = threads.map(|thread| thread.join().unwrap());
    wait_for_clique(&nodes);
    expect_one_link(&nodes);

    for _ in 0..10 {
        let nodes = [Node::start(1, &[]), Node::start(2, &[])];
        let ask = |from: usize, to: usize| nodes[from].ask(&format!("merge {}", nodes[to].address));
        let answers = thread::scope(|scope| {
            let first = scope.spawn(|| ask(0, 1));
            [ask(1, 0), first.join().unwrap()]
        });
        for answer in &answers {
            assert!(*answer == ["ok"] || *answer == ["error already merged"], "{answers:?}");
        }
        assert!(answers.iter().any(|answer| *answer == ["ok"]), "{answers:?}");
        wait_for_clique(&nodes);
        expect_one_link(&nodes);
    }
}

/// Each of the two has the link and an operator that asks, and in the end nothing else.
fn expect_one_link(nodes: &[Node; 2]) {
    for node in nodes {
        crate::node::wait_until(
            || node.status("connections") == "2",
            || format!("server {} has {} connections", node.id, node.status("connections")),
        );
    }
}
