//! The other end of a connection, as its transport knows it. Plain data for logs, rules and
//! sessions; no sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An IPv4 or IPv6 address with its port.
    Inet(SocketAddr),
    /// A client on this machine, over a Unix socket.
    Local,
}

/// The unit among which limits are shared: one IPv4 address, or one IPv6 /64 network, because
/// a host usually has all of its 2^64 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An IPv4 address, also if written as IPv6 (`::ffff:192.0.2.1`).
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6([u16; 4]),
    /// This machine, over a Unix socket.
    Local,
}

impl PeerAddr {
    /// The source whose limits apply to a connection.
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

/// Converts `([0, 0, 0, 0], 1)` and the like, for tests and tools.
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

/// Who can read and change the bytes of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Anyone on the network path.
    Plain,
    /// Only the two ends.
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
