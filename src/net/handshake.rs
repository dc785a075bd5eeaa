//! The handshake of an accepted stream: awaits CONNECT and verifies its password, both within
//! the connect timeout, and answers.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::transport::Transport;

use super::connection::Connection;
use super::graceful_close;
use super::scratch::{self, Consumed, Partial};
use crate::auth::{Decision, Request};
use crate::broker::client::{Client, Peer};
use crate::broker::{Accepted, Broker, ConnectShare};
use crate::peer::PeerAddr;
use crate::protocol::{
    ConnAck, Connect, DecodeError, Decoder, Frame, Packet, ReasonCode, Reply, Version, encode,
};
use crate::telemetry::{Label as _, OpenConnection, PacketType, RejectReason};

/// How a connection was accepted.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The listener's name.
    pub listener: Arc<str>,
    /// True if the listener is reachable from this machine only.
    pub loopback: bool,
    /// The address of the other end.
    pub peer: PeerAddr,
}

/// The time limit for writing a CONNACK that refuses.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(1);

/// Why no connection was established.
enum Refusal {
    /// Not a valid CONNECT; answered as far as the protocol permits.
    Malformed(DecodeError),
    /// A valid CONNECT that was refused; answered.
    Unwelcome(Rejection, Box<Connect>),
    /// No CONNECT came in time.
    Late,
    /// The limit for large CONNECTs is reached.
    NoMemory,
    /// The connection closed, or the broker shut down, before a CONNECT was read.
    Silent,
}

/// The cause of a refused CONNECT, for the client, the counter and the log.
#[derive(Debug, Clone, Copy)]
struct Rejection {
    reason: ReasonCode,
    counted: RejectReason,
    /// Names the configuration key that decides, if there is one.
    detail: &'static str,
}

/// Serves one accepted stream until it ends; `counted` counts it for that time.
pub async fn serve<S: Transport>(
    broker: Arc<Broker>,
    mut stream: S,
    origin: Origin,
    mut counted: OpenConnection,
) {
    // Boxed, so that it takes no room in the task while the connection lives.
    let opening = Box::pin(open(&broker, &mut stream, &origin, &mut counted));
    let Some((client, partial, decoder, keep_alive)) = opening.await else { return };
    let metrics = Arc::clone(&broker.metrics);
    drop(broker);
    Connection::new(stream, partial, decoder, keep_alive, metrics).run(client).await;
}

/// Returns a connected client. `None`: the stream has been answered and closed.
async fn open<S: Transport>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    counted: &mut OpenConnection,
) -> Option<(Box<Client>, Partial, Decoder, u16)> {
    let until = Instant::now() + broker.settings.connect_timeout;
    // Counts the CONNECT until it belongs to a session, also while its password is verified.
    let mut memory = broker.connect_memory.share();
    let accepted = handshake(broker, stream, origin, (counted, &mut memory), until).await;
    let refusal = match accepted {
        // Outside the time-out: a session that was taken over must get its new connection.
        Ok((connect, peer, partial, decoder)) => match broker.connect(&connect, peer).await {
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
            Err(reason) => refuse(stream, counted, connect, at_session(broker, reason)).await,
        },
        Err(refusal) => refusal,
    };
    log_refusal(origin, &refusal);
    if matches!(refusal, Refusal::Late) {
        return None;
    }
    let _ = graceful_close::close(stream).await;
    None
}

/// Refuses a CONNECT.
async fn refuse<S: AsyncWrite + Unpin>(
    stream: &mut S,
    counted: &OpenConnection,
    connect: Box<Connect>,
    rejection: Rejection,
) -> Refusal {
    counted.rejected(rejection.counted);
    answer(stream, connect.version, rejection.reason).await;
    Refusal::Unwelcome(rejection, connect)
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
        Refusal::Late => {
            tracing::info!(%remote, listener, "no CONNECT within mqtt.connect_timeout");
        }
        Refusal::NoMemory => tracing::warn!(
            %remote, listener,
            "connection refused: too many large CONNECTs at once for limits.max_memory"
        ),
        Refusal::Silent => tracing::debug!(%remote, listener, "closed before CONNECT"),
    }
}

async fn handshake<S: Transport>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    (counted, memory): (&OpenConnection, &mut ConnectShare),
    until: Instant,
) -> Result<(Box<Connect>, Peer, Partial, Decoder), Refusal> {
    let mut decoder = Decoder::server(broker.settings.max_packet_size);
    let mut partial = Partial::default();
    let read = tokio::select! {
        biased;
        read = read_connect(stream, &mut partial, &decoder, memory) => read,
        () = broker.until_shut_down() => Ok(Read::Closed),
        () = tokio::time::sleep_until(until) => {
            counted.rejected(RejectReason::ConnectTimeout);
            return Err(Refusal::Late);
        }
    };
    let connect = match read {
        Ok(Read::Connect(connect)) => connect,
        Ok(Read::Closed) => return Err(Refusal::Silent),
        Ok(Read::NoMemory) => {
            counted.rejected(RejectReason::Busy);
            return Err(Refusal::NoMemory);
        }
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
    match authenticate(broker, &connect, origin, until).await {
        Ok(peer) => Ok((connect, peer, partial, decoder)),
        Err(rejection) => Err(refuse(stream, counted, connect, rejection).await),
    }
}

/// Authenticates the client and checks whether it may connect.
async fn authenticate(
    broker: &Arc<Broker>,
    connect: &Connect,
    origin: &Origin,
    until: Instant,
) -> Result<Peer, Rejection> {
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
        until,
    };
    let decision = tokio::select! {
        biased;
        decision = broker.authenticator.connect(request) => decision,
        // Log-ins may be queued for longer than a shutdown may take.
        () = broker.until_shut_down() => {
            return Err(at_session(broker, ReasonCode::ServerShuttingDown));
        }
    };
    broker.metrics.connections.authentications.inc(decision.as_result());
    match decision {
        Decision::Allow(identity) => {
            let peer =
                Peer { address: origin.peer, listener: Arc::clone(&origin.listener), identity };
            broker.check_will(connect, &peer).map_err(|reason| Rejection {
                reason,
                counted: RejectReason::Will,
                detail: "the client may not publish to its will's topic",
            })?;
            Ok(peer)
        }
        Decision::Refuse(reason) => Err(at_log_in(reason)),
    }
}

/// The rejection for a reason code of [`Broker::check_connect`].
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
            "no user name, and auth.allow_anonymous does not allow anonymous clients",
        ),
        ReasonCode::ServerBusy => (
            RejectReason::Busy,
            "too many log-ins from this address are queued, or mqtt.connect_timeout passed while \
             waiting: raise auth.max_verifications",
        ),
        ReasonCode::ServerUnavailable => {
            (RejectReason::Unavailable, "the password could not be verified")
        }
        _ => (RejectReason::Authentication, "unknown user or wrong password"),
    };
    Rejection { reason, counted, detail }
}

/// The rejection of an authenticated client that gets no session.
fn at_session(broker: &Broker, reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
        ReasonCode::ServerBusy => (
            RejectReason::Busy,
            "memory is short, and its will takes more than limits.max_memory leaves for it",
        ),
        ReasonCode::QuotaExceeded if broker.is_disk_full() || !broker.has_all_sessions() => (
            RejectReason::DiskFull,
            "the disk has no room for a new durable session, or for the will",
        ),
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
    // With a time limit, so that a client that does not read cannot keep the task.
    let written = async {
        stream.write_all_buf(&mut out).await?;
        stream.flush().await
    };
    let _ = tokio::time::timeout(ANSWER, written).await;
}

/// The result of waiting for a CONNECT.
enum Read {
    Connect(Box<Connect>),
    /// The other end has closed, or the broker shuts down.
    Closed,
    /// The limit for large CONNECTs is reached.
    NoMemory,
}

/// Reads until the first frame is complete.
async fn read_connect<S: AsyncRead + Unpin>(
    stream: &mut S,
    partial: &mut Partial,
    decoder: &Decoder,
    memory: &mut ConnectShare,
) -> Result<Read, DecodeError> {
    let mut connect = None;
    loop {
        let before = partial.len();
        let read = poll_fn(|context| {
            scratch::poll_read(stream, partial, context, |bytes| {
                take_connect(decoder, bytes, &mut connect)
            })
        })
        .await;
        match read {
            Ok(Ok(0)) | Err(_) => return Ok(Read::Closed),
            Ok(Ok(read)) => {
                // The buffer while the frame is incomplete, then the bytes of the frame.
                let bytes = if connect.is_none() { partial.capacity() } else { before + read };
                if !memory.hold(bytes) {
                    return Ok(Read::NoMemory);
                }
            }
            Ok(Err(error)) => return Err(error),
        }
        if let Some(connect) = connect {
            return Ok(Read::Connect(connect));
        }
    }
}

fn take_connect(
    decoder: &Decoder,
    bytes: &[u8],
    connect: &mut Option<Box<Connect>>,
) -> Result<Consumed, DecodeError> {
    match decoder.frame(bytes)? {
        Frame::Incomplete { needed } => Ok(Consumed { bytes: 0, needed }),
        Frame::Complete { len } => {
            // The decoder accepts only CONNECT as the first packet [MQTT-3.1.0-1].
            if let Packet::Connect(packet) = decoder.decode(bytes.get(..len).unwrap_or_default())? {
                *connect = Some(packet);
            }
            // The bytes behind it are left to the connection, which knows the version.
            Ok(Consumed { bytes: len, needed: None })
        }
    }
}
