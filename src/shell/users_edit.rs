//! Changing the users file: one at a time, whole or not at all, and with everything kept that hangs on it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, XattrFlags, fgetxattr, flistxattr, flock, fremovexattr, fsetxattr};
use rustix::io::Errno;

use super::users_file::UsersFile;
use crate::core::state::users::{Users, users_line};
use crate::limits::{USERS_ATTRIBUTE_MAX_BYTES, USERS_FILE_MAX_BYTES, USERS_LOCK_PATIENCE_MS, USERS_LOCK_RETRY_MS};
use crate::shell::regular_file;
use crate::wire::Nickname;

/// What says that a file has no users by intention.
const NO_USERS: &str = "# no users";
/// The attribute in which Linux keeps a file's access list. A new file may have one from its folder.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserEdit {
    /// There was none of that nickname.
    Added,
    /// The nickname was registered, and has another password now.
    Changed,
    /// There was one.
    Removed,
}

impl UsersFile {
    /// Sets a nickname's password: adds a line, or replaces the old one. Makes the file if there is none. The file
    /// changes whole or not at all.
    pub fn add(&self, nickname: Nickname<'_>, password: &str, salt: &[u8; 16]) -> Result<UserEdit, String> {
        self.edit(nickname, Some(users_line(nickname, password, salt)))
    }

    /// Takes a user out.
    pub fn remove(&self, nickname: Nickname<'_>) -> Result<UserEdit, String> {
        self.edit(nickname, None)
    }

    fn edit(&self, nickname: Nickname<'_>, line: Option<String>) -> Result<UserEdit, String> {
        let locked = Locked::open(self.path(), line.is_some()).map_err(|problem| self.problem(&problem))?;
        let edit = self.edit_locked(&locked, nickname, line);
        if edit.is_err() {
            locked.undo();
        }
        edit
    }

    fn edit_locked(&self, locked: &Locked, nickname: Nickname<'_>, line: Option<String>) -> Result<UserEdit, String> {
        let mut bytes = Vec::new();
        (&locked.file).take(USERS_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.problem(&error))?;
        if bytes.len() as u64 > USERS_FILE_MAX_BYTES {
            return Err(self.problem(&format_args!("is larger than {USERS_FILE_MAX_BYTES} bytes")));
        }
        let users = Users::of_bytes(&bytes).map_err(|error| self.problem(&error))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(&text).lines().collect();
        let is_theirs = |line: &&str| line.rsplit_once(':').is_some_and(|(name, _)| name == nickname.as_str());
        let edit = match (lines.iter().position(is_theirs), &line) {
            (Some(place), Some(new)) => {
                lines.splice(place..=place, [new.as_str()]).for_each(drop);
                UserEdit::Changed
            }
            (Some(place), None) => {
                lines.remove(place);
                if users.len() == 1 && !lines.iter().any(|line| line.starts_with('#')) {
                    lines.push(NO_USERS);
                }
                UserEdit::Removed
            }
            (None, Some(new)) => {
                lines.retain(|line| *line != NO_USERS);
                lines.push(new);
                UserEdit::Added
            }
            (None, None) => return Err(self.problem(&format_args!("{:?} is not in it", nickname.as_str()))),
        };
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        locked.replace(&text).map_err(|problem| self.problem(&problem))?;
        Ok(edit)
    }
}

/// The file, locked against other changes: every writer holds this lock.
struct Locked {
    file: File,
    /// Its real path, so that a symbolic link stays one.
    path: PathBuf,
    /// It was made just now.
    is_new: bool,
}

impl Locked {
    /// Waits for others that change the file now. If the file is not there, it may be made.
    fn open(named: &Path, may_make: bool) -> Result<Locked, String> {
        let began = Instant::now();
        loop {
            let path = fs::canonicalize(named).unwrap_or_else(|_| named.to_owned());
            let (file, is_new) = match regular_file::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => match make(&path) {
                    Ok(file) => (Ok(file), true),
                    // Another process was first, or the name leads nowhere.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if path.is_symlink() && !path.exists() {
                            return Err("is a symbolic link that leads nowhere".to_owned());
                        }
                        continue;
                    }
                    Err(error) => (Err(error), false),
                },
                opened => (opened, false),
            };
            let file = file.map_err(|error| error.to_string())?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(format!("cannot be locked: {error}")),
                // The process that held the lock may have put another file there.
                Ok(()) if is_at(&file, &path).map_err(|error| error.to_string())? => {
                    return Ok(Locked { file, path, is_new });
                }
                Ok(()) => continue,
            }
            if began.elapsed() >= Duration::from_millis(USERS_LOCK_PATIENCE_MS) {
                return Err("is being changed by another process, which does not finish".to_owned());
            }
            std::thread::sleep(Duration::from_millis(USERS_LOCK_RETRY_MS));
        }
    }

    /// A file that was made for nothing goes again.
    fn undo(&self) {
        if self.is_new && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Writes a new file beside the old one and puts it in its place.
    fn replace(&self, text: &str) -> Result<(), String> {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".cfp-new");
        let new = self.path.with_file_name(name);
        // A process that was killed left it over: we have the lock.
        let _ = fs::remove_file(&new);
        let written = write_like(&new, text, &self.file)
            .and_then(|()| fs::rename(&new, &self.path).map_err(|error| cannot_replace(&error)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
            return written;
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // It is replaced. That this outlives a crash of the machine can't be had everywhere.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Whether the path still stands for this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn cannot_replace(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::BUSY) => format!(
            "cannot be replaced: {error}; it is mounted by itself, as `docker run -v FILE:FILE` does: mount its folder instead"
        ),
        _ => format!("cannot be replaced: {error}"),
    }
}

/// Writes a file with the owner, the permissions and the attributes of another one.
fn write_like(path: &Path, text: &str, like: &File) -> Result<(), String> {
    let cannot_write = |error: io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = make(path).map_err(cannot_write)?;
    file.write_all(text.as_bytes()).map_err(cannot_write)?;
    let (own, theirs) = (file.metadata().map_err(cannot_write)?, like.metadata().map_err(cannot_write)?);
    if (own.uid(), own.gid()) != (theirs.uid(), theirs.gid()) {
        std::os::unix::fs::fchown(&file, Some(theirs.uid()), Some(theirs.gid()))
            .map_err(|error| format!("its owner and group cannot be kept: {error}; do it as root, or as its owner"))?;
    }
    keep_attributes(&file, like, Permissions::from_mode(theirs.mode() & 0o7777))?;
    file.sync_all().map_err(cannot_write)
}

/// Access lists, labels and whatever else has been put on the file. What can't be kept is an error: an access list that
/// is lost would shut the server out, and let the group in.
fn keep_attributes(file: &File, like: &File, permissions: Permissions) -> Result<(), String> {
    let cannot_keep = |name: &str, error: Errno| format!("its attribute {name} cannot be kept: {error}");
    let (own, theirs) = (attribute_names(file), attribute_names(like));
    let [own, theirs] = [own, theirs].map(|names| names.map_err(|error| format!("its attributes: {error}")));
    let (own, theirs) = (own?, theirs?);
    if own.iter().any(|name| name == ACCESS_LIST) && !theirs.iter().any(|name| name == ACCESS_LIST) {
        fremovexattr(file, ACCESS_LIST).map_err(|error| cannot_keep(ACCESS_LIST, error))?;
    }
    // Before the access list, whose mask stands in the permissions of the group.
    file.set_permissions(permissions).map_err(|error| format!("its permissions cannot be kept: {error}"))?;
    for name in &theirs {
        let value = attribute(like, name).map_err(|error| cannot_keep(name, error))?;
        if attribute(file, name).as_ref() != Ok(&value) {
            fsetxattr(file, name.as_str(), &value, XattrFlags::empty()).map_err(|error| cannot_keep(name, error))?;
        }
    }
    Ok(())
}

fn attribute_names(file: &File) -> Result<Vec<String>, Errno> {
    let mut buffer = vec![0; USERS_ATTRIBUTE_MAX_BYTES];
    let length = match flistxattr(file, buffer.as_mut_slice()) {
        Err(Errno::NOTSUP | Errno::NOSYS) => 0,
        length => length?,
    };
    let names = buffer.get(..length).unwrap_or(&[]).split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn attribute(file: &File, name: &str) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; USERS_ATTRIBUTE_MAX_BYTES];
    let length = fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_file_is_mounted_by_itself_is_said_in_words() {
        let says = cannot_replace(&io::Error::from_raw_os_error(Errno::BUSY.raw_os_error()));
        assert!(says.contains("mounted by itself") && says.contains("mount its folder instead"), "{says}");
        let says = cannot_replace(&io::Error::from_raw_os_error(Errno::ROFS.raw_os_error()));
        assert!(!says.contains("mount"), "{says}");
    }
}
