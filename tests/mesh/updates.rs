//! How the others learn of a merge.

use crate::node::Node;
use crate::peer::{Home, described, expect, linked, linked_without_description, send};
use crate::support::Client;

#[test]
fn a_merge_is_announced_to_siblings_that_describe_themselves() {
    let (node, home, other_home) = (Node::start(7, &[]), Home::new(), Home::new());
    let mut silent = linked_without_description(&node, 5);
    let mut peer = linked(&node, 9, &home);
    let _other = linked(&node, 3, &other_home);
    let own = described(7, &node.place());
    expect(&mut peer, &format!("A0 00000007 00000002 {own} {}", other_home.described(3)));
    // A peer that knows only the RFC may answer that it is merged already.
    send(&mut peer, "A2 00");
    node.guest("ana").say("hi");
    expect(&mut peer, "50 00000009 30 00000007 00000003 616e61 00000002 6869");
    expect(&mut silent, "50 00000005 30 00000007 00000003 616e61 00000002 6869");
    node.wait_until_linked_with(&[3, 5, 9]);
}

#[test]
fn servers_that_a_sibling_announces_are_dialled() {
    for code in ["A0", "A1"] {
        let (node, home, third, fourth) = (Node::start(7, &[]), Home::new(), Home::new(), Home::new());
        let mut peer = linked(&node, 9, &home);
        let list = format!("{} {} {}", home.described(9), third.described(5), fourth.described(6));
        send(&mut peer, &format!("{code} 00000009 00000003 {list}"));
        let mut dialled: Vec<(u32, Client)> = vec![(5, third.accept()), (6, fourth.accept())];
        for (id, connection) in &mut dialled {
            let list = format!("{} {}", described(7, &node.place()), home.described(9));
            expect(connection, &format!("A0 00000007 00000002 {list}"));
            // Without a self-description, so that the other's request stays the same.
            send(connection, &format!("A1 {id:08x} 00000000"));
            if *id == 5 {
                node.siblings();
            }
        }
        node.wait_until_linked_with(&[5, 6, 9]);
    }
}

#[test]
fn a_server_that_a_sibling_reaches_and_we_do_not_is_listed_with_that_sibling() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut peer = linked(&node, 9, &home);
    let nobody = crate::node::fresh_address().to_string();
    send(&mut peer, &format!("A0 00000009 00000002 {} {}", home.described(9), described(5, &nobody)));
    let is_listed = || node.ask("siblings").iter().any(|line| line.ends_with("\tlinked with 9, not with us"));
    crate::node::wait_until(is_listed, || format!("{:?}", node.ask("siblings")));
    let line = node.ask("siblings").into_iter().find(|line| line.starts_with("5\t")).unwrap();
    assert!(line.starts_with(&format!("5\t{nobody}\tdialling\t")), "{line}");
}

#[test]
fn servers_in_an_answer_are_dialled() {
    let (node, home, third) = (Node::start(7, &[]), Home::new(), Home::new());
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
        let mut dialled = home.accept();
        dialled.receive();
        send(&mut dialled, &format!("A1 00000009 00000002 {} {}", home.described(9), third.described(5)));
        assert_eq!(answer.join().unwrap(), ["ok"]);
        let mut dialled = third.accept();
        let list = format!("{} {}", described(7, &node.place()), home.described(9));
        expect(&mut dialled, &format!("A0 00000007 00000002 {list}"));
    });
}

#[test]
fn announced_servers_that_conflict_or_are_too_many_have_no_place() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut peer = linked(&node, 9, &home);
    let other_home = Home::new();
    let _other = linked(&node, 3, &other_home);
    // We are elsewhere, and 3 is linked from elsewhere: neither changes anything.
    send(&mut peer, &format!("A0 00000009 00000002 {} {}", described(7, "127.0.0.1:9"), described(3, "127.0.0.1:9")));
    // More servers than there are places: all of them are dialled, and none has a place before it is linked.
    let homes: Vec<Home> = (0..9).map(|_| Home::new()).collect();
    let list: String = homes.iter().zip(20..).map(|(home, id)| home.described(id)).collect();
    send(&mut peer, &format!("A0 00000009 00000009 {list}"));
    let dialled: Vec<Client> = homes.iter().map(Home::accept).collect();
    drop(dialled);
    let linked: Vec<u32> = node.siblings().into_iter().filter(|sibling| sibling.2 == "linked").map(|s| s.0).collect();
    assert_eq!(linked, [3, 9]);
    let stranger = linked_without_description(&node, 50);
    drop(stranger);
}
