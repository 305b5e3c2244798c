//! Whom a server leaves, and whom it keeps, when it follows another one.

use super::*;

fn elsewhere(id: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, id as u8), 7777)
}

#[test]
fn a_network_that_does_not_agree_is_looked_at_without_anything_happening() {
    // 1 does not have 9, which nobody has to be dialled for.
    let play = Play::new(&[(1, &[]), (9, &[1])]);
    let at = play.mesh.next_deadline().unwrap();
    assert!(at > play.now && at <= play.now + limits::RECONCILE_MS);
}

#[test]
fn a_conflict_of_a_moment_is_no_reason_to_leave_a_server_that_has_been_here_for_long() {
    let mut play = eleven();
    let (announced, strangers) = (play.announced.clone(), std::mem::take(&mut play.strangers));
    for (id, others) in &mut play.announced {
        others.retain(|&other| other != 10);
        play.mesh.on_update(&offer(*id, others), play.now);
    }
    play.pass(10 * limits::RECONCILE_MS);
    assert!(play.linked().contains(&11), "they are ten");
    play.announced = announced;
    for (id, others) in &play.announced {
        play.mesh.on_update(&offer(*id, others), play.now);
    }
    for (id, others) in &strangers {
        play.ask(&offer(*id, others));
    }
    play.pass(limits::RECONCILE_MS);
    assert!(play.linked().contains(&11), "they may be ten again soon");
    play.pass(2 * limits::RECONCILE_MS);
    assert!(!play.linked().contains(&11));
}

/// We and 1 to 4 are all linked with each other, and those with 6, which does not reach us. 0 is linked with us and with
/// another 4, which asks us in vain. 20 is linked with us and does not say where it is.
fn twins() -> Play {
    let clique = [1, 2, 3, 4, 6];
    let mut play = Play::new(&[]);
    for id in [1, 2, 3, 4] {
        let others: Vec<u32> = clique.into_iter().filter(|&other| other != id).collect();
        play.announced.push((id, others.clone()));
        play.link(id, &others);
    }
    let odd = Offer { others: vec![(ServerId(4), elsewhere(4))], ..offer(0, &[]) };
    let silent = Offer { address: None, ..offer(20, &[]) };
    for (offer, remote) in [(&odd, Some(SocketAddr::V4(address(0)))), (&silent, None)] {
        let joined = Joined { remote, is_dialled: false, told: Vec::new() };
        play.mesh.on_link_up(key(offer.server.0), offer, joined, play.now, &mut play.effects);
    }
    let twin = Offer { address: Some(elsewhere(4)), ..offer(4, &[0]) };
    for _ in 0..20 {
        if play.mesh.link_to(ServerId(0)).is_some() {
            play.mesh.on_update(&odd, play.now);
            assert!(matches!(play.ask(&twin), Decision::Decline(Misfit::Conflict { .. })));
        }
        play.pass(10_000);
    }
    play
}

#[test]
fn a_sibling_that_does_not_describe_itself_is_kept_if_there_is_room_and_no_other_one_that_the_leader_does_not_have() {
    let play = twins();
    assert_eq!(play.linked(), [1, 2, 3, 4, 20]);
    assert!(play.mesh.servers.get(&ServerId(4)).is_some_and(|server| server.place() == Some(address(4))));
}

#[test]
fn whoever_has_the_id_of_a_server_that_stays_is_not_admitted_for_a_while() {
    let mut play = eleven();
    // 4 is with the others where they say that it is, and 11 has another 4.
    let eleven = Offer { others: vec![(ServerId(4), elsewhere(4))], ..offer(11, &[]) };
    play.announced.retain(|(id, _)| *id != 11);
    let twin = Offer { address: Some(elsewhere(4)), ..offer(4, &[11]) };
    while play.linked().contains(&11) {
        assert!(play.now < Millis(PATIENCE_MS));
        play.mesh.on_update(&eleven, play.now);
        play.ask(&twin);
        play.pass(1_000);
    }
    for (id, place) in [(11, address(11)), (4, elsewhere(4))] {
        assert!(play.mesh.is_excluded(ServerId(id), Some(place), play.now), "{id}");
    }
    assert!(!play.mesh.is_excluded(ServerId(4), Some(address(4)), play.now));
}

#[test]
fn a_lost_server_is_left_if_another_has_its_id_or_it_does_not_fit_and_else_it_is_kept() {
    let mut play = eleven();
    // 10 was here at another address, 12 is linked with 11 now, and nobody knows 14.
    for id in [10, 12, 14] {
        let place = if id == 10 { elsewhere(10) } else { address(id) };
        let joined = Joined { remote: Some(SocketAddr::V4(place)), is_dialled: false, told: Vec::new() };
        let offer = Offer { address: Some(place), ..offer(id, &[]) };
        play.mesh.on_link_up(key(id), &offer, joined, play.now, &mut play.effects);
        play.mesh.on_link_lost(ServerId(id), key(id), play.now);
    }
    while play.linked().contains(&11) {
        assert!(play.now < Millis(PATIENCE_MS));
        play.mesh.note_word(&offer(12, &[11]), Some(SocketAddr::V4(address(12))), play.now);
        play.pass(1_000);
    }
    let kept: Vec<u32> = play.mesh.servers.keys().map(|id| id.0).collect();
    assert_eq!(kept, [1, 2, 3, 4, 6, 7, 8, 9, 14]);
}
