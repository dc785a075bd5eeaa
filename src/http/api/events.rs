//! `/events`: recent log lines.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use super::super::AppState;
use super::extract::Query;
use super::problem::{Answer, Problem};
use super::time::rfc3339_system;
use crate::telemetry::RecentEvent;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Only events after this id: `last` of the previous response. Without it, all.
    after: Option<u64>,
}

/// The most recent events, at most 200.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events {
    /// The events, oldest first.
    items: Vec<Event>,
    /// The id of the last event; 0 if there was none.
    last: u64,
}

/// A logged event of level `info` or above.
#[derive(Debug, Serialize, ToSchema)]
struct Event {
    /// Increases by one from event to event, and starts again with each process.
    id: u64,
    /// The time, in RFC 3339.
    #[schema(format = DateTime)]
    time: String,
    /// `INFO`, `WARN` or `ERROR`.
    level: &'static str,
    /// The message.
    message: String,
    /// Fields such as `client_id`, `remote` and `reason`; texts of more than 256 bytes are
    /// truncated.
    fields: BTreeMap<&'static str, String>,
}

impl From<&RecentEvent> for Event {
    fn from(event: &RecentEvent) -> Self {
        Self {
            id: event.id,
            time: rfc3339_system(event.time),
            level: event.level,
            message: event.message.clone(),
            fields: event.fields.iter().cloned().collect(),
        }
    }
}

/// Recent log events
#[utoipa::path(
    get, path = "/events", operation_id = "getEvents", tag = "broker", params(Asked),
    responses(
        (status = 200, description = "The last events, oldest first", body = Events),
        (status = "default", description = "Why not", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Events>> {
    let (events, last) = state.events.after(asked.after.unwrap_or(0));
    let items = events.iter().map(|event| Event::from(&**event)).collect();
    Ok(Json(Events { items, last }))
}
