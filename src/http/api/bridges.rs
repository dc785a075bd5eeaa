//! `/bridges`: the connections to other brokers, and their queues.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::extract::{NoBody, Operator, Segment};
use super::problem::{Answer, Problem};
use super::time::rfc3339;
use crate::bridge::{BridgeView, Bridges};
use crate::broker::bridge::principal_of;
use crate::telemetry::{AUDIT, Label};

/// A bridge of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bridge {
    /// As in `[bridges.NAME]`.
    name: String,
    /// The client id of its session here, whose queue `/sessions` shows.
    session: String,
    /// `connecting`, `connected`, `waiting`, `paused`, or `stopped` before a message that was
    /// refused.
    state: &'static str,
    /// Since when it is in this state.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// The address that is or was last tried.
    address: Option<String>,
    /// The version of MQTT, while it is connected.
    version: Option<&'static str>,
    /// Attempts since it was last connected.
    attempts: u32,
    /// What went wrong last.
    last_error: Option<String>,
    /// Messages waiting or in flight.
    queued_messages: usize,
    /// Their bytes.
    queued_bytes: u64,
    /// Seconds since the oldest of them was accepted.
    oldest_age_seconds: u64,
    /// Messages that the queue may have.
    max_queued_messages: usize,
    /// Messages that the other end has acknowledged since the start.
    forwarded: u64,
    /// Messages of the other end that were taken since the start.
    received: u64,
    /// Dead letters since the start.
    dead_letters: u64,
    /// How often it had to connect again, by reason.
    reconnects: BTreeMap<&'static str, u64>,
}

impl From<BridgeView> for Bridge {
    fn from(view: BridgeView) -> Self {
        let BridgeView { name, link, backlog, counts, .. } = view;
        Self {
            session: principal_of(&name),
            name,
            state: link.state.as_str(),
            since: link.since.map(rfc3339),
            address: link.address.map(|address| address.to_string()),
            version: link.version.map(Label::as_str),
            attempts: link.attempts,
            last_error: link.last_error.map(|error| error.to_string()),
            queued_messages: backlog.messages,
            queued_bytes: backlog.bytes,
            oldest_age_seconds: backlog.oldest_age.as_secs(),
            max_queued_messages: backlog.max_messages,
            forwarded: counts.forwarded.load(Ordering::Relaxed),
            received: counts.received.load(Ordering::Relaxed),
            dead_letters: counts.dead_letters.lock().values().sum(),
            reconnects: link.failures.iter().map(|(why, count)| (why.as_str(), *count)).collect(),
        }
    }
}

/// Lists all bridges.
#[utoipa::path(get, path = "/bridges", operation_id = "listBridges", tag = "bridges",
    responses((status = 200, description = "All of them.", body = Vec<Bridge>)))]
pub(super) async fn list(State(api): State<Api>) -> Answer<Json<Vec<Bridge>>> {
    let bridges = api.bridges()?.list();
    Ok(Json(bridges.into_iter().map(Bridge::from).collect()))
}

/// Pauses a bridge until it is resumed, reloaded with other keys, or the broker starts again:
/// it does not connect, and its queue goes on filling.
#[utoipa::path(post, path = "/bridges/{name}/pause", operation_id = "pauseBridge", tag = "bridges",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is paused.")))]
pub(super) async fn pause(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(name): Segment,
    _: NoBody,
) -> Answer<StatusCode> {
    known(&name, api.bridges()?.pause(&name))?;
    tracing::info!(target: AUDIT, bridge = name, %remote, "bridge paused by an operator");
    Ok(StatusCode::NO_CONTENT)
}

/// Resumes a bridge that is paused or stopped, and connects one that waits.
#[utoipa::path(post, path = "/bridges/{name}/resume", operation_id = "resumeBridge", tag = "bridges",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It connects.")))]
pub(super) async fn resume(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(name): Segment,
    _: NoBody,
) -> Answer<StatusCode> {
    known(&name, api.bridges()?.resume(&name))?;
    tracing::info!(target: AUDIT, bridge = name, %remote, "bridge resumed by an operator");
    Ok(StatusCode::NO_CONTENT)
}

fn known(name: &str, is_known: bool) -> Answer<()> {
    if is_known {
        return Ok(());
    }
    Err(Problem::not_found(format!("No bridge {name:?} is configured.")))
}

impl Api {
    /// The bridges, once there are any.
    ///
    /// # Errors
    /// 503 while the database is being read.
    pub(super) fn bridges(&self) -> Result<&Bridges, Problem> {
        self.0.bridges.get().ok_or_else(Problem::starting)
    }
}
