//! `/publish`: publishes a message for an operator.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, Operator};
use super::problem::{Answer, Problem};
use super::{Api, detached, not_committed};
use crate::broker::admin::{Announcement, Unannounced};
use crate::protocol::{MessageProperties, QoS, hops};
use crate::telemetry::AUDIT;

/// A message to publish.
#[allow(clippy::struct_field_names)] // Names of the API, apart from the struct's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    #[schema(min_length = 1, max_length = 65_535)]
    topic: String,
    /// The payload as text. Excludes `payload_base64`; without both it is empty.
    payload: Option<String>,
    /// The payload in Base64.
    payload_base64: Option<String>,
    /// The QoS; 0 by default.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    /// Whether it is retained; with an empty payload it removes the retained message.
    #[serde(default)]
    retain: bool,
    /// Message Expiry Interval in seconds.
    message_expiry_seconds: Option<u32>,
    /// Whether the payload is declared to be text.
    payload_format: Option<PayloadFormat>,
    content_type: Option<String>,
    response_topic: Option<String>,
    /// Correlation Data in Base64.
    correlation_data: Option<String>,
    #[serde(default)]
    user_properties: Vec<UserProperty>,
}

/// The Payload Format Indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PayloadFormat {
    /// 0
    Bytes,
    /// 1
    Utf8,
}

/// A User Property.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserProperty {
    name: String,
    value: String,
}

impl From<(String, String)> for UserProperty {
    fn from((name, value): (String, String)) -> Self {
        Self { name, value }
    }
}

/// The result of a publish.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// The message's id; it increases with each message of the broker.
    message_id: u64,
    /// Number of sessions with a matching subscription.
    receivers: usize,
}

/// Publishes a message.
/// At QoS 1 and 2 it answers when the message is on disk or acknowledged by all receivers.
#[utoipa::path(post, path = "/publish", operation_id = "publish", tag = "messages", request_body = Message,
    responses(
        (status = 200, description = "It is published.", body = Published),
        (status = 507, description = "There is no room for it.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn publish(
    State(api): State<Api>,
    Operator(remote): Operator,
    Body(message): Body<Message>,
) -> Answer<Json<Published>> {
    let broker = Arc::clone(api.broker()?);
    let message = announcement(message).map_err(Problem::unfit)?;
    let announced = detached(async move {
        let announced = broker.announce(&message).await;
        if announced.is_ok() {
            let (qos, bytes) = (message.qos as u8, message.payload.len());
            tracing::info!(target: AUDIT, topic = message.topic, %remote, qos, bytes, "message published by an operator");
        }
        announced
    });
    let announced = announced.await?.map_err(refused)?;
    Ok(Json(Published { message_id: announced.message.0, receivers: announced.receivers }))
}

fn announcement(message: Message) -> Result<Announcement, String> {
    let payload = match (message.payload, message.payload_base64) {
        (Some(_), Some(_)) => return Err("payload and payload_base64: give one of them".into()),
        (Some(text), None) => text.into_bytes(),
        (None, base64) => decoded("payload_base64", base64)?.unwrap_or_default(),
    };
    let is_text = message.payload_format.map(|format| format == PayloadFormat::Utf8);
    if is_text == Some(true) && std::str::from_utf8(&payload).is_err() {
        return Err("payload_format: the payload is no UTF-8".into());
    }
    let qos = QoS::from_bits(message.qos).ok_or("qos: expected 0, 1 or 2")?;
    if message.user_properties.iter().any(|user| user.name == hops::HOPS) {
        return Err(format!("user_properties: the name {} is kept for bridges", hops::HOPS));
    }
    let user = message.user_properties.into_iter().map(|user| (user.name, user.value)).collect();
    Ok(Announcement {
        topic: message.topic,
        payload,
        qos,
        retain: message.retain,
        expiry: message.message_expiry_seconds,
        properties: MessageProperties {
            is_text,
            content_type: message.content_type,
            response_topic: message.response_topic,
            correlation_data: decoded("correlation_data", message.correlation_data)?,
            user,
        },
    })
}

fn decoded(name: &str, base64: Option<String>) -> Result<Option<Vec<u8>>, String> {
    let decode = |text: String| STANDARD.decode(text);
    base64.map(decode).transpose().map_err(|error| format!("{name} is no Base64: {error}"))
}

fn refused(why: Unannounced) -> Problem {
    let problem = |status, kind, title| Problem::new(status, kind, title, format!("{why}."));
    let no_room = StatusCode::INSUFFICIENT_STORAGE;
    match why {
        Unannounced::TooLarge => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The message is too large")
        }
        Unannounced::QueueFull => {
            problem(StatusCode::TOO_MANY_REQUESTS, "queue-full", "A receiver's queue is full")
        }
        Unannounced::DiskFull => problem(no_room, "disk-full", "The disk is full"),
        Unannounced::RetainedFull => {
            problem(no_room, "retained-full", "There is no room to retain it")
        }
        Unannounced::NotCommitted(error) => not_committed(error),
        Unannounced::Topic(_)
        | Unannounced::Levels
        | Unannounced::Own
        | Unannounced::Properties(_)
        | Unannounced::NoRetain => Problem::unfit(format!("{why}.")),
    }
}
