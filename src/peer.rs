//! The other end of a connection, as its transport knows it. Plain data for logs, rules and
//! sessions; no sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// The address of the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An IPv4 or IPv6 address with its port.
    Inet(SocketAddr),
    /// A client on this machine, over a Unix socket.
    Local,
}

/// The unit among which limits are shared: one IPv4 address, or one IPv6 /64 network, because
/// a host usually has all of its 2^64 addresses. As text: `192.0.2.1`, `2001:db8::/64`, `local`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
            Self::Inet(address) => address.ip().into(),
        }
    }
}

impl Source {
    /// The first one in their order.
    pub const FIRST: Self = Self::V4(Ipv4Addr::UNSPECIFIED);
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(address) => address.fmt(to),
            Self::V6([a, b, c, d]) => {
                write!(to, "{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            Self::Local => to.write_str("local"),
        }
    }
}

/// The text is no [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an IPv4 address, an IPv6 address, or an IPv6 network of 64 bits")]
pub struct NoSource;

/// Reads an address, or a network as [`Source`] shows it. An IPv6 address stands for its /64.
impl FromStr for Source {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        match text.parse::<IpNet>() {
            Ok(IpNet::V4(network)) if network.prefix_len() == 32 => Ok(Self::V4(network.addr())),
            Ok(IpNet::V6(network)) if network.prefix_len() == 64 => {
                let [a, b, c, d, ..] = network.addr().segments();
                Ok(Self::V6([a, b, c, d]))
            }
            _ => Err(NoSource),
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

/// True if an address is in one of these networks. IPv4 is the same if it is written as IPv6, on
/// either side (`::ffff:10.0.0.0/104`), but no part of a larger network of IPv6 (`::/0`).
pub fn is_within(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| match (network, address) {
        (IpNet::V6(network), IpAddr::V4(address)) => {
            network.prefix_len() >= 96 && network.contains(&address.to_ipv6_mapped())
        }
        _ => network.contains(&address),
    })
}

/// What a verified client certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// The whole subject, as in RFC 4514.
    pub subject: Box<str>,
    /// The common name of the subject.
    pub common_name: Option<Box<str>>,
    /// Subject alternative names that are text: DNS names, e-mail addresses, URIs.
    pub alternative_names: Box<[Box<str>]>,
    /// The serial number, big-endian.
    pub serial: Box<[u8]>,
    /// The issuer, as it is encoded.
    pub issuer: Box<[u8]>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: Box<str>,
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
    fn a_network_of_ipv4_is_the_same_if_it_is_written_as_ipv6() {
        let is_within = |address: &str, network: &str| {
            super::is_within(address.parse().unwrap(), &[network.parse().unwrap()])
        };
        for network in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
            assert!(is_within("10.1.2.3", network) && is_within("::ffff:10.1.2.3", network));
            assert!(!is_within("11.1.2.3", network) && !is_within("fd00::1", network));
        }
        assert!(is_within("fd00::1", "::/0") && !is_within("10.1.2.3", "::/0"));
        assert!(!is_within("fd00::1", "0.0.0.0/0"));
    }

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

    #[test]
    fn a_source_is_read_back_from_what_it_shows() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:1:2::3", "2001:db8:0:1::/64"),
            ("2001:db8:0:1::/64", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(shown.parse(), Ok(source));
        }
        for wrong in ["", "x", "local", "192.0.2.0/24", "2001:db8::/48", "2001:db8::/65", "[::1]:1"]
        {
            assert_eq!(wrong.parse::<Source>(), Err(NoSource), "{wrong}");
        }
    }
}
