//! Reads the users file. `users_edit.rs` changes it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::core::state::users::Users;
use crate::core::state::users_reader::{NewUsers, UsersReader};
use crate::limits::{USERS_FILE_MAX_BYTES, USERS_READ_TRIES_MAX, USERS_SLICE_BYTES};
use crate::shell::regular_file;
pub use crate::shell::users_edit::UserEdit;

/// The source of the registered users.
#[derive(Debug, Clone)]
pub struct UsersFile {
    path: PathBuf,
    /// Most memory that its users may take.
    room_bytes: usize,
}

impl UsersFile {
    /// The file with this path; it is not looked at yet.
    pub fn new(path: PathBuf) -> UsersFile {
        UsersFile { path, room_bytes: usize::MAX }
    }

    /// The same file, with an upper bound: it is refused if its users take more memory.
    pub fn with_room(self, room_bytes: usize) -> UsersFile {
        UsersFile { room_bytes, ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of it. The error is one line that names the file, and the line in it if there is one.
    pub fn read(&self) -> Result<Users, String> {
        let nobody = Users::none();
        let mut reading = self.begin()?;
        loop {
            if let Some(new) = reading.advance(&nobody)? {
                return Ok(new.users);
            }
        }
    }

    /// Begins to read it in slices.
    pub fn begin(&self) -> Result<UsersReading, String> {
        let pass = Pass::begin(&self.path).map_err(|error| self.problem(&error))?;
        Ok(UsersReading { file: self.clone(), pass, leftover: Vec::new(), tries: 1 })
    }

    /// What the operator should know of the file although it is good, a line each.
    pub fn warnings(&self) -> Vec<String> {
        let path = self.path.display();
        let mut warnings = Vec::new();
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o004 != 0) {
            warnings.push(format!(
                "users file {path}: everybody on this machine can read it, and try passwords on it; chmod o-r {path}"
            ));
        }
        if self.is_mounted_alone() {
            warnings.push(format!(
                "users file {path}: is mounted by itself, so that a new file put in its place is not seen here; mount its folder instead"
            ));
        }
        warnings
    }

    /// Whether it is the root of a mount, as a container's runtime makes it for a single file.
    fn is_mounted_alone(&self) -> bool {
        let found = statx(CWD, &self.path, AtFlags::empty(), StatxFlags::TYPE);
        found
            .is_ok_and(|found| (found.stx_attributes_mask & found.stx_attributes).contains(StatxAttributes::MOUNT_ROOT))
    }

    /// The error's one line.
    pub(super) fn problem(&self, error: &dyn std::fmt::Display) -> String {
        format!("users file {}: {error}", self.path.display())
    }
}

/// A users file that is being read.
#[derive(Debug)]
pub struct UsersReading {
    file: UsersFile,
    pass: Pass,
    /// What was read in vain: lists to be freed.
    leftover: Vec<Users>,
    tries: u32,
}

/// One reading of it from its beginning.
#[derive(Debug)]
struct Pass {
    file: File,
    /// What it was like at the beginning.
    stamp: Stamp,
    bytes: u64,
    reader: UsersReader,
}

/// By what another file, and another content, is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_same_file(self, other: Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Pass {
    fn begin(path: &Path) -> io::Result<Pass> {
        let file = regular_file::open(path)?;
        let stamp = Stamp::of(&file.metadata()?);
        Ok(Pass { file, stamp, bytes: 0, reader: UsersReader::default() })
    }

    /// Whether it is still what the path stands for, and as it was at the beginning.
    fn is_unchanged(&self, path: &Path) -> io::Result<bool> {
        let now = Stamp::of(&self.file.metadata()?);
        Ok(now == self.stamp && now.is_same_file(Stamp::of(&fs::metadata(path)?)))
    }

    /// Whether all of it was read.
    fn is_whole(&self) -> bool {
        self.bytes == self.stamp.bytes
    }
}

impl UsersReading {
    /// Reads a slice. Returns the users when that was the last one. A file that has changed meanwhile, or was replaced,
    /// is read from its beginning again.
    pub fn advance(&mut self, before: &Users) -> Result<Option<NewUsers>, String> {
        let mut buffer = [0; USERS_SLICE_BYTES];
        let count = match self.pass.file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            result => result.map_err(|error| self.file.problem(&error))?,
        };
        self.pass.bytes += count as u64;
        if self.pass.bytes > USERS_FILE_MAX_BYTES {
            return Err(self.file.problem(&format_args!("is larger than {USERS_FILE_MAX_BYTES} bytes")));
        }
        let slice = buffer.get(..count).unwrap_or(&[]);
        let read = self.pass.reader.read(slice, before);
        let held_bytes = self.pass.reader.held_bytes() + self.leftover.iter().map(Users::held_bytes).sum::<usize>();
        if held_bytes > self.file.room_bytes {
            let room = self.file.room_bytes / 1024;
            let problem = format!(
                "its users take more memory than the {room} KiB that there is for them; raise the memory limit and restart, or keep fewer users"
            );
            return Err(self.file.problem(&problem));
        }
        match read {
            // What looks wrong may just be half written.
            Err(error) if self.is_unchanged()? => return Err(self.file.problem(&error)),
            Err(_) => self.begin_again()?,
            Ok(()) if count > 0 => {}
            Ok(()) if self.pass.is_whole() && self.is_unchanged()? => {
                let new = self.pass.reader.finish(before).map_err(|error| self.file.problem(&error))?;
                return Ok(Some(new));
            }
            Ok(()) => self.begin_again()?,
        }
        Ok(None)
    }

    /// What was read in vain, to be freed: it may be large.
    pub fn into_leftover(mut self) -> Vec<Users> {
        self.leftover.push(self.pass.reader.into_users());
        self.leftover
    }

    fn is_unchanged(&self) -> Result<bool, String> {
        self.pass.is_unchanged(self.file.path()).map_err(|error| self.file.problem(&error))
    }

    fn begin_again(&mut self) -> Result<(), String> {
        if self.tries >= USERS_READ_TRIES_MAX {
            return Err(self.file.problem(&"changes again and again while it is read; try again when it is written"));
        }
        self.tries += 1;
        let pass = Pass::begin(self.file.path()).map_err(|error| self.file.problem(&error))?;
        self.leftover.push(std::mem::replace(&mut self.pass, pass).reader.into_users());
        Ok(())
    }
}
