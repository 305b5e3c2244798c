//! The files that are made of the programs' options: completions for bash, zsh and fish, and `/etc/default/cfp-server`.
//! They are written by this test, from `--help`:
//!
//!     CFP_WRITE_COMPLETIONS=1 cargo test --test completions
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/help.rs"]
mod help;
#[path = "completions/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cfp::arguments::variables::Kind;
use cfp::shell::options;
use written::Program;

fn programs() -> [Program; 3] {
    [
        Program::new("cfp-server", &options::usage(), &help::commands()),
        Program::new("cfp-client", &cfp::client::options::usage(), &[]),
        Program::new("cfp-conform", &cfp::conform::usage(), &[]),
    ]
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the shell is installed");
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
    assert!(status.success() && stderr.is_empty(), "{command:?}: {stderr}");
    stdout
}

/// Lines as a set.
fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_files_are_what_the_options_make_of_them() {
    let mut files: Vec<(String, String)> = programs().iter().flat_map(Program::files).collect();
    files.push(("docs/debian/cfp-server.default".to_owned(), written::default_file(&options::usage())));
    let mut stale = Vec::new();
    for (name, text) in files {
        if std::env::var_os("CFP_WRITE_COMPLETIONS").is_some() {
            let new = path(&format!("{name}.new"));
            std::fs::write(&new, &text).unwrap();
            std::fs::rename(new, path(&name)).unwrap();
        }
        if std::fs::read_to_string(path(&name)).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "{stale:?} are out of date: CFP_WRITE_COMPLETIONS=1 cargo test --test completions");
}

#[test]
fn the_default_file_has_every_variable_with_a_value_that_its_option_takes() {
    let text = std::fs::read_to_string(path("docs/debian/cfp-server.default")).unwrap();
    let set: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(n, _)| !n.contains(' '))
        .collect();
    let names: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
    let variables = options::variables();
    assert_eq!(names, variables.iter().map(|variable| variable.name.as_str()).collect::<Vec<_>>());
    for ((name, value), variable) in set.iter().zip(&variables) {
        // One at a time, as an operator takes the # away; but for files, which are not there.
        if matches!(variable.kind, Kind::Value("FILE" | "PATH"))
            || *name == "CFP_REQUIRE_TLS"
            || *name == "CFP_NO_GUESTS"
        {
            continue;
        }
        let value = value.trim_matches('"');
        let environment = [("CFP_ID", "1"), ("CFP_ADVERTISE", "192.0.2.7:7777"), (*name, value)];
        let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
        let environment: std::collections::BTreeMap<std::ffi::OsString, std::ffi::OsString> = environment.collect();
        let parsed = options::parse_with([], environment.into_iter());
        assert!(parsed.is_ok(), "{name}={value}: {}", parsed.unwrap_err());
    }
}

/// What bash offers at the end of a command line.
fn bash_offers(program: &Program, words: &[&str]) -> String {
    let script = "source \"$1\"; shift; function=$1; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  compopt() { :; }; $function; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let file = path(&format!("docs/completions/{}.bash", program.name));
    let function = format!("_{}", program.name.replace('-', "_"));
    succeeds(Command::new("bash").args(["-c", script, "bash"]).arg(file).arg(function).args(words))
}

#[test]
fn bash_offers_every_option_and_what_its_value_may_be() {
    for program in programs() {
        let name = program.name;
        let all = bash_offers(&program, &[name, "--"]);
        let expected: BTreeSet<String> = program.options.iter().map(|option| format!("--{}", option.long)).collect();
        assert_eq!(lines(&all), expected.iter().map(String::as_str).collect());
    }
    let [server, client, _] = programs();
    assert_eq!(bash_offers(&server, &["cfp-server", "--tls-c"]).trim(), "--tls-cert");
    assert_eq!(bash_offers(&server, &["cfp-server", "--ask", "sta"]).trim(), "status");
    assert_eq!(bash_offers(&server, &["cfp-server", "--ask", "=", "sta"]).trim(), "status");
    assert_eq!(bash_offers(&server, &["cfp-server", "--id", ""]).trim(), "");
    let manifest = path("Cargo.to");
    let manifest = manifest.to_str().unwrap();
    for option in ["--users", "-u", "--control"] {
        assert_eq!(bash_offers(&server, &["cfp-server", option, manifest]).trim(), format!("{manifest}ml"));
    }
    assert_eq!(bash_offers(&client, &["cfp-client", "-d", manifest]).trim(), "", "no folder");
}

#[test]
#[ignore = "needs zsh: .ci/run runs it"]
fn zsh_is_told_of_every_option() {
    // zsh's own function would be the only reader of these.
    let script = "_arguments() { print -rl -- \"$@\" }; compdef() { }; source \"$1\"";
    for program in programs() {
        let file = path(&format!("docs/completions/_{}", program.name));
        let told = succeeds(Command::new("zsh").args(["-fc", script, "zsh"]).arg(file));
        for option in &program.options {
            let forms: Vec<String> = told.lines().map(|line| line.split('[').next().unwrap().to_owned()).collect();
            assert!(forms.iter().any(|form| form.contains(&format!("--{}", option.long))), "{}: {told}", option.long);
            if let Some(short) = option.short {
                assert!(
                    forms.iter().any(|form| form.trim_end_matches('+').ends_with(&format!("-{short}"))),
                    "{short}: {told}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs fish: .ci/run runs it"]
fn fish_offers_every_option() {
    for program in programs() {
        let file = path(&format!("docs/completions/{}.fish", program.name));
        let script = format!("source {}; complete -C'{} --'", file.display(), program.name);
        let home = std::env::temp_dir().join(format!("cfp-fish-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let offered = succeeds(Command::new("fish").args(["--no-config", "-c", &script]).env("HOME", &home));
        std::fs::remove_dir_all(&home).unwrap();
        let offered: BTreeSet<&str> = offered.lines().map(|line| line.split('\t').next().unwrap()).collect();
        let expected: BTreeSet<String> = program.options.iter().map(|option| format!("--{}", option.long)).collect();
        assert_eq!(
            offered.iter().map(|offer| offer.trim_end_matches('=')).collect::<BTreeSet<_>>(),
            expected.iter().map(String::as_str).collect()
        );
    }
}
