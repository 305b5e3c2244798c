//! Servers that were lost, and come back or ask again.

use super::*;
use crate::wire::DeclineReason;

/// More servers than fit, with those that we have.
const NINE_OTHERS: [u32; 9] = [11, 12, 13, 14, 15, 16, 17, 18, 19];

#[test]
fn a_lost_server_that_is_accepted_and_leaves_at_once_is_declined_in_the_end() {
    let mut play = Play::new(&[(1, &[]), (9, &[])]);
    let mut accepted = 0;
    for _ in 0..6 {
        play.now = play.now + 100;
        play.mesh.on_link_lost(ServerId(1), key(1), play.now);
        play.now = play.now + 60_000;
        if play.ask(&offer(1, &NINE_OTHERS)) == Decision::Accept {
            accepted += 1;
            play.link(1, &[]);
        }
    }
    assert_eq!(accepted, limits::UNFIT_TRIES_MAX - 1);
    assert_eq!(play.ask(&offer(1, &NINE_OTHERS)), Decision::Decline(Misfit::TooMany(12)));
    assert_eq!(play.ask(&offer(1, &[11])), Decision::Accept, "it may come back with fewer");
}

#[test]
fn a_lost_server_whose_links_hold_is_let_in_whatever_its_list_says() {
    let mut play = Play::new(&[(1, &[])]);
    for _ in 0..6 {
        play.now = play.now + limits::LINK_HELD_MS;
        play.mesh.on_link_lost(ServerId(1), key(1), play.now);
        assert_eq!(play.ask(&offer(1, &NINE_OTHERS)), Decision::Accept);
        play.link(1, &[]);
    }
}

#[test]
fn a_named_server_whose_id_a_sibling_has_is_told_so_when_it_is_dialled() {
    let mut play = Play::new(&[(3, &[]), (9, &[])]);
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 33), 7777);
    let named = Offer { others: vec![(ServerId(3), elsewhere)], ..offer(9, &[]) };
    play.mesh.on_update(&named, play.now);
    play.now = play.now + limits::DIAL_SOON_MS;
    let dial = play.mesh.poll_dial(play.now).unwrap();
    assert_eq!(dial.dial_for, DialFor::Heard(elsewhere));
    let list = play.mesh.describe(true, play.mesh.receiver(dial.dial_for), Some(elsewhere.into()));
    let named: Vec<u32> = Descriptions::new(&list).unwrap().iter().map(|entry| entry.server.0).collect();
    assert_eq!(named, [ID, 3, 9]);
}

#[test]
fn an_address_at_which_another_server_answers_is_dialled_ever_more_slowly() {
    let mut play = Play::new(&[(9, &[3])]);
    let (mut dials, end) = (0, play.now + 60_000);
    while play.now < end {
        play.now = play.now + 10;
        while let Some(dial) = play.mesh.poll_dial(play.now) {
            assert_eq!(dial.dial_for, DialFor::Heard(address(3)));
            dials += 1;
            // Server 4 is there, and its new link replaces the old one.
            let stranger = Offer { server: ServerId(4), ..offer(3, &[]) };
            play.mesh.on_dial_accepted(dial.dial_for, ServerId(4), play.now, &mut play.effects);
            let told = play.mesh.list_for(ServerId(4));
            let joined = Joined { remote: Some(SocketAddr::V4(address(3))), is_dialled: true, told };
            play.mesh.on_link_up(key(4 + 100 * dials), &stranger, joined, play.now, &mut play.effects);
        }
    }
    assert!((1..=5).contains(&dials), "{dials}");
}

#[test]
fn only_a_server_that_was_seen_at_its_place_is_dialled_at_once_when_it_fits_in_the_end() {
    for (remote, is_seen) in [(address(10), true), (address(66), false)] {
        let mut play = eleven();
        let mut strangers = std::mem::take(&mut play.strangers);
        let (id, others) = strangers.remove(0);
        while play.linked().contains(&11) {
            play.mesh.note_word(&offer(id, &others), Some(SocketAddr::V4(remote)), play.now);
            play.pass(1_000);
            assert!(play.now < Millis(PATIENCE_MS));
        }
        let failures = play.mesh.hearsay.dials.get(&address(10)).map(|heard| heard.dialler.retry.failures);
        assert!(failures.is_some_and(|failures| (failures < 3) == is_seen), "{remote}: {failures:?}");
    }
}

#[test]
fn where_a_server_was_before_is_not_dialled_once_it_is_given_up() {
    let mut play = Play::new(&[(1, &[])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(1_000);
    let elsewhere = Offer { address: Some(address(2)), ..offer(1, &[]) };
    let joined = Joined { remote: Some(SocketAddr::V4(address(2))), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(1), &elsewhere, joined, play.now, &mut play.effects);
    assert!(play.dials(1_000).iter().all(|&(to, _)| to == address(1)), "its former place");
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let declined = Dialled::Declined(DeclineReason::ServerLimit);
    while play.known().contains(&1) {
        play.now = play.now + 10;
        while let Some(dial) = play.mesh.poll_dial(play.now) {
            play.mesh.on_dial_ended(dial.dial_for, &declined, play.now, &mut play.effects);
        }
    }
    assert_eq!(play.dials(limits::FORGET_MS), []);
    assert_eq!(play.mesh.next_deadline(), None);
}

/// A server under this ID that says that it is at the address of another, on a connection from there or from elsewhere.
fn alias(id: u32, place: u32, is_from_there: bool) -> (Offer, SocketAddr) {
    let remote = if is_from_there { address(place) } else { address(66) };
    (Offer { server: ServerId(id), ..offer(place, &[]) }, SocketAddr::V4(remote))
}

#[test]
fn one_address_takes_one_place_whatever_ids_it_uses() {
    for is_from_there in [true, false] {
        let mut play = Play::new(&[(1, &[])]);
        for id in 20..30 {
            let (alias, remote) = alias(id, 6, is_from_there);
            assert_eq!(play.mesh.decide(&alias, Some(remote), play.now), Decision::Accept);
            let joined = Joined { remote: Some(remote), is_dialled: false, told: Vec::new() };
            play.mesh.on_link_up(key(id), &alias, joined, play.now, &mut play.effects);
            assert_eq!(play.linked(), [1, id], "the newcomer has the place");
        }
    }
    let mut play = Play::new(&[(1, &[2, 3, 4, 7, 8, 9])]);
    play.announced.clear();
    // Others know that address under other IDs.
    let six = [2, 3, 4, 7, 8, 9].map(|id| (ServerId(id), address(id)));
    let named = [20, 21, 22, 23].map(|id| (ServerId(id), address(6)));
    let asks = Offer { others: six.into_iter().chain(named).collect(), ..offer(1, &[]) };
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let stranger = Offer { server: ServerId(10), address: Some(address(10)), ..asks };
    assert_eq!(play.ask(&stranger), Decision::Accept);
}

#[test]
fn whoever_does_not_come_from_an_address_does_not_take_it_from_a_server_that_does() {
    let mut play = Play::new(&[(1, &[])]);
    let (liar, remote) = alias(20, 1, false);
    let taken = Misfit::Taken { place: address(1), by: ServerId(1) };
    assert_eq!(play.mesh.decide(&liar, Some(remote), play.now), Decision::Decline(taken));
    assert_eq!(play.mesh.fits(&liar, Some(remote), play.now), Err(taken));
    // One that got in before it does not count in the place of the true one.
    let joined = Joined { remote: Some(remote), is_dialled: false, told: Vec::new() };
    let (low, _) = alias(0, 1, false);
    play.mesh.on_link_up(key(20), &low, joined, play.now, &mut play.effects);
    assert_eq!(play.linked(), [0, 1]);
    assert_eq!(play.mesh.graph(play.now).id(1), Some(ServerId(1)));
    let (heir, remote) = alias(21, 1, true);
    assert_eq!(play.mesh.decide(&heir, Some(remote), play.now), Decision::Accept, "it has come back under another ID");
}
