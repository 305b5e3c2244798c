//! Cases of a server. The kit is its clients, and its siblings.

mod bench;
mod decisions_client;
mod decisions_framing;
mod decisions_login;
mod decisions_merge;
mod decisions_routed;
mod errors;
mod files;
mod login;
mod merge;
mod messages;
mod overview;

pub use bench::{Bench, Setup, Target};

use super::case::Case;
use crate::wire::Code;

/// Every case of a server: by the sections of the RFC, then by the numbers of the decisions.
pub fn cases() -> Vec<&'static Case<Bench>> {
    let groups: [&'static [Case<Bench>]; 11] = [
        overview::CASES,
        login::CASES,
        messages::CASES,
        files::CASES,
        merge::CASES,
        errors::CASES,
        decisions_framing::CASES,
        decisions_login::CASES,
        decisions_client::CASES,
        decisions_merge::CASES,
        decisions_routed::CASES,
    ];
    let mut cases: Vec<&'static Case<Bench>> = groups.into_iter().flatten().collect();
    cases.sort_by_key(|case| case.place());
    cases
}

/// A code and its fields, whatever they are.
fn raw(code: Code, fields: &[&[u8]]) -> Vec<u8> {
    [&[code.byte()][..], &fields.concat()].concat()
}

/// A text as packets have it.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// Bytes that no UTF-8 has.
const NOT_UTF8: &[u8] = b"\xC3\x28";
