//! MQTT 5.0 properties of a message, as the API shows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::publish::UserProperty;
use crate::protocol::{MessageProperties, hops};

/// Those that a receiver gets.
#[allow(clippy::struct_field_names)] // The API's names.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Properties {
    content_type: Option<String>,
    response_topic: Option<String>,
    /// Correlation Data in Base64.
    correlation_data: Option<String>,
    user_properties: Vec<UserProperty>,
}

impl Properties {
    /// From an encoded property block. What bridges tell each other is left out.
    pub(super) fn of(block: &[u8]) -> Self {
        let properties = MessageProperties::decode(hops::split(block).1);
        Self {
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data.map(|data| STANDARD.encode(data)),
            user_properties: properties.user.into_iter().map(UserProperty::from).collect(),
        }
    }
}
