//! The borders between the folders of `src/`: what each may import, that the pure part names no kernel, and how long a
//! file may be. `src/lib.rs` and `docs/architecture.md` state the rules; this test checks them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const FILE_MAX_LINES: usize = 500;
/// Longest line, in characters.
const LINE_MAX_CHARS: usize = 125;

/// What each folder (or file) may import of the crate, besides itself. Longest prefix first.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("arguments", &[]),
    ("wire", &["limits"]),
    ("core::time", &["limits"]),
    ("core::state", &["limits", "wire", "core::time"]),
    ("core::output", &["limits", "wire", "core::time"]),
    ("core::session", &["limits", "wire", "core::time", "core::state"]),
    ("core::engine", &["limits", "wire", "core::time", "core::state", "core::output", "core::session"]),
    ("tls", &["limits", "wire", "core"]),
    ("shell", &["limits", "wire", "core", "tls", "arguments"]),
    ("blocking", &["limits", "wire", "tls"]),
    ("conform", &["wire", "blocking", "arguments"]),
    (
        "client",
        &["limits", "wire", "blocking", "tls", "arguments", "shell::regular_file", "shell::stdio", "shell::terminal"],
    ),
    ("bench", &["limits", "wire", "core::time", "core::engine::cipher", "arguments", "shell::stdio", "tls"]),
];

/// Words that would mean a kernel, a clock or chance within the pure part.
const IMPURE: &[&str] = &[
    "mio",
    "Instant",
    "SystemTime",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "getrandom",
    "rustix",
    "socket2",
];

fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The lines of code: without comments, and without the tests of the file.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let is_test_file = path.file_name().is_some_and(|name| name == "tests.rs");
    let code = if is_test_file { "" } else { text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("") };
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n")
}

/// `src/core/engine/input.rs` is `core::engine::input`.
fn module_of(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let path = path.strip_prefix(&root).unwrap().with_extension("");
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    parts.join("::").trim_end_matches("::mod").to_owned()
}

/// Every `crate::…` path in the code, as far as it goes in small letters.
fn imports_of(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path: String = code[at + "crate::".len()..]
            .chars()
            .take_while(|&c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':')
            .collect();
        imports.insert(path.trim_end_matches(':').to_owned());
    }
    imports
}

fn is_within(module: &str, folder: &str) -> bool {
    module == folder || module.strip_prefix(folder).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn each_folder_imports_only_what_its_row_of_the_table_names() {
    let mut wrong = Vec::new();
    let mut seen = BTreeMap::new();
    for path in files_below("src") {
        let module = module_of(&path);
        let Some((folder, allowed)) = MAY_IMPORT.iter().find(|(folder, _)| is_within(&module, folder)) else {
            continue;
        };
        *seen.entry(*folder).or_insert(0) += 1;
        for import in imports_of(&code_of(&path)) {
            let is_allowed = is_within(&import, folder) || allowed.iter().any(|other| is_within(&import, other));
            if !is_allowed {
                wrong.push(format!("{module} imports {import}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(seen.len(), MAY_IMPORT.len(), "a row of the table has no file: {seen:?}");
}

#[test]
fn wire_and_core_name_no_kernel_no_clock_and_no_chance() {
    let mut wrong = Vec::new();
    for path in files_below("src/wire").into_iter().chain(files_below("src/core")) {
        let code = code_of(&path);
        let is_word = |at: usize, word: &str| {
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !is_part(code[..at].chars().next_back()) && !is_part(code[at + word.len()..].chars().next())
        };
        for word in IMPURE {
            if code.match_indices(word).any(|(at, _)| is_word(at, word)) {
                wrong.push(format!("{} names {word}", module_of(&path)));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn only_the_folder_for_tls_names_its_library() {
    let is_outside = |path: &PathBuf| !is_within(&module_of(path), "tls");
    let names = |path: &PathBuf| ["rustls", "webpki"].iter().any(|word| code_of(path).contains(word));
    let wrong: Vec<String> =
        files_below("src").iter().filter(|p| is_outside(p) && names(p)).map(|p| module_of(p)).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_file_is_too_long_to_read_and_no_line_too_wide() {
    let mut wrong = Vec::new();
    for path in ["src", "bin", "tests"].into_iter().flat_map(files_below) {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > FILE_MAX_LINES {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            // A string is not cut for the sake of its line.
            if line.chars().count() > LINE_MAX_CHARS && !line.contains('"') {
                wrong.push(format!("{}:{}: too wide", path.display(), number + 1));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
