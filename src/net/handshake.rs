//! The handshake of an accepted stream: awaits CONNECT and authenticates its client
//! (`log_in.rs`), both within what is left of the connect timeout, and answers.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::connection::Connection;
use super::graceful_close;
use super::log_in::{self, LoggedIn};
use super::opening::{Opening, Read};
use super::scratch::Partial;
use super::tls::OpenClient;
use super::transport::Transport;
use crate::broker::client::Client;
use crate::broker::{Accepted, Broker};
use crate::config::Protocol;
use crate::message::Revoked;
use crate::peer::{ClientCertificate, PeerAddr};
use crate::protocol::{
    ConnAck, Connect, DecodeError, Decoder, Packet, ReasonCode, Reply, Version, encode,
};
use crate::telemetry::{Label as _, OpenConnection, PacketType, RejectReason};

/// How a connection was accepted.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The listener's name.
    pub listener: Arc<str>,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// True if the listener is reachable from this machine only, and not through a proxy.
    pub loopback: bool,
    /// The address of the client, behind all proxies that are believed.
    pub peer: PeerAddr,
    /// True if `peer` is a proxy that is believed and has named no client.
    pub is_proxy: bool,
    /// The client certificate that the transport has verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The same, listed among the open connections of its listener.
    pub client: Option<Arc<OpenClient>>,
}

impl Origin {
    /// The address that failed log-ins are counted against, and that may be banned for them.
    /// `None` behind a proxy that has named no client: the ban would be one of all its clients.
    pub(super) fn liable(&self) -> Option<PeerAddr> {
        (!self.is_proxy).then_some(self.peer)
    }
}

/// The time limit for writing a CONNACK that refuses.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(1);

/// Why no connection was established.
pub(super) enum Refusal {
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
pub(super) struct Rejection {
    pub(super) reason: ReasonCode,
    pub(super) counted: RejectReason,
    /// Names the configuration key that decides, if there is one.
    pub(super) detail: &'static str,
}

/// Serves one accepted stream until it ends; `counted` counts it for that time. CONNECT must
/// have been read, and its password verified, at `until`.
///
/// The future is small: a task keeps what it was given beside what it works with, so all that
/// is large is behind a pointer from the start, and what only the handshake needs is freed
/// after it.
pub fn serve<S: Transport>(
    broker: Arc<Broker>,
    stream: S,
    origin: Origin,
    counted: OpenConnection,
    until: Instant,
) -> impl Future<Output = ()> {
    let established = Box::pin(establish(broker, stream, origin, counted, until));
    async move {
        let Some(Established { connection, client, _held }) = established.await else { return };
        connection.run(client).await;
    }
}

/// A connection with its client.
struct Established<S> {
    connection: Box<Connection<S>>,
    client: Box<Client>,
    _held: Held,
}

/// What is held until a connection ends.
struct Held {
    _counted: OpenConnection,
    _client: Option<Arc<OpenClient>>,
}

async fn establish<S: Transport>(
    broker: Arc<Broker>,
    mut stream: S,
    origin: Origin,
    mut counted: OpenConnection,
    until: Instant,
) -> Option<Established<S>> {
    let opened = open(&broker, &mut stream, &origin, &mut counted, until).await;
    let (client, partial, decoder, keep_alive) = opened?;
    let metrics = Arc::clone(&broker.metrics);
    let connection = Connection::new(stream, partial, decoder, keep_alive, metrics);
    Some(Established {
        connection: Box::new(connection),
        client,
        _held: Held { _counted: counted, _client: origin.client },
    })
}

/// Returns a connected client. `None`: the stream has been answered and closed.
async fn open<S: Transport>(
    broker: &Arc<Broker>,
    stream: &mut S,
    origin: &Origin,
    counted: &mut OpenConnection,
    until: Instant,
) -> Option<(Box<Client>, Partial, Decoder, u16)> {
    // Counts the CONNECT until it belongs to a session, also while its client is authenticated.
    let memory = broker.connect_memory.share();
    let mut opening = Opening::new(stream, memory, broker.settings.max_packet_size);
    let accepted = handshake(broker, &mut opening, origin, counted, until).await;
    let Opening { stream, partial, decoder, .. } = opening;
    let refusal = match accepted {
        // Outside the time-out: a session that was taken over must get its new connection.
        Ok((connect, LoggedIn { peer, data })) => match broker.connect(&connect, peer).await {
            Ok(Accepted { client, mut connack, gate }) => {
                let mut client = Box::new(client);
                let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
                // The same method as in CONNECT [MQTT-4.12.0-5], and none without one
                // [MQTT-4.12.0-6].
                connack.authentication_method.clone_from(&connect.authentication_method);
                connack.authentication_data = data;
                client.open(connack, gate);
                stream.client_connected();
                // A reload looks for clients that are no longer trusted after it has replaced
                // the lists: either it finds this one, which is attached, or this sees them.
                if origin.client.as_ref().is_some_and(|client| !client.is_still_trusted()) {
                    client.wake().leave();
                    client.wake().revoke(Revoked::CertificateRevoked);
                }
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
    opening: &mut Opening<'_, S>,
    origin: &Origin,
    counted: &OpenConnection,
    until: Instant,
) -> Result<(Box<Connect>, LoggedIn), Refusal> {
    let read = tokio::select! {
        biased;
        read = opening.read(take_connect) => read,
        () = broker.until_shut_down() => Ok(Read::Closed),
        () = tokio::time::sleep_until(until) => {
            counted.rejected(RejectReason::ConnectTimeout);
            return Err(Refusal::Late);
        }
    };
    let connect = match read {
        Ok(Read::Packet(Some(connect))) => connect,
        Ok(Read::Packet(None) | Read::Closed) => return Err(Refusal::Silent),
        Ok(Read::NoMemory) => {
            counted.rejected(RejectReason::Busy);
            return Err(Refusal::NoMemory);
        }
        Err(error) => {
            broker.metrics.connections.protocol_errors.inc(error.reason.into());
            if let Reply::ConnAck(version) = error.reply {
                answer(opening.stream, version, error.reason).await;
            }
            return Err(Refusal::Malformed(error));
        }
    };
    broker.metrics.packets.received.inc(PacketType::Connect);
    opening.decoder.set_version(connect.version);
    match log_in::authenticate(broker, &connect, origin, opening, until).await {
        Ok(logged_in) => Ok((connect, logged_in)),
        Err(log_in::Failure::Rejected(rejection)) => {
            Err(refuse(opening.stream, counted, connect, rejection).await)
        }
        Err(log_in::Failure::Malformed(error)) => {
            broker.metrics.connections.protocol_errors.inc(error.reason.into());
            // No DISCONNECT may precede the CONNACK [MQTT-3.2.0-1].
            answer(opening.stream, connect.version, error.reason).await;
            Err(Refusal::Malformed(error))
        }
        Err(log_in::Failure::Late) => {
            counted.rejected(RejectReason::ConnectTimeout);
            Err(Refusal::Late)
        }
        Err(log_in::Failure::Left) => Err(Refusal::Silent),
        Err(log_in::Failure::NoMemory) => {
            counted.rejected(RejectReason::Busy);
            Err(Refusal::NoMemory)
        }
    }
}

/// The decoder accepts only CONNECT as the first packet [MQTT-3.1.0-1].
fn take_connect(packet: Packet<'_>) -> Option<Box<Connect>> {
    if let Packet::Connect(packet) = packet { Some(packet) } else { None }
}

/// The rejection of an authenticated client that gets no session.
pub(super) fn at_session(broker: &Broker, reason: ReasonCode) -> Rejection {
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
        ReasonCode::NotAuthorized => (
            RejectReason::ClientId,
            "the session of this client id belongs to another user: auth.bind_client_id",
        ),
        ReasonCode::BadUserNameOrPassword => (
            RejectReason::Authentication,
            "user names that begin with \"bridge:\" are those of bridges",
        ),
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

#[cfg(test)]
mod tests;
