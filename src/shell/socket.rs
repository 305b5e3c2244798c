//! Sockets as this program wants them.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use socket2::SockRef;

use crate::core::engine::socket::{Received, Sent, Socket};
use crate::limits::{self, Keepalive};

/// Opens a listener. On Linux, accepted sockets inherit its options, so that accepting needs no call for them.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd: OwnedFd = net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A restarted server takes its port back at once.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    // Messages go out when the turn writes them, not when the kernel has collected more.
    sockopt::set_tcp_nodelay(&fd, true)?;
    keep_buffers_short(&fd)?;
    set_keepalive(&fd, limits::CLIENT_KEEPALIVE)?;
    net::bind(&fd, &address)?;
    net::listen(&fd, limits::LISTEN_BACKLOG)?;
    Ok(TcpListener::from_std(fd.into()))
}

/// Bytes in the kernel cannot be overtaken, and no high-water mark counts them.
fn keep_buffers_short(fd: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size(&fd, limits::RECEIVE_BUFFER_BYTES)?;
    SockRef::from(&fd).set_tcp_notsent_lowat(limits::UNSENT_MAX_BYTES)
}

/// Bounds what the kernel holds for a socket each way, instead of letting it grow with what passes. Sockets accepted
/// from then on inherit it.
pub fn bound_buffers(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(&socket, bytes)?;
    sockopt::set_socket_recv_buffer_size(&socket, bytes.min(limits::RECEIVE_BUFFER_BYTES))?;
    Ok(())
}

fn set_keepalive(fd: impl AsFd, keepalive: Keepalive) -> io::Result<()> {
    let fd = fd.as_fd();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, seconds(keepalive.idle_seconds))?;
    sockopt::set_tcp_keepintvl(fd, seconds(keepalive.interval_seconds))?;
    sockopt::set_tcp_keepcnt(fd, keepalive.probes)?;
    sockopt::set_tcp_user_timeout(fd, keepalive.unacknowledged_ms)?;
    Ok(())
}

/// A connection's stream: to a client or another server, or to an operator.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// On the control socket.
    Unix(UnixStream),
}

impl Stream {
    /// Begins to connect; the connection may still fail.
    pub fn connect(address: SocketAddr, buffer_bytes: Option<usize>) -> io::Result<Stream> {
        let stream = TcpStream::connect(address)?;
        keep_buffers_short(&stream)?;
        if let Some(bytes) = buffer_bytes {
            bound_buffers(&stream, bytes)?;
        }
        stream.set_nodelay(true)?;
        set_keepalive(&stream, limits::LINK_KEEPALIVE)?;
        Ok(Stream::Tcp(stream))
    }
}

impl Socket for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let count = match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }?;
        Ok(Received::plain(count, buffer.len()))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let count = match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }?;
        Ok(Sent::plain(count, bytes.len()))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Sent> {
        let count = match self {
            Stream::Tcp(stream) => stream.write_vectored(slices),
            Stream::Unix(stream) => stream.write_vectored(slices),
        }?;
        Ok(Sent::plain(count, slices.iter().map(|slice| slice.len()).sum()))
    }

    fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.peek(buffer),
            // Operators don't come through proxies.
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn take_peeked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    fn set_keepalive(&mut self, keepalive: Keepalive) {
        if let Stream::Tcp(stream) = self
            && let Err(error) = set_keepalive(&*stream, keepalive)
        {
            log::debug!("keepalive: {error}");
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.register(registry, token, interests),
            Stream::Unix(stream) => stream.register(registry, token, interests),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.reregister(registry, token, interests),
            Stream::Unix(stream) => stream.reregister(registry, token, interests),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.deregister(registry),
            Stream::Unix(stream) => stream.deregister(registry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_accepted_has_its_listeners_bounds() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        bound_buffers(&listener, 16 * 1024).unwrap();
        let address = listener.local_addr().unwrap();
        let dialled = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let bounds = |fd: &dyn AsFd| {
            [sockopt::socket_send_buffer_size(fd.as_fd()), sockopt::socket_recv_buffer_size(fd.as_fd())]
                .map(Result::unwrap)
        };
        // The kernel doubles the value.
        assert_eq!(bounds(&accepted), [32 * 1024; 2]);
        assert_ne!(bounds(&dialled), [32 * 1024; 2]);
    }
}
