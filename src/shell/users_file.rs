//! The users file, where it meets the file system.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::core::state::users::{Users, users_line};
use crate::limits::USERS_FILE_MAX_BYTES;
use crate::wire::Nickname;

/// Where the registered users are kept.
#[derive(Debug, Clone)]
pub struct UsersFile {
    path: PathBuf,
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserEdit {
    /// There was none of that nickname.
    Added,
    /// There was one, who has another password now.
    Changed,
    /// There was one.
    Removed,
}

impl UsersFile {
    /// The file with this path; it is not looked at yet.
    pub fn new(path: PathBuf) -> UsersFile {
        UsersFile { path }
    }

    /// Reads all of it. The error is one line that names the file, and the line in it where there is one.
    pub fn read(&self) -> Result<Users, String> {
        self.parse(&self.text().map_err(|error| self.problem(&error))?)
    }

    /// What the operator should know of the file although it is good: whether others than its owner and group may
    /// read it.
    pub fn warning(&self) -> Option<String> {
        let is_world_readable = fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0);
        let path = self.path.display();
        is_world_readable.then(|| {
            format!(
                "users file {path}: everybody on this machine can read it, and try passwords on it; chmod o-r {path}"
            )
        })
    }

    /// Gives a nickname a password: a new line, or another one in the place of the old. The file is made where there is
    /// none; it changes whole or not at all.
    pub fn add(&self, nickname: Nickname<'_>, password: &str, salt: &[u8; 16]) -> Result<UserEdit, String> {
        self.edit(nickname, Some(users_line(nickname, password, salt)))
    }

    /// Takes a user out.
    pub fn remove(&self, nickname: Nickname<'_>) -> Result<UserEdit, String> {
        self.edit(nickname, None)
    }

    fn edit(&self, nickname: Nickname<'_>, line: Option<String>) -> Result<UserEdit, String> {
        let text = match self.text() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && line.is_some() => String::new(),
            text => text.map_err(|error| self.problem(&error))?,
        };
        let was_there = self.parse(&text)?.contains(nickname.as_str());
        let is_theirs = |line: &&str| line.rsplit_once(':').is_some_and(|(name, _)| name == nickname.as_str());
        let edit = match (&line, was_there) {
            (Some(_), true) => UserEdit::Changed,
            (Some(_), false) => UserEdit::Added,
            (None, true) => UserEdit::Removed,
            (None, false) => {
                return Err(format!("users file {}: {:?} is not in it", self.path.display(), nickname.as_str()));
            }
        };
        let mut lines: Vec<&str> = text.lines().collect();
        match (lines.iter().position(is_theirs), &line) {
            (Some(place), Some(new)) => lines.splice(place..=place, [new.as_str()]).for_each(drop),
            (Some(place), None) => lines.splice(place..=place, []).for_each(drop),
            (None, Some(new)) => lines.push(new),
            (None, None) => {}
        }
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        self.replace(&text).map_err(|error| self.problem(&error))?;
        Ok(edit)
    }

    /// Writes a new file beside the old one and puts it in its place, with the same owner and permissions.
    fn replace(&self, text: &str) -> io::Result<()> {
        // Through a symbolic link, so that it stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new.{}", std::process::id()));
        let new = path.with_file_name(name);
        let written = write_new(&new, text, fs::metadata(&path).ok().as_ref()).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        File::open(&self.path)?.take(USERS_FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
        Ok(text)
    }

    fn parse(&self, text: &str) -> Result<Users, String> {
        let path = self.path.display();
        if text.len() as u64 > USERS_FILE_MAX_BYTES {
            return Err(format!("users file {path}: is larger than {USERS_FILE_MAX_BYTES} bytes"));
        }
        Users::parse(text).map_err(|error| format!("users file {path}: {error}"))
    }

    fn problem(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::InvalidData => format!("users file {path}: is not UTF-8"),
            _ => format!("users file {path}: {error}"),
        }
    }
}

fn write_new(path: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.sync_all()
}
