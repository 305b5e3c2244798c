//! The password: from a file or typed without echo. Never from the command line, which every user of the machine can
//! read.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::command::BYTE_ORDER_MARK;
use super::{output, signals};
use crate::limits::PASSWORD_MAX_BYTES;
use crate::shell::regular_file;
use crate::shell::terminal::{self, ALL_SIGNALS};

/// The first line of a file, without the byte-order mark that some editors put before it.
///
/// # Errors
/// The error of reading; `InvalidData` if the line is no text, empty or too long.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut line = Vec::new();
    let bytes_max = BYTE_ORDER_MARK.len_utf8() + PASSWORD_MAX_BYTES + "\r\n".len();
    BufReader::new(regular_file::open(path)?.take(bytes_max as u64)).read_until(b'\n', &mut line)?;
    let is_cut = line.len() == bytes_max && !line.ends_with(b"\n");
    let line = std::str::from_utf8(if is_cut { b"" } else { &line });
    let Ok(line) = line else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is not UTF-8"));
    };
    let password = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_MAX_BYTES {
        let problem = format!("its first line should be a password of 1 to {PASSWORD_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(password.to_owned())
}

/// Asks on the terminal, with echo switched off meanwhile. `None` if the input has ended.
///
/// # Errors
/// What the terminal gives.
pub fn ask(prompt: &str) -> io::Result<Option<String>> {
    // For the others that end a program, `signals` restores the terminal.
    let signals: Vec<i32> = ALL_SIGNALS.iter().copied().filter(|signal| !signals::HANDLED.contains(signal)).collect();
    terminal::ask(prompt, &signals)
}

/// Asks on the terminal. `None` if the input has ended.
///
/// # Errors
/// What the terminal gives.
pub fn ask_visibly(prompt: &str) -> io::Result<Option<String>> {
    output::write_all(io::stdout(), prompt.as_bytes())?;
    let mut line = String::new();
    let len = io::stdin().lock().read_line(&mut line)?;
    Ok((len > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(content: &[u8]) -> io::Result<String> {
        let path = std::env::temp_dir().join(format!("cfp-password-{:016x}", getrandom::u64().unwrap()));
        std::fs::write(&path, content).unwrap();
        let read = read_file(&path);
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn the_first_line_is_the_password_without_its_end_and_without_a_byte_order_mark() {
        for content in ["secret", "secret\n", "secret\r\nmore", "\u{feff}secret\r\n"] {
            assert_eq!(read(content.as_bytes()).unwrap(), "secret", "{content:?}");
        }
        let longest = "x".repeat(PASSWORD_MAX_BYTES);
        assert_eq!(read(format!("\u{feff}{longest}\r\n").as_bytes()).unwrap(), longest);
        assert_eq!(
            read(format!("{}é", "x".repeat(PASSWORD_MAX_BYTES - 2)).as_bytes()).unwrap().len(),
            PASSWORD_MAX_BYTES
        );
    }

    #[test]
    fn what_is_no_password_is_said() {
        for (content, problem) in [
            (&b"\xff\xfes\0"[..], "not UTF-8"),
            (b"", "1 to 1024 bytes"),
            (b"\nsecret", "1 to 1024 bytes"),
            (b"\xef\xbb\xbf\n", "1 to 1024 bytes"),
            (&[b'x'; PASSWORD_MAX_BYTES + 1], "1 to 1024 bytes"),
            ("é".repeat(PASSWORD_MAX_BYTES).as_bytes(), "1 to 1024 bytes"),
        ] {
            let error = read(content).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
