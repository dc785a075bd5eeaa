//! SUBSCRIBE and UNSUBSCRIBE: sections 3.8 and 3.10.

use super::*;

fn subscribe(version: Version, filter: impl AsRef<[u8]>, options: u8) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    framed(0x82, &[&[0, 1], properties, &field(filter), &[options]])
}

fn unsubscribe(version: Version, filter: impl AsRef<[u8]>) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    framed(0xA2, &[&[0, 1], properties, &field(filter)])
}

fn read_subscribe(version: Version, bytes: &[u8]) -> Subscribe {
    let Packet::Subscribe(subscribe) = accepted(&server(version), bytes) else {
        panic!("no SUBSCRIBE")
    };
    *subscribe
}

#[test]
fn filters_come_in_the_order_received() {
    for version in BEFORE_V5 {
        let bytes =
            framed(0x82, &[&[1, 0], &field("a/+"), &[0], &field("#"), &[1], &field("b"), &[2]]);
        let subscribe = read_subscribe(version, &bytes);
        assert_eq!(subscribe.packet_id, id(256));
        let read: Vec<_> =
            subscribe.filters.iter().map(|f| (f.filter.as_str(), f.options.qos)).collect();
        assert_eq!(
            read,
            [("a/+", QoS::AtMostOnce), ("#", QoS::AtLeastOnce), ("b", QoS::ExactlyOnce)]
        );
    }
}

#[test]
fn options_of_v5_are_read() {
    let user = [&[0x26][..], &field("k"), &field("v")].concat();
    for properties in [block(&[&[0x0B, 0xC8, 0x01], &user]), block(&[&user, &[0x0B, 0xC8, 0x01]])] {
        let bytes =
            framed(0x82, &[&[0, 1], &properties, &field("a"), &[0x2E], &field("b"), &[0x11]]);
        let subscribe = read_subscribe(Version::V5, &bytes);
        assert_eq!(subscribe.subscription_id, Some(200));
        assert_eq!(subscribe.user_properties, [("k".into(), "v".into())]);
        let expected = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::Never,
        };
        assert_eq!(subscribe.filters[0].options, expected);
        assert_eq!(subscribe.filters[1].options.retain_handling, RetainHandling::IfNew);
    }
}

#[test]
fn what_is_wrong_with_a_filter_is_told_by_the_rule_of_the_clients_version() {
    for (version, filter, rule) in [
        (Version::V311, "$share/g", "MQTT 5.0, 4.8.2"),
        (Version::V5, "$share/g", "[MQTT-4.8.2-1]"),
        (Version::V311, "a#", "[MQTT-4.7.1-2]"),
        (Version::V5, "a#", "[MQTT-4.7.1-1]"),
        (Version::V311, "a+", "[MQTT-4.7.1-3]"),
        (Version::V5, "", "[MQTT-4.7.3-1]"),
    ] {
        let error = read(&server(version), &subscribe(version, filter, 0)).unwrap_err();
        assert!(error.to_string().contains(rule), "{filter:?}: {error}");
    }
}

#[test]
fn mqtt_3_8_3_2_a_filter_is_required() {
    for version in BEFORE_V5 {
        assert_eq!(refused(&server(version), &[0x82, 2, 0, 1]), ReasonCode::ProtocolError);
        assert_eq!(refused(&server(version), &[0xA2, 2, 0, 1]), ReasonCode::ProtocolError);
    }
    assert_eq!(refused(&server(Version::V5), &[0x82, 3, 0, 1, 0]), ReasonCode::ProtocolError);
    assert_eq!(refused(&server(Version::V5), &[0xA2, 3, 0, 1, 0]), ReasonCode::ProtocolError);
}

#[test]
fn mqtt_2_2_1_3_packet_identifier_0_is_refused() {
    for first in [0x82, 0xA2] {
        for version in ALL {
            let bytes = framed(first, &[&[0, 0, 0], &field("a"), &[0]]);
            assert_eq!(refused(&server(version), &bytes), ReasonCode::ProtocolError);
        }
    }
}

#[test]
fn mqtt_3_8_3_4_of_3_1_1_a_requested_qos_above_2_is_malformed() {
    for options in 3..=u8::MAX {
        for version in BEFORE_V5 {
            assert_eq!(
                refused(&server(version), &subscribe(version, "a", options)),
                ReasonCode::MalformedPacket
            );
        }
    }
}

#[test]
fn mqtt_3_8_3_5_reserved_option_bits_are_malformed() {
    for options in [0x40, 0x80] {
        assert_eq!(
            refused(&server(Version::V5), &subscribe(Version::V5, "a", options)),
            ReasonCode::MalformedPacket
        );
    }
}

#[test]
fn maximum_qos_3_and_retain_handling_3_are_protocol_errors() {
    for options in [0x03, 0x30] {
        assert_eq!(
            refused(&server(Version::V5), &subscribe(Version::V5, "a", options)),
            ReasonCode::ProtocolError
        );
    }
}

#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    assert_eq!(
        refused(&server(Version::V5), &subscribe(Version::V5, "$share/g/a", 0x04)),
        ReasonCode::ProtocolError
    );
    read_subscribe(Version::V5, &subscribe(Version::V5, "a", 0x04));
    read_subscribe(Version::V5, &subscribe(Version::V5, "$share/g/a", 0x02));
}

#[test]
fn subscription_identifier_0_is_a_protocol_error() {
    let bytes = framed(0x82, &[&[0, 1], &block(&[&[0x0B, 0]]), &field("a"), &[0]]);
    assert_eq!(refused(&server(Version::V5), &bytes), ReasonCode::ProtocolError);
}

#[test]
fn mqtt_4_7_1_1_what_is_no_topic_filter_is_refused() {
    for version in ALL {
        for bad in ["", "a#", "#/a", "a+", "$share/g", "$share//a", "$share/+/a", "$share/g/"] {
            assert_eq!(
                refused(&server(version), &subscribe(version, bad, 0)),
                ReasonCode::TopicFilterInvalid,
                "{bad}"
            );
            assert_eq!(
                refused(&server(version), &unsubscribe(version, bad)),
                ReasonCode::TopicFilterInvalid,
                "{bad}"
            );
        }
        for bad in [&b"\xFF"[..], b"a\0"] {
            assert_eq!(
                refused(&server(version), &subscribe(version, bad, 0)),
                ReasonCode::MalformedPacket
            );
            assert_eq!(
                refused(&server(version), &unsubscribe(version, bad)),
                ReasonCode::MalformedPacket
            );
        }
    }
}

#[test]
fn a_filter_without_options_is_malformed() {
    for version in BEFORE_V5 {
        assert_eq!(
            refused(&server(version), &framed(0x82, &[&[0, 1], &field("a")])),
            ReasonCode::MalformedPacket
        );
    }
    assert_eq!(
        refused(&server(Version::V5), &framed(0x82, &[&[0, 1, 0], &field("a")])),
        ReasonCode::MalformedPacket
    );
}

#[test]
fn bytes_after_the_last_filter_are_malformed() {
    for version in ALL {
        for mut bytes in [subscribe(version, "a", 0), unsubscribe(version, "a")] {
            bytes.push(0);
            bytes[1] += 1;
            assert_eq!(refused(&server(version), &bytes), ReasonCode::MalformedPacket);
        }
    }
}

#[test]
fn unsubscribe_reads_filters_and_user_properties() {
    let properties = block(&[&[0x26], &field("k"), &field("v")]);
    let bytes = framed(0xA2, &[&[0, 9], &properties, &field("a/#"), &field("$share/g/b")]);
    let Packet::Unsubscribe(read) = accepted(&server(Version::V5), &bytes) else {
        panic!("no UNSUBSCRIBE")
    };
    assert_eq!(read.packet_id, id(9));
    assert_eq!(read.user_properties, [("k".into(), "v".into())]);
    assert_eq!(
        read.filters.iter().map(TopicFilter::as_str).collect::<Vec<_>>(),
        ["a/#", "$share/g/b"]
    );
}
