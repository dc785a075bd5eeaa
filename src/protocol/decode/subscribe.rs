//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! SUBSCRIBE is validated here and then decoded by `mqttbytes`. UNSUBSCRIBE is decoded here,
//! because the v5 reader of the library prints while it reads.

use mqttbytes::{v4, v5};

use crate::protocol::mqttbytes_codec::{self, qos};
use crate::protocol::properties::{self, of};
use crate::protocol::reader::Reader;
use crate::protocol::{
    DecodeError, PacketId, ReasonCode, RetainHandling, Subscribe, SubscribeFilter,
    SubscriptionOptions, TopicError, TopicFilter, Unsubscribe, Version,
};

/// The error of an invalid filter, with the clause of the client's version if it has one. MQTT
/// 3.1.1 has no shared subscriptions, and numbers the clauses of wildcards one higher.
fn invalid(version: Version, error: TopicError) -> DecodeError {
    let v5 = version == Version::V5;
    let text = match error {
        TopicError::Empty => "an empty topic filter [MQTT-4.7.3-1]",
        TopicError::Nul => "a topic filter with U+0000 [MQTT-4.7.3-2]",
        TopicError::MultiLevelWildcard if v5 => "`#` is not the whole last level [MQTT-4.7.1-1]",
        TopicError::MultiLevelWildcard => "`#` is not the whole last level [MQTT-4.7.1-2]",
        TopicError::SingleLevelWildcard if v5 => "`+` is not a whole level [MQTT-4.7.1-2]",
        TopicError::SingleLevelWildcard => "`+` is not a whole level [MQTT-4.7.1-3]",
        TopicError::Share if v5 => "no $share/GROUP/FILTER [MQTT-4.8.2-1] [MQTT-4.8.2-2]",
        TopicError::Share => "no $share/GROUP/FILTER (shared as in MQTT 5.0, 4.8.2)",
        TopicError::TooLong | TopicError::Wildcard => "no topic filter [MQTT-4.7.3-3]",
    };
    DecodeError::new(ReasonCode::TopicFilterInvalid, text)
}

pub(super) fn subscribe(
    version: Version,
    frame: &[u8],
    reader: Reader<'_>,
) -> Result<Subscribe, DecodeError> {
    let packet_id = check_subscribe(version, reader)?;
    let (header, bytes) = mqttbytes_codec::frame(frame)?;
    if version != Version::V5 {
        let read = v4::Subscribe::read(header, bytes).map_err(mqttbytes_codec::refused)?;
        let filters = read.filters.into_iter().map(|from| {
            let options =
                SubscriptionOptions { qos: qos(from.qos), ..SubscriptionOptions::default() };
            filter(version, &from.path).map(|filter| SubscribeFilter { filter, options })
        });
        let filters = filters.collect::<Result<_, _>>()?;
        return Ok(Subscribe {
            packet_id,
            subscription_id: None,
            filters,
            user_properties: Vec::new(),
        });
    }
    let read = v5::Subscribe::read(header, bytes).map_err(mqttbytes_codec::refused)?;
    let filters = read.filters.iter().map(|from| {
        let options = SubscriptionOptions {
            qos: qos(from.qos),
            no_local: from.nolocal,
            retain_as_published: from.preserve_retain,
            retain_handling: match from.retain_forward_rule {
                v5::RetainForwardRule::OnEverySubscribe => RetainHandling::Always,
                v5::RetainForwardRule::OnNewSubscribe => RetainHandling::IfNew,
                v5::RetainForwardRule::Never => RetainHandling::Never,
            },
        };
        filter(version, &from.path).map(|filter| SubscribeFilter { filter, options })
    });
    let filters = filters.collect::<Result<_, _>>()?;
    let (id, user_properties) =
        read.properties.map_or((None, Vec::new()), |p| (p.id, p.user_properties));
    let subscription_id = id.and_then(|id| u32::try_from(id).ok());
    Ok(Subscribe { packet_id, subscription_id, filters, user_properties })
}

/// Validates a SUBSCRIBE. Returns the packet identifier, which the library does not check.
fn check_subscribe(version: Version, mut reader: Reader<'_>) -> Result<PacketId, DecodeError> {
    let packet_id = reader.packet_id()?;
    if version == Version::V5 {
        properties::walk(&mut reader, of::SUBSCRIBE, |_| Ok(()))?;
    }
    if reader.is_empty() {
        return Err(DecodeError::protocol("SUBSCRIBE without a filter [MQTT-3.8.3-2]"));
    }
    while !reader.is_empty() {
        let checked = TopicFilter::check(reader.text()?);
        let shared = checked.map_err(|error| invalid(version, error))? != 0;
        check_options(version, reader.u8()?, shared)?;
    }
    Ok(packet_id)
}

fn check_options(version: Version, options: u8, shared: bool) -> Result<(), DecodeError> {
    if version != Version::V5 {
        return match options {
            0..=2 => Ok(()),
            _ => Err(DecodeError::malformed("requested QoS byte above 2 [MQTT-3.8.3-4]")),
        };
    }
    if options & 0xC0 != 0 {
        return Err(DecodeError::malformed("reserved subscription options [MQTT-3.8.3-5]"));
    }
    if options & 0x03 == 3 {
        return Err(DecodeError::protocol("subscription with maximum QoS 3"));
    }
    if options & 0x30 == 0x30 {
        return Err(DecodeError::protocol("subscription with retain handling 3"));
    }
    if shared && options & 0x04 != 0 {
        return Err(DecodeError::protocol("no local on a shared subscription [MQTT-3.8.3-4]"));
    }
    Ok(())
}

pub(super) fn unsubscribe(
    version: Version,
    mut reader: Reader<'_>,
) -> Result<Unsubscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let mut user_properties = Vec::new();
    if version == Version::V5 {
        properties::walk(&mut reader, of::UNSUBSCRIBE, |property| {
            user_properties.push(property.value.pair());
            Ok(())
        })?;
    }
    if reader.is_empty() {
        return Err(DecodeError::protocol("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]"));
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(filter(version, reader.text()?)?);
    }
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

fn filter(version: Version, text: &str) -> Result<TopicFilter, DecodeError> {
    TopicFilter::new(text).map_err(|error| invalid(version, error))
}
