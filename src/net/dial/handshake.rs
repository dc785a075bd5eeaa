//! The dialling end of a connection on an open stream: sends CONNECT, awaits CONNACK, and
//! attaches the session at this broker. After that it is handled like any other connection.

use std::future::{pending, poll_fn};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::time::Instant;

use super::ended::Ended;
use super::error::{DialError, Refused};
use crate::auth::Identity;
use crate::broker::client::{Dialled, Peer};
use crate::broker::{Accepted, Broker};
use crate::net::connection::Connection;
use crate::net::scratch::{self, Consumed, Partial};
use crate::net::transport::Transport;
use crate::protocol::{ConnAck, Connect, Decoder, Frame, Packet, QoS, ReasonCode, Version, encode};

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

/// A stream on which the server has accepted CONNECT.
#[derive(Debug)]
pub struct LoggedIn<S> {
    stream: S,
    /// The server's answer.
    pub connack: Box<ConnAck>,
    partial: Partial,
    decoder: Decoder,
    /// When CONNACK was received.
    since: Instant,
}

/// Serves a stream that was dialled, from CONNECT to its end.
///
/// # Errors
/// The connection was not established: see [`DialError`].
pub async fn dial_stream<S: Transport>(
    broker: Arc<Broker>,
    stream: S,
    dial: &Dial,
) -> Result<Ended, DialError> {
    // Boxed, so that it takes no room in the task while the connection lives.
    let logged_in = Box::pin(log_in(&broker, stream, &dial.connect)).await?;
    logged_in.serve(broker, dial, pending()).await
}

/// Sends CONNECT and awaits CONNACK, for `mqtt.connect_timeout` at most, and until this broker
/// shuts down. It can be cancelled by dropping it, which closes the stream.
///
/// # Errors
/// The server did not accept, or not in time.
pub async fn log_in<S: Transport>(
    broker: &Broker,
    mut stream: S,
    connect: &Connect,
) -> Result<LoggedIn<S>, DialError> {
    let most = connect.maximum_packet_size.unwrap_or(broker.settings.max_packet_size);
    let mut decoder = Decoder::client(most);
    decoder.set_version(connect.version);
    let mut partial = Partial::default();
    let answer = ask(&mut stream, &mut partial, &decoder, connect);
    let answer = tokio::time::timeout(broker.connect_settings().connect_timeout, answer);
    let connack = tokio::select! {
        biased;
        answered = answer => answered.map_err(|_| DialError::Timeout)??,
        // A shutdown does not wait for a silent server.
        () = broker.until_shut_down() => {
            return Err(DialError::NoSession(ReasonCode::ServerShuttingDown));
        }
    };
    Ok(LoggedIn { stream, connack: Box::new(connack), partial, decoder, since: Instant::now() })
}

impl<S: Transport> LoggedIn<S> {
    /// Attaches the session at this broker and serves the connection until its end, or until
    /// `stop` is ready, after which the server is sent a DISCONNECT. Must not be cancelled: see
    /// [`Broker::connect_bridge`].
    ///
    /// # Errors
    /// [`DialError::NoSession`]: this broker has refused the session.
    pub async fn serve(
        self,
        broker: Arc<Broker>,
        dial: &Dial,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, DialError> {
        let Self { stream, connack, partial, decoder, since } = self;
        let identity =
            Identity { username: Some(dial.session.as_str().into()), ..Identity::default() };
        let peer = Peer {
            address: stream.peer(),
            listener: Arc::clone(&dial.listener),
            identity,
            certificate: None,
        };
        let connect = session_of(dial, &connack);
        let max_qos = connack.maximum_qos.unwrap_or(QoS::ExactlyOnce);
        let limits = (&*dial.dialled.terms, max_qos);
        let accepted = broker.connect_bridge(&connect, peer, limits).await;
        let Accepted { client, gate, .. } = accepted.map_err(DialError::NoSession)?;
        let mut client = Box::new(client);
        client.dialled(&connack, dial.dialled.clone(), gate);
        // 0: the server will not look for silent clients. This end looks for a silent server, as a
        // client may send PINGREQ at any time (v5, 3.1.2.10).
        let wanted = connack.server_keep_alive.filter(|seconds| *seconds > 0);
        let keep_alive = wanted.unwrap_or(dial.connect.keep_alive);
        let metrics = Arc::clone(&broker.metrics);
        drop((broker, connect, connack));
        let connection = Connection::new(stream, partial, decoder, keep_alive, metrics).dialled();
        let end = Box::new(connection).run_until(client, stop).await;
        Ok(Ended { end, lasted: since.elapsed() })
    }
}

/// Messages in flight to a server of 3.1.1, which has no way to tell how many it takes. Mosquitto
/// closes the connection for more: its `max_inflight_messages` is 20.
const IN_FLIGHT_BEFORE_V5: u16 = 20;

/// The CONNECT for the local session, with the limits of the other end.
fn session_of(dial: &Dial, connack: &ConnAck) -> Connect {
    Connect {
        client_id: dial.session.clone(),
        clean_start: false,
        session_expiry: Some(u32::MAX),
        receive_maximum: if dial.connect.version == Version::V5 {
            connack.receive_maximum
        } else {
            Some(IN_FLIGHT_BEFORE_V5)
        },
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

async fn ask<S: Transport>(
    stream: &mut S,
    partial: &mut Partial,
    decoder: &Decoder,
    connect: &Connect,
) -> Result<ConnAck, DialError> {
    let mut out = BytesMut::new();
    encode::connect(&mut out, connect);
    let sent = async {
        stream.write_all_buf(&mut out).await?;
        stream.flush().await
    };
    sent.await.map_err(DialError::from_io)?;
    let connack = read_connack(stream, partial, decoder).await?;
    if connack.reason.is_failure() {
        let ConnAck { reason, reason_string: text, server_reference, .. } = connack;
        return Err(DialError::Refused(Box::new(Refused { reason, text, server_reference })));
    }
    Ok(connack)
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
        });
        let read = read.await.map_err(DialError::from_io)??;
        if let Some(connack) = connack {
            return Ok(connack);
        }
        if read == 0 {
            return Err(DialError::Closed);
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
            let frame = bytes.get(..len).unwrap_or_default();
            let packet = match refusal_of_311(frame) {
                Some(refusal) => refusal,
                None => decoder.decode(frame)?,
            };
            let Packet::ConnAck(packet) = packet else { return Err(DialError::Unexpected) };
            *connack = Some(*packet);
            Ok(Consumed { bytes: len, needed: None })
        }
    }
}

/// A CONNACK of 3.1.1 that refuses, also as the answer to a CONNECT of 5.0: a server that knows
/// only 3.1.1 answers in its own form, with return code 1 [MQTT-3.1.2-2 of 3.1.1]. One of 5.0
/// is longer.
fn refusal_of_311(frame: &[u8]) -> Option<Packet<'_>> {
    let [0x20, 2, 0, code] = frame else { return None };
    let mut decoder = Decoder::client(u32::MAX);
    decoder.set_version(Version::V311);
    (*code != 0).then(|| decoder.decode(frame).ok()).flatten()
}
