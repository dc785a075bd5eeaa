//! CONNACK, encoded by `mqttbytes`. For v5 it is always given properties, possibly empty,
//! because without them it omits the property length.

use bytes::{Bytes, BytesMut};
use mqttbytes::{v4, v5};

use super::writer::{fitting, fitting_bytes};
use crate::protocol::{ConnAck, ReasonCode, Version, mqttbytes_codec};

/// CONNACK. Before v5 the reason code is mapped to one of the five return codes, and a refusal
/// has no session present [MQTT-3.2.2-4] [MQTT-3.2.2-6].
pub fn connack(out: &mut BytesMut, version: Version, packet: &ConnAck) {
    let session_present = packet.session_present && packet.reason == ReasonCode::Success;
    mqttbytes_codec::write(out, |out| match version {
        Version::V5 => {
            let mut to = v5::ConnAck::new(code(packet.reason), session_present);
            to.properties = Some(properties(packet));
            to.write(out)
        }
        // In MQTT 3.1 the byte of the flag is reserved.
        Version::V31 => v4::ConnAck::new(return_code(packet.reason), false).write(out),
        Version::V311 => v4::ConnAck::new(return_code(packet.reason), session_present).write(out),
    });
}

fn return_code(reason: ReasonCode) -> v4::ConnectReturnCode {
    match reason {
        ReasonCode::Success => v4::ConnectReturnCode::Success,
        ReasonCode::UnsupportedProtocolVersion => v4::ConnectReturnCode::RefusedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid => v4::ConnectReturnCode::BadClientId,
        ReasonCode::BadUserNameOrPassword => v4::ConnectReturnCode::BadUserNamePassword,
        ReasonCode::NotAuthorized | ReasonCode::Banned | ReasonCode::BadAuthenticationMethod => {
            v4::ConnectReturnCode::NotAuthorized
        }
        _ => v4::ConnectReturnCode::ServiceUnavailable,
    }
}

fn code(reason: ReasonCode) -> v5::ConnectReturnCode {
    use v5::ConnectReturnCode as Code;
    match reason {
        ReasonCode::Success => Code::Success,
        ReasonCode::MalformedPacket => Code::MalformedPacket,
        ReasonCode::ProtocolError => Code::ProtocolError,
        ReasonCode::ImplementationSpecificError => Code::ImplementationSpecificError,
        ReasonCode::UnsupportedProtocolVersion => Code::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid => Code::ClientIdentifierNotValid,
        ReasonCode::BadUserNameOrPassword => Code::BadUserNamePassword,
        ReasonCode::NotAuthorized => Code::NotAuthorized,
        // Only DISCONNECT has a code for shutting down; here it becomes unavailable.
        ReasonCode::ServerUnavailable | ReasonCode::ServerShuttingDown => Code::ServerUnavailable,
        ReasonCode::ServerBusy => Code::ServerBusy,
        ReasonCode::Banned => Code::Banned,
        ReasonCode::BadAuthenticationMethod => Code::BadAuthenticationMethod,
        ReasonCode::TopicNameInvalid => Code::TopicNameInvalid,
        ReasonCode::PacketTooLarge => Code::PacketTooLarge,
        ReasonCode::QuotaExceeded => Code::QuotaExceeded,
        ReasonCode::PayloadFormatInvalid => Code::PayloadFormatInvalid,
        ReasonCode::RetainNotSupported => Code::RetainNotSupported,
        ReasonCode::QoSNotSupported => Code::QoSNotSupported,
        ReasonCode::UseAnotherServer => Code::UseAnotherServer,
        ReasonCode::ServerMoved => Code::ServerMoved,
        ReasonCode::ConnectionRateExceeded => Code::ConnectionRateExceeded,
        _ => Code::UnspecifiedError,
    }
}

fn properties(packet: &ConnAck) -> v5::ConnAckProperties {
    let text = |value: &Option<String>| value.as_deref().map(|value| fitting(value).to_owned());
    let flag = |value: Option<bool>| value.map(u8::from);
    v5::ConnAckProperties {
        session_expiry_interval: packet.session_expiry,
        receive_max: packet.receive_maximum,
        // Only 0 and 1 are valid here; the default of 2 is omitted.
        max_qos: packet.maximum_qos.map(|qos| qos as u8).filter(|&qos| qos < 2),
        retain_available: flag(packet.retain_available),
        max_packet_size: packet.maximum_packet_size,
        assigned_client_identifier: text(&packet.assigned_client_id),
        topic_alias_max: packet.topic_alias_maximum,
        reason_string: text(&packet.reason_string),
        user_properties: mqttbytes_codec::pairs(&packet.user_properties),
        wildcard_subscription_available: flag(packet.wildcard_subscription_available),
        subscription_identifiers_available: flag(packet.subscription_identifiers_available),
        shared_subscription_available: flag(packet.shared_subscription_available),
        server_keep_alive: packet.server_keep_alive,
        response_information: text(&packet.response_information),
        server_reference: text(&packet.server_reference),
        authentication_method: text(&packet.authentication_method),
        authentication_data: packet
            .authentication_data
            .as_deref()
            .map(|data| Bytes::copy_from_slice(fitting_bytes(data))),
    }
}
