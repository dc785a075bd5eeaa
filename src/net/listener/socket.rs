//! The sockets that are listened on: TCP over IPv4, IPv6 or both, and Unix sockets.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::error::OpenError;
use super::unix::UnixSocket;
use crate::config::{ListenAt, Mode};
use crate::peer::PeerAddr;

/// Pending connections in the kernel's queue, which limits this to `somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// A socket that accepts.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream, PeerAddr),
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn tcp(address: SocketAddr) -> Result<Self, OpenError> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if domain == Domain::IPV6 {
            // `[::]` accepts IPv4 as well, whatever the system's default is.
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())?))
    }

    pub(super) fn unix(path: &Path, mode: Mode) -> Result<Self, OpenError> {
        UnixSocket::open(path, mode).map(Self::Unix)
    }

    pub(super) fn address(&self) -> Option<ListenAt> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().map(ListenAt::Inet),
            Self::Unix(socket) => Some(ListenAt::Path(socket.path().to_owned())),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // IPv4 over a socket of IPv6 is written as IPv4, as rules and logs expect it.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                Ok(Accepted::Tcp(stream, peer.into()))
            }
            Self::Unix(socket) => socket.accept().await.map(Accepted::Unix),
        }
    }
}

impl Accepted {
    pub(super) fn peer(&self) -> PeerAddr {
        match self {
            Self::Tcp(_, peer) => *peer,
            Self::Unix(_) => PeerAddr::Local,
        }
    }
}
