//! Paths as people type them, and the folder for what is kept between runs.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A path whose `~` in front means the home folder.
pub fn expand(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home,
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// The folder for what is kept between runs (XDG Base Directory Specification), which need not be there.
///
/// # Errors
/// No variable of the environment names it.
pub fn state_folder() -> io::Result<PathBuf> {
    let state = variable("XDG_STATE_HOME").or_else(|| home().map(|home| home.join(".local/state")));
    let state = state
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME names a folder"))?;
    Ok(state.join("cfp-client"))
}

/// Makes a folder if it is not there, for its owner alone.
///
/// # Errors
/// What the disk says.
pub fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn home() -> Option<PathBuf> {
    variable("HOME")
}

/// The absolute path in a variable. Others are to be ignored, says the specification.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
