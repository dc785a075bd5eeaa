//! DISCONNECT and AUTH. Not encoded by `mqttbytes`, which loses the reason code of a
//! DISCONNECT with empty properties and has no AUTH.

use bytes::{BufMut, BytesMut};

use super::writer::{self, Properties};
use crate::protocol::properties::id;
use crate::protocol::{Auth, Disconnect, ReasonCode, Version};

/// DISCONNECT in its shortest form. Before v5 only a client may send it, and it has no fields.
pub fn disconnect(out: &mut BytesMut, version: Version, packet: &Disconnect) {
    let mut properties = Properties::default();
    properties.u32(id::SESSION_EXPIRY, packet.session_expiry);
    properties.text(id::REASON_STRING, packet.reason_string.as_deref());
    properties.text(id::SERVER_REFERENCE, packet.server_reference.as_deref());
    properties.user(&packet.user_properties);
    if version != Version::V5 {
        return writer::frame(out, 0xE0, &[]);
    }
    finish(out, 0xE0, packet.reason, &properties, true);
}

/// AUTH, which exists in v5 only.
pub fn auth(out: &mut BytesMut, packet: &Auth) {
    let mut properties = Properties::default();
    properties.text(id::AUTHENTICATION_METHOD, packet.method.as_deref());
    properties.binary(id::AUTHENTICATION_DATA, packet.data.as_deref());
    properties.text(id::REASON_STRING, packet.reason_string.as_deref());
    properties.user(&packet.user_properties);
    finish(out, 0xF0, packet.reason, &properties, false);
}

/// Only DISCONNECT may omit the property length after the reason code.
fn finish(
    out: &mut BytesMut,
    first: u8,
    reason: ReasonCode,
    properties: &Properties,
    reason_alone: bool,
) {
    let mut body = BytesMut::new();
    if reason != ReasonCode::Success || !properties.is_empty() {
        body.put_u8(reason.as_u8());
        if !(properties.is_empty() && reason_alone) {
            properties.finish(&mut body);
        }
    }
    writer::frame(out, first, &body);
}
