//! What a server that is not linked may do, and what is kept of it.

use super::*;
use crate::core::state::mesh::reconcile::Conflict;
use crate::wire::DeclineReason;

fn from(id: u32) -> Option<SocketAddr> {
    Some(SocketAddr::V4(address(id)))
}

#[test]
fn a_lost_server_may_ask_from_its_own_address_and_under_its_own_id_alone() {
    let mut play = Play::new(&[(1, &[])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let may_ask = |from: Option<SocketAddr>, id: u32| play.mesh.permits(from, ServerId(id));
    assert!(may_ask(from(1), 1));
    assert!(!may_ask(from(1), 2) && !may_ask(from(66), 1));
}

#[test]
fn a_lost_server_that_has_our_id_elsewhere_is_declined_whatever_else_it_says() {
    let mut play = Play::new(&[(1, &[9]), (9, &[1])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let back = Offer { others: vec![(ServerId(ID), address(66))], ..offer(1, &[]) };
    assert!(matches!(play.ask(&back), Decision::Decline(Misfit::OwnId { .. })));
}

#[test]
fn a_newcomer_at_the_address_of_a_lost_server_takes_its_place_among_ten() {
    let mut play =
        Play::new(&[(1, &[]), (2, &[]), (3, &[]), (4, &[]), (6, &[]), (7, &[]), (8, &[]), (9, &[]), (10, &[])]);
    play.now = play.now + 60_000;
    play.mesh.on_link_lost(ServerId(10), key(10), play.now);
    assert!(matches!(play.ask(&offer(11, &[])), Decision::Decline(Misfit::TooMany(11))));
    assert_eq!(play.ask(&Offer { server: ServerId(11), ..offer(10, &[]) }), Decision::Accept);
}

#[test]
fn our_own_request_to_a_server_that_a_sibling_names_stays_if_our_id_is_higher() {
    let mut play = Play::new(&[(9, &[3, 7])]);
    play.now = play.now + limits::DIAL_SOON_MS;
    while let Some(dial) = play.mesh.poll_dial(play.now) {
        let DialFor::Heard(to) = dial.dial_for else { panic!("{dial:?}") };
        assert!(play.mesh.on_dialled(dial.dial_for, key(50), to.into(), None));
        play.mesh.on_request_sent(dial.dial_for);
    }
    assert_eq!(play.ask(&offer(3, &[])), Decision::Yield);
    assert_eq!(play.ask(&offer(7, &[])), Decision::Accept);
}

#[test]
fn a_sibling_at_an_unknown_address_has_us_dial_no_local_one() {
    let mut play = Play::new(&[]);
    let joined = Joined { remote: None, is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(9), &offer(9, &[3]), joined, play.now, &mut play.effects);
    assert_eq!(play.dials(60_000), []);
}

#[test]
fn what_a_stranger_says_counts_for_a_while_and_only_while_it_is_named() {
    let mut play = eleven();
    let word = offer(10, &[1, 2, 3, 4, 6, 7, 8, 9]);
    play.mesh.note_word(&word, from(10), play.now);
    assert_eq!(play.mesh.judge(play.now), Conflict::InView);
    play.now = play.now + limits::WORD_MS;
    play.mesh.refresh_hearsay(play.now);
    assert_eq!(play.mesh.judge(play.now), Conflict::InView);
    play.now = play.now + 1;
    play.mesh.refresh_hearsay(play.now);
    assert_eq!(play.mesh.judge(play.now), Conflict::None);
    play.mesh.note_word(&offer(50, &[1]), from(50), play.now);
    assert!(play.mesh.hearsay.words.is_empty(), "nobody names 50");
    play.mesh.note_word(&word, from(10), play.now);
    assert_eq!(play.mesh.hearsay.words.len(), 1);
    for id in [1, 2, 3, 4, 6, 7, 8, 9] {
        play.mesh.on_update(&offer(id, &[]), play.now);
    }
    assert!(play.mesh.hearsay.words.is_empty(), "nobody names 10 any more");
}

#[test]
fn who_asks_from_the_address_that_a_sibling_from_elsewhere_names_is_dialled_there() {
    let mut play = Play::new(&[]);
    let joined = Joined { remote: from(66), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(3), &offer(3, &[]), joined, play.now, &mut play.effects);
    assert_eq!(play.dials(10_000), []);
    assert_eq!(play.ask(&offer(3, &[])), Decision::Decline(Misfit::AlreadyMerged));
    assert_eq!(play.dials(1_000)[0].0, address(3));
}

#[test]
fn a_former_address_is_dialled_until_the_server_there_says_that_it_is_linked() {
    let mut play = Play::new(&[(1, &[])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(1_000);
    let joined = Joined { remote: from(2), is_dialled: false, told: Vec::new() };
    let elsewhere = Offer { address: Some(address(2)), ..offer(1, &[]) };
    play.mesh.on_link_up(key(1), &elsewhere, joined, play.now, &mut play.effects);
    assert!(!play.dials(60_000).is_empty());
    let declined = Dialled::Declined(DeclineReason::AlreadyMerged);
    let dial = loop {
        match play.mesh.poll_dial(play.now) {
            Some(dial) => break dial,
            None => play.now = play.now + 1_000,
        }
    };
    play.mesh.on_dial_ended(dial.dial_for, &declined, play.now, &mut play.effects);
    assert_eq!(play.dials(limits::FORGET_MS), []);
    play.mesh.on_update(&elsewhere, play.now);
    assert_eq!(play.dials(limits::FORGET_MS), []);
}

#[test]
fn a_sibling_that_does_not_describe_itself_is_not_dialled_where_others_say_that_it_is() {
    let mut play = Play::new(&[]);
    let silent = Offer { address: None, ..offer(20, &[]) };
    let joined = Joined { remote: from(20), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(20), &silent, joined, play.now, &mut play.effects);
    play.link(9, &[20]);
    assert_eq!(play.dials(60_000), []);
    assert!(play.mesh.is_complete());
}
