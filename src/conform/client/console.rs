//! Whoever uses the client under test: a program that types and reads, or a person who is told what to do.

use std::io::{BufRead, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::conform::case::{Check, Seen, Stop};
use crate::conform::limits::OUTPUT_MAX_BYTES;
use crate::wire::ServerId;

/// How the client is used.
#[derive(Debug, Clone)]
pub enum Manner {
    /// By a person, who reads on standard error what to do, and answers on standard input.
    Person,
    /// By the kit.
    Program {
        /// The command that starts it as a guest.
        run: String,
        /// The command that starts it as a registered user.
        run_user: Option<String>,
        /// What says something in public.
        say: String,
        /// What says something in private.
        tell: Option<String>,
        /// What sends a file.
        send: Option<String>,
        /// What leaves.
        leave: Option<String>,
    },
}

/// Whoever uses a client that runs.
pub enum Console {
    /// A person.
    Person,
    /// The kit.
    Program(Program),
}

/// What stands for a word in braces.
pub type Words<'a> = &'a [(&'a str, &'a str)];

fn fill(template: &str, words: Words<'_>) -> String {
    words.iter().fold(template.to_owned(), |text, (name, word)| text.replace(&format!("{{{name}}}"), word))
}

impl Console {
    /// Starts the client at this address, as a guest or as a registered user.
    pub fn start(
        manner: &Manner,
        address: SocketAddr,
        nickname: &str,
        password: Option<&str>,
        download: Option<&Path>,
    ) -> Result<Console, Stop> {
        let Manner::Program { run, run_user, .. } = manner else {
            let how = password.map_or("as a guest".to_owned(), |password| {
                format!("as a registered user with the password: {password}")
            });
            eprintln!("\n>>> Connect your client to {address}, with the nickname {nickname}, {how}.");
            return Ok(Console::Person);
        };
        let command = match password {
            None => run,
            Some(_) => run_user.as_ref().ok_or_else(|| {
                Stop::skipped("needs --run-user COMMAND, as 'client {host} {port} {nickname} {password}'")
            })?,
        };
        let (host, port, address) = (address.ip().to_string(), address.port().to_string(), address.to_string());
        let download = download.map_or_else(String::new, |folder| folder.display().to_string());
        let words = [
            ("address", address.as_str()),
            ("host", &host),
            ("port", &port),
            ("nickname", nickname),
            ("password", password.unwrap_or_default()),
            ("download", &download),
        ];
        Program::start(&fill(command, &words)).map(Console::Program)
    }

    /// Says something in public.
    pub fn say(&mut self, manner: &Manner, text: &str) -> Check {
        let template = if let Manner::Program { say, .. } = manner { Some(say) } else { None };
        self.type_line(template, &[("text", text)], "--say LINE", || format!("Say in public: {text}"))
    }

    /// Says something in private.
    pub fn tell(&mut self, manner: &Manner, receiver: &str, server: ServerId, text: &str) -> Check {
        let template = if let Manner::Program { tell, .. } = manner { tell.as_ref() } else { None };
        let words = [("receiver", receiver), ("server", &server.to_string()), ("text", text)];
        self.type_line(template, &words, "--tell LINE, as '/msg {receiver}@{server} {text}'", || {
            format!("Say in private to {receiver} on server {server}: {text}")
        })
    }

    /// Sends a file.
    pub fn send(&mut self, manner: &Manner, receiver: &str, server: ServerId, path: &str) -> Check {
        let template = if let Manner::Program { send, .. } = manner { send.as_ref() } else { None };
        let words = [("receiver", receiver), ("server", &server.to_string()), ("path", path)];
        self.type_line(template, &words, "--send LINE, as '/file {receiver}@{server} {path}'", || {
            format!("Send this file to {receiver} on server {server}: {path}")
        })
    }

    /// Leaves.
    pub fn leave(&mut self, manner: &Manner) -> Check {
        match (self, manner) {
            (Console::Program(program), Manner::Program { leave: None, .. }) => {
                program.input = None;
                Ok(())
            }
            (console, manner) => {
                let template = if let Manner::Program { leave, .. } = manner { leave.as_ref() } else { None };
                console.type_line(template, &[], "--leave LINE", || "Leave.".to_owned())
            }
        }
    }

    fn type_line(
        &mut self,
        template: Option<&String>,
        words: Words<'_>,
        needs: &str,
        told: impl FnOnce() -> String,
    ) -> Check {
        let Console::Program(program) = self else {
            eprintln!(">>> {}", told());
            return Ok(());
        };
        let line = fill(template.ok_or_else(|| Stop::skipped(format!("needs {needs}")))?, words);
        program.type_line(&line)
    }

    /// The client must show all of these texts: in what it has printed since it was asked last.
    pub fn shows(&mut self, texts: &[&str], patience: Duration) -> Check {
        let expected = Seen::Words(format!("on the screen: {}", texts.join("   ")));
        match self {
            Console::Program(program) => match program.wait_for(texts, patience) {
                Ok(()) => Ok(()),
                Err(printed) => Err(Stop::deviation(expected, Seen::Words(format!("on the screen: {printed}")))),
            },
            Console::Person => match ask(&format!("Does your client show this?   {}", texts.join("   ")))? {
                true => Ok(()),
                false => Err(Stop::deviation(expected, Seen::Words("not that".into()))),
            },
        }
    }
}

/// Asks a person who answers y or n. Anything else skips the case.
pub fn ask(question: &str) -> Result<bool, Stop> {
    eprintln!(">>> {question}   [y, n, or s to skip]");
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err(Stop::skipped("skipped by hand")),
    }
}

/// A client as a process.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Output,
    /// How much of the output was looked at.
    looked_at: usize,
}

/// What a program has printed.
#[derive(Clone, Default)]
struct Output(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Program {
    fn start(command: &str) -> Result<Program, Stop> {
        let cannot = |error: std::io::Error| Stop::skipped(format!("cannot run {command:?}: {error}"));
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let output = Output::default();
        if let Some(stdout) = child.stdout.take() {
            output.clone().collect(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            output.clone().collect(stderr);
        }
        Ok(Program { input: child.stdin.take(), child, output, looked_at: 0 })
    }

    fn type_line(&mut self, line: &str) -> Check {
        let typed = self.input.as_mut().map(|input| writeln!(input, "{line}").and_then(|()| input.flush()));
        match typed {
            Some(Ok(())) => Ok(()),
            _ => Err(Stop::words("that the client reads what is typed", "it has closed its input")),
        }
    }

    /// What was printed instead is the error.
    fn wait_for(&mut self, texts: &[&str], patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        let (lock, changed) = &*self.output.0;
        let mut printed = lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let fresh = String::from_utf8_lossy(printed.get(self.looked_at..).unwrap_or_default()).into_owned();
            if texts.iter().all(|text| fresh.contains(text)) {
                self.looked_at = printed.len();
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.looked_at = printed.len();
                let tail: Vec<char> = fresh.trim().chars().rev().take(300).collect();
                return Err(tail.into_iter().rev().collect());
            }
            printed = changed.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn collect(self, mut from: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let (lock, changed) = &*self.0;
                let mut printed = lock.lock().unwrap_or_else(PoisonError::into_inner);
                if printed.len() < OUTPUT_MAX_BYTES {
                    printed.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                changed.notify_all();
            }
        });
    }
}
