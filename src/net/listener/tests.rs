//! Listeners of each kind, with a broker behind them.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::auth::Authenticator;
use crate::broker::{Persistence, Settings};
use crate::config::{Anonymous, Config, Mode, Protocol, Span};
use crate::store::Recovered;
use crate::telemetry::Metrics;

/// MQTT 3.1.1, Clean Session, no client id.
const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

struct World {
    broker: Arc<Broker>,
    metrics: Arc<ListenerMetrics>,
    at: ListenAt,
    task: JoinHandle<()>,
}

impl World {
    /// A broker with one listener.
    fn new(listener: &config::Listener, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.persistence.enabled = false;
        change(&mut config);
        let broker = Broker::new(
            Settings::from(&config),
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(None, false),
            Recovered::default(),
        );
        let metrics = broker.metrics.connections.listeners.of("tcp");
        let bound = Listener::bind("tcp", listener, Layers::default()).unwrap().unwrap();
        let at = bound.address().unwrap();
        let task = tokio::spawn(bound.run(Arc::clone(&broker), Arc::new(Semaphore::new(100))));
        Self { broker, metrics, at, task }
    }

    fn address(&self) -> SocketAddr {
        self.at.addr().unwrap()
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }
}

fn listener(bind: &str) -> config::Listener {
    config::Listener { bind: bind.parse().unwrap(), ..config::Listener::default() }
}

fn behind_proxy() -> config::Listener {
    let trusted = config::List(vec!["127.0.0.0/8".parse().unwrap()]);
    let proxy_protocol = config::ProxyProtocol::Any;
    config::Listener { proxy_protocol, trusted_proxies: trusted, ..listener("127.0.0.1:0") }
}

async fn connects<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, header: &[u8]) -> bool {
    stream.write_all(header).await.unwrap();
    stream.write_all(CONNECT).await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.is_ok() && answer == CONNACK
}

/// Waits for the end of a connection; a reset is one as well.
async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    read
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ferrymq.sock");
    let (protocol, mode) = (Protocol::Unix, Mode(0o600));
    let unix = config::Listener { protocol, mode, ..listener(path.to_str().unwrap()) };
    let world = World::new(&unix, |_| {});
    assert_eq!(world.at, ListenAt::Path(path.clone()));
    // Without authentication only this machine may connect, which is who a socket is for.
    assert!(connects(&mut UnixStream::connect(&path).await.unwrap(), &[]).await);
    world.broker.shut_down();
    world.task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_of_ipv6_for_all_addresses_accepts_ipv4_as_ipv4() {
    let Ok(socket) = Socket::tcp("[::]:0".parse().unwrap()) else {
        eprintln!("this machine has no IPv6");
        return;
    };
    let port = socket.address().and_then(|at| at.addr()).unwrap().port();
    for address in ["127.0.0.1", "[::1]"] {
        let dialled = TcpStream::connect(format!("{address}:{port}"));
        let (accepted, dialled) = tokio::join!(socket.accept(), dialled);
        let ours = dialled.unwrap().local_addr().unwrap();
        assert_eq!(accepted.unwrap().peer(), ours.into(), "{address}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_the_listener() {
    let world = World::new(&listener("127.0.0.1:0"), |_| {});
    let again = listener(&world.at.to_string());
    let error = Listener::bind("lab", &again, Layers::default()).unwrap_err().to_string();
    assert!(error.starts_with("listener \"lab\" cannot listen on 127.0.0.1:"), "{error}");
    assert!(Listener::bind("lab", &listener("off"), Layers::default()).unwrap().is_none());
}

#[tokio::test]
async fn a_client_behind_a_proxy_is_served_but_not_as_a_local_one() {
    let header = b"PROXY TCP4 127.0.0.1 127.0.0.1 5 6\r\n";
    let world = World::new(&behind_proxy(), |config| {
        config.auth.allow_anonymous = Anonymous::Always;
    });
    assert!(connects(&mut world.dial().await, header).await);
    // Its address on loopback is the proxy's word, and no proof of who it is.
    let world = World::new(&behind_proxy(), |_| {});
    assert!(!connects(&mut world.dial().await, header).await);
}

#[tokio::test]
async fn a_header_that_is_not_believed_ends_the_connection_and_is_counted() {
    let mut untrusting = behind_proxy();
    untrusting.trusted_proxies = config::List(vec!["10.0.0.0/8".parse().unwrap()]);
    for (listener, sent) in
        [(&behind_proxy(), CONNECT), (&untrusting, b"PROXY TCP4 10.0.0.1 10.0.0.1 5 6\r\n")]
    {
        let world = World::new(listener, |_| {});
        let mut dialled = world.dial().await;
        dialled.write_all(sent).await.unwrap();
        assert!(ends(&mut dialled).await.is_empty());
        assert_eq!(world.metrics.rejected.get(RejectReason::ProxyProtocol), 1);
    }
}

#[tokio::test]
async fn probes_are_no_failures() {
    let world = World::new(&behind_proxy(), |_| {});
    for sent in [&b""[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"PROXY UNKNOWN\r\n"] {
        let mut dialled = world.dial().await;
        dialled.write_all(sent).await.unwrap();
        dialled.shutdown().await.unwrap();
        assert!(ends(&mut dialled).await.is_empty());
    }
    assert_eq!(world.metrics.rejected.iter().map(|(_, count)| count).sum::<u64>(), 0);
}

#[tokio::test]
async fn who_hangs_in_a_header_delays_nobody_and_is_ended_by_the_deadline() {
    let world = World::new(&behind_proxy(), |config| {
        config.auth.allow_anonymous = Anonymous::Always;
        config.mqtt.connect_timeout = Span::millis(300);
    });
    let mut hanging = world.dial().await;
    hanging.write_all(b"PROX").await.unwrap();
    assert!(connects(&mut world.dial().await, b"PROXY UNKNOWN\r\n").await);
    assert!(ends(&mut hanging).await.is_empty());
    assert_eq!(world.metrics.rejected.get(RejectReason::ConnectTimeout), 1);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_who_hangs_in_a_header() {
    // The default deadline of 10 s would be longer than this test may take.
    let world = World::new(&behind_proxy(), |config| config.mqtt.connect_timeout = Span::hours(1));
    let mut hanging = world.dial().await;
    hanging.write_all(b"PROX").await.unwrap();
    // Once it is accepted.
    while world.metrics.handshaking.get() == 0 {
        tokio::task::yield_now().await;
    }
    world.broker.shut_down();
    assert!(ends(&mut hanging).await.is_empty());
    assert_eq!(world.metrics.rejected.iter().map(|(_, count)| count).sum::<u64>(), 0);
}
