//! One connection to the server: dialling, logging in, and the two threads that read and write it.
//!
//! Login and framing are those of the library (`blocking::PacketStream`). The connection itself is not: two threads share
//! it, so that what is typed is sent while the screen takes nothing, and the reverse.
//!
//! ```text
//!  typed ──▶ Link::say, Link::send_file ──▶ Outbox ──▶ writer thread ──▶ socket
//!  screen, download folder ◀── reader thread ◀── socket
//! ```

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::download::{FileStage, ListedFile, Meant};
use super::limits::{
    CONNECT_MS, GAP_UNACKNOWLEDGED_MS, KEEPALIVE_MS, LOGIN_MS, SHOWN_MESSAGE_MAX_BYTES, UNACKNOWLEDGED_MS,
    UNSENT_MAX_BYTES,
};
use super::outbox::{Message, Outbox};
use super::pending::Pending;
use super::progress::Meter;
use super::recent::{Recent, SentFile};
use super::recipient::Recipient;
use super::screen::Report;
use super::security::{Security, Stream};
use super::upload::{Stamp, Upload};
use super::watch::{Idle, Watch, Watched};
use crate::blocking::{self, Login, LoginError, PacketStream};
use crate::wire::{AuthResponse, Decoder, FrameLimits};

/// A connection that is logged in.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    outbox: Mutex<Outbox<FileUpload>>,
    /// The outbox has a new entry, or room again.
    changed: Condvar,
    recent: Mutex<Recent>,
    files: Mutex<Vec<Weak<Outgoing>>>,
    unsent_files: Mutex<Vec<ListedFile>>,
    pending: Mutex<Pending>,
    watch: Mutex<Watch>,
    is_half_closed: AtomicBool,
    /// The server does not answer: the reader is to end.
    is_gone: AtomicBool,
    /// The reader waits for the server, and not for the screen.
    is_reading: AtomicBool,
}

/// A file from the disk on its way out.
#[derive(Debug)]
pub struct FileUpload {
    /// Its chunks.
    pub chunks: Upload<BufReader<File>>,
    /// What can stop it.
    pub outgoing: Arc<Outgoing>,
    /// The file before it was read for its announcement.
    pub before: Stamp,
}

/// A file that is being prepared or sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Its number, by which the user can name it.
    pub number: u64,
    /// Its receiver.
    pub to: Recipient,
    /// What it is called.
    pub name: String,
    /// The ID of its transfer.
    pub transfer_id: u32,
    /// Once its size is known, that.
    pub bytes: AtomicU64,
    /// Counts how far it is.
    pub meter: Mutex<Weak<Meter>>,
    is_cancelled: AtomicBool,
}

impl Outgoing {
    /// From now on this counts how far it is.
    pub fn count_with(&self, meter: &Arc<Meter>) {
        *self.meter.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(meter);
    }

    fn listed(&self) -> ListedFile {
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        ListedFile {
            number: self.number,
            stage: meter.as_ref().map_or(FileStage::Queued, |meter| FileStage::Moving(meter.direction())),
            done_bytes: meter.map_or(0, |meter| meter.done_bytes()),
            from: self.to.clone(),
            name: self.name.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Whether the user has stopped it.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }
}

/// A file that is to be sent.
#[derive(Debug)]
pub struct NewFile {
    /// Its number, by which the user can name it.
    pub number: u64,
    /// Its receiver.
    pub to: Recipient,
    /// What it is called.
    pub name: String,
    /// The ID of its transfer.
    pub transfer_id: u32,
}

impl Link {
    /// Connects and logs in, as a registered user if there is a password. The decoder has what has come behind the answer.
    ///
    /// # Errors
    /// Why that did not work.
    pub fn open(
        server: &str,
        security: &Security,
        nickname: &str,
        password: Option<&str>,
    ) -> Result<(Link, Decoder), LoginError> {
        let stream = dial(server).and_then(|tcp| security.secure(tcp)).map_err(LoginError::Unreachable)?;
        let login = match password {
            Some(password) => Login::User { nickname, password },
            None => Login::Guest(nickname),
        };
        let limits = FrameLimits { message_max_bytes: SHOWN_MESSAGE_MAX_BYTES, ..FrameLimits::DEFAULT };
        let mut packets = PacketStream::new(&stream, limits);
        packets.log_in(login, Duration::from_millis(LOGIN_MS))?;
        let decoder = packets.into_decoder();
        // The writer waits as long as the server lets it.
        stream.tcp().set_write_timeout(None).map_err(LoginError::Unreachable)?;
        let link = Link {
            stream,
            outbox: Mutex::default(),
            changed: Condvar::new(),
            recent: Mutex::default(),
            files: Mutex::default(),
            unsent_files: Mutex::default(),
            pending: Mutex::default(),
            watch: Mutex::default(),
            is_half_closed: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            is_reading: AtomicBool::new(false),
        };
        Ok((link, decoder))
    }

    /// Queues a message. If there is no room, it waits if it may.
    ///
    /// # Errors
    /// The message, if it was not queued.
    pub fn say(&self, message: Message, may_wait: bool, now_ms: u64) -> Result<(), Message> {
        let outbox = self.outbox_when(may_wait, Outbox::has_room);
        match outbox {
            Some(mut outbox) => {
                self.pending().on_queued(&message, now_ms);
                outbox.push(message);
                self.changed.notify_all();
                Ok(())
            }
            None => Err(message),
        }
    }

    /// Takes a place for a file. If there is none, it waits if it may; `None` if there was none.
    pub fn reserve_upload(&self, file: NewFile, may_wait: bool) -> Option<Arc<Outgoing>> {
        self.outbox_when(may_wait, Outbox::has_upload_room)?.reserve_upload();
        let NewFile { number, to, name, transfer_id } = file;
        let (bytes, meter, is_cancelled) = (AtomicU64::new(0), Mutex::default(), AtomicBool::new(false));
        let outgoing = Arc::new(Outgoing { number, to, name, transfer_id, bytes, meter, is_cancelled });
        let mut files = self.outgoing();
        files.retain(|known| known.strong_count() > 0);
        files.push(Arc::downgrade(&outgoing));
        Some(outgoing)
    }

    /// Files that are being prepared or sent.
    pub fn files(&self) -> Vec<ListedFile> {
        let all = self.outgoing().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        all.iter().filter(|outgoing| !outgoing.is_cancelled()).map(|outgoing| outgoing.listed()).collect()
    }

    /// Stops those that match.
    pub fn cancel_files(&self, meant: &Meant, now_ms: u64) {
        let all = self.outgoing().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        for outgoing in all.iter().filter(|outgoing| meant.is(outgoing.number, &outgoing.to, &outgoing.name)) {
            outgoing.is_cancelled.store(true, Ordering::Release);
            self.outbox().cancel(outgoing.transfer_id);
            self.recent().on_file_cancelled(outgoing.transfer_id, now_ms);
        }
        self.notify();
    }

    fn outgoing(&self) -> MutexGuard<'_, Vec<Weak<Outgoing>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files on their way out, including those that are being prepared.
    pub fn uploads_len(&self) -> usize {
        self.outbox().uploads_len()
    }

    /// Sends the queue, then closes the sending side.
    pub fn finish(&self) {
        self.outbox().finish();
        self.changed.notify_all();
    }

    /// Closes the connection at once.
    pub fn close(&self) {
        // It may be closed already.
        let _ = self.stream.tcp().shutdown(Shutdown::Both);
        self.stop();
    }

    /// Whether everything was sent and our sending side is closed.
    pub fn is_half_closed(&self) -> bool {
        self.is_half_closed.load(Ordering::Acquire)
    }

    /// Whether the connection is known to be gone.
    pub fn is_stopped(&self) -> bool {
        self.outbox().is_stopped()
    }

    /// Own messages that have not come back.
    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server is still there.
    pub fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fence came back. Returns whether it was of this connection.
    pub fn on_fence(&self, number: u64, now_ms: u64) -> bool {
        let was_pending = self.pending().on_fence(number);
        self.recent().on_fence(number, now_ms) || was_pending
    }

    /// Ends a connection whose server does not answer.
    pub fn give_up(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.close();
    }

    /// Says whether the reader waits for the server.
    pub fn set_reading(&self, is_reading: bool) {
        self.is_reading.store(is_reading, Ordering::Release);
    }

    /// Looks after the connection: asks whether the server is there, whether it has handled what was sent, and gives the
    /// connection up if there is no answer.
    pub fn on_tick(&self, own: Option<Recipient>, nickname: &str, now_ms: u64) {
        let is_idle = self.outbox().is_idle() && !self.is_half_closed();
        let is_quiet = self.recent().is_quiet(now_ms);
        let is_reading = self.is_reading.load(Ordering::Acquire);
        let watched = self.watch().on_tick(now_ms, Idle { is_reading, is_idle, is_quiet });
        match watched {
            Watched::Fine => {}
            // A server has a number that operators choose, so nobody has this one.
            Watched::Ask => {
                self.say_quietly(Message::Probe(nickname.to_owned(), getrandom::u32().unwrap_or(u32::MAX)), now_ms)
            }
            Watched::Gone => return self.give_up(),
            Watched::Hasten => self.wait_for_acknowledgement(GAP_UNACKNOWLEDGED_MS),
            Watched::Relax => self.wait_for_acknowledgement(UNACKNOWLEDGED_MS),
        }
        let wants_fence = {
            let mut pending = self.pending();
            pending.on_time(now_ms);
            pending.wants_fence(now_ms)
        };
        if let (Some(own), Ok(number), true) = (own, getrandom::u64(), wants_fence && is_idle) {
            self.say_quietly(Message::Fence(number, own), now_ms);
        }
    }

    fn wait_for_acknowledgement(&self, ms: u32) {
        // If it can't be set, it stays as it was.
        let _ = socket2::SockRef::from(self.stream.tcp()).set_tcp_user_timeout(Some(Duration::from_millis(ms.into())));
    }

    fn say_quietly(&self, message: Message, now_ms: u64) {
        // If there is no room, it is not idle.
        let _ = self.say(message, false, now_ms);
    }

    /// Whether it ended because the server did not answer.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox<FileUpload>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the outbox has changed.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until the outbox has changed.
    pub(super) fn wait<'a>(&self, outbox: MutexGuard<'a, Outbox<FileUpload>>) -> MutexGuard<'a, Outbox<FileUpload>> {
        self.changed.wait(outbox).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, and for this time at most.
    pub(super) fn wait_for<'a>(
        &self,
        outbox: MutexGuard<'a, Outbox<FileUpload>>,
        wait_ms: u64,
    ) -> MutexGuard<'a, Outbox<FileUpload>> {
        let waited = self.changed.wait_timeout(outbox, Duration::from_millis(wait_ms));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What was not sent when the connection ended, a line each.
    pub fn unsent(&self) -> Vec<Report> {
        let files = std::mem::take(&mut *self.unsent_files.lock().unwrap_or_else(PoisonError::into_inner));
        let messages = self.pending().on_lost().into_iter().map(|line| Report::about(line, "lost", Vec::new()));
        let files = files.into_iter().map(|ListedFile { from: to, name, number, .. }| {
            let line = format!("not sent: \"{}\" to {to}: the connection was lost", super::escape::Visible(&name));
            Report::about(line, "file_not_sent", SentFile { to, name, number }.fields())
        });
        messages.chain(files).collect()
    }

    /// Ends the writer.
    fn stop(&self) {
        let files = self.files();
        let mut unsent = self.unsent_files.lock().unwrap_or_else(PoisonError::into_inner);
        self.outbox().stop();
        if unsent.is_empty() {
            *unsent = files;
        }
        self.changed.notify_all();
    }

    /// Closes the sending side.
    pub(super) fn half_close(&self) -> io::Result<()> {
        // Said first: the server may close its side before this returns, and then it is no loss.
        self.is_half_closed.store(true, Ordering::Release);
        self.stream.shutdown_write()
    }

    /// The outbox, once it has room and its connection is there.
    fn outbox_when(
        &self,
        may_wait: bool,
        has_room: impl Fn(&Outbox<FileUpload>) -> bool,
    ) -> Option<MutexGuard<'_, Outbox<FileUpload>>> {
        let mut outbox = self.outbox();
        while may_wait && !outbox.is_stopped() && !has_room(&outbox) {
            outbox = self.wait(outbox);
        }
        (!outbox.is_stopped() && has_room(&outbox)).then_some(outbox)
    }
}

fn dial(server: &str) -> io::Result<TcpStream> {
    let tcp = blocking::dial(server, Duration::from_millis(CONNECT_MS))?;
    let socket = socket2::SockRef::from(&tcp);
    let idle = Duration::from_millis(KEEPALIVE_MS);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle).with_interval(idle).with_retries(2))?;
    socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(UNACKNOWLEDGED_MS))))?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX_BYTES)?;
    Ok(tcp)
}

/// Whether the kernel has given the connection up because nothing was acknowledged.
pub fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

/// A refusal in words.
pub fn refusal(response: AuthResponse, nickname: &str) -> String {
    let nickname = super::escape::VisibleNickname(nickname);
    match response {
        AuthResponse::Accepted => format!("{nickname} is logged in"),
        AuthResponse::Registered => format!("the nickname {nickname} belongs to a registered user"),
        AuthResponse::WrongPassword => format!("wrong combination of nickname {nickname} and password"),
        AuthResponse::InUse => format!("the nickname {nickname} is in use right now"),
    }
}
