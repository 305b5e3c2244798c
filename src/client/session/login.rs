//! The first login, with the user's help if there is a terminal.

use std::io;

use jiff::Timestamp;

use super::Identity;
use crate::blocking::LoginError;
use crate::client::escape::{Visible, VisibleNickname};
use crate::client::limits::LOGIN_TRIES_MAX;
use crate::client::link::{Link, refusal};
use crate::client::screen::Line;
use crate::client::term::{canvas::Canvas, raw};
use crate::client::{output, password};
use crate::wire::{AuthResponse, Decoder, Nickname};

/// Why there was no login, in words.
pub(super) enum NoLogin {
    Unreachable(String),
    Refused(String),
}

/// Logs in. A person may try again with another nickname or password.
pub(super) fn log_in(identity: &mut Identity, canvas: Option<&Canvas>) -> Result<(Link, Decoder), NoLogin> {
    for _ in 0..LOGIN_TRIES_MAX {
        if let Some(canvas) = canvas {
            // The editor, which draws, comes with the login, which may take half a minute. If this line is lost, so is
            // the next.
            canvas.push(Line::Notice(connecting(identity).into()), Timestamp::now(), false);
            let _ = output::write_all(io::stdout(), canvas.take(raw::size().0).rows.as_bytes());
        }
        let failure =
            match Link::open(&identity.server, &identity.security, &identity.nickname, identity.password.as_deref()) {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
        let text = describe(&failure, identity);
        let LoginError::Refused(response) = failure else { return Err(NoLogin::Unreachable(text)) };
        if canvas.is_none() {
            return Err(NoLogin::Refused(text));
        }
        let asked = output::write_all(io::stdout(), format!("{text}\n").as_bytes());
        match asked.and_then(|()| ask_again(identity, response)) {
            Ok(true) => {}
            Ok(false) => return Err(NoLogin::Refused("not logged in".to_owned())),
            Err(error) => return Err(NoLogin::Refused(error.to_string())),
        }
    }
    Err(NoLogin::Refused("too many tries".to_owned()))
}

/// What is being done while there is no answer yet.
pub(super) fn connecting(identity: &Identity) -> String {
    format!("connecting to {} as {} …", Visible(&identity.server), VisibleNickname(&identity.nickname))
}

pub(super) fn describe(failure: &LoginError, identity: &Identity) -> String {
    let (server, why) = (&identity.server, describe_briefly(failure, identity));
    match failure {
        LoginError::Unreachable(_) => format!("cannot connect to {server}: {why}"),
        LoginError::Refused(_) => format!("{server} does not let us in: {why}"),
    }
}

pub(super) fn describe_briefly(failure: &LoginError, identity: &Identity) -> String {
    match failure {
        LoginError::Unreachable(error) => error.to_string(),
        LoginError::Refused(response) => refusal(*response, &identity.nickname),
    }
}

/// Asks for another nickname or password. Returns false if the user has given up.
fn ask_again(identity: &mut Identity, response: AuthResponse) -> io::Result<bool> {
    if response != AuthResponse::InUse {
        let Some(password) = password::ask("its password (empty for another nickname): ")? else { return Ok(false) };
        if !password.is_empty() {
            identity.password = Some(password);
            return Ok(true);
        }
    }
    loop {
        let Some(nickname) = password::ask_visibly("another nickname: ")? else { return Ok(false) };
        if nickname.is_empty() {
            return Ok(false);
        }
        if Nickname::parse(&nickname).is_some() {
            // The password was that of the other nickname.
            (identity.nickname, identity.password) = (nickname, None);
            return Ok(true);
        }
        let rule = "a nickname has 1 to 64 bytes, no control characters and no outer blanks\n";
        output::write_all(io::stdout(), rule.as_bytes())?;
    }
}
