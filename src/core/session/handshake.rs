//! Nobody yet: the state of a connection before its first accepted packet.

use super::{Client, Session, Verdict, merging};
use crate::core::state::Context;
use crate::core::state::address::AddressGroup;
use crate::core::state::counters::Ignored;
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::passwords::PasswordCheck;
use crate::core::time::Millis;
use crate::limits::LOGIN_TRIES_MAX;
use crate::wire::{AuthResponse, Code, Nickname, Packet};

/// Waits for a login.
#[derive(Debug)]
pub struct Handshake {
    failed_logins: u8,
    /// Since when an answer about a password is awaited, or `NEVER`.
    checking_since: Millis,
    /// Time spent waiting for such answers.
    waited_ms: u32,
}

impl Default for Handshake {
    fn default() -> Self {
        Handshake { failed_logins: 0, checking_since: Millis::NEVER, waited_ms: 0 }
    }
}

impl Handshake {
    /// Whether an answer about a password is awaited; packets wait meanwhile.
    pub fn is_checking_password(&self) -> bool {
        self.checking_since != Millis::NEVER
    }

    /// Time that it was our processor's to use, and does not count for the handshake time limit.
    pub fn waited_ms(&self) -> u64 {
        self.waited_ms.into()
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, context: &mut Context<'_>) -> Verdict {
        match *packet {
            Packet::AuthGst { nickname } => match Nickname::parse(nickname) {
                Some(nickname) => self.on_guest(nickname, context),
                None => Verdict::Ignored(Ignored::Nickname),
            },
            Packet::AuthUsr { nickname, password } => match Nickname::parse(nickname) {
                Some(nickname) => self.on_user(nickname, password, context),
                None => Verdict::Ignored(Ignored::Nickname),
            },
            Packet::MrgReq { server, siblings } => merging::on_request(server, siblings, context),
            _ => Verdict::Ignored(Ignored::State),
        }
    }

    /// A password over its limit is a wrong one (D9); `head` then holds the nickname.
    pub(super) fn on_overlong(&mut self, code: Code, head: &[u8], context: &mut Context<'_>) -> Verdict {
        match code {
            Code::AuthUsr if nickname_before_password(head).is_some() => {
                self.fail(AuthResponse::WrongPassword, context)
            }
            Code::MrgReq => merging::on_too_many_descriptions(context),
            _ => Verdict::Ignored(Ignored::Overlong),
        }
    }

    pub(super) fn on_password_checked(&mut self, nickname: &str, is_right: bool, context: &mut Context<'_>) -> Verdict {
        let since = std::mem::replace(&mut self.checking_since, Millis::NEVER);
        let waited_ms = u32::try_from(context.now.since(since)).unwrap_or(u32::MAX);
        self.waited_ms = self.waited_ms.saturating_add(waited_ms);
        match Nickname::parse(nickname) {
            Some(nickname) if is_right => self.enter(nickname, true, context),
            _ => self.fail(AuthResponse::WrongPassword, context),
        }
    }

    pub(super) fn on_end(self, context: &mut Context<'_>) {
        if self.is_checking_password() {
            context.core.password_checks.cancel(context.key);
        }
    }

    fn on_guest(&mut self, nickname: Nickname<'_>, context: &mut Context<'_>) -> Verdict {
        if context.core.users.contains(nickname.as_str()) {
            self.fail(AuthResponse::Registered, context)
        } else if context.core.config.no_guests {
            self.fail(AuthResponse::WrongPassword, context)
        } else {
            self.enter(nickname, false, context)
        }
    }

    fn on_user(&mut self, nickname: Nickname<'_>, password: &str, context: &mut Context<'_>) -> Verdict {
        let Some(stored) = context.core.users.to_check(nickname.as_str()) else {
            return self.fail(AuthResponse::WrongPassword, context);
        };
        let address =
            AddressGroup::of(context.remote.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |remote| remote.ip()));
        if context.core.password_checks.is_full_for(address) {
            context.effects.close(context.key, CloseReason::PasswordChecks, CloseMode::AfterWriting);
            return Verdict::Handled;
        }
        let check = PasswordCheck {
            key: context.key,
            address,
            nickname: nickname.as_str().into(),
            stored: stored.clone(),
            work: stored.begin_check(password),
        };
        context.core.password_checks.add(check);
        self.checking_since = context.now;
        Verdict::Handled
    }

    fn enter(&mut self, nickname: Nickname<'_>, is_registered: bool, context: &mut Context<'_>) -> Verdict {
        match context.core.directory.enter(nickname, context.key) {
            Ok(name) => {
                context.effects.send(context.key, &Packet::AuthRsp { response: AuthResponse::Accepted });
                Verdict::Become(Session::Client(Client::new(name, is_registered)))
            }
            Err(holder) => {
                if is_registered {
                    // The same user again: perhaps the first connection is dead and nobody has noticed (D9).
                    context.effects.push(Effect::Probe(holder));
                }
                self.fail(AuthResponse::InUse, context)
            }
        }
    }

    fn fail(&mut self, response: AuthResponse, context: &mut Context<'_>) -> Verdict {
        self.failed_logins += 1;
        context.effects.send(context.key, &Packet::AuthRsp { response });
        if self.failed_logins >= LOGIN_TRIES_MAX {
            context.effects.close(context.key, CloseReason::LoginTries, CloseMode::AfterWriting);
        }
        Verdict::Handled
    }
}

/// The nickname in an AUTHUSR that was cut before its password's text, where that is a legal one.
///
/// ```text
///  01 | 00000003 | a n a | 00010000      head: code, count, nickname, the password's count
/// ```
fn nickname_before_password(head: &[u8]) -> Option<Nickname<'_>> {
    let (before_count, _) = head.split_last_chunk::<4>()?;
    let (_, text) = before_count.split_at_checked(1 + 4)?;
    Nickname::parse(std::str::from_utf8(text).ok()?)
}
