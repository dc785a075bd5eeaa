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

/// Bytes of payloads in one page, whatever is asked for.
const PAYLOADS: usize = 8 << 20;

/// A message that waits for a client, or is in flight to it.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools)] // Flags of the protocol, each by itself.
pub(super) struct QueuedMessage {
    /// Its place in the queue: rises.
    delivery_id: u64,
    /// The same for all receivers of a message.
    message_id: u64,
    /// That it has or will have; null for QoS 0.
    packet_id: Option<u16>,
    topic: String,
    /// Of this delivery.
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// As the client will see it.
    retain: bool,
    /// It may have been sent before.
    dup: bool,
    state: DeliveryState,
    /// It survives a crash of the broker.
    on_disk: bool,
    /// Topic, properties and payload.
    size_bytes: usize,
    payload_bytes: usize,
    #[schema(format = DateTime)]
    published_at: String,
    /// Null: never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// The beginning of the payload, in Base64; null unless `payload` asks for some.
    payload: Option<String>,
    /// There is more of it.
    payload_truncated: bool,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryState {
    /// Not sent, or sent by an earlier connection.
    Waiting,
    /// Sent and not acknowledged.
    InFlight,
    /// QoS 2: received, and not completed.
    Received,
}

/// Which part of a queue.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Messages of a page, 100 unless told.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before: the `delivery_id` behind which to go on.
    cursor: Option<String>,
    /// Bytes of each payload to be shown, none unless told; a page shows 8 MiB at most.
    #[serde(default)]
    #[param(required = false, maximum = 268_435_455)]
    payload: usize,
}

/// What waits for a client or is in flight to it, in order, in pages. Looking changes
/// nothing.
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
