//! CONNECT, for all three versions. Not decoded by `mqttbytes`, which does not support MQTT
//! 3.1 and binary passwords, and cannot tell an absent user name from an empty one.

use crate::protocol::properties::{self, id, of};
use crate::protocol::reader::Reader;
use crate::protocol::{Connect, DecodeError, LastWill, QoS, ReasonCode, Reply, TopicName, Version};

mod flag {
    pub const RESERVED: u8 = 0x01;
    pub const CLEAN_START: u8 = 0x02;
    pub const WILL: u8 = 0x04;
    pub const WILL_RETAIN: u8 = 0x20;
    pub const PASSWORD: u8 = 0x40;
    pub const USERNAME: u8 = 0x80;
    /// Must be 0 without a will.
    pub const OF_WILL: u8 = 0x38;
}

pub(super) fn connect(mut reader: Reader<'_>) -> Result<Connect, DecodeError> {
    let (version, is_bridge) = version(&mut reader)?;
    after_version(version, is_bridge, reader).map_err(|error| {
        // Before v5 a malformed CONNECT is closed without an answer, except for an invalid
        // client identifier, which has a return code [MQTT-3.1.3-9].
        if version == Version::V5 || error.reason == ReasonCode::ClientIdentifierNotValid {
            error.with_reply(Reply::ConnAck(version))
        } else {
            error
        }
    })
}

/// Protocol name and level [MQTT-3.1.2-1] [MQTT-3.1.2-2], and whether the level has the bit of
/// bridges.
fn version(reader: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let unsupported = |what| DecodeError::new(ReasonCode::UnsupportedProtocolVersion, what);
    let name = reader.text()?;
    let level = reader.u8()?;
    match (name, level) {
        ("MQIsdp", 3 | 0x83) => Ok((Version::V31, level == 0x83)),
        ("MQTT", 4 | 0x84) => Ok((Version::V311, level == 0x84)),
        ("MQTT", 5) => Ok((Version::V5, false)),
        ("MQIsdp", _) => Err(unsupported("protocol level that MQIsdp does not have")
            .with_reply(Reply::ConnAck(Version::V31))),
        // The bit of bridges does not exist in v5, which has options instead. Bridges retry
        // without it on return code 1.
        ("MQTT", _) if level & 0x7F <= 5 => {
            Err(unsupported("protocol level [MQTT-3.1.2-2]")
                .with_reply(Reply::ConnAck(Version::V311)))
        }
        ("MQTT", _) => {
            Err(unsupported("protocol level [MQTT-3.1.2-2]")
                .with_reply(Reply::ConnAck(Version::V5)))
        }
        // A peer that does not use MQTT cannot read a CONNACK.
        _ => Err(unsupported("protocol name [MQTT-3.1.2-1]")),
    }
}

fn after_version(
    version: Version,
    is_bridge: bool,
    mut reader: Reader<'_>,
) -> Result<Connect, DecodeError> {
    let flags = reader.u8()?;
    check_flags(version, flags)?;
    let keep_alive = reader.u16()?;
    let mut connect = Connect {
        is_bridge,
        clean_start: flags & flag::CLEAN_START != 0,
        keep_alive,
        ..Connect::new(version, "")
    };
    if version == Version::V5 {
        read_properties(&mut connect, &mut reader)?;
    }
    reader.text()?.clone_into(&mut connect.client_id);
    if version == Version::V31 && connect.client_id.is_empty() {
        return Err(DecodeError::new(
            ReasonCode::ClientIdentifierNotValid,
            "MQTT 3.1 has no empty client identifier",
        ));
    }
    if flags & flag::WILL != 0 {
        connect.will = Some(will(version, flags, &mut reader)?);
    }
    // In MQTT 3.1 the remaining length decides: a flag may be set although its field is
    // missing.
    let is_missing = |reader: &Reader<'_>| version == Version::V31 && reader.is_empty();
    if flags & flag::USERNAME != 0 && !is_missing(&reader) {
        connect.username = Some(reader.text()?.into());
    }
    if flags & flag::PASSWORD != 0 && !is_missing(&reader) {
        connect.password = Some(reader.binary()?.into());
    }
    reader.finish()?;
    Ok(connect)
}

fn check_flags(version: Version, flags: u8) -> Result<(), DecodeError> {
    // MQTT 3.1 calls the bit unused and does not require it to be 0.
    if flags & flag::RESERVED != 0 && version != Version::V31 {
        return Err(DecodeError::malformed("reserved connect flag is set [MQTT-3.1.2-3]"));
    }
    if flags & flag::WILL == 0 && flags & flag::OF_WILL != 0 {
        return Err(DecodeError::malformed("will QoS or retain without a will [MQTT-3.1.2-11]"));
    }
    if version != Version::V5 && flags & (flag::USERNAME | flag::PASSWORD) == flag::PASSWORD {
        return Err(DecodeError::malformed("password without user name [MQTT-3.1.2-22]"));
    }
    Ok(())
}

fn read_properties(connect: &mut Connect, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    properties::walk(reader, of::CONNECT, |property| {
        let value = property.value;
        match property.id {
            id::SESSION_EXPIRY => connect.session_expiry = Some(value.int()),
            id::RECEIVE_MAXIMUM => connect.receive_maximum = Some(value.short()),
            id::MAXIMUM_PACKET_SIZE => connect.maximum_packet_size = Some(value.int()),
            id::TOPIC_ALIAS_MAXIMUM => connect.topic_alias_maximum = value.short(),
            id::REQUEST_RESPONSE_INFORMATION => connect.request_response_information = value.flag(),
            id::REQUEST_PROBLEM_INFORMATION => connect.request_problem_information = value.flag(),
            id::AUTHENTICATION_METHOD => connect.authentication_method = Some(value.text().into()),
            id::AUTHENTICATION_DATA => connect.authentication_data = Some(value.binary().into()),
            _ => connect.user_properties.push(value.pair()),
        }
        Ok(())
    })?;
    if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
        return Err(DecodeError::protocol("authentication data without a method"));
    }
    Ok(())
}

fn will(version: Version, flags: u8, reader: &mut Reader<'_>) -> Result<LastWill, DecodeError> {
    let qos = QoS::from_bits((flags >> 3) & 3)
        .ok_or(DecodeError::malformed("will QoS 3 [MQTT-3.1.2-12]"))?;
    let (mut delay, mut expiry, mut kept) = (0, None, Vec::new());
    if version == Version::V5 {
        properties::walk(reader, of::WILL, |property| {
            match property.id {
                id::WILL_DELAY => delay = property.value.int(),
                id::MESSAGE_EXPIRY => expiry = Some(property.value.int()),
                _ => kept.extend_from_slice(property.raw),
            }
            Ok(())
        })?;
    }
    let topic = TopicName::new(reader.text()?).map_err(|_| {
        DecodeError::new(ReasonCode::TopicNameInvalid, "will topic is no topic name")
    })?;
    let payload = reader.binary()?.into();
    let retain = flags & flag::WILL_RETAIN != 0;
    Ok(LastWill { topic, payload, qos, retain, delay, expiry, properties: kept })
}
