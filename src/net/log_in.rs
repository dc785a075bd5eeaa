//! Authenticates the client of a CONNECT, by its credentials or by an exchange of AUTH packets
//! (`enhanced.rs`).

use std::sync::Arc;

use tokio::time::Instant;

use super::enhanced;
use super::handshake::{Origin, Rejection, at_session};
use super::opening::Opening;
use super::transport::Transport;
use crate::auth::{Decision, Request};
use crate::broker::Broker;
use crate::broker::client::Peer;
use crate::protocol::{Connect, DecodeError, ReasonCode};
use crate::telemetry::RejectReason;

/// An authenticated client.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) peer: Peer,
    /// The Authentication Data of its CONNACK.
    pub(super) data: Option<Vec<u8>>,
}

/// Why a client is not authenticated.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is told why by a CONNACK.
    Rejected(Rejection),
    /// A packet of the exchange was invalid.
    Malformed(DecodeError),
    /// `mqtt.connect_timeout` has passed during the exchange.
    Late,
    /// The client has closed the connection or sent DISCONNECT, or the broker shuts down.
    Left,
    /// The limit for large CONNECTs is reached.
    NoMemory,
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Authenticates the client and checks whether it may connect.
pub(super) async fn authenticate<S: Transport>(
    broker: &Arc<Broker>,
    connect: &Connect,
    origin: &Origin,
    opening: &mut Opening<'_, S>,
    until: Instant,
) -> Result<LoggedIn, Failure> {
    if broker.is_shutting_down() {
        return Err(at_session(broker, ReasonCode::ServerShuttingDown).into());
    }
    broker.check_connect(connect).map_err(at_check)?;
    // Whoever opens many connections and then guesses on all of them has been admitted before
    // the ban.
    if origin.liable().is_some_and(|peer| broker.is_banned(peer)) {
        return Err(BANNED.into());
    }
    let request = Request {
        listener: &origin.listener,
        loopback: origin.loopback,
        client_id: &connect.client_id,
        username: connect.username.as_deref(),
        password: connect.password.as_deref(),
        certificate: origin.certificate.as_ref(),
        peer: origin.peer,
        until,
        now: broker.clock.now().wall,
    };
    let decided = async {
        match &connect.authentication_method {
            None => Ok((broker.authenticator.connect(request).await, None)),
            Some(name) => enhanced::authenticate(broker, connect, name, request, opening).await,
        }
    };
    let (decision, data) = tokio::select! {
        biased;
        decided = decided => decided?,
        // Log-ins may be queued for longer than a shutdown may take.
        () = broker.until_shut_down() => {
            return Err(at_session(broker, ReasonCode::ServerShuttingDown).into());
        }
    };
    broker.metrics.connections.authentications.inc(decision.as_labels());
    let identity = match decision {
        Decision::Allow(identity) => identity,
        Decision::Refuse { reason, .. } => {
            if let Some(peer) = origin.liable() {
                broker.log_in_refused(peer, reason);
            }
            return Err(at_log_in(reason).into());
        }
    };
    let peer = Peer {
        address: origin.peer,
        listener: Arc::clone(&origin.listener),
        certificate: origin.certificate.clone(),
        identity,
    };
    broker.check_will(connect, &peer).map_err(|reason| Rejection {
        reason,
        counted: RejectReason::Will,
        detail: "the client may not publish to its will's topic",
    })?;
    Ok(LoggedIn { peer, data })
}

/// The rejection of a client whose address was banned after its connection was accepted.
const BANNED: Rejection = Rejection {
    reason: ReasonCode::Banned,
    counted: RejectReason::Banned,
    detail: "its address was banned while the connection was open: [bans]",
};

/// The rejection for a reason code of [`Broker::check_connect`].
fn at_check(reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
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

/// The rejection of a client that was not authenticated.
fn at_log_in(reason: ReasonCode) -> Rejection {
    let (counted, detail) = match reason {
        ReasonCode::NotAuthorized => (
            RejectReason::Authentication,
            "no user name, and auth.allow_anonymous does not allow anonymous clients; or \
             something is missing that auth.require asks for",
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
