//! Why a connection ended before its CONNECT could be read, and what is told of it.

use std::fmt;

use crate::broker::Broker;
use crate::net::Origin;
use crate::net::proxy_protocol::ProxyError;
use crate::net::tls::{RefusalReason, TlsRefusal};
use crate::net::websocket::WebSocketRefusal;
use crate::telemetry::{Label as _, OpenConnection, RejectReason, WebSocketFailure};

/// A step of opening a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Reading the header of the PROXY protocol.
    ProxyHeader,
    /// The TLS handshake.
    Tls,
    /// The upgrade to WebSocket.
    WebSocket,
}

/// Why a connection was not opened.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It ended before its first byte. Load balancers and probes do that all the time, so it is
    /// no failure, and no line tells of it.
    Probe,
    /// The broker shuts down.
    ShutDown,
    /// The step took until the deadline.
    Late(Step),
    /// The PROXY header is missing, malformed, or not believed.
    ProxyProtocol(ProxyError),
    /// The limits of its address do not admit it. That is logged already.
    NotAdmitted(RejectReason),
    /// The TLS handshake failed.
    Tls(TlsRefusal),
    /// There is no upgrade to WebSocket that can be accepted.
    WebSocket(WebSocketRefusal, WebSocketFailure),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProxyHeader => "the PROXY header",
            Self::Tls => "the end of the TLS handshake",
            Self::WebSocket => "the upgrade to WebSocket",
        })
    }
}

impl From<ProxyError> for Refusal {
    fn from(error: ProxyError) -> Self {
        Self::ProxyProtocol(error)
    }
}

impl From<TlsRefusal> for Refusal {
    fn from(refusal: TlsRefusal) -> Self {
        if refusal.is_probe { Self::Probe } else { Self::Tls(refusal) }
    }
}

impl From<WebSocketRefusal> for Refusal {
    fn from(refusal: WebSocketRefusal) -> Self {
        refusal.reason().map_or(Self::Probe, |reason| Self::WebSocket(refusal, reason))
    }
}

/// True if the client tried a certificate that was never good, or none where one is required.
/// A certificate that has expired is most likely a device's that was not renewed in time.
fn is_failed_log_in(reason: RefusalReason) -> bool {
    use RefusalReason as Reason;
    matches!(
        reason,
        Reason::NoCertificate | Reason::Revoked | Reason::UnknownCa | Reason::BadCertificate
    )
}

impl Refusal {
    /// Counts and logs it.
    pub(super) fn tell(&self, broker: &Broker, origin: &Origin, counted: &OpenConnection) {
        let (remote, listener) = (origin.peer, &*origin.listener);
        match self {
            Self::Probe | Self::ShutDown => {}
            Self::Late(step) => {
                counted.rejected(RejectReason::ConnectTimeout);
                tracing::info!(
                    %remote, listener, awaited = %step, "no CONNECT within mqtt.connect_timeout"
                );
            }
            Self::ProxyProtocol(error) => {
                counted.rejected(RejectReason::ProxyProtocol);
                tracing::warn!(
                    %remote, listener, %error, "connection refused: no PROXY header that is believed"
                );
            }
            Self::NotAdmitted(reason) => counted.rejected(*reason),
            Self::Tls(TlsRefusal { reason, detail, .. }) => {
                counted.rejected(match reason {
                    RefusalReason::Busy => RejectReason::Busy,
                    _ => RejectReason::Tls,
                });
                if let Some(peer) = origin.liable().filter(|_| is_failed_log_in(*reason)) {
                    broker.log_in_failed(peer);
                }
                broker.metrics.connections.tls_refusals.inc(*reason);
                let reason = reason.as_str();
                tracing::info!(%remote, listener, %reason, %detail, "TLS handshake failed");
            }
            Self::WebSocket(refusal, reason) => {
                counted.rejected(match reason {
                    WebSocketFailure::Busy => RejectReason::Busy,
                    _ => RejectReason::WebSocket,
                });
                broker.metrics.connections.websocket_refusals.inc(*reason);
                let reason = reason.as_str();
                tracing::info!(%remote, listener, %reason, detail = %refusal, "no WebSocket");
            }
        }
    }
}
