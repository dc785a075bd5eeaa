//! `/dead-letters`: messages that the other ends of bridges have refused for good.

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
use super::{Api, detached, not_committed};
use crate::protocol::ReasonCode;
use crate::store::{DeadLetterQuery, StoredDeadLetter};
use crate::telemetry::AUDIT;

/// Maximum bytes of payloads in one page.
const PAYLOADS: usize = 8 << 20;
/// Bytes of a payload that are returned by default, for one dead letter.
const SHOWN: usize = 1 << 20;

/// A message that the other end of a bridge has refused for good.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Rises with each dead letter, and is never given out again.
    id: u64,
    /// The name of the bridge.
    bridge: String,
    #[schema(format = DateTime)]
    failed_at: String,
    /// The other end's MQTT 5.0 reason code; null: it gave none.
    #[schema(minimum = 0, maximum = 255)]
    reason: Option<u8>,
    /// The name of the reason code.
    reason_text: Option<&'static str>,
    /// What happened, in words.
    detail: String,
    /// The topic as it was published here.
    topic: String,
    /// The topic as it was sent; null: the same.
    remote_topic: Option<String>,
    /// The QoS as sent.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// The RETAIN flag as sent.
    retain: bool,
    payload_bytes: u64,
    #[schema(format = DateTime)]
    published_at: String,
    /// The end of the message's expiry interval; null: never. The dead letter stays after it.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The beginning of the payload, in Base64; null unless requested by `payload`.
    payload: Option<String>,
    /// Whether the payload is longer.
    payload_truncated: bool,
}

/// A dead letter with its properties.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetterMessage {
    #[serde(flatten)]
    about: DeadLetter,
    /// The payload as text, if it is UTF-8.
    payload_text: Option<String>,
    #[serde(flatten)]
    properties: Properties,
}

/// The dead letters to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Only those of this bridge.
    bridge: Option<String>,
    /// Number of dead letters per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page: the `id` after which to continue.
    cursor: Option<String>,
    /// Bytes of each payload to return, none by default; a page returns at most 8 MiB.
    #[serde(default)]
    #[param(required = false, maximum = 268_435_455)]
    payload: usize,
}

/// The part of a dead letter to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Bytes of the payload, 1 MiB by default.
    #[param(maximum = 268_435_455)]
    payload: Option<usize>,
}

/// The dead letters to remove.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Purge {
    /// The name of the bridge, which need not exist any more.
    #[serde(default)]
    #[param(required = true)]
    bridge: String,
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    /// The number of dead letters.
    removed: u64,
}

/// Lists dead letters in the order in which they were refused, in pages. Read-only.
#[utoipa::path(get, path = "/dead-letters", operation_id = "listDeadLetters", tag = "bridges", params(List),
    responses((status = 200, description = "A page of them.", body = Page<DeadLetter>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<List>,
) -> Answer<Json<Page<DeadLetter>>> {
    let limit = page::limit(query.limit)?;
    let after = query.cursor.as_deref().map_or(Ok(0), str::parse::<u64>);
    let wrong = |_| Problem::bad_request("cursor: take it from `next` of the page before");
    let wanted = DeadLetterQuery {
        bridge: query.bridge.map(Into::into),
        after: after.map_err(wrong)?,
        limit,
        properties: false,
        payload: query.payload,
        payloads: PAYLOADS,
    };
    let found = api.broker()?.dead_letters(wanted).await.map_err(not_committed)?;
    let next = found.letters.last().filter(|_| found.more).map(|last| last.id.to_string());
    let items = found.letters.into_iter().map(|one| about(one, query.payload > 0));
    Ok(Json(Page { items: items.collect(), next }))
}

/// A dead letter with its properties and payload.
#[utoipa::path(get, path = "/dead-letters/{id}", operation_id = "getDeadLetter", tag = "bridges",
    params(("id" = u64, Path, description = "As in the list."), Part),
    responses((status = 200, description = "It is there.", body = DeadLetterMessage)))]
pub(super) async fn one(
    State(api): State<Api>,
    Segment(text): Segment,
    Query(part): Query<Part>,
) -> Answer<Json<DeadLetterMessage>> {
    let id = parsed(&text)?;
    let shown = part.payload.unwrap_or(SHOWN);
    let found = api.broker()?.dead_letter_of(id, shown).await.map_err(not_committed)?;
    let letter = found.ok_or_else(|| none(id))?;
    Ok(Json(DeadLetterMessage {
        payload_text: std::str::from_utf8(&letter.payload).ok().map(str::to_owned),
        properties: Properties::of(&letter.properties),
        about: about(letter, true),
    }))
}

/// Removes a dead letter. Answers when the removal is on disk.
#[utoipa::path(delete, path = "/dead-letters/{id}", operation_id = "deleteDeadLetter", tag = "bridges",
    params(("id" = u64, Path, description = "As in the list.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(text): Segment,
    _: NoBody,
) -> Answer<StatusCode> {
    let id = parsed(&text)?;
    let broker = std::sync::Arc::clone(api.broker()?);
    let removed = detached(async move { broker.remove_dead_letter(id).await });
    if !removed.await?.map_err(not_committed)? {
        return Err(none(id));
    }
    tracing::info!(target: AUDIT, id, %remote, "dead letter deleted by an operator");
    Ok(StatusCode::NO_CONTENT)
}

/// Removes all dead letters of a bridge. Answers when the removal is on disk.
#[utoipa::path(delete, path = "/dead-letters", operation_id = "deleteDeadLetters", tag = "bridges", params(Purge),
    responses((status = 200, description = "They are gone.", body = Purged)))]
pub(super) async fn purge(
    State(api): State<Api>,
    Operator(remote): Operator,
    Query(purge): Query<Purge>,
    _: NoBody,
) -> Answer<Json<Purged>> {
    if purge.bridge.is_empty() {
        let text = "bridge: expected the name of the bridge whose dead letters are to be removed, \
                    as in ?bridge=NAME";
        return Err(Problem::bad_request(text));
    }
    let broker = std::sync::Arc::clone(api.broker()?);
    let removed = detached(async move {
        let removed = broker.remove_dead_letters(&purge.bridge).await;
        if let Ok(removed) = removed {
            let bridge = purge.bridge;
            tracing::info!(target: AUDIT, bridge, removed, %remote, "dead letters deleted by an operator");
        }
        removed
    });
    let removed = removed.await?.map_err(not_committed)?;
    Ok(Json(Purged { removed }))
}

fn parsed(id: &str) -> Answer<u64> {
    id.parse().map_err(|_| Problem::bad_request(format!("id {id:?}: expected a number")))
}

fn none(id: u64) -> Problem {
    Problem::not_found(format!("There is no dead letter {id}."))
}

fn about(letter: StoredDeadLetter, with_payload: bool) -> DeadLetter {
    DeadLetter {
        id: letter.id,
        bridge: letter.bridge.into(),
        failed_at: rfc3339(letter.failed_at),
        reason: letter.reason,
        reason_text: letter.reason.and_then(ReasonCode::from_u8).map(ReasonCode::description),
        detail: letter.detail.into(),
        topic: letter.topic.into(),
        remote_topic: letter.remote_topic.map(Into::into),
        qos: letter.qos as u8,
        retain: letter.retain,
        payload_bytes: letter.payload_bytes,
        published_at: rfc3339(letter.published_at),
        expires_at: letter.expires_at.map(rfc3339),
        payload: with_payload.then(|| STANDARD.encode(&letter.payload)),
        payload_truncated: (letter.payload.len() as u64) < letter.payload_bytes,
    }
}
