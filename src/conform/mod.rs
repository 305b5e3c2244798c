//! A conformance kit: it plays the other side of the protocol, and says of each sentence of the RFC and of each decision
//! of `docs/protocol.md` whether the program under test keeps it. `docs/conform.md` is its page.
//!
//! ```text
//!  cfp-conform ──clients, siblings──▶ a server under test          server/
//!  cfp-conform ◀──────────connects── a client under test          client/
//! ```
//!
//! A case is a function that talks over sockets and returns what it saw in place of what it expected. One runs after the
//! other. It waits for what must come, up to a patience. That nothing else comes is not waited for: behind it, the case
//! asks something that has an answer.

mod bytes;
mod case;
mod client;
mod limits;
mod log;
mod options;
mod peer;
mod report;
mod security;
mod server;
mod unchecked;

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::Instant;

pub use case::{SECTIONS, Verdict, is_decision, is_in};
pub use client::Manner;
pub use options::usage;
use options::{Output, Request, Subject};
pub use report::{Counts, Entry};
pub use server::{Setup, Target};
pub use unchecked::UNCHECKED;

/// Why there is no result.
#[derive(Debug)]
pub enum Fault {
    /// A mistake on the command line.
    Usage(String),
    /// It cannot be run.
    Run(String),
}

/// Every case of a server: ID and claim.
pub fn server_cases() -> Vec<(&'static str, &'static str)> {
    server::cases().iter().map(|case| (case.id, case.claim)).collect()
}

/// Every case of a client: ID and claim.
pub fn client_cases() -> Vec<(&'static str, &'static str)> {
    client::CASES.iter().map(|case| (case.id, case.claim)).collect()
}

/// Does what the arguments behind the program's name say, and prints on `out`. Whether nothing failed.
///
/// # Errors
/// What is wrong with the arguments, or why nothing can be checked.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> Result<bool, Fault> {
    let printed = |result: std::io::Result<()>| result.map_err(|error| Fault::Run(format!("standard output: {error}")));
    let (subject, output) = match options::parse(arguments).map_err(Fault::Usage)? {
        Request::Help => return printed(write!(out, "{}", usage())).map(|()| true),
        Request::Version => return printed(writeln!(out, "cfp-conform {}", env!("CARGO_PKG_VERSION"))).map(|()| true),
        Request::List => return printed(list(out)).map(|()| true),
        Request::Check(subject, output) => (*subject, output),
    };
    let seed = RandomState::new().hash_one(std::process::id());
    let (name, entries) = match subject {
        Subject::Server(setup) => {
            let name = format!("server {} at {}", setup.target.id, setup.target.address);
            let mut bench = server::Bench::new(setup, seed);
            if let Err(error) = bench.dial() {
                let why =
                    Verdict::of("", Err(error), true).deviation().map_or_else(String::new, |it| it.seen.to_string());
                return Err(Fault::Run(format!("{name}: {why}; is it running?")));
            }
            (name, check(&server::cases(), &mut bench, &output, out))
        }
        Subject::Client(setup) => {
            let mut stage = client::Stage::new(setup).map_err(Fault::Run)?;
            let name = format!("the client that connects to {}", stage.address());
            let cases: Vec<_> = client::CASES.iter().collect();
            (name, check(&cases, &mut stage, &output, out))
        }
    };
    let entries = entries.map_err(|error| Fault::Run(format!("standard output: {error}")))?;
    if output.is_json {
        printed(writeln!(out, "{:#}", report::json(&name, &entries)))?;
    } else {
        printed(report::summary(out, &entries))?;
    }
    if let Some(path) = &output.junit {
        let file = std::fs::File::create(path).and_then(|mut file| report::junit(&mut file, &entries));
        file.map_err(|error| Fault::Run(format!("--junit {}: {error}", path.display())))?;
    }
    let counts = Counts::of(&entries);
    Ok(counts.failed == 0 && counts.ok + counts.noted > 0)
}

/// What cases run on, and its log.
trait Ground {
    fn log(&self) -> &log::Log;

    /// A case begins.
    fn begin(&mut self) {
        self.log().begin();
    }
}

impl Ground for server::Bench {
    fn log(&self) -> &log::Log {
        &self.log
    }

    fn begin(&mut self) {
        self.begin_case();
    }
}

impl Ground for client::Stage {
    fn log(&self) -> &log::Log {
        &self.log
    }
}

/// Runs the cases that are asked for, one after the other.
fn check<S: Ground>(
    cases: &[&'static case::Case<S>],
    on: &mut S,
    output: &Output,
    out: &mut dyn Write,
) -> std::io::Result<Vec<Entry>> {
    let (mut entries, mut section, mut told) = (Vec::new(), None, report::Told::default());
    for case in cases.iter().filter(|case| output.wants(case.id)) {
        let began = Instant::now();
        on.begin();
        let mut checked = (case.check)(on);
        if let Err(case::Stop::Deviation(deviation)) = &mut checked
            && deviation.sent.is_empty()
        {
            deviation.sent = on.log().last();
        }
        let verdict = Verdict::of(case.id, checked, output.is_strict);
        let (id, claim, quote) = (case.id, case.claim, case.quote);
        let entry = Entry { id, claim, quote, verdict, seconds: began.elapsed().as_secs_f64() };
        if !output.is_json {
            let its = SECTIONS.iter().position(|section| is_in(case.id, section.number));
            if section != its {
                report::title(out, case.id)?;
            }
            section = its;
            report::line(out, &entry, &mut told)?;
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The text of `--list`: every case, and what has none.
fn list(out: &mut dyn Write) -> std::io::Result<()> {
    for (heading, cases) in [("Of a server", server_cases()), ("Of a client (--client)", client_cases())] {
        writeln!(out, "{heading}:")?;
        cases.iter().try_for_each(|(id, claim)| writeln!(out, "  {id:<6} {claim}"))?;
    }
    writeln!(out, "Decisions without a case:")?;
    UNCHECKED.iter().try_for_each(|(from, to, why)| match from == to {
        true => writeln!(out, "  D{from:<8} {why}"),
        false => writeln!(out, "  D{:<8} {why}", format!("{from}-D{to}")),
    })
}
