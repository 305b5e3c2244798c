//! Whole lookups, with name servers played by the test.

use proptest::prelude::*;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::*;

const START: Millis = Millis(1_000);
const ONE_SERVER: &str = "nameserver 127.0.0.11\n";
const TWO_SERVERS: &str = "nameserver 127.0.0.11\nnameserver 127.0.0.12\noptions timeout:2 attempts:2\n";
const FIRST: &str = "127.0.0.11:53";
const SECOND: &str = "127.0.0.12:53";

fn started(host: &str, resolv_conf: &str) -> Resolver {
    let mut resolver = Resolver::new(42);
    resolver.start(7, host, "", resolv_conf, START);
    resolver
}

/// The resolver's next query: the server, the bytes, and the name.
fn sent(resolver: &mut Resolver) -> (SocketAddr, Vec<u8>, String) {
    let (to, bytes) = resolver.poll_transmit().expect("a question");
    let packet = Packet::parse(&bytes).unwrap();
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert_eq!(packet.questions.len(), 1);
    assert_eq!(packet.questions[0].qtype, QTYPE::TYPE(TYPE::A));
    let name = packet.questions[0].qname.to_string();
    assert!(resolver.poll_transmit().is_none(), "one question at a time");
    (to, bytes, name)
}

/// The answer to `question` with these addresses.
fn answer(question: &[u8], rcode: RCODE, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    *packet.rcode_mut() = rcode;
    let name: Name<'_> = packet.questions[0].qname.clone();
    for address in addresses {
        let a = RData::A(A::from(Ipv4Addr::from(*address)));
        packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 60, a));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_its_own_answer_and_asks_nobody() {
    let mut resolver = started("10.1.2.3", ONE_SERVER);
    assert_eq!(resolver.poll_answer(), Some((7, Ok(vec![Ipv4Addr::new(10, 1, 2, 3)]))));
    assert!(resolver.poll_transmit().is_none());
    assert!(resolver.is_idle());
}

#[test]
fn a_name_in_hosts_asks_nobody() {
    let mut resolver = Resolver::new(1);
    resolver.start(7, "Chat-A", "10.0.0.1 other\n10.0.0.2 chat-a # ours\n", ONE_SERVER, START);
    assert_eq!(resolver.poll_answer(), Some((7, Ok(vec![Ipv4Addr::new(10, 0, 0, 2)]))));
    assert!(resolver.poll_transmit().is_none());
    assert_eq!(resolver.next_deadline(), None);
}

#[test]
fn a_name_server_s_addresses_are_answered_in_its_order() {
    let mut resolver = started("chat-b", ONE_SERVER);
    let (to, question, name) = sent(&mut resolver);
    assert_eq!((to, name.as_str()), (addr(FIRST), "chat-b"));
    assert!(resolver.poll_answer().is_none());
    assert!(!resolver.is_idle());
    resolver.on_datagram(to, &answer(&question, RCODE::NoError, &[[10, 0, 0, 9], [10, 0, 0, 1]]), START);
    assert_eq!(resolver.poll_answer(), Some((7, Ok(vec![Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1)]))));
    assert!(resolver.is_idle());
}

#[test]
fn without_resolv_conf_the_server_on_this_machine_is_asked() {
    let mut resolver = started("chat-b", "");
    assert_eq!(sent(&mut resolver).0, addr("127.0.0.1:53"));
}

#[test]
fn servers_of_ipv6_alone_are_said_to_be_of_no_use() {
    let mut resolver = started("chat-b", "nameserver fe80::1\n");
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::NoUsableServer))));
}

#[test]
fn a_name_unknown_in_one_search_domain_is_looked_for_in_the_next_and_then_as_it_is() {
    let mut resolver = started("chat-b", "nameserver 127.0.0.11\nsearch one.test two.test\n");
    for expected in ["chat-b.one.test", "chat-b.two.test", "chat-b"] {
        let (to, question, name) = sent(&mut resolver);
        assert_eq!(name, expected);
        resolver.on_datagram(to, &answer(&question, RCODE::NameError, &[]), START);
    }
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::NotFound))));
    assert!(resolver.is_idle());
}

#[test]
fn a_name_without_an_address_is_told_from_one_that_does_not_exist() {
    let mut resolver = started("chat-b", "nameserver 127.0.0.11\nsearch one.test\n");
    for rcode in [RCODE::NoError, RCODE::NameError] {
        let (to, question, _) = sent(&mut resolver);
        resolver.on_datagram(to, &answer(&question, rcode, &[]), START);
    }
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::NoAddress))));
}

#[test]
fn a_server_that_fails_is_not_asked_the_same_again() {
    let mut resolver = started("chat-b", TWO_SERVERS);
    for expected in [FIRST, SECOND] {
        let (to, question, _) = sent(&mut resolver);
        assert_eq!(to, addr(expected));
        resolver.on_datagram(to, &answer(&question, RCODE::ServerFailure, &[]), START);
    }
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::ServerFailed))));
}

#[test]
fn silent_servers_are_asked_in_turn_as_often_as_resolv_conf_says() {
    let mut resolver = started("chat-b", TWO_SERVERS);
    let mut now = START;
    for expected in [FIRST, SECOND, FIRST, SECOND] {
        assert_eq!(sent(&mut resolver).0, addr(expected));
        assert_eq!(resolver.next_deadline(), Some(now + 2_000));
        resolver.on_deadline(now + 1_999);
        assert!(resolver.poll_transmit().is_none(), "asked again too early");
        now = now + 2_000;
        resolver.on_deadline(now);
    }
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::NoServerAnswered))));
    assert!(resolver.is_idle());
}

#[test]
fn a_lookup_ends_in_time_whatever_resolv_conf_says() {
    let mut resolver = started("chat-b", "nameserver 127.0.0.11\noptions timeout:4000000000 attempts:4000000000\n");
    let mut questions = 0;
    while let Some(deadline) = resolver.next_deadline() {
        assert!(deadline <= START + crate::limits::LOOKUP_MS);
        questions += usize::from(resolver.poll_transmit().is_some());
        resolver.on_deadline(deadline);
        assert!(questions < 100);
    }
    assert_eq!(resolver.poll_answer(), Some((7, Err(ResolveError::NoServerAnswered))));
}

#[test]
fn the_next_name_is_asked_of_the_server_that_answered() {
    let mut resolver = started("chat-b", &format!("{TWO_SERVERS}search one.test\n"));
    let _lost = sent(&mut resolver);
    resolver.on_deadline(START + 2_000);
    let (to, question, _) = sent(&mut resolver);
    resolver.on_datagram(to, &answer(&question, RCODE::NameError, &[]), START + 2_001);
    let (to, _, name) = sent(&mut resolver);
    assert_eq!((to, name.as_str()), (addr(SECOND), "chat-b"));
}

#[test]
fn a_late_answer_of_the_server_before_counts() {
    let mut resolver = started("chat-b", TWO_SERVERS);
    let (to, question, _) = sent(&mut resolver);
    resolver.on_deadline(START + 2_000);
    resolver.on_datagram(to, &answer(&question, RCODE::NoError, &[[10, 0, 0, 2]]), START + 2_001);
    assert_eq!(resolver.poll_answer(), Some((7, Ok(vec![Ipv4Addr::new(10, 0, 0, 2)]))));
    assert!(resolver.poll_transmit().is_none(), "the second server need not be asked any more");
}

#[test]
fn an_answer_counts_only_from_an_asked_server_with_its_port_to_our_question_under_our_id() {
    let mut resolver = started("chat-b", TWO_SERVERS);
    let (to, question, _) = sent(&mut resolver);
    let good = answer(&question, RCODE::NoError, &[[10, 0, 0, 2]]);
    for stranger in ["127.0.0.11:54", "127.0.0.99:53", SECOND] {
        resolver.on_datagram(addr(stranger), &good, START);
    }
    let mut other_id = good.clone();
    other_id[1] ^= 1;
    resolver.on_datagram(to, &other_id, START);
    let mut other_name = question.clone();
    other_name[13] = b'x';
    resolver.on_datagram(to, &answer(&other_name, RCODE::NoError, &[[10, 0, 0, 2]]), START);
    resolver.on_datagram(to, &question, START);
    assert!(resolver.poll_answer().is_none());
    resolver.on_datagram(to, &good, START);
    assert!(resolver.poll_answer().is_some());
    resolver.on_datagram(to, &good, START);
    assert!(resolver.is_idle(), "a copy of the answer changes nothing");
}

#[test]
fn a_cancelled_lookup_neither_sends_nor_answers() {
    let mut resolver = started("chat-b", ONE_SERVER);
    resolver.cancel(7);
    assert!(resolver.poll_transmit().is_none());
    resolver.start(8, "10.0.0.1", "", "", START);
    resolver.cancel(8);
    assert!(resolver.poll_answer().is_none());
    assert!(resolver.is_idle());
    assert_eq!(resolver.next_deadline(), None);
}

#[test]
fn many_lookups_go_on_at_once_and_one_too_many_is_refused() {
    let mut resolver = Resolver::new(3);
    for id in 0..=LOOKUPS_MAX as u64 {
        resolver.start(id, &format!("chat-{id}"), "", ONE_SERVER, START);
    }
    assert_eq!(resolver.poll_answer(), Some((LOOKUPS_MAX as u64, Err(ResolveError::TooManyLookups))));
    let questions: Vec<_> = std::iter::from_fn(|| resolver.poll_transmit()).collect();
    assert_eq!(questions.len(), LOOKUPS_MAX);
    for (index, (to, question)) in questions.iter().enumerate().rev() {
        resolver.on_datagram(*to, &answer(question, RCODE::NoError, &[[10, 0, 0, index as u8]]), START);
        assert_eq!(resolver.poll_answer(), Some((index as u64, Ok(vec![Ipv4Addr::new(10, 0, 0, index as u8)]))));
    }
    assert!(resolver.is_idle());
}

#[test]
fn query_ids_depend_on_the_seed_and_hardly_repeat() {
    let ids = |seed| {
        let mut ids = QueryIds { seed, count: 0 };
        std::iter::repeat_with(move || ids.next()).take(100).collect::<Vec<u16>>()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    let different: std::collections::BTreeSet<u16> = ids(1).into_iter().collect();
    assert!(different.len() > 95, "{different:?}");
}

proptest! {
    #[test]
    fn whatever_a_name_server_sends_nothing_breaks(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut resolver = started("chat-b", ONE_SERVER);
        let (to, question, _) = sent(&mut resolver);
        resolver.on_datagram(to, &bytes, START);
        // Behind our id and question, so that the sections are read.
        let mut tail = question.clone();
        tail.extend_from_slice(&bytes);
        tail.iter_mut().skip(2).zip(&bytes).take(10).for_each(|(byte, random)| *byte = *random);
        resolver.on_datagram(to, &tail, START);
    }

    #[test]
    fn an_answer_with_some_bytes_changed_or_cut_off_breaks_nothing(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut resolver = started("chat-b", ONE_SERVER);
        let (to, question, _) = sent(&mut resolver);
        let mut bytes = answer(&question, RCODE::NoError, &[[10, 0, 0, 1], [10, 0, 0, 2]]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        resolver.on_datagram(to, &bytes, START);
        if let Some((_, Ok(addresses))) = resolver.poll_answer() {
            prop_assert!(!addresses.is_empty());
        }
    }

    #[test]
    fn whatever_the_files_and_the_name_say_a_lookup_begins_or_is_answered(
        host in "\\PC{0,40}|[a-z.]{0,300}", hosts in "(?s).{0,200}", resolv_conf in "(?s)(nameserver |search |options |.{0,20}|\n){0,20}",
    ) {
        let mut resolver = Resolver::new(5);
        resolver.start(7, &host, &hosts, &resolv_conf, START);
        prop_assert!(resolver.poll_transmit().is_some() != resolver.poll_answer().is_some());
    }
}
