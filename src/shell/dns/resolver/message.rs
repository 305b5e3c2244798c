//! The two messages of the DNS that a stub resolver knows (RFC 1035 section 4): a question and its answer.

use std::net::Ipv4Addr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, header_buffer};

use crate::limits::{ALIASES_MAX, RESOLVED_ADDRESSES_MAX};

/// What a name server said about a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Its addresses, at least one.
    Addresses(Vec<Ipv4Addr>),
    /// It exists, without an address.
    NoAddress,
    /// It does not exist.
    NoName,
    /// The server can't tell; another may.
    Failed,
}

/// The question for the IPv4 addresses of `name`, with recursion desired (RFC 1035 section 4.1.1). `None` if `name` is
/// no host name.
pub(super) fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name).ok()?, TYPE::A.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

/// Reads the reply to that question; `None` if the bytes are anything else.
pub(super) fn read_reply(bytes: &[u8], id: u16, name: &str) -> Option<Reply> {
    if header_buffer::id(bytes).ok()? != id {
        return None;
    }
    let bytes = without_last_sections(bytes)?;
    if header_buffer::has_flags(&bytes, PacketFlag::TRUNCATION).ok()? {
        let whole = without_cut_records(&bytes)?;
        return interpret(&Packet::parse(&whole).ok()?, name);
    }
    interpret(&Packet::parse(&bytes).ok()?, name)
}

fn interpret(packet: &Packet<'_>, name: &str) -> Option<Reply> {
    let name = Name::new(name).ok()?;
    let [question] = packet.questions.as_slice() else { return None };
    let is_ours = packet.has_flags(PacketFlag::RESPONSE)
        && packet.opcode() == OPCODE::StandardQuery
        && question.qname == name
        && question.qtype == QTYPE::TYPE(TYPE::A)
        && question.qclass == QCLASS::CLASS(CLASS::IN);
    if !is_ours {
        return None;
    }
    Some(match packet.rcode() {
        RCODE::NameError => Reply::NoName,
        RCODE::NoError => match addresses(packet, name) {
            found if !found.is_empty() => Reply::Addresses(found),
            // What was wanted did not fit, or the server only points to others.
            _ if packet.has_flags(PacketFlag::TRUNCATION) || is_referral(packet) => Reply::Failed,
            _ => Reply::NoAddress,
        },
        _ => Reply::Failed,
    })
}

/// The addresses at the end of the chain of aliases that begins at `name`. Records of other names don't count.
fn addresses(packet: &Packet<'_>, name: Name<'_>) -> Vec<Ipv4Addr> {
    let mut name = &name;
    for _ in 0..=ALIASES_MAX {
        let of_name = packet.answers.iter().filter(|record| record.class == CLASS::IN && record.name == *name);
        let found: Vec<Ipv4Addr> = of_name
            .clone()
            .filter_map(|record| match &record.rdata {
                RData::A(a) => Some(Ipv4Addr::from(a.address)),
                _ => None,
            })
            .take(RESOLVED_ADDRESSES_MAX)
            .collect();
        let alias = of_name.clone().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(&alias.0),
            _ => None,
        });
        match alias {
            Some(alias) if found.is_empty() => name = alias,
            _ => return found,
        }
    }
    Vec::new()
}

/// The server is neither an authority for the name nor willing to ask others.
fn is_referral(packet: &Packet<'_>) -> bool {
    packet.answers.is_empty()
        && !packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER)
        && !packet.has_flags(PacketFlag::RECURSION_AVAILABLE)
}

// ```text
//  0     2       4         6         8            10           12
//  ├ id ─┼ flags ┼ QDCOUNT ┼ ANCOUNT ┼── NSCOUNT ─┼─ ARCOUNT ──┤ questions, answers, authorities, additional …
// ```
const ANSWER_COUNT_AT: usize = 6;
const LAST_COUNTS: std::ops::Range<usize> = 8..12;
/// A record's shortest form: a name of one byte, type, class, time to live, length.
const RECORD_MIN_BYTES: usize = 11;

/// The message with questions and answers only. The other sections are of no use here, so they shall not be able to
/// spoil the answer. `None` if it announces more records than it can hold, because the library reserves room for them.
fn without_last_sections(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    bytes.get_mut(LAST_COUNTS)?.fill(0);
    let answer_count = usize::from(header_buffer::answers(&bytes).ok()?);
    let fits = answer_count * RECORD_MIN_BYTES <= bytes.len() && header_buffer::questions(&bytes).ok()? == 1;
    fits.then_some(bytes)
}

/// The message with as many of its answers as are whole: a server may cut in the middle of one (RFC 2181 section 9).
/// `None` if not even the question is whole.
fn without_cut_records(bytes: &[u8]) -> Option<Vec<u8>> {
    let with_answers = |count: u16| {
        let mut bytes = bytes.to_vec();
        bytes.get_mut(ANSWER_COUNT_AT..ANSWER_COUNT_AT + 2)?.copy_from_slice(&count.to_be_bytes());
        Packet::parse(&bytes).is_ok().then_some(bytes)
    };
    // The largest count that can be read is in whole..=last, found by halving.
    let (mut whole, mut last) = (0, header_buffer::answers(bytes).ok()?);
    while whole < last {
        let middle = whole + (last - whole).div_ceil(2);
        match with_answers(middle) {
            Some(_) => whole = middle,
            None => last = middle - 1,
        }
    }
    with_answers(whole)
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME, NULL};

    use super::*;

    const ID: u16 = 0xC0DE;

    /// A server's reply to the question for `chat.test`, to be filled.
    fn reply() -> Packet<'static> {
        let mut packet = Packet::new_reply(ID);
        packet.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
        let name = Name::new_unchecked("chat.test");
        packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        packet
    }

    fn record(name: &'static str, rdata: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, rdata)
    }

    fn a(name: &'static str, last: u8) -> ResourceRecord<'static> {
        record(name, RData::A(A::from(Ipv4Addr::new(10, 0, 0, last))))
    }

    fn alias(name: &'static str, of: &'static str) -> ResourceRecord<'static> {
        record(name, RData::CNAME(CNAME(Name::new_unchecked(of))))
    }

    fn found(last: &[u8]) -> Option<Reply> {
        Some(Reply::Addresses(last.iter().map(|&last| Ipv4Addr::new(10, 0, 0, last)).collect()))
    }

    fn read(packet: &Packet<'_>) -> Option<Reply> {
        read_reply(&packet.build_bytes_vec_compressed().unwrap(), ID, "chat.test")
    }

    #[test]
    fn a_question_is_what_the_standard_says() {
        let expected = b"\xC0\xDE\x01\x00\0\x01\0\0\0\0\0\0\x04chat\x04test\0\0\x01\0\x01";
        assert_eq!(query(ID, "chat.test").unwrap(), expected);
    }

    #[test]
    fn addresses_keep_the_server_s_order_and_case_does_not_matter() {
        let mut packet = reply();
        packet.answers = vec![a("chat.test", 3), a("CHAT.Test", 1), a("chat.test", 2)];
        assert_eq!(read(&packet), found(&[3, 1, 2]));
    }

    #[test]
    fn aliases_are_followed_in_whatever_order_they_stand() {
        let mut packet = reply();
        packet.answers = vec![a("end.test", 5), alias("mid.test", "END.test"), alias("chat.test", "mid.test")];
        assert_eq!(read(&packet), found(&[5]));
    }

    #[test]
    fn aliases_in_a_circle_lead_to_no_address() {
        let mut packet = reply();
        packet.answers = vec![alias("chat.test", "mid.test"), alias("mid.test", "chat.test")];
        assert_eq!(read(&packet), Some(Reply::NoAddress));
    }

    #[test]
    fn records_of_other_names_and_classes_are_not_the_answer() {
        let mut packet = reply();
        packet.answers = vec![a("other.test", 1), a("chat.test", 2)];
        packet.answers[1].class = CLASS::CH;
        packet.additional_records = vec![a("chat.test", 3)];
        assert_eq!(read(&packet), Some(Reply::NoAddress));
    }

    #[test]
    fn a_truncated_answer_is_used_as_far_as_it_goes() {
        let mut packet = reply();
        packet.set_flags(PacketFlag::TRUNCATION);
        assert_eq!(read(&packet), Some(Reply::Failed), "nothing fitted: another server may have more room");
        packet.answers = vec![a("chat.test", 1), a("chat.test", 2), a("chat.test", 3)];
        assert_eq!(read(&packet), found(&[1, 2, 3]));
        let bytes = packet.build_bytes_vec_compressed().unwrap();
        let record_bytes = 16;
        for cut in 1..=record_bytes {
            assert_eq!(read_reply(&bytes[..bytes.len() - cut], ID, "chat.test"), found(&[1, 2]), "{cut}");
        }
        assert_eq!(read_reply(&bytes[..bytes.len() - 3 * record_bytes - 1], ID, "chat.test"), None);
    }

    #[test]
    fn a_cut_answer_that_does_not_say_so_is_not_believed() {
        let mut packet = reply();
        packet.answers = vec![a("chat.test", 1), a("chat.test", 2)];
        let bytes = packet.build_bytes_vec_compressed().unwrap();
        assert_eq!(read_reply(&bytes[..bytes.len() - 1], ID, "chat.test"), None);
    }

    #[test]
    fn what_stands_behind_the_answers_can_t_spoil_them() {
        let mut packet = reply();
        packet.answers = vec![a("chat.test", 1)];
        packet.additional_records = vec![record("x.test", RData::NULL(99, NULL::new(b"abc").unwrap()))];
        let bytes = packet.build_bytes_vec_compressed().unwrap();
        assert_eq!(read_reply(&bytes[..bytes.len() - 2], ID, "chat.test"), found(&[1]));
    }

    #[test]
    fn each_response_code_means_what_the_standard_says() {
        for (rcode, expected) in [
            (RCODE::NoError, Reply::NoAddress),
            (RCODE::NameError, Reply::NoName),
            (RCODE::ServerFailure, Reply::Failed),
            (RCODE::FormatError, Reply::Failed),
            (RCODE::NotImplemented, Reply::Failed),
            (RCODE::Refused, Reply::Failed),
        ] {
            let mut packet = reply();
            *packet.rcode_mut() = rcode;
            assert_eq!(read(&packet), Some(expected), "{rcode:?}");
        }
    }

    #[test]
    fn a_server_that_only_points_to_others_can_t_tell() {
        let mut packet = reply();
        packet.remove_flags(PacketFlag::RECURSION_AVAILABLE);
        assert_eq!(read(&packet), Some(Reply::Failed));
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        assert_eq!(read(&packet), Some(Reply::NoAddress));
    }

    #[test]
    fn another_question_another_id_or_a_question_back_is_no_reply() {
        let good = reply().build_bytes_vec().unwrap();
        assert!(read_reply(&good, ID, "Chat.TEST").is_some());
        assert_eq!(read_reply(&good, ID + 1, "chat.test"), None);
        assert_eq!(read_reply(&good, ID, "chat2.test"), None);
        assert_eq!(read_reply(&query(ID, "chat.test").unwrap(), ID, "chat.test"), None);
        let mut packet = reply();
        packet.questions[0].qtype = TYPE::AAAA.into();
        assert_eq!(read(&packet), None);
        packet.questions.clear();
        assert_eq!(read(&packet), None);
    }

    #[test]
    fn more_answers_announced_than_fit_are_not_even_made_room_for() {
        let mut bytes = reply().build_bytes_vec().unwrap();
        bytes[ANSWER_COUNT_AT] = 0xFF;
        assert_eq!(read_reply(&bytes, ID, "chat.test"), None);
    }
}
