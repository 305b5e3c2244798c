//! A pseudo-terminal: types at a program and reads what its screen shows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::support::{PATIENCE, Running};

/// Rows and columns of the screen.
pub const SIZE: (u16, u16) = (24, 80);

/// A program on a terminal of its own.
pub struct Terminal {
    keys: File,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    is_held: Arc<AtomicBool>,
    pub process: Running,
}

struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    pub fn start(mut command: Command) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (rows, columns) = SIZE;
        tcsetwinsize(&slave, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        // What is kept between runs is a test's own, unless it says where.
        if !command.get_envs().any(|(name, _)| name == "XDG_STATE_HOME") {
            static STATES: AtomicUsize = AtomicUsize::new(0);
            let number = STATES.fetch_add(1, Ordering::Relaxed);
            command.env(
                "XDG_STATE_HOME",
                format!("{}/state-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id()),
            );
        }
        let copy = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(copy(&slave))
            .stdout(copy(&slave))
            .stderr(copy(&slave))
            .spawn()
            .unwrap();
        // Now only the program holds the terminal, so that its end can be noticed.
        drop((slave, command));
        let shown = Shown { parser: vt100::Parser::new(rows, columns, 10_000), bytes: Vec::new() };
        let shown = Arc::new((Mutex::new(shown), Condvar::new()));
        let (mut output, sink) = (File::from(master.try_clone().unwrap()), shown.clone());
        let is_held = Arc::new(AtomicBool::new(false));
        let held = is_held.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                while held.load(Ordering::Acquire) && Arc::strong_count(&held) > 1 {
                    thread::sleep(Duration::from_millis(5));
                }
                let mut shown = sink.0.lock().unwrap();
                shown.parser.process(&buffer[..len]);
                shown.bytes.extend_from_slice(&buffer[..len]);
                sink.1.notify_all();
            }
        });
        Terminal { keys: File::from(master), shown, is_held, process: Running(child) }
    }

    /// Starts a client and waits for its prompt.
    pub fn connected(command: Command) -> Terminal {
        let terminal = Terminal::start(command);
        terminal.expect("connected to");
        terminal.expect_last(">");
        terminal
    }

    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the terminal itself echoes typed characters.
    pub fn has_echo(&self) -> bool {
        tcgetattr(&self.keys).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// From now on the screen takes nothing, as after Ctrl-S.
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Release);
    }

    /// The screen goes on.
    pub fn go_on(&self) {
        self.is_held.store(false, Ordering::Release);
    }

    /// Waits until the screen is as wanted. Returns its rows, without blanks at their ends.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().unwrap();
        loop {
            let rows = rows(&shown.parser);
            drop(shown);
            if is_so(&rows) {
                return rows;
            }
            shown = self.shown.0.lock().unwrap();
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} was never on the screen; there is {rows:#?}");
            shown = self.shown.1.wait_timeout(shown, left.min(Duration::from_millis(20))).unwrap().0;
        }
    }

    /// Waits until a line contains `part`, be it wrapped or not.
    pub fn expect(&self, part: &str) -> Vec<String> {
        self.wait_until(part, |rows| {
            rows.iter().any(|row| row.contains(part)) || lines(rows).iter().any(|line| line.contains(part))
        })
    }

    /// Waits until a row has contained `part`, be it on the screen or scrolled off.
    pub fn expect_ever(&self, part: &str) {
        let is_there = || self.everything().iter().any(|row| row.contains(part));
        self.wait_until(part, |_| is_there());
    }

    /// Waits until the last row that is not blank is this one.
    pub fn expect_last(&self, row: &str) -> Vec<String> {
        self.wait_until(row, |rows| rows.last().is_some_and(|last| last == row))
    }

    /// Gives the screen another size, and tells the program.
    pub fn resize(&self, (rows, columns): (u16, u16)) {
        let mut shown = self.shown.0.lock().unwrap();
        shown.parser.screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keys, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Every row that has scrolled off and every row of the screen, without blanks at their ends.
    pub fn everything(&self) -> Vec<String> {
        let mut shown = self.shown.0.lock().unwrap();
        let screen = shown.parser.screen_mut();
        let columns = screen.size().1.max(200);
        screen.set_scrollback(usize::MAX);
        let mut all = Vec::new();
        for offset in (0..=screen.scrollback()).rev() {
            screen.set_scrollback(offset);
            let mut rows = screen.rows(0, columns).map(|row| row.trim_end().to_owned());
            if offset == 0 {
                all.extend(rows);
            } else {
                all.extend(rows.next());
            }
        }
        all
    }

    /// Column of the cursor.
    pub fn cursor_column(&self) -> u16 {
        self.shown.0.lock().unwrap().parser.screen().cursor_position().1
    }

    /// Everything that the program has written.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap().bytes.clone()
    }

    /// Waits until the terminal echoes typed characters, or until it does not.
    pub fn wait_until_echo_is(&self, is_on: bool) {
        let until = Instant::now() + PATIENCE;
        let is_echoing = || {
            let modes = rustix::termios::tcgetattr(&self.keys).unwrap().local_modes;
            modes.contains(rustix::termios::LocalModes::ECHO)
        };
        while is_echoing() != is_on {
            assert!(Instant::now() < until, "the echo is not as it should be: {is_on}");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.process.0.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Option<i32> {
        self.process.0.wait().unwrap().code()
    }
}

/// The command of our client, in colour.
pub fn client(server: &str, nickname: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
    command.args([server, nickname]).args(arguments).env_remove("NO_COLOR");
    command
}

/// Our client, connected.
pub fn start(server: &str, nickname: &str, arguments: &[&str]) -> Terminal {
    Terminal::connected(client(server, nickname, arguments))
}

/// Drops what is typed, leaves, and waits for the end.
pub fn end(mut terminal: Terminal) {
    terminal.type_keys("\x05\x15/quit\r");
    assert_eq!(terminal.wait(), Some(0));
}

/// Lines as they were before they were wrapped at their blanks.
pub fn lines(rows: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for row in rows {
        match (row.trim_start().strip_prefix('│'), lines.last_mut()) {
            (Some(rest), Some(line)) => *line = format!("{line} {}", rest.strip_prefix(' ').unwrap_or(rest)),
            _ => lines.push(row.clone()),
        }
    }
    lines
}

/// The rows down to the last that is not blank.
fn rows(parser: &vt100::Parser) -> Vec<String> {
    let mut rows: Vec<String> =
        parser.screen().rows(0, parser.screen().size().1).map(|row| row.trim_end().to_owned()).collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}
