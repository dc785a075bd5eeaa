//! Brokers at both ends, and the parameters of a connection between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::auth::Authenticator;
use crate::broker::client::Dialled;
use crate::broker::{Broker, Persistence, Settings};
use crate::config::{self, Config, ListenerTls, Protocol};
use crate::net::dial::{ClientTls, Dial, Endpoint};
use crate::net::{Layers, Listener};
use crate::protocol::{Connect, Version};
use crate::store::Recovered;
use crate::telemetry::Metrics;

/// A broker in memory.
pub fn broker(change: impl FnOnce(&mut Config)) -> Arc<Broker> {
    let mut config = Config::default();
    config.persistence.enabled = false;
    change(&mut config);
    Broker::new(
        Settings::from(&config),
        Authenticator::load(&config).unwrap(),
        Arc::new(Metrics::default()),
        Persistence::new(None, false),
        Recovered::default(),
    )
}

/// A broker with one listener, as the other end.
pub struct Remote {
    pub at: SocketAddr,
}

impl Remote {
    pub fn new(protocol: Protocol, tls: Option<&ListenerTls>) -> Self {
        Self::at("127.0.0.1:0", protocol, tls)
    }

    pub fn at(bind: &str, protocol: Protocol, tls: Option<&ListenerTls>) -> Self {
        let listener = config::Listener {
            protocol,
            bind: bind.parse().unwrap(),
            tls: tls.cloned(),
            ..config::Listener::default()
        };
        let broker = broker(|_| {});
        let layers = Layers::load("remote", &listener, broker.settings.max_packet_size).unwrap();
        let bound = Listener::bind("remote", &listener, layers).unwrap().unwrap();
        let at = bound.address().and_then(|at| at.addr()).unwrap();
        tokio::spawn(bound.run(broker, Arc::new(Semaphore::new(100))));
        Self { at }
    }

    pub fn endpoint(&self, tls: Option<ClientTls>, websocket_path: Option<&str>) -> Endpoint {
        endpoint(self.at, tls, websocket_path)
    }
}

pub fn endpoint(at: SocketAddr, tls: Option<ClientTls>, websocket_path: Option<&str>) -> Endpoint {
    Endpoint {
        host: at.ip().to_string(),
        port: at.port(),
        tls: tls.map(Arc::new),
        websocket_path: websocket_path.map(str::to_owned),
    }
}

/// A server that accepts TCP connections, and whose other behaviour is the test's.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

pub fn connect(version: Version) -> Connect {
    Connect {
        clean_start: false,
        keep_alive: 60,
        session_expiry: (version == Version::V5).then_some(u32::MAX),
        ..Connect::new(version, "ferrymq-up")
    }
}

pub fn dial(version: Version) -> Dial {
    Dial {
        connect: connect(version),
        session: "bridge:up".to_owned(),
        listener: "bridge:up".into(),
        dialled: Dialled::default(),
    }
}

/// A deadline that no test reaches.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
