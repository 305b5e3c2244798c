//! The connection itself.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek};
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::event::{Event, Person};
use super::files::Files;
use super::login::{Login, LoginError};
use super::packets::{PacketStream, Reading, dial};
#[cfg(feature = "tls")]
use super::secure::{Opener, Trust};
use super::stream::Stream;
use crate::limits::{
    BOT_AHEAD_BYTES, BOT_CONNECT_MS, BOT_LOGIN_MS, CHUNK_BYTES, FILE_NAME_MAX_BYTES, MESSAGE_CEILING_BYTES,
    MESSAGE_MAX_BYTES, NICKNAME_MAX_BYTES,
};
use crate::wire::{Announcement, FileChunk, FrameLimits, Packet, ServerId, chunks_of};

const CONNECT_PATIENCE: Duration = Duration::from_millis(BOT_CONNECT_MS);

/// What [`Connection::next_event_within`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(Event),
    /// Nothing came in that time.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// A connection that is logged in.
pub struct Connection {
    packets: PacketStream<Box<dyn Stream>>,
    events: Events,
    next_transfer_id: u32,
    is_ended: bool,
}

/// What is made of packets that come.
struct Events {
    /// Read while something was sent. Bounded: nothing more is read ahead past [`BOT_AHEAD_BYTES`].
    ahead: VecDeque<Event>,
    ahead_bytes: usize,
    nickname: String,
    server: Option<ServerId>,
    files: Option<Files>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Events { nickname, server, .. } = &self.events;
        f.debug_struct("Connection").field("nickname", nickname).field("server", server).finish()
    }
}

impl Connection {
    /// Connects and logs in. Each address of the name is tried in turn, for 10 s; the answer to the login may take 60 s,
    /// since a busy server checks passwords one after the other.
    ///
    /// # Errors
    /// Why there is no connection.
    pub fn connect(server: impl ToSocketAddrs, login: Login<'_>) -> Result<Connection, LoginError> {
        let stream = dial(server, CONNECT_PATIENCE).map_err(LoginError::Unreachable)?;
        Connection::log_in(Box::new(stream), login)
    }

    /// Connects with TLS 1.3 to the server at `HOST:PORT`, and logs in. There is no way back to a connection without TLS.
    ///
    /// ```no_run
    /// # use cfp::blocking::{Connection, Login, LoginError, Trust};
    /// # fn main() -> Result<(), LoginError> {
    /// let trust = Trust::File("/etc/ssl/certs/ca-certificates.crt".as_ref());
    /// let login = Login::User { nickname: "clock", password: "open sesame" };
    /// let connection = Connection::connect_tls("chat.example:7777", login, trust)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Why there is no connection: also [`LoginError::Unreachable`] if the file can't be used, or if it is not the right
    /// server.
    #[cfg(feature = "tls")]
    pub fn connect_tls(server: &str, login: Login<'_>, trust: Trust<'_>) -> Result<Connection, LoginError> {
        let open = || Opener::new(server, trust)?.open(dial(server, CONNECT_PATIENCE)?);
        Connection::log_in(Box::new(open().map_err(LoginError::Unreachable)?), login)
    }

    /// Logs in over a connection that is there. For the conformance kit. No promise.
    ///
    /// # Errors
    /// Why we are not in.
    #[doc(hidden)]
    pub fn log_in(stream: Box<dyn Stream>, login: Login<'_>) -> Result<Connection, LoginError> {
        let (Login::Guest(nickname) | Login::User { nickname, .. }) = login;
        let limits = FrameLimits { message_max_bytes: MESSAGE_CEILING_BYTES, ..FrameLimits::DEFAULT };
        let mut packets = PacketStream::new(stream, limits);
        packets.log_in(login, Duration::from_millis(BOT_LOGIN_MS))?;
        let nickname = nickname.to_owned();
        Ok(Connection {
            packets,
            // Random, because transfers of an earlier run of the same bot may still be under way.
            next_transfer_id: RandomState::new().hash_one(&nickname) as u32,
            events: Events { ahead: VecDeque::new(), ahead_bytes: 0, nickname, server: None, files: None },
            is_ended: false,
        })
    }

    /// The nickname that was logged in.
    pub fn nickname(&self) -> &str {
        &self.events.nickname
    }

    /// The ID of the server that we are connected to. The protocol tells it only with a public message of our own: it is
    /// known once one has come back.
    pub fn server(&self) -> Option<ServerId> {
        self.events.server
    }

    /// From now on, files are received, into memory: at most `max_bytes` for all of them together. Before that, and beyond
    /// it, chunks are passed over.
    pub fn accept_files(&mut self, max_bytes: usize) {
        self.events.files = Some(Files::new(max_bytes));
    }

    /// Sends a public message.
    ///
    /// # Errors
    /// `InvalidInput` for a text of more than 65,536 bytes, and whatever the socket reports.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        check(text.len() <= MESSAGE_MAX_BYTES, "a message has at most 65,536 bytes")?;
        self.send(&Packet::MsgPbl { message: text })
    }

    /// Says something to one person. If it can't be delivered, [`Event::Undelivered`] comes later.
    ///
    /// # Errors
    /// As [`Connection::say`]; also `InvalidInput` for a nickname of more than 64 bytes.
    pub fn tell(&mut self, to: &Person, text: &str) -> io::Result<()> {
        check(text.len() <= MESSAGE_MAX_BYTES, "a message has at most 65,536 bytes")?;
        check(to.nickname.len() <= NICKNAME_MAX_BYTES, "a nickname has at most 64 bytes")?;
        self.send(&Packet::MsgPrv { destination: to.server, receiver: &to.nickname, message: text })
    }

    /// Sends a file: an announcement with its size and SHA-256, then its chunks. `content` is read twice.
    ///
    /// # Errors
    /// As [`Connection::tell`]. Also `InvalidInput` for an empty name, for one of more than 255 bytes, and for a content of
    /// more than 4 TiB; `InvalidData` if the content changes between the two readings; and what reading it reports. After
    /// an error in the middle the receiver waits for the rest in vain: the protocol can't take back a transfer.
    pub fn send_file(&mut self, to: &Person, name: &str, mut content: impl Read + Seek) -> io::Result<()> {
        check(!name.is_empty() && name.len() <= FILE_NAME_MAX_BYTES, "a file name has 1 to 255 bytes")?;
        let start = content.stream_position()?;
        let mut hash = Sha256::new();
        let (mut size, mut buffer) = (0_u64, [0; 64 * CHUNK_BYTES]);
        loop {
            let count = read_fully(&mut content, &mut buffer)?;
            if count == 0 {
                break;
            }
            size += count as u64;
            hash.update(buffer.get(..count).unwrap_or_default());
        }
        content.seek(io::SeekFrom::Start(start))?;
        let chunks = chunks_of(size).ok_or_else(|| invalid("a file has at most 4 TiB"))?;
        let transfer_id = self.next_transfer_id;
        self.next_transfer_id = transfer_id.wrapping_add(1);
        let announcement = Announcement { name: name.to_owned(), size, sha256: hash.finalize().into(), transfer_id };
        self.tell(to, &announcement.to_string())?;
        let (mut rest, mut bytes) = (size, Vec::new());
        for _ in 0..chunks {
            let mut chunk = [0; CHUNK_BYTES];
            let count = read_fully(&mut content, &mut chunk)?;
            if count as u64 != rest.min(CHUNK_BYTES as u64) {
                return Err(io::Error::new(ErrorKind::InvalidData, "the file changed while it was sent"));
            }
            rest -= count as u64;
            let chunk = FileChunk { transfer_id, file_name: name, chunks, content: &chunk };
            bytes.clear();
            Packet::FileChnk { destination: to.server, receiver: &to.nickname, chunk }.encode(&mut bytes);
            self.write(&bytes)?;
        }
        Ok(())
    }

    /// Sends one packet as it is, for what the other calls don't offer.
    ///
    /// # Errors
    /// Whatever the socket reports.
    pub fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.write(&bytes)
    }

    /// Waits for the next event. `None`: the server has closed the connection.
    ///
    /// # Errors
    /// Whatever the socket reports; `InvalidData` if the server's bytes can't be followed any more.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            match self.event_within(None)? {
                Next::Event(event) => return Ok(Some(event)),
                Next::Nothing => {}
                Next::Closed => return Ok(None),
            }
        }
    }

    /// Waits for the next event, for so long at the most.
    ///
    /// # Errors
    /// As [`Connection::next_event`].
    pub fn next_event_within(&mut self, patience: Duration) -> io::Result<Next> {
        self.event_within(Some(Instant::now() + patience))
    }

    /// Leaves: what was sent is handled, then the server closes. Events that are still on their way are dropped.
    ///
    /// # Errors
    /// Whatever the socket reports before the server has everything.
    pub fn leave(mut self) -> io::Result<()> {
        self.packets.stream().shut_sending_side()?;
        while self.next_event()?.is_some() {}
        Ok(())
    }

    fn event_within(&mut self, end: Option<Instant>) -> io::Result<Next> {
        if let Some(event) = self.events.pop_ahead() {
            return Ok(Next::Event(event));
        }
        loop {
            if let Some(event) = self.events.next(&mut self.packets)? {
                return Ok(Next::Event(event));
            }
            if self.is_ended {
                return Ok(Next::Closed);
            }
            match self.packets.read(end.map(|end| end.saturating_duration_since(Instant::now())))? {
                Reading::Some => {}
                Reading::Nothing => return Ok(Next::Nothing),
                Reading::End => self.is_ended = true,
            }
        }
    }

    /// Writes all of it. If the server takes nothing, this reads what the server sends, so that neither side waits for
    /// the other.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Connection { packets, events, is_ended, .. } = self;
        packets.write(bytes, |packets| {
            if *is_ended || events.ahead_bytes >= BOT_AHEAD_BYTES {
                return Ok(());
            }
            *is_ended = packets.read(Some(Duration::ZERO))? == Reading::End;
            while let Some(event) = events.next(packets)? {
                events.push_ahead(event);
            }
            Ok(())
        })
    }
}

impl Events {
    /// The next event of what was read.
    fn next(&mut self, packets: &mut PacketStream<Box<dyn Stream>>) -> io::Result<Option<Event>> {
        let decoder = packets.decoder();
        loop {
            let frame = decoder.next_frame();
            // No server allows so much, not even in a later field of a packet that is skipped.
            if decoder.skipped_field_bytes() > MESSAGE_CEILING_BYTES as u64 {
                let lost = "the server announces a field that no server allows: the stream is out of frame";
                return Err(io::Error::new(ErrorKind::InvalidData, lost));
            }
            let Some(frame) = frame else { return Ok(None) };
            if let Some(event) = decoder.packet(&frame).ok().and_then(|packet| self.event_of(packet)) {
                return Ok(Some(event));
            }
        }
    }

    fn event_of(&mut self, packet: Packet<'_>) -> Option<Event> {
        match packet {
            Packet::MsgPblInc { origin, sender, message } => {
                // A nickname is there once on a server, but others may have it on other servers.
                if sender == self.nickname && self.server.is_none() {
                    self.server = Some(origin);
                }
                Some(Event::Public { from: Person::new(sender, origin), text: message.to_owned() })
            }
            Packet::MsgPrvInc { origin, sender, message, .. } => {
                let from = Person::new(sender, origin);
                if let (Some(files), Some(announcement)) = (&mut self.files, Announcement::parse(message)) {
                    files.on_announcement(&from, announcement);
                }
                Some(Event::Private { from, text: message.to_owned() })
            }
            Packet::FileChnkInc { origin, sender, chunk, .. } => {
                self.files.as_mut()?.on_chunk(Person::new(sender, origin), &chunk).map(Event::File)
            }
            Packet::Error { reason, .. } => Some(Event::Undelivered { reason }),
            _ => None,
        }
    }

    fn push_ahead(&mut self, event: Event) {
        self.ahead_bytes += event_bytes(&event);
        self.ahead.push_back(event);
    }

    fn pop_ahead(&mut self) -> Option<Event> {
        let event = self.ahead.pop_front()?;
        self.ahead_bytes = self.ahead_bytes.saturating_sub(event_bytes(&event));
        Some(event)
    }
}

/// What an event costs in memory, about.
fn event_bytes(event: &Event) -> usize {
    size_of::<Event>()
        + match event {
            Event::Public { from, text } | Event::Private { from, text } => from.nickname.len() + text.len(),
            Event::File(file) => file.content.len(),
            Event::Undelivered { .. } => 0,
        }
}

/// Fills the buffer, or comes to the end.
fn read_fully(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn check(is_valid: bool, rule: &str) -> io::Result<()> {
    if is_valid { Ok(()) } else { Err(invalid(rule)) }
}

fn invalid(rule: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, rule)
}
