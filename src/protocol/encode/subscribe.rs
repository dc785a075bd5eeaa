//! SUBSCRIBE, UNSUBSCRIBE and their acknowledgements, encoded by `mqttbytes`.

use bytes::BytesMut;
use mqttbytes::{v4, v5};

use super::writer::fitting;
use crate::protocol::{
    ReasonCode, RetainHandling, SubAck, Subscribe, UnsubAck, Unsubscribe, Version, mqttbytes_codec,
};

/// SUBSCRIBE, for the client role.
pub fn subscribe(out: &mut BytesMut, version: Version, packet: &Subscribe) {
    debug_assert!(!packet.filters.is_empty(), "never without a filter [MQTT-3.8.3-2]");
    mqttbytes_codec::write(out, |out| {
        if version == Version::V5 {
            let filters = packet.filters.iter().map(|from| {
                let mut to = v5::SubscribeFilter::new(
                    from.filter.as_str().to_owned(),
                    mqttbytes_codec::to_qos(from.options.qos),
                );
                to.nolocal = from.options.no_local;
                to.preserve_retain = from.options.retain_as_published;
                to.retain_forward_rule = match from.options.retain_handling {
                    RetainHandling::Always => v5::RetainForwardRule::OnEverySubscribe,
                    RetainHandling::IfNew => v5::RetainForwardRule::OnNewSubscribe,
                    RetainHandling::Never => v5::RetainForwardRule::Never,
                };
                to
            });
            let mut to = v5::Subscribe::new_many(filters);
            to.pkid = packet.packet_id.get();
            to.properties = Some(v5::SubscribeProperties {
                id: packet.subscription_id.map(|id| id as usize),
                user_properties: mqttbytes_codec::pairs(&packet.user_properties),
            });
            to.write(out)
        } else {
            let filters = packet.filters.iter().map(|from| {
                v4::SubscribeFilter::new(
                    from.filter.as_str().to_owned(),
                    mqttbytes_codec::to_qos(from.options.qos),
                )
            });
            let mut to = v4::Subscribe::new_many(filters);
            to.pkid = packet.packet_id.get();
            to.write(out)
        }
    });
}

/// UNSUBSCRIBE, for the client role.
pub fn unsubscribe(out: &mut BytesMut, version: Version, packet: &Unsubscribe) {
    debug_assert!(!packet.filters.is_empty(), "never without a filter [MQTT-3.10.3-2]");
    let pkid = packet.packet_id.get();
    let filters = packet.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
    mqttbytes_codec::write(out, |out| {
        if version == Version::V5 {
            let user_properties = mqttbytes_codec::pairs(&packet.user_properties);
            v5::Unsubscribe {
                pkid,
                filters,
                properties: Some(v5::UnsubscribeProperties { user_properties }),
            }
            .write(out)
        } else {
            v4::Unsubscribe { pkid, topics: filters }.write(out)
        }
    });
}

/// SUBACK. Before v5 every failure becomes 0x80.
pub fn suback(out: &mut BytesMut, version: Version, packet: &SubAck) {
    let pkid = packet.packet_id.get();
    mqttbytes_codec::write(out, |out| {
        if version == Version::V5 {
            let codes = packet.reasons.iter().map(|reason| {
                debug_assert!(
                    !reason.is_failure()
                        || v5::SubscribeReasonCode::try_from(reason.as_u8()).is_ok()
                );
                v5::SubscribeReasonCode::try_from(reason.as_u8())
                    .unwrap_or(v5::SubscribeReasonCode::Unspecified)
            });
            let mut to = v5::SubAck::new(pkid, codes.collect());
            to.properties = Some(v5::SubAckProperties {
                reason_string: packet.reason_string.as_deref().map(|text| fitting(text).to_owned()),
                user_properties: mqttbytes_codec::pairs(&packet.user_properties),
            });
            to.write(out)
        } else {
            let codes = packet.reasons.iter().map(|reason| match mqttbytes::qos(reason.as_u8()) {
                Ok(qos) => v4::SubscribeReasonCode::Success(qos),
                Err(_) => v4::SubscribeReasonCode::Failure,
            });
            v4::SubAck::new(pkid, codes.collect()).write(out)
        }
    });
}

/// UNSUBACK. Before v5 it has no reason codes.
pub fn unsuback(out: &mut BytesMut, version: Version, packet: &UnsubAck) {
    let pkid = packet.packet_id.get();
    mqttbytes_codec::write(out, |out| {
        if version == Version::V5 {
            let mut to = v5::UnsubAck::new(pkid);
            to.reasons = packet.reasons.iter().map(|&reason| unsuback_reason(reason)).collect();
            to.properties = Some(v5::UnsubAckProperties {
                reason_string: packet.reason_string.as_deref().map(|text| fitting(text).to_owned()),
                user_properties: mqttbytes_codec::pairs(&packet.user_properties),
            });
            to.write(out)
        } else {
            v4::UnsubAck::new(pkid).write(out)
        }
    });
}

fn unsuback_reason(reason: ReasonCode) -> v5::UnsubAckReason {
    match reason {
        ReasonCode::Success => v5::UnsubAckReason::Success,
        ReasonCode::NoSubscriptionExisted => v5::UnsubAckReason::NoSubscriptionExisted,
        ReasonCode::ImplementationSpecificError => v5::UnsubAckReason::ImplementationSpecificError,
        ReasonCode::NotAuthorized => v5::UnsubAckReason::NotAuthorized,
        ReasonCode::TopicFilterInvalid => v5::UnsubAckReason::TopicFilterInvalid,
        ReasonCode::PacketIdentifierInUse => v5::UnsubAckReason::PacketIdentifierInUse,
        _ => v5::UnsubAckReason::UnspecifiedError,
    }
}
