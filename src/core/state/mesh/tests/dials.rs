//! What is dialled, where, and when it is dialled again.

use super::*;
use crate::wire::DeclineReason;

const DIALLED: Key = Key { index: 91, serial: 0 };

fn failed() -> Dialled {
    Dialled::Failed("no answer".to_owned())
}

fn from(id: u32) -> Option<SocketAddr> {
    Some(SocketAddr::V4(address(id)))
}

impl Play {
    /// A link that we dialled, or that came from there, with a server that describes itself.
    fn join(&mut self, of: &Offer, remote: Option<SocketAddr>, is_dialled: bool) {
        let told = self.mesh.list_for(of.server);
        let joined = Joined { remote, is_dialled, told };
        self.mesh.on_link_up(key(of.server.0), of, joined, self.now, &mut self.effects);
    }

    fn lose(&mut self, id: u32) {
        self.mesh.on_link_lost(ServerId(id), key(id), self.now);
    }

    /// The next dial, as soon as it is due.
    fn next_dial(&mut self) -> Dial {
        loop {
            if let Some(dial) = self.mesh.poll_dial(self.now) {
                return dial;
            }
            self.now = self.now + 10;
        }
    }

    /// Where the next dials go if each of them fails.
    fn targets(&mut self, count: usize) -> Vec<DialTo> {
        let mut next = || {
            let dial = self.next_dial();
            self.mesh.on_dial_ended(dial.dial_for, &failed(), self.now, &mut self.effects);
            dial.to
        };
        (0..count).map(|_| next()).collect()
    }

    /// Whether this connection is closed by what was done since the last look.
    fn closes(&mut self, connection: Key) -> bool {
        let closes = |effect: &Effect| matches!(effect, Effect::Close { key, .. } if *key == connection);
        self.effects.take_list().iter().any(closes)
    }
}

#[test]
fn a_lost_server_that_was_named_is_dialled_where_it_was_and_under_its_name_in_turn() {
    let name = HostPort::parse("seven:7777").unwrap();
    let (there, named) = (DialTo::Address(address(7).into()), DialTo::Name(name.clone()));
    for (offer, turns) in [
        (offer(7, &[]), [there.clone(), named.clone(), there, named.clone()]),
        (Offer { address: None, ..offer(7, &[]) }, [named.clone(), named.clone(), named.clone(), named]),
    ] {
        let mut play = Play::new(&[]);
        play.join(&offer, None, false);
        play.mesh.servers.get_mut(&ServerId(7)).unwrap().name = Some(name.clone());
        play.lose(7);
        assert_eq!(play.targets(4), turns);
    }
}

#[test]
fn a_lost_server_is_dialled_where_it_answered_unless_it_was_seen_where_it_says_that_it_is() {
    let mut play = Play::new(&[]);
    play.join(&offer(7, &[]), from(66), true);
    play.lose(7);
    assert_eq!(play.targets(1), [DialTo::Address(address(66).into())]);
    play.join(&offer(7, &[]), from(7), false);
    play.lose(7);
    assert_eq!(play.targets(1), [DialTo::Address(address(7).into())]);
}

#[test]
fn a_server_that_only_said_where_it_is_is_dialled_there_as_rarely_as_one_that_others_name() {
    let dials_in_30_s = |remote| {
        let mut play = Play::new(&[]);
        play.join(&offer(7, &[]), from(remote), false);
        play.lose(7);
        let dials = play.dials(30_000);
        assert!(dials.iter().all(|&(to, _)| to == address(7)));
        dials.len()
    };
    assert!((3..=5).contains(&dials_in_30_s(66)));
    assert!(dials_in_30_s(7) > 6);
}

#[test]
fn a_server_that_a_sibling_names_is_the_one_that_our_list_need_not_name() {
    let mut play = Play::new(&[(1, &[9])]);
    let dial_for = play.next_dial().dial_for;
    assert_eq!(dial_for, DialFor::Heard(address(9)));
    assert_eq!(play.mesh.receiver(dial_for), Some(ServerId(9)));
}

#[test]
fn a_lost_server_in_whose_place_another_one_answers_is_dialled_again_and_one_that_answers_is_not() {
    for (answers, is_dialled_again) in [(9, true), (7, false)] {
        let mut play = Play::new(&[(7, &[])]);
        play.lose(7);
        let dial_for = play.next_dial().dial_for;
        play.mesh.on_dial_accepted(dial_for, ServerId(answers), play.now, &mut play.effects);
        let again = play.mesh.poll_dial(play.now + limits::DIAL_DELAY_MAX_MS).map(|dial| dial.dial_for);
        assert_eq!(again, is_dialled_again.then_some(DialFor::Server(ServerId(7))));
    }
}

/// 1 was lost, and one under its ID came from elsewhere. 1 asks from its former address, which is dialled.
fn contested() -> Play {
    let mut play = Play::new(&[(1, &[])]);
    play.announced.clear();
    play.lose(1);
    play.dials(5_000);
    let elsewhere = Offer { address: Some(address(77)), ..offer(1, &[]) };
    play.join(&elsewhere, from(77), false);
    assert!(matches!(play.ask(&offer(1, &[])), Decision::Decline(Misfit::AlreadyMerged)));
    assert!(play.mesh.gives_way(ServerId(1), DialFor::Heard(address(1))));
    play
}

#[test]
fn whoever_has_the_id_of_a_lost_server_keeps_it_once_nobody_answers_there_or_that_one_is_merged() {
    let gives_way = |dialled: &Dialled, times| {
        let mut play = contested();
        for _ in 0..times {
            let dial_for = play.next_dial().dial_for;
            assert_eq!(dial_for, DialFor::Heard(address(1)));
            play.mesh.on_dial_ended(dial_for, dialled, play.now, &mut play.effects);
        }
        play.mesh.gives_way(ServerId(1), DialFor::Heard(address(1)))
    };
    assert!(gives_way(&failed(), 1));
    assert!(!gives_way(&failed(), limits::FORMER_TRIES_MAX));
    assert!(!gives_way(&Dialled::Declined(DeclineReason::AlreadyMerged), 1));
    assert!(gives_way(&Dialled::Declined(DeclineReason::ServerLimit), 1));
}

#[test]
fn a_lost_server_is_forgotten_when_its_address_does_not_answer_and_another_one_is_there() {
    let mut play = Play::new(&[(1, &[]), (7, &[])]);
    play.lose(7);
    play.join(&Offer { server: ServerId(20), ..offer(7, &[]) }, from(7), false);
    assert_eq!(play.known(), [1, 7, 20], "it may have moved, or not");
    play.targets(1);
    assert_eq!(play.known(), [1, 20]);
}

#[test]
fn the_server_that_answers_for_itself_alone_is_given_up_and_no_other_one() {
    let mut play = Play::new(&[]);
    for id in [7, 8] {
        play.join(&offer(id, &[]), from(66), false);
        play.lose(id);
    }
    for _ in 0..limits::UNFIT_TRIES_MAX {
        let full = Dialled::Declined(DeclineReason::ServerLimit);
        play.mesh.on_dial_ended(DialFor::Heard(address(8)), &full, play.now, &mut play.effects);
    }
    assert_eq!(play.known(), [7]);
    let dials = play.dials(60_000);
    assert!(!dials.is_empty() && dials.iter().all(|&(to, _)| to == address(7)), "{dials:?}");
}

#[test]
fn a_request_that_comes_back_to_us_is_known_by_its_connection_or_as_the_only_one() {
    let ourselves = offer(ID, &[]);
    let locals = [40_001, 40_002].map(|port| SocketAddr::new(IpAddr::V4(*address(ID).ip()), port));
    // Which of two dials the request is taken for, if so many were sent and it comes from there.
    let taken_for = |sent: &[usize], remote: SocketAddr| {
        let mut play = Play::new(&[]);
        for name in ["a:1", "b:1"] {
            play.mesh.request_merge(HostPort::parse(name).unwrap(), None, play.now);
        }
        let dials: Vec<DialFor> = locals.iter().map(|_| play.mesh.poll_dial(play.now).unwrap().dial_for).collect();
        for (place, (&dial_for, local)) in dials.iter().zip(locals).enumerate() {
            let to = play.mesh.on_resolved(dial_for, &[*address(60 + place as u32).ip()].map(IpAddr::V4)).unwrap();
            assert!(play.mesh.on_dialled(dial_for, DIALLED, SocketAddr::new(to, 1), Some(local)));
            if sent.contains(&place) {
                play.mesh.on_request_sent(dial_for);
            }
        }
        let decision = play.mesh.decide(&ourselves, Some(remote), play.now);
        for &dial_for in &dials {
            play.mesh.on_dial_ended(dial_for, &failed(), play.now, &mut play.effects);
        }
        // It is dialled again at once, but not at that address.
        let own = play.mesh.poll_dial(play.now).and_then(|dial| dials.iter().position(|&d| d == dial.dial_for));
        if let Some(place) = own {
            let address = IpAddr::V4(*address(60 + place as u32).ip());
            assert_eq!(play.mesh.on_resolved(dials[place], &[address]), None);
        }
        assert_eq!(own.is_some(), decision == Decision::Ourselves, "{decision:?}");
        own
    };
    let translated = SocketAddr::new([203, 0, 113, 1].into(), 1);
    assert_eq!(taken_for(&[0, 1], locals[1]), Some(1));
    assert_eq!(taken_for(&[0, 1], locals[0]), Some(0));
    assert_eq!(taken_for(&[0, 1], translated), None, "it may be either");
    assert_eq!(taken_for(&[1], translated), Some(1), "the only one that was sent");
    assert_eq!(taken_for(&[1], locals[0]), Some(0), "the connection says more");
    assert_eq!(taken_for(&[], translated), None);
}

#[test]
fn another_server_that_has_our_id_is_not_taken_for_ourselves() {
    let mut play = Play::new(&[]);
    play.mesh.request_merge(HostPort::parse("a:1").unwrap(), None, play.now);
    let dial_for = play.next_dial().dial_for;
    play.mesh.on_request_sent(dial_for);
    let other = Offer { address: Some(address(66)), ..offer(ID, &[]) };
    assert!(matches!(play.ask(&other), Decision::Decline(Misfit::OwnId { .. })));
}

#[test]
fn a_dial_that_is_given_up_before_it_is_opened_is_not_wanted() {
    let mut play = Play::new(&[]);
    let name = HostPort::parse("seven:7777").unwrap();
    play.mesh.request_merge(name.clone(), None, play.now);
    let dial_for = play.next_dial().dial_for;
    play.mesh.forget_merge(&name, &mut play.effects);
    assert!(!play.mesh.on_dialled(dial_for, DIALLED, address(7).into(), None));
}

#[test]
fn a_dial_to_a_server_that_is_forgotten_is_closed() {
    let mut play = Play::new(&[(7, &[])]);
    play.lose(7);
    let dial_for = play.next_dial().dial_for;
    assert!(play.mesh.on_dialled(dial_for, DIALLED, address(7).into(), None));
    assert!(!play.closes(DIALLED));
    assert!(play.mesh.forget(ServerId(7), &mut play.effects));
    assert!(play.closes(DIALLED));
}

#[test]
fn whoever_is_forgotten_is_no_longer_dialled_for_a_siblings_word_and_others_are() {
    let mut play = Play::new(&[(1, &[8, 9])]);
    assert!(!play.mesh.forget(ServerId(1), &mut play.effects), "it is linked");
    assert!(!play.mesh.forget(ServerId(77), &mut play.effects), "nobody knows it");
    assert!(play.mesh.forget(ServerId(8), &mut play.effects));
    let dials = play.dials(1_000);
    assert!(!dials.is_empty() && dials.iter().all(|&(to, _)| to == address(9)), "{dials:?}");
}

#[test]
fn the_connection_that_became_the_link_is_not_closed_as_a_dial() {
    for link in [DIALLED, key(7)] {
        let mut play = Play::new(&[(7, &[])]);
        play.lose(7);
        let dial_for = play.next_dial().dial_for;
        assert!(play.mesh.on_dialled(dial_for, DIALLED, address(7).into(), None));
        let joined = Joined { remote: from(7), is_dialled: link == DIALLED, told: Vec::new() };
        play.mesh.on_link_up(link, &offer(7, &[]), joined, play.now, &mut play.effects);
        assert_eq!(play.closes(DIALLED), link != DIALLED);
    }
}

#[test]
fn the_delays_begin_anew_after_a_link_that_held() {
    let mut play = Play::new(&[(7, &[])]);
    play.lose(7);
    play.targets(5);
    play.link(7, &[]);
    play.now = play.now + limits::LINK_HELD_MS;
    play.lose(7);
    let delay_ms = play.mesh.next_deadline().unwrap().since(play.now);
    assert!(delay_ms <= limits::DIAL_DELAY_MIN_MS, "{delay_ms}");
}

#[test]
fn the_delays_of_an_address_are_kept_for_a_while_when_nobody_names_it() {
    let dials_after = |unnamed_ms| {
        let mut play = Play::new(&[(1, &[9])]);
        play.dials(60_000);
        play.mesh.on_update(&offer(1, &[]), play.now);
        assert_eq!(play.dials(60_000), [], "nobody names it");
        play.now = play.now + unnamed_ms;
        play.mesh.on_update(&offer(1, &[8]), play.now);
        play.mesh.on_update(&offer(1, &[9]), play.now);
        play.dials(30_000).len()
    };
    assert!(dials_after(0) <= 1);
    assert!((3..=5).contains(&dials_after(2 * limits::FORGET_MS)));
}

#[test]
fn our_own_address_and_our_own_id_are_not_dialled_whoever_names_them() {
    let mut play = Play::new(&[(1, &[])]);
    let named = Offer { others: vec![(ServerId(ID), address(66)), (ServerId(20), address(ID))], ..offer(1, &[]) };
    play.mesh.on_update(&named, play.now);
    assert_eq!(play.dials(60_000), []);
}

#[test]
fn a_port_that_waits_since_it_was_named_from_elsewhere_is_dialled_when_its_host_names_it() {
    let port = |port| SocketAddrV4::new(*address(1).ip(), port);
    let ports = |of| Offer { others: vec![(ServerId(100), port(1)), (ServerId(101), port(2))], ..offer(of, &[]) };
    for (has_failed, is_soon) in [(false, true), (true, false)] {
        let mut play = Play::new(&[(1, &[]), (9, &[])]);
        play.mesh.on_update(&ports(9), play.now);
        let began = play.now;
        assert_eq!(play.targets(1), [DialTo::Address(port(1).into())]);
        if has_failed {
            while play.targets(1) != [DialTo::Address(port(2).into())] {}
            assert!(play.now >= began + limits::HEARSAY_HOST_MS);
            play.targets(6);
        }
        play.mesh.on_update(&ports(1), play.now);
        let to_second = play.dials(limits::DIAL_SOON_MS).iter().any(|&(to, _)| to == port(2));
        assert_eq!(to_second, is_soon, "a delay that has grown is kept: {has_failed}");
    }
}

#[test]
fn lost_servers_are_remembered_up_to_a_bound_and_the_first_lost_goes_first() {
    let mut play = Play::new(&[]);
    for id in 100..200 {
        play.link(id, &[]);
        play.now = play.now + 10;
        play.lose(id);
    }
    let first = 200 - (limits::SIBLINGS_MAX + limits::LOST_MAX) as u32;
    assert_eq!(play.known(), (first..200).collect::<Vec<_>>());
}

#[test]
fn a_lost_server_that_comes_back_without_an_address_is_still_where_it_was() {
    let mut play = Play::new(&[(7, &[])]);
    play.lose(7);
    play.join(&Offer { address: None, ..offer(7, &[]) }, from(7), false);
    assert!(!play.mesh.gives_way(ServerId(7), DialFor::Heard(address(7))));
    assert_eq!(play.mesh.servers().next().unwrap().address, Some(address(7)));
}

#[test]
fn delays_are_between_half_and_all_of_what_is_planned() {
    let mut random = Random::new(7);
    let delays: Vec<u64> = (0..200).map(|_| dialler::jittered(1_000, &mut random)).collect();
    assert!(delays.iter().all(|delay| (500..=1_000).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|&delay| delay < 600) && delays.iter().any(|&delay| delay > 900), "{delays:?}");
}
