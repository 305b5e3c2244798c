//! Who may merge, and what keeps a request away.

use super::*;
use crate::core::state::routed::Routed;
use crate::wire::Description;

const DIALLED: Key = Key { index: 91, serial: 0 };

fn from(id: u32) -> Option<SocketAddr> {
    Some(SocketAddr::V4(address(id)))
}

fn elsewhere(id: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, id as u8), 7777)
}

#[test]
fn a_host_may_ask_if_a_server_there_is_known_or_named_or_the_operator_permits_it() {
    let far = Some(SocketAddr::new([203, 0, 113, 1].into(), 50_000));
    let mut play = Play::new(&[(1, &[9])]);
    for (remote, is_permitted) in
        [(from(1), true), (from(9), true), (from(8), false), (far, false), (Some(([127, 0, 0, 1], 1).into()), true)]
    {
        assert_eq!(play.mesh.permits_some(remote), is_permitted, "{remote:?}");
    }
    play.mesh.permit([203, 0, 113, 1].into());
    assert!(play.mesh.permits_some(far));
    let networks = vec!["203.0.113.0/24".parse().unwrap()];
    let mesh = Mesh::new(ServerId(ID), None, Permissions::new(networks), 1);
    assert!(mesh.permits_some(far) && !mesh.permits_some(from(1)));
}

#[test]
fn the_names_of_merges_permit_so_many_addresses_and_no_more() {
    let mut play = Play::new(&[]);
    let host = |place: usize| IpAddr::from([203, 0, (place / 256) as u8, (place % 256) as u8]);
    let permits = |play: &Play, place| play.mesh.permits(Some(SocketAddr::new(host(place), 1)), ServerId(7));
    for place in 0..limits::NAMED_ADDRESSES_MAX + 1 {
        play.mesh.permit(host(place));
    }
    assert!(permits(&play, limits::NAMED_ADDRESSES_MAX - 1));
    assert!(!permits(&play, limits::NAMED_ADDRESSES_MAX));
}

#[test]
fn a_lost_servers_id_does_not_excuse_what_somebody_elsewhere_says() {
    let mut play = Play::new(&[(1, &[9]), (9, &[1])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    play.dials(1_000);
    let moved = Offer { address: Some(elsewhere(1)), others: vec![(ServerId(9), elsewhere(9))], ..offer(1, &[]) };
    assert!(matches!(play.ask(&moved), Decision::Decline(Misfit::Conflict { id: ServerId(9), .. })));
}

#[test]
fn a_lost_server_has_its_id_until_its_address_does_not_answer() {
    let mut play = Play::new(&[(1, &[])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let moved = Offer { address: Some(elsewhere(1)), ..offer(1, &[]) };
    assert!(matches!(play.ask(&moved), Decision::Decline(Misfit::Conflict { .. })));
    play.dials(1_000);
    assert_eq!(play.ask(&moved), Decision::Accept);
}

#[test]
fn whoever_has_our_sibling_at_another_address_is_no_member_of_our_network() {
    let mut play = Play::new(&[(1, &[9])]);
    let asker = Offer { others: vec![(ServerId(1), elsewhere(1))], ..offer(9, &[]) };
    assert!(matches!(play.ask(&asker), Decision::Decline(Misfit::Conflict { id: ServerId(1), .. })));
}

#[test]
fn the_address_of_a_lost_server_may_be_named_by_another_one() {
    let mut play = Play::new(&[(1, &[])]);
    play.mesh.on_link_lost(ServerId(1), key(1), play.now);
    let heir = Offer { server: ServerId(20), ..offer(1, &[]) };
    assert_eq!(play.mesh.decide(&heir, from(66), play.now), Decision::Accept);
}

#[test]
fn our_own_request_stays_only_if_it_is_written_and_to_the_server_that_asks() {
    let decision = |is_sent, to, asker| {
        let mut play = Play::new(&[]);
        play.mesh.request_merge(HostPort::parse("a:7777").unwrap(), None, play.now);
        let dial_for = play.mesh.poll_dial(play.now).unwrap().dial_for;
        assert!(play.mesh.on_dialled(dial_for, DIALLED, address(to).into(), None));
        if is_sent {
            play.mesh.on_request_sent(dial_for);
        }
        play.ask(&offer(asker, &[]))
    };
    assert_eq!(decision(true, 3, 3), Decision::Yield);
    assert_eq!(decision(false, 3, 3), Decision::Accept, "it is not written yet");
    assert_eq!(decision(true, 3, 2), Decision::Accept, "it is to another server");
    assert_eq!(decision(true, 7, 7), Decision::Accept, "its ID is higher");
}

#[test]
fn a_merge_that_led_to_a_server_by_another_way_is_done_too() {
    let mut play = Play::new(&[]);
    let joined = Joined { remote: from(66), is_dialled: true, told: Vec::new() };
    play.mesh.on_link_up(key(7), &offer(7, &[]), joined, play.now, &mut play.effects);
    for (id, is_ours) in [(7, true), (66, true), (8, false)] {
        assert_eq!(play.mesh.link_at(address(id).into()).is_some(), is_ours, "{id}");
    }
}

#[test]
fn a_list_that_has_one_server_at_two_addresses_is_declined() {
    let entry = |id, address: SocketAddrV4| Description { server: ServerId(id), address: *address.ip(), port: 7777 };
    let ask = |entries: &[Description]| {
        let mut bytes = Vec::new();
        for entry in entries {
            append_description(&mut bytes, entry.server, SocketAddrV4::new(entry.address, 7777));
        }
        Play::new(&[]).ask(&Offer::read(ServerId(7), Descriptions::new(&bytes).unwrap()))
    };
    let (own, eight) = (entry(7, address(7)), entry(8, address(8)));
    assert_eq!(ask(&[own, eight, eight]), Decision::Accept);
    let contradiction = Decision::Decline(Misfit::Contradiction);
    assert_eq!(ask(&[own, eight, entry(8, elsewhere(8))]), contradiction);
    assert_eq!(ask(&[own, eight, entry(8, elsewhere(8)), eight]), contradiction);
    assert_eq!(ask(&[own, entry(7, elsewhere(7)), eight]), contradiction);
}

#[test]
fn whoever_asks_under_the_id_of_a_sibling_that_was_never_seen_where_it_is_does_not_get_it_elsewhere() {
    let mut play = Play::new(&[]);
    let joined = Joined { remote: from(66), is_dialled: false, told: Vec::new() };
    play.mesh.on_link_up(key(20), &offer(20, &[]), joined, play.now, &mut play.effects);
    for (there, gives_way) in [(elsewhere(30), false), (address(20), true)] {
        play.mesh.contest(&Offer { address: Some(there), ..offer(20, &[]) }, play.now);
        assert_eq!(play.mesh.gives_way(ServerId(20), DialFor::Heard(there)), gives_way);
    }
}

#[test]
fn a_routed_server_and_one_that_is_not_decline_each_other_and_so_does_one_with_too_many() {
    let dense = offer(7, &[]);
    let routed = Offer { is_routed: true, ..offer(7, &[]) };
    let large = |count: u32| Offer { is_routed: true, ..offer(7, &(100..100 + count).collect::<Vec<_>>()) };
    assert_eq!(Play::new(&[]).ask(&routed), Decision::Decline(Misfit::Routed));
    let ask = |offer: &Offer| {
        let mut play = Play::new(&[]);
        play.mesh.route(Routed::new(ServerId(ID), address(ID), 1_000, 0));
        play.ask(offer)
    };
    assert_eq!(ask(&dense), Decision::Decline(Misfit::NotRouted));
    assert_eq!(ask(&routed), Decision::Accept);
    let most = limits::ROUTED_MAX_SERVERS as u32 - 2;
    assert_eq!(ask(&large(most)), Decision::Accept);
    assert_eq!(ask(&large(most + 1)), Decision::Decline(Misfit::TooManyRouted(limits::ROUTED_MAX_SERVERS + 1)));
}

#[test]
fn a_conflict_that_does_not_last_is_no_reason_to_leave_anybody() {
    let mut play = eleven();
    play.pass(limits::RECONCILE_MS + 1_000);
    assert!(play.linked().contains(&11));
}

#[test]
fn siblings_that_have_not_announced_themselves_lately_are_not_followed() {
    let mut play = eleven();
    // Only two name 10, which could both lie: it counts when it asks us itself.
    for (id, mut others) in std::mem::take(&mut play.announced) {
        others.retain(|&other| other != 10 || id <= 2);
        play.mesh.on_update(&offer(id, &others), play.now);
    }
    let strangers = vec![(10, vec![1, 2])];
    play.strangers.clear();
    play.pass(limits::ANNOUNCEMENT_MS + 1_000);
    play.strangers = strangers;
    play.pass(PATIENCE_MS);
    assert!(play.linked().contains(&11));
}

#[test]
fn a_server_that_has_just_come_is_not_left_before_it_can_have_met_the_others() {
    let mut play = eleven();
    while play.linked().contains(&11) {
        play.link(13, &[]);
        play.pass(1_000);
        assert!(play.now < Millis(PATIENCE_MS));
    }
    assert!(play.linked().contains(&13));
}

#[test]
fn a_host_and_port_are_told_from_what_is_neither() {
    for (text, is_one) in
        [("a:1", true), ("[::1]:7", true), (":7777", false), ("a b:1", false), ("a[:1", false), ("::1:7", false)]
    {
        assert_eq!(HostPort::parse(text).is_some(), is_one, "{text}");
    }
}

#[test]
fn a_server_that_more_siblings_name_than_can_lie_counts_although_it_never_speaks_to_us() {
    // 1, 2 and 3 are linked with 10, which may not merge with us; 11 is linked with us alone.
    let nine: &[u32] = &[2, 3, 4, 6, 7, 8, 9];
    let play = |witnesses: u32| {
        let mut play = Play::new(&[(11, &[])]);
        for id in [1, 2, 3, 4, 6, 7, 8, 9] {
            let mut others: Vec<u32> = [1].iter().chain(nine).copied().filter(|&other| other != id).collect();
            others.extend((id <= witnesses).then_some(10));
            play.announced.push((id, others.clone()));
            play.link(id, &others);
        }
        play.pass(PATIENCE_MS);
        play.linked().contains(&11)
    };
    assert!(play(2), "two may lie");
    assert!(!play(3), "eleven servers, and 11 is not linked with the lowest");
}
