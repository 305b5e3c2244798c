//! A file passes from one client to another while a room talks.

use std::time::{Duration, Instant};

use super::paced::Pace;
use super::streams::{Flood, Streams, nothing_else};
use crate::bench::Result;
use crate::bench::connections::Connections;
use crate::bench::protocol::{Protocol, ProtocolKind};
use crate::bench::report::Latencies;
use crate::bench::server::ServerUnderTest;
use crate::limits::CHUNK_BYTES;

/// Chunks written at once.
const BATCH: u64 = 32;
/// Chunks that may be under way: as much as sockets hold.
const UNDER_WAY_MAX: u64 = 4096;

/// Stands in place of a stream if nothing is to be sent meanwhile.
const NOBODY: usize = usize::MAX;

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub struct FilesPlan {
    /// Members of the room, without the file's sender and receiver.
    pub members: usize,
    /// Messages a second in the room.
    pub rate: u64,
    /// Messages in all, in each part.
    pub messages: u64,
}

/// What it gave.
pub struct FilesSample {
    /// Latencies in the room without a file.
    pub room_alone: Latencies,
    /// Latencies in the room with a file.
    pub room_with_file: Latencies,
    /// Bytes of the file in a second, without a room that talks.
    pub file_alone: f64,
    /// Bytes of the file in a second, with a room that talks.
    pub file_with_room: f64,
}

/// Of the floor's connections, the first two must be partners.
pub const PAIRED: usize = 2;

/// Measures the room alone, the file alone, and both.
pub fn files(server: &ServerUnderTest, plan: FilesPlan) -> Result<FilesSample> {
    let protocol = Protocol::open(server)?;
    let mut connections = Connections::to(server)?;
    // Sender and receiver are members of the room too. The floor does not know the end of a chunk, so it cannot have
    // that; two more members make its room as large.
    let first_listener = if server.language == ProtocolKind::Floor { PAIRED } else { 0 };
    let all = first_listener + PAIRED + plan.members;
    connections.join(server.address, all, |member| protocol.hello(member, false))?;
    let mut streams = Streams::default();
    let room = streams.add(protocol.public(PAIRED), PAIRED, first_listener..all, true);
    let file = streams.add(protocol.file(0, 1, u32::MAX)?, 0, 1..2, false);
    let flood = [Flood { stream: file, batch: BATCH, under_way_max: UNDER_WAY_MAX }];
    let interval = Duration::from_nanos(1_000_000_000 / plan.rate.max(1));

    let mut part = |stream, messages, floods: &[Flood]| -> Result<(Latencies, f64)> {
        streams.reset();
        let since = Instant::now();
        let mut paced = [(stream, Pace::new(interval, messages))];
        streams.drive(&mut connections, &mut paced, floods, &mut nothing_else)?;
        let bytes = streams.stream(file).map_or(0, |stream| stream.delivered) * CHUNK_BYTES as u64;
        let latencies = streams.stream(room).map(|stream| stream.latencies.clone());
        Ok((latencies.unwrap_or_else(crate::bench::report::latencies), bytes as f64 / since.elapsed().as_secs_f64()))
    };
    part(room, plan.messages / 10 + 1, &flood)?;
    let (room_alone, _) = part(room, plan.messages, &[])?;
    let (_, file_alone) = part(NOBODY, plan.messages, &flood)?;
    let (room_with_file, file_with_room) = part(room, plan.messages, &flood)?;
    Ok(FilesSample { room_alone, room_with_file, file_alone, file_with_room })
}
