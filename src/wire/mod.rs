//! The protocol's bytes: codes, packets, framing, encoding. Nothing in here knows a connection or a server.
//!
//! ```text
//!  bytes as they come ──▶ Inbox ──▶ one whole packet's bytes ──▶ Packet::decode ──▶ Packet<'_>
//!                          (frame.rs)                             (packet.rs)        borrows from the bytes
//!  Packet::encode ──▶ bytes                                       (encode.rs)
//! ```
//!
//! All integers are unsigned and big-endian. A text is a `u32` byte count and that many bytes of UTF-8.

mod code;
mod encode;
mod frame;
mod inbox;
pub(crate) mod listed;
mod nickname;
mod packet;
pub mod pool;

pub use code::Code;
pub use encode::forward_header;
pub use frame::{FrameLimits, Scan, Skip, Skipped, scan};
pub use inbox::{Inbox, Input};
pub use nickname::Nickname;
pub use packet::{
    AuthResponse, DeclineReason, Description, Descriptions, ErrorReason, FileChunk, Malformed, Packet, ServerId,
};
