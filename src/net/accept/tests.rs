//! The order of the steps, and what they say about a connection.

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::Authenticator;
use crate::broker::{Persistence, Settings};
use crate::config::{Config, List, Listener, ProxyProtocol};
use crate::net::Transport as _;
use crate::net::tls::{RefusalReason, TlsRefusal};
use crate::store::Recovered;
use crate::telemetry::Metrics;

fn broker() -> Arc<Broker> {
    broker_of(&Config::default())
}

fn broker_of(config: &Config) -> Arc<Broker> {
    Broker::new(
        Settings::from(config),
        Authenticator::load(config).unwrap(),
        Arc::new(Metrics::default()),
        Persistence::new(None, false),
        Recovered::default(),
    )
}

fn pipeline(proxy_protocol: ProxyProtocol) -> Pipeline {
    let trusted_proxies = List(vec!["127.0.0.0/8".parse().unwrap()]);
    let listener = Listener { proxy_protocol, trusted_proxies, ..Listener::default() };
    Pipeline::new("tcp", &listener, Layers::default())
}

/// A connection on which `sent` arrives, and the address that it comes from.
async fn accepted(sent: &[u8]) -> (TcpStream, TcpStream, PeerAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, dialled) = tokio::join!(listener.accept(), dialled);
    let ((stream, peer), mut dialled) = (accepted.unwrap(), dialled.unwrap());
    dialled.write_all(sent).await.unwrap();
    (dialled, stream, peer.into())
}

async fn open(sent: &[u8], until: Instant) -> (Result<Opened<TcpStream>, Refusal>, Origin) {
    let pipeline = pipeline(ProxyProtocol::Any);
    let (_dialled, stream, peer) = accepted(sent).await;
    let mut origin = pipeline.origin(peer);
    let opened = pipeline.open(&broker(), stream, &mut origin, &mut Held::default(), until).await;
    (opened, origin)
}

fn soon() -> Instant {
    Instant::now() + std::time::Duration::from_mins(1)
}

#[tokio::test]
async fn the_client_s_own_address_is_what_all_that_follows_sees() {
    let (opened, origin) = open(b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 1883\r\n", soon()).await;
    let Ok(Opened::Bare(stream)) = opened else { panic!("it stays plain TCP") };
    let client = PeerAddr::from(([192, 0, 2, 7], 40_000));
    assert_eq!((stream.peer(), origin.peer), (client, client));
    assert_eq!((origin.protocol, origin.loopback), (Protocol::Mqtt, false));
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_keeps_its_address() {
    let (opened, origin) = open(b"PROXY UNKNOWN\r\n", soon()).await;
    let Ok(Opened::Bare(stream)) = opened else { panic!("it stays plain TCP") };
    assert_eq!(stream.peer(), origin.peer);
    assert!(matches!(origin.peer, PeerAddr::Inet(address) if address.ip().is_loopback()));
}

#[tokio::test]
async fn a_certificate_that_is_refused_counts_against_a_client_and_against_no_proxy() {
    for (header, banned) in
        [(&b"PROXY UNKNOWN\r\n"[..], 0), (b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 1883\r\n", 1)]
    {
        let mut config = Config::default();
        config.bans.max_failures = 1;
        let broker = broker_of(&config);
        let (_, origin) = open(header, soon()).await;
        let counted = OpenConnection::accepted(broker.metrics.connections.listeners.of("tcp"));
        let refusal = TlsRefusal {
            reason: RefusalReason::NoCertificate,
            detail: "the client showed no certificate".into(),
            is_probe: false,
        };
        Refusal::from(refusal).tell(&broker, &origin, &counted);
        assert_eq!(broker.ban_list(None, 10).0.len(), banned);
    }
}

#[tokio::test]
async fn a_proxy_that_another_one_names_is_not_limited_as_if_it_were_a_client() {
    let mut config = Config::default();
    config.limits.max_connections_per_address = 1;
    let broker = broker_of(&config);
    let own = PeerAddr::from(([127, 0, 0, 9], 1));
    let _admitted = broker.admit(own, "web").unwrap();
    let listener = Listener {
        protocol: Protocol::Ws,
        proxy_protocol: ProxyProtocol::Any,
        trusted_proxies: List(vec!["127.0.0.0/8".parse().unwrap()]),
        ..Listener::default()
    };
    let layers = Layers::load("web", &listener, 1 << 20).unwrap();
    let pipeline = Pipeline::new("web", &listener, layers);
    let sent = "PROXY TCP4 127.0.0.9 10.0.0.1 40000 1883\r\n\
                GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    let (_dialled, stream, peer) = accepted(sent.as_bytes()).await;
    let (mut origin, mut held) = (pipeline.origin(peer), Held::default());
    let opened = pipeline.open(&broker, stream, &mut origin, &mut held, soon()).await;
    assert!(matches!(opened, Ok(Opened::Layered(_))));
    assert_eq!((origin.peer, origin.is_proxy), (([192, 0, 2, 7], 0).into(), false));
    assert!(broker.admit(origin.peer, "web").is_err(), "the client has a place");
}

#[tokio::test]
async fn a_deadline_that_has_passed_ends_the_step_that_it_finds() {
    let (opened, _) = open(b"PROX", Instant::now()).await;
    assert!(matches!(opened, Err(Refusal::Late(Step::ProxyHeader))));
}

#[test]
fn only_who_is_believed_may_name_another_client_for_the_limits_of_its_address() {
    let peer = |address: [u8; 4]| PeerAddr::from((address, 1));
    for proxy_protocol in [ProxyProtocol::Any, ProxyProtocol::Off] {
        let pipeline = pipeline(proxy_protocol);
        let is_on = proxy_protocol == ProxyProtocol::Any;
        assert_eq!(pipeline.origin(peer([127, 0, 0, 1])).is_proxy, is_on);
        assert!(!pipeline.origin(peer([192, 0, 2, 1])).is_proxy, "its own address counts");
    }
    assert!(!pipeline(ProxyProtocol::Any).origin(PeerAddr::Local).is_proxy);
}

#[test]
fn without_proxies_and_layers_there_is_nothing_to_do() {
    assert!(Pipeline::new("tcp", &Listener::default(), Layers::default()).is_bare());
    assert!(!pipeline(ProxyProtocol::V1).is_bare());
}

#[test]
fn loopback_is_nobody_s_privilege_behind_a_proxy() {
    let peer = ([127, 0, 0, 1], 1).into();
    assert!(Pipeline::new("tcp", &Listener::default(), Layers::default()).origin(peer).loopback);
    assert!(!pipeline(ProxyProtocol::V1).origin(peer).loopback);
    assert!(!pipeline(ProxyProtocol::Off).origin(peer).loopback, "X-Forwarded-For");
}
