//! CONNECT, for the client role. Not encoded by `mqttbytes`, for the reasons given in its
//! decoder, and because the properties of a will are already encoded.

use bytes::{BufMut, BytesMut};

use super::writer::{self, Properties};
use crate::protocol::properties::id;
use crate::protocol::{Connect, LastWill, Version};

/// CONNECT, in the packet's own version.
pub fn connect(out: &mut BytesMut, packet: &Connect) {
    let v5 = packet.version == Version::V5;
    let mut body = BytesMut::new();
    let (name, level) = match packet.version {
        Version::V31 => ("MQIsdp", 3),
        Version::V311 => ("MQTT", 4),
        Version::V5 => ("MQTT", 5),
    };
    writer::text(&mut body, name);
    let bridge = if packet.is_bridge && !v5 { 0x80 } else { 0 };
    body.put_u8(level | bridge);
    // Only v5 permits a password alone [MQTT-3.1.2-22]. Before v5 an empty user name is added.
    let username = match (&packet.username, &packet.password) {
        (None, Some(_)) if !v5 => Some(""),
        (username, _) => username.as_deref(),
    };
    body.put_u8(flags(packet, username.is_some()));
    body.put_u16(packet.keep_alive);
    if v5 {
        properties(packet).finish(&mut body);
    }
    writer::text(&mut body, &packet.client_id);
    if let Some(will) = &packet.will {
        put_will(&mut body, v5, will);
    }
    if let Some(username) = username {
        writer::text(&mut body, username);
    }
    if let Some(password) = &packet.password {
        writer::binary(&mut body, password);
    }
    writer::frame(out, 0x10, &body);
}

fn flags(packet: &Connect, username: bool) -> u8 {
    let mut flags = u8::from(packet.clean_start) << 1;
    if let Some(will) = &packet.will {
        flags |= 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5;
    }
    flags | u8::from(packet.password.is_some()) << 6 | u8::from(username) << 7
}

fn properties(packet: &Connect) -> Properties {
    let mut properties = Properties::default();
    properties.u32(id::SESSION_EXPIRY, packet.session_expiry);
    properties.u16(id::RECEIVE_MAXIMUM, packet.receive_maximum);
    properties.u32(id::MAXIMUM_PACKET_SIZE, packet.maximum_packet_size);
    properties.u16(
        id::TOPIC_ALIAS_MAXIMUM,
        Some(packet.topic_alias_maximum).filter(|&maximum| maximum != 0),
    );
    if packet.request_response_information {
        properties.flag(id::REQUEST_RESPONSE_INFORMATION, true);
    }
    if !packet.request_problem_information {
        properties.flag(id::REQUEST_PROBLEM_INFORMATION, false);
    }
    properties.user(&packet.user_properties);
    properties.text(id::AUTHENTICATION_METHOD, packet.authentication_method.as_deref());
    properties.binary(id::AUTHENTICATION_DATA, packet.authentication_data.as_deref());
    properties
}

fn put_will(body: &mut BytesMut, v5: bool, will: &LastWill) {
    if v5 {
        let mut properties = Properties::default();
        properties.u32(id::WILL_DELAY, Some(will.delay).filter(|&delay| delay != 0));
        properties.u32(id::MESSAGE_EXPIRY, will.expiry);
        properties.raw(&will.properties);
        properties.finish(body);
    }
    writer::text(body, will.topic.as_str());
    writer::binary(body, &will.payload);
}
