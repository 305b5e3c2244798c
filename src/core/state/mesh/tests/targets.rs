//! Merges that were asked for by name, and what comes of them.

use super::*;
use crate::wire::DeclineReason;

const OPERATOR: Key = Key { index: 90, serial: 0 };
const DIALLED: Key = Key { index: 91, serial: 0 };

const FULL: Dialled = Dialled::Declined(DeclineReason::ServerLimit);
const SAME_ID: Dialled = Dialled::Declined(DeclineReason::IdConflict);
const MERGED: Dialled = Dialled::Declined(DeclineReason::AlreadyMerged);

fn no_answer() -> Dialled {
    Dialled::Failed("no answer".to_owned())
}

impl Play {
    /// Somebody wants a merge with `seven`.
    fn request(&mut self, operator: Option<Key>) {
        self.mesh.request_merge(HostPort::parse("seven:7777").unwrap(), operator, self.now);
    }

    /// The merge is dialled as soon as it is due: its name has these addresses, and our request is written.
    fn dial(&mut self, ids: &[u32]) -> DialFor {
        self.now = self.mesh.next_deadline().unwrap().max(self.now);
        let dial_for = self.mesh.poll_dial(self.now).unwrap().dial_for;
        assert!(matches!(dial_for, DialFor::MergeTarget(_)), "{dial_for:?}");
        let addresses: Vec<IpAddr> = ids.iter().map(|&id| IpAddr::V4(*address(id).ip())).collect();
        let picked = self.mesh.on_resolved(dial_for, &addresses).unwrap();
        assert!(self.mesh.on_dialled(dial_for, DIALLED, SocketAddr::new(picked, 7777), None));
        self.mesh.on_request_sent(dial_for);
        dial_for
    }

    /// A dial ends in this way. What the operator is answered.
    fn end(&mut self, ids: &[u32], dialled: &Dialled) -> Option<String> {
        let dial_for = self.dial(ids);
        self.mesh.on_dial_ended(dial_for, dialled, self.now, &mut self.effects);
        self.answer()
    }

    fn answer(&mut self) -> Option<String> {
        let answers = self.effects.take_list().into_iter().filter_map(|effect| match effect {
            Effect::Answer { key: OPERATOR, text } => Some(text),
            _ => None,
        });
        answers.reduce(|first, second| first + &second)
    }

    /// How many dials end in this way until the merge is given up. It waits and is dialled again until then.
    fn tries(&mut self, dialled: &Dialled) -> u32 {
        for tries in 1..100 {
            self.end(&[7], dialled);
            if self.mesh.pending_merges() == 0 {
                return tries;
            }
        }
        u32::MAX
    }
}

#[test]
fn an_operators_merge_ends_with_what_the_other_server_says() {
    let too_many = Dialled::Unfit(Misfit::TooMany(11));
    for (dialled, answer) in [
        (FULL, "error server limit\n"),
        (SAME_ID, "error server id conflict\n"),
        (too_many, "error server limit\n"),
        (Dialled::Unfit(Misfit::NotRouted), "error not a routed server\n"),
        (Dialled::Unfit(Misfit::Contradiction), "error server id conflict\n"),
        (Dialled::Ourselves, "error that is this server\n"),
    ] {
        let mut play = Play::new(&[]);
        play.request(Some(OPERATOR));
        assert_eq!(play.mesh.pending_merges(), 1);
        assert_eq!(play.end(&[7], &dialled).as_deref(), Some(answer));
        assert_eq!(play.mesh.pending_merges(), 0);
    }
}

#[test]
fn a_routed_servers_operator_is_told_both_reasons_that_a_server_limit_may_have() {
    let mut play = Play::new(&[]);
    play.mesh.route(Routed::new(ServerId(ID), address(ID), 1_000, 0));
    play.request(Some(OPERATOR));
    assert_eq!(play.end(&[7], &FULL).as_deref(), Some("error server limit, or not a routed server\n"));
    play.request(Some(OPERATOR));
    assert_eq!(play.end(&[7], &SAME_ID).as_deref(), Some("error server id conflict\n"));
}

#[test]
fn an_operators_merge_without_an_answer_is_tried_once_more() {
    let mut play = Play::new(&[]);
    play.request(Some(OPERATOR));
    assert_eq!(play.end(&[7], &no_answer()), None);
    assert_eq!(play.mesh.waiting_merges().next().unwrap().last_error.as_deref(), Some("no answer"));
    assert_eq!(play.end(&[7], &no_answer()).as_deref(), Some("error unreachable no answer\n"));
}

#[test]
fn an_operators_merge_is_done_if_the_other_server_has_linked_with_us_meanwhile() {
    for (dialled, answer) in [(no_answer(), "ok\n"), (MERGED, "error already merged\n")] {
        let mut play = Play::new(&[(7, &[])]);
        play.request(Some(OPERATOR));
        assert_eq!(play.end(&[7], &dialled).as_deref(), Some(answer));
    }
}

#[test]
fn an_accepted_merge_is_answered_and_its_name_is_kept_if_it_came_from_the_start() {
    for (operator, answer) in [(Some(OPERATOR), Some("ok\n")), (None, None)] {
        let mut play = Play::new(&[]);
        play.request(operator);
        let dial_for = play.dial(&[7]);
        play.mesh.on_dial_accepted(dial_for, ServerId(7), play.now, &mut play.effects);
        assert_eq!((play.answer().as_deref(), play.mesh.pending_merges()), (answer, 0));
        play.link(7, &[]);
        play.mesh.on_link_lost(ServerId(7), key(7), play.now);
        // Only one that was named is asked for again when it is forgotten.
        play.now = play.now + limits::FORGET_MS;
        play.mesh.forget_old(play.now, &mut play.effects);
        assert_eq!(play.mesh.pending_merges(), usize::from(operator.is_none()));
    }
}

#[test]
fn a_merge_from_the_start_is_tried_until_the_server_answers() {
    for (dialled, most) in [
        (no_answer(), u32::MAX),
        (FULL, 1),
        (Dialled::Unfit(Misfit::TooMany(11)), 1),
        // These may pass: an ID or a link from before a restart.
        (SAME_ID, limits::ID_CONFLICT_TRIES_MAX + 1),
        (Dialled::Unfit(Misfit::Contradiction), limits::ID_CONFLICT_TRIES_MAX + 1),
        (MERGED, limits::ALREADY_MERGED_TRIES_MAX + 1),
    ] {
        let mut play = Play::new(&[]);
        play.request(None);
        assert_eq!(play.tries(&dialled), most, "{dialled:?}");
    }
}

#[test]
fn a_merge_that_was_left_is_tried_for_ever_whatever_the_server_answers() {
    for dialled in [FULL, SAME_ID, Dialled::Unfit(Misfit::TooMany(11))] {
        let mut play = Play::new(&[]);
        play.mesh.request_merge_again(HostPort::parse("seven:7777").unwrap(), play.now);
        assert_eq!(play.mesh.next_deadline(), Some(play.now + limits::EXCLUDED_MS));
        assert_eq!(play.tries(&dialled), u32::MAX);
    }
}

#[test]
fn another_address_of_the_name_is_tried_at_once_before_an_answer_counts() {
    for dialled in [FULL, no_answer()] {
        let mut play = Play::new(&[]);
        play.request(Some(OPERATOR));
        let began = play.now;
        assert_eq!(play.end(&[7, 8], &dialled), None);
        assert_eq!(play.mesh.next_deadline(), Some(began));
        play.end(&[7, 8], &dialled);
        assert!(play.mesh.next_deadline().is_none_or(|next| next > began), "both were tried");
    }
}

#[test]
fn a_merge_with_a_server_that_we_know_already_gives_it_its_name() {
    let mut play = Play::new(&[(7, &[]), (8, &[])]);
    play.request(None);
    play.end(&[7], &MERGED);
    for (id, is_named) in [(7, true), (8, false)] {
        assert_eq!(play.mesh.servers[&ServerId(id)].name.is_some(), is_named);
    }
}

#[test]
fn an_operator_gives_up_the_merges_of_a_name_and_no_others() {
    let mut play = Play::new(&[]);
    let [seven, eight] = ["seven:7777", "eight:7777"].map(|name| HostPort::parse(name).unwrap());
    play.mesh.request_merge(seven.clone(), Some(OPERATOR), play.now);
    play.mesh.request_merge(eight.clone(), None, play.now);
    assert!(play.mesh.forget_merge(&seven, &mut play.effects));
    assert_eq!(play.answer().as_deref(), Some("error given up\n"));
    assert!(!play.mesh.forget_merge(&seven, &mut play.effects), "it is gone");
    assert_eq!(play.mesh.waiting_merges().map(|merge| merge.name).collect::<Vec<_>>(), [eight]);
}

#[test]
fn the_connection_of_a_merge_that_is_given_up_is_closed() {
    let mut play = Play::new(&[]);
    play.request(Some(OPERATOR));
    play.dial(&[7]);
    play.mesh.forget_merge(&HostPort::parse("seven:7777").unwrap(), &mut play.effects);
    let closes = |effect: &Effect| matches!(effect, Effect::Close { key: DIALLED, .. });
    assert!(play.effects.take_list().iter().any(closes));
}

#[test]
fn nobody_is_answered_when_the_operator_who_asked_has_gone() {
    for (gone, answer) in [(OPERATOR, None), (key(1), Some("error server limit\n"))] {
        let mut play = Play::new(&[]);
        play.request(Some(OPERATOR));
        play.mesh.on_operator_gone(gone);
        assert_eq!(play.end(&[7], &FULL).as_deref(), answer);
    }
}

#[test]
fn a_dial_ends_when_the_server_at_that_address_has_linked_with_us_itself() {
    let closed = |id| {
        let mut play = Play::new(&[]);
        play.request(None);
        play.dial(&[7]);
        play.link(id, &[]);
        let closes = |effect: &Effect| matches!(effect, Effect::Close { key: DIALLED, .. });
        play.effects.take_list().iter().any(closes)
    };
    assert!(closed(7));
    assert!(!closed(8));
}

#[test]
fn a_server_that_dials_itself_by_name_passes_that_address_over() {
    let mut play = Play::new(&[]);
    play.request(Some(OPERATOR));
    let dial_for = play.dial(&[7, 8]);
    let ourselves = Offer { server: ServerId(ID), ..offer(ID, &[]) };
    assert_eq!(play.mesh.decide(&ourselves, None, play.now), Decision::Ourselves);
    play.mesh.on_dial_ended(dial_for, &no_answer(), play.now, &mut play.effects);
    let again = play.mesh.poll_dial(play.now).unwrap().dial_for;
    assert_eq!(play.mesh.on_resolved(again, &[address(7).ip().to_owned().into()]), None, "it is our own");
    assert_eq!(
        play.mesh.on_resolved(again, &[7, 8].map(|id| IpAddr::V4(*address(id).ip()))),
        Some([10, 0, 0, 8].into())
    );
}

#[test]
fn each_address_of_a_name_has_its_turn_in_whatever_order_they_come() {
    let mut play = Play::new(&[]);
    let name = HostPort::parse("two.example:7777").unwrap();
    play.mesh.request_merge(name, None, play.now);
    let [a, b] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
    let mut turns = Vec::new();
    for order in [[a, b], [b, a], [a, b], [b, a]] {
        let dial = loop {
            match play.mesh.poll_dial(play.now) {
                Some(dial) => break dial,
                None => play.now = play.now + 10,
            }
        };
        turns.push(play.mesh.on_resolved(dial.dial_for, &order).unwrap());
        let failed = Dialled::Failed("no route".to_owned());
        play.mesh.on_dial_ended(dial.dial_for, &failed, play.now, &mut play.effects);
    }
    assert_eq!(turns.iter().filter(|&&turn| turn == a).count(), 2, "{turns:?}");
    assert_ne!(turns[0], turns[1]);
}
