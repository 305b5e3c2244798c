//! Each limit at its edge: the longest field is a packet's, one byte more is skipped (D1).

use cfp::limits::{
    DESCRIPTIONS_MAX, FILE_NAME_MAX_BYTES, MESSAGE_CEILING_BYTES, MESSAGE_MAX_BYTES, NICKNAME_MAX_BYTES,
    PASSWORD_MAX_BYTES,
};
use cfp::wire::{Code, FrameLimits, Packet, Scan, scan};

use crate::{hex, text};

/// A packet in which one field's size is open: what stands before it, and what after it.
struct Around {
    code: Code,
    before: Vec<u8>,
    after: Vec<u8>,
}

fn around(code: Code, before: Vec<u8>, after: Vec<u8>) -> Around {
    let before = [vec![code.byte()], before].concat();
    Around { code, before, after }
}

/// Every packet that has such a field. `id` stands for any four fixed bytes, `other` for any other text.
fn nicknames() -> Vec<Around> {
    let (id, other) = (hex("00000007"), text(3));
    let chunk = [id.clone(), other.clone(), hex("00000001"), vec![0; 1024]].concat();
    let two = |code, last: Vec<u8>| {
        let first = around(code, id.clone(), [other.clone(), last.clone()].concat());
        let second = around(code, [id.clone(), other.clone()].concat(), last);
        [first, second]
    };
    let mut all = vec![
        around(Code::AuthGst, vec![], vec![]),
        around(Code::AuthUsr, vec![], other.clone()),
        around(Code::MsgPrv, id.clone(), other.clone()),
        around(Code::MsgPblInc, id.clone(), other.clone()),
        around(Code::FileChnk, id.clone(), chunk.clone()),
        around(Code::Error, vec![], vec![0]),
    ];
    all.extend(two(Code::MsgPrvInc, other.clone()));
    all.extend(two(Code::FileChnkInc, chunk));
    all
}

fn messages() -> Vec<Around> {
    let (id, other) = (hex("00000007"), text(3));
    let one = [id.clone(), other.clone()].concat();
    vec![
        around(Code::MsgPbl, vec![], vec![]),
        around(Code::MsgPrv, one.clone(), vec![]),
        around(Code::MsgPblInc, one.clone(), vec![]),
        around(Code::MsgPrvInc, [one, other].concat(), vec![]),
    ]
}

fn file_names() -> Vec<Around> {
    let (id, other) = (hex("00000007"), text(3));
    let after = [hex("00000001"), vec![0; 1024]].concat();
    let one = [id.clone(), other.clone(), id.clone()].concat();
    let two = [id.clone(), other.clone(), other, id].concat();
    vec![around(Code::FileChnk, one, after.clone()), around(Code::FileChnkInc, two, after)]
}

fn check(all: &[Around], limit: usize, limits: &FrameLimits) {
    for Around { code, before, after } in all {
        for forward in [vec![], hex("50 00000008")] {
            let longest = [forward.clone(), before.clone(), text(limit), after.clone()].concat();
            assert_eq!(scan(&longest, limits), Scan::Packet { len: longest.len() }, "{code:?}");
            assert!(Packet::decode(&longest).is_ok(), "{code:?}");
            assert!(longest.len() <= limits.packet_max_bytes(), "{code:?}");

            let too_long = [forward.clone(), before.clone(), text(limit + 1), after.clone()].concat();
            let known_at = forward.len() + before.len() + 4;
            let outer = if forward.is_empty() { *code } else { Code::PckFwd };
            let Scan::Overlong { code: told, head, .. } = scan(&too_long, limits) else {
                panic!("{code:?} is not skipped")
            };
            assert_eq!((told, head), (outer, known_at));
            // It is known as soon as the count is there, and not before.
            assert!(matches!(scan(&too_long[..known_at], limits), Scan::Overlong { .. }), "{code:?}");
            assert_eq!(scan(&too_long[..known_at - 1], limits), Scan::Incomplete { total: known_at }, "{code:?}");
        }
    }
}

#[test]
fn a_nickname_has_64_bytes_at_most() {
    assert_eq!(NICKNAME_MAX_BYTES, 64);
    check(&nicknames(), 64, &FrameLimits::default());
}

#[test]
fn a_password_has_1024_bytes_at_most() {
    assert_eq!(PASSWORD_MAX_BYTES, 1024);
    check(&[around(Code::AuthUsr, text(64), vec![])], 1024, &FrameLimits::default());
}

#[test]
fn a_file_name_has_255_bytes_at_most() {
    assert_eq!(FILE_NAME_MAX_BYTES, 255);
    check(&file_names(), 255, &FrameLimits::default());
}

#[test]
fn a_message_has_as_many_bytes_as_the_operator_allows() {
    assert_eq!(FrameLimits::default().message_max_bytes, 65_536);
    for message_max_bytes in [0, 1, 1000, MESSAGE_MAX_BYTES, MESSAGE_CEILING_BYTES] {
        check(&messages(), message_max_bytes, &FrameLimits { message_max_bytes, ..FrameLimits::DEFAULT });
    }
}

#[test]
fn the_other_limits_do_not_depend_on_that_of_messages() {
    let limits = FrameLimits { message_max_bytes: 0, ..FrameLimits::DEFAULT };
    check(&nicknames()[..1], 64, &limits);
    check(&[around(Code::AuthUsr, text(64), vec![])], 1024, &limits);
    check(&file_names(), 255, &limits);
}

#[test]
fn ten_descriptions_are_read_and_eleven_are_told_before_they_come() {
    assert_eq!(DESCRIPTIONS_MAX, 10);
    let limits = FrameLimits::default();
    for code in [Code::MrgReq, Code::MrgRsp] {
        let ten = [vec![code.byte()], hex("00000007 0000000A"), vec![9; 120]].concat();
        assert_eq!(scan(&ten, &limits), Scan::Packet { len: 129 });
        for count in ["0000000B", "FFFFFFFF"] {
            let more = [vec![code.byte()], hex("00000007"), hex(count)].concat();
            let Scan::Overlong { code: told, head, .. } = scan(&more, &limits) else { panic!("{more:02x?}") };
            assert_eq!((told, head), (code, 9));
        }
    }
}

#[test]
fn a_login_with_an_overlong_password_still_tells_the_nickname() {
    let start = hex("01 00000003 616e61 00000401");
    let Scan::Overlong { code: Code::AuthUsr, head, .. } = scan(&start, &FrameLimits::default()) else {
        panic!("not skipped")
    };
    let nickname = [&[Code::AuthGst.byte()], &start[1..head - 4]].concat();
    assert_eq!(Packet::decode(&nickname), Ok(Packet::AuthGst { nickname: "ana" }));
}

#[test]
fn the_largest_packet_is_a_forwarded_message_or_if_messages_are_short_a_forwarded_chunk() {
    let (id, name) = (hex("00000007"), text(NICKNAME_MAX_BYTES));
    let message = |bytes| [hex("50 00000008 31"), id.clone(), name.clone(), name.clone(), text(bytes)].concat();
    let before_file_name = [hex("50 00000008 41"), id.clone(), name.clone(), name.clone(), id.clone()].concat();
    let chunk = [before_file_name, text(FILE_NAME_MAX_BYTES), hex("00000001"), vec![0; 1024]].concat();
    let packet_max_bytes =
        |message_max_bytes| FrameLimits { message_max_bytes, ..FrameLimits::DEFAULT }.packet_max_bytes();
    for bytes in [2000, MESSAGE_MAX_BYTES] {
        assert_eq!(packet_max_bytes(bytes), message(bytes).len());
    }
    assert_eq!(packet_max_bytes(1), chunk.len());
}
