//! The download folder: files grow under a temporary name and get their own when they are complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::download::Store;
use super::file_name::{numbered, safe_name};
use super::limits::SAVED_NAME_NUMBERS;

/// The folder that takes received files.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder that is there.
    ///
    /// # Errors
    /// Where it is none, or can't be looked at.
    pub fn open(path: &Path) -> io::Result<Folder> {
        if fs::metadata(path)?.is_dir() { Ok(Folder(path.to_owned())) } else { Err(ErrorKind::NotADirectory.into()) }
    }
}

/// A file that is not complete. Dropping it removes it.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After it got its own name there is nothing here any more. Where removing fails, nothing can be done.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store for Folder {
    type File = Partial;

    fn create(&mut self) -> io::Result<Partial> {
        let random = getrandom::u64().map_err(|_| io::Error::other("no random numbers"))?;
        let path = self.0.join(format!(".cfp-{random:016x}.part"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Partial { path, file })
    }

    fn append(&mut self, partial: &mut Partial, bytes: &[u8]) -> io::Result<()> {
        partial.file.write_all(bytes)
    }

    fn keep(&mut self, partial: Partial, name: &str) -> io::Result<String> {
        let name = safe_name(name);
        for number in 0..SAVED_NAME_NUMBERS {
            let path = self.0.join(if number == 0 { name.clone() } else { numbered(&name, number) });
            match rename_new(&partial.path, &path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                renamed => return renamed.map(|()| path.display().to_string()),
            }
        }
        Err(io::Error::other(format!("there are {SAVED_NAME_NUMBERS} files of this name")))
    }
}

/// Renames a file, in one step, to a name that nothing has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems that don't know how: a link, too, is never made over something that exists.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn an_incomplete_file_is_hidden_and_goes_when_it_is_given_up() {
        let scratch = Scratch::new();
        let mut folder = Folder::open(&scratch.0).unwrap();
        let partial = folder.create().unwrap();
        assert!(matches!(&scratch.names()[..], [name] if name.starts_with(".cfp-")));
        drop(partial);
        assert!(scratch.names().is_empty());
    }
}
