//! Section 3.

use super::bench::{Bench, accepted};
use crate::conform::case::{Case, Check};
use crate::conform::peer::encoded;
use crate::wire::{AuthResponse, Packet};

pub(super) const CASES: &[Case<Bench>] = &[
    Case {
        id: "3.1",
        claim: "a guest's AUTHGST is answered with AUTHRSP 0",
        quote: "they need to authenticate either as a guest, only giving a username",
        check: guest,
    },
    Case {
        id: "3.2",
        claim: "a registered user's AUTHUSR with the right password is answered with AUTHRSP 0",
        quote: "or as a registered user by giving a nickname and password combination",
        check: user,
    },
    Case {
        id: "3.3",
        claim: "a guest with the nickname of a registered user gets AUTHRSP 1",
        quote: "0x01 : Authentication failed due to nickname already been taken. In other words, a registered user chose \
                this nickname.",
        check: registered_nickname,
    },
    Case {
        id: "3.4",
        claim: "a wrong password gets AUTHRSP 2",
        quote: "0x02 : Authentication failed due to incorrect nickname and password combination.",
        check: wrong_password,
    },
    Case {
        id: "3.5",
        claim: "a nickname that another client uses right now gets AUTHRSP 3",
        quote: "0x03 : Authentication failed due to the nickname being used at this very moment by another client.",
        check: in_use,
    },
    Case {
        id: "3.6",
        claim: "who has not logged in cannot send messages",
        quote: "If a client wants to communicate with other clients over the Fusion Chat network, they need to authenticate",
        check: needs_login,
    },
];

fn guest(bench: &mut Bench) -> Check {
    let (mut peer, nickname) = (bench.dial()?, bench.text("ana"));
    peer.send(&Packet::AuthGst { nickname: &nickname })?;
    peer.expect(&accepted())
}

fn user(bench: &mut Bench) -> Check {
    let (nickname, password) = bench.user()?;
    let mut peer = bench.dial()?;
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: &password })?;
    peer.expect(&accepted()).map_err(|stop| stop.hint("the user must not be connected already"))?;
    let (mut ana, message) = (bench.guest("ana")?, bench.text("from a registered user "));
    peer.send(&Packet::MsgPbl { message: &message })?;
    ana.expect(&Packet::MsgPblInc { origin: bench.id(), sender: &nickname, message: &message })
}

fn registered_nickname(bench: &mut Bench) -> Check {
    let (nickname, _) = bench.user()?;
    let mut peer = bench.dial()?;
    peer.send(&Packet::AuthGst { nickname: &nickname })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::Registered })
}

fn wrong_password(bench: &mut Bench) -> Check {
    let (nickname, password) = bench.user()?;
    let mut peer = bench.dial()?;
    peer.send(&Packet::AuthUsr { nickname: &nickname, password: &format!("{password}x") })?;
    peer.expect(&Packet::AuthRsp { response: AuthResponse::WrongPassword })
}

fn in_use(bench: &mut Bench) -> Check {
    let (ana, mut second) = (bench.guest("ana")?, bench.dial()?);
    second.send(&Packet::AuthGst { nickname: ana.nickname() })?;
    second.expect(&Packet::AuthRsp { response: AuthResponse::InUse })
}

fn needs_login(bench: &mut Bench) -> Check {
    let (mut bob, mut stranger) = (bench.guest("bob")?, bench.dial()?);
    let (message, later) = (bench.text("not logged in "), bench.text("logged in "));
    let private = Packet::MsgPrv { destination: bench.id(), receiver: bob.nickname(), message: &message };
    // A server that closes the connection keeps the sentence, too.
    [Packet::MsgPbl { message: &message }, private].iter().for_each(|it| stranger.send_if_open(&encoded(it)));
    // On this connection or on another, it takes effect after the login only.
    let mut ana = match bench.still_logs_in(stranger) {
        Ok(ana) => ana,
        Err(_) => bench.guest("ana")?,
    };
    ana.send(&Packet::MsgPbl { message: &later })?;
    bob.expect(&Packet::MsgPblInc { origin: bench.id(), sender: ana.nickname(), message: &later })
}
