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
