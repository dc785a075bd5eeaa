//! Packets that only a server sends: CONNACK, SUBACK, UNSUBACK. They are validated here and
//! then decoded by `mqttbytes`.

use mqttbytes::{v4, v5};

use super::ack::reason;
use crate::protocol::mqttbytes_codec;
use crate::protocol::properties::{self, id, of};
use crate::protocol::reader::Reader;
use crate::protocol::reason::ReasonContext;
use crate::protocol::{ConnAck, DecodeError, PacketId, QoS, ReasonCode, SubAck, UnsubAck, Version};

pub(super) fn connack(
    version: Version,
    frame: &[u8],
    mut reader: Reader<'_>,
) -> Result<ConnAck, DecodeError> {
    let flags = reader.u8()?;
    if flags & 0xFE != 0 {
        return Err(DecodeError::malformed("reserved connect acknowledge flags [MQTT-3.2.2-1]"));
    }
    let code = reader.u8()?;
    if code != 0 && flags != 0 {
        return Err(DecodeError::protocol("session present in a refusal [MQTT-3.2.2-6]"));
    }
    let (header, bytes) = mqttbytes_codec::frame(frame)?;
    if version != Version::V5 {
        reader.finish()?;
        let read = v4::ConnAck::read(header, bytes).map_err(mqttbytes_codec::refused)?;
        let reason = match read.code {
            v4::ConnectReturnCode::Success => ReasonCode::Success,
            v4::ConnectReturnCode::RefusedProtocolVersion => ReasonCode::UnsupportedProtocolVersion,
            v4::ConnectReturnCode::BadClientId => ReasonCode::ClientIdentifierNotValid,
            v4::ConnectReturnCode::ServiceUnavailable => ReasonCode::ServerUnavailable,
            v4::ConnectReturnCode::BadUserNamePassword => ReasonCode::BadUserNameOrPassword,
            v4::ConnectReturnCode::NotAuthorized => ReasonCode::NotAuthorized,
        };
        return Ok(ConnAck { session_present: read.session_present, reason, ..ConnAck::default() });
    }
    let reason = reason(code, ReasonContext::ConnAck)?;
    let (mut method, mut data) = (false, false);
    properties::walk(&mut reader, of::CONNACK, |property| {
        method |= property.id == id::AUTHENTICATION_METHOD;
        data |= property.id == id::AUTHENTICATION_DATA;
        Ok(())
    })?;
    reader.finish()?;
    if data && !method {
        return Err(DecodeError::protocol("authentication data without a method"));
    }
    let read = v5::ConnAck::read(header, bytes).map_err(mqttbytes_codec::refused)?;
    let mut connack = read.properties.map_or_else(ConnAck::default, from_properties);
    connack.session_present = read.session_present;
    connack.reason = reason;
    Ok(connack)
}

fn from_properties(from: v5::ConnAckProperties) -> ConnAck {
    let flag = |value: Option<u8>| value.map(|value| value != 0);
    ConnAck {
        session_expiry: from.session_expiry_interval,
        receive_maximum: from.receive_max,
        maximum_qos: from.max_qos.and_then(QoS::from_bits),
        retain_available: flag(from.retain_available),
        maximum_packet_size: from.max_packet_size,
        assigned_client_id: from.assigned_client_identifier,
        topic_alias_maximum: from.topic_alias_max,
        reason_string: from.reason_string,
        user_properties: from.user_properties,
        wildcard_subscription_available: flag(from.wildcard_subscription_available),
        subscription_identifiers_available: flag(from.subscription_identifiers_available),
        shared_subscription_available: flag(from.shared_subscription_available),
        server_keep_alive: from.server_keep_alive,
        response_information: from.response_information,
        server_reference: from.server_reference,
        authentication_method: from.authentication_method,
        authentication_data: from.authentication_data.map(|data| data.to_vec()),
        ..ConnAck::default()
    }
}

pub(super) fn suback(
    version: Version,
    frame: &[u8],
    mut reader: Reader<'_>,
) -> Result<SubAck, DecodeError> {
    let (packet_id, reasons) = check_reasons(version, &mut reader, ReasonContext::SubAck)?;
    let (reason_string, user_properties) = if version == Version::V5 {
        let (header, bytes) = mqttbytes_codec::frame(frame)?;
        let read = v5::SubAck::read(header, bytes).map_err(mqttbytes_codec::refused)?;
        read.properties.map_or((None, Vec::new()), |p| (p.reason_string, p.user_properties))
    } else {
        if reasons
            .iter()
            .any(|reason| reason.is_failure() && *reason != ReasonCode::UnspecifiedError)
        {
            return Err(DecodeError::protocol(
                "SUBACK return code that is reserved [MQTT-3.9.3-2]",
            ));
        }
        (None, Vec::new())
    };
    Ok(SubAck { packet_id, reasons, reason_string, user_properties })
}

pub(super) fn unsuback(
    version: Version,
    frame: &[u8],
    mut reader: Reader<'_>,
) -> Result<UnsubAck, DecodeError> {
    if version != Version::V5 {
        let packet_id = reader.packet_id()?;
        reader.finish()?;
        return Ok(UnsubAck {
            packet_id,
            reasons: Vec::new(),
            reason_string: None,
            user_properties: Vec::new(),
        });
    }
    let (packet_id, reasons) = check_reasons(version, &mut reader, ReasonContext::UnsubAck)?;
    let (header, bytes) = mqttbytes_codec::frame(frame)?;
    let read = v5::UnsubAck::read(header, bytes).map_err(mqttbytes_codec::refused)?;
    let (reason_string, user_properties) =
        read.properties.map_or((None, Vec::new()), |p| (p.reason_string, p.user_properties));
    Ok(UnsubAck { packet_id, reasons, reason_string, user_properties })
}

/// Validates packet identifier and properties, and requires at least one reason code.
fn check_reasons(
    version: Version,
    reader: &mut Reader<'_>,
    context: ReasonContext,
) -> Result<(PacketId, Vec<ReasonCode>), DecodeError> {
    let packet_id = reader.packet_id()?;
    if version == Version::V5 {
        properties::walk(reader, of::ACK, |_| Ok(()))?;
    }
    if reader.is_empty() {
        return Err(DecodeError::protocol("acknowledgement without a code [MQTT-3.9.3-1]"));
    }
    let reasons =
        reader.rest().iter().map(|&byte| reason(byte, context)).collect::<Result<_, _>>()?;
    Ok((packet_id, reasons))
}
