//! Registered users, and their passwords' hashes. `users_reader.rs` makes them from a users file.

use std::collections::{BTreeMap, BTreeSet};

use phc::{Output, PasswordHash};

use super::look_alikes::{Look, may_be_reordered};
use super::pbkdf2::Pbkdf2;
use crate::limits::{PASSWORD_ITERATIONS, PASSWORD_ITERATIONS_MAX, USER_OVERHEAD_BYTES};
use crate::wire::Nickname;

/// The only scheme that is read and written.
const SCHEME: &str = "pbkdf2-sha256";
const HASH_BYTES: usize = 32;

/// A stored password: PBKDF2-HMAC-SHA256 with 32 bytes of result. The types of `phc` have space for the longest salt
/// and hash of all schemes, and there may be 100,000 entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassword {
    iterations: u32,
    salt: Box<[u8]>,
    hash: [u8; HASH_BYTES],
}

impl StoredPassword {
    /// The work that hashes `password` with the same salt and iterations.
    pub fn begin_check(&self, password: &str) -> Pbkdf2 {
        Pbkdf2::new(password.as_bytes(), &self.salt, self.iterations)
    }

    /// Whether the result of that work is the stored hash. The comparison takes the same time wherever they differ.
    pub fn matches(&self, hash: &[u8; HASH_BYTES]) -> bool {
        // Output compares in constant time.
        matches!((Output::new(hash), Output::new(&self.hash)), (Ok(hash), Ok(stored)) if hash == stored)
    }

    /// Reads a PHC string. The error is what a line says of it.
    pub(super) fn parse(text: &str) -> Result<StoredPassword, String> {
        let hash = PasswordHash::new(text).map_err(|_| "is not a PHC string ($pbkdf2-sha256$i=…,l=32$SALT$HASH)")?;
        if hash.algorithm.as_str() != SCHEME {
            return Err("is not of the scheme pbkdf2-sha256".to_owned());
        }
        if hash.version.is_some() {
            return Err("has a version, which pbkdf2-sha256 has not".to_owned());
        }
        let iterations = iterations(&hash)?;
        let salt = hash.salt.ok_or("has no salt")?;
        let output = hash.hash.ok_or("has no hash")?;
        let hash = output.as_bytes().try_into().map_err(|_| WRONG_LENGTH)?;
        Ok(StoredPassword { iterations, salt: salt.as_ref().into(), hash })
    }
}

const WRONG_LENGTH: &str = "has a hash of another length than 32 bytes";

/// The iterations of a PHC string whose parameters are `i=…` and perhaps `l=32`, once each.
fn iterations(hash: &PasswordHash) -> Result<u32, String> {
    let (mut iterations, mut length) = (None, None);
    for (name, value) in hash.params.iter() {
        let place = match name.as_str() {
            "i" => &mut iterations,
            "l" => &mut length,
            unknown => return Err(format!("has the parameter {unknown}=, which is unknown")),
        };
        if place.replace(value.decimal().ok()).is_some() {
            return Err(format!("says {name}= twice"));
        }
    }
    if length.is_some_and(|length| length != Some(HASH_BYTES as u32)) {
        return Err(WRONG_LENGTH.to_owned());
    }
    match iterations.flatten() {
        None => Err("does not say its iterations (i=…)".to_owned()),
        Some(0) => Err("has no iterations".to_owned()),
        Some(many) if many > PASSWORD_ITERATIONS_MAX => Err("has more than 10 million iterations".to_owned()),
        Some(iterations) => Ok(iterations),
    }
}

/// The registered users.
#[derive(Debug)]
pub struct Users {
    /// A tree, since it grows and goes in small steps, however large.
    passwords: BTreeMap<Box<str>, StoredPassword>,
    /// What their nicknames look like (D60).
    looks: BTreeSet<u64>,
    /// Users by the iterations of their password.
    iterations: BTreeMap<u32, usize>,
    /// The hash for a login with an unknown nickname, so that it takes as long as a wrong password.
    decoy: Option<StoredPassword>,
    /// Memory that all of this takes.
    held_bytes: usize,
}

impl Users {
    /// No registered users: guests only.
    pub fn none() -> Users {
        Users {
            passwords: BTreeMap::new(),
            looks: BTreeSet::new(),
            iterations: BTreeMap::new(),
            decoy: None,
            held_bytes: 0,
        }
    }

    /// One more user. Returns whether there was none of that nickname.
    pub(super) fn add(&mut self, nickname: Nickname<'_>, stored: StoredPassword) -> bool {
        *self.iterations.entry(stored.iterations).or_default() += 1;
        let looks = Look::of(nickname.as_str()).numbers();
        // The nodes of a tree are at least half full.
        let in_trees = 2 * (size_of::<(Box<str>, StoredPassword)>() + looks.len() * size_of::<u64>());
        self.held_bytes += in_trees + nickname.as_str().len() + stored.salt.len() + USER_OVERHEAD_BYTES;
        self.looks.extend(looks);
        self.passwords.insert(nickname.as_str().into(), stored).is_none()
    }

    /// These are all: from here on a login with an unknown nickname takes as long as one with a wrong password.
    pub(super) fn complete(&mut self) {
        let most_common = self.iterations.iter().max_by_key(|&(_, count)| count);
        self.decoy = Some(decoy(most_common.map_or(PASSWORD_ITERATIONS, |(&iterations, _)| iterations)));
    }

    /// Frees this many users of a list that is no longer in use. Returns whether some are left.
    pub fn free_some(&mut self, count: usize) -> bool {
        (0..count).all(|_| {
            let look = self.looks.pop_first();
            self.passwords.pop_first().is_some() || look.is_some()
        })
    }

    /// Memory that the users take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The password of a registered user.
    pub fn find(&self, nickname: &str) -> Option<&StoredPassword> {
        self.passwords.get(nickname)
    }

    /// Whether that nickname is registered.
    pub fn contains(&self, nickname: &str) -> bool {
        self.passwords.contains_key(nickname)
    }

    /// Whether a guest with that nickname would look like a registered user, without having the same nickname (D60).
    pub fn is_like_one(&self, nickname: &str) -> bool {
        let looks_alike = || Look::of(nickname).numbers().iter().any(|look| self.looks.contains(look));
        !self.is_empty() && !self.contains(nickname) && (may_be_reordered(nickname) || looks_alike())
    }

    /// The hash to check a password against: the user's own, or a decoy. `None` if there is no users file: then the
    /// time can reveal nothing.
    pub fn to_check(&self, nickname: &str) -> Option<&StoredPassword> {
        self.find(nickname).or(self.decoy.as_ref())
    }

    /// Registered users.
    pub fn len(&self) -> usize {
        self.passwords.len()
    }

    /// Whether no user is registered.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }
}

/// A password that nothing matches.
fn decoy(iterations: u32) -> StoredPassword {
    StoredPassword { iterations, salt: [0x5c; 16].into(), hash: [0; HASH_BYTES] }
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
