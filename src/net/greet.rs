//! From an accepted stream to a connected client: CONNECT is awaited, checked and
//! answered, all within the connect timeout.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

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
    Unwelcome(Rejection, Box<Connect>),
    /// The connection closed, or the broker shuts down, before a CONNECT came.
    Silent,
}

/// What the client, the counter and the log are told of a refused CONNECT.
#[derive(Debug, Clone, Copy)]
struct Rejection {
    reason: ReasonCode,
    counted: RejectReason,
    /// With the key of the configuration that decides, if there is one.
    detail: &'static str,
}

/// Serves one accepted stream from its first byte to its last; `counted` lives as long.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    broker: Arc<Broker>,
    mut stream: S,
    origin: Origin,
    mut counted: OpenConnection,
) {
    let greeting = greet(&broker, &mut stream, &origin, &counted);
    let greeted = tokio::time::timeout(broker.settings.connect_timeout, greeting).await;
    let (client, partial, decoder, keep_alive) = match greeted {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(refusal)) => {
            log_refusal(&origin, &refusal);
            let _ = linger::close(&mut stream).await;
            return;
        }
        Err(_) => {
            counted.rejected(RejectReason::ConnectTimeout);
            tracing::info!(
                remote = %origin.peer, listener = &*origin.listener,
                "no CONNECT within mqtt.connect_timeout"
            );
            return;
        }
    };
    tracing::info!(
        client_id = &**client.client_id(), remote = %origin.peer, listener = &*origin.listener,
        user = client.peer().identity.username.as_deref(), version = client.version().as_str(), "connected"
    );
    let metrics = Arc::clone(&broker.metrics);
    counted.connected(client.version());
    Connection::new(stream, partial, decoder, keep_alive, metrics).run(client).await;
}

fn log_refusal(origin: &Origin, refusal: &Refusal) {
    let (remote, listener) = (origin.peer, &*origin.listener);
    match refusal {
        Refusal::Malformed(error) => tracing::info!(
            %remote, listener, reason = ?error.reason, %error,
            "connection refused: it does not begin with a CONNECT that can be read"
        ),
        Refusal::Unwelcome(Rejection { reason, counted, detail }, connect) => {
            let (client_id, user) = (&*connect.client_id, connect.username.as_deref());
            if *counted == RejectReason::Authentication {
                tracing::warn!(%remote, listener, client_id, user, ?reason, detail, "authentication failed");
            } else {
                tracing::warn!(%remote, listener, client_id, user, ?reason, detail, "connection refused");
            }
        }
        Refusal::Silent => tracing::debug!(%remote, listener, "closed before CONNECT"),
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    counted: &OpenConnection,
) -> Result<(Client, Partial, Decoder, u16), Refusal> {
    let mut decoder = Decoder::server(broker.settings.max_packet_size);
    let mut partial = Partial::default();
    let read = tokio::select! {
        biased;
        read = read_connect(stream, &mut partial, &decoder) => read,
        () = broker.until_shut_down() => Ok(None),
    };
    let connect = match read {
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
    let accepted = match admit(broker, &connect, origin).await {
        Ok(accepted) => accepted,
        Err(rejection) => {
            counted.rejected(rejection.counted);
            answer(stream, connect.version, rejection.reason).await;
            return Err(Refusal::Unwelcome(rejection, connect));
        }
    };
    let Accepted { mut client, connack, gate } = accepted;
    let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
    client.open(connack, gate);
    Ok((client, partial, decoder, keep_alive))
}

/// Authentication, then the session.
async fn admit(
    broker: &Arc<Broker>,
    connect: &Connect,
    origin: &Origin,
) -> Result<Accepted, Rejection> {
    if broker.is_shutting_down() {
        return Err(at_session(broker, ReasonCode::ServerShuttingDown));
    }
    broker.check_connect(connect).map_err(at_check)?;
    let request = Request {
        listener: &origin.listener,
        loopback: origin.loopback,
        client_id: &connect.client_id,
        username: connect.username.as_deref(),
        password: connect.password.as_deref(),
        peer: origin.peer,
    };
    let decision = tokio::select! {
        biased;
        decision = broker.authenticator.connect(request) => decision,
        // Many may wait for their turn, longer than a stop may take.
        () = broker.until_shut_down() => {
            return Err(at_session(broker, ReasonCode::ServerShuttingDown));
        }
    };
    broker.metrics.connections.authentications.inc(decision.as_result());
    match decision {
        Decision::Allow(identity) => {
            broker.check_will(connect, &identity).map_err(|reason| Rejection {
                reason,
                counted: RejectReason::Will,
                detail: "the client may not publish to its will's topic",
            })?;
            let peer =
                Peer { address: origin.peer, listener: Arc::clone(&origin.listener), identity };
            broker.connect(connect, peer).map_err(|reason| at_session(broker, reason))
        }
        Decision::Refuse(reason) => Err(at_log_in(reason)),
    }
}

/// What [`Broker::check_connect`] has found.
fn at_check(reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
        ReasonCode::BadAuthenticationMethod => {
            (RejectReason::Authentication, "its authentication method is not supported")
        }
        ReasonCode::ClientIdentifierNotValid => {
            (RejectReason::ClientId, "Clean Session 0 without a client id")
        }
        ReasonCode::TopicNameInvalid => {
            (RejectReason::Will, "its will's topic has more levels than mqtt.max_topic_levels")
        }
        ReasonCode::RetainNotSupported => {
            (RejectReason::Will, "its will is to be retained, and mqtt.retain_available is off")
        }
        _ => (RejectReason::Unavailable, "the CONNECT is not acceptable"),
    };
    Rejection { reason, counted, detail }
}

fn at_log_in(reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
        ReasonCode::NotAuthorized => (
            RejectReason::Authentication,
            "anonymous clients are not allowed: auth.allow_anonymous",
        ),
        ReasonCode::ServerBusy => {
            (RejectReason::Busy, "too many passwords wait to be verified: auth.max_verifications")
        }
        ReasonCode::ServerUnavailable => {
            (RejectReason::Unavailable, "the password could not be verified")
        }
        _ => (RejectReason::Authentication, "unknown user or wrong password"),
    };
    Rejection { reason, counted, detail }
}

/// Of a client that may come in, for which the broker has no session.
fn at_session(broker: &Broker, reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
        ReasonCode::QuotaExceeded if broker.is_disk_full() => {
            (RejectReason::DiskFull, "the disk has no room for a new durable session")
        }
        ReasonCode::QuotaExceeded => {
            (RejectReason::SessionLimit, "session.max_sessions is reached")
        }
        ReasonCode::ServerShuttingDown => (RejectReason::Unavailable, "the broker shuts down"),
        _ => (RejectReason::Unavailable, "the database has failed"),
    };
    Rejection { reason, counted, detail }
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
