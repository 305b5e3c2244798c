//! The commands that keep the users file: `--hash-password`, `--add-user`, `--remove-user`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cfp::wire::{AuthResponse, Packet};
use support::Server;
use support::server::BINARY;
use support::users::{UsersFile, line};

/// Runs to the end, with this on standard input.
fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn add(file: &str, nickname: &str, password: &str) -> String {
    let output = run(&["--users", file, "--add-user", nickname], &format!("{password}\n"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn remove(file: &str, nickname: &str) -> Output {
    run(&["--users", file, "--remove-user", nickname], "")
}

/// The one line that names the mistake.
fn problem(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(stderr.starts_with("cfp-server: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn expect_login(server: &Server, nickname: &str, password: &str, response: AuthResponse) {
    let mut client = server.connect();
    client.send(&Packet::AuthUsr { nickname, password });
    client.expect(&Packet::AuthRsp { response });
}

#[test]
fn a_user_who_is_added_logs_in_and_one_who_is_removed_does_not() {
    let users = UsersFile::of_text("");
    let path = users.path();
    assert!(add(path, "maria", "open sesame").contains("is added"));
    assert!(add(path, "a:b", "other").contains("is added"));
    assert!(add(path, "maria", "another").contains("has another password"));
    let server = Server::start(&["--users", path]);
    expect_login(&server, "maria", "open sesame", AuthResponse::WrongPassword);
    expect_login(&server, "maria", "another", AuthResponse::Accepted);
    expect_login(&server, "a:b", "other", AuthResponse::Accepted);
    assert!(remove(path, "maria").status.success());
    let server = Server::start(&["--users", path]);
    expect_login(&server, "maria", "another", AuthResponse::WrongPassword);
    expect_login(&server, "a:b", "other", AuthResponse::Accepted);
}

#[test]
fn an_edit_keeps_the_permissions_the_comments_and_everybody_elses_line() {
    let (maria, zoe) = (line("maria", "open sesame"), line("zoe", "secret"));
    let users = UsersFile::of_text(&format!("# ours\n\n{maria}{zoe}"));
    fs::set_permissions(users.path(), Permissions::from_mode(0o640)).unwrap();
    // Through a link, which stays one.
    let link = format!("{}-link", users.path());
    std::os::unix::fs::symlink(users.path(), &link).unwrap();
    add(&link, "ana", "x");
    let text = fs::read_to_string(users.path()).unwrap();
    let ana = text.strip_prefix(&format!("# ours\n\n{maria}{zoe}")).expect(&text);
    assert!(ana.starts_with("ana:$pbkdf2-sha256$i=600000,l=32$") && ana.lines().count() == 1, "{text}");
    assert!(remove(&link, "maria").status.success());
    assert_eq!(fs::read_to_string(users.path()).unwrap(), format!("# ours\n\n{zoe}{ana}"));
    assert_eq!(mode(users.path()), 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    fs::remove_file(&link).unwrap();
    // Nothing is left beside it.
    let (folder, name) = (Path::new(users.path()).parent().unwrap(), Path::new(users.path()).file_name().unwrap());
    let prefix = format!("{}.", name.to_str().unwrap());
    assert!(
        !fs::read_dir(folder).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(&prefix))
    );
}

#[test]
fn a_users_file_that_is_not_there_is_made_for_its_owner_alone() {
    let users = UsersFile::of_text("");
    fs::remove_file(users.path()).unwrap();
    problem(&remove(users.path(), "maria"));
    assert!(!Path::new(users.path()).exists());
    add(users.path(), "maria", "open sesame");
    assert_eq!(mode(users.path()), 0o600);
}

#[test]
fn a_file_that_is_not_good_stays_as_it_is() {
    let text = format!("{}no colon\n", line("maria", "open sesame"));
    let users = UsersFile::of_text(&text);
    let added = run(&["--users", users.path(), "--add-user", "ana"], "x\n");
    for output in [added, remove(users.path(), "maria")] {
        assert!(problem(&output).contains("line 2"), "{output:?}");
        assert_eq!(fs::read_to_string(users.path()).unwrap(), text);
    }
    users.write(&[("maria", "open sesame")]);
    assert!(problem(&remove(users.path(), "ana")).contains("\"ana\" is not in it"));
}

#[test]
fn an_empty_password_is_refused() {
    let users = UsersFile::of_text("");
    for input in ["", "\n", "\r\n"] {
        for command in [vec!["--hash-password", "ana"], vec!["--users", users.path(), "--add-user", "ana"]] {
            assert!(problem(&run(&command, input)).contains("the password is empty"), "{command:?} {input:?}");
        }
    }
    assert_eq!(fs::read_to_string(users.path()).unwrap(), "");
}

#[test]
fn hash_password_says_how_long_one_check_takes_apart_from_the_line() {
    let output = run(&["--hash-password", "ana"], "secret\n");
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.starts_with("ana:$pbkdf2-sha256$") && stdout.lines().count() == 1, "{stdout}");
    assert!(stderr.contains("one check of this password takes ") && stderr.contains(" ms "), "{stderr}");
}

#[test]
fn a_users_file_that_everybody_can_read_is_warned_about() {
    let users = UsersFile::new(&[("maria", "open sesame")]);
    let warning = "everybody on this machine can read it";
    let check = || run(&["--check", "--id", "7", "--users", users.path()], "");
    assert!(check().stderr.is_empty());
    fs::set_permissions(users.path(), Permissions::from_mode(0o644)).unwrap();
    assert!(String::from_utf8_lossy(&check().stderr).contains(warning));
    Server::start(&["--users", users.path()]).wait_for_log(warning);
}
