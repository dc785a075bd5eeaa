//! The other end of a connection, as far as its transport knows it. No sockets here: plain
//! data that logs, rules and sessions share.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a connection comes from, or goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An address of the Internet protocols, v4 or v6, with its port.
    Inet(SocketAddr),
    /// This machine, by a socket in its file system.
    Local,
}

/// What connections are told apart by where each may have its share: one address of IPv4,
/// or a network of IPv6, since whoever has one address there has 2^64 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address of IPv4, also where it is written in IPv6 (`::ffff:192.0.2.1`).
    V4(Ipv4Addr),
    /// The first 64 bits of an address of IPv6.
    V6([u16; 4]),
    /// This machine, by a socket in its file system.
    Local,
}

impl PeerAddr {
    /// Whose share of what is bounded a connection uses.
    pub fn source(self) -> Source {
        match self {
            Self::Local => Source::Local,
            Self::Inet(address) => match address.ip().to_canonical() {
                IpAddr::V4(address) => Source::V4(address),
                IpAddr::V6(address) => {
                    let [a, b, c, d, ..] = address.segments();
                    Source::V6([a, b, c, d])
                }
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_of_v4_or_a_64_of_v6() {
        let source =
            |address: &str| PeerAddr::Inet(SocketAddr::new(address.parse().unwrap(), 1)).source();
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("::1"), source("127.0.0.1"));
    }
}
