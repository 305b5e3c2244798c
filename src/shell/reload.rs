//! Reading the users file again while the loop turns: a slice a turn, all of it or nothing.

use crate::core::engine::Engine;
use crate::core::engine::socket::Socket;
use crate::core::state::key::Key;
use crate::core::state::users_reader::{NewUsers, UsersChange};
use crate::core::time::Millis;
use crate::shell::transport::Security;
use crate::shell::users_file::{UsersFile, UsersReading};

/// A reload, from the first wish for it to the last answer.
#[derive(Debug, Default)]
pub struct Reload {
    state: State,
    /// Operators that wait for its end.
    waiting: Vec<Key>,
    /// The certificate that was read along, in words.
    certificate: Option<String>,
    /// Operators that asked while a reload was under way. The file may have changed after it was read, so it is read
    /// once more.
    next: Option<Vec<Key>>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Wanted,
    Reading(Box<UsersReading>),
    /// The new users are in force, and connections are looked at.
    Sweeping(UsersChange),
}

/// How a reload ended: a line for the log and the operators, and those operators.
#[derive(Debug)]
pub struct Ended {
    /// What it changed, or why it did not.
    pub result: Result<UsersChange, String>,
    /// The certificate that was read along, in words.
    pub certificate: Option<String>,
    /// Operators that wait for the answer.
    pub operators: Vec<Key>,
}

impl Reload {
    /// A signal or an operator asks for a reload.
    pub fn request(&mut self, operator: Option<Key>) {
        let waiting = match self.state {
            State::Idle | State::Wanted => {
                self.state = State::Wanted;
                &mut self.waiting
            }
            State::Reading(_) | State::Sweeping(_) => self.next.get_or_insert_default(),
        };
        waiting.extend(operator);
    }

    /// Whether there is something to do in the next turn.
    pub fn wants_turn(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Whether it is about to begin.
    pub fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted)
    }

    /// Does one turn's share of the reload. Returns its result if it has ended.
    pub fn advance<S: Socket>(
        &mut self,
        file: &UsersFile,
        security: &mut Security,
        engine: &mut Engine<S>,
        now: Millis,
    ) -> Option<Ended> {
        let result = match &mut self.state {
            State::Idle => return None,
            State::Wanted => match file.begin() {
                Ok(reading) => {
                    self.state = State::Reading(Box::new(reading));
                    return None;
                }
                Err(problem) => Err(problem),
            },
            State::Reading(reading) => match reading.advance(&engine.core().users) {
                Ok(None) => return None,
                Ok(Some(new)) => return self.enforce(new, file, security, engine, now),
                Err(problem) => Err(problem),
            },
            State::Sweeping(_) if !engine.has_swept_users() => return None,
            State::Sweeping(change) => Ok(*change),
        };
        Some(self.end(result, engine))
    }

    fn enforce<S: Socket>(
        &mut self,
        new: NewUsers,
        file: &UsersFile,
        security: &mut Security,
        engine: &mut Engine<S>,
        now: Millis,
    ) -> Option<Ended> {
        if new.users.is_empty() && new.change.removed > 0 && !new.has_comment {
            let removed = new.change.removed;
            let problem = format!(
                "has no users and would remove all {removed}; if that is meant, write a line into it that begins with #"
            );
            return Some(self.end(Err(file.problem(&problem)), engine));
        }
        // All or nothing: the users change only if the certificate is good, too (D48).
        match security.reload(now) {
            Ok(certificate) => self.certificate = certificate,
            Err(problem) => return Some(self.end(Err(problem), engine)),
        }
        engine.set_users(new.users, now);
        if let State::Reading(reading) = std::mem::replace(&mut self.state, State::Sweeping(new.change)) {
            reading.into_leftover().into_iter().for_each(|users| engine.free_users(users));
        }
        None
    }

    fn end<S: Socket>(&mut self, result: Result<UsersChange, String>, engine: &mut Engine<S>) -> Ended {
        let operators = std::mem::take(&mut self.waiting);
        if let State::Reading(reading) = std::mem::take(&mut self.state) {
            reading.into_leftover().into_iter().for_each(|users| engine.free_users(users));
        }
        if let Some(next) = self.next.take() {
            self.state = State::Wanted;
            self.waiting = next;
        }
        Ended { result, certificate: self.certificate.take(), operators }
    }
}
