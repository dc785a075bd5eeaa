//! `/sessions/{client_id}/queue`: the messages that wait for a client.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Query, Segment};
use super::page::{self, Page};
use super::problem::{Answer, Problem};
use super::sessions::none;
use super::time::rfc3339;
use super::{Api, not_committed};
use crate::broker::admin::{QueuedDelivery, Stage};
use crate::message::DeliveryId;
use crate::protocol::PacketId;

/// Maximum bytes of payloads in one page.
const PAYLOADS: usize = 8 << 20;

/// A message that waits for a client, or is in flight to it.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools)] // Flags of the protocol, each by itself.
pub(super) struct QueuedMessage {
    /// Its position in the queue; ascending.
    delivery_id: u64,
    /// The message's id, the same for all its receivers.
    message_id: u64,
    /// The packet identifier that it has or will have; null for QoS 0.
    packet_id: Option<u16>,
    topic: String,
    /// The QoS of this delivery.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// The RETAIN flag that is sent to the client.
    retain: bool,
    /// Whether it may have been sent before.
    dup: bool,
    state: DeliveryState,
    /// Whether it survives a crash of the broker.
    on_disk: bool,
    /// Bytes of topic, properties and payload.
    size_bytes: usize,
    payload_bytes: usize,
    #[schema(format = DateTime)]
    published_at: String,
    /// Null: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The beginning of the payload, in Base64; null unless requested by `payload`.
    payload: Option<String>,
    /// Whether the payload is longer.
    payload_truncated: bool,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// Not sent, or sent by an earlier connection.
    Waiting,
    /// Sent and not acknowledged.
    InFlight,
    /// QoS 2: PUBREC was received, PUBCOMP was not.
    Received,
}

/// The part of a queue to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Number of messages per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page: the `delivery_id` after which to continue.
    cursor: Option<String>,
    /// Bytes of each payload to return, none by default; a page returns at most 8 MiB.
    #[serde(default)]
    #[param(required = false, maximum = 268_435_455)]
    payload: usize,
}

/// Lists the messages that wait for a client or are in flight, in order, in pages. Read-only.
#[utoipa::path(get, path = "/sessions/{client_id}/queue", operation_id = "getQueue", tag = "sessions",
    params(("client_id" = String, Path, description = "Percent-encoded, `/` too; a `~` in front is no part of it."), List),
    responses((status = 200, description = "A page of it.", body = Page<QueuedMessage>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Segment(client_id): Segment,
    Query(query): Query<List>,
) -> Answer<Json<Page<QueuedMessage>>> {
    let limit = page::limit(query.limit)?;
    let after = query.cursor.as_deref().map_or(Ok(0), str::parse::<u64>);
    let wrong = |_| Problem::bad_request("cursor: take it from `next` of the page before");
    let after = DeliveryId(after.map_err(wrong)?);
    let looked = api.broker()?.look_into_queue(&client_id, after, limit).await;
    let found = looked.ok_or_else(|| none(&client_id))?.map_err(not_committed)?;
    let mut left = PAYLOADS;
    let items = found.deliveries.iter().map(|delivery| {
        let shown = query.payload.min(left);
        left -= shown.min(delivery.message.payload().len());
        message(delivery, shown, query.payload > 0)
    });
    Ok(Json(Page { items: items.collect(), next: found.next.map(|next| next.0.to_string()) }))
}

fn message(delivery: &QueuedDelivery, shown: usize, with_payload: bool) -> QueuedMessage {
    let message = &delivery.message;
    let payload = message.payload();
    let beginning = payload.get(..shown).unwrap_or(payload);
    QueuedMessage {
        delivery_id: delivery.delivery.0,
        message_id: message.id.0,
        packet_id: delivery.packet_id.map(PacketId::get),
        topic: message.topic().to_owned(),
        qos: delivery.qos as u8,
        retain: delivery.retain,
        dup: delivery.dup,
        state: match delivery.stage {
            Stage::Waiting => DeliveryState::Waiting,
            Stage::InFlight => DeliveryState::InFlight,
            Stage::Received => DeliveryState::Received,
        },
        on_disk: delivery.on_disk,
        size_bytes: message.size(),
        payload_bytes: payload.len(),
        published_at: rfc3339(message.published_at),
        expires_at: message.expires_at.map(rfc3339),
        payload: with_payload.then(|| STANDARD.encode(beginning)),
        payload_truncated: beginning.len() < payload.len(),
    }
}
