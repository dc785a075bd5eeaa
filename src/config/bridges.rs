//! `[bridges.NAME]`: connections to other brokers.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::list::List;
use super::{BridgeAddress, BridgeRule, ByteSize, Overflow, Secret, Span};

/// The version of MQTT that a bridge speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BridgeVersion {
    /// 5.0, and 3.1.1 if the remote broker refuses it.
    #[default]
    Auto,
    /// 5.0.
    V5,
    /// 3.1.1.
    V311,
}

impl FromStr for BridgeVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "5.0" | "5" => Ok(Self::V5),
            "3.1.1" => Ok(Self::V311),
            _ => Err(()),
        }
    }
}

impl fmt::Display for BridgeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::V5 => "5.0",
            Self::V311 => "3.1.1",
        })
    }
}

serde_as_text!(BridgeVersion, "\"auto\", \"5.0\" or \"3.1.1\", as text");

/// What happens to a message that the remote broker refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRefused {
    /// It is put aside as a dead letter, and the next one is sent.
    #[default]
    DeadLetter,
    /// The bridge stops before it until an operator resumes it.
    Stop,
}

/// `bridges.NAME.max_rate`: the most that is sent to the remote broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeRate {
    /// Messages in a second; 0: no limit.
    pub messages: u32,
    /// Bytes of messages in a second; 0B: no limit.
    pub bytes: ByteSize,
}

/// `[bridges.NAME.tls]`: for addresses with `mqtts` and `wss`, which need it only if the
/// defaults do not fit. The files are read at each dial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeTls {
    /// PEM: the authorities that the remote certificate is issued by; empty: those of the
    /// system.
    #[serde(with = "super::access::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the client certificate, then its chain; empty: none.
    #[serde(with = "super::access::optional_path")]
    pub certificate_file: Option<PathBuf>,
    /// PEM: its private key, as PKCS#8, SEC1 or PKCS#1.
    #[serde(with = "super::access::optional_path")]
    pub key_file: Option<PathBuf>,
    /// The name that is asked for (SNI) and that the certificate has to have; empty: the host
    /// of the address.
    pub server_name: String,
    /// Protocols that are offered (ALPN), the first one first; empty: none.
    pub alpn: List<String>,
}

/// `[bridges.NAME]`: a durable session whose client is another broker, which this one dials.
#[allow(clippy::struct_excessive_bools)] // One for each key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bridge {
    /// The remote broker, tried in this order; at least one.
    pub addresses: List<BridgeAddress>,
    /// `auto`, `5.0` or `3.1.1`.
    pub version: BridgeVersion,
    /// The client id at the remote broker; empty: `ferrymq-NAME`. See [`Bridge::client_id`].
    pub client_id: String,
    /// The user name at the remote broker; empty: none.
    pub username: String,
    /// A file with the password, read at each dial. A line end at its end does not belong to
    /// it.
    #[serde(with = "super::access::optional_path")]
    pub password_file: Option<PathBuf>,
    /// The password; meant for the environment.
    pub password: Secret,
    /// Keep alive in CONNECT, 1s to 65535s. See [`Bridge::keep_alive_seconds`].
    pub keep_alive: Span,
    /// How long the remote broker may leave all that was sent unacknowledged before the
    /// connection is ended, 1s to 1h.
    pub ack_timeout: Span,
    /// The longest wait between two attempts to connect, 1s to 1d.
    pub max_backoff: Span,
    /// True: the remote broker is asked to begin a new session at each connection, and forgets
    /// what it has kept for the bridge.
    pub clean_start: bool,
    /// How long the remote broker keeps the session while the bridge is away, 1s or more, or
    /// `never`. For 5.0; 3.1.1 has no expiry.
    pub session_expiry: Span,
    /// QoS 1 and 2 messages in flight in each direction, 1 to 65,535. The remote broker's
    /// Receive Maximum may be lower, and is taken to be 20 before 5.0.
    pub receive_maximum: u16,
    /// True: QoS 0 messages wait as well, in memory, while there is no connection.
    pub queue_qos0: bool,
    /// Messages waiting in the bridge's queue, 1 to 4,000,000,000.
    pub max_queued_messages: usize,
    /// Bytes waiting in the bridge's queue, at least 1KiB.
    pub max_queued_bytes: ByteSize,
    /// What happens if the queue is full: `refuse`, `drop-oldest` or `drop-newest`.
    pub overflow: Overflow,
    /// `dead-letter` or `stop`.
    pub on_refused: OnRefused,
    /// Dead letters that are kept, 0 to 10,000,000; beyond it the oldest are removed.
    pub max_dead_letters: usize,
    /// True: the bridge does not connect, and its queue goes on filling.
    pub paused: bool,
    /// True: the state of the connection is published at the remote broker as well, retained,
    /// as `1` and `0`.
    pub notifications: bool,
    /// Where it is published there; empty: `$SYS/broker/connection/CLIENT_ID/state`. See
    /// [`Bridge::remote_notification_topic`].
    pub notification_topic: String,
    /// True: the other end is told that the client is a bridge. With 3.1.1 by the highest bit of
    /// the protocol level; brokers that refuse it are asked again without. With 5.0 by a user
    /// property, in which FerryMQ brokers name themselves.
    pub try_private: bool,
    /// Local to remote.
    pub forward: Vec<BridgeRule>,
    /// Remote to local.
    pub subscribe: Vec<BridgeRule>,
    /// The most that is sent in a second.
    pub max_rate: BridgeRate,
    /// `[bridges.NAME.tls]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<BridgeTls>,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            addresses: List::default(),
            version: BridgeVersion::Auto,
            client_id: String::new(),
            username: String::new(),
            password_file: None,
            password: Secret::default(),
            keep_alive: Span::seconds(60),
            ack_timeout: Span::seconds(30),
            max_backoff: Span::seconds(60),
            clean_start: false,
            session_expiry: Span::NEVER,
            receive_maximum: 1024,
            queue_qos0: false,
            max_queued_messages: 10_000_000,
            max_queued_bytes: ByteSize::gib(4),
            overflow: Overflow::Refuse,
            on_refused: OnRefused::DeadLetter,
            max_dead_letters: 1000,
            paused: false,
            notifications: false,
            notification_topic: String::new(),
            try_private: true,
            forward: Vec::new(),
            subscribe: Vec::new(),
            max_rate: BridgeRate::default(),
            tls: None,
        }
    }
}

impl Bridge {
    /// The client id at the remote broker. Two brokers must not bridge to the same remote
    /// under one client id: each would take the other's session over, for ever.
    pub fn client_id<'a>(&'a self, name: &str) -> Cow<'a, str> {
        match self.client_id.as_str() {
            "" => format!("ferrymq-{name}").into(),
            set => set.into(),
        }
    }

    /// The topic at the remote broker for the state of the connection; `None` without
    /// notifications.
    pub fn remote_notification_topic(&self, name: &str) -> Option<Cow<'_, str>> {
        self.notifications.then(|| match self.notification_topic.as_str() {
            "" => format!("$SYS/broker/connection/{}/state", self.client_id(name)).into(),
            set => set.into(),
        })
    }

    /// Keep alive as in CONNECT, in whole seconds.
    pub fn keep_alive_seconds(&self) -> u16 {
        u16::try_from(self.keep_alive.as_mqtt_seconds()).unwrap_or(u16::MAX)
    }

    /// A bridge with all keys and tables, which the documentation is made from.
    pub(crate) fn example() -> Self {
        let address = "mqtts://broker.example.org:8883".parse();
        Self {
            addresses: List(address.into_iter().collect()),
            forward: vec![BridgeRule { filter: "#".to_owned(), ..BridgeRule::default() }],
            tls: Some(BridgeTls::default()),
            ..Self::default()
        }
    }
}
