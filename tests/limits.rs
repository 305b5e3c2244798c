//! Limits: on connections, on queues, on memory, on descriptors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::QUEUE_MAX_BYTES;
use cfp::wire::{Descriptions, Packet, ServerId};
use support::client::encoded;
use support::pipe::Rig;
use support::server::BINARY;
use support::{Client, ID, Server};

#[test]
fn one_client_more_than_allowed_is_closed_at_once_and_a_place_that_is_free_is_taken() {
    let server = Server::start(&["--max-clients", "3"]);
    let mut clients: Vec<_> = (0..3).map(|i| server.guest(&format!("guest {i}"))).collect();
    for _ in 0..5 {
        server.connect().expect_end();
    }
    let mut leaving = clients.pop().unwrap();
    leaving.shut_sending_side();
    leaving.expect_end();
    clients.push(server.guest("new"));
    server.connect().expect_end();
    clients[0].say("still here");
    for client in &mut clients {
        client.expect_public("guest 0", "still here");
    }
}

#[test]
fn one_address_gets_only_so_many_connections() {
    let server = Server::start(&["--max-per-address", "2"]);
    let (mut ana, mut bob) = (server.guest("ana"), server.guest("bob"));
    server.connect().expect_end();
    // Another address of this machine is not concerned.
    let elsewhere = || Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.address());
    elsewhere().log_in_as_guest("eve");
    bob.shut_sending_side();
    bob.expect_end();
    server.guest("carl").expect_nothing_but_itself("carl");
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn a_message_as_long_as_allowed_passes_and_one_byte_more_does_not() {
    let server = Server::start(&["--max-message", "1000"]);
    let mut ana = server.guest("ana");
    for message in ["x".repeat(1000), "x".repeat(1001), "y".repeat(1000)] {
        ana.say(&message);
    }
    ana.expect_public("ana", &"x".repeat(1000));
    ana.expect_public("ana", &"y".repeat(1000));
    ana.expect_nothing_but_itself("ana");
}

/// A reader that takes none of its messages.
fn deaf(server: &Server, nickname: &str) -> Client {
    let mut client = Client::connect_with_receive_buffer(server.address(), 4096);
    client.log_in_as_guest(nickname);
    client
}

#[test]
fn a_slow_reader_is_closed_and_logged_and_the_others_have_everything() {
    let server = Server::start(&[]);
    let mut bob = deaf(&server, "bob");
    let (mut ana, mut eve) = (server.guest("ana"), server.guest("eve"));
    let message = "x".repeat(64 * 1024);
    // More than the queue's limit and the kernel's buffers together.
    for _ in 0..160 {
        ana.say(&message);
        ana.expect_public("ana", &message);
        eve.expect_public("ana", &message);
    }
    let line = server.wait_for_log("slow reader");
    assert!(line.contains("\"bob\"") && line.contains("WARN"), "{line}");
    // Cut off, not drained.
    assert!(bob.receive_to_end().len() < 160 * message.len());
    server.guest("bob");
    ana.expect_nothing_but_itself("ana");
    eve.expect_nothing_but_itself("eve");
}

#[test]
fn a_reader_that_is_only_a_little_behind_stays() {
    let server = Server::start(&["--max-queue", "67108864", "--max-memory", "134217728"]);
    let mut bob = deaf(&server, "bob");
    let mut ana = server.guest("ana");
    let message = "x".repeat(64 * 1024);
    for _ in 0..160 {
        ana.say(&message);
        ana.expect_public("ana", &message);
    }
    for _ in 0..160 {
        bob.expect_public("ana", &message);
    }
    bob.expect_nothing_but_itself("bob");
}

#[test]
fn past_the_bound_on_memory_the_largest_queues_go_and_everybody_else_stays() {
    let server = Server::start(&["--max-queue", "67108864", "--max-memory", "4194304"]);
    let _deaf: Vec<_> = (0..5).map(|i| deaf(&server, &format!("deaf {i}"))).collect();
    let mut ana = server.guest("ana");
    let before = server.resident_bytes();
    let message = "x".repeat(64 * 1024);
    for _ in 0..320 {
        ana.say(&message);
        ana.expect_public("ana", &message);
    }
    server.wait_for_log("--max-memory");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 12 * 1024 * 1024, "grown by {grown} bytes");
    ana.expect_nothing_but_itself("ana");
}

#[test]
fn without_descriptors_those_who_are_in_are_served_and_the_others_get_in_when_there_is_room() {
    let server = Server::start_with_descriptors(24, &["--max-clients", "1000"]);
    let mut ana = server.guest("ana");
    let mut others: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for (i, client) in others.iter_mut().enumerate() {
        client.send(&Packet::AuthGst { nickname: &format!("guest {i}") });
    }
    server.wait_for_log("cannot accept");
    let before = server.processor_ticks();
    // The last one in the kernel's accept queue gets nothing; meanwhile the loop does not spin.
    assert!(others[39].is_silent_for(Duration::from_secs(1)));
    let used = server.processor_ticks() - before;
    assert!(used < 30, "{used} hundredths of a second of processor time");
    ana.say("still here");
    ana.expect_public("ana", "still here");
    for mut client in others.drain(..20) {
        client.receive();
        client.shut_sending_side();
        client.receive_to_end();
    }
    for client in &mut others {
        assert_eq!(client.receive(), b"\x10\0");
        client.shut_sending_side();
        client.receive_to_end();
    }
}

#[test]
fn few_descriptors_alone_are_no_reason_to_run_out_of_them() {
    let server = Server::start_with_descriptors(24, &[]);
    let mut clients: Vec<_> = (0..12).map(|i| server.guest(&format!("guest {i}"))).collect();
    server.connect().expect_end();
    clients[11].expect_nothing_but_itself("guest 11");
    assert_eq!(server.count_in_log("cannot accept"), 0);
}

#[test]
fn what_waits_for_a_link_is_written_at_a_stop_although_a_client_could_not_be_so_far_behind() {
    let mut rig = Rig::new(Users::none());
    let (ana, link) = (rig.guest("ana"), rig.connect());
    rig.send(&link, &encoded(&Packet::MrgReq { server: ServerId(8), siblings: Descriptions::default() }));
    assert!(rig.is_link(&link));
    link.take_output();
    link.stop_taking();
    let message = "x".repeat(16 * 1024);
    let mut expected = Vec::new();
    while expected.len() <= 2 * QUEUE_MAX_BYTES {
        rig.send(&ana, &encoded(&Packet::MsgPbl { message: &message }));
        // As fast as she may while a link is behind.
        rig.advance(100);
        let content = encoded(&Packet::MsgPblInc { origin: ID, sender: "ana", message: &message });
        expected.extend(encoded(&Packet::PckFwd { destination: ServerId(8), content: &content }));
    }
    rig.engine.begin_shutdown(Millis(rig.now_ms()));
    rig.run_until_idle();
    rig.take(&link, usize::MAX);
    assert!(link.take_output() == expected, "all of it, as it was said");
}

/// The server in a mount namespace of its own, in which a plain file has the limit of version 2 of control groups.
fn start_in_group_of_version_2(limit_bytes: u64) -> Server {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!(
        "mount -t tmpfs none /sys/fs/cgroup && echo {limit_bytes} > /sys/fs/cgroup/memory.max \
         && exec {BINARY} --id 7 --listen 127.0.0.1:0"
    ));
    command.stdin(Stdio::null());
    Server::spawn(command)
}

#[test]
#[ignore = "needs unshare(1) with a mount namespace, and control groups of version 2: .ci/run runs it where there are both"]
fn where_the_control_group_counts_sockets_the_log_says_what_they_may_hold_and_a_slow_reader_is_closed_earlier() {
    let server = start_in_group_of_version_2(16 << 20);
    server.wait_for_log("the control group allows 16384 KiB");
    server.wait_for_log("in sockets, where");
    let (_bob, mut ana) = (deaf(&server, "bob"), server.guest("ana"));
    let message = "x".repeat(64 * 1024);
    // His queue's limit, and little more: without bounds the kernel would take megabytes first.
    for _ in 0..20 {
        ana.say(&message);
        ana.expect_public("ana", &message);
    }
    assert!(server.wait_for_log("slow reader: more is queued").contains("\"bob\""));
}
