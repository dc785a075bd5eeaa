//! The packets before a CONNACK, over a stream in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;

use super::*;
use crate::auth::Authenticator;
use crate::auth::tests::Echo;
use crate::broker::{Persistence, Settings};
use crate::config::{Config, Method};
use crate::peer::Security;
use crate::protocol::{Auth, Frame};
use crate::store::Recovered;
use crate::telemetry::{AuthMethod, AuthResult, Metrics};

/// One end of a stream in memory, and whether it was told that a client has connected.
struct InMemory(DuplexStream, Arc<AtomicBool>);

impl Transport for InMemory {
    fn peer(&self) -> PeerAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn security(&self) -> Security {
        Security::Plain
    }

    fn client_connected(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

impl AsyncRead for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for InMemory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The client's end of a served stream.
struct Remote {
    stream: DuplexStream,
    received: BytesMut,
    decoder: Decoder,
    served: JoinHandle<()>,
    broker: Arc<Broker>,
    told: Arc<AtomicBool>,
}

/// A broker whose policy has the method `ECHO`, and a stream to it.
fn client() -> Remote {
    client_within("1m")
}

fn client_within(connect_timeout: &str) -> Remote {
    let mut config = Config::default();
    config.mqtt.connect_timeout = connect_timeout.parse().unwrap();
    remote(broker(&config), origin())
}

fn broker(config: &Config) -> Arc<Broker> {
    let authenticator = Authenticator::load(config).unwrap();
    let policy = authenticator.read(config).unwrap().with_enhanced(Arc::new(Echo(Method::Scram)));
    authenticator.replace(policy);
    Broker::new(
        Settings::from(config),
        authenticator,
        Arc::new(Metrics::default()),
        Persistence::new(None, false),
        Recovered::default(),
    )
}

fn origin() -> Origin {
    Origin {
        listener: "tcp".into(),
        loopback: true,
        client: None,
        protocol: crate::config::Protocol::Mqtt,
        peer: ([127, 0, 0, 1], 1).into(),
        is_proxy: false,
        certificate: None,
    }
}

fn remote(broker: Arc<Broker>, origin: Origin) -> Remote {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let told = Arc::<AtomicBool>::default();
    let theirs = InMemory(theirs, Arc::clone(&told));
    let served = tokio::spawn(crate::net::serve_stream(Arc::clone(&broker), theirs, origin));
    let mut decoder = Decoder::client(u32::MAX);
    decoder.set_version(Version::V5);
    Remote { stream: ours, received: BytesMut::new(), decoder, served, broker, told }
}

impl Remote {
    async fn send(&mut self, packets: &[Packet<'_>]) {
        let mut out = BytesMut::new();
        for packet in packets {
            encode::packet(&mut out, Version::V5, packet);
        }
        self.stream.write_all_buf(&mut out).await.unwrap();
    }

    /// The next packet; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Packet<'static>> {
        loop {
            if let Frame::Complete { len } = self.decoder.frame(&self.received).unwrap() {
                let packet = match self.decoder.decode(&self.received[..len]).unwrap() {
                    Packet::Auth(auth) => Packet::Auth(auth),
                    Packet::ConnAck(connack) => Packet::ConnAck(connack),
                    Packet::Disconnect(disconnect) => Packet::Disconnect(disconnect),
                    Packet::PingResp => Packet::PingResp,
                    other => panic!("{other:?}"),
                };
                self.received.advance(len);
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn connack(&mut self) -> ConnAck {
        match self.next().await {
            Some(Packet::ConnAck(connack)) => *connack,
            other => panic!("no CONNACK: {other:?}"),
        }
    }

    /// The reason of the CONNACK, after which the stream ends.
    async fn refusal(mut self) -> ReasonCode {
        let connack = self.connack().await;
        assert_eq!(connack.authentication_method, None, "in successful CONNACKs only");
        assert_eq!(self.next().await, None);
        drop(self.stream);
        self.served.await.unwrap();
        assert_eq!(self.broker.session_counts(), (0, 0));
        connack.reason
    }
}

fn connect(method: Option<&str>, data: Option<&str>) -> Packet<'static> {
    Packet::Connect(Box::new(Connect {
        authentication_method: method.map(str::to_owned),
        authentication_data: data.map(Into::into),
        ..Connect::new(Version::V5, "c")
    }))
}

fn auth(method: &str, data: &str) -> Packet<'static> {
    Packet::Auth(Box::new(Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: Some(method.to_owned()),
        data: Some(data.into()),
        ..Auth::default()
    }))
}

#[tokio::test]
async fn mqtt_4_12_0_2_auth_packets_are_exchanged_before_the_connack() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    client.send(&[auth("ECHO", "alice"), Packet::PingReq]).await;
    let connack = client.connack().await;
    assert_eq!(connack.reason, ReasonCode::Success);
    // [MQTT-4.12.0-5].
    assert_eq!(connack.authentication_method.as_deref(), Some("ECHO"));
    assert_eq!(connack.authentication_data.as_deref(), Some(&b"welcome"[..]));
    // What was sent behind the last AUTH is read.
    assert_eq!(client.next().await, Some(Packet::PingResp));
    let counted = &client.broker.metrics.connections.authentications;
    assert_eq!(counted.get(AuthMethod::Scram, AuthResult::Accepted), 1);
    // And the connection can renew its log-in.
    let again = Auth {
        reason: ReasonCode::ReAuthenticate,
        method: Some("ECHO".into()),
        data: Some(b"alice".into()),
        ..Auth::default()
    };
    client.send(&[Packet::Auth(Box::new(again))]).await;
    let Some(Packet::Auth(answer)) = client.next().await else { panic!("no AUTH") };
    assert_eq!((answer.reason, answer.method.as_deref()), (ReasonCode::Success, Some("ECHO")));
    assert_eq!(answer.data.as_deref(), Some(&b"welcome"[..]));
}

#[tokio::test]
async fn data_in_connect_may_be_enough() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), Some("alice"))]).await;
    assert_eq!(client.connack().await.reason, ReasonCode::Success);
}

#[tokio::test]
async fn layers_are_told_when_a_client_has_connected_and_not_before() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    assert!(!client.told.load(Ordering::SeqCst));
    client.send(&[auth("ECHO", "alice")]).await;
    assert_eq!(client.connack().await.reason, ReasonCode::Success);
    assert!(client.told.load(Ordering::SeqCst));
}

#[tokio::test]
async fn mqtt_4_12_0_6_without_a_method_there_is_none_in_the_connack() {
    let mut client = client();
    client.send(&[connect(None, None)]).await;
    // The method ends the exemption of loopback.
    assert_eq!(client.refusal().await, ReasonCode::NotAuthorized);
}

#[tokio::test]
async fn mqtt_4_12_0_1_an_unknown_method_is_refused() {
    let mut client = client();
    client.send(&[connect(Some("SCRAM-SHA-1"), Some("x"))]).await;
    assert_eq!(client.refusal().await, ReasonCode::BadAuthenticationMethod);
}

#[tokio::test]
async fn mqtt_4_12_0_4_a_client_that_fails_is_refused() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    client.send(&[auth("ECHO", "mallory")]).await;
    let counted = Arc::clone(&client.broker);
    assert_eq!(client.refusal().await, ReasonCode::BadUserNameOrPassword);
    let counted = &counted.metrics.connections.authentications;
    assert_eq!(counted.get(AuthMethod::Scram, AuthResult::BadCredentials), 1);
}

#[tokio::test]
async fn only_auth_of_the_same_method_is_taken_before_the_connack() {
    let again =
        Auth { reason: ReasonCode::ReAuthenticate, method: Some("ECHO".into()), ..Auth::default() };
    for (packet, clause) in [
        (auth("OTHER", "alice"), "MQTT-4.12.0-5"),
        (Packet::PingReq, "MQTT-3.1.2-30"),
        (connect(Some("ECHO"), None), "MQTT-3.1.0-2"),
        (Packet::Auth(Box::new(again)), "MQTT-4.12.0-3"),
    ] {
        let mut client = client();
        client.send(&[connect(Some("ECHO"), None)]).await;
        assert_eq!(client.next().await, Some(auth("ECHO", "who")));
        client.send(&[packet]).await;
        assert_eq!(client.refusal().await, ReasonCode::ProtocolError, "{clause}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_packet_are_answered_by_a_connack() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    client.stream.write_all_buf(&mut &[0xF1, 0][..]).await.unwrap();
    assert_eq!(client.refusal().await, ReasonCode::MalformedPacket);
}

#[tokio::test]
async fn a_client_may_leave_during_the_exchange() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    client.send(&[Packet::Disconnect(Box::default())]).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn the_exchange_ends_with_the_connect_timeout() {
    let mut client = client_within("200ms");
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    assert_eq!(client.next().await, None);
    let listener = client.broker.metrics.connections.listeners.of("tcp");
    assert_eq!(listener.rejected.get(RejectReason::ConnectTimeout), 1);
}

#[tokio::test]
async fn a_client_that_takes_no_packet_as_large_as_the_auth_is_refused() {
    let mut client = client();
    let Packet::Connect(mut small) = connect(Some("ECHO"), None) else { panic!("no CONNECT") };
    small.maximum_packet_size = Some(10);
    client.send(&[Packet::Connect(small)]).await;
    assert_eq!(client.connack().await.reason, ReasonCode::PacketTooLarge);
}

#[tokio::test]
async fn a_stop_ends_an_exchange() {
    let mut client = client();
    client.send(&[connect(Some("ECHO"), None)]).await;
    assert_eq!(client.next().await, Some(auth("ECHO", "who")));
    client.broker.shut_down();
    let stopped = tokio::time::timeout(Duration::from_secs(5), client.refusal());
    assert_eq!(stopped.await.unwrap(), ReasonCode::ServerUnavailable);
}

/// A broker that bans an address at its first failed log-in.
fn banning() -> Arc<Broker> {
    let mut config = Config::default();
    config.bans.max_failures = 1;
    broker(&config)
}

#[tokio::test]
async fn a_connection_from_before_a_ban_is_refused_without_asking_the_authenticator() {
    let broker = banning();
    let [mut guess, mut next] = [(); 2].map(|()| remote(Arc::clone(&broker), origin()));
    guess.send(&[connect(None, None)]).await;
    assert_eq!(guess.refusal().await, ReasonCode::NotAuthorized);
    next.send(&[connect(Some("ECHO"), Some("alice"))]).await;
    assert_eq!(next.refusal().await, ReasonCode::Banned);
    let metrics = &broker.metrics.connections;
    assert_eq!(metrics.authentications.get(AuthMethod::Scram, AuthResult::Accepted), 0);
    assert_eq!(metrics.listeners.of("tcp").rejected.get(RejectReason::Banned), 1);
}

#[tokio::test]
async fn a_proxy_that_has_named_no_client_is_not_banned_for_its_failures() {
    let broker = banning();
    let unnamed = Origin { is_proxy: true, ..origin() };
    let mut client = remote(Arc::clone(&broker), unnamed);
    client.send(&[connect(None, None)]).await;
    assert_eq!(client.refusal().await, ReasonCode::NotAuthorized);
    assert_eq!(broker.ban_list(None, 10).0.len(), 0);
}
