//! Numbers and times at their edges.

use super::*;
use crate::wire::DeclineReason;

/// 7 was linked with us and is lost, as is 8. It does not fit any more, and says so this often.
fn lost_and_declined(siblings: &[(u32, &[u32])], dial_for: DialFor, times: u32) -> Play {
    let mut play = Play::new(siblings);
    for id in [7, 8] {
        play.link(id, &[]);
        play.now = play.now + 60_000;
        play.mesh.on_link_lost(ServerId(id), key(id), play.now);
    }
    let declined = Dialled::Declined(DeclineReason::ServerLimit);
    for _ in 0..times {
        play.mesh.on_dial_ended(dial_for, &declined, play.now, &mut play.effects);
    }
    play
}

#[test]
fn a_lost_server_that_has_joined_another_network_is_given_up_after_some_answers() {
    for dial_for in [DialFor::Server(ServerId(7)), DialFor::Heard(address(7))] {
        let given_up = |siblings, times| lost_and_declined(siblings, dial_for, times).known();
        let most = limits::UNFIT_TRIES_MAX;
        assert_eq!(given_up(&[(1, &[])], most - 1), [1, 7, 8]);
        assert_eq!(given_up(&[(1, &[])], most), [1, 8], "{dial_for:?}");
        // A sibling says that it is linked with it.
        assert_eq!(given_up(&[(1, &[7])], most), [1, 7, 8]);
    }
}

#[test]
fn a_lost_server_that_was_named_is_not_given_up_whatever_it_answers() {
    let mut play = lost_and_declined(&[(1, &[])], DialFor::Server(ServerId(7)), 0);
    play.mesh.servers.get_mut(&ServerId(7)).unwrap().name = HostPort::parse("seven:7777");
    for _ in 0..limits::UNFIT_TRIES_MAX {
        let declined = Dialled::Declined(DeclineReason::ServerLimit);
        play.mesh.on_dial_ended(DialFor::Server(ServerId(7)), &declined, play.now, &mut play.effects);
    }
    assert_eq!(play.known(), [1, 7, 8]);
}

#[test]
fn a_server_that_a_sibling_sees_elsewhere_is_a_named_one_and_one_that_never_said_where_it_is_may_be_that() {
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 9), 7777);
    let mut play = Play::new(&[(1, &[]), (9, &[])]);
    let seen = Offer { others: vec![(ServerId(9), elsewhere), (ServerId(20), address(20))], ..offer(1, &[]) };
    play.mesh.on_update(&seen, play.now);
    let silent =
        Offer { server: ServerId(20), address: None, is_routed: false, others: vec![], is_contradictory: false };
    let joined = Joined { remote: None, is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(20), &silent, joined, play.now, &mut play.effects);
    assert_eq!(play.mesh.named().into_keys().collect::<Vec<_>>(), [(ServerId(9), elsewhere)]);
}

#[test]
fn a_routed_server_has_so_many_links_and_no_more() {
    let mut play = Play::new(&[]);
    play.mesh.route(Routed::new(ServerId(ID), address(ID), 1_000, 0));
    let routed = |id| Offer { is_routed: true, ..offer(id, &[]) };
    for id in 100..100 + limits::ROUTED_LINKS_MAX as u32 {
        assert_eq!(play.ask(&routed(id)), Decision::Accept);
        let joined = Joined { remote: Some(SocketAddr::V4(address(id))), is_dialled: false, told: Vec::new() };
        play.mesh.on_link_up(key(id), &routed(id), joined, play.now, &mut play.effects);
    }
    assert_eq!(play.ask(&routed(99)), Decision::Decline(Misfit::TooManyLinks));
}

#[test]
fn of_two_servers_that_dial_each_other_the_higher_id_keeps_its_dial() {
    let mesh = Play::new(&[]).mesh;
    assert_eq!([ID - 1, ID + 1].map(|other| mesh.own_dial_stays(ServerId(other))), [true, false]);
}

#[test]
fn a_network_is_complete_when_nobody_is_lost_named_or_asked_for() {
    assert!(Play::new(&[(1, &[])]).mesh.is_complete());
    assert!(!Play::new(&[(1, &[9])]).mesh.is_complete(), "1 names 9");
    let mut lost = Play::new(&[(1, &[])]);
    lost.mesh.on_link_lost(ServerId(1), key(1), lost.now);
    assert!(!lost.mesh.is_complete());
    let mut asked = Play::new(&[(1, &[])]);
    asked.mesh.request_merge(HostPort::parse("nine:7777").unwrap(), None, asked.now);
    assert!(!asked.mesh.is_complete());
}

#[test]
fn a_server_that_is_back_where_it_was_is_not_dialled_whether_it_says_where_it_is_or_not() {
    for place in [Some(address(1)), None] {
        let mut play = Play::new(&[(1, &[])]);
        play.mesh.on_link_lost(ServerId(1), key(1), play.now);
        let back = Offer { address: place, ..offer(1, &[]) };
        let joined = Joined { remote: Some(SocketAddr::V4(address(1))), is_dialled: false, told: Vec::new() };
        play.mesh.on_link_up(key(1), &back, joined, play.now, &mut play.effects);
        assert_eq!(play.dials(60_000), [], "{place:?}");
    }
}

#[test]
fn a_lost_server_that_does_not_answer_is_kept_when_another_one_comes_up_elsewhere() {
    let mut play = Play::new(&[(1, &[]), (7, &[])]);
    play.now = play.now + 60_000;
    play.mesh.on_link_lost(ServerId(7), key(7), play.now);
    assert!(!play.dials(10_000).is_empty());
    play.link(8, &[]);
    assert_eq!(play.known(), [1, 7, 8]);
}

#[test]
fn an_address_that_is_dialled_is_one_of_a_single_host() {
    for (first, is_one) in [(0, false), (1, true), (127, true), (223, true), (224, false), (255, false)] {
        assert_eq!(is_unicast(Ipv4Addr::new(first, 0, 0, 1)), is_one, "{first}.0.0.1");
    }
}

#[test]
fn links_are_as_long_as_the_servers_between_and_the_one_that_closes_a_ring_is_a_spare() {
    let dense = Play::new(&[(1, &[9]), (9, &[1])]);
    assert_eq!(dense.mesh.route_lengths(), BTreeMap::from([(ServerId(1), 0), (ServerId(9), 0)]));
    let mut play = Play::new(&[]);
    play.mesh.route(Routed::new(ServerId(ID), address(ID), 1_000, 0));
    for id in [1, 9] {
        let routed = Offer { is_routed: true, ..offer(id, &[]) };
        let joined = Joined { remote: Some(SocketAddr::V4(address(id))), is_dialled: false, told: Vec::new() };
        play.mesh.on_link_up(key(id), &routed, joined, play.now, &mut play.effects);
        let routed = play.mesh.routed_mut().unwrap();
        assert!(routed.on_hello(ServerId(id), key(id), 0, &mut play.effects));
    }
    let routed = play.mesh.routed_mut().unwrap();
    let ours = routed.database().get((ServerId(ID), address(ID))).unwrap().neighbours.clone();
    let (&(_, to_one), &(_, to_nine)) = (&ours[0], &ours[1]);
    let words = [(1, vec![(9, 1), (ID, to_one)]), (9, vec![(1, 1), (12, 1), (ID, to_nine)]), (12, vec![(9, 1)])];
    for (id, list) in words {
        let list = list.into_iter().map(|(id, stamp)| (ServerId(id), stamp)).collect();
        routed.on_links(key(9), (ServerId(id), address(id)), (1, 1), list, play.now, &mut play.effects);
    }
    routed.refresh(play.now);
    // The link between 1 and 9 is the oldest, then ours to 1.
    let lengths = [(1, 0), (9, 1), (12, 2)].map(|(id, length)| (ServerId(id), length));
    assert_eq!(play.mesh.route_lengths(), BTreeMap::from(lengths));
    let states: Vec<_> = play.mesh.servers().map(|server| (server.id.0, server.state)).collect();
    assert_eq!(states, [(1, "linked"), (9, "spare")]);
}
