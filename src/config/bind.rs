//! The address of a listener, or that it is disabled.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// `"127.0.0.1:1883"`, `"[::]:1883"` or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// Disabled.
    Off,
    /// An address of this machine and a port; port 0 lets the system choose.
    Addr(SocketAddr),
}

impl Bind {
    /// `None` for `"off"`.
    pub fn addr(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Addr(addr) => Some(addr),
        }
    }

    /// True if no other machine can reach the address, also for `off`.
    pub fn is_loopback(self) -> bool {
        self.addr().is_none_or(|addr| addr.ip().to_canonical().is_loopback())
    }

    /// An address on 127.0.0.1.
    pub(super) const fn loopback(port: u16) -> Self {
        Self::Addr(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Bind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim() {
            "off" => Ok(Self::Off),
            addr => addr.parse().map(Self::Addr).map_err(drop),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

serde_as_text!(Bind, "an IP address with a port, such as 127.0.0.1:1883 or [::]:1883, or \"off\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_what_no_other_machine_can_reach() {
        for text in ["127.0.0.1:1883", "127.1.2.3:1", "[::1]:1883", "[::ffff:127.0.0.1]:1", "off"] {
            assert!(text.parse::<Bind>().unwrap().is_loopback(), "{text}");
        }
        for text in ["0.0.0.0:1883", "[::]:1883", "192.168.1.5:1883"] {
            assert!(!text.parse::<Bind>().unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn an_address_needs_a_port() {
        for text in ["", "127.0.0.1", "localhost:1883", "1883", "127.0.0.1:70000"] {
            assert_eq!(text.parse::<Bind>(), Err(()), "{text}");
        }
    }
}
