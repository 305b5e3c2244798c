//! The password: from a file or typed without echo, never from the command line, where everybody can read it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::limits::PASSWORD_MAX_BYTES;

/// The first line of a file.
///
/// # Errors
/// What reading gives; `InvalidData` where the line is no text, empty or too long.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open(path)?.take(PASSWORD_MAX_BYTES as u64 + 2)).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_MAX_BYTES {
        let problem = format!("its first line should be a password of 1 to {PASSWORD_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(password.to_owned())
}

/// Asks on the terminal, with echo switched off meanwhile. Nothing where the input has ended.
///
/// # Errors
/// What the terminal gives.
pub fn ask(prompt: &str) -> io::Result<Option<String>> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // Switched off before the prompt is there, so that nothing typed after it can be seen.
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let answer = ask_visibly(prompt);
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    println!();
    answer
}

/// Asks on the terminal. Nothing where the input has ended.
///
/// # Errors
/// What the terminal gives.
pub fn ask_visibly(prompt: &str) -> io::Result<Option<String>> {
    print!("{prompt}");
    io::stdout().flush()?;
    let mut line = String::new();
    let len = io::stdin().lock().read_line(&mut line)?;
    Ok((len > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}
