//! Measures a CFP server: see `cfp-bench --help` and `docs/performance.md`.

use std::process::ExitCode;

use cfp::bench::{Fault, arguments};
use cfp::shell::stdio::complain;

fn main() -> ExitCode {
    match arguments::run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Usage(text)) => {
            complain(&format!("cfp-bench: {text}\nTry 'cfp-bench --help'.\n"));
            ExitCode::from(2)
        }
        Err(fault) => {
            complain(&format!("cfp-bench: {fault}\n"));
            ExitCode::FAILURE
        }
    }
}
