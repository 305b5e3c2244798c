//! A newcomer: the state of a connection before its first accepted packet.

use super::{Client, Session, Verdict, merging};
use crate::core::state::Context;
use crate::core::state::address::AddressGroup;
use crate::core::state::counters::{Ignored, LoginResult};
use crate::core::state::effects::{CloseMode, CloseReason, Effect};
use crate::core::state::passwords::PasswordCheck;
use crate::core::time::Millis;
use crate::limits::LOGIN_TRIES_MAX;
use crate::wire::{AuthResponse, Code, Nickname, Packet};

/// Waits for a login. Small, so that a session is.
#[derive(Debug)]
pub struct Handshake {
    /// Since when an answer about a password is awaited, or `NEVER`.
    checking_since: Millis,
    /// Time spent waiting for such answers.
    waited_ms: u32,
    /// The answer goes out so long after that, if it is known already: the password was wrong. Else 0.
    delay_ms: u16,
    failed_logins: u8,
}

impl Default for Handshake {
    fn default() -> Self {
        Handshake { checking_since: Millis::NEVER, waited_ms: 0, delay_ms: 0, failed_logins: 0 }
    }
}

impl Handshake {
    /// Whether an answer about a password is awaited; packets wait meanwhile.
    pub fn is_checking_password(&self) -> bool {
        self.checking_since != Millis::NEVER
    }

    /// When the answer to a wrong password is due, if that was delayed.
    pub fn answer_at(&self) -> Option<Millis> {
        (self.delay_ms > 0).then(|| self.checking_since + self.delay_ms.into())
    }

    /// Time that it was our processor's to use, or that we let it wait: it does not count for the handshake time limit.
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
            Code::AuthUsr => match nickname_before_password(head) {
                Some(nickname) => self.on_wrong_password(nickname.as_str(), context),
                None => Verdict::Ignored(Ignored::Overlong),
            },
            Code::MrgReq => merging::on_too_many_descriptions(head, context),
            _ => Verdict::Ignored(Ignored::Overlong),
        }
    }

    pub(super) fn on_password_checked(&mut self, nickname: &str, is_right: bool, context: &mut Context<'_>) -> Verdict {
        match Nickname::parse(nickname).filter(|_| is_right) {
            Some(nickname) => {
                self.end_check(context.now);
                context.core.logins.on_right(nickname.as_str(), address_of(context));
                self.enter(nickname, true, context)
            }
            None => self.on_wrong_password(nickname, context),
        }
    }

    /// The answer that was put off is due.
    pub(super) fn on_answer_due(&mut self, context: &mut Context<'_>) -> Verdict {
        self.end_check(context.now);
        self.fail(LoginResult::WrongPassword, context)
    }

    pub(super) fn on_end(self, context: &mut Context<'_>) {
        if self.is_checking_password() {
            context.core.password_checks.cancel(context.key);
        }
    }

    fn on_guest(&mut self, nickname: Nickname<'_>, context: &mut Context<'_>) -> Verdict {
        if context.core.bans.has_guest(nickname.as_str(), context.now) {
            self.refuse(LoginResult::Banned, AuthResponse::Registered, context)
        } else if context.core.users.contains(nickname.as_str()) {
            self.fail(LoginResult::Registered, context)
        } else if context.core.users.is_like_one(nickname.as_str()) {
            self.fail(LoginResult::LookAlike, context)
        } else if context.core.config.no_guests {
            self.fail(LoginResult::NoGuests, context)
        } else {
            self.enter(nickname, false, context)
        }
    }

    fn on_user(&mut self, nickname: Nickname<'_>, password: &str, context: &mut Context<'_>) -> Verdict {
        if context.core.bans.has_user(nickname.as_str(), context.now) {
            return self.refuse(LoginResult::Banned, AuthResponse::WrongPassword, context);
        }
        let Some(stored) = context.core.users.to_check(nickname.as_str()) else {
            return self.on_wrong_password(nickname.as_str(), context);
        };
        let address = address_of(context);
        let check = PasswordCheck {
            key: context.key,
            address,
            is_known: context.core.logins.is_known(address),
            nickname: nickname.as_str().into(),
            stored: stored.clone(),
            work: stored.begin_check(password),
        };
        self.checking_since = context.now;
        if let Some(turned_away) = context.core.password_checks.add(check) {
            context.core.counters.log_in(LoginResult::TurnedAway);
            context.effects.close(turned_away, CloseReason::PasswordChecks, CloseMode::AfterWriting);
        }
        Verdict::Handled
    }

    /// The password was wrong, or there is no such user (D61). The log has a line about it. If the address has had many
    /// wrong passwords, the answer is delayed. The right password is answered at once, from every address.
    fn on_wrong_password(&mut self, nickname: &str, context: &mut Context<'_>) -> Verdict {
        let wrong = context.core.logins.on_wrong(address_of(context), context.now);
        if let (Some(unsaid), Some(remote)) = (wrong.line, context.remote) {
            let (ip, port) = (remote.ip().to_canonical(), remote.port());
            match unsaid {
                // The address comes first, because the rest is a text that a stranger chose.
                0 => log::info!("wrong password from {ip} port {port} for {nickname:?}"),
                _ => log::info!(
                    "wrong password from {ip} port {port} for {nickname:?}; {unsaid} more from this address were not written"
                ),
            }
        }
        if wrong.delay_ms == 0 {
            self.end_check(context.now);
            return self.fail(LoginResult::WrongPassword, context);
        }
        // The time of a check that is over counts apart, so that the delay begins now.
        self.end_check(context.now);
        self.checking_since = context.now;
        self.delay_ms = u16::try_from(wrong.delay_ms).unwrap_or(u16::MAX);
        Verdict::Handled
    }

    fn end_check(&mut self, now: Millis) {
        self.delay_ms = 0;
        let since = std::mem::replace(&mut self.checking_since, Millis::NEVER);
        let waited_ms = u32::try_from(now.since(since)).unwrap_or(u32::MAX);
        self.waited_ms = self.waited_ms.saturating_add(waited_ms);
    }

    fn enter(&mut self, nickname: Nickname<'_>, is_registered: bool, context: &mut Context<'_>) -> Verdict {
        match context.core.directory.enter(nickname, context.key) {
            Ok(name) => {
                context.effects.send(context.key, &Packet::AuthRsp { response: AuthResponse::Accepted });
                let result = if is_registered { LoginResult::User } else { LoginResult::Guest };
                context.core.counters.log_in(result);
                Verdict::Become(Session::Client(Client::new(name, is_registered)))
            }
            Err(holder) => {
                if is_registered {
                    // This user is logged in already: perhaps the first connection is dead, and that was not noticed
                    // (D9).
                    context.effects.push(Effect::Probe(holder));
                }
                self.fail(LoginResult::InUse, context)
            }
        }
    }

    fn fail(&mut self, result: LoginResult, context: &mut Context<'_>) -> Verdict {
        self.refuse(result, response_to(result), context)
    }

    fn refuse(&mut self, result: LoginResult, response: AuthResponse, context: &mut Context<'_>) -> Verdict {
        self.failed_logins += 1;
        context.core.counters.log_in(result);
        context.effects.send(context.key, &Packet::AuthRsp { response });
        if self.failed_logins >= LOGIN_TRIES_MAX {
            context.effects.close(context.key, CloseReason::LoginTries, CloseMode::AfterWriting);
        }
        Verdict::Handled
    }
}

/// The RFC's code for it (D9).
fn response_to(result: LoginResult) -> AuthResponse {
    match result {
        LoginResult::Guest | LoginResult::User => AuthResponse::Accepted,
        LoginResult::Registered | LoginResult::LookAlike => AuthResponse::Registered,
        LoginResult::WrongPassword | LoginResult::NoGuests | LoginResult::Banned | LoginResult::TurnedAway => {
            AuthResponse::WrongPassword
        }
        LoginResult::InUse => AuthResponse::InUse,
    }
}

/// What counts as the other end's address; without one, it is on this machine.
fn address_of(context: &Context<'_>) -> AddressGroup {
    AddressGroup::of(context.remote.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |remote| remote.ip()))
}

/// The nickname in an AUTHUSR that was cut before its password's text, if it is a legal one.
///
/// ```text
///  01 | 00000003 | a n a | 00010000      head: code, count, nickname, the password's count
/// ```
fn nickname_before_password(head: &[u8]) -> Option<Nickname<'_>> {
    let (before_count, _) = head.split_last_chunk::<4>()?;
    let (_, text) = before_count.split_at_checked(1 + 4)?;
    Nickname::parse(std::str::from_utf8(text).ok()?)
}
