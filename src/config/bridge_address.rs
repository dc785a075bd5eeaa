//! The address of a remote broker: `mqtt://`, `mqtts://`, `ws://` or `wss://` with a host.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::list::Item;

/// How a remote broker is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BridgeScheme {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
}

impl BridgeScheme {
    const ALL: [Self; 4] = [Self::Mqtt, Self::Mqtts, Self::Ws, Self::Wss];

    /// As it is written in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port of an address that has none: those of IANA for MQTT, of HTTP for WebSocket.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// True if the bytes are encrypted.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// True if MQTT is in WebSocket messages.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// The path of a WebSocket address that has none.
const DEFAULT_PATH: &str = "/mqtt";

/// One of `bridges.NAME.addresses`. Its host is a DNS name or an IP address, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BridgeAddress {
    scheme: BridgeScheme,
    host: String,
    port: u16,
    /// Empty for `mqtt` and `mqtts`.
    path: String,
}

impl BridgeAddress {
    /// `mqtt`, `mqtts`, `ws` or `wss`.
    pub const fn scheme(&self) -> BridgeScheme {
        self.scheme
    }

    /// A DNS name or an IP address, without the brackets of IPv6: what is resolved, and the
    /// name that a certificate has to have unless `tls.server_name` is set.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path of the upgrade request with its query; `None` if it is no WebSocket.
    pub fn path(&self) -> Option<&str> {
        self.scheme.is_websocket().then_some(&self.path)
    }

    /// Host and port, IPv6 in brackets: as in a `Host` header.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for BridgeAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        let mut schemes = BridgeScheme::ALL.into_iter();
        let scheme = schemes.find(|one| one.as_str().eq_ignore_ascii_case(scheme)).ok_or(())?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let path = match path {
            "" if scheme.is_websocket() => DEFAULT_PATH,
            "" => "",
            path if scheme.is_websocket() && is_path(path) => path,
            _ => return Err(()),
        };
        let port = port.unwrap_or(scheme.default_port());
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// The host without brackets, and the port if there is one.
fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), ()> {
    let (host, rest) = if let Some(inner) = authority.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(())?;
        address.parse::<Ipv6Addr>().map_err(drop)?;
        (address, rest)
    } else {
        let (host, rest) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        is_host(host).then_some(()).ok_or(())?;
        (host, rest)
    };
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(())?;
    // `u16` would read a sign as well.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = digits.parse().map_err(drop)?;
    if is_number && port != 0 { Ok((host, Some(port))) } else { Err(()) }
}

/// A DNS name, or an IPv4 address. Underscores occur in the names of containers.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let name = host.strip_suffix('.').unwrap_or(host);
    if is_numeric {
        host.parse::<Ipv4Addr>().is_ok()
    } else {
        name.len() <= 253 && name.split('.').all(is_label)
    }
}

/// For logs, the API and `config show`: without what the query says, which may be a secret.
impl fmt::Display for BridgeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = without_query(&self.path);
        write!(f, "{}://{}{path}", self.scheme.as_str(), self.authority())
    }
}

fn without_query(text: &str) -> Cow<'_, str> {
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?***").into(),
        None => text.into(),
    }
}

impl Item for BridgeAddress {
    const EXPECTED: &'static str = "a URL such as mqtts://host:8883 or wss://host/mqtt (mqtt, \
                                    mqtts, ws, wss), without a user name";

    /// Without what stands before an `@`, which may be a password, and without a query.
    fn shown(text: &str) -> Cow<'_, str> {
        let text = &*without_query(text);
        match (text.find("://"), text.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                let (scheme, _) = text.split_at(scheme + 3);
                let (_, host) = text.split_at(at);
                format!("{scheme}***{host}").into()
            }
            (_, Some(at)) => format!("***{}", text.split_at(at).1).into(),
            (_, None) => text.to_owned().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_path_that_are_left_out_are_those_of_the_scheme() {
        for (text, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker.example.org", "mqtts://broker.example.org:8883"),
            ("ws://10.0.0.1", "ws://10.0.0.1:80/mqtt"),
            ("wss://broker", "wss://broker:443/mqtt"),
            ("WSS://Broker:8443/a/b", "wss://broker:8443/a/b"),
            ("ws://broker/", "ws://broker:80/"),
            ("mqtt://[2001:db8::1]", "mqtt://[2001:db8::1]:1883"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
            ("mqtt://my_broker-1:1", "mqtt://my_broker-1:1"),
        ] {
            let address: BridgeAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address), "what is shown is read again");
        }
    }

    #[test]
    fn a_query_is_sent_and_never_shown() {
        let address: BridgeAddress = "wss://broker/a?key=1?2".parse().unwrap();
        assert_eq!(address.path(), Some("/a?key=1?2"));
        assert_eq!(address.to_string(), "wss://broker:443/a?***");
        assert_eq!(BridgeAddress::shown("wss://broker:x/a?key=1"), "wss://broker:x/a?***");
    }

    #[test]
    fn its_parts_are_those_that_dialling_needs() {
        let address: BridgeAddress = "wss://[::1]/x".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 443));
        assert_eq!((address.path(), address.authority().as_str()), (Some("/x"), "[::1]:443"));
        assert!(address.scheme().is_tls() && address.scheme().is_websocket());
        assert_eq!("mqtt://a".parse::<BridgeAddress>().unwrap().path(), None);
    }

    #[test]
    fn what_names_no_broker_is_refused() {
        let long = format!("mqtt://{}", "a".repeat(64));
        for text in [
            "",
            "broker:1883",
            "tcp://broker",
            "http://broker",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://broker:",
            "mqtt://broker:0",
            "mqtt://broker:65536",
            "mqtt://broker:+1",
            "mqtt://broker:x",
            "mqtt://broker/",
            "mqtt://broker/mqtt",
            "mqtt://a..b",
            "mqtt://a b",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://[::1]x",
            "mqtt://[broker]",
            "mqtt://1.2.3",
            "mqtt://user@broker",
            "mqtt://user:word@broker",
            "ws://broker/a b",
            "ws://broker/a#b",
            "ws://broker?a",
            long.as_str(),
        ] {
            assert_eq!(text.parse::<BridgeAddress>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        for (text, shown) in [
            ("mqtt://ann:hunter2@broker:1", "mqtt://***@broker:1"),
            ("mqtt://ann:hunt@r2@broker", "mqtt://***@broker"),
            ("ann:hunter2@broker", "***@broker"),
            ("tcp://broker", "tcp://broker"),
        ] {
            assert_eq!(BridgeAddress::shown(text), shown);
        }
    }
}
