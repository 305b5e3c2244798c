//! The download folder: files grow under a temporary name and get their own when they are complete.
//!
//! An unfinished file is locked (`flock`) by the client that writes it. So a client that starts can tell what a killed
//! one has left behind from what another one is writing right now.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Access, CWD, FlockOperation, OFlags, RenameFlags, access, flock, renameat_with};
use rustix::io::Errno;

use super::download::Store;
use super::file_name::{numbered, safe_name};
use super::limits::{
    FOLDER_ENTRIES_MAX, NUMBERED_NAMES_MAX, PARTIAL_TRIES_MAX, SAVED_NAME_STEPS_OF_ONE, SAVED_NAME_TRIES_MAX,
};

/// The folder for files if no option names one.
pub const DEFAULT_FOLDER: &str = "./cfp-received";

/// The folder for received files. Clones are the same folder.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// No option named it, so it must be a folder that the user or this client has made.
    is_default: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    unfinished: BTreeSet<PathBuf>,
    /// The program ends: nothing new is begun.
    is_closed: bool,
    /// The next number for names that were taken. The one used last is at the end.
    next_numbers: Vec<(String, u32)>,
}

impl Folder {
    /// The folder that an option names. It is made when it is needed, but what it stands in must be there.
    ///
    /// # Errors
    /// Why it cannot take files, as far as that can be known now.
    pub fn open(path: &Path) -> io::Result<Folder> {
        match fs::metadata(path) {
            Ok(known) if !known.is_dir() => return Err(ErrorKind::NotADirectory.into()),
            Ok(_) => access(path, Access::WRITE_OK | Access::EXEC_OK)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                // A new folder directly in the root is rather a mistake.
                if !fs::metadata(parent)?.is_dir() || parent.parent().is_none() || path.is_symlink() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(Folder::new(path, false))
    }

    /// [`DEFAULT_FOLDER`], made when it is needed.
    pub fn default_one() -> Folder {
        Folder::new(Path::new(DEFAULT_FOLDER), true)
    }

    /// Removes what killed clients have left. What can't be removed stays.
    pub fn remove_left_behind(&self) {
        if self.check().is_err() {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.0.path) else { return };
        for entry in entries.take(FOLDER_ENTRIES_MAX).flatten() {
            let name = entry.file_name();
            let is_partial = name.to_str().is_some_and(|name| name.starts_with(".cfp-") && name.ends_with(".part"));
            if is_partial && is_left_behind(&entry.path()).unwrap_or(false) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes every unfinished file, since the program ends, and begins no more.
    pub fn remove_unfinished(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for path in std::mem::take(&mut state.unfinished) {
            let _ = fs::remove_file(path);
        }
    }

    fn new(path: &Path, is_default: bool) -> Folder {
        Folder(Arc::new(Shared { path: path.to_owned(), is_default, state: Mutex::default() }))
    }

    /// Makes the folder unless it is there.
    fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.0.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.check(),
            made => made,
        }
    }

    /// In a folder that others can write to, another user may have made the default one, or a link of its name.
    fn check(&self) -> io::Result<()> {
        let path = &self.0.path;
        let known = if self.0.is_default { fs::symlink_metadata(path)? } else { fs::metadata(path)? };
        let is_ours = known.uid() == rustix::process::geteuid().as_raw();
        if !known.is_dir() || self.0.is_default && !is_ours {
            let problem = format!("{} is not a folder of ours; --download names another", path.display());
            return Err(io::Error::new(ErrorKind::NotADirectory, problem));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number that a file of this name gets next, 0 for none.
    fn next_number(&self, name: &str) -> u32 {
        self.next_numbers.iter().find(|(known, _)| known == name).map_or(0, |&(_, number)| number)
    }

    fn set_next_number(&mut self, name: String, number: u32) {
        self.next_numbers.retain(|(known, _)| *known != name);
        if self.next_numbers.len() >= NUMBERED_NAMES_MAX {
            self.next_numbers.remove(0);
        }
        self.next_numbers.push((name, number));
    }
}

/// A file that is not complete. Dropping it removes it.
#[derive(Debug)]
pub struct Partial {
    folder: Folder,
    path: PathBuf,
    file: File,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the file got its own name, there is nothing here any more. If removing fails, nothing can be done.
        let _ = fs::remove_file(&self.path);
        self.folder.state().unfinished.remove(&self.path);
    }
}

impl Store for Folder {
    type File = Partial;

    fn create(&mut self) -> io::Result<Partial> {
        self.make()?;
        for _ in 0..PARTIAL_TRIES_MAX {
            let random = getrandom::u64().map_err(|_| io::Error::other("no random numbers"))?;
            let path = self.0.path.join(format!(".cfp-{random:016x}.part"));
            {
                let mut state = self.state();
                if state.is_closed {
                    return Err(ErrorKind::Interrupted.into());
                }
                state.unfinished.insert(path.clone());
            }
            let created = OpenOptions::new().write(true).create_new(true).open(&path);
            let file = created.inspect_err(|_| {
                self.state().unfinished.remove(&path);
            })?;
            let partial = Partial { folder: self.clone(), path, file };
            // A client that starts at this moment may take it for a leftover. On file systems without locks, leftovers
            // stay.
            let is_taken = flock(&partial.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
            if !is_taken && partial.file.metadata()?.nlink() > 0 {
                return Ok(partial);
            }
        }
        Err(io::Error::other("other clients remove what is begun here"))
    }

    fn append(&mut self, partial: &mut Partial, bytes: &[u8]) -> io::Result<()> {
        partial.file.write_all(bytes)
    }

    fn keep(&mut self, partial: Partial, name: &str) -> io::Result<String> {
        let name = safe_name(name);
        let mut number = self.state().next_number(&name);
        for tried in 0..SAVED_NAME_TRIES_MAX {
            let path = self.0.path.join(if number == 0 { name.clone() } else { numbered(&name, number) });
            match rename_new(&partial.path, &path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                renamed => {
                    self.state().set_next_number(name, number.saturating_add(1));
                    return renamed.map(|()| path.display().to_string());
                }
            }
            // If there are many old ones, steps that double find their end soon.
            let doublings = tried.saturating_sub(SAVED_NAME_STEPS_OF_ONE);
            number = number.saturating_add(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        }
        Err(io::Error::other("there are too many files of this name"))
    }
}

/// Whether no client writes to this file any more.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let known = file.metadata()?;
    let is_ours = known.is_file() && known.uid() == rustix::process::geteuid().as_raw();
    Ok(is_ours && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// Renames a file, in one step, to a name that nothing has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems that don't know how: a link, too, is never made over something that exists.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A folder of its own for a test, removed afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            let path = std::env::temp_dir().join(format!("cfp-disk-{:016x}", getrandom::u64().unwrap()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> =
                fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_complete_file_never_replaces_another_and_takes_a_number() {
        let scratch = Scratch::new();
        fs::write(scratch.0.join("a.txt"), "mine").unwrap();
        std::os::unix::fs::symlink("nowhere", scratch.0.join("a-1.txt")).unwrap();
        let mut folder = Folder::open(&scratch.0).unwrap();
        for content in ["one", "two"] {
            let mut partial = folder.create().unwrap();
            folder.append(&mut partial, content.as_bytes()).unwrap();
            folder.keep(partial, "../a.txt").unwrap();
        }
        assert_eq!(scratch.names(), ["a-1.txt", "a-2.txt", "a-3.txt", "a.txt"]);
        assert_eq!(fs::read_to_string(scratch.0.join("a.txt")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(scratch.0.join("a-3.txt")).unwrap(), "two");
    }

    #[test]
    fn the_next_number_is_kept_and_found_soon_where_there_are_many_from_before() {
        let scratch = Scratch::new();
        for number in 0..3000 {
            let name = if number == 0 { "a.txt".to_owned() } else { format!("a-{number}.txt") };
            fs::write(scratch.0.join(name), "").unwrap();
        }
        let mut folder = Folder::open(&scratch.0).unwrap();
        let kept: Vec<u32> = (0..3)
            .map(|_| {
                let partial = folder.create().unwrap();
                let path = folder.keep(partial, "a.txt").unwrap();
                let number = path.rsplit_once('-').unwrap().1.strip_suffix(".txt").unwrap().parse().unwrap();
                assert_eq!(folder.state().next_number("a.txt"), number + 1);
                number
            })
            .collect();
        assert!(kept[0] >= 3000 && kept[1..] == [kept[0] + 1, kept[0] + 2], "{kept:?}");
        for number in 0..2 * NUMBERED_NAMES_MAX {
            folder.state().set_next_number(number.to_string(), 1);
        }
        assert_eq!(folder.state().next_numbers.len(), NUMBERED_NAMES_MAX);
    }

    #[test]
    fn the_folder_is_made_on_first_use_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new();
        let path = scratch.0.join("new");
        let mut folder = Folder::open(&path).unwrap();
        folder.remove_left_behind();
        assert!(!path.exists());
        drop(folder.create().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        // Also when it was removed meanwhile.
        fs::remove_dir(&path).unwrap();
        drop(folder.create().unwrap());
        assert!(path.is_dir());
    }

    #[test]
    fn what_can_t_take_files_is_no_download_folder() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.0.join(name);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("broken")).unwrap();
        std::os::unix::fs::symlink(".", at("link")).unwrap();
        for bad in ["file", "file/below", "missing/below", "broken", "/missing"] {
            assert!(Folder::open(&at(bad)).is_err(), "{bad}");
        }
        assert!(Folder::open(&at("link")).is_ok());
        // The default folder is no link's target and no other user's folder.
        for bad in ["file", "link", "broken"] {
            let error = Folder::new(&at(bad), true).create().unwrap_err().to_string();
            assert!(error.contains("not a folder of ours; --download names another"), "{error}");
        }
        assert!(Folder::new(&at("fresh"), true).create().is_ok());
    }

    #[test]
    fn what_a_killed_client_has_left_is_removed_and_nothing_else() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.0.join(name);
        let mut running = Folder::open(&scratch.0).unwrap();
        let partial = running.create().unwrap();
        let used = partial.path.file_name().unwrap().to_str().unwrap().to_owned();
        for name in [".cfp-0123456789abcdef.part", ".cfp-notes.txt", "cfp-1.part"] {
            fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("cfp-1.part", at(".cfp-link.part")).unwrap();
        fs::create_dir(at(".cfp-folder.part")).unwrap();
        Folder::open(&scratch.0).unwrap().remove_left_behind();
        let mut expected = [".cfp-folder.part", ".cfp-link.part", ".cfp-notes.txt", used.as_str(), "cfp-1.part"];
        expected.sort();
        assert_eq!(scratch.names(), expected);
        drop(partial);
        assert!(!at(&used).exists());
    }

    #[test]
    fn at_the_end_unfinished_files_go_and_none_is_begun() {
        let scratch = Scratch::new();
        let mut folder = Folder::open(&scratch.0).unwrap();
        let partials = [folder.create().unwrap(), folder.create().unwrap()];
        folder.remove_unfinished();
        assert!(scratch.names().is_empty());
        assert!(folder.create().is_err() && scratch.names().is_empty());
        drop(partials);
    }

    #[test]
    fn an_incomplete_file_is_hidden_and_goes_when_it_is_given_up() {
        let scratch = Scratch::new();
        let mut folder = Folder::open(&scratch.0).unwrap();
        let partial = folder.create().unwrap();
        assert!(matches!(&scratch.names()[..], [name] if name.starts_with(".cfp-")));
        drop(partial);
        assert!(scratch.names().is_empty());
    }
}
