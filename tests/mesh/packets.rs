//! The merge packets, byte for byte.

use std::net::TcpListener;

use crate::node::{Node, wait_until};
use crate::peer::{Home, described, expect, linked, linked_without_description, send};
use crate::support::Client;

#[test]
fn a_lone_server_answers_a_request_without_self_description_with_an_empty_list() {
    let node = Node::start(7, &[]);
    let mut peer = Client::connect(node.address);
    send(&mut peer, "A0 00000009 00000000");
    expect(&mut peer, "A1 00000007 00000000");
    assert_eq!(node.siblings(), [(9, "-".to_owned(), "linked".to_owned())]);
}

#[test]
fn a_lone_server_answers_a_self_description_with_its_own() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    let mut peer = Client::connect(node.address);
    send(&mut peer, &format!("A0 00000009 00000001 {}", home.described(9)));
    expect(&mut peer, &format!("A1 00000007 00000001 {}", described(7, &node.place())));
    assert_eq!(node.siblings(), [(9, home.address.to_string(), "linked".to_owned())]);
}

#[test]
fn an_advertised_address_is_what_others_are_told() {
    let (node, home) = (Node::start(7, &["--advertise", "127.1.2.3:4567"]), Home::new());
    let mut peer = Client::connect(node.address);
    send(&mut peer, &format!("A0 00000009 00000001 {}", home.described(9)));
    expect(&mut peer, "A1 00000007 00000001 00000007 7f010203 000011d7");
}

#[test]
fn the_answer_lists_the_siblings_that_describe_themselves_and_not_the_receiver() {
    let (node, home, other_home) = (Node::start(7, &[]), Home::new(), Home::new());
    let _described = linked(&node, 9, &home);
    let _undescribed = linked_without_description(&node, 5);
    let mut plain = Client::connect(node.address);
    send(&mut plain, "A0 00000004 00000000");
    expect(&mut plain, &format!("A1 00000007 00000001 {}", home.described(9)));
    let mut full = Client::connect(node.address);
    send(&mut full, &format!("A0 00000003 00000001 {}", other_home.described(3)));
    expect(&mut full, &format!("A1 00000007 00000002 {} {}", described(7, &node.place()), home.described(9)));
}

#[test]
fn a_request_describes_the_asking_server_first_then_its_siblings() {
    let (node, home, other_home) = (Node::start(7, &[]), Home::new(), Home::new());
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
        let mut dialled = home.accept();
        expect(&mut dialled, &format!("A0 00000007 00000001 {}", described(7, &node.place())));
        send(&mut dialled, &format!("A1 00000009 00000001 {}", home.described(9)));
        assert_eq!(answer.join().unwrap(), ["ok"]);

        let answer = scope.spawn(|| node.ask(&format!("merge {}", other_home.address)));
        let mut other = other_home.accept();
        let list = format!("{} {}", described(7, &node.place()), home.described(9));
        expect(&mut other, &format!("A0 00000007 00000002 {list}"));
        send(&mut other, "A2 01");
        assert_eq!(answer.join().unwrap(), ["error server limit"]);
        assert_eq!(node.siblings(), [(9, home.address.to_string(), "linked".to_owned())]);
    });
}

#[test]
fn an_answer_without_self_description_is_taken_too() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
        let mut dialled = home.accept();
        dialled.receive();
        send(&mut dialled, "A1 00000009 00000000");
        assert_eq!(answer.join().unwrap(), ["ok"]);
    });
    assert_eq!(node.siblings()[0].0, 9);
}

#[test]
fn a_server_that_says_already_merged_without_a_link_is_asked_again() {
    let (node, home) = (Node::start(7, &[]), Home::new());
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
        for reply in ["A2 00", "A2 00", &format!("A1 00000009 00000001 {}", home.described(9))] {
            let mut dialled = home.accept();
            dialled.receive();
            send(&mut dialled, reply);
            if reply.starts_with("A1") {
                assert_eq!(answer.join().unwrap(), ["ok"]);
                node.wait_until_linked_with(&[9]);
                break;
            }
        }
    });
}

#[test]
fn an_answer_that_does_not_fit_is_closed_and_nothing_of_it_is_kept() {
    let node = Node::start(7, &[]);
    let places = (1..=10).map(|id| described(100 + id, &format!("127.0.0.1:{id}"))).collect::<String>();
    let unfit = [
        ("A1 00000007 00000000".to_owned(), "error server id conflict"),
        (format!("A1 00000009 00000001 {}", described(7, "127.0.0.1:9")), "error server id conflict"),
        (
            format!("A1 00000009 00000002 {} {}", described(8, "127.0.0.1:9"), described(8, "127.0.0.1:10")),
            "error server id conflict",
        ),
        (format!("A1 00000009 0000000A {places}"), "error server limit"),
        ("A1 00000009 0000000B".to_owned(), "error server limit"),
        ("A1 00000009 FFFFFFFF".to_owned(), "error server limit"),
        ("A2 01".to_owned(), "error server limit"),
        ("A2 02".to_owned(), "error server id conflict"),
    ];
    for (reply, outcome) in unfit {
        let home = Home::new();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
            let mut dialled = home.accept();
            dialled.receive();
            send(&mut dialled, &reply);
            assert_eq!(answer.join().unwrap(), [outcome], "{reply}");
            dialled.expect_end();
        });
        assert!(node.siblings().is_empty(), "{reply}");
    }
}

#[test]
fn the_log_says_how_far_a_merge_packet_came_that_did_not_come_to_its_end() {
    let node = Node::start(7, &["--handshake-timeout", "1"]);
    // A peer whose descriptions have ten bytes, and others that stop elsewhere.
    let stopped = [
        ("A0 00000009 00000001 00000009 7f000001 1e61", "stopped inside an MRGREQ (19 of 21 bytes)"),
        ("A0 00000009 00000002 00000009", "stopped inside an MRGREQ (13 of 33 bytes)"),
        ("A0 00000009 0000", "stopped inside an MRGREQ (7 of at least 9 bytes)"),
        ("A1 00000009 00000001 00", "stopped inside an MRGRSP (10 of 21 bytes)"),
        ("A2", "stopped inside an MRGDECL (1 of 2 bytes)"),
    ];
    for (sent, said) in stopped {
        let mut peer = Client::connect(node.address);
        send(&mut peer, sent);
        peer.shut_sending_side();
        peer.expect_end();
        let line = node.server.wait_for_log(said);
        assert!(line.contains("left") && line.contains("INFO"), "{line}");
    }
    let mut peer = Client::connect(node.address);
    send(&mut peer, "A0 00000009 00000003");
    peer.expect_end();
    let line = node.server.wait_for_log("stopped inside an MRGREQ (9 of 45 bytes)");
    assert!(line.contains("did not log in or merge in time"), "{line}");
}

#[test]
fn an_operator_is_told_how_far_the_answer_came_that_did_not_come_to_its_end() {
    let node = Node::start(7, &[]);
    for (reply, said) in [
        ("A1 00000009 00000001 00000009 7f000001 1e61", "error unreachable stopped inside an MRGRSP (19 of 21 bytes)"),
        ("A1 0000", "error unreachable stopped inside an MRGRSP (3 of at least 9 bytes)"),
        ("A2", "error unreachable stopped inside an MRGDECL (1 of 2 bytes)"),
    ] {
        let home = Home::new();
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| node.ask(&format!("merge {}", home.address)));
            // It is tried twice.
            for _ in 0..2 {
                let mut dialled = home.accept();
                dialled.receive();
                send(&mut dialled, reply);
            }
            assert_eq!(answer.join().unwrap(), [said]);
        });
    }
}

#[test]
fn a_server_that_does_not_answer_is_unreachable() {
    let node = Node::start(7, &[]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = node.ask(&format!("merge {nobody}"));
    assert!(answer.len() == 1 && answer[0].starts_with("error unreachable "), "{answer:?}");
    wait_until(|| node.status("mesh_complete") == "1", || "the merge is still tried".to_owned());
}
