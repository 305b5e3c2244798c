//! For each case of a server, a mistake that it must find.

use cfp::wire::{Code, Descriptions, Nickname, Packet, ServerId};

use crate::proxy::{
    Fate, Piece, Proxy, Rule, Way, alters, closes_on_malformed, confuses, drops_nth, on, rewrites, rule, sets,
    swaps_nth, with_overlong, with_unknown,
};
use crate::support::client::encoded;

use Code::{
    AuthGst, AuthRsp, Error, FileChnk, FileChnkInc, MrgDecl, MrgReq, MrgRsp, MsgPbl, MsgPblInc, MsgPrvInc, PckFwd,
};
use Way::{Down, Up};

const DECLINED: [u8; 2] = [0xA2, 0];

/// Where a public message's text has its size: behind the sender.
fn size_at(bytes: &[u8]) -> usize {
    9 + u32::from_be_bytes(bytes[5..9].try_into().unwrap()) as usize
}

/// Reads a packet, and writes another one in its place.
fn into(bytes: &[u8], other: impl Fn(Packet<'_>) -> Vec<u8>) -> Fate {
    Packet::decode(bytes).map_or(Fate::Pass, |packet| Fate::Replace(other(packet)))
}

fn without_descriptions(bytes: &mut Vec<u8>) {
    bytes.truncate(5);
    bytes.extend([0; 4]);
}

fn with_description(bytes: &mut Vec<u8>, server: [u8; 4]) {
    bytes[8] += 1;
    bytes.extend([&server[..], &[127, 0, 0, 1, 0, 0, 0x1E, 0x61]].concat());
}

/// Remembers packets of one code, and brings them up again in front of one of another code that goes to a wrong client.
fn repeats_to(wrong: impl Fn(usize, &[u8]) -> bool + Send + Sync + 'static, kept: Code, before: Code) -> Rule {
    rule(move |memory, way, piece| {
        let Piece::Packet(bytes, _) = piece else { return Fate::Pass };
        let (code, mut stash) = (Code::from_byte(bytes[0]), memory.stash.lock().unwrap());
        if way == Down && code == Some(before) && wrong(memory.index, bytes) {
            return Fate::Replace([stash.concat(), bytes.to_vec()].concat());
        }
        if way == Down && code == Some(kept) {
            stash.push(bytes.to_vec());
        }
        Fate::Pass
    })
}

/// The text of a packet that goes to the server is changed.
fn rewrites_message(change: fn(&str) -> String) -> Rule {
    on(Up, MsgPbl, move |_, bytes| {
        let text = String::from_utf8_lossy(&bytes[5..]);
        Fate::Replace(encoded(&Packet::MsgPbl { message: &change(&text) }))
    })
}

fn swallows_message(of: fn(usize) -> bool) -> Rule {
    on(Up, MsgPbl, move |_, bytes| if of(bytes.len() - 5) { Fate::Drop } else { Fate::Pass })
}

/// A login with such a nickname gets this answer.
fn answers_login(response: u8, of: fn(&[u8]) -> bool) -> Rule {
    rule(move |_, way, piece| {
        let is_it = match piece {
            Piece::Packet(bytes, _) => bytes[0] == 0 && of(&bytes[5..]),
            Piece::Overlong(bytes) => bytes[0] == 0 && of(&[]),
            _ => false,
        };
        if way == Up && is_it { Fate::Reply(vec![0x10, response]) } else { Fate::Pass }
    })
}

fn is_no_nickname(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or(true, |text| Nickname::parse(text).is_none())
}

/// Rewrites a chunk that goes to the server.
fn rewrites_chunk(change: fn(&str, u32) -> (String, u32)) -> Rule {
    on(Up, FileChnk, move |_, bytes| {
        // By hand, since some of these have values that the layout does not allow.
        let receiver = 9 + u32::from_be_bytes(bytes[5..9].try_into().unwrap()) as usize;
        let name = receiver + 8 + u32::from_be_bytes(bytes[receiver + 4..receiver + 8].try_into().unwrap()) as usize;
        let chunks = u32::from_be_bytes(bytes[name..name + 4].try_into().unwrap());
        let (new_name, chunks) = change(std::str::from_utf8(&bytes[receiver + 8..name]).unwrap(), chunks);
        let size = (new_name.len() as u32).to_be_bytes();
        let parts = [&bytes[..receiver + 4], &size, new_name.as_bytes(), &chunks.to_be_bytes(), &bytes[name + 4..]];
        Fate::Replace(parts.concat())
    })
}

/// The second MRGREQ on a connection is news.
fn with_news(fate: fn() -> Fate) -> Rule {
    on(Up, MrgReq, move |memory, _| {
        memory.count += 1;
        if memory.count == 2 { fate() } else { Fate::Pass }
    })
}

/// What the server asks of a server that it has learned of goes over a proxy, too.
fn forgets_siblings() -> Rule {
    on(Up, MrgReq, |_, bytes| {
        let mut bytes = bytes.to_vec();
        let port = bytes.len() - 2;
        if let Some(&[high, low]) = bytes.get(port.max(11)..).and_then(|rest| rest.first_chunk()) {
            let upstream = ([127, 0, 0, 1], u16::from_be_bytes([high, low])).into();
            let proxy = Proxy::start(upstream, rewrites(MrgReq, without_descriptions));
            bytes[port..].copy_from_slice(&proxy.address().port().to_be_bytes());
            // It is needed until the test ends.
            std::mem::forget(proxy);
        }
        Fate::Replace(bytes)
    })
}

pub fn mistakes() -> Vec<(&'static str, Rule)> {
    let wrong_origin = |code| sets(code, 4, 99);
    let wrong_destination = || sets(PckFwd, 4, 99);
    vec![
        ("1.1", on(Up, AuthGst, |memory, _| if memory.index > 1 { Fate::Drop } else { Fate::Pass })),
        ("1.2", confuses(AuthRsp, 3, 0)),
        ("1.3", sets(MsgPblInc, 4, 7)),
        ("2.1", alters(MsgPblInc, |bytes| bytes.iter_mut().filter(|byte| **byte > 0x7F).for_each(|byte| *byte = b'?'))),
        ("2.2", drops_nth(Down, MsgPblInc, 300)),
        ("2.3", rule(|_, _, piece| if piece == Piece::Partial { Fate::Close } else { Fate::Pass })),
        (
            "2.4",
            rule(|_, way, piece| match piece {
                Piece::Packet(_, 1..) if way == Up => Fate::Drop,
                _ => Fate::Pass,
            }),
        ),
        (
            "2.5",
            alters(MsgPblInc, |bytes| {
                let at = size_at(bytes);
                bytes[at..at + 4].reverse();
            }),
        ),
        (
            "2.6",
            on(Down, MsgPblInc, |memory, bytes| {
                memory.count += 1;
                let mut bytes = bytes.to_vec();
                bytes[4] += (memory.count / 3) as u8;
                Fate::Replace(bytes)
            }),
        ),
        ("2.7", rewrites_message(str::to_owned)),
        ("2.8", with_unknown(|| Fate::Die)),
        ("3.1", confuses(AuthRsp, 0, 2)),
        ("3.2", confuses(AuthRsp, 0, 2)),
        ("3.3", confuses(AuthRsp, 1, 3)),
        ("3.4", confuses(AuthRsp, 2, 1)),
        ("3.5", confuses(AuthRsp, 3, 1)),
        (
            "3.6",
            on(Up, MsgPbl, |memory, bytes| match memory.is_logged_in {
                true => Fate::Pass,
                false => Fate::Replace([encoded(&Packet::AuthGst { nickname: "anybody" }), bytes.to_vec()].concat()),
            }),
        ),
        ("4.1", wrong_origin(MsgPblInc)),
        ("4.2", on(Down, MsgPblInc, |_, bytes| Fate::Replace(bytes.repeat(2)))),
        ("4.3", wrong_destination()),
        ("4.4", sets(MsgPblInc, 4, 7)),
        ("4.5", rewrites_message(str::to_uppercase)),
        ("5.1", wrong_origin(MsgPrvInc)),
        ("5.2", {
            // Bob's goes to Eve, too.
            let to = |name: &'static [u8]| move |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name);
            let (is_for_eve, is_for_bob) = (to(b"eve"), to(b"bob"));
            rule(move |memory, way, piece| {
                let Piece::Packet(bytes, _) = piece else { return Fate::Pass };
                let mut stash = memory.stash.lock().unwrap();
                match (way, Code::from_byte(bytes[0])) {
                    (Down, Some(MsgPrvInc)) if is_for_eve(bytes) => {
                        return Fate::Replace([stash.concat(), bytes.to_vec()].concat());
                    }
                    (Down, Some(MsgPrvInc)) if is_for_bob(bytes) => stash.push(bytes.to_vec()),
                    _ => {}
                }
                Fate::Pass
            })
        }),
        ("5.3", wrong_destination()),
        ("5.4", sets(MsgPrvInc, 4, 7)),
        ("5.5", sets(MsgPrvInc, 4, 7)),
        ("6.1", wrong_origin(FileChnkInc)),
        (
            "6.2",
            on(Down, FileChnkInc, |_, bytes| {
                into(bytes, |packet| match packet {
                    Packet::FileChnkInc { origin, sender, receiver, mut chunk } => {
                        chunk.transfer_id = 1;
                        encoded(&Packet::FileChnkInc { origin, sender, receiver, chunk })
                    }
                    other => encoded(&other),
                })
            }),
        ),
        ("6.3", rewrites_chunk(|name, chunks| (name.split('.').next().unwrap().to_ascii_uppercase(), chunks))),
        ("6.4", wrong_destination()),
        ("6.5", alters(FileChnkInc, |bytes| *bytes.last_mut().unwrap() ^= 1)),
        ("6.6", drops_nth(Down, FileChnkInc, 50)),
        ("6.7", drops_nth(Up, FileChnk, 50)),
        ("7.1", sets(MrgRsp, 4, 99)),
        ("7.2", alters(MrgRsp, without_descriptions)),
        ("7.3", confuses(MrgDecl, 0, 1)),
        ("7.4", confuses(MrgDecl, 1, 0)),
        ("7.5", confuses(MrgDecl, 2, 0)),
        ("7.6", confuses(MrgDecl, 2, 1)),
        ("7.7", rewrites(MrgReq, without_descriptions)),
        ("7.8", forgets_siblings()),
        ("8.1", confuses(Error, 0, 1)),
        ("8.2", confuses(Error, 1, 0)),
        ("8.3", confuses(Error, 0, 1)),
        ("8.4", confuses(Error, 1, 0)),
        ("8.5", confuses(Error, 1, 0)),
        ("8.6", confuses(Error, 0, 1)),
        ("8.7", confuses(Error, 1, 0)),
        (
            "9.1",
            on(Up, MsgPblInc, |_, bytes| {
                into(bytes, |packet| match packet {
                    Packet::MsgPblInc { message, .. } => encoded(&Packet::MsgPbl { message }),
                    other => encoded(&other),
                })
            }),
        ),
    ]
}

pub fn of_decisions() -> Vec<(&'static str, Rule)> {
    let close = || Fate::Close;
    vec![
        ("D1.1", closes_on_malformed(Up)),
        ("D1.2", with_overlong(close)),
        ("D1.3", closes_on_malformed(Up)),
        ("D1.4", with_overlong(close)),
        ("D1.5", on(Up, MsgPbl, |memory, _| if memory.is_logged_in { Fate::Pass } else { Fate::Close })),
        ("D2.1", with_unknown(close)),
        (
            "D3.1",
            rule(|memory, _, piece| {
                memory.count += usize::from(piece == Piece::Unknown);
                if memory.count == 10 { Fate::Close } else { Fate::Pass }
            }),
        ),
        ("D3.2", with_unknown(|| Fate::Drop)),
        ("D3.3", rule(|_, _, piece| if piece == Piece::Partial { Fate::Close } else { Fate::Pass })),
        ("D4.1", on(Up, PckFwd, |_, bytes| if bytes[0] == 0x32 { Fate::Drop } else { Fate::Pass })),
        ("D4.2", sets(PckFwd, 0, 0x32)),
        ("D5.1", with_overlong(close)),
        ("D5.2", on(Up, PckFwd, |_, bytes| if bytes[5] == 0x21 { Fate::Close } else { Fate::Pass })),
        ("D6.1", on(Down, MsgPblInc, |_, _| Fate::Drop)),
        ("D6.2", swaps_nth(MsgPblInc, 10, |memory| memory.index == 4)),
        ("D6.3", repeats_to(|index, _| index == 2, MsgPblInc, AuthRsp)),
        ("D7.1", answers_login(2, is_no_nickname)),
        ("D7.2", answers_login(2, is_no_nickname)),
        ("D7.3", answers_login(2, is_no_nickname)),
        ("D7.4", answers_login(2, is_no_nickname)),
        ("D7.5", answers_login(1, |nickname| nickname.len() > 60)),
        ("D7.6", answers_login(3, |nickname| nickname.starts_with(b"A"))),
        ("D8.1", on(Down, AuthRsp, |_, bytes| if bytes[1] == 0 { Fate::Pass } else { Fate::Last(bytes.to_vec()) })),
        ("D8.2", drops_nth(Down, AuthRsp, 5)),
        (
            "D8.3",
            on(Up, AuthGst, |memory, _| if memory.is_logged_in { Fate::Reply(vec![0x10, 0]) } else { Fate::Pass }),
        ),
        (
            "D8.4",
            on(Up, MrgReq, |memory, _| if memory.is_logged_in { Fate::Reply(DECLINED.to_vec()) } else { Fate::Pass }),
        ),
        (
            "D8.5",
            rule(|memory, _, piece| match piece {
                Piece::Open if memory.index > 0 => Fate::Close,
                _ => Fate::Pass,
            }),
        ),
        ("D9.1", confuses(AuthRsp, 2, 1)),
        ("D9.2", confuses(AuthRsp, 1, 3)),
        ("D9.3", confuses(AuthRsp, 3, 2)),
        (
            "D9.4",
            on(Down, AuthRsp, |memory, bytes| match memory.index {
                2 => Fate::Replace(vec![0x10, 3]),
                _ => Fate::Replace(bytes.to_vec()),
            }),
        ),
        ("D9.5", confuses(AuthRsp, 2, 1)),
        ("D10.1", swallows_message(|size| size == 0)),
        ("D10.2", swallows_message(|size| size > 60_000)),
        ("D10.3", rewrites_message(|text| text.chars().take(65_536).collect())),
        ("D10.4", rewrites_message(|text| text.trim().to_owned())),
        ("D11.1", swaps_nth(FileChnkInc, 5, |_| true)),
        ("D11.2", rewrites_chunk(|name, chunks| (name.to_owned(), chunks.max(1)))),
        ("D11.3", rewrites_chunk(|name, chunks| (if name.is_empty() { "x" } else { name }.to_owned(), chunks))),
        ("D11.4", with_overlong(close)),
        ("D11.5", rewrites_chunk(|name, chunks| (name.replace('/', "_"), chunks))),
        ("D12.1", swaps_nth(MsgPrvInc, 10, |_| true)),
        (
            "D12.2",
            rule(|memory, way, piece| match piece {
                Piece::Packet(bytes @ [0x31, ..], _) if way == Down => {
                    memory.held = bytes.to_vec();
                    Fate::Drop
                }
                Piece::Packet(bytes @ [0x41, ..], _) => Fate::Replace([bytes, &memory.held].concat()),
                _ => Fate::Pass,
            }),
        ),
        ("D13.1", drops_nth(Down, Error, 2)),
        ("D13.2", confuses(PckFwd, 1, 0)),
        ("D13.3", confuses(Error, 1, 0)),
        ("D14.1", alters(MrgRsp, |bytes| with_description(bytes, [0, 0, 0, 7]))),
        ("D14.2", alters(MrgRsp, without_descriptions)),
        (
            "D14.3",
            rule(|memory, _, piece| match piece {
                Piece::Packet(bytes @ [0xA0, ..], _) => {
                    memory.held = bytes[1..5].to_vec();
                    Fate::Pass
                }
                Piece::Packet(bytes @ [0xA1, ..], _) => {
                    let mut bytes = bytes.to_vec();
                    with_description(&mut bytes, memory.held[..].try_into().unwrap());
                    Fate::Replace(bytes)
                }
                _ => Fate::Pass,
            }),
        ),
        (
            "D15.1",
            on(Up, MrgReq, |_, bytes| {
                match Descriptions::new(&bytes[9..]).unwrap().iter().any(|it| it.server.0 == 7) {
                    true => Fate::Reply(vec![0xA2, 2]),
                    false => Fate::Pass,
                }
            }),
        ),
        ("D17.1", with_overlong(|| Fate::Drop)),
        ("D17.2", confuses(MrgDecl, 2, 0)),
        (
            "D17.3",
            rule(|memory, way, piece| {
                memory.count += usize::from(matches!(piece, Piece::Packet([0xA2, ..], _)));
                match piece {
                    Piece::End if way == Down && memory.count > 0 => Fate::Drop,
                    _ => Fate::Pass,
                }
            }),
        ),
        ("D17.4", confuses(Error, 0, 1)),
        ("D19.1", rewrites(PckFwd, |bytes| bytes[1..5].copy_from_slice(&[0, 0, 0, 7]))),
        (
            "D19.2",
            rule(|memory, way, piece| match piece {
                Piece::Packet(bytes @ [0xA0, ..], _) if way == Up => {
                    memory.held = bytes[1..5].to_vec();
                    Fate::Pass
                }
                Piece::Packet(bytes @ [0x50, ..], _) if way == Up => {
                    let mut bytes = bytes.to_vec();
                    bytes[6..10].copy_from_slice(&memory.held);
                    Fate::Replace(bytes)
                }
                _ => Fate::Pass,
            }),
        ),
        (
            "D19.3",
            rule(|memory, way, piece| match piece {
                Piece::Packet([0xA0, ..], _) if way == Up => {
                    memory.count = 1;
                    Fate::Pass
                }
                Piece::Packet([0x21, ..], _) if memory.count == 1 => Fate::Close,
                _ => Fate::Pass,
            }),
        ),
        ("D19.4", with_unknown(|| Fate::Drop)),
        ("D24.1", with_unknown(|| Fate::Close)),
        // It dials where nobody listens.
        ("D21.1", rewrites(MrgReq, |bytes| bytes.iter_mut().skip(19).take(1).for_each(|byte| *byte ^= 0x40))),
        ("D22.1", on(Down, MsgPblInc, |memory, _| if memory.index == 2 { Fate::Drop } else { Fate::Pass })),
        ("D23.1", with_news(|| Fate::Answer(encoded(&answer())))),
        ("D23.2", with_news(|| Fate::Drop)),
        (
            "D53.1",
            on(Up, MrgReq, |memory, bytes| {
                let mut stash = memory.stash.lock().unwrap();
                if stash.iter().any(|known| *known == bytes[1..5]) {
                    return Fate::Reply(DECLINED.to_vec());
                }
                stash.push(bytes[1..5].to_vec());
                Fate::Pass
            }),
        ),
        ("D55.1", with_overlong(|| Fate::Drop)),
        ("D60.1", confuses(AuthRsp, 1, 0)),
    ]
}

fn answer() -> Packet<'static> {
    Packet::MrgRsp { server: ServerId(7), siblings: Descriptions::default() }
}

/// The cases whose server needs a second one.
pub fn needs_second(id: &str) -> bool {
    ["1.3", "4.5", "5.5", "6.7", "7.2", "7.8", "8.7"].contains(&id)
}
