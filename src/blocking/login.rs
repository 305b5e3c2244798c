//! Logging in, and why that did not work.

use std::fmt;
use std::io;

use crate::wire::AuthResponse;

/// How to log in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Login<'a> {
    /// As a guest.
    Guest(&'a str),
    /// As a registered user.
    User {
        /// The nickname.
        nickname: &'a str,
        /// The password. Without TLS it travels in clear text.
        password: &'a str,
    },
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginError {
    /// The server could not be reached, closed the connection, or does not speak CFP.
    Unreachable(io::Error),
    /// The server did not let us in.
    Refused(AuthResponse),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::Unreachable(error) => error.fmt(f),
            LoginError::Refused(AuthResponse::Registered) => f.write_str("the nickname belongs to a registered user"),
            LoginError::Refused(AuthResponse::WrongPassword) => f.write_str("wrong nickname or password"),
            LoginError::Refused(AuthResponse::InUse) => f.write_str("the nickname is in use right now"),
            LoginError::Refused(AuthResponse::Accepted) => f.write_str("accepted"),
        }
    }
}

impl std::error::Error for LoginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoginError::Unreachable(error) => Some(error),
            LoginError::Refused(_) => None,
        }
    }
}
