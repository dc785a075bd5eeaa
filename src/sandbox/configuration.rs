//! The configuration of the broker under test: the user's, except what would affect others or
//! refuse the load.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::config::{
    Acl, Auth, AutoCount, AutoSize, Bans, Bind, ByteSize, Config, Durability, Http, Limits,
    ListenAt, Listener, LogFormat, Overflow, Span, Telemetry,
};

/// How durable the broker under test is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `persistence.enabled = false`.
    Memory,
    /// `persistence.durability = "async"`.
    Async,
    /// `"commit"`.
    Commit,
    /// `"fsync"`.
    Fsync,
}

impl Level {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Async, Self::Commit, Self::Fsync];

    /// The level that a configuration sets.
    pub fn of(config: &Config) -> Self {
        match (config.persistence.enabled, config.persistence.durability) {
            (false, _) => Self::Memory,
            (true, Durability::Async) => Self::Async,
            (true, Durability::Commit) => Self::Commit,
            (true, Durability::Fsync) => Self::Fsync,
        }
    }

    /// The name of the level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Async => "async",
            Self::Commit => "commit",
            Self::Fsync => "fsync",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = Self::ALL.into_iter().find(|level| level.as_str() == text);
        level.ok_or_else(|| "memory, async, commit or fsync".to_owned())
    }
}

/// Room that the load needs.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Messages in one queue.
    pub messages: u64,
    /// Bytes in one queue.
    pub bytes: u64,
    /// Bytes of one packet.
    pub packet: u64,
    /// Clients connected at the same time.
    pub clients: usize,
}

/// Changes `config` for a broker in `directory`: loopback ports that the system chooses, open
/// to all clients on this machine, no limit below `demand`, and nobody outside who would notice:
/// no bridges, and no collector. All other keys stay as they are.
pub fn configuration(config: &Config, directory: &Path, level: Level, demand: Demand) -> Config {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener {
        bind: ListenAt::Inet(anywhere),
        max_connections: demand.clients,
        ..Listener::default()
    };
    // Each table is named, so that a new one is decided about.
    let Config {
        listeners: _,
        http: _,
        auth: _,
        acl: _,
        bans: _,
        bridges: _,
        telemetry: _,
        mqtt,
        session,
        limits,
        persistence,
        runtime,
    } = config.clone();
    let mut own = Config {
        listeners: BTreeMap::from([("tcp".to_owned(), listener)]),
        http: Http { bind: Bind::Addr(anywhere), console: false, ..Http::default() },
        auth: Auth::default(),
        acl: Acl::default(),
        bans: Bans::default(),
        bridges: BTreeMap::new(),
        telemetry: Telemetry {
            level: "info".to_owned(),
            format: LogFormat::Text,
            ..Telemetry::default()
        },
        mqtt,
        session,
        // The load comes from one address, as fast as it is taken.
        limits: Limits {
            max_connections: limits.max_connections,
            max_memory: limits.max_memory,
            ..Limits::default()
        },
        persistence,
        runtime,
    };

    own.persistence.enabled = level != Level::Memory;
    own.persistence.path = directory.join("ferrymq.db");
    own.persistence.create = true;
    own.persistence.durability = match level {
        Level::Memory => own.persistence.durability,
        Level::Async => Durability::Async,
        Level::Commit => Durability::Commit,
        Level::Fsync => Durability::Fsync,
    };
    at_least(&mut own.persistence.max_size, demand.bytes.saturating_mul(4));

    let messages = usize::try_from(demand.messages).unwrap_or(usize::MAX);
    let session = &mut own.session;
    session.max_expiry = session.max_expiry.max(Span::hours(1));
    session.max_sessions = session.max_sessions.max(demand.clients);
    session.max_queued_messages = session.max_queued_messages.max(messages);
    at_least(&mut session.max_queued_bytes, demand.bytes.saturating_mul(2));
    session.overflow = Overflow::Refuse;
    let sizes = own.sizes(None);
    let connections = sizes.max_connections.max(demand.clients);
    own.limits.max_connections = AutoCount::Set(connections);
    let memory = sizes.max_memory.max(ByteSize(demand.bytes.saturating_mul(2)));
    own.limits.max_memory = AutoSize::Set(memory);

    let mqtt = &mut own.mqtt;
    at_least(&mut mqtt.max_packet_size, demand.packet);
    mqtt.max_retained_bytes = AutoSize::Set(sizes.max_retained_bytes.max(ByteSize::mib(1)));
    mqtt.max_retained_messages = mqtt.max_retained_messages.max(64);
    mqtt.max_topic_levels = mqtt.max_topic_levels.max(8);
    mqtt.retain_available = true;
    own
}

fn at_least(size: &mut ByteSize, bytes: u64) {
    *size = (*size).max(ByteSize(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bridge;

    const DEMAND: Demand = Demand { messages: 10, bytes: 1 << 30, packet: 2000, clients: 10 };

    #[test]
    fn nothing_of_the_real_broker_is_touched() {
        let mut config = Config::default();
        config.listeners.insert("other".to_owned(), Listener::default());
        config.persistence.create = false;
        config.auth.password_file = Some("/nowhere/passwords".into());
        config.bridges.insert("up".to_owned(), Bridge::example());
        config.acl.mosquitto_file = Some("/nowhere/acl".into());
        config.telemetry.otlp_endpoint = "http://collector:4317".into();
        config.limits.publish_rate = 1;
        let own = configuration(&config, Path::new("/s"), Level::Fsync, DEMAND);
        assert_eq!(own.listeners.len(), 1);
        assert_eq!(own.listeners["tcp"].bind.to_string(), "127.0.0.1:0");
        assert_eq!(own.http.bind.to_string(), "127.0.0.1:0");
        assert_eq!(own.auth, Auth::default());
        assert_eq!((own.bridges.len(), own.acl), (0, Acl::default()));
        assert_eq!(own.telemetry.otlp_endpoint, Telemetry::default().otlp_endpoint);
        assert_eq!(own.limits.publish_rate, 0);
        assert_eq!(own.persistence.path, Path::new("/s/ferrymq.db"));
        assert!(own.persistence.create);
    }

    #[test]
    fn what_decides_over_speed_stays_as_it_is_set() {
        let mut config = Config::default();
        config.persistence.elision_window = Span::millis(2);
        config.persistence.wal_checkpoint_pages = 77;
        config.session.inflight_window = 9;
        let own = configuration(&config, Path::new("/s"), Level::Commit, DEMAND);
        assert_eq!(own.persistence.elision_window, Span::millis(2));
        assert_eq!(own.persistence.wal_checkpoint_pages, 77);
        assert_eq!(own.session.inflight_window, 9);
        assert_eq!(Level::of(&own), Level::Commit);
    }
}
