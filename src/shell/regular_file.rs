//! Opens files whose names come from a user. It never opens one that could block the program, on opening or on reading.

use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to be read. It must be a regular file: a pipe waits for a writer, and a device may do anything. The
/// error says what it is.
pub fn open(path: &Path) -> io::Result<File> {
    require_regular(fs::metadata(path)?.file_type())?;
    // It may be another one by now; so it is opened without waiting, and looked at again.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn require_regular(kind: FileType) -> io::Result<()> {
    let name = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {name}, and has to be a regular file")))
}
