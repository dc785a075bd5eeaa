//! Encoded packets are decoded to the same values.

use bytes::BytesMut;
use proptest::prelude::*;

use super::arbitrary as any_of;
use super::*;

fn encoded(version: Version, packet: &Packet<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    encode::packet(&mut out, version, packet);
    out
}

proptest! {
    #[test]
    fn connect(packet in any_of::any_version().prop_flat_map(any_of::connect)) {
        let packet = Packet::Connect(Box::new(packet));
        let bytes = encoded(Version::V5, &packet);
        prop_assert_eq!(read(&Decoder::server(MAX), &bytes), Ok(packet));
    }

    #[test]
    fn client_to_server((version, packet) in any_of::any_version().prop_flat_map(|v| (Just(v), any_of::from_client(v)))) {
        let bytes = encoded(version, &packet);
        prop_assert_eq!(read(&server(version), &bytes), Ok(packet));
    }

    #[test]
    fn server_to_client((version, packet) in any_of::any_version().prop_flat_map(|v| (Just(v), any_of::from_server(v)))) {
        let bytes = encoded(version, &packet);
        prop_assert_eq!(read(&client(version), &bytes), Ok(packet));
    }

    #[test]
    fn publish(
        version in any_of::any_version(),
        flags in any::<(bool, bool)>(),
        qos in any_of::qos(),
        packet_id in any_of::packet_id(),
        topic in any_of::topic(),
        alias in proptest::option::of(1..=u16::MAX),
        expiry in any::<Option<u32>>(),
        subscription_ids in proptest::collection::vec(1..=268_435_455u32, 0..4),
        properties in any_of::passing_properties(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let v5 = version == Version::V5;
        let sent = Publish {
            dup: flags.0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags.1,
            packet_id: Some(packet_id).filter(|_| qos != QoS::AtMostOnce),
            topic: if v5 && alias.is_some() && flags.0 { "" } else { &topic },
            topic_alias: alias.filter(|_| v5),
            expiry: expiry.filter(|_| v5),
            properties: if v5 { properties.into() } else { Vec::new().into() },
            subscription_ids: if v5 { subscription_ids } else { Vec::new() },
            payload: &payload,
        };
        let parts = sent.topic.len() + sent.properties.len() + payload.len();
        let most = parts + encode::publish_overhead(sent.subscription_ids.len());
        let sent = Packet::Publish(sent);
        let bytes = encoded(version, &sent);
        prop_assert!(bytes.len() <= most);
        prop_assert_eq!(read(&client(version), &bytes), Ok(sent));
    }
}
