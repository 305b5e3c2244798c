//! The image in real containers, on networks of their own: what loopback hides.
//!
//! `CFP_IMAGE` names the image. `scripts/container-faults.sh` builds it and runs these tests; elsewhere they are ignored,
//! and said to be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod docker;
mod faults;
#[path = "../support/mod.rs"]
mod support;

use cfp::wire::{Packet, ServerId};
use docker::{Host, Network, image, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::Client;

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_thousand_clients_chat_where_nothing_is_allowed() {
    const CLIENTS: usize = 1000;
    let image = image();
    raise_descriptor_limit();
    let network = Network::new();
    let host = Host::start_alone(&image, &network, 7, &[]);
    let line = host.wait_for_log("memory: at most");
    assert!(line.contains("at most 16384 KiB") && line.contains("descriptors"), "{line}");
    let line = host.wait_for_log("the control group allows");
    assert!(line.contains("allows 16384 KiB") && line.contains("lowered"), "{line}");
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|i| {
            let mut client = Client::connect(host.address());
            client.log_in_as_guest(&format!("guest {i}"));
            client
        })
        .collect();
    let text = "x".repeat(1000);
    for speaker in (0..CLIENTS).step_by(CLIENTS / 20) {
        clients[speaker].say(&text);
        for client in &mut clients {
            client.expect_public(&format!("guest {speaker}"), &text);
        }
    }
    for i in 0..CLIENTS {
        clients[i].tell(&format!("guest {}", CLIENTS - 1 - i), "between us");
        clients[CLIENTS - 1 - i].expect_private(
            &format!("guest {i}"),
            &format!("guest {}", CLIENTS - 1 - i),
            "between us",
        );
    }
    assert!(host.metrics().unwrap().contains("\ncfp_clients 1000\n"));
    assert_eq!(host.inspect("{{.State.Running}} {{.State.OOMKilled}} {{.RestartCount}}"), "true false 0");
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn the_command_that_everybody_types_first_works_and_so_does_a_container_without_a_folder_for_the_control_socket() {
    let image = image();
    let plain = Host::start_plain(&image, &[], &["--id", "1"]);
    assert!(plain.ask("status").unwrap().starts_with("id\t1\n"));
    let read_only = Host::start_plain(&image, &["--read-only"], &["--id", "2", "--no-control"]);
    read_only.wait_for_log("server 2 listens on");
    let without = Host::run_plain(&image, &["--read-only"], &["--id", "3"]);
    without.wait_for_log("control socket /run/cfp/control: Read-only file system");
    let line = without.wait_for_log("--no-control");
    assert!(line.starts_with("cfp-server: "), "{line}");
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn the_image_starts_without_arguments_and_takes_its_options_from_the_environment() {
    let image = image();
    let plain = Host::start_plain(&image, &["--publish=127.0.0.1::7777"], &[]);
    assert!(plain.ask("status").unwrap().starts_with("id\t1\n"));
    let mut ana = Client::connect(plain.published());
    ana.log_in_as_guest("ana");
    let environment = ["--env=CFP_ID=7", "--env=CFP_MAX_CLIENTS=5", "--env=CFP_ALLOW_PEER=192.0.2.1, 192.0.2.2"];
    let host = Host::start_plain(&image, &environment, &["--max-clients", "6"]);
    let status = host.ask("status").unwrap();
    assert!(status.starts_with("id\t7\n") && status.contains("\nmax_clients\t6\n"), "{status}");
    let without = Host::start_plain(&image, &["--read-only", "--env=CFP_NO_CONTROL=1"], &[]);
    without.wait_for_log("server 1 listens on");
    let mistaken = Host::run_plain(&image, &["--env=CFP_LISTEN="], &[]);
    assert!(mistaken.wait_for_log("CFP_LISTEN").starts_with("cfp-server: CFP_LISTEN is empty"));
}

/// A network that leads nowhere outside has no default route.
#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn in_an_internal_network_servers_find_their_address_and_merge() {
    let image = image();
    let network = Network::internal();
    let allow = ["--allow-peer", &network.cidr()];
    let one = Host::start(&image, &network, 1, &allow);
    let line = one.wait_for_log("listens on");
    assert!(line.contains(&format!("advertised as {}", one.target())), "{line}");
    let two = Host::start(&image, &network, 2, &["--merge", &format!("{}:7777", one.name)]);
    for host in [&one, &two] {
        host.wait_until_merged_with(1);
    }
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn as_process_1_it_stops_when_docker_says_so() {
    let image = image();
    let network = Network::new();
    let host = Host::start(&image, &network, 7, &[]);
    let mut ana = Client::connect(host.address());
    ana.log_in_as_guest("ana");
    // Docker kills what has not stopped by then, which gives status 137.
    host.docker(&["stop", "--time", "10"]);
    ana.expect_end();
    assert_eq!(host.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}"), "0 false");
    host.wait_for_log("stopped");
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_server_that_hangs_is_found_unhealthy() {
    let image = image();
    let network = Network::new();
    let host = Host::start_with_health_check(&image, &network, 7, &[]);
    let wait_for_health =
        |wanted: &str| wait_for(wanted, || (host.inspect("{{.State.Health.Status}}") == wanted).then_some(()));
    wait_for_health("healthy");
    host.docker(&["kill", "--signal", "STOP"]);
    wait_for_health("unhealthy");
    host.docker(&["kill", "--signal", "CONT"]);
    wait_for_health("healthy");
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn two_networks_of_servers_that_never_heard_of_one_another_become_one_mesh() {
    let image = image();
    let network = Network::new();
    let cidr = network.cidr();
    // Only servers 1 and 3 admit unknown servers; the others must learn from them which to accept (D20, D23).
    let one = Host::start(&image, &network, 1, &["--allow-peer", &cidr]);
    let two = Host::start(&image, &network, 2, &["--merge", &one.target()]);
    let three = Host::start(&image, &network, 3, &["--allow-peer", &cidr]);
    let four = Host::start(&image, &network, 4, &["--merge", &format!("{}:7777", three.name)]);
    for host in [&one, &two, &three, &four] {
        host.wait_until_merged_with(1);
    }
    three.ask(&format!("merge {}", one.target())).unwrap();
    for host in [&one, &two, &three, &four] {
        host.wait_until_merged_with(3);
    }
    // 2 and 4 were never told of each other.
    let (mut ana, mut bob) = (Client::connect(two.address()), Client::connect(four.address()));
    ana.log_in_as_guest("ana");
    bob.log_in_as_guest("bob");
    ana.say("hello");
    bob.expect(&Packet::MsgPblInc { origin: ServerId(2), sender: "ana", message: "hello" });
    bob.send(&Packet::MsgPrv { destination: ServerId(2), receiver: "ana", message: "hello yourself" });
    ana.expect(&Packet::MsgPblInc { origin: ServerId(2), sender: "ana", message: "hello" });
    let (sender, receiver) = ("bob", "ana");
    ana.expect(&Packet::MsgPrvInc { origin: ServerId(4), sender, receiver, message: "hello yourself" });
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_stranger_from_outside_the_allow_list_is_turned_away() {
    let image = image();
    let network = Network::new();
    let one = Host::start(&image, &network, 1, &["--allow-peer", &network.cidr_of_first()]);
    let two = Host::start(&image, &network, 2, &["--merge", &one.target()]);
    let stranger = Host::start(&image, &network, 200, &["--merge", &one.target()]);
    let line = one.wait_for_log(&network.address_of(200).to_string());
    assert!(line.contains("--allow-peer"), "{line}");
    two.wait_until_merged_with(1);
    assert!(!one.ask("siblings").unwrap().contains("200\t"));
    assert!(!stranger.is_merged_with(1));
    // As a client anybody may come.
    Client::connect(one.address()).log_in_as_guest("ana");
}

fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
