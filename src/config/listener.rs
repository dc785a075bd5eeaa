//! `[listeners.NAME]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::List;
use super::{Anonymous, ListenAt, Method, Span};

/// The protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT over TCP.
    #[default]
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
    /// MQTT over a Unix socket.
    Unix,
}

impl Protocol {
    /// True if the bytes are encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// True if MQTT is in WebSocket messages.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether connections begin with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// With one of version 1, which is text.
    V1,
    /// With one of version 2, which is binary.
    V2,
    /// With one of either version.
    Any,
}

/// Whether a TLS client shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It is not asked for one.
    #[default]
    Off,
    /// It may show one, which must be valid.
    Optional,
    /// It must show one.
    Required,
}

/// What happens while a certificate revocation list is past its next update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpiredCrl {
    /// Client certificates of its issuer are refused.
    #[default]
    Refuse,
    /// It is used, and a warning is logged.
    Warn,
}

/// The lowest TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// `[listeners.NAME.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTls {
    /// PEM: the certificate, then its chain.
    #[serde(with = "super::access::optional_path")]
    pub certificate_file: Option<PathBuf>,
    /// PEM: its private key, as PKCS#8, SEC1 or PKCS#1.
    #[serde(with = "super::access::optional_path")]
    pub key_file: Option<PathBuf>,
    /// PEM: the authorities that client certificates are issued by.
    #[serde(with = "super::access::optional_path")]
    pub client_ca_file: Option<PathBuf>,
    /// `off`, `optional` or `required`.
    pub client_auth: ClientAuth,
    /// PEM: revocation lists of these authorities; empty: none.
    #[serde(with = "super::access::optional_path")]
    pub crl_file: Option<PathBuf>,
    /// `refuse` or `warn`: what a revocation list is good for after its next update was due.
    pub expired_crl: ExpiredCrl,
    /// `1.2` or `1.3`.
    pub min_version: TlsVersion,
}

/// `[listeners.NAME.websocket]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerWebSocket {
    /// The path of the upgrade request.
    pub path: String,
    /// Origins whose pages may connect, such as `https://example.org`. Empty: all.
    pub allowed_origins: List<String>,
}

impl Default for ListenerWebSocket {
    fn default() -> Self {
        Self { path: "/mqtt".to_owned(), allowed_origins: List::default() }
    }
}

/// `[listeners.NAME.auth]`: replaces keys of `[auth]` for one listener.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerAuth {
    /// As `auth.methods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<List<Method>>,
    /// As `auth.require`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<List<Method>>,
    /// As `auth.allow_anonymous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_anonymous: Option<Anonymous>,
}

/// `[listeners.NAME]`: a socket for MQTT clients. The one named `tcp` always
/// exists; `bind = "off"` turns it off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `mqtt`, `mqtts`, `ws`, `wss` or `unix`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address and port, the path of a Unix socket, or `off`. An address that other machines
    /// can reach needs a way to authenticate clients, or `auth.allow_anonymous = true`.
    pub bind: ListenAt,
    /// The permissions of a Unix socket, in octal digits.
    #[serde(default)]
    pub mode: Mode,
    /// Most connections at the same time on this listener, 1 to 10,000,000.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// After how long without data TCP begins to probe a client: 1s to 9h, or never. It sends
    /// four probes within a third of that time and closes the connection if none is answered.
    /// MQTT's own keep alive is independent of it.
    #[serde(default = "default_keep_alive")]
    pub tcp_keep_alive: Span,
    /// How long sent data may stay without TCP's acknowledgement, or a client's receive window
    /// closed, before the connection is closed: 1s to 9h. `never` leaves it to the system,
    /// about a quarter of an hour for a dead connection.
    #[serde(default = "default_user_timeout")]
    pub tcp_user_timeout: Span,
    /// `off`, `v1`, `v2` or `any`: whether connections begin with a header of the PROXY
    /// protocol. They are accepted from `trusted_proxies` only.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Networks of proxies whose word about a client's address is believed: the PROXY
    /// protocol's, and `X-Forwarded-For` of a WebSocket.
    #[serde(default)]
    pub trusted_proxies: List<IpNet>,
    /// Certificates; for `mqtts` and `wss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// For `ws` and `wss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<ListenerWebSocket>,
    /// Where authentication differs from `[auth]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ListenerAuth>,
}

impl Listener {
    /// The anonymous exemption for loopback applies: nobody else can reach it, and no proxy
    /// stands in front.
    pub fn is_local(&self) -> bool {
        self.bind.is_loopback()
            && self.proxy_protocol == ProxyProtocol::Off
            && self.trusted_proxies.is_empty()
    }
}

const fn default_connections() -> usize {
    100_000
}

const fn default_keep_alive() -> Span {
    Span::seconds(60)
}

const fn default_user_timeout() -> Span {
    Span::NEVER
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            protocol: Protocol::Mqtt,
            bind: ListenAt::loopback(1883),
            mode: Mode::default(),
            max_connections: default_connections(),
            tcp_keep_alive: default_keep_alive(),
            tcp_user_timeout: default_user_timeout(),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: List::default(),
            tls: None,
            websocket: None,
            auth: None,
        }
    }
}

/// Permissions of a file, in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Default for Mode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777).map(Self).ok_or(())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

serde_as_text!(Mode, "permissions in octal digits, such as 660");
