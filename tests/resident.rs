//! What the server's first lines promise, held against its resident memory, under the packets that cost most for
//! their size. The peak counts, as the kernel keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/node.rs"]
mod node;
mod support;

use std::net::{Ipv4Addr, SocketAddr};

use cfp::limits::CHUNK_BYTES;
use cfp::shell::users_file::UsersFile;
use cfp::wire::{Descriptions, FileChunk, Packet, ServerId};
use node::Node;
use support::Client;
use support::client::encoded;

/// Queues of the server under test: small, so that it takes little to fill them.
const QUEUES_BYTES: usize = 2 * 1024 * 1024;
const CLIENTS: usize = 300;

fn start() -> Node {
    let (queues, clients) = (QUEUES_BYTES.to_string(), CLIENTS.to_string());
    Node::start(7, &["--max-memory", &queues, "--max-clients", &clients])
}

/// The server has never taken more than it said at its start. Returns both, in KiB.
fn check_promise(node: &Node, attack: &str) {
    // All that was sent before is handled.
    let held = node.metric("cfp_queued_bytes");
    let line = node.server.wait_for_log("memory: at most ");
    let promised = line.split("memory: at most ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let promised_kib: usize = promised.parse().unwrap();
    let peak_kib = node.server.peak_resident_bytes() / 1024;
    eprintln!("{attack}: {peak_kib} KiB at the peak, {} KiB are held, {promised_kib} KiB were promised", held / 1024);
    assert!(peak_kib <= promised_kib, "{attack}: {peak_kib} KiB resident where at most {promised_kib} were promised");
}

/// A nickname as long as they may be.
fn long_name(index: usize) -> String {
    format!("{index:a>64}")
}

/// A guest that reads nothing but its login's answer, and lets the kernel keep little for it.
fn deaf_guest(node: &Node, nickname: &str) -> Client {
    let mut guest = Client::connect_with_receive_buffer(node.address, 4096);
    guest.log_in_as_guest(nickname);
    guest
}

fn deaf_guests(node: &Node, count: usize) -> Vec<Client> {
    (0..count).map(|index| deaf_guest(node, &long_name(index))).collect()
}

/// One that reads, from an address of its own: it must not be closed for what others do.
fn guest(node: &Node, nickname: &str) -> Client {
    let mut guest = Client::connect_from(Ipv4Addr::new(127, 91, 0, 1), node.address);
    guest.log_in_as_guest(nickname);
    guest
}

/// Sends public messages until the kernel takes no more for the clients that do not read.
fn fill_the_kernels_buffers(node: &Node, speaker: &mut Client) {
    let message = "x".repeat(16 * 1024);
    while node.metric("cfp_largest_queue_bytes") == 0 {
        speaker.say(&message);
        speaker.receive();
    }
}

/// Whether there is no use in going on.
fn is_full(node: &Node) -> bool {
    let closed = |reason| node.metric(&format!("cfp_closed_connections_total{{reason=\"{reason}\"}}"));
    closed("memory") > 20 || closed("slow_reader") > 20
}

fn errors_between_public_messages(node: &Node) {
    let mut speaker = guest(node, "s");
    // Short nicknames make short answers.
    let mut guests: Vec<Client> = (0..100).map(|index| deaf_guest(node, &index.to_string())).collect();
    fill_the_kernels_buffers(node, &mut speaker);
    let astray = encoded(&Packet::MsgPrv { destination: ServerId(7), receiver: "-", message: "" });
    for round in 0..3000 {
        speaker.say("x");
        speaker.receive();
        guests.iter_mut().for_each(|guest| guest.send_bytes_if_open(&astray));
        if round % 100 == 0 && is_full(node) {
            break;
        }
    }
    check_promise(node, "errors between public messages");
}

fn empty_private_messages(node: &Node) {
    let mut speaker = guest(node, "s");
    let guests = deaf_guests(node, 100);
    fill_the_kernels_buffers(node, &mut speaker);
    let mut senders: Vec<Client> = (0..10).map(|index| guest(node, &long_name(1000 + index))).collect();
    // A turn's worth for every client at once: 71 bytes in, 146 out.
    let round: Vec<u8> = (0..guests.len())
        .flat_map(|index| {
            let receiver = long_name(index);
            encoded(&Packet::MsgPrv { destination: ServerId(7), receiver: &receiver, message: "" }).repeat(10)
        })
        .collect();
    for _ in 0..60 {
        senders.iter_mut().for_each(|sender| {
            sender.send_until_blocked(&round, std::time::Duration::from_millis(20));
        });
        if is_full(node) {
            break;
        }
    }
    check_promise(node, "empty private messages");
}

fn chunks(node: &Node) {
    let mut speaker = guest(node, "s");
    let guests = deaf_guests(node, 30);
    fill_the_kernels_buffers(node, &mut speaker);
    let mut senders: Vec<Client> = (0..30).map(|index| guest(node, &long_name(1000 + index))).collect();
    for (index, sender) in senders.iter_mut().enumerate() {
        let receiver = long_name(index % guests.len());
        let chunk = FileChunk { transfer_id: 1, file_name: "a", chunks: 4000, content: &[7; CHUNK_BYTES] };
        let chunk = encoded(&Packet::FileChnk { destination: ServerId(7), receiver: &receiver, chunk });
        sender.send_until_blocked(&chunk.repeat(600), std::time::Duration::from_millis(20));
    }
    check_promise(node, "file chunks");
}

fn halves_of_those_who_are_nobody(node: &Node) {
    let half = [&[0x20, 0, 1, 0, 0][..], &[b'x'; 60_000]].concat();
    let login = encoded(&Packet::AuthUsr { nickname: &long_name(1), password: &"p".repeat(1024) });
    let sent: Vec<Client> = (0..CLIENTS)
        .map(|index| {
            let mut stranger = connect_from(node, index);
            match index % 3 {
                0 => stranger.send_bytes_if_open(&half),
                1 => stranger.send_bytes_if_open(&login[..login.len() - 1]),
                // Growing by and by.
                _ => half[..8000].chunks(100).for_each(|piece| stranger.send_bytes_if_open(piece)),
            }
            stranger
        })
        .collect();
    check_promise(node, "halves of those who are nobody");
    drop(sent);
}

fn halves_of_guests(node: &Node) {
    let half = [&[0x20, 0, 1, 0, 0][..], &[b'x'; 65_000]].concat();
    let mut guests: Vec<Client> = (0..CLIENTS / 2).map(|index| deaf_guest(node, &long_name(index))).collect();
    // Pieces that make each buffer grow a little beyond a power of two, in turn.
    let mut sent = 0;
    for size in [1, 1100, 2100, 4200, 8300, 16_500, 33_000, half.len()] {
        guests.iter_mut().for_each(|guest| guest.send_bytes_if_open(&half[sent..size]));
        sent = size;
        check_promise(node, "halves of guests");
    }
}

/// A link from a server that reads nothing.
fn deaf_link(node: &Node, id: u32) -> Client {
    let mut link = Client::connect_with_receive_buffer(node.address, 4096);
    link.send(&Packet::MrgReq { server: ServerId(id), siblings: Descriptions::default() });
    link.receive();
    link
}

fn links_that_do_not_read(node: &Node) {
    let mut speaker = guest(node, "s");
    let links: Vec<Client> = (0..9).map(|index| deaf_link(node, 100 + index)).collect();
    let big = encoded(&Packet::MsgPbl { message: &"x".repeat(60_000) });
    // The kernel's buffers first, then the smallest packets.
    for _ in 0..40 {
        speaker.send_bytes(&big);
        speaker.receive();
    }
    let mut teller = guest(node, &long_name(1));
    let private: Vec<u8> = (0..links.len() as u32)
        .flat_map(|index| {
            encoded(&Packet::MsgPrv { destination: ServerId(100 + index), receiver: "r", message: "" }).repeat(20)
        })
        .collect();
    let public = encoded(&Packet::MsgPbl { message: "" }).repeat(500);
    for _ in 0..400 {
        speaker.send_bytes(&public);
        (0..500).for_each(|_| drop(speaker.receive()));
        teller.send_until_blocked(&private, std::time::Duration::from_millis(5));
    }
    check_promise(node, "links that do not read");
    // What was queued for them is answered, while little is left.
    links.into_iter().for_each(Client::reset);
    check_promise(node, "links that are lost");
}

fn a_lying_link(node: &Node) {
    let mut speaker = guest(node, "s");
    let guests = deaf_guests(node, 100);
    fill_the_kernels_buffers(node, &mut speaker);
    let mut link = deaf_link(node, 100);
    let origin = ServerId(100);
    let public = encoded(&Packet::MsgPblInc { origin, sender: "l", message: "" });
    let mut round = Vec::new();
    for _ in 0..30 {
        round.extend(encoded(&Packet::PckFwd { destination: ServerId(7), content: &public }));
        for index in 0..guests.len() {
            let receiver = long_name(index);
            let private = encoded(&Packet::MsgPrvInc { origin, sender: "l", receiver: &receiver, message: "" });
            round.extend(encoded(&Packet::PckFwd { destination: ServerId(7), content: &private }));
        }
    }
    for _ in 0..60 {
        link.send_until_blocked(&round, std::time::Duration::from_millis(200));
        if is_full(node) {
            break;
        }
    }
    check_promise(node, "a lying link");
}

fn all_who_are_behind_leave_at_once(node: &Node) {
    let mut speaker = guest(node, "s");
    let guests = deaf_guests(node, 100);
    fill_the_kernels_buffers(node, &mut speaker);
    for _ in 0..50 {
        speaker.say(&"x".repeat(16 * 1024));
        speaker.receive();
    }
    guests.iter().for_each(Client::shut_sending_side);
    check_promise(node, "all who are behind leave at once");
}

/// Each from an address of its own.
fn connect_from(node: &Node, index: usize) -> Client {
    let SocketAddr::V4(_) = node.address else { unreachable!("nodes listen on IPv4") };
    Client::connect_from(Ipv4Addr::new(127, 90, (index / 250) as u8, (index % 250 + 1) as u8), node.address)
}

const ATTACKS: [fn(&Node); 8] = [
    errors_between_public_messages,
    empty_private_messages,
    chunks,
    halves_of_those_who_are_nobody,
    halves_of_guests,
    links_that_do_not_read,
    a_lying_link,
    all_who_are_behind_leave_at_once,
];

/// One after the other, since what one leaves behind in the allocator is in the way of the next.
#[test]
fn no_traffic_makes_the_server_larger_than_its_first_lines_say() {
    let node = start();
    for round in 0..2 {
        for attack in ATTACKS {
            attack(&node);
            node::wait_until(|| node.status("connections") == "1", || format!("all are gone, round {round}"));
        }
    }
}

#[test]
fn the_users_and_a_reload_of_them_are_within_the_sum() {
    let hash = "$pbkdf2-sha256$i=3,l=32$c2FsdHNhbHQ$Gw9J7ot0OEClxhiPitRxDqdFt+B56mDlJBu2/LKXQl0";
    let path = node::fresh_path("users");
    for names in [|index: usize| index.to_string(), |index: usize| format!("{index:b>64}")] {
        let text: String = (0..30_000).map(|index| format!("{}:{hash}\n", names(index))).collect();
        std::fs::write(&path, text).unwrap();
        let queues = QUEUES_BYTES.to_string();
        let arguments = ["--max-memory", &queues, "--max-clients", "10", "--users", path.to_str().unwrap()];
        let node = Node::start(7, &arguments);
        for _ in 0..3 {
            assert_eq!(node.ask("reload").last().unwrap(), "ok");
        }
        check_promise(&node, "thirty thousand users");
    }
    let refused = UsersFile::new(path.clone()).with_room(1_000_000).read().unwrap_err();
    assert!(refused.contains("its users take more memory than the 976 KiB"), "{refused}");
    std::fs::remove_file(path).unwrap();
}

macro_rules! alone {
    ($($attack:ident)*) => {
        mod alone {
            $(#[test] fn $attack() { super::$attack(&super::start()); })*
        }
    };
}

alone! {
    errors_between_public_messages empty_private_messages chunks halves_of_those_who_are_nobody halves_of_guests
    links_that_do_not_read a_lying_link all_who_are_behind_leave_at_once
}
