//! The server that is played for a client, and the client's session.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::console::{Console, Manner};
use crate::conform::case::{Check, Seen, Stop};
use crate::conform::log::Log;
use crate::conform::peer::{Peer, encoded};
use crate::wire::{AuthResponse, ErrorReason, Packet, ServerId};

/// How long a person may take.
const PERSON: Duration = Duration::from_secs(600);

/// What the command line says of the client.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where the played server listens.
    pub listen: SocketAddr,
    /// Its ID.
    pub id: ServerId,
    /// How the client is used.
    pub manner: Manner,
    /// The folder in which it puts received files.
    pub download: Option<PathBuf>,
    /// How long to wait for what must come.
    pub patience: Duration,
}

/// What cases run on.
pub struct Stage {
    /// What was asked for.
    pub setup: Setup,
    listener: TcpListener,
    session: Option<Session>,
    count: u32,
    /// Of all connections.
    pub log: Log,
}

/// A client that is connected.
pub struct Session {
    /// Its connection.
    pub peer: Peer,
    /// Whoever uses it.
    pub console: Console,
    /// Its nickname.
    pub nickname: String,
    /// The played server.
    server: ServerId,
}

impl Stage {
    /// Listens. The error is a line.
    pub fn new(setup: Setup) -> Result<Stage, String> {
        let cannot = |error: std::io::Error| format!("--listen {}: {error}", setup.listen);
        let listener = TcpListener::bind(setup.listen).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(Stage { listener, session: None, count: 0, log: Log::default(), setup })
    }

    /// Where the client connects to.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.setup.listen)
    }

    /// A text that nobody has used.
    pub fn text(&mut self, word: &str) -> String {
        self.count += 1;
        format!("{word}{}", self.count)
    }

    /// How long to wait for what the client does by itself.
    pub fn patience(&self) -> Duration {
        if let Manner::Person = self.setup.manner { PERSON } else { self.setup.patience }
    }

    /// Starts the client, and takes its connection.
    pub fn start(&mut self, password: Option<&str>) -> Result<Session, Stop> {
        self.end();
        let nickname = self.text("ana");
        let (address, setup) = (self.address(), &self.setup);
        let download = setup.download.as_deref();
        let console = Console::start(&setup.manner, address, &nickname, password, download)?;
        let end = Instant::now() + self.patience();
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let _ = stream.set_nonblocking(false);
                    let mut peer = Peer::new(Box::new(stream), self.patience(), "", &self.log);
                    peer.set_nickname("your client's connection");
                    return Ok(Session { peer, console, nickname, server: self.setup.id });
                }
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                Err(_) => {
                    let mut console = console;
                    let expected = format!("a connection to {address}");
                    let printed = match console.shows(&["\u{0}"], Duration::ZERO) {
                        Err(Stop::Deviation(deviation)) => deviation.seen,
                        _ => Seen::Nothing,
                    };
                    return Err(Stop::deviation(Seen::Words(expected), printed));
                }
            }
        }
    }

    /// The client, logged in: the one of the case before, if it still works.
    pub fn logged_in(&mut self) -> Result<Session, Stop> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let needs = "the client must log in as a guest; see case C3.1";
        let mut session = self.start(None).map_err(|stop| stop.or_skip(needs))?;
        match session.peer.next() {
            Seen::Bytes(bytes) if bytes.first() == Some(&0) => {}
            _ => return Err(Stop::skipped(needs)),
        }
        session.peer.send(&Packet::AuthRsp { response: AuthResponse::Accepted })?;
        Ok(session)
    }

    /// Runs a check on a client that is logged in. The next case takes it over if this one holds.
    pub fn with_client(&mut self, check: impl FnOnce(&mut Stage, &mut Session) -> Check) -> Check {
        let mut session = self.logged_in()?;
        let result = check(self, &mut session);
        if !matches!(result, Err(Stop::Deviation(_))) {
            self.session = Some(session);
        }
        result
    }

    /// Ends the client of the case before.
    pub fn end(&mut self) {
        if self.session.take().is_some()
            && let Manner::Person = self.setup.manner
        {
            eprintln!(">>> Your client's connection was closed. End the client, if it is still there.");
        }
    }
}

impl Session {
    /// What the client sends next. It may ask itself something in private, to see whether its server is there: that is
    /// answered as by a server that delivers nothing.
    pub fn next(&mut self) -> Seen {
        loop {
            let seen = self.peer.next();
            let Seen::Bytes(bytes) = &seen else { return seen };
            match Packet::decode(bytes) {
                Ok(Packet::MsgPrv { destination, receiver, .. }) if receiver == self.nickname => {
                    let reason = match destination == self.server {
                        true => ErrorReason::UnknownReceiver,
                        false => ErrorReason::UnknownServer,
                    };
                    if self.peer.send(&Packet::Error { sender: &self.nickname, reason }).is_err() {
                        return Seen::End;
                    }
                }
                _ => return seen,
            }
        }
    }

    /// The client's next packet must be this one, or the end.
    pub fn expect(&mut self, expected: Option<&Packet<'_>>) -> Check {
        let expected = expected.map_or(Seen::End, |packet| Seen::Bytes(encoded(packet)));
        let seen = self.next();
        if seen == expected { Ok(()) } else { Err(self.peer.stop(expected, seen)) }
    }

    /// Delivers a public message, which the client must show.
    pub fn deliver(&mut self, stage: &mut Stage, word: &str) -> Check {
        let (sender, message) = (stage.text("bob"), stage.text(word));
        let packet = Packet::MsgPblInc { origin: stage.setup.id, sender: &sender, message: &message };
        self.peer.send(&packet)?;
        let patience = stage.setup.patience;
        self.console.shows(&[&sender, &message], patience)
    }
}
