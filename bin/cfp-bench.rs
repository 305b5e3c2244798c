//! Measures a CFP server: see `cfp-bench --help` and `docs/performance.md`.

use std::process::ExitCode;

use cfp::bench::{Fault, arguments};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match arguments::run(&given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Usage(text)) => {
            eprintln!("cfp-bench: {text}\nTry cfp-bench --help.");
            ExitCode::from(2)
        }
        Err(fault) => {
            eprintln!("cfp-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}
