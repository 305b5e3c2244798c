//! Routed networks of many processes, rings that are cut, and a slow link.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use cfp::wire::{FileChunk, Packet, ServerId};

use crate::networks::Lottery;
use crate::node::{Node, expect_nothing_else, expect_private, expect_public, fresh_address, tell, wait_until};
use crate::routed::{routed, routes};
use crate::support::Client;

const SERVERS: usize = 64;
const SPARES: usize = 16;
const LINKS_MAX: usize = 16;
const KILLED: usize = 8;

/// The servers that are connected with one, over any number of links.
fn component(links: &[(usize, usize)], alive: &BTreeSet<usize>, from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([from]);
    let mut to_visit = vec![from];
    while let Some(at) = to_visit.pop() {
        for &(a, b) in links.iter().filter(|(a, b)| *a == at || *b == at) {
            let far = if a == at { b } else { a };
            if alive.contains(&far) && found.insert(far) {
                to_visit.push(far);
            }
        }
    }
    found
}

fn wait_for_components(nodes: &[Option<Node>], links: &[(usize, usize)]) {
    let alive: BTreeSet<usize> = (0..nodes.len()).filter(|&at| nodes[at].is_some()).collect();
    for &at in &alive {
        let node = nodes[at].as_ref().unwrap();
        let expected: Vec<u32> = component(links, &alive, at).into_iter().filter(|&far| far != at).map(id).collect();
        let reached = || routes(node).into_iter().map(|[id, ..]| id).collect::<Vec<u32>>();
        wait_until(|| reached() == expected, || format!("{} reaches {:?}, not {expected:?}", node.id, reached()));
    }
}

fn id(at: usize) -> u32 {
    at as u32 + 1
}

#[test]
fn sixty_four_servers_hear_each_other_once_and_what_hangs_together_is_whole_when_eight_are_killed() {
    let mut lottery = Lottery::new();
    let starting: Vec<_> = (0..SERVERS).map(|at| thread::spawn(move || routed(id(at)))).collect();
    let mut nodes: Vec<Option<Node>> = starting.into_iter().map(|thread| Some(thread.join().unwrap())).collect();

    // A random tree, and spare links, none of which is there twice.
    let mut links: Vec<(usize, usize)> = Vec::new();
    let degree = |links: &[(usize, usize)], at| links.iter().filter(|(a, b)| *a == at || *b == at).count();
    while links.len() < SERVERS - 1 + SPARES {
        let from = if links.len() < SERVERS - 1 { links.len() + 1 } else { lottery.below(SERVERS) };
        let to = lottery.below(if links.len() < SERVERS - 1 { from } else { SERVERS });
        let is_new = from != to && !links.contains(&(from, to)) && !links.contains(&(to, from));
        if is_new && degree(&links, from) < LINKS_MAX && degree(&links, to) < LINKS_MAX {
            links.push((from, to));
        }
    }
    let began = Instant::now();
    thread::scope(|scope| {
        for &(from, to) in &links {
            let (from, to) = (nodes[from].as_ref().unwrap(), nodes[to].as_ref().unwrap());
            scope.spawn(|| from.merge(to));
        }
    });
    wait_for_components(&nodes, &links);
    println!("{SERVERS} servers with {} links are one network after {:.0?}", links.len(), began.elapsed());

    let name = |at: usize| format!("of {}", id(at));
    let mut guests: Vec<Client> = (0..SERVERS).map(|at| nodes[at].as_ref().unwrap().guest(&name(at))).collect();
    for speaker in [0, lottery.below(SERVERS), SERVERS - 1] {
        guests[speaker].say("hello");
        guests.iter_mut().for_each(|guest| expect_public(guest, id(speaker), &name(speaker), "hello"));
    }
    let (from, to) = (lottery.below(SERVERS), lottery.below(SERVERS));
    tell(&mut guests[from], id(to), &name(to), "psst");
    expect_private(&mut guests[to], id(from), &name(from), &name(to), "psst");
    for (at, guest) in guests.iter_mut().enumerate() {
        expect_nothing_else(guest, id(at), &name(at));
    }

    let began = Instant::now();
    for _ in 0..KILLED {
        nodes[lottery.below(SERVERS)] = None;
    }
    wait_for_components(&nodes, &links);
    println!("what hangs together is whole after {:.0?}", began.elapsed());
    let alive: BTreeSet<usize> = (0..SERVERS).filter(|&at| nodes[at].is_some()).collect();
    let mut spoken = BTreeSet::new();
    for &speaker in &alive {
        let part = component(&links, &alive, speaker);
        if !spoken.contains(&speaker) {
            guests[speaker].say("still here");
            for &at in &part {
                expect_public(&mut guests[at], id(speaker), &name(speaker), "still here");
            }
            spoken.extend(part);
        }
    }
    for &at in &alive {
        expect_nothing_else(&mut guests[at], id(at), &name(at));
    }
}

/// A relay between the two ends of a ring.
fn relay(id: u32, address: SocketAddr, ends: [&Node; 2]) -> Node {
    let node = Node::start_at(id, address, &["--routed", "--merge", &ends[0].place(), "--merge", &ends[1].place()]);
    let is_linked = || node.siblings().iter().filter(|sibling| ["linked", "spare"].contains(&&*sibling.2)).count() == 2;
    wait_until(|| is_linked() && routes(&node).len() >= 2, || format!("{:?}", node.siblings()));
    node
}

/// Cuts a ring so often, each time where it carries; returns how long it took until a message got through again.
pub fn cut_rings(rounds: usize) -> Vec<Duration> {
    let ends = [routed(1), routed(2)];
    let (mut ana, mut carl) = (ends[0].guest("ana"), ends[1].guest("carl"));
    let addresses = [fresh_address(), fresh_address()];
    let mut relays = [Some(relay(3, addresses[0], [&ends[0], &ends[1]])), None];
    let mut took = Vec::new();
    for round in 0..rounds {
        // The younger one is a spare until the older one is gone.
        let spare = (round + 1) % 2;
        relays[spare] = Some(relay(3 + spare as u32, addresses[spare], [&ends[0], &ends[1]]));
        let next = 3 + (round % 2) as u32;
        wait_until(|| routes(&ends[0]).contains(&[2, next, 1]), || format!("{:?}", routes(&ends[0])));
        let before = format!("before {round}");
        ana.say(&before);
        expect_public(&mut ana, 1, "ana", &before);
        expect_public(&mut carl, 1, "ana", &before);
        relays[round % 2] = None;
        let began = Instant::now();
        let mut said = 0;
        loop {
            said += 1;
            ana.say(&said.to_string());
            expect_public(&mut ana, 1, "ana", &said.to_string());
            if !carl.is_silent_for(Duration::from_millis(1)) {
                break;
            }
        }
        took.push(began.elapsed());
        let last = Packet::MsgPblInc { origin: ServerId(1), sender: "ana", message: &said.to_string() };
        let mut bytes = Vec::new();
        last.encode(&mut bytes);
        while carl.receive() != bytes {}
    }
    took
}

#[test]
fn a_ring_goes_on_by_its_spare_however_often_it_is_cut() {
    assert_eq!(cut_rings(6).len(), 6);
}

/// Lets connections through to a server, with so many bytes a second to whoever connects.
fn throttle(to: SocketAddr, bytes_per_second: usize) -> SocketAddr {
    let listener = TcpListener::bind(fresh_address()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = Client::connect_with_receive_buffer(to, 32 * 1024).into_stream();
        let (near_copy, far_copy) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        thread::spawn(move || copy(near_copy, far_copy, None));
        copy(far, near, Some(bytes_per_second));
    });
    address
}

fn copy(mut from: TcpStream, mut to: TcpStream, bytes_per_second: Option<usize>) {
    let mut buffer = [0; 8192];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && to.write_all(&buffer[..count]).is_ok()
    {
        if let Some(rate) = bytes_per_second {
            thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

const CHUNKS: u32 = 4000;

fn chunk(content: &[u8; 1024]) -> FileChunk<'_> {
    FileChunk { transfer_id: 1, file_name: "large", chunks: CHUNKS, content }
}

#[test]
fn a_file_over_a_slow_link_arrives_whole_and_closes_no_link_and_others_do_not_wait_for_it() {
    let [one, two, three] = [1, 2, 3].map(routed);
    one.merge(&two);
    let place = throttle(two.address, 2 << 20);
    assert_eq!(three.ask(&format!("merge {place}")), ["ok"]);
    wait_until(|| routes(&one).len() == 2, || format!("{:?}", routes(&one)));
    let (mut ana, mut carl) = (one.guest("ana"), three.guest("carl"));
    let (mut eve, mut bob) = (one.guest("eve"), two.guest("bob"));
    let content = |number: u32| [number.to_be_bytes(); 256].concat().try_into().unwrap();
    let mut longest = Duration::ZERO;
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..CHUNKS {
                let content = content(number);
                ana.send(&Packet::FileChnk { destination: ServerId(3), receiver: "carl", chunk: chunk(&content) });
            }
            ana
        });
        let receiving = scope.spawn(move || {
            for number in 0..CHUNKS {
                let (content, origin) = (content(number), ServerId(1));
                let chunk = chunk(&content);
                carl.expect(&Packet::FileChnkInc { origin, sender: "ana", receiver: "carl", chunk });
            }
        });
        // Somebody else on the sender's server goes on talking with somebody on the relay.
        let mut told = 0;
        while !receiving.is_finished() {
            let began = Instant::now();
            tell(&mut eve, 2, "bob", "psst");
            expect_private(&mut bob, 1, "eve", "bob", "psst");
            longest = longest.max(began.elapsed());
            told += 1;
            thread::sleep(Duration::from_millis(2));
        }
        println!("{told} messages beside the file, the longest took {longest:.1?}");
        receiving.join().unwrap();
    });
    for node in [&one, &two, &three] {
        assert_eq!(node.server.count_in_log("lost the link"), 0, "server {}", node.id);
        assert_eq!(node.metric("cfp_refused_packets_total"), 0, "server {}", node.id);
    }
    assert!(two.metric("cfp_packets_total{code=\"HOLD\",direction=\"out\"}") > 0, "the relay told the sender's server");
}
