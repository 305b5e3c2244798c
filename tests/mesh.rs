//! Servers merge into one network: real servers among themselves, and with a server that the test plays byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod support;

#[path = "support/node.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;
#[path = "support/peer.rs"]
mod peer;

#[path = "mesh/admission.rs"]
mod admission;
#[path = "mesh/collisions.rs"]
mod collisions;
#[path = "mesh/faults.rs"]
mod faults;
#[path = "mesh/figures.rs"]
mod figures;
#[path = "mesh/files.rs"]
mod files;
#[path = "mesh/links.rs"]
mod links;
#[path = "mesh/networks.rs"]
mod networks;
#[path = "mesh/packets.rs"]
mod packets;
#[path = "mesh/pressure.rs"]
mod pressure;
#[path = "mesh/routed.rs"]
mod routed;
#[path = "mesh/routed_networks.rs"]
mod routed_networks;
#[path = "mesh/talk.rs"]
mod talk;
#[path = "mesh/updates.rs"]
mod updates;
