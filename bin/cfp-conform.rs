//! Checks a server or a client of the protocol: see `cfp-conform --help` and `docs/conform.md`.

use std::io::Write;
use std::process::ExitCode;

use cfp::conform::{Fault, run};

fn main() -> ExitCode {
    let (text, status) = match run(std::env::args_os().skip(1), &mut std::io::stdout()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => return ExitCode::FAILURE,
        Err(Fault::Usage(text)) => (format!("{text}\nTry 'cfp-conform --help'."), 2),
        Err(Fault::Run(text)) => (text, 1),
    };
    // Where standard error is gone, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "cfp-conform: {text}");
    ExitCode::from(status)
}
