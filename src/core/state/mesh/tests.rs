//! One server's table, with siblings played by the test.

use std::net::Ipv4Addr;

use super::*;
use crate::core::state::effects::Effect;

mod askers;
mod dials;
mod edges;
mod following;
mod returning;
mod strangers;
mod targets;

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
    /// A server that goes on asking us to merge, and its own siblings.
    strangers: Vec<(u32, Vec<u32>)>,
}

impl Play {
    /// Siblings that describe themselves, each with its own siblings but for us.
    fn new(siblings: &[(u32, &[u32])]) -> Play {
        let mesh = Mesh::new(ServerId(ID), Some(address(ID)), Permissions::default(), 1);
        let announced: Vec<(u32, Vec<u32>)> = siblings.iter().map(|&(id, others)| (id, others.to_vec())).collect();
        let mut play = Play { mesh, effects: Effects::default(), now: Millis(1_000), announced, strangers: Vec::new() };
        for &(id, others) in siblings {
            play.link(id, others);
        }
        play
    }

    /// A link to a sibling that says that it has these others comes up; it asked us.
    fn link(&mut self, id: u32, others: &[u32]) {
        let told = self.mesh.list_for(ServerId(id));
        let joined = Joined { remote: Some(SocketAddr::V4(address(id))), is_dialled: false, told };
        self.mesh.on_link_up(key(id), &offer(id, others), joined, self.now, &mut self.effects);
    }

    /// A server asks us to merge, from its own address.
    fn ask(&mut self, offer: &Offer) -> Decision {
        let remote = offer.address.map(SocketAddr::V4);
        let decision = self.mesh.decide(offer, remote, self.now);
        if let Decision::Decline(_) = decision {
            self.mesh.contest(offer, self.now);
            self.mesh.note_word(offer, remote, self.now);
        }
        decision
    }

    /// The addresses that it dials within this time without an answer, and after how long.
    fn dials(&mut self, time_ms: u64) -> Vec<(SocketAddrV4, u64)> {
        let began = self.now;
        let mut dials = Vec::new();
        while self.now < began + time_ms {
            self.now = self.now + 10;
            self.mesh.forget_old(self.now, &mut self.effects);
            self.mesh.reconcile(self.now, &mut self.effects);
            while let Some(dial) = self.mesh.poll_dial(self.now) {
                if let DialTo::Address(SocketAddr::V4(to)) = dial.to {
                    dials.push((to, self.now.since(began)));
                }
                let failed = Dialled::Failed("no route".to_owned());
                self.mesh.on_dial_ended(dial.dial_for, &failed, self.now, &mut self.effects);
            }
        }
        dials
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
            for (id, others) in self.strangers.clone() {
                if self.now.0.is_multiple_of(10_000) {
                    self.ask(&offer(id, &others));
                }
            }
            self.mesh.forget_old(self.now, &mut self.effects);
            self.mesh.reconcile(self.now, &mut self.effects);
            while let Some(dial) = self.mesh.poll_dial(self.now) {
                let failed = Dialled::Failed("no route".to_owned());
                self.mesh.on_dial_ended(dial.dial_for, &failed, self.now, &mut self.effects);
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
    Offer { server: ServerId(id), address: Some(address(id)), is_routed: false, others, is_contradictory: false }
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

/// A network that does not fit: 1 has nine siblings, and 11 is linked with us and with 6 only.
fn eleven() -> Play {
    let nine: &[u32] = &[2, 3, 4, 6, 7, 8, 9, 10];
    let mut play = Play::new(&[(1, nine), (11, &[12])]);
    for id in [2, 3, 4, 6, 7, 8, 9] {
        let mut others: Vec<u32> = nine.iter().copied().filter(|&other| other != id).collect();
        others.insert(0, 1);
        play.announced.push((id, others.clone()));
        play.link(id, &others);
    }
    // 10 finds us full.
    play.strangers = vec![(10, vec![1, 2, 3, 4, 6, 7, 8, 9])];
    play
}

#[test]
fn who_is_linked_with_an_eleventh_server_leaves_it_for_those_who_hold_together() {
    let mut play = eleven();
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 2, 3, 4, 6, 7, 8, 9]);
}

#[test]
fn whom_we_left_is_not_taken_in_again_for_a_while() {
    let mut play = eleven();
    play.pass(61_000);
    assert_eq!(play.linked(), [1, 2, 3, 4, 6, 7, 8, 9]);
    // 10 has not come yet, so that there would be room for 11.
    assert!(matches!(play.ask(&offer(11, &[])), Decision::Decline(Misfit::LeftLately)));
    play.strangers.clear();
    play.pass(limits::EXCLUDED_MS);
    // The siblings still have 10, and no room for 11: it would only be left again.
    assert!(matches!(play.ask(&offer(11, &[])), Decision::Decline(Misfit::TooMany(11))));
    play.announced.iter_mut().for_each(|(_, others)| others.retain(|&other| other != 10));
    play.pass(limits::RECONCILE_MS);
    assert_eq!(play.ask(&offer(11, &[])), Decision::Accept);
}

#[test]
fn servers_that_only_one_sibling_speaks_of_are_no_reason_to_leave_anybody() {
    // 1 is the lowest, and has eight that do not exist.
    let mut play = Play::new(&[(1, &[20, 21, 22, 23, 24, 25, 26, 27]), (8, &[9]), (9, &[8])]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 8, 9]);
}

#[test]
fn what_one_sibling_says_of_another_is_no_reason_to_leave_it() {
    // 1 gives 8 another address, and a server there says so too.
    let mut play = Play::new(&[(1, &[9]), (8, &[9]), (9, &[1, 8])]);
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 8), 7777);
    let lie = Offer { others: vec![(ServerId(8), elsewhere), (ServerId(9), address(9))], ..offer(1, &[]) };
    play.announced.remove(0);
    for _ in 0..30 {
        play.mesh.on_update(&lie, play.now);
        let twin = Offer { address: Some(elsewhere), ..offer(8, &[1]) };
        assert!(matches!(play.ask(&twin), Decision::Decline(Misfit::Conflict { .. })));
        play.pass(10_000);
    }
    assert_eq!(play.linked(), [1, 8, 9]);
}

#[test]
fn of_two_pairs_with_one_id_each_keeps_its_own() {
    let mut play = Play::new(&[(1, &[]), (8, &[])]);
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 8), 7777);
    play.announced.remove(0);
    for _ in 0..30 {
        if play.mesh.link_to(ServerId(1)).is_some() {
            play.mesh.on_update(&Offer { others: vec![(ServerId(8), elsewhere)], ..offer(1, &[]) }, play.now);
        }
        play.ask(&Offer { address: Some(elsewhere), ..offer(8, &[1]) });
        play.pass(10_000);
    }
    assert_eq!(play.linked(), [8]);
}

#[test]
fn a_server_that_can_not_be_reached_is_no_reason_to_leave_anybody() {
    let mut play = Play::new(&[(1, &[2, 3]), (8, &[2, 9])]);
    play.pass(PATIENCE_MS);
    assert_eq!(play.linked(), [1, 8]);
}

#[test]
fn the_sibling_that_describes_nobody_goes_where_it_is_one_too_many() {
    let eight = [1, 2, 3, 4, 6, 7, 8, 9];
    for silent_id in [20, 0] {
        let mut play = Play::new(&[]);
        for id in eight {
            let others: Vec<u32> = eight.into_iter().filter(|&other| other != id).collect();
            play.announced.push((id, others.clone()));
            play.link(id, &others);
        }
        let silent = Offer { address: None, ..offer(silent_id, &[]) };
        let joined = Joined { remote: None, is_dialled: false, told: Vec::new() };
        play.mesh.on_link_up(key(20), &silent, joined, play.now, &mut play.effects);
        play.pass(PATIENCE_MS);
        assert_eq!(play.linked().len(), 9, "ten with it");
        // One more server that 1 is linked with asks us, and finds us full with servers that we alone see.
        play.announced[0].1.push(10);
        play.strangers = vec![(10, vec![1])];
        play.pass(PATIENCE_MS);
        assert_eq!(play.linked(), eight, "eleven with it");
    }
}

#[test]
fn a_named_server_is_dialled_a_few_times_and_then_rarely() {
    let mut play = Play::new(&[(1, &[9])]);
    let dials = play.dials(600_000);
    assert!(dials.iter().all(|&(to, _)| to == address(9)), "{dials:?}");
    assert!(dials[0].1 <= 40, "at once: {dials:?}");
    let soon = dials.iter().filter(|dial| dial.1 < 30_000).count();
    assert!((3..=5).contains(&soon), "{dials:?}");
    assert!(dials.len() <= 15, "{dials:?}");
}

#[test]
fn the_delays_belong_to_the_address_whatever_it_is_called() {
    let mut play = Play::new(&[(1, &[])]);
    let mut dials = 0;
    for id in 100..400 {
        let lie = Offer { others: vec![(ServerId(id), address(9))], ..offer(1, &[]) };
        play.mesh.on_update(&lie, play.now);
        dials += play.dials(100).len();
    }
    assert!(dials <= 5, "{dials} in 30 s");
}

#[test]
fn the_ports_of_a_host_are_not_tried_one_after_the_other() {
    let mut play = Play::new(&[(1, &[])]);
    let ports =
        (1..=9).map(|port| (ServerId(100 + u32::from(port)), SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 7), port)));
    play.mesh.on_update(&Offer { others: ports.collect(), ..offer(1, &[]) }, play.now);
    let dialled: std::collections::BTreeSet<SocketAddrV4> = play.dials(25_000).into_iter().map(|dial| dial.0).collect();
    assert_eq!(dialled.len(), 1, "{dialled:?}");
    // But on its own host, a sibling may name any address.
    let mut play = Play::new(&[(1, &[])]);
    let ports = (1..=9).map(|port| (ServerId(100 + u32::from(port)), SocketAddrV4::new(*address(1).ip(), port)));
    play.mesh.on_update(&Offer { others: ports.collect(), ..offer(1, &[]) }, play.now);
    let dialled: std::collections::BTreeSet<SocketAddrV4> = play.dials(1_000).into_iter().map(|dial| dial.0).collect();
    assert_eq!(dialled.len(), 9, "{dialled:?}");
}

#[test]
fn a_sibling_can_not_have_us_dial_more_addresses_than_two_networks() {
    let mut play = Play::new(&[(1, &[])]);
    let mut dialled = std::collections::BTreeSet::new();
    for place in 0..200 {
        let lie = Offer {
            others: vec![(ServerId(100), SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, place), 1))],
            ..offer(1, &[])
        };
        play.mesh.on_update(&lie, play.now);
        dialled.extend(play.dials(1_000).into_iter().map(|dial| dial.0));
    }
    assert_eq!(dialled.len(), limits::HEARSAY_PER_HOST_MAX);
}

#[test]
fn local_addresses_are_dialled_only_for_a_sibling_in_that_network() {
    let mut play = Play::new(&[(1, &[])]);
    let local = [[127, 0, 0, 1], [192, 168, 0, 1], [172, 16, 0, 1], [169, 254, 0, 1], [100, 64, 0, 1]];
    let local = local.map(|octets| SocketAddrV4::new(octets.into(), 7777));
    let named = |others: &[SocketAddrV4]| {
        let others = (100..).map(ServerId).zip(others.iter().copied()).collect();
        Offer { others, ..offer(1, &[]) }
    };
    play.mesh.on_update(&named(&local), play.now);
    assert_eq!(play.dials(60_000), []);
    assert!(!play.mesh.is_complete(), "the operator sees that somebody is missing");
    play.mesh.on_update(&named(&[address(9)]), play.now);
    assert_ne!(play.dials(60_000), [], "10.0.0.0/8 is where 1 is");
}

#[test]
fn a_named_address_lets_in_nobody_but_whom_it_was_named_for_and_only_while_it_is_named() {
    let mut play = Play::new(&[(1, &[9])]);
    let remote = Some(SocketAddr::new((*address(9).ip()).into(), 50_000));
    assert!(play.mesh.permits(remote, ServerId(9)));
    assert!(!play.mesh.permits(remote, ServerId(8)), "another ID");
    assert!(!play.mesh.permits(Some(SocketAddr::V4(address(8))), ServerId(9)), "another address");
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    assert!(!play.mesh.permits(remote, ServerId(9)), "nobody names it any more");
}

#[test]
fn what_a_server_of_our_network_says_of_others_does_not_keep_it_away() {
    let mut play = Play::new(&[(1, &[9]), (8, &[1])]);
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 8), 7777);
    let lied_to = |others: &[(u32, SocketAddrV4)], id| {
        let others = others.iter().map(|&(id, address)| (ServerId(id), address)).collect();
        Offer { others, ..offer(id, &[]) }
    };
    // 9 has another server under the ID of 8. It is linked with 1, as both of them say.
    let member = lied_to(&[(1, address(1)), (8, elsewhere)], 9);
    assert_eq!(play.ask(&member), Decision::Accept);
    let stranger = lied_to(&[(1, address(1)), (8, elsewhere)], 10);
    assert!(matches!(play.ask(&stranger), Decision::Decline(Misfit::Conflict { .. })));
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    assert_eq!(play.ask(&lied_to(&[(8, elsewhere)], 1)), Decision::Accept, "it was linked before");
}

#[test]
fn named_servers_have_no_place_among_ten() {
    let mut play = Play::new(&[(1, &[20, 21, 22, 23, 24, 25, 26, 27, 28])]);
    assert_eq!(play.ask(&offer(7, &[])), Decision::Accept);
    assert_eq!(play.ask(&offer(20, &[])), Decision::Accept);
    let elsewhere = Offer { address: Some(address(99)), ..offer(20, &[]) };
    assert_eq!(play.ask(&elsewhere), Decision::Accept, "nor an ID");
}

#[test]
fn a_newcomer_is_declined_if_more_siblings_than_can_lie_have_all_the_links_that_they_may_have() {
    // All are linked with 20, and we are not: there is room for one more only with us.
    let full: &[u32] = &[20, 21, 22, 23, 24, 25, 26, 27];
    let mut play = Play::new(&[(1, full), (2, full), (3, &full[1..])]);
    assert_eq!(play.ask(&offer(7, &[])), Decision::Accept, "two may lie");
    play.mesh.on_update(&offer(3, full), play.now);
    assert!(matches!(play.ask(&offer(7, &[])), Decision::Decline(Misfit::TooMany(11))));
    assert_eq!(play.ask(&offer(20, &[])), Decision::Accept, "they are linked with it");
    play.now = play.now + limits::ANNOUNCEMENT_MS + 1;
    assert_eq!(play.ask(&offer(7, &[])), Decision::Accept, "what they said is old");
    play.mesh.on_update(&offer(3, full), play.now);
    play.mesh.on_link_lost(ServerId(3), key(3), play.now);
    assert_eq!(play.ask(&offer(3, &[])), Decision::Accept, "it is back");
}

#[test]
fn a_lost_server_keeps_its_place_for_as_long_as_it_was_linked() {
    let others: Vec<(u32, &[u32])> = [1, 2, 3, 4, 6, 7, 8, 9, 10].map(|id| (id, &[] as &[u32])).into();
    let mut play = Play::new(&others);
    play.announced.clear();
    play.now = play.now + 30_000;
    play.mesh.on_link_lost(ServerId(10), key(10), play.now);
    assert!(matches!(play.ask(&offer(11, &[])), Decision::Decline(Misfit::TooMany(11))));
    play.now = play.now + 30_000;
    assert_eq!(play.ask(&offer(11, &[])), Decision::Accept);
}

#[test]
fn a_server_that_comes_under_the_id_of_a_lost_one_gives_it_back_when_that_one_answers() {
    let mut play = Play::new(&[(1, &[])]);
    play.announced.clear();
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(5_000);
    // It may have moved.
    let elsewhere = Offer { address: Some(address(77)), ..offer(1, &[]) };
    assert_eq!(play.ask(&elsewhere), Decision::Accept);
    let joined = Joined { remote: Some(SocketAddr::V4(address(77))), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(77), &elsewhere, joined, play.now, &mut play.effects);
    // It was dialled there in vain meanwhile, so that the next dial would be minutes away.
    play.mesh.refresh_hearsay(play.now);
    play.dials(60_000);
    // It has not: it asks from its old address. That place is dialled, and the server that answers there has the ID.
    assert!(matches!(play.ask(&offer(1, &[])), Decision::Decline(Misfit::AlreadyMerged)));
    let to = play.mesh.poll_dial(play.now + limits::DIAL_DELAY_MAX_MS).map(|dial| dial.to);
    assert_eq!(to, Some(DialTo::Address(SocketAddr::V4(address(1)))));
    assert_eq!(play.mesh.fits(&offer(1, &[]), None, play.now), Ok(()));
    assert!(play.mesh.gives_way(ServerId(1), DialFor::Heard(address(1))));
}

#[test]
fn a_sibling_whose_list_of_us_was_on_its_way_while_another_link_came_up_is_told_again_at_once() {
    let mut play = Play::new(&[]);
    let told = play.mesh.list_for(ServerId(1));
    play.link(9, &[]);
    play.sent_to(1);
    let joined = Joined { remote: Some(SocketAddr::V4(address(1))), is_dialled: true, told };
    play.mesh.on_link_up(key(1), &offer(1, &[]), joined, play.now, &mut play.effects);
    assert_eq!(play.sent_to(1), 1);
}

#[test]
fn siblings_are_told_of_a_server_that_stays_lost() {
    let mut play = Play::new(&[(1, &[9]), (9, &[1])]);
    play.sent_to(1);
    play.announced.clear();
    play.mesh.on_link_lost(ServerId(9), key(9), play.now);
    play.mesh.on_update(&offer(1, &[]), play.now);
    play.pass(21_000);
    assert_eq!(play.sent_to(1), 1);
    play.pass(100_000);
    assert_eq!(play.sent_to(1), 0);
}

#[test]
fn a_lost_server_whose_address_another_one_has_is_forgotten() {
    let mut play = Play::new(&[(1, &[])]);
    play.announced.clear();
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(1_000);
    let heir = Offer { server: ServerId(2), ..offer(1, &[]) };
    let joined = Joined { remote: Some(SocketAddr::V4(address(1))), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(2), &heir, joined, play.now, &mut play.effects);
    assert_eq!(play.known(), [2]);
}

#[test]
fn whoever_only_says_that_it_has_a_lost_servers_address_does_not_make_it_forgotten() {
    let mut play = Play::new(&[(1, &[])]);
    play.announced.clear();
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(1_000);
    let liar = Offer { server: ServerId(2), ..offer(1, &[]) };
    let joined = Joined { remote: Some(SocketAddr::V4(address(66))), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(2), &liar, joined, play.now, &mut play.effects);
    assert_eq!(play.known(), [1, 2]);
}

#[test]
fn a_link_that_flaps_is_dialled_again_ever_more_slowly() {
    let mut play = Play::new(&[]);
    let mut delays = Vec::new();
    for _ in 0..8 {
        play.link(1, &[]);
        play.now = play.now + 100;
        play.mesh.on_link_lost(ServerId(1), key(1), play.now);
        let next = play.mesh.servers.get(&ServerId(1)).and_then(|server| server.dialler.next());
        delays.push(next.unwrap().since(play.now));
    }
    assert!(delays[0] <= 200 && delays[7] >= 2_500, "{delays:?}");
}

#[test]
fn a_sibling_that_can_not_be_dialled_is_not_kept_when_it_is_lost() {
    let mut play = Play::new(&[]);
    let silent = Offer { address: None, ..offer(20, &[]) };
    let from = |is_dialled| Joined { remote: Some(SocketAddr::V4(address(20))), is_dialled, told: Vec::new() };
    play.mesh.on_link_up(key(20), &silent, from(false), play.now, &mut play.effects);
    play.mesh.on_link_lost(ServerId(20), key(20), play.now);
    assert!(play.known().is_empty(), "nobody knows where it is");
    play.mesh.on_link_up(key(20), &silent, from(true), play.now, &mut play.effects);
    assert_eq!(play.mesh.describe(false, None, None).len(), 12, "others are told where we dialled it");
    play.mesh.on_link_lost(ServerId(20), key(20), play.now);
    assert_eq!(play.dials(1_000)[0].0, address(20));
}

#[test]
fn what_a_merge_option_named_and_was_left_is_asked_again() {
    let mut play = eleven();
    play.mesh.servers.get_mut(&ServerId(11)).unwrap().name = HostPort::parse("elf.example:7777");
    play.pass(61_000);
    let waiting: Vec<String> = play.mesh.waiting_merges().map(|merge| merge.name.to_string()).collect();
    assert_eq!(waiting, ["elf.example:7777"]);
}
