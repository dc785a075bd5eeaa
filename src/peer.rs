//! The other end of a connection, as far as its transport knows it. No sockets here: plain
//! data that logs, rules and sessions share.

use std::fmt;
use std::net::SocketAddr;

/// Where a connection comes from, or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An address of the Internet protocols, v4 or v6, with its port.
    Inet(SocketAddr),
    /// This machine, by a socket in its file system.
    Local,
}

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

/// As `0.0.0.0:1` and its kind convert: for tests and tools.
impl From<([u8; 4], u16)> for PeerAddr {
    fn from(address: ([u8; 4], u16)) -> Self {
        Self::Inet(address.into())
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

/// Who can read or change what passes on a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Whoever can reach the line.
    Plain,
    /// Nobody but the two ends.
    Tls,
}
