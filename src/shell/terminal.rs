//! A password asked for on the terminal, without echo. However the program ends meanwhile, by Ctrl-C, Ctrl-\ or a
//! `kill`, and while it is stopped by Ctrl-Z, the terminal echoes again.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::{flag, low_level};

use crate::limits::PASSWORD_MAX_BYTES;
use crate::shell::stdio;

/// Every signal that ends or stops a program by default and can be caught. Those that a program sends itself for
/// reading or writing in the background (SIGTTIN, SIGTTOU) come before the echo is switched off.
pub const ALL_SIGNALS: &[i32] = &[
    SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGTSTP, SIGIO, SIGXCPU, SIGVTALRM, SIGPROF,
];

/// The state of the terminal before the prompt, if standard input is one.
#[derive(Debug, Clone)]
pub struct Terminal(Option<Termios>);

impl Terminal {
    /// Remembers how it is set.
    pub fn remember() -> Terminal {
        Terminal(tcgetattr(io::stdin()).ok())
    }

    /// Sets it so again.
    pub fn restore(&self) {
        // If the terminal belongs to another job now, touching it would only stop this process.
        let is_others = tcgetpgrp(io::stdin()).is_ok_and(|group| group != rustix::process::getpgrp());
        if let (Some(before), false) = (&self.0, is_others) {
            // If the terminal is gone, nothing is left to restore.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }

    fn silence(&self) -> io::Result<()> {
        let Some(before) = &self.0 else { return Ok(()) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // Input from before the prompt is thrown away: it was echoed.
        Ok(tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?)
    }
}

/// Asks for a password on the terminal. Meanwhile it handles `signals` itself; for all other signals, the caller has to
/// restore the terminal. The first call of a process decides which ones: from then on their handlers stay, and do what
/// the signals do by default. `None` if the input has ended.
///
/// # Errors
/// The error of reading; `InvalidData` if the answer is not UTF-8.
pub fn ask(question: &str, signals: &[i32]) -> io::Result<Option<String>> {
    static PROMPT: Mutex<Option<Prompt>> = Mutex::new(None);
    let mut prompt = PROMPT.lock().unwrap_or_else(PoisonError::into_inner);
    if prompt.is_none() {
        *prompt = Some(Prompt::new(signals)?);
    }
    prompt.as_ref().map_or(Ok(None), |prompt| prompt.ask(question))
}

struct Prompt {
    terminal: Terminal,
    /// Readable when a signal has come, which `last_signal` names.
    woken: UnixStream,
    last_signal: Arc<AtomicUsize>,
    /// Nothing is asked: a signal does what it does by default.
    is_idle: Arc<AtomicBool>,
}

impl Prompt {
    fn new(signals: &[i32]) -> io::Result<Prompt> {
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (last_signal, is_idle) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        for &signal in signals {
            flag::register_usize(signal, last_signal.clone(), usize::try_from(signal).unwrap_or_default())?;
            flag::register_conditional_default(signal, is_idle.clone())?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Prompt { terminal: Terminal::remember(), woken, last_signal, is_idle })
    }

    fn ask(&self, question: &str) -> io::Result<Option<String>> {
        self.is_idle.store(false, Ordering::Release);
        let answer = self.terminal.silence().and_then(|()| self.read(question));
        self.terminal.restore();
        self.is_idle.store(true, Ordering::Release);
        show("\n");
        answer?.map(|line| utf8(without_line_end(&line))).transpose()
    }

    /// Reads a line, with its end. Of one that is too long, the rest is read and dropped.
    fn read(&self, question: &str) -> io::Result<Option<Vec<u8>>> {
        show(question);
        let (stdin, mut line, mut buffer) = (io::stdin(), Vec::new(), [0; 256]);
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                result => drop(result?),
            }
            let [from_stdin, from_signal] = fds.map(|fd| !fd.revents().is_empty());
            if from_signal && self.take_signal()? {
                line.clear();
                show(question);
            } else if from_stdin {
                let count = rustix::io::read(&stdin, &mut buffer)?;
                let read = buffer.get(..count).unwrap_or_default();
                if line.len() <= PASSWORD_MAX_BYTES + 2 {
                    line.extend_from_slice(read);
                }
                if count == 0 || read.ends_with(b"\n") {
                    return Ok((!line.is_empty()).then_some(line));
                }
            }
        }
    }

    /// Does what the signal that came does by default, with the terminal as it was. Returns whether there was one, from
    /// which the program has come back.
    fn take_signal(&self) -> io::Result<bool> {
        while matches!((&self.woken).read(&mut [0; 64]), Ok(1..)) {}
        let signal = self.last_signal.swap(0, Ordering::AcqRel);
        if signal == 0 {
            return Ok(false);
        }
        self.terminal.restore();
        show("\n");
        let signal = i32::try_from(signal).unwrap_or_default();
        if rustix::process::getpid().is_init() && signal != SIGTSTP {
            // Process 1 of a container is not ended by a signal that it sends to itself.
            std::process::exit(128 + signal);
        }
        low_level::emulate_default_handler(signal)?;
        self.terminal.silence()?;
        Ok(true)
    }
}

/// Writes to the terminal behind standard input, wherever standard output and standard error go.
fn show(text: &str) {
    if rustix::io::write(io::stdin(), text.as_bytes()).is_err() {
        stdio::complain(text);
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn utf8(bytes: &[u8]) -> io::Result<String> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The first line of a reader, as a password: without its end, and without a byte-order mark in front of it.
///
/// # Errors
/// The error of reading; `InvalidData` if the input is not UTF-8 or too long.
pub fn read_password(mut input: impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= PASSWORD_MAX_BYTES + 5 && input.read(&mut byte)? > 0 && byte != *b"\n" {
        line.extend_from_slice(&byte);
    }
    if line.len() > PASSWORD_MAX_BYTES + 5 {
        let problem = format!("it is longer than {PASSWORD_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let line = without_line_end(&line);
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    utf8(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end_and_without_a_byte_order_mark() {
        let read = |bytes: &[u8]| read_password(bytes).unwrap();
        for bytes in [&b"open sesame"[..], b"open sesame\n", b"open sesame\r\nmore\n", b"\xef\xbb\xbfopen sesame\n"] {
            assert_eq!(read(bytes), "open sesame");
        }
        assert_eq!(read(b""), "");
        assert_eq!(read(b" \n"), " ");
        assert!(read_password(&b"\xff\n"[..]).is_err());
        assert_eq!(read(&[b'x'; PASSWORD_MAX_BYTES]).len(), PASSWORD_MAX_BYTES);
        assert!(read_password("é".repeat(50_000).as_bytes()).is_err_and(|error| error.to_string().contains("longer")));
    }
}
