//! The table of look-alikes is what the library for Unicode's technical standard 39 says.
//!
//! `CFP_WRITE_TABLE=1 cargo test --test look_alikes` writes it anew, for another version of Unicode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

mod support;

use cfp::core::state::look_alikes::Look;
use cfp::wire::{AuthResponse, Packet};
use rustix::process::Signal;
use support::Server;
use support::users::UsersFile;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/core/state/look_alikes.txt");

/// Accents, and invisible characters.
fn is_removed(c: char) -> bool {
    let is_mark = matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
    // Annotations of ruby texts can't be seen either, but the library keeps them.
    is_mark
        || unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
        || matches!(c, '\u{fff9}'..='\u{fffb}')
}

fn plain(text: &str) -> String {
    text.chars().nfkd().filter(|&c| !is_removed(c)).collect()
}

fn skeleton(plain: &str) -> String {
    let text: String = unicode_security::skeleton(plain).nfkd().filter(|&c| !is_removed(c)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the three numbers are made of.
fn reference(text: &str) -> [String; 3] {
    let plain = plain(text);
    let small: String = plain.chars().flat_map(char::to_lowercase).collect();
    let capital: String = plain.chars().flat_map(char::to_uppercase).collect();
    [skeleton(&plain), skeleton(&small), skeleton(&capital)]
}

fn is_syllable(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}')
}

fn table() -> String {
    let (mut removed, mut forms, mut prototypes) =
        (Vec::<(u32, u32)>::new(), BTreeMap::<String, String>::new(), BTreeMap::<String, String>::new());
    for c in ('\0'..=char::MAX).filter(|&c| !c.is_control() && !is_syllable(c)) {
        let text = c.to_string();
        let plain = plain(&text);
        let looks: String = unicode_security::skeleton(&text).nfkd().filter(|&c| !is_removed(c)).collect();
        if is_removed(c) {
            match removed.last_mut() {
                Some((_, last)) if *last + 1 == u32::from(c) => *last = u32::from(c),
                _ => removed.push((u32::from(c), u32::from(c))),
            }
        } else if plain != text {
            forms.entry(plain).or_default().push(c);
        } else if looks != text {
            prototypes.entry(looks).or_default().push(c);
        }
    }
    let (major, minor, _) = unicode_security::UNICODE_VERSION;
    let mut file =
        format!("Made by tests/look_alikes.rs from Unicode {major}.{minor}. See look_alikes.rs.\n= removed\n");
    for (first, last) in removed {
        writeln!(file, "{first:x} {last:x}").unwrap();
    }
    for (name, entries) in [("forms", forms), ("prototypes", prototypes)] {
        writeln!(file, "= {name}").unwrap();
        for (text, sources) in entries {
            writeln!(file, "{text}\t{sources}").unwrap();
        }
    }
    file
}

#[test]
fn the_table_is_the_librarys() {
    let table = table();
    if std::env::var_os("CFP_WRITE_TABLE").is_some() {
        std::fs::write(PATH, &table).unwrap();
    }
    assert!(std::fs::read_to_string(PATH).unwrap() == table, "write it anew");
}

/// The numbers are hashes of what the library says, for each character beside others.
#[test]
fn every_character_looks_like_what_the_library_says() {
    let hash = |text: &String| {
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hasher::write(&mut hasher, text.as_bytes());
        std::hash::Hasher::finish(&hasher)
    };
    // Planes without characters, and private ones, have nothing in them.
    let is_used = |c: char| !matches!(c, '\u{40000}'..'\u{e0000}' | '\u{e1000}'..=char::MAX);
    for c in ('\0'..=char::MAX).filter(|&c| !c.is_control() && is_used(c)) {
        let text = format!("x{c}y");
        let expected = reference(&text);
        assert_eq!(Look::of(&text).numbers(), [0, 1, 2].map(|i| hash(&expected[i])), "{text:?} {expected:?}");
    }
}

fn answer_to_guest(server: &Server, nickname: &str) -> AuthResponse {
    let mut client = server.connect();
    client.send(&Packet::AuthGst { nickname });
    match Packet::decode(&client.receive()) {
        Ok(Packet::AuthRsp { response }) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_does_not_get_a_nickname_that_looks_like_a_registered_one() {
    let users = UsersFile::new(&[("maria", "open sesame"), ("M\u{e1}ria", "x"), ("Bob", "x")]);
    let server = Server::start(&["--users", users.path()]);
    for like in ["Maria", "m\u{430}ria", "ma\u{301}ria", "ma\u{200b}ria", "\u{ff4d}aria", "\u{202e}airam", "BOB", "B0b"]
    {
        assert_eq!(answer_to_guest(&server, like), AuthResponse::Registered, "{like:?}");
    }
    for other in ["mario", "marla", "bobby", "\u{43c}\u{430}\u{448}\u{430}"] {
        assert_eq!(answer_to_guest(&server, other), AuthResponse::Accepted, "{other:?}");
    }
    // A registered user is known by the exact bytes of the nickname.
    for (nickname, password) in [("maria", "open sesame"), ("M\u{e1}ria", "x")] {
        let mut client = server.connect();
        client.send(&Packet::AuthUsr { nickname, password });
        client.expect(&Packet::AuthRsp { response: AuthResponse::Accepted });
    }
}

#[test]
fn where_nobody_is_registered_every_nickname_is_as_good_as_another() {
    let server = Server::start(&[]);
    for nickname in ["maria", "Maria", "m\u{430}ria", "\u{202e}airam"] {
        assert_eq!(answer_to_guest(&server, nickname), AuthResponse::Accepted, "{nickname:?}");
    }
}

#[test]
fn a_guest_who_looks_like_a_new_user_is_closed_on_a_reload() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let server = Server::start(&["--users", users.path()]);
    let (mut zoe, mut anna) = (server.guest("Z\u{f6}e"), server.guest("anna"));
    users.write(&[("maria", "open sesame"), ("zoe", "x")]);
    server.signal(Signal::HUP);
    zoe.expect_end();
    server.wait_for_log("1 added, 0 removed");
    anna.expect_nothing_but_itself("anna");
}
