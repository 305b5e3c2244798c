//! Decisions D7 to D9, D22 and D60: nicknames and logins.

use std::time::{Duration, Instant};

use super::bench::{Bench, accepted, merge_request};
use super::decisions_framing::{client_ignored, newcomer_ignored};
use super::{raw, text};
use crate::conform::case::{Case, Check, Stop};
use crate::conform::peer::encoded;
use crate::wire::{AuthResponse, Code, Packet};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "D7.1",
        claim: "a login with an empty nickname is skipped",
        quote: "",
        check: |bench| newcomer_ignored(bench, &raw(Code::AuthGst, &[&text(b"")])),
    },
    Case {
        id: "D7.2",
        claim: "a login with a nickname of 65 bytes is skipped",
        quote: "",
        check: |bench| newcomer_ignored(bench, &raw(Code::AuthGst, &[&text(&[b'x'; 65])])),
    },
    Case {
        id: "D7.3",
        claim: "a login with a control character in the nickname is skipped",
        quote: "",
        check: |bench| newcomer_ignored(bench, &encoded(&Packet::AuthGst { nickname: "a\nb" })),
    },
    Case {
        id: "D7.4",
        claim: "a login with a blank at an end of the nickname is skipped",
        quote: "",
        check: |bench| newcomer_ignored(bench, &encoded(&Packet::AuthGst { nickname: " ana" })),
    },
    Case { id: "D7.5", claim: "a nickname of 64 bytes is accepted", quote: "", check: longest_nickname },
    Case { id: "D7.6", claim: "nicknames that differ in a capital are two", quote: "", check: capitals },
    Case {
        id: "D8.1",
        claim: "after a failed login, another one on the same connection is accepted",
        quote: "",
        check: second_try,
    },
    Case {
        id: "D8.2",
        claim: "the fifth failed login is answered, then the connection is closed",
        quote: "",
        check: five_tries,
    },
    Case { id: "D8.3", claim: "a second login on a connection is skipped", quote: "", check: second_login },
    Case {
        id: "D8.4",
        claim: "a merge request from a client is skipped",
        quote: "",
        check: |bench| {
            let request = merge_request(bench.fresh_id(), &[]);
            client_ignored(bench, &request)
        },
    },
    Case {
        id: "D8.5",
        claim: "a connection that does not log in is closed after 10 seconds",
        quote: "",
        check: no_login,
    },
    Case {
        id: "D9.1",
        claim: "AUTHUSR with a nickname that nobody registered gets AUTHRSP 2",
        quote: "",
        check: unregistered,
    },
    Case {
        id: "D9.2",
        claim: "a guest with the nickname of a connected registered user gets AUTHRSP 1",
        quote: "",
        check: guest_of_connected_user,
    },
    Case {
        id: "D9.3",
        claim: "AUTHUSR of a connected user gets AUTHRSP 3 with the right password, and 2 with a wrong one",
        quote: "",
        check: connected_user,
    },
    Case { id: "D9.4", claim: "a nickname is free as soon as its connection has ended", quote: "", check: free_again },
    Case { id: "D9.5", claim: "a password of more than 1,024 bytes gets AUTHRSP 2", quote: "", check: long_password },
    Case {
        id: "D22.1",
        claim: "a client that shuts its sending side has left: all that it sent is handled, its queue is written",
        quote: "",
        check: half_close,
    },
    Case {
        id: "D60.1",
        claim: "a guest with a registered nickname in capitals gets AUTHRSP 1",
        quote: "",
        check: look_alike,
    },
];

fn longest_nickname(bench: &mut Bench) -> Check {
    let (mut peer, mut nickname) = (bench.dial()?, bench.text("ana"));
    nickname.extend(std::iter::repeat_n('x', 64 - nickname.len().min(64)));
    peer.send(&Packet::AuthGst { nickname: &nickname })?;
    peer.expect(&accepted())
}

fn capitals(bench: &mut Bench) -> Check {
    let (ana, mut other) = (bench.guest("ana")?, bench.dial()?);
    other.send(&Packet::AuthGst { nickname: &ana.nickname().replacen('a', "A", 1) })?;
    other.expect(&accepted())
}

fn second_try(bench: &mut Bench) -> Check {
    let (ana, mut peer) = (bench.guest("ana")?, bench.dial()?);
    peer.send(&Packet::AuthGst { nickname: ana.nickname() })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::InUse })?;
    bench.still_logs_in(peer).map(|_| ())
}

fn five_tries(bench: &mut Bench) -> Check {
    let (ana, mut peer) = (bench.guest("ana")?, bench.dial()?);
    for _ in 0..5 {
        peer.send(&Packet::AuthGst { nickname: ana.nickname() })?;
        peer.expect(&Packet::AuthRsp { response: AuthResponse::InUse })?;
    }
    peer.expect_end()
}

fn second_login(bench: &mut Bench) -> Check {
    let nickname = bench.text("again");
    client_ignored(bench, &encoded(&Packet::AuthGst { nickname: &nickname }))
}

fn no_login(bench: &mut Bench) -> Check {
    if !bench.setup.is_slow {
        return Err(Stop::skipped("takes more than ten seconds: --slow"));
    }
    let began = Instant::now();
    bench.dial()?.with_patience(Duration::from_secs(10) + bench.setup.patience).expect_end()?;
    if began.elapsed() < Duration::from_secs(9) {
        return Err(Stop::words("the end after 10 seconds", format!("the end after {} s", began.elapsed().as_secs())));
    }
    Ok(())
}

fn unregistered(bench: &mut Bench) -> Check {
    let (mut peer, nickname) = (bench.dial()?, bench.text("nobody"));
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: "secret" })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword })
}

/// Logs the registered user in; case 3.2 says if that does not work.
fn connected(bench: &mut Bench) -> Result<(crate::conform::peer::Peer, String, String), Stop> {
    let (nickname, password) = bench.user()?;
    // The connection of a case before may still be ending.
    let end = Instant::now() + bench.setup.patience;
    loop {
        let mut peer = bench.dial()?;
        peer.send(&Packet::AuthUsr { nickname: &nickname, password: &password })?;
        match peer.expect(&accepted()) {
            Ok(()) => {
                peer.set_nickname(nickname.as_str());
                return Ok((peer, nickname, password));
            }
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            Err(stop) => return Err(stop.or_skip("the registered user must be able to log in; see case 3.2")),
        }
    }
}

fn guest_of_connected_user(bench: &mut Bench) -> Check {
    let ((_maria, nickname, _), mut peer) = (connected(bench)?, bench.dial()?);
    peer.send(&Packet::AuthGst { nickname: &nickname })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::Registered })
}

fn connected_user(bench: &mut Bench) -> Check {
    let ((_maria, nickname, password), mut peer) = (connected(bench)?, bench.dial()?);
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: &password })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::InUse })?;
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: &format!("{password}x") })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword })
}

fn free_again(bench: &mut Bench) -> Check {
    let (mut ana, mut again) = (bench.guest("ana")?, bench.dial()?);
    ana.shut_sending_side();
    ana.expect_end()?;
    again.send(&Packet::AuthGst { nickname: ana.nickname() })?;
    again.expect(&accepted())
}

fn long_password(bench: &mut Bench) -> Check {
    let (mut peer, nickname) = (bench.dial()?, bench.text("nobody"));
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: &"x".repeat(1025) })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword })
}

fn half_close(bench: &mut Bench) -> Check {
    let (mut ana, mut bob) = (bench.guest("ana")?, bench.guest("bob")?);
    let (message, sender) = (bench.text("bye "), bob.nickname().to_owned());
    let packet = Packet::MsgPblInc { origin: bench.id(), sender: &sender, message: &message };
    let encoded = encoded(&packet);
    bob.send(&Packet::MsgPbl { message: &message })?;
    bob.shut_sending_side();
    let seen = bob.next_of_ours(None);
    if seen != crate::conform::case::Seen::Bytes(encoded.clone()) {
        return Err(bob.stop(crate::conform::case::Seen::Bytes(encoded), seen));
    }
    bob.expect_end()?;
    ana.expect(&packet)
}

fn look_alike(bench: &mut Bench) -> Check {
    let (nickname, _) = bench.user()?;
    let capitals = nickname.to_ascii_uppercase();
    if capitals == nickname {
        return Err(Stop::skipped("needs a --user whose nickname has a small letter"));
    }
    let mut peer = bench.dial()?;
    peer.send(&Packet::AuthGst { nickname: &capitals })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::Registered })
}
