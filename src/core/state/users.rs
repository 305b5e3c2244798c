//! Registered users: the users file, and its passwords' hashes.

use std::collections::BTreeMap;
use std::fmt;

use phc::{Output, PasswordHash, Salt};

use super::pbkdf2::Pbkdf2;
use crate::limits::{PASSWORD_ITERATIONS, PASSWORD_ITERATIONS_MAX};
use crate::wire::Nickname;

/// The only scheme that is read and written.
const SCHEME: &str = "pbkdf2-sha256";
const HASH_BYTES: usize = 32;

/// A password as it is kept: PBKDF2-HMAC-SHA256 with 32 bytes of result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassword {
    iterations: u32,
    salt: Salt,
    hash: Output,
}

impl StoredPassword {
    /// The work that hashes `password` the same way.
    pub fn begin_check(&self, password: &str) -> Pbkdf2 {
        Pbkdf2::new(password.as_bytes(), &self.salt, self.iterations)
    }

    /// Whether that work came to the stored hash. Takes the same time wherever they differ.
    pub fn matches(&self, hash: &[u8; HASH_BYTES]) -> bool {
        // Output compares in constant time.
        Output::new(hash).is_ok_and(|hash| hash == self.hash)
    }

    fn parse(text: &str) -> Result<StoredPassword, &'static str> {
        let hash = PasswordHash::new(text).map_err(|_| "is not a PHC string ($pbkdf2-sha256$i=…,l=32$SALT$HASH)")?;
        if hash.algorithm.as_str() != SCHEME {
            return Err("is not of the scheme pbkdf2-sha256");
        }
        let iterations = hash.params.get_decimal("i").ok_or("does not say its iterations (i=…)")?;
        if iterations == 0 {
            return Err("has no iterations");
        }
        if iterations > PASSWORD_ITERATIONS_MAX {
            return Err("has more than 10 million iterations");
        }
        let salt = hash.salt.ok_or("has no salt")?;
        let output = hash.hash.ok_or("has no hash")?;
        if output.len() != HASH_BYTES || hash.params.get_decimal("l").is_some_and(|length| length != 32) {
            return Err("has a hash of another length than 32 bytes");
        }
        Ok(StoredPassword { iterations, salt, hash: output })
    }
}

/// What is wrong with a users file, and in which line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersError {
    line: usize,
    problem: String,
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// What a reload changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UsersChange {
    /// Users who are new.
    pub added: usize,
    /// Users who are gone.
    pub removed: usize,
    /// Users whose password is another one.
    pub changed: usize,
}

impl fmt::Display for UsersChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added, {} removed, {} changed", self.added, self.removed, self.changed)
    }
}

/// The registered users.
#[derive(Debug, Clone)]
pub struct Users {
    passwords: BTreeMap<Box<str>, StoredPassword>,
    /// What a login with an unknown nickname is hashed against, so that it takes as long as a wrong password.
    decoy: Option<StoredPassword>,
}

impl Users {
    /// Nobody is registered: guests only.
    pub fn none() -> Users {
        Users { passwords: BTreeMap::new(), decoy: None }
    }

    /// Reads the text of a users file: a line each of nickname, `:` and PHC string, split at the last `:`. Blank lines
    /// and lines that start with `#` are passed over.
    pub fn parse(text: &str) -> Result<Users, UsersError> {
        let mut passwords = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line_error = |problem: String| UsersError { line: index + 1, problem };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = line
                .rsplit_once(':')
                .ok_or_else(|| line_error("has no ':' between nickname and password hash".into()))?;
            let nickname = Nickname::parse(name).ok_or_else(|| {
                line_error(format!(
                    "{name:?} is not a legal nickname (1 to 64 bytes, no control characters, no outer blanks)"
                ))
            })?;
            let stored = StoredPassword::parse(hash.trim_end())
                .map_err(|problem| line_error(format!("the password hash of {name:?} {problem}")))?;
            if passwords.insert(nickname.as_str().into(), stored).is_some() {
                return Err(line_error(format!("{name:?} is there twice")));
            }
        }
        let decoy = Some(decoy(&passwords));
        Ok(Users { passwords, decoy })
    }

    /// The password of a registered user.
    pub fn find(&self, nickname: &str) -> Option<&StoredPassword> {
        self.passwords.get(nickname)
    }

    /// Whether somebody registered that nickname.
    pub fn contains(&self, nickname: &str) -> bool {
        self.passwords.contains_key(nickname)
    }

    /// What to hash a password against: the user's own, or a decoy. Nothing where no users file is in use: then there
    /// is nothing that the time could give away.
    pub fn to_check(&self, nickname: &str) -> Option<&StoredPassword> {
        self.find(nickname).or(self.decoy.as_ref())
    }

    /// Registered users.
    pub fn len(&self) -> usize {
        self.passwords.len()
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// What is different in `new`.
    pub fn change_to(&self, new: &Users) -> UsersChange {
        let kept = self.passwords.iter().filter_map(|(name, old)| new.find(name).map(|new| (old, new)));
        let changed = kept.clone().filter(|(old, new)| old != new).count();
        let kept = kept.count();
        UsersChange { added: new.len() - kept, removed: self.len() - kept, changed }
    }
}

/// A password that nothing matches, as costly as the most common ones of the file.
fn decoy(passwords: &BTreeMap<Box<str>, StoredPassword>) -> StoredPassword {
    let mut counts = BTreeMap::<u32, usize>::new();
    for stored in passwords.values() {
        *counts.entry(stored.iterations).or_default() += 1;
    }
    let iterations = counts.into_iter().max_by_key(|&(_, count)| count).map_or(PASSWORD_ITERATIONS, |(i, _)| i);
    let salt = Salt::new(&[0x5c; 16]).unwrap_or_else(|_| unreachable!("16 bytes are a salt"));
    let hash = Output::new(&[0; HASH_BYTES]).unwrap_or_else(|_| unreachable!("32 bytes are a hash"));
    StoredPassword { iterations, salt, hash }
}

/// The line of a users file for this nickname and password: what `--hash-password` prints.
pub fn users_line(nickname: Nickname<'_>, password: &str, salt: &[u8; 16]) -> String {
    let hash = Pbkdf2::new(password.as_bytes(), salt, PASSWORD_ITERATIONS).finish();
    let [salt, hash] = [base64(salt), base64(&hash)];
    format!("{}:${SCHEME}$i={PASSWORD_ITERATIONS},l={HASH_BYTES}${salt}${hash}", nickname.as_str())
}

/// Base64 without padding, as PHC strings have it.
fn base64(bytes: &[u8]) -> String {
    Output::new(bytes).map(|output| output.to_string()).unwrap_or_default()
}
