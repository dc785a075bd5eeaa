//! Where a listener for MQTT clients listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::Bind;

/// `"127.0.0.1:1883"`, `"[::]:1883"`, `"/run/ferrymq.sock"` or `"off"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAt {
    /// Disabled.
    Off,
    /// An address of this machine and a port; port 0 lets the system choose.
    Inet(SocketAddr),
    /// A Unix socket.
    Path(PathBuf),
}

impl ListenAt {
    /// The address; `None` for `"off"` and for a path.
    pub fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Off | Self::Path(_) => None,
        }
    }

    /// True unless it is `"off"`.
    pub fn is_on(&self) -> bool {
        *self != Self::Off
    }

    /// True if no other machine can reach it, also for `off`.
    pub fn is_loopback(&self) -> bool {
        self.addr().is_none_or(|address| Bind::Addr(address).is_loopback())
    }

    /// An address on 127.0.0.1.
    pub(super) const fn loopback(port: u16) -> Self {
        Self::Inet(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for ListenAt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim() {
            "off" => Ok(Self::Off),
            path if path.starts_with('/') => Ok(Self::Path(path.into())),
            address => address.parse().map(Self::Inet).map_err(drop),
        }
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Inet(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

serde_as_text!(
    ListenAt,
    "an IP address with a port, such as 127.0.0.1:1883 or [::]:1883, the path of a Unix socket, \
     such as /run/ferrymq.sock, or \"off\""
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_off_an_address_or_a_path() {
        for text in ["off", "127.0.0.1:1883", "[::]:1883", "/run/ferrymq.sock"] {
            assert_eq!(text.parse::<ListenAt>().unwrap().to_string(), text);
        }
        for text in ["", "127.0.0.1", "run/ferrymq.sock", "localhost:1883"] {
            assert_eq!(text.parse::<ListenAt>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_is_for_this_machine_only() {
        assert!("/run/x".parse::<ListenAt>().unwrap().is_loopback());
        assert!(!"0.0.0.0:1".parse::<ListenAt>().unwrap().is_loopback());
    }
}
