//! Two servers that dial each other at once (RFC 4271 section 6.8 is the rule): which connection stays.

use crate::node::Node;
use crate::peer::{Home, expect, send};
use crate::support::Client;

/// The link of server 7 to peer `id` is this connection.
fn expect_link(node: &Node, id: u32, link: &mut Client) {
    node.wait_until_linked_with(&[id]);
    node.guest("ana").say("hi");
    expect(link, &format!("50 {id:08x} 30 00000007 00000003 616e61 00000002 6869"));
}

/// Server 7 has dialled peer `id`, which dials too before it answers: both connections, the server's first.
fn collide(node: &Node, id: u32, is_described: bool, then: impl FnOnce(Client, Client, &Home)) {
    let home = Home::new();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
        let mut dialled = home.accept();
        dialled.receive();
        let mut dialling = Client::connect(node.address);
        let list = if is_described { format!("00000001 {}", home.described(id)) } else { "00000000".to_owned() };
        send(&mut dialling, &format!("A0 {id:08x} {list}"));
        then(dialled, dialling, &home);
        assert_eq!(answer.join().unwrap(), ["ok"]);
    });
}

#[test]
fn the_connection_that_the_higher_id_dialled_stays_when_that_is_the_other_server() {
    let node = Node::start(7, &[]);
    collide(&node, 9, true, |mut dialled, mut dialling, _| {
        assert_eq!(dialling.receive()[0], 0xA1);
        dialled.expect_end();
        expect_link(&node, 9, &mut dialling);
    });
}

#[test]
fn the_connection_that_the_higher_id_dialled_stays_when_that_is_us() {
    let node = Node::start(7, &[]);
    collide(&node, 5, true, |mut dialled, mut dialling, home| {
        dialling.expect_end();
        send(&mut dialled, &format!("A1 00000005 00000001 {}", home.described(5)));
        expect_link(&node, 5, &mut dialled);
    });
}

#[test]
fn the_rule_holds_for_a_peer_that_is_recognised_only_by_its_answer() {
    for (id, ours_stays) in [(9, false), (5, true)] {
        let node = Node::start(7, &[]);
        collide(&node, id, false, |mut dialled, mut dialling, _| {
            assert_eq!(dialling.receive()[0], 0xA1);
            send(&mut dialled, &format!("A1 {id:08x} 00000000"));
            let (mut stays, mut goes) = if ours_stays { (dialled, dialling) } else { (dialling, dialled) };
            goes.expect_end();
            expect_link(&node, id, &mut stays);
        });
    }
}
