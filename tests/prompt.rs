//! Passwords typed on a terminal: not echoed, asked for twice if they are new. Afterwards the terminal is as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "support/console.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::Signal;
use terminal::Terminal;

fn hash_password() -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-server"));
    command.args(["--hash-password", "maria"]);
    Terminal::start(command)
}

fn stopped(terminal: &Terminal) {
    let stat = format!("/proc/{}/stat", terminal.process.0.id());
    let is_stopped = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
    let until = std::time::Instant::now() + support::PATIENCE;
    while !is_stopped() {
        assert!(std::time::Instant::now() < until, "it is not stopped");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_new_password_is_typed_twice_and_never_seen() {
    let mut terminal = hash_password();
    terminal.expect("Password:");
    terminal.wait_until_echo_is(false);
    terminal.type_keys("open sesame\n");
    terminal.expect("The same again:");
    terminal.type_keys("open sesame\n");
    let rows = terminal.expect("maria:$pbkdf2-sha256$");
    terminal.wait_until_echo_is(true);
    assert!(!rows.iter().any(|row| row.contains("sesame")), "{rows:#?}");
    assert_eq!(terminal.wait(), Some(0));
}

#[test]
fn two_different_ones_change_nothing() {
    let mut terminal = hash_password();
    terminal.expect("Password:");
    terminal.type_keys("open sesame\n");
    terminal.expect("The same again:");
    terminal.type_keys("open sesam\n");
    terminal.expect("cfp-server: the two passwords differ");
    terminal.wait_until_echo_is(true);
    assert_eq!(terminal.wait(), Some(1));
}

#[test]
fn the_end_of_input_is_no_password() {
    let mut terminal = hash_password();
    terminal.expect("Password:");
    terminal.type_keys("\u{4}");
    terminal.expect("cfp-server: no password was typed");
    terminal.wait_until_echo_is(true);
    assert_eq!(terminal.wait(), Some(1));
}

#[test]
fn whatever_signal_ends_the_program_at_the_prompt_the_terminal_echoes_again() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::ALARM, Signal::XCPU] {
        let mut terminal = hash_password();
        terminal.expect("Password:");
        terminal.wait_until_echo_is(false);
        terminal.type_keys("open");
        terminal.signal(signal);
        terminal.wait_until_echo_is(true);
        assert_eq!(terminal.process.0.wait().unwrap().signal(), Some(signal.as_raw()), "{signal:?}");
    }
}

#[test]
fn at_the_second_prompt_too() {
    let mut terminal = hash_password();
    terminal.expect("Password:");
    terminal.type_keys("open sesame\n");
    terminal.expect("The same again:");
    terminal.wait_until_echo_is(false);
    terminal.signal(Signal::INT);
    terminal.wait_until_echo_is(true);
    assert_eq!(terminal.process.0.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn a_program_that_is_stopped_at_the_prompt_gives_the_echo_back_and_asks_again_when_it_goes_on() {
    let client = || {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfp-client"));
        command.args([&server.local_addr().unwrap().to_string(), "maria", "--ask-password"]);
        (Terminal::start(command), "password:", Some(server))
    };
    for (mut terminal, question, _server) in [(hash_password(), "Password:", None), client()] {
        let asked = |times: usize| {
            terminal.wait_until(question, |rows| rows.iter().filter(|row| row.contains(question)).count() == times)
        };
        asked(1);
        terminal.wait_until_echo_is(false);
        terminal.signal(Signal::TSTP);
        stopped(&terminal);
        terminal.wait_until_echo_is(true);
        terminal.signal(Signal::CONT);
        asked(2);
        terminal.wait_until_echo_is(false);
        terminal.type_keys("x");
        terminal.signal(Signal::INT);
        terminal.wait_until_echo_is(true);
        terminal.process.0.wait().unwrap();
    }
}
