//! The connection of a session: made, lost, made anew, and changed for another nickname.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::login;
use super::{Event, Identity, Opened, Session};
use crate::blocking::LoginError;
use crate::client::escape::VisibleNickname;
use crate::client::limits::{RECONNECT_MAX_MS, RECONNECT_MIN_MS, RETIRE_MS, STEADY_MS};
use crate::client::link::Link;
use crate::client::output::{self, failed};
use crate::client::overlap::Overlap;
use crate::client::reader::{self, End};
use crate::client::screen::{Line, Report};
use crate::client::writer;
use crate::wire::{AuthResponse, Decoder};

const FILES_UNDER_WAY: &str = "files are under way: wait, or /cancel them";

/// A connection that ends because another one takes over.
pub(super) struct Retiring {
    number: u64,
    link: Arc<Link>,
    since_ms: u64,
    /// What the other one has brought with its login.
    next: Decoder,
}

impl Session {
    /// A connection is there: from now on it is read and written.
    pub(super) fn begin(&mut self, (link, decoder): (Link, Decoder)) {
        let link = self.take_over(link);
        self.read(link, decoder, None);
    }

    /// A connection is there: from now on it is written.
    fn take_over(&mut self, link: Link) -> Arc<Link> {
        let link = Arc::new(link);
        self.link = Some(link.clone());
        self.link_number = self.dial_number;
        *self.context.link() = Some(link.clone());
        self.connected_ms = self.context.now_ms();
        self.context.people().set_nickname(&self.identity.nickname);
        let (server, nickname) = (&self.identity.server, VisibleNickname(&self.identity.nickname));
        let text = format!("connected to {server} as {nickname}");
        // A script that reads the messages does not have to know that one, but it may want to wait for it.
        if let Some(canvas) = self.context.screen.canvas() {
            canvas.set_standing("");
        } else {
            output::complain(&text);
        }
        let fields = vec![("server", server.as_str().into()), ("nickname", self.identity.nickname.as_str().into())];
        let report = Report::about(text + "; /help shows what can be typed", "logged_in", fields).besides_lines();
        self.context.screen.show_now(Line::Notice(report));
        self.gate.open();
        let (context, writer_link) = (self.context.clone(), link.clone());
        thread::spawn(move || writer::write(&context, &writer_link));
        link
    }

    fn read(&self, link: Arc<Link>, decoder: Decoder, overlap: Option<Overlap>) {
        let (context, events, number) = (self.context.clone(), self.events.clone(), self.link_number);
        thread::spawn(move || {
            let end = reader::read(&context, &link, decoder, overlap);
            let mut current = context.link();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &link)) {
                *current = None;
            }
            drop(current);
            let _ = events.send(Event::Ended(number, end));
        });
    }

    pub(super) fn on_ended(&mut self, number: u64, end: End) -> Option<ExitCode> {
        if self.retiring.as_ref().is_some_and(|retiring| retiring.number == number) {
            self.retire(&end);
            return None;
        }
        if number != self.link_number {
            return None;
        }
        let link = self.link.take()?;
        self.show_late(String::new());
        let is_complete = self.say_what_became(&link, &end);
        if self.is_finishing {
            return Some(match end {
                _ if is_complete && self.has_failed() => ExitCode::FAILURE,
                _ if is_complete => ExitCode::SUCCESS,
                end => failed(lost(&self.identity.server, &end)),
            });
        }
        self.loss = lost(&self.identity.server, &end);
        self.reason = end.to_string();
        if self.context.now_ms().saturating_sub(self.connected_ms) >= STEADY_MS {
            self.retry_ms = RECONNECT_MIN_MS;
        }
        if !self.reconnects {
            return Some(failed(&self.loss));
        }
        self.say_lost(format!("{}; trying again", self.loss), "disconnected");
        self.try_again();
        None
    }

    /// Says what became of what was sent on a connection that has ended. Returns whether all of it went out.
    fn say_what_became(&self, link: &Link, end: &End) -> bool {
        let is_complete = matches!(end, End::Closed) && link.is_half_closed();
        let screen = &self.context.screen;
        if is_complete {
            for file in link.recent().on_end(None, self.context.now_ms()) {
                screen.show_now(Line::Notice(Report::about(file.line, "file_sent", file.file.fields())));
            }
            return true;
        }
        let doubtful = link.recent().on_end(Some("the connection was lost"), self.context.now_ms());
        let doubtful = doubtful.into_iter().map(|file| Report::about(file.line, "file_not_sent", file.file.fields()));
        for report in doubtful.chain(link.unsent()) {
            self.context.note_failure();
            screen.show_now(Line::Problem(report));
        }
        false
    }

    /// For a person on the screen; for a script on standard error, as its login was said there.
    fn say_lost(&self, text: String, event: &'static str) {
        if !self.is_terminal {
            output::complain(&text);
        }
        let report = Report::about(text, event, Vec::new()).besides_lines();
        self.context.screen.show_now(Line::Problem(report));
    }

    /// Tries to connect after a while, which grows.
    pub(super) fn try_again(&mut self) {
        // A random quarter more or less, so that the clients of a restarted server do not all come back at once.
        let spread = u64::from(getrandom::u32().unwrap_or_default()) % (self.retry_ms / 2 + 1);
        let delay_ms = self.retry_ms - self.retry_ms / 4 + spread;
        self.retry_ms = (self.retry_ms * 2).min(RECONNECT_MAX_MS);
        // It was beside the connection that is gone.
        self.is_renaming = false;
        self.gate.close();
        self.dial(self.identity.clone(), delay_ms);
        self.say_when_next(self.context.now_ms());
    }

    fn dial(&mut self, identity: Identity, delay_ms: u64) {
        self.dial_number += 1;
        self.retry_at_ms = self.context.now_ms() + delay_ms;
        let (number, events) = (self.dial_number, self.events.clone());
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(delay_ms));
            let result =
                Link::open(&identity.server, &identity.security, &identity.nickname, identity.password.as_deref());
            let _ = events.send(Event::Opened(number, Box::new(Opened { identity, result })));
        });
    }

    /// Says when the next try comes, and why the last one did not work.
    pub(super) fn say_when_next(&self, now_ms: u64) {
        let Some(canvas) = self.context.screen.canvas() else { return };
        let left_s = self.retry_at_ms.saturating_sub(now_ms).div_ceil(1000);
        canvas.set_standing(&match left_s {
            0 => format!("{} ({})", login::connecting(&self.identity), self.reason),
            left_s => format!("not connected; next try in {left_s} s ({})", self.reason),
        });
    }

    pub(super) fn on_opened(&mut self, number: u64, opened: Opened) -> Option<ExitCode> {
        // A later try has taken its place.
        if number != self.dial_number {
            return None;
        }
        let Opened { identity, result } = opened;
        if std::mem::take(&mut self.is_renaming) {
            match result {
                // The old connection would take them with it.
                Ok(_) if self.link.as_ref().is_some_and(|link| self.has_files_under_way(link)) => {
                    self.stay(FILES_UNDER_WAY);
                }
                Ok((link, leftover)) => {
                    self.identity = identity;
                    self.switch_to(link, leftover);
                }
                Err(failure) => self.stay(&login::describe(&failure, &identity)),
            }
            return None;
        }
        match result {
            Ok(opened) => self.begin(opened),
            // The server may still hold our old connection for alive.
            Err(failure @ (LoginError::Unreachable(_) | LoginError::Refused(AuthResponse::InUse))) => {
                self.loss = login::describe(&failure, &self.identity);
                self.reason = login::describe_briefly(&failure, &self.identity);
                let fields = vec![("reason", self.loss.as_str().into())];
                self.context.screen.show_now(Line::Notice(Report::for_programs("not_connected", fields)));
                self.try_again();
            }
            Err(failure) => return Some(failed(login::describe(&failure, &self.identity))),
        }
        None
    }

    /// The login under another nickname came to nothing.
    fn stay(&mut self, why: &str) {
        self.context.fail(format!("{why}; you are still {}", VisibleNickname(&self.identity.nickname)));
        match (&self.link, self.context.screen.canvas()) {
            (None, _) => self.try_again(),
            (Some(_), Some(canvas)) => canvas.set_standing(""),
            (Some(_), None) => {}
        }
    }

    fn has_files_under_way(&self, link: &Link) -> bool {
        link.uploads_len() > 0 || !self.context.answer(|downloads, _| downloads.under_way()).is_empty()
    }

    /// `/nick`: logs in under another nickname, by a connection beside the one that is there.
    pub(super) fn rename(&mut self, nickname: String) -> Result<(), String> {
        let Some(link) = &self.link else { return Err("not connected".to_owned()) };
        if self.is_renaming || self.retiring.is_some() {
            return Err("a change of the nickname is under way".to_owned());
        }
        if nickname == self.identity.nickname {
            return Err(format!("you are {} already", VisibleNickname(&nickname)));
        }
        if self.has_files_under_way(link) {
            return Err(FILES_UNDER_WAY.to_owned());
        }
        self.is_renaming = true;
        // The password was that of the other nickname.
        let identity = Identity { nickname, password: None, ..self.identity.clone() };
        if let Some(canvas) = self.context.screen.canvas() {
            canvas.set_standing(&login::connecting(&identity));
        }
        self.dial(identity, 0);
        Ok(())
    }

    /// The new connection takes over. The old one sends what waits, and brings what still comes.
    fn switch_to(&mut self, link: Link, next: Decoder) {
        let Some(old) = self.link.take() else { return self.begin((link, next)) };
        let number = self.link_number;
        old.finish();
        self.take_over(link);
        self.retiring = Some(Retiring { number, link: old, since_ms: self.context.now_ms(), next });
    }

    pub(super) fn retire_if_due(&mut self, now_ms: u64) {
        if let Some(retiring) =
            self.retiring.as_ref().filter(|known| now_ms.saturating_sub(known.since_ms) >= RETIRE_MS)
        {
            // Its reader ends, and says so.
            retiring.link.close();
        }
    }

    /// The old connection has ended: the new one is read, behind what the old one has brought.
    fn retire(&mut self, end: &End) {
        let Some(Retiring { link: old, next, .. }) = self.retiring.take() else { return };
        self.say_what_became(&old, end);
        let overlap = Overlap::new(self.context.shown().clone());
        if let Some(link) = self.link.clone() {
            self.read(link, next, Some(overlap));
        }
    }

    /// `/reconnect`: leaves the connection, if there is one, and tries again at once.
    pub(super) fn reconnect(&mut self) {
        self.retry_ms = RECONNECT_MIN_MS;
        match &self.link {
            // Its end begins the next try.
            Some(link) => {
                link.close();
                self.notice("connecting anew");
            }
            None => {
                self.dial(self.identity.clone(), 0);
                self.say_when_next(self.context.now_ms());
            }
        }
    }
}

fn lost(server: &str, end: &End) -> String {
    format!("lost the connection to {server}: {end}")
}
