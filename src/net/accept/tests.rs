//! The order of the steps, and what they say about a connection.

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::auth::Authenticator;
use crate::broker::{Persistence, Settings};
use crate::config::{Config, List, Listener, ProxyProtocol};
use crate::net::Transport as _;
use crate::store::Recovered;
use crate::telemetry::Metrics;

fn broker() -> Arc<Broker> {
    let config = Config::default();
    Broker::new(
        Settings::from(&config),
        Authenticator::load(&config).unwrap(),
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
        assert_eq!(pipeline.awaits_client(peer([127, 0, 0, 1])), is_on);
        assert!(!pipeline.awaits_client(peer([192, 0, 2, 1])), "its own address counts");
    }
    assert!(!pipeline(ProxyProtocol::Any).awaits_client(PeerAddr::Local));
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
