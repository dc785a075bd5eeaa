//! CONNECT, CONNACK and the end, against a server that is played packet by packet.

use std::future::pending;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::support::{broker, connect, dial};
use crate::broker::Broker;
use crate::config::Span;
use crate::net::dial::{DialError, End, Ended, dial_stream, log_in};
use crate::net::transport::Established;
use crate::peer::Security;
use crate::protocol::encode;
use crate::protocol::{ConnAck, Decoder, Disconnect, Frame, QoS, ReasonCode, Version};

type Stream = Established<DuplexStream>;

fn stream() -> (Stream, DuplexStream) {
    let (near, far) = duplex(1 << 16);
    (Established::new(near, ([127, 0, 0, 1], 1).into(), Security::Plain), far)
}

/// Reads one packet, and returns its bytes.
async fn packet(server: &mut DuplexStream) -> Vec<u8> {
    let mut read = BytesMut::new();
    let decoder = Decoder::server(u32::MAX);
    loop {
        if let Frame::Complete { len } = decoder.frame(&read).unwrap() {
            assert_eq!(len, read.len(), "one packet at a time");
            return read.to_vec();
        }
        assert!(server.read_buf(&mut read).await.unwrap() > 0, "the client closed");
    }
}

async fn answer(server: &mut DuplexStream, version: Version, connack: &ConnAck) {
    packet(server).await;
    let mut out = BytesMut::new();
    encode::connack(&mut out, version, connack);
    server.write_all(&out).await.unwrap();
}

async fn accept(server: &mut DuplexStream, version: Version) {
    answer(server, version, &ConnAck::default()).await;
}

fn local() -> Arc<Broker> {
    broker(|config| config.mqtt.connect_timeout = Span::millis(300))
}

/// What becomes of a CONNECT that is answered with these bytes.
async fn answered(version: Version, bytes: &[u8]) -> Result<ConnAck, DialError> {
    let (stream, mut server) = stream();
    let (broker, connect) = (local(), connect(version));
    let play = async {
        packet(&mut server).await;
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let (logged_in, ()) = tokio::join!(log_in(&broker, stream, &connect), play);
    logged_in.map(|it| *it.connack)
}

#[tokio::test]
async fn a_server_of_3_1_1_refuses_5_0_in_its_own_form() {
    // [MQTT-3.1.2-2] of 3.1.1: return code 1, and no properties.
    let refused = answered(Version::V5, &[0x20, 2, 0, 1]).await.unwrap_err();
    let DialError::Refused(refused) = refused else { panic!("{refused}") };
    assert_eq!(refused.reason, ReasonCode::UnsupportedProtocolVersion);
    let refused = answered(Version::V5, &[0x20, 3, 0, 0x84, 0]).await.unwrap_err();
    assert!(refused.to_string().contains("unsupported protocol version (0x84)"), "{refused}");
    // What accepts has to be of the version that was asked for.
    let accepted = answered(Version::V5, &[0x20, 2, 0, 0]).await.unwrap_err();
    assert!(matches!(accepted, DialError::Malformed(_)), "{accepted}");
}

#[tokio::test]
async fn what_the_server_says_about_a_refusal_is_told() {
    let connack = ConnAck {
        reason: ReasonCode::UseAnotherServer,
        reason_string: Some("moved".to_owned()),
        server_reference: Some("b.example:1883".to_owned()),
        ..ConnAck::default()
    };
    let mut out = BytesMut::new();
    encode::connack(&mut out, Version::V5, &connack);
    let refused = answered(Version::V5, &out).await.unwrap_err().to_string();
    assert!(refused.contains("0x9c") && refused.contains("\"moved\""), "{refused}");
    assert!(refused.contains("b.example:1883"), "{refused}");
}

#[tokio::test]
async fn a_server_may_close_be_silent_or_say_something_else() {
    for (bytes, is_expected) in [
        (&[][..], (|error| matches!(error, DialError::Closed)) as fn(&DialError) -> bool),
        (&[0x20][..], |error| matches!(error, DialError::Closed)),
        (&[0xD0, 0][..], |error| matches!(error, DialError::Unexpected)),
        (&[0x20, 3, 2, 0, 0][..], |error| matches!(error, DialError::Malformed(_))),
    ] {
        let error = answered(Version::V5, bytes).await.unwrap_err();
        assert!(is_expected(&error), "{bytes:?}: {error}");
    }
    let (stream, _server) = stream();
    let error = log_in(&local(), stream, &connect(Version::V5)).await.unwrap_err();
    assert!(matches!(error, DialError::Timeout), "{error}");
    assert!(error.to_string().contains("mqtt.connect_timeout"));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_silent_server() {
    let (stream, _server) = stream();
    let broker = broker(|config| config.mqtt.connect_timeout = Span::hours(1));
    let connect = connect(Version::V5);
    let (logged_in, ()) =
        tokio::join!(log_in(&broker, stream, &connect), async { broker.shut_down() });
    assert!(matches!(logged_in.unwrap_err(), DialError::NoSession(_)));
}

#[tokio::test]
async fn a_server_that_takes_no_qos_2_is_accepted_and_its_limit_is_known() {
    let (stream, mut server) = stream();
    let (broker, connect) = (local(), connect(Version::V5));
    let connack = ConnAck { maximum_qos: Some(QoS::AtLeastOnce), ..ConnAck::default() };
    let (logged_in, ()) =
        tokio::join!(log_in(&broker, stream, &connect), answer(&mut server, Version::V5, &connack));
    assert_eq!(logged_in.unwrap().connack.maximum_qos, Some(QoS::AtLeastOnce));
}

/// How a connection ends that `play` ends after its CONNACK.
async fn ended(version: Version, play: impl AsyncFnOnce(&mut DuplexStream)) -> Ended {
    let (stream, mut server) = stream();
    let dial = dial(version);
    let play = async {
        accept(&mut server, version).await;
        play(&mut server).await;
    };
    let (ended, ()) = tokio::join!(dial_stream(local(), stream, &dial), play);
    ended.unwrap()
}

#[tokio::test]
async fn the_end_says_by_whom_and_why() {
    let closed = ended(Version::V5, async |server| server.shutdown().await.unwrap()).await;
    assert_eq!(closed.end, End::Lost("the server closed the connection"));
    let told = ended(Version::V5, async |server| {
        let (reason, text) = (ReasonCode::SessionTakenOver, Some("twice".to_owned()));
        let disconnect = Disconnect { reason, reason_string: text, ..Disconnect::default() };
        let mut out = BytesMut::new();
        encode::disconnect(&mut out, Version::V5, &disconnect);
        server.write_all(&out).await.unwrap();
    });
    let (reason, text) = (ReasonCode::SessionTakenOver, Some("twice".to_owned()));
    assert_eq!(told.await.end, End::ByServer { reason, text, server_reference: None });
    let broken = ended(Version::V311, async |server| server.write_all(&[0, 0]).await.unwrap());
    assert!(matches!(broken.await.end, End::ByBroker(ReasonCode::MalformedPacket, _)));
}

#[tokio::test]
async fn a_connection_that_is_stopped_sends_disconnect_with_its_will() {
    for (version, bytes) in [(Version::V5, &[0xE0, 1, 4][..]), (Version::V311, &[0xE0, 0][..])] {
        let (stream, mut server) = stream();
        let (broker, dial) = (local(), dial(version));
        let (logged_in, ()) =
            tokio::join!(log_in(&broker, stream, &dial.connect), accept(&mut server, version));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let play = async {
            stop.send(()).unwrap();
            let mut read = Vec::new();
            server.read_to_end(&mut read).await.unwrap();
            read
        };
        let logged_in = logged_in.unwrap();
        let (ended, read) = tokio::join!(logged_in.serve(broker, &dial, stopped), play);
        assert_eq!(ended.unwrap().end, End::Stopped);
        assert!(read.starts_with(bytes), "{read:?}");
    }
}

#[tokio::test]
async fn a_session_that_this_broker_refuses_is_an_error() {
    let (stream, mut server) = stream();
    let (broker, dial) = (local(), dial(Version::V5));
    let (logged_in, ()) =
        tokio::join!(log_in(&broker, stream, &dial.connect), accept(&mut server, Version::V5));
    broker.shut_down();
    let ended = logged_in.unwrap().serve(broker, &dial, pending()).await;
    assert!(matches!(ended.unwrap_err(), DialError::NoSession(ReasonCode::ServerShuttingDown)));
}
