//! `/retained`: the last message of each topic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{NoBody, Operator, Query, Segment};
use super::page::{self, Page};
use super::problem::{Answer, Problem};
use super::properties::Properties;
use super::time::rfc3339;
use super::{Api, blocking, detached, not_committed};
use crate::broker::admin::Unretained;
use crate::protocol::TopicFilter;
use crate::store::RetainedRecord;
use crate::telemetry::AUDIT;

/// Bytes of a payload that are returned by default.
const SHOWN: usize = 1 << 20;

/// The retained message of a topic, which new subscribers receive.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Retained {
    topic: String,
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    payload_bytes: usize,
    #[schema(format = DateTime)]
    published_at: String,
    /// Null: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A retained message with its contents.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RetainedMessage {
    #[serde(flatten)]
    about: Retained,
    /// The payload in Base64.
    payload: String,
    /// The payload as text, if it is UTF-8.
    payload_text: Option<String>,
    /// Whether the payload is longer.
    payload_truncated: bool,
    #[serde(flatten)]
    properties: Properties,
}

impl From<&RetainedRecord> for Retained {
    fn from(record: &RetainedRecord) -> Self {
        Self {
            topic: record.topic.to_string(),
            qos: record.qos as u8,
            payload_bytes: record.payload.len(),
            published_at: rfc3339(record.published_at),
            expires_at: record.expires_at.map(rfc3339),
        }
    }
}

/// The retained messages to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// A topic filter, by default `#`: all except those below `$SYS`.
    filter: Option<String>,
    /// Number of messages per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

/// The part of a message to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Bytes of the payload, 1 MiB by default.
    #[param(maximum = 268_435_455)]
    payload: Option<usize>,
}

/// Lists the retained messages that a filter matches, by topic, in pages.
#[utoipa::path(get, path = "/retained", operation_id = "listRetained", tag = "retained", params(List),
    responses((status = 200, description = "A page of them.", body = Page<Retained>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<List>,
) -> Answer<Json<Page<Retained>>> {
    let limit = page::limit(query.limit)?;
    let after = api.cursors().place::<String>(query.cursor.as_deref())?;
    let filter = query.filter.unwrap_or_else(|| "#".to_owned());
    let parsed = TopicFilter::new(&filter)
        .map_err(|error| Problem::bad_request(format!("filter: {error}")))?;
    if parsed.shared().is_some() {
        return Err(Problem::bad_request("filter: retained messages know no shared subscriptions"));
    }
    let broker = Arc::clone(api.broker()?);
    let found = blocking(move || broker.retained_list(&filter, after.as_deref(), limit)).await?;
    let last = found.messages.last().filter(|_| found.more);
    let next = last.and_then(|last| api.cursors().to(&last.topic));
    Ok(Json(Page { items: found.messages.iter().map(|record| (&**record).into()).collect(), next }))
}

/// The retained message of a topic.
#[utoipa::path(get, path = "/retained/{topic}", operation_id = "getRetained", tag = "retained",
    params(("topic" = String, Path, description = "Percent-encoded; `/` may stand as it is, and a `~` in front is no part of it."), Part),
    responses((status = 200, description = "It is there.", body = RetainedMessage)))]
pub(super) async fn one(
    State(api): State<Api>,
    Segment(topic): Segment,
    Query(part): Query<Part>,
) -> Answer<Json<RetainedMessage>> {
    let record = api.broker()?.retained_message(&topic).ok_or_else(|| none(&topic))?;
    let payload = &record.payload;
    let shown = payload.get(..part.payload.unwrap_or(SHOWN)).unwrap_or(payload);
    Ok(Json(RetainedMessage {
        about: (&*record).into(),
        payload: STANDARD.encode(shown),
        payload_text: std::str::from_utf8(shown).ok().map(str::to_owned),
        payload_truncated: shown.len() < payload.len(),
        properties: Properties::of(&record.properties),
    }))
}

/// Removes a retained message. Answers when the removal is on disk.
#[utoipa::path(delete, path = "/retained/{topic}", operation_id = "deleteRetained", tag = "retained",
    params(("topic" = String, Path, description = "Percent-encoded; `/` may stand as it is, and a `~` in front is no part of it.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "It is one of the broker's own.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(topic): Segment,
    _: NoBody,
) -> Answer<StatusCode> {
    let broker = Arc::clone(api.broker()?);
    let missing = none(&topic);
    let removed = detached(async move {
        let removed = broker.remove_retained(&topic).await;
        if removed.is_ok() {
            tracing::info!(target: AUDIT, topic, %remote, "retained message deleted by an operator");
        }
        removed
    });
    match removed.await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(Unretained::Missing) => Err(missing),
        Err(Unretained::Own) => Err(Problem::conflict(
            "own-topic",
            "It is one of the broker's own",
            "What is below $SYS is published again and again: see mqtt.sys_interval.",
        )),
        Err(Unretained::NotCommitted(error)) => Err(not_committed(error)),
    }
}

fn none(topic: &str) -> Problem {
    Problem::not_found(format!("There is no retained message under the topic {topic:?}."))
}
