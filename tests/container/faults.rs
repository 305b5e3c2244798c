//! Real faults between hosts: cables pulled, hosts that fall silent, hosts that die.

use std::time::{Duration, Instant};

use cfp::wire::{ErrorReason, Packet, ServerId};

use crate::docker::{Host, Network, image, wait_for};
use crate::support::Client;
use crate::support::client::encoded;

/// Cycles of cut and heal, unless `CFP_CYCLES` has another number.
const CYCLES: usize = 20;
/// Meshes that are cut and healed at the same time, unless `CFP_MESHES` has another number: a cycle is mostly waiting
/// for TCP.
const MESHES: usize = 4;

/// Three servers, each linked with the others.
struct Mesh {
    hosts: [Host; 3],
    network: Network,
}

impl Mesh {
    fn start(image: &str) -> Mesh {
        let network = Network::new();
        let cidr = network.cidr();
        let one = Host::start(image, &network, 1, &["--allow-peer", &cidr]);
        let merge = ["--allow-peer", &cidr, "--merge", &one.target()];
        let hosts = [2, 3].map(|id| Host::start(image, &network, id, &merge));
        let [two, three] = hosts;
        let mesh = Mesh { hosts: [one, two, three], network };
        mesh.wait_until_whole();
        mesh
    }

    fn wait_until_whole(&self) {
        self.hosts.iter().for_each(|host| host.wait_until_merged_with(2));
    }

    /// Every client gets the messages of every other.
    fn expect_talk(&self, label: &str) {
        let mut guests: Vec<Client> = self.hosts.iter().map(|host| Client::connect(host.address())).collect();
        for (i, guest) in guests.iter_mut().enumerate() {
            guest.log_in_as_guest(&format!("{label} {i}"));
        }
        for speaker in 0..guests.len() {
            let (sender, origin) = (format!("{label} {speaker}"), ServerId(speaker as u32 + 1));
            guests[speaker].say("still there?");
            for guest in &mut guests {
                guest.expect(&Packet::MsgPblInc { origin, sender: &sender, message: "still there?" });
            }
        }
    }
}

/// A guest on a server that has lost server 3 gets an ERROR, once the loss is known.
fn expect_unreachable(host: &Host) {
    let mut guest = Client::connect(host.address());
    guest.log_in_as_guest("ana");
    guest.send(&Packet::MsgPrv { destination: ServerId(3), receiver: "bob", message: "are you there?" });
    guest.expect(&Packet::Error { sender: "ana", reason: ErrorReason::UnknownServer });
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_mesh_heals_after_every_cut() {
    let image = image();
    let (cycles, meshes) = (number("CFP_CYCLES", CYCLES), number("CFP_MESHES", MESHES));
    let begun = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let share = |i: usize| cycles / meshes + usize::from(i < cycles % meshes);
        let image = &image;
        let threads: Vec<_> = (0..meshes).map(|i| scope.spawn(move || cut_and_heal(image, share(i)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("this mesh heals")).collect()
    });
    times.sort();
    assert_eq!(times.len(), cycles);
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    eprintln!(
        "{cycles} cycles of cut and heal in {meshes} meshes at once, {:?}: healed after {:?} at the 50th percentile, {:?} at the 99th, {:?} at most",
        begun.elapsed(),
        at(50),
        at(99),
        at(100)
    );
}

/// Cuts server 2 or 3 off until all sides know it, and connects it again. Returns the time until every server had all
/// its links again, from the moment of the command to Docker.
fn cut_and_heal(image: &str, cycles: usize) -> Vec<Duration> {
    let mesh = Mesh::start(image);
    let times = (0..cycles).map(|cycle| {
        let victim = &mesh.hosts[1 + cycle % 2];
        victim.disconnect(&mesh.network);
        mesh.hosts.iter().filter(|host| host.name != victim.name).for_each(Host::wait_until_cut);
        victim.wait_until_cut_off();
        // The longer a server is away, the more rarely it is dialled: a cut that ends at once would flatter.
        std::thread::sleep(Duration::from_secs((cycle % 8) as u64));
        let begun = Instant::now();
        victim.reconnect(&mesh.network);
        mesh.wait_until_whole();
        let took = begun.elapsed();
        mesh.expect_talk(&format!("guest {cycle}"));
        if cycles > CYCLES {
            eprintln!("{}: cycle {cycle}: {} ms", victim.name, took.as_millis());
        }
        took
    });
    times.collect()
}

/// The kernel of a paused container goes on acknowledging, and the RFC has no ping: to the others this is a server that
/// is slow, not one that is silent. The link stays, and nothing is lost.
#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_paused_server_holds_nobody_up_and_gets_what_was_sent_to_it() {
    let image = image();
    let mesh = Mesh::start(&image);
    let [one, two, three] = &mesh.hosts;
    let mut guests = [one, two, three].map(|host| Client::connect(host.address()));
    let [ana, bob, carl] = &mut guests;
    ana.log_in_as_guest("ana");
    bob.log_in_as_guest("bob");
    carl.log_in_as_guest("carl");
    three.docker(&["pause"]);
    let public = Packet::MsgPblInc { origin: ServerId(1), sender: "ana", message: "hello" };
    ana.say("hello");
    ana.expect(&public);
    bob.expect(&public);
    ana.send(&Packet::MsgPrv { destination: ServerId(3), receiver: "carl", message: "asleep?" });
    three.docker(&["unpause"]);
    carl.expect(&public);
    let (sender, receiver) = ("ana", "carl");
    carl.expect(&Packet::MsgPrvInc { origin: ServerId(1), sender, receiver, message: "asleep?" });
    assert!(mesh.hosts.iter().all(|host| host.is_merged_with(2)));
}

/// Its kernel's window fills, then our kernel's buffers, then the link's queue. From a quarter of its limit on, senders
/// of private messages to it are paused. After 14 s in which nothing was taken, the kernel gives the connection up
/// (TCP_USER_TIMEOUT).
#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_paused_server_that_much_is_sent_to_is_given_up_and_comes_back() {
    let image = image();
    let mesh = Mesh::start(&image);
    let [one, _, three] = &mesh.hosts;
    three.docker(&["pause"]);
    let mut flooder = Client::connect(one.address());
    flooder.log_in_as_guest("flooder");
    let message = "x".repeat(60_000);
    let flood = encoded(&Packet::MsgPrv { destination: ServerId(3), receiver: "bob", message: &message }).repeat(1000);
    // More than the kernels take on the way: then it is the server that has it, and does not keep it for ever.
    flooder.send_until_blocked(&flood, Duration::from_secs(5));
    one.wait_until_cut();
    let line = one.wait_for_log("link to server 3 from");
    assert!(line.contains("ended: connection lost"), "{line}");
    expect_unreachable(one);
    three.docker(&["unpause"]);
    mesh.wait_until_whole();
    mesh.expect_talk("guest");
}

#[test]
#[ignore = "needs Docker and an image: scripts/container-faults.sh runs it"]
fn a_server_that_is_killed_comes_back_into_its_network() {
    let image = image();
    let mesh = Mesh::start(&image);
    let [one, two, three] = &mesh.hosts;
    three.docker(&["kill"]);
    [one, two].into_iter().for_each(Host::wait_until_cut);
    expect_unreachable(two);
    three.docker(&["start"]);
    mesh.wait_until_whole();
    mesh.expect_talk("guest");
    // Killed and back before anybody could notice: the links that are left over must give way.
    three.docker(&["restart", "--time", "0"]);
    wait_for("the restarted server knows its siblings", || three.is_merged_with(2).then_some(()));
    mesh.wait_until_whole();
    mesh.expect_talk("again");
}

fn number(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).unwrap_or_default();
    if text.is_empty() { default } else { text.parse().expect("a number") }
}
