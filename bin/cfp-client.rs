//! The console client's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cfp::client::session::main()
}
