//! One server's table, with siblings played by the test.

use std::net::Ipv4Addr;

use super::*;
use crate::core::state::effects::Effect;
use crate::wire::DeclineReason;

/// Ourselves.
const ID: u32 = 5;
/// Long enough for any review to have had its consequence.
const PATIENCE_MS: u64 = 300_000;

fn address(id: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, id as u8), 7777)
}

fn key(id: u32) -> Key {
    Key { index: id, serial: 0 }
}

/// A network, and what siblings do in it.
struct Play {
    mesh: Mesh,
    effects: Effects,
    now: Millis,
    /// What each sibling goes on announcing.
    announced: Vec<(u32, Vec<u32>)>,
    /// Who declines all we dial, for ever.
    declines: Vec<u32>,
}

impl Play {
    /// Siblings that describe themselves, each with its own siblings but for us.
    fn new(siblings: &[(u32, &[u32])]) -> Play {
        let mesh = Mesh::new(ServerId(ID), Some(address(ID)), Permissions::default(), 1);
        let announced: Vec<(u32, Vec<u32>)> = siblings.iter().map(|&(id, others)| (id, others.to_vec())).collect();
        let mut play = Play { mesh, effects: Effects::default(), now: Millis(1_000), announced, declines: Vec::new() };
        for &(id, others) in siblings {
            play.mesh.on_link_up(key(id), &offer(id, others), None, play.now, &mut play.effects);
        }
        play
    }

    /// Time passes: siblings announce, dials fail or are declined, reviews happen.
    fn pass(&mut self, time_ms: u64) {
        let until = self.now + time_ms;
        while self.now < until {
            self.now = self.now + 1_000;
            if self.now.0.is_multiple_of(10_000) {
                for (id, others) in &self.announced {
                    if self.mesh.link_to(ServerId(*id)).is_some() {
                        self.mesh.on_update(&offer(*id, others), self.now);
                    }
                }
            }
            self.mesh.reconcile(self.now, &mut self.effects);
            while let Some(dial) = self.mesh.poll_dial(self.now) {
                let DialFor::Server(ServerId(id)) = dial.dial_for else { panic!("nobody asked for a merge") };
                let outcome = if self.declines.contains(&id) {
                    Dialled::Declined(DeclineReason::ServerLimit)
                } else {
                    Dialled::Failed("no route".to_owned())
                };
                self.mesh.on_dial_ended(dial.dial_for, &outcome, self.now, &mut self.effects);
            }
        }
    }

    fn linked(&self) -> Vec<u32> {
        self.mesh.links().map(|(id, _)| id.0).collect()
    }

    fn known(&self) -> Vec<u32> {
        self.mesh.servers().map(|server| server.id.0).collect()
    }

    /// How often something was sent to this sibling since the last look.
    fn sent_to(&mut self, id: u32) -> usize {
        let is_to = |effect: &&Effect| matches!(effect, Effect::Send { to, .. } if *to == key(id));
        self.effects.take_list().iter().filter(is_to).count()
    }
}

fn offer(id: u32, others: &[u32]) -> Offer {
    let others = others.iter().map(|&other| (ServerId(other), address(other))).collect();
    Offer { server: ServerId(id), address: Some(address(id)), others, is_contradictory: false }
}

#[test]
fn siblings_that_agree_are_told_nothing_again() {
    let mut play = Play::new(&[(1, &[9]), (9, &[1])]);
    play.sent_to(1);
    play.pass(PATIENCE_MS);
    assert_eq!(play.sent_to(1), 0);
    assert_eq!(play.linked(), [1, 9]);
}

#[test]
fn a_sibling_that_has_others_than_we_have_is_told_again_and_again() {
    let mut play = Play::new(&[(1, &[9, 7]), (9, &[1])]);
    play.sent_to(1);
    play.pass(100_000);
    let told = play.sent_to(1);
    assert!((5..=10).contains(&told), "{told} times in 100 s");
}

#[test]
fn who_sees_eleven_servers_keeps_those_that_the_lowest_is_linked_with() {
    let mut play = Play::new(&[(1, &[2, 3, 4, 6]), (6, &[1, 2, 3, 4]), (11, &[7, 8, 9, 10])]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 6]);
    assert_eq!(play.known(), [1, 2, 3, 4, 6]);
}

#[test]
fn who_sees_eleven_servers_and_is_the_lowest_leaves_nobody() {
    let mut play = Play::new(&[(6, &[7, 8, 9]), (11, &[12, 13, 14, 15, 16])]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [6, 11]);
}

#[test]
fn who_sees_ten_servers_and_is_declined_by_some_follows_the_lowest_too() {
    // 9 and 10 have siblings of their own, of which nobody tells us.
    let mut play = Play::new(&[(1, &[2, 3, 8]), (8, &[1, 2, 3, 9, 10])]);
    play.declines = vec![9, 10];
    play.pass(20_000);
    assert_eq!(play.known(), [1, 2, 3, 8, 9, 10]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 8]);
    // 8 goes on announcing them, but 1 does not have them.
    let mut play = Play::new(&[(1, &[2, 3]), (8, &[2, 9])]);
    play.declines = vec![9];
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1]);
}

#[test]
fn a_server_that_can_not_be_reached_is_no_reason_to_leave_anybody() {
    let mut play = Play::new(&[(1, &[2, 3]), (8, &[2, 9])]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 8]);
}

#[test]
fn the_sibling_that_describes_nobody_goes_where_it_is_one_too_many() {
    let mut play = Play::new(&[(1, &[2, 3, 4, 6, 7, 8, 9]), (2, &[1, 3, 4, 6, 7, 8, 9]), (9, &[1])]);
    let silent = Offer { server: ServerId(20), address: None, others: Vec::new(), is_contradictory: false };
    play.mesh.on_link_up(key(20), &silent, None, play.now, &mut play.effects);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 2, 9, 20], "ten with it");
    play.announced.push((9, vec![1, 10]));
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 2, 9], "eleven with it");
}
