//! Changing the users file from several sides at once, and what hangs on the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use support::server::BINARY;
use support::users::{UsersFile, line};

fn begin(arguments: &[&str]) -> Child {
    let mut command = Command::new(BINARY);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"open sesame\n").unwrap();
    child
}

fn must_succeed(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn nicknames(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut names: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(':').unwrap().0.to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn eight_users_who_are_added_at_once_are_all_there() {
    let names: Vec<String> = (0..8).map(|i| format!("user{i}")).collect();
    for is_there in [true, false] {
        let users = UsersFile::of_text("");
        if !is_there {
            fs::remove_file(users.path()).unwrap();
        }
        let children: Vec<Child> =
            names.iter().map(|name| begin(&["--users", users.path(), "--add-user", name])).collect();
        children.into_iter().for_each(must_succeed);
        assert_eq!(nicknames(users.path()), names);
    }
}

#[test]
fn who_adds_and_who_removes_at_once_are_both_heard() {
    let old: Vec<String> = (0..4).map(|i| format!("old{i}")).collect();
    let users = UsersFile::of_text(&old.iter().map(|name| line(name, "x")).collect::<String>());
    let add = (0..4).map(|i| begin(&["--users", users.path(), "--add-user", &format!("new{i}")]));
    let children: Vec<Child> =
        add.chain(old.iter().map(|name| begin(&["--users", users.path(), "--remove-user", name]))).collect();
    children.into_iter().for_each(must_succeed);
    assert_eq!(nicknames(users.path()), ["new0", "new1", "new2", "new3"]);
}

#[test]
fn one_who_was_killed_while_writing_leaves_nothing_in_the_way() {
    let users = UsersFile::of_text("");
    let path = Path::new(users.path());
    let left_over = path.with_file_name(format!(".{}.cfp-new", path.file_name().unwrap().to_str().unwrap()));
    fs::write(&left_over, "half a li").unwrap();
    must_succeed(begin(&["--users", users.path(), "--add-user", "ana"]));
    assert_eq!(nicknames(users.path()), ["ana"]);
    assert!(!left_over.exists());
}

#[test]
fn a_file_that_holds_the_lock_for_ever_is_given_up_on() {
    let users = UsersFile::of_text("");
    let holder = fs::File::open(users.path()).unwrap();
    rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let output = begin(&["--users", users.path(), "--add-user", "ana"]).wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1));
    assert!(stderr.contains("is being changed by another process"), "{stderr}");
}

/// A POSIX access list as Linux keeps it: version 2, then for each entry a tag, permissions and an ID.
fn access_list(user: u32) -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let nobody = u32::MAX;
    let entries =
        [entry(1, 6, nobody), entry(2, 4, user), entry(4, 0, nobody), entry(0x10, 4, nobody), entry(0x20, 0, nobody)];
    [2_u32.to_le_bytes().to_vec(), entries.concat()].concat()
}

#[test]
#[ignore = "needs a temporary folder with access lists and extended attributes: .ci/run runs it"]
fn access_lists_and_other_attributes_are_kept() {
    let users = UsersFile::of_text("");
    let attributes = [("system.posix_acl_access", access_list(65_534)), ("user.backup", b"daily".to_vec())];
    for (name, value) in &attributes {
        setxattr(users.path(), *name, value, XattrFlags::empty()).unwrap();
    }
    must_succeed(begin(&["--users", users.path(), "--add-user", "ana"]));
    for (name, value) in attributes {
        let mut buffer = [0; 256];
        let length = getxattr(users.path(), name, &mut buffer).unwrap();
        assert_eq!(buffer[..length], value, "{name}");
    }
}

#[test]
#[ignore = "needs a temporary folder with access lists: .ci/run runs it"]
fn an_access_list_that_the_folder_gives_to_new_files_is_not_taken_over() {
    let folder = node::fresh_path("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("users");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    setxattr(&folder, "system.posix_acl_default", &access_list(65_534), XattrFlags::empty()).unwrap();
    must_succeed(begin(&["--users", path.to_str().unwrap(), "--add-user", "ana"]));
    let list = getxattr(&path, "system.posix_acl_access", &mut [0; 256]);
    assert_eq!(list, Err(rustix::io::Errno::NODATA));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o7777, 0o640);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_byte_order_mark_does_not_make_a_second_line_for_the_same_user() {
    let users = UsersFile::of_text(&format!("\u{feff}{}", line("maria", "x")));
    must_succeed(begin(&["--users", users.path(), "--add-user", "maria"]));
    assert_eq!(nicknames(users.path()), ["maria"]);
}

#[test]
fn a_link_that_leads_nowhere_and_a_folder_that_is_not_there_are_named() {
    let link = node::fresh_path("link");
    std::os::unix::fs::symlink("/nowhere/users", &link).unwrap();
    let missing = node::fresh_path("folder").join("users");
    for (path, says) in [(&link, "No such file"), (&missing, "No such file")] {
        let path = path.to_str().unwrap();
        let output = begin(&["--users", path, "--add-user", "ana"]).wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(path) && (stderr.contains(says) || stderr.contains("leads nowhere")), "{stderr}");
    }
    fs::remove_file(&link).unwrap();
}
