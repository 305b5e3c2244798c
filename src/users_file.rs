//! The users file, where it meets the file system.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::core::users::Users;
use crate::limits::USERS_FILE_MAX_BYTES;

/// Where the registered users are kept.
#[derive(Debug, Clone)]
pub struct UsersFile {
    path: PathBuf,
}

impl UsersFile {
    /// The file with this path; it is not looked at yet.
    pub fn new(path: PathBuf) -> UsersFile {
        UsersFile { path }
    }

    /// Reads all of it. The error is one line that names the file, and the line in it where there is one.
    pub fn read(&self) -> Result<Users, String> {
        let path = self.path.display();
        let mut text = String::new();
        File::open(&self.path).and_then(|file| file.take(USERS_FILE_MAX_BYTES + 1).read_to_string(&mut text)).map_err(
            |error| match error.kind() {
                io::ErrorKind::InvalidData => format!("users file {path}: is not UTF-8"),
                _ => format!("users file {path}: {error}"),
            },
        )?;
        if text.len() as u64 > USERS_FILE_MAX_BYTES {
            return Err(format!("users file {path}: is larger than {USERS_FILE_MAX_BYTES} bytes"));
        }
        Users::parse(&text).map_err(|error| format!("users file {path}: {error}"))
    }
}
