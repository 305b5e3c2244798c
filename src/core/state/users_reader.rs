//! A users file, read as its bytes come: in slices, so that a large one delays nothing else.

use std::fmt;

use super::users::{StoredPassword, Users};
use crate::limits::USERS_LINE_MAX_BYTES;
use crate::wire::Nickname;

/// What some editors put before the first line: U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The mistake in a users file, and its line (counted from 1).
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
    /// Users that are new.
    pub added: usize,
    /// Users that are gone.
    pub removed: usize,
    /// Users whose password is another one.
    pub changed: usize,
}

impl fmt::Display for UsersChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added, {} removed, {} changed", self.added, self.removed, self.changed)
    }
}

/// A users file that was read to its end.
#[derive(Debug)]
pub struct NewUsers {
    /// The users in it.
    pub users: Users,
    /// The difference to the users before.
    pub change: UsersChange,
    /// Whether there is a comment. A file without a single line of text is rather a mistake than the wish to have no
    /// users.
    pub has_comment: bool,
}

/// Reads a line each of nickname, `:` and PHC string, split at the last `:`. Blank lines and lines that start with `#`
/// are passed over.
#[derive(Debug)]
pub struct UsersReader {
    users: Users,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Lines that were read.
    lines: usize,
    has_comment: bool,
    /// Users that were there before, and those of them with another password.
    kept: usize,
    changed: usize,
}

impl Default for UsersReader {
    fn default() -> Self {
        let users = Users::none();
        UsersReader { users, partial: Vec::new(), lines: 0, has_comment: false, kept: 0, changed: 0 }
    }
}

impl UsersReader {
    /// Takes the next bytes of the file. `before` are the users in force, to be compared with.
    pub fn read(&mut self, bytes: &[u8], before: &Users) -> Result<(), UsersError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or(&[]);
            if self.partial.is_empty() {
                self.on_line(line, before)?;
            } else {
                self.keep(line)?;
                let line = std::mem::take(&mut self.partial);
                self.on_line(&line, before)?;
            }
        }
        self.keep(rest)
    }

    /// The file is over; its last line may have no end.
    pub fn finish(&mut self, before: &Users) -> Result<NewUsers, UsersError> {
        let last = std::mem::take(&mut self.partial);
        self.on_line(&last, before)?;
        let mut users = std::mem::replace(&mut self.users, Users::none());
        users.complete();
        let change =
            UsersChange { added: users.len() - self.kept, removed: before.len() - self.kept, changed: self.changed };
        Ok(NewUsers { users, change, has_comment: self.has_comment })
    }

    /// Memory that the users read so far take, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.users.held_bytes()
    }

    /// What was read so far, to be freed.
    pub fn into_users(self) -> Users {
        self.users
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), UsersError> {
        if self.partial.len() + part.len() > USERS_LINE_MAX_BYTES {
            self.lines += 1;
            return Err(self.error(format!("is longer than {USERS_LINE_MAX_BYTES} bytes")));
        }
        self.partial.extend_from_slice(part);
        Ok(())
    }

    /// A line without its `\n`.
    fn on_line(&mut self, line: &[u8], before: &Users) -> Result<(), UsersError> {
        self.lines += 1;
        if line.len() > USERS_LINE_MAX_BYTES {
            return Err(self.error(format!("is longer than {USERS_LINE_MAX_BYTES} bytes")));
        }
        if self.lines == 1 && (line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff])) {
            return Err(self.error("is UTF-16; save the file as UTF-8"));
        }
        let line = std::str::from_utf8(line).map_err(|_| self.error("is not UTF-8"))?;
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.lines == 1 => rest,
            Some(_) => return Err(self.error("begins with a byte-order mark; take it out")),
            None => line,
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with('#') {
            self.has_comment = true;
        } else if !line.trim().is_empty() {
            self.on_user(line, before)?;
        }
        Ok(())
    }

    fn on_user(&mut self, line: &str, before: &Users) -> Result<(), UsersError> {
        let (name, hash) =
            line.rsplit_once(':').ok_or_else(|| self.error("has no ':' between nickname and password hash"))?;
        let nickname = Nickname::parse(name).ok_or_else(|| {
            self.error(format!(
                "{name:?} is not a legal nickname (1 to 64 bytes, no control characters, no outer blanks)"
            ))
        })?;
        let stored = StoredPassword::parse(hash.trim_end())
            .map_err(|problem| self.error(format!("the password hash of {name:?} {problem}")))?;
        if let Some(old) = before.find(name) {
            self.kept += 1;
            self.changed += usize::from(*old != stored);
        }
        if !self.users.add(nickname, stored) {
            return Err(self.error(format!("{name:?} is there twice")));
        }
        Ok(())
    }

    /// Of the line that was just read.
    fn error(&self, problem: impl Into<String>) -> UsersError {
        UsersError { line: self.lines, problem: problem.into() }
    }
}

impl Users {
    /// Reads the text of a whole users file.
    pub fn parse(text: &str) -> Result<Users, UsersError> {
        Users::of_bytes(text.as_bytes())
    }

    /// Reads the bytes of a whole users file.
    pub fn of_bytes(bytes: &[u8]) -> Result<Users, UsersError> {
        let nobody = Users::none();
        let mut reader = UsersReader::default();
        reader.read(bytes, &nobody)?;
        reader.finish(&nobody).map(|new| new.users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::users::users_line;

    fn read_in_pieces(text: &str, piece_bytes: usize, before: &Users) -> Result<NewUsers, UsersError> {
        let mut reader = UsersReader::default();
        for piece in text.as_bytes().chunks(piece_bytes) {
            reader.read(piece, before)?;
        }
        reader.finish(before)
    }

    #[test]
    fn it_does_not_matter_where_a_file_is_cut() {
        let line = |name| users_line(Nickname::parse(name).unwrap(), "", &[1; 16]);
        let [ana, bob] = ["ana", "bób"].map(line);
        let before = Users::parse(&format!("{bob}\n{}\n", line("carla"))).unwrap();
        let good = format!("\u{feff}{ana}\r\n# é\n\n{bob}");
        let bad = format!("{good}\n{bob}\n");
        for piece_bytes in [1, 2, 3, 7, 64, 1000] {
            let new = read_in_pieces(&good, piece_bytes, &before).unwrap();
            assert_eq!(new.change, UsersChange { added: 1, removed: 1, changed: 0 });
            assert!(new.has_comment && new.users.contains("ana") && new.users.contains("bób"));
            let error = read_in_pieces(&bad, piece_bytes, &before).unwrap_err();
            assert_eq!(error.to_string(), "line 5: \"bób\" is there twice");
        }
    }
}
