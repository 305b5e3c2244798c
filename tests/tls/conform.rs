//! The conformance kit with TLS.

use std::ffi::OsString;

use cfp::conform::{Fault, run, server_cases};
use serde_json::Value;

use crate::certificates::{Folder, slices};
use crate::support::Server;
use crate::support::users::UsersFile;

fn kit(place: &str, more: &[&str]) -> Result<(bool, Value), String> {
    let arguments = [&["--json", place, "--id", "7", "--port", "0", "--patience", "60"], more].concat();
    let mut out = Vec::new();
    match run(arguments.into_iter().map(OsString::from), &mut out) {
        Ok(is_fine) => Ok((is_fine, serde_json::from_slice(&out).unwrap())),
        Err(Fault::Usage(text) | Fault::Run(text)) => Err(text),
    }
}

#[test]
#[ignore = "needs openssl: .ci/run runs it"]
fn everything_that_is_run_holds_for_our_server_with_tls_and_the_right_server_is_recognised() {
    let (folder, users) = (Folder::new(), UsersFile::new(&[("maria", "open sesame")]));
    let options = folder.options("cert");
    let server = Server::start(&[&slices(&options), &["--require-tls", "--users", users.path()][..]].concat());
    let (place, ca) = (format!("localhost:{}", server.address().port()), folder.path("cert.pem"));
    let (is_fine, result) =
        kit(&place, &["--tls", "--ca", &ca, "--user", "maria", "--password", "open sesame"]).unwrap();
    let wrong = |case: &&Value| !["ok", "skipped"].contains(&case["verdict"].as_str().unwrap());
    assert_eq!(result["cases"].as_array().unwrap().iter().find(wrong), None);
    // What needs a second server or a minute is not run.
    let ok = result["summary"]["ok"].as_u64().unwrap() as usize;
    assert!(is_fine && ok > server_cases().len() * 2 / 3, "{}", result["summary"]);

    let line = server.wait_for_log("sha256 ");
    let fingerprint = line.rsplit(' ').next().unwrap().to_owned();
    let one_case = ["--tls", "--case", "3.1", "--fingerprint"];
    let (is_fine, _) = kit(&place, &[&one_case[..], &[&fingerprint]].concat()).unwrap();
    assert!(is_fine);
    let error = kit(&place, &[&one_case[..], &[&"ab".repeat(32)]].concat()).unwrap_err();
    assert!(error.contains("fingerprint"), "{error}");
    let other = Folder::new();
    let error = kit(&place, &["--tls", "--ca", &other.path("cert.pem")]).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    assert!(kit(&place, &["--case", "3.1"]).is_ok_and(|(is_fine, _)| !is_fine), "without TLS, it is closed");
}

#[test]
fn options_for_tls_that_do_not_fit_each_other_are_said() {
    for (arguments, part) in [
        (&["--tls"][..], "--ca FILE or --fingerprint SHA256"),
        (&["--ca", "x"], "need --tls"),
        (&["--fingerprint", "x"], "need --tls"),
        (&["--tls", "--ca", "x", "--fingerprint", "x"], "one of them"),
        (&["--tls", "--fingerprint", "x"], "64 hexadecimal digits"),
        (&["--tls", "--ca", "/nowhere"], "/nowhere"),
    ] {
        let error = kit("localhost:1", arguments).unwrap_err();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}
