//! Events that a client receives, and the senders in them.

use std::fmt;
use std::str::FromStr;

use super::files::ReceivedFile;
use crate::wire::{ErrorReason, Nickname, ServerId};

/// A client of the network: a nickname on a server. Written `ana@7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// The nickname, as its server let it in. From a hostile server it may be any text of up to 64 bytes.
    pub nickname: String,
    /// The server.
    pub server: ServerId,
}

impl Person {
    /// The client with this nickname on this server.
    pub fn new(nickname: impl Into<String>, server: ServerId) -> Person {
        Person { nickname: nickname.into(), server }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.nickname, self.server)
    }
}

/// Why a text is not `NICKNAME@ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonError;

impl fmt::Display for PersonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected NICKNAME@ID, like ana@7")
    }
}

impl std::error::Error for PersonError {}

impl FromStr for Person {
    type Err = PersonError;

    /// Reads `NICKNAME@ID`. The last `@` separates, since a nickname may hold one.
    fn from_str(text: &str) -> Result<Person, PersonError> {
        let (nickname, server) = text.rsplit_once('@').ok_or(PersonError)?;
        let is_number = !server.is_empty() && server.bytes().all(|byte| byte.is_ascii_digit());
        let server = server.parse().ok().filter(|_| is_number).ok_or(PersonError)?;
        let nickname = Nickname::parse(nickname).ok_or(PersonError)?;
        Ok(Person::new(nickname.as_str(), ServerId(server)))
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A public message. Your own messages are among them.
    Public {
        /// The sender.
        from: Person,
        /// What.
        text: String,
    },
    /// A private message to you.
    Private {
        /// The sender.
        from: Person,
        /// What.
        text: String,
    },
    /// A file has arrived whole. Only after [`Connection::accept_files`](super::Connection::accept_files).
    File(ReceivedFile),
    /// A private message or file chunk of yours was not delivered (D13). The protocol does not say which: compare with
    /// what you sent last.
    Undelivered {
        /// Why.
        reason: ErrorReason,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_read_as_it_is_written() {
        for text in ["ana@7", "two words@0", "a@b@4294967295"] {
            assert_eq!(text.parse::<Person>().unwrap().to_string(), text);
        }
        for bad in ["ana", "ana@", "@7", "ana@+7", "ana@4294967296", " ana@7", "ana@7 "] {
            assert_eq!(bad.parse::<Person>(), Err(PersonError), "{bad:?}");
        }
    }
}
