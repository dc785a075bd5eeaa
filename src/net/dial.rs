//! Dials a connection: sends CONNECT, awaits CONNACK, and attaches the local session. After
//! that it is handled like any other connection.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use super::connection::Connection;
use super::scratch::{self, Consumed, Partial};
use super::transport::Transport;
use crate::auth::Identity;
use crate::broker::client::{Dialled, Peer};
use crate::broker::{Accepted, Broker};
use crate::protocol::{
    ConnAck, Connect, DecodeError, Decoder, Frame, Packet, QoS, ReasonCode, Version, encode,
};
use crate::telemetry::Label as _;

/// The parameters of a connection to dial.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The CONNECT that is sent to the other end.
    pub connect: Connect,
    /// The client id of the session at this broker.
    pub session: String,
    /// The listener name under which rules and logs know the connection.
    pub listener: Arc<str>,
    /// The subscriptions at both ends.
    pub dialled: Dialled,
}

/// Why a connection was not established.
#[derive(Debug, Error)]
pub enum DialError {
    /// A network error, or the end of the stream.
    #[error("the connection ended before CONNACK: {0}")]
    Lost(#[from] std::io::Error),
    /// `mqtt.connect_timeout` has passed.
    #[error("no CONNACK within mqtt.connect_timeout")]
    Timeout,
    /// The other end refused the connection.
    #[error("the server refused the connection: {} (0x{:02x})", .0.description(), *.0 as u8)]
    Refused(ReasonCode),
    /// The answer is not a valid packet.
    #[error("the server's answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// A packet other than CONNACK came first [MQTT-3.2.0-1].
    #[error("the server sent another packet before CONNACK")]
    Unexpected,
    /// QoS 2 messages could not be forwarded at QoS 2.
    #[error("the server takes messages up to QoS {} only", *.0 as u8)]
    LowerQoS(QoS),
    /// This broker refused the session.
    #[error("this broker has no session for the connection: {}", .0.description())]
    NoSession(ReasonCode),
}

/// Serves a stream that was dialled, from CONNECT to its end.
///
/// # Errors
/// The connection was not established: see [`DialError`].
pub async fn dial_stream<S: Transport>(
    broker: Arc<Broker>,
    mut stream: S,
    dial: &Dial,
) -> Result<(), DialError> {
    // Boxed, so that it takes no room in the task while the connection lives.
    let opening = Box::pin(open(&broker, &mut stream, &dial.connect));
    let opened = tokio::select! {
        biased;
        opened = tokio::time::timeout(broker.connect_settings().connect_timeout, opening) => opened,
        // A shutdown does not wait for a silent server.
        () = broker.until_shut_down() => {
            return Err(DialError::NoSession(ReasonCode::ServerShuttingDown));
        }
    };
    let (connack, partial, decoder) = opened.map_err(|_| DialError::Timeout)??;
    let peer = Peer {
        address: stream.peer(),
        listener: Arc::clone(&dial.listener),
        identity: Identity::default(),
        certificate: None,
    };
    let connect = session_of(dial, &connack);
    // Outside the time-out: a session that was taken over must get its new connection.
    let Accepted { client, .. } =
        broker.connect(&connect, peer).await.map_err(DialError::NoSession)?;
    let mut client = Box::new(client);
    client.dialled(&connack, dial.dialled.clone());
    tracing::info!(
        client_id = &*dial.session, server = %stream.peer(), version = dial.connect.version.as_str(),
        session_present = connack.session_present, "connected to a server"
    );
    let keep_alive = connack.server_keep_alive.unwrap_or(dial.connect.keep_alive);
    let metrics = Arc::clone(&broker.metrics);
    drop(broker);
    let connection = Connection::new(stream, partial, decoder, keep_alive, metrics).dialled();
    Box::new(connection).run(client).await;
    Ok(())
}

/// The CONNECT for the local session, with the limits of the other end.
fn session_of(dial: &Dial, connack: &ConnAck) -> Connect {
    Connect {
        client_id: dial.session.clone(),
        clean_start: false,
        session_expiry: Some(u32::MAX),
        receive_maximum: connack.receive_maximum,
        maximum_packet_size: connack.maximum_packet_size,
        topic_alias_maximum: connack.topic_alias_maximum.unwrap_or(0),
        will: None,
        username: None,
        password: None,
        authentication_method: None,
        authentication_data: None,
        ..dial.connect.clone()
    }
}

async fn open<S: Transport>(
    broker: &Broker,
    stream: &mut S,
    connect: &Connect,
) -> Result<(ConnAck, Partial, Decoder), DialError> {
    let mut out = BytesMut::new();
    encode::connect(&mut out, connect);
    stream.write_all_buf(&mut out).await?;
    stream.flush().await?;
    let most = connect.maximum_packet_size.unwrap_or(broker.settings.max_packet_size);
    let mut decoder = Decoder::client(most);
    decoder.set_version(connect.version);
    let mut partial = Partial::default();
    let connack = read_connack(stream, &mut partial, &decoder).await?;
    if connack.reason.is_failure() {
        return Err(DialError::Refused(connack.reason));
    }
    match connack.maximum_qos {
        Some(most) if most < QoS::ExactlyOnce && connect.version == Version::V5 => {
            Err(DialError::LowerQoS(most))
        }
        _ => Ok((connack, partial, decoder)),
    }
}

async fn read_connack<S: AsyncRead + Unpin>(
    stream: &mut S,
    partial: &mut Partial,
    decoder: &Decoder,
) -> Result<ConnAck, DialError> {
    let mut connack = None;
    loop {
        let read = poll_fn(|context| {
            scratch::poll_read(stream, partial, context, |bytes| {
                take_connack(decoder, bytes, &mut connack)
            })
        })
        .await??;
        if let Some(connack) = connack {
            return Ok(connack);
        }
        if read == 0 {
            return Err(DialError::Lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

fn take_connack(
    decoder: &Decoder,
    bytes: &[u8],
    connack: &mut Option<ConnAck>,
) -> Result<Consumed, DialError> {
    match decoder.frame(bytes)? {
        Frame::Incomplete { needed } => Ok(Consumed { bytes: 0, needed }),
        Frame::Complete { len } => {
            let Packet::ConnAck(packet) = decoder.decode(bytes.get(..len).unwrap_or_default())?
            else {
                return Err(DialError::Unexpected);
            };
            *connack = Some(*packet);
            Ok(Consumed { bytes: len, needed: None })
        }
    }
}
