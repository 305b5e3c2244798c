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
    use crate::core::state::look_alikes::Look;
    use crate::core::state::users::users_line;
    use crate::limits::USER_OVERHEAD_BYTES;

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

    /// A line of a users file, with the hash of nobody's password.
    fn line(name: &str, iterations: u32) -> String {
        format!("{name}:$pbkdf2-sha256$i={iterations},l=32$AAAAAAAAAAAAAAAAAAAAAA${}", "A".repeat(43))
    }

    #[test]
    fn a_reload_counts_who_is_new_who_is_gone_and_whose_password_is_another_one() {
        let before = ["ana", "bob", "carla", "dora"].map(|name| line(name, 1_000)).join("\n");
        let after = [line("bob", 2_000), line("carla", 2_000), line("dora", 1_000), line("eve", 1_000)].join("\n");
        let before = Users::parse(&before).unwrap();
        let new = read_in_pieces(&after, 64, &before).unwrap();
        assert_eq!(new.change, UsersChange { added: 1, removed: 1, changed: 2 });
        assert_eq!(new.change.to_string(), "1 added, 1 removed, 2 changed");
    }

    #[test]
    fn a_line_has_a_longest_length_wherever_it_is_cut() {
        let comment = |bytes: usize| format!("# one\n#{}\n# three\n", "x".repeat(bytes - 1));
        let nobody = Users::none();
        for piece_bytes in [1, 100, USERS_LINE_MAX_BYTES, usize::MAX / 2] {
            let read = |bytes| read_in_pieces(&comment(bytes), piece_bytes, &nobody);
            assert!(read(USERS_LINE_MAX_BYTES).unwrap().has_comment);
            let error = read(USERS_LINE_MAX_BYTES + 1).unwrap_err().to_string();
            assert_eq!(error, format!("line 2: is longer than {USERS_LINE_MAX_BYTES} bytes"), "{piece_bytes}");
        }
    }

    #[test]
    fn a_file_that_an_editor_saved_in_another_encoding_is_told_from_one_with_a_wrong_byte() {
        let error = |bytes: &[u8]| Users::of_bytes(bytes).unwrap_err().to_string();
        for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
            assert_eq!(error(&mark), "line 1: is UTF-16; save the file as UTF-8");
            assert_eq!(error(&[b'#', b'\n', mark[0], mark[1]]), "line 2: is not UTF-8");
        }
        let marked = format!("\u{feff}{}\n", line("ana", 1_000));
        assert!(Users::parse(&marked).unwrap().contains("ana"));
        assert_eq!(error(format!("#\n{marked}").as_bytes()), "line 2: begins with a byte-order mark; take it out");
    }

    #[test]
    fn a_password_has_so_many_iterations_at_most() {
        let most = crate::limits::PASSWORD_ITERATIONS_MAX;
        assert!(Users::parse(&line("ana", most)).is_ok());
        assert!(Users::parse(&line("ana", most + 1)).is_err());
    }

    #[test]
    fn a_login_of_nobody_is_checked_for_as_long_as_most_others() {
        let most = [line("ana", 1_000), line("bob", 3_000), line("carla", 3_000), line("dora", 5_000)].join("\n");
        let users = Users::parse(&most).unwrap();
        let of_nobody = users.to_check("nobody").unwrap().begin_check("").advance(2_998);
        assert!(of_nobody.is_none(), "3,000 iterations");
        assert!(users.to_check("nobody").unwrap().begin_check("").advance(2_999).is_some());
        assert!(Users::none().to_check("nobody").is_none());
    }

    #[test]
    fn a_guest_is_like_a_registered_user_with_another_nickname_that_looks_alike() {
        let users = Users::parse(&line("ana", 1_000)).unwrap();
        assert_eq!((users.len(), users.is_empty()), (1, false));
        let cyrillic = "\u{430}na";
        let alike = ["ana", cyrillic, "bob"].map(|nickname| users.is_like_one(nickname));
        assert_eq!(alike, [false, true, false]);
        assert!(Users::none().is_empty() && !Users::none().is_like_one(cyrillic));
    }

    #[test]
    fn a_list_of_users_is_freed_in_slices_to_its_end() {
        let names: Vec<String> = (0..20).map(|number| line(&format!("user{number}"), 1_000)).collect();
        let mut users = Users::parse(&names.join("\n")).unwrap();
        let slices = (1..100).find(|_| !users.free_some(5)).unwrap();
        assert!(users.is_empty() && !users.free_some(1));
        let alike = |number| format!("us\u{435}r{number}");
        assert!((0..20).all(|number| !users.is_like_one(&alike(number))), "what they look like is freed, too");
        assert!((5..=20).contains(&slices), "{slices}");
        // All of these look like one.
        let names = ["11", "1l", "1I", "l1", "ll", "lI", "I1", "Il", "II"].map(|name| line(name, 1_000));
        let mut users = Users::parse(&names.join("\n")).unwrap();
        while users.free_some(1) {}
        assert!(users.is_empty());
    }

    #[test]
    fn what_users_take_is_known_while_they_are_read_and_grows_with_each_of_them() {
        let mut reader = UsersReader::default();
        let mut held_bytes = reader.held_bytes();
        for number in 0..20 {
            let line = line(&format!("user{number}"), 1_000) + "\n";
            reader.read(line.as_bytes(), &Users::none()).unwrap();
            let grown_bytes = reader.held_bytes() - held_bytes;
            // Twice its password, nickname and looks in trees, the two themselves, and what allocations cost.
            let nickname = format!("user{number}");
            let looks = Look::of(&nickname).numbers().len() * size_of::<u64>();
            let in_trees = 2 * (size_of::<Box<str>>() + size_of::<StoredPassword>() + looks);
            assert_eq!(grown_bytes, in_trees + nickname.len() + 16 + USER_OVERHEAD_BYTES);
            held_bytes = reader.held_bytes();
        }
        assert_eq!(reader.into_users().held_bytes(), held_bytes);
    }
}
