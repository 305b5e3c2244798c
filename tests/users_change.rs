//! Other users while clients are logged in, without a file: who is closed, and in which steps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use cfp::core::state::users::Users;
use cfp::core::time::Millis;
use cfp::limits::{USERS_FREED_PER_TURN, USERS_SWEEP_CONNECTIONS};
use cfp::wire::{AuthResponse, Packet};
use support::client::encoded;
use support::pipe::{Peer, Rig};
use support::users::line;

/// As `ana`, with a letter of another alphabet.
const LIKE_ANA: &str = "\u{430}na";

/// These are registered, with their nicknames as passwords.
fn users(nicknames: &[&str]) -> Users {
    Users::parse(&nicknames.iter().map(|nickname| line(nickname, nickname)).collect::<String>()).unwrap()
}

fn user(rig: &mut Rig, nickname: &str) -> Peer {
    let peer = rig.connect();
    rig.send(&peer, &encoded(&Packet::AuthUsr { nickname, password: nickname }));
    assert_eq!(peer.take_output(), encoded(&Packet::AuthRsp { response: AuthResponse::Accepted }));
    peer
}

fn change(rig: &mut Rig, users: Users) {
    rig.engine.set_users(users, Millis(rig.now_ms()));
    assert!(!rig.engine.has_swept_users());
    rig.run_until_idle();
    assert!(rig.engine.has_swept_users());
}

#[test]
fn whoever_could_not_log_in_now_as_it_did_is_closed_and_nobody_else() {
    let mut rig = Rig::new(users(&["maria", "zoe"]));
    let (maria, zoe) = (user(&mut rig, "maria"), user(&mut rig, "zoe"));
    let [ana, like_ana, bob] = ["ana", LIKE_ANA, "bob"].map(|nickname| rig.guest(nickname));
    change(&mut rig, users(&["ana", "zoe"]));
    let open = [&maria, &zoe, &ana, &like_ana, &bob].map(|peer| rig.is_open(peer));
    assert_eq!(open, [false, true, false, false, true]);
}

#[test]
fn users_whose_nicknames_look_alike_stay_when_the_users_change() {
    let mut rig = Rig::new(users(&["ana", LIKE_ANA]));
    let both = [user(&mut rig, "ana"), user(&mut rig, LIKE_ANA)];
    change(&mut rig, users(&["ana", LIKE_ANA, "bob"]));
    assert!(both.iter().all(|peer| rig.is_open(peer)));
}

#[test]
fn all_connections_are_looked_at_however_many_there_are() {
    let mut rig = Rig::new(Users::none());
    let guests: Vec<Peer> =
        (0..3 * USERS_SWEEP_CONNECTIONS).map(|number| rig.guest(&format!("guest{number}"))).collect();
    let last = format!("guest{}", guests.len() - 1);
    change(&mut rig, users(&["guest0", &last]));
    let closed: Vec<usize> = (0..guests.len()).filter(|&at| !rig.is_open(&guests[at])).collect();
    assert_eq!(closed, [0, guests.len() - 1]);
}

#[test]
fn lists_that_are_no_longer_in_use_are_freed_in_slices_to_the_end() {
    let hash = line("", "x");
    let many = |name: &str| {
        let names: String = (0..3 * USERS_FREED_PER_TURN).map(|number| format!("{name}{number}{hash}")).collect();
        Users::parse(&names).unwrap()
    };
    let mut rig = Rig::new(many("old"));
    rig.run_until_idle();
    rig.engine.set_users(Users::none(), Millis(rig.now_ms()));
    // And one that was never in force.
    rig.engine.free_users(many("other"));
    let mut turns = 0;
    while rig.engine.wants_turn() {
        rig.turn();
        turns += 1;
    }
    // One for the connections, then three at least for each list, and as many for what the nicknames look like.
    assert!((8..=20).contains(&turns), "{turns} turns");
}
