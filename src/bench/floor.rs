//! The floor: what the kernel takes for a workload, for any program. One thread, one edge-triggered poll, one read
//! buffer, and one buffer that collects a turn's input. At the turn's end, one write of that buffer to each connection.
//! It has no protocol, no checks and no limits, so it is of no use as a server.
//!
//! The first input of a connection counts as a login, and is answered with the two bytes of an accepted one. After
//! that, input goes to every connection. Only the first `paired` connections write to their partner alone: 0 and 1 are
//! partners, 2 and 3, and so on.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::{Doing, Result};

const EVENTS_PER_TURN: usize = 1024;
const READ_BYTES: usize = 64 * 1024;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
const LISTENER: Token = Token(usize::MAX);
/// AUTHRSP, accepted.
const ANSWER: [u8; 2] = [0x10, 0];

struct Connection {
    stream: TcpStream,
    /// What the kernel did not take; the generator bounds it by what it has under way.
    unsent: Vec<u8>,
    is_in: bool,
}

/// Serves until the process is ended. The address listened on goes to `on_listening`.
pub fn serve(address: SocketAddr, paired: usize, on_listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let mut poll = Poll::new().doing("cannot create a poll")?;
    let mut events = Events::with_capacity(EVENTS_PER_TURN);
    let mut listener = TcpListener::bind(address).doing(format_args!("cannot listen on {address}"))?;
    rustix::net::listen(&listener, BACKLOG).doing("cannot listen")?;
    // Accepted connections inherit it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).doing("cannot set TCP_NODELAY")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).doing("cannot register")?;
    on_listening(listener.local_addr().doing("cannot name the address")?);

    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut log = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.doing("cannot wait")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut connections)?;
                continue;
            }
            let key = event.token().0;
            if event.is_writable() {
                flush(&mut connections, key);
            }
            if event.is_readable() || event.is_read_closed() {
                let to_end = event.is_read_closed();
                read(&mut connections, key, to_end, &mut buffer, paired, &mut log);
            }
        }
        if !log.is_empty() {
            for (key, connection) in &mut connections {
                if key >= paired && connection.is_in {
                    send(connection, &log);
                }
            }
            log.clear();
        }
    }
}

fn accept(listener: &TcpListener, registry: &Registry, connections: &mut Slab<Connection>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let entry = connections.vacant_entry();
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry.register(&mut stream, Token(entry.key()), interest).doing("cannot register")?;
                entry.insert(Connection { stream, unsent: Vec::new(), is_in: false });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(source) => return Err(super::Fault::Io { doing: "cannot accept".into(), source }),
        }
    }
}

/// A short read of a stream socket means that it is drained (epoll(7)); one more read is due if the event told of an end.
fn read(
    connections: &mut Slab<Connection>,
    key: usize,
    to_end: bool,
    buffer: &mut [u8],
    paired: usize,
    log: &mut Vec<u8>,
) {
    loop {
        let Some(connection) = connections.get_mut(key) else { return };
        let read = match connection.stream.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            connections.remove(key);
            return;
        };
        if !connection.is_in {
            connection.is_in = true;
            send(connection, &ANSWER);
        } else if key >= paired {
            log.extend_from_slice(bytes);
        } else if let Some(partner) = connections.get_mut(key ^ 1) {
            send(partner, bytes);
        }
        if read < buffer.len() && !to_end {
            return;
        }
    }
}

fn send(connection: &mut Connection, bytes: &[u8]) {
    let written = if connection.unsent.is_empty() { connection.stream.write(bytes).unwrap_or(0) } else { 0 };
    if let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        connection.unsent.extend_from_slice(rest);
    }
}

fn flush(connections: &mut Slab<Connection>, key: usize) {
    let Some(connection) = connections.get_mut(key) else { return };
    while !connection.unsent.is_empty() {
        let Ok(written @ 1..) = connection.stream.write(&connection.unsent) else { return };
        connection.unsent.drain(..written);
    }
}
