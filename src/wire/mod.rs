//! The protocol's bytes: codes, packets, framing, encoding. Nothing in here knows a connection or a server.
//!
//! ```text
//!  bytes as they come ──▶ Inbox ──▶ one whole packet's bytes ──▶ Packet::decode ──▶ Packet<'_>
//!                          (frame.rs)                             (packet.rs)        borrows from the bytes
//!  Packet::encode ──▶ bytes                                       (encode.rs)
//! ```
//!
//! All integers are unsigned and big-endian. A text is a `u32` byte count and that many bytes of UTF-8.

mod announcement;
mod code;
mod decoder;
mod encode;
mod frame;
mod inbox;
pub(crate) mod listed;
mod nickname;
mod packet;
#[doc(hidden)]
pub mod pool;
#[cfg(feature = "server")]
pub(crate) mod visible;

#[doc(inline)]
pub use crate::limits::{
    CHUNK_BYTES, FILE_NAME_MAX_BYTES, MESSAGE_MAX_BYTES, NETWORK_MAX_SERVERS, NICKNAME_MAX_BYTES, PASSWORD_MAX_BYTES,
};
pub use announcement::{Announcement, chunks_of};
pub use code::Code;
pub use decoder::{Decoder, Unreadable};
pub use nickname::Nickname;
pub use packet::{
    AuthResponse, DeclineReason, Description, Descriptions, ErrorReason, FileChunk, Malformed, Neighbours, Packet,
    RelayHeader, ServerId,
};

// For the server, the client and the tests, which share buffers between connections. No promise.
#[doc(hidden)]
pub use decoder::Frame;
#[doc(hidden)]
pub use encode::{Envelope, RELAY_HEADER_BYTES, forward_header, relay_header};
#[doc(hidden)]
pub use frame::{CutOff, FrameLimits, Scan, Skip, Skipped, scan};
#[doc(hidden)]
pub use inbox::{Inbox, Input};
