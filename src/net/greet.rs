//! From an accepted stream to a connected client: CONNECT is awaited, checked and
//! answered, all within the connect timeout.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::transport::Transport;

use super::connection::Connection;
use super::linger;
use super::listener::Origin;
use super::scratch::{self, Consumed, Partial};
use crate::auth::{Decision, Request};
use crate::broker::client::{Client, Peer};
use crate::broker::{Accepted, Broker};
use crate::protocol::{
    ConnAck, Connect, DecodeError, Decoder, Frame, Packet, ReasonCode, Reply, Version, encode,
};
use crate::telemetry::{Label as _, OpenConnection, PacketType, RejectReason};

/// Why there was no connection.
enum Refusal {
    /// Answered, as far as the protocol has an answer: what came is no CONNECT.
    Malformed(DecodeError),
    /// Answered: this CONNECT is not welcome.
    Unwelcome(ReasonCode, Box<Connect>),
    /// Not worth a word: the other end is gone, or never spoke.
    Silent,
}

/// Serves one accepted stream from its first byte to its last; `counted` lives as long.
pub async fn serve<S: Transport>(
    broker: Arc<Broker>,
    mut stream: S,
    origin: Origin,
    mut counted: OpenConnection,
) {
    // Apart, so that it takes no room in the task as long as the connection lives.
    let opening = Box::pin(open(&broker, &mut stream, &origin, &mut counted));
    let Some((client, partial, decoder, keep_alive)) = opening.await else { return };
    let metrics = Arc::clone(&broker.metrics);
    drop(broker);
    Connection::new(stream, partial, decoder, keep_alive, metrics).run(client).await;
}

/// A connected client, or nothing: then the stream has been answered and closed.
async fn open<S: Transport>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    counted: &mut OpenConnection,
) -> Option<(Box<Client>, Partial, Decoder, u16)> {
    let greeting = greet(broker, stream, origin, counted);
    let greeted = tokio::time::timeout(broker.settings.connect_timeout, greeting).await;
    let refusal = match greeted {
        // Not within the time-out: what is taken from another connection has to go on.
        Ok(Ok((connect, peer, partial, decoder))) => match broker.connect(&connect, peer).await {
            Ok(Accepted { client, connack, gate }) => {
                let mut client = Box::new(client);
                let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
                client.open(connack, gate);
                tracing::info!(
                    client_id = &**client.client_id(), remote = %origin.peer,
                    listener = &*origin.listener, user = client.principal().username.as_deref(),
                    version = client.version().as_str(), "connected"
                );
                counted.connected(client.version());
                return Some((client, partial, decoder, keep_alive));
            }
            Err(reason) => refuse(stream, counted, connect, reason).await,
        },
        Ok(Err(refusal)) => refusal,
        Err(_) => {
            counted.rejected(RejectReason::ConnectTimeout);
            tracing::info!(
                remote = %origin.peer, listener = &*origin.listener,
                "no CONNECT within mqtt.connect_timeout"
            );
            return None;
        }
    };
    log_refusal(origin, &refusal);
    let _ = linger::close(stream).await;
    None
}

/// Answers a CONNECT that is not accepted.
async fn refuse<S: AsyncWrite + Unpin>(
    stream: &mut S,
    counted: &OpenConnection,
    connect: Box<Connect>,
    reason: ReasonCode,
) -> Refusal {
    counted.rejected(rejection(reason));
    answer(stream, connect.version, reason).await;
    Refusal::Unwelcome(reason, connect)
}

fn log_refusal(origin: &Origin, refusal: &Refusal) {
    let (remote, listener) = (origin.peer, &*origin.listener);
    match refusal {
        Refusal::Malformed(error) => tracing::info!(
            %remote, listener, reason = ?error.reason, %error,
            "connection refused: it does not begin with a CONNECT that can be read"
        ),
        Refusal::Unwelcome(reason, connect) => {
            let (client_id, user) = (&*connect.client_id, connect.username.as_deref());
            if rejection(*reason) == RejectReason::Authentication {
                tracing::warn!(%remote, listener, client_id, user, ?reason, "authentication failed");
            } else {
                tracing::warn!(%remote, listener, client_id, user, ?reason, "connection refused");
            }
        }
        Refusal::Silent => tracing::debug!(%remote, listener, "closed before CONNECT"),
    }
}

async fn greet<S: Transport>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    counted: &OpenConnection,
) -> Result<(Box<Connect>, Peer, Partial, Decoder), Refusal> {
    let mut decoder = Decoder::server(broker.settings.max_packet_size);
    let mut partial = Partial::default();
    let connect = match read_connect(stream, &mut partial, &decoder).await {
        Ok(Some(connect)) => connect,
        Ok(None) => return Err(Refusal::Silent),
        Err(error) => {
            broker.metrics.connections.protocol_errors.inc(error.reason.into());
            if let Reply::ConnAck(version) = error.reply {
                answer(stream, version, error.reason).await;
            }
            return Err(Refusal::Malformed(error));
        }
    };
    broker.metrics.packets.received.inc(PacketType::Connect);
    decoder.set_version(connect.version);
    match authenticate(broker, &connect, origin).await {
        Ok(peer) => Ok((connect, peer, partial, decoder)),
        Err(reason) => Err(refuse(stream, counted, connect, reason).await),
    }
}

/// Who it is, and whether it may come in.
async fn authenticate(
    broker: &Arc<Broker>,
    connect: &Connect,
    origin: &Origin,
) -> Result<Peer, ReasonCode> {
    if broker.is_shutting_down() {
        return Err(ReasonCode::ServerShuttingDown);
    }
    broker.check_connect(connect)?;
    let request = Request {
        listener: &origin.listener,
        loopback: origin.loopback,
        client_id: &connect.client_id,
        username: connect.username.as_deref(),
        password: connect.password.as_deref(),
        peer: origin.peer,
    };
    let decision = broker.authenticator.connect(request).await;
    broker.metrics.connections.authentications.inc(decision.as_result());
    match decision {
        Decision::Allow(identity) => {
            let peer =
                Peer { address: origin.peer, listener: Arc::clone(&origin.listener), identity };
            broker.check_will(connect, &peer)?;
            Ok(peer)
        }
        Decision::Refuse(reason) => Err(reason),
    }
}

fn rejection(reason: ReasonCode) -> RejectReason {
    match reason {
        ReasonCode::BadUserNameOrPassword
        | ReasonCode::NotAuthorized
        | ReasonCode::BadAuthenticationMethod => RejectReason::Authentication,
        ReasonCode::ClientIdentifierNotValid => RejectReason::ClientId,
        ReasonCode::QuotaExceeded => RejectReason::SessionLimit,
        _ => RejectReason::Unavailable,
    }
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, version: Version, reason: ReasonCode) {
    let mut out = BytesMut::new();
    let connack = ConnAck { reason, ..ConnAck::default() };
    encode::connack(&mut out, version, &connack);
    let _ = stream.write_all_buf(&mut out).await;
}

/// Reads until the first frame is whole. `None`: the other end has closed.
async fn read_connect<S: AsyncRead + Unpin>(
    stream: &mut S,
    partial: &mut Partial,
    decoder: &Decoder,
) -> Result<Option<Box<Connect>>, DecodeError> {
    let mut connect = None;
    while connect.is_none() {
        let read = poll_fn(|context| {
            scratch::poll_read(stream, partial, context, |bytes| {
                take_connect(decoder, bytes, &mut connect)
            })
        })
        .await;
        match read {
            Ok(Ok(0)) | Err(_) => return Ok(None),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(connect)
}

fn take_connect(
    decoder: &Decoder,
    bytes: &[u8],
    connect: &mut Option<Box<Connect>>,
) -> Result<Consumed, DecodeError> {
    match decoder.frame(bytes)? {
        Frame::Incomplete { needed } => Ok(Consumed { bytes: 0, needed }),
        Frame::Complete { len } => {
            // Framing lets nothing but CONNECT through here [MQTT-3.1.0-1].
            if let Packet::Connect(packet) = decoder.decode(bytes.get(..len).unwrap_or_default())? {
                *connect = Some(packet);
            }
            // What follows is left for the connection, which knows the version.
            Ok(Consumed { bytes: len, needed: None })
        }
    }
}
