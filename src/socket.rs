//! Sockets as this program wants them.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::connection::Socket;
use crate::limits::{self, Keepalive};

/// Opens a listener. Accepted sockets inherit its options on Linux, so that accepting one costs no call for them.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd: OwnedFd = net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A restarted server takes its port back at once.
    sockopt::set_socket_reuseaddr(&fd, true)?;
    // Messages go out when the turn writes them, not when the kernel has collected more.
    sockopt::set_tcp_nodelay(&fd, true)?;
    set_keepalive(&fd, limits::CLIENT_KEEPALIVE)?;
    net::bind(&fd, &address)?;
    net::listen(&fd, limits::LISTEN_BACKLOG)?;
    Ok(TcpListener::from_std(fd.into()))
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

impl Socket for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(self, slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn set_keepalive(&mut self, keepalive: Keepalive) {
        if let Err(error) = set_keepalive(&*self, keepalive) {
            log::debug!("keepalive: {error}");
        }
    }
}
