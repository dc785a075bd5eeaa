//! PUBLISH: section 3.3.

use std::borrow::Cow;

use super::*;

fn v311(first: u8, topic: impl AsRef<[u8]>, rest: &[u8]) -> Vec<u8> {
    framed(first, &[&field(topic), rest])
}

/// A v5 PUBLISH at QoS 0.
fn v5(topic: &str, properties: &[&[u8]], payload: &[u8]) -> Vec<u8> {
    framed(0x30, &[&field(topic), &block(properties), payload])
}

fn publish<'a>(decoder: &Decoder, bytes: &'a [u8]) -> Publish<'a> {
    let Packet::Publish(publish) = accepted(decoder, bytes) else { panic!("no PUBLISH") };
    publish
}

#[test]
fn every_field_is_read_and_borrowed() {
    let bytes = v311(0x3D, "a/b", &[0, 7, 1, 2, 3]);
    let read = publish(&server(Version::V311), &bytes);
    assert!(read.dup && read.retain);
    assert_eq!(
        (read.qos, read.packet_id, read.topic, read.payload),
        (QoS::ExactlyOnce, Some(id(7)), "a/b", &[1, 2, 3][..])
    );
    assert!(bytes.as_ptr_range().contains(&read.payload.as_ptr()));
}

#[test]
fn a_payload_may_be_empty() {
    for version in BEFORE_V5 {
        assert_eq!(publish(&server(version), &v311(0x31, "a", &[])).payload, &[] as &[u8]);
    }
    assert_eq!(publish(&server(Version::V5), &v5("a", &[], &[])).payload, &[] as &[u8]);
}

#[test]
fn mqtt_3_3_1_4_qos_3_is_malformed() {
    for version in ALL {
        assert_eq!(
            refused(&server(version), &v311(0x36, "a", &[0, 1])),
            ReasonCode::MalformedPacket
        );
    }
}

#[test]
fn mqtt_3_3_1_2_dup_at_qos_0_is_malformed() {
    for version in ALL {
        assert_eq!(refused(&server(version), &v311(0x38, "a", &[0])), ReasonCode::MalformedPacket);
    }
}

#[test]
fn mqtt_2_2_1_3_packet_identifier_0_is_refused() {
    for version in ALL {
        assert_eq!(
            refused(&server(version), &v311(0x32, "a", &[0, 0, 0])),
            ReasonCode::ProtocolError
        );
        assert_eq!(refused(&server(version), &v311(0x32, "a", &[])), ReasonCode::MalformedPacket);
    }
}

#[test]
fn mqtt_3_3_2_1_the_topic_is_utf_8_without_nul() {
    for version in ALL {
        for bad in [&b"\xC3"[..], b"\xED\xA0\x80", b"a\0", b"\xC0\x80"] {
            assert_eq!(
                refused(&server(version), &v311(0x30, bad, &[0])),
                ReasonCode::MalformedPacket
            );
        }
    }
    assert_eq!(publish(&server(Version::V311), &v311(0x30, "é/✓", &[])).topic, "é/✓");
    assert_eq!(
        publish(&server(Version::V311), &v311(0x30, "\u{FEFF}a", &[])).topic,
        "\u{FEFF}a",
        "[MQTT-1.5.4-3]"
    );
}

#[test]
fn mqtt_3_3_2_2_wildcards_in_a_topic_name_are_refused() {
    for version in ALL {
        for bad in ["+", "a/#", "a+b"] {
            assert_eq!(
                refused(&server(version), &v311(0x30, bad, &[0])),
                ReasonCode::TopicNameInvalid
            );
        }
    }
}

#[test]
fn mqtt_4_7_3_1_an_empty_topic_needs_an_alias() {
    for version in BEFORE_V5 {
        assert_eq!(refused(&server(version), &v311(0x30, "", &[])), ReasonCode::TopicNameInvalid);
    }
    assert_eq!(refused(&server(Version::V5), &v5("", &[], &[])), ReasonCode::ProtocolError);
    assert_eq!(publish(&server(Version::V5), &v5("", &[&[0x23, 0, 1]], &[])).topic_alias, Some(1));
}

#[test]
fn mqtt_3_3_2_8_topic_alias_0_is_invalid() {
    assert_eq!(
        refused(&server(Version::V5), &v5("a", &[&[0x23, 0, 0]], &[])),
        ReasonCode::TopicAliasInvalid
    );
}

#[test]
fn mqtt_3_3_4_6_a_client_sends_no_subscription_identifier() {
    let bytes = v5("a", &[&[0x0B, 5], &[0x0B, 6]], &[]);
    assert_eq!(refused(&server(Version::V5), &bytes), ReasonCode::ProtocolError);
    assert_eq!(publish(&client(Version::V5), &bytes).subscription_ids, [5, 6]);
    let zero = v5("a", &[&[0x0B, 0]], &[]);
    assert_eq!(refused(&client(Version::V5), &zero), ReasonCode::ProtocolError);
    let overlong = v5("a", &[&[0x0B, 0x85, 0x00]], &[]);
    assert_eq!(refused(&client(Version::V5), &overlong), ReasonCode::MalformedPacket);
}

#[test]
fn mqtt_3_3_2_14_the_response_topic_is_a_topic_name() {
    for bad in ["", "a/+", "#"] {
        let property = [&[0x08][..], &field(bad)].concat();
        assert_eq!(
            refused(&server(Version::V5), &v5("a", &[&property], &[])),
            ReasonCode::ProtocolError
        );
    }
}

#[test]
fn the_payload_format_indicator_is_0_or_1() {
    assert_eq!(
        refused(&server(Version::V5), &v5("a", &[&[0x01, 2]], &[])),
        ReasonCode::ProtocolError
    );
}

#[test]
fn a_payload_is_held_against_its_format_only_when_asked() {
    let decoder = server(Version::V5);
    let broken = v5("a", &[&[0x01, 1]], &[0xFF]);
    let reason = publish(&decoder, &broken).check_payload_format().unwrap_err().reason;
    assert_eq!(reason, ReasonCode::PayloadFormatInvalid);
    assert_eq!(publish(&decoder, &v5("a", &[&[0x01, 0]], &[0xFF])).check_payload_format(), Ok(()));
    assert_eq!(publish(&decoder, &v5("a", &[&[0x01, 1]], b"a")).check_payload_format(), Ok(()));
}

#[test]
fn what_goes_on_to_receivers_is_borrowed_while_it_is_one_piece() {
    let user = [&[0x26][..], &field("k"), &field("v")].concat();
    let data = [&[0x09][..], &field(b"\0\xFF")].concat();
    let (alias, expiry) = (&[0x23, 0, 1][..], &[0x02, 0, 0, 0, 9][..]);
    let kept = [&user[..], &data].concat();
    for parts in [
        &[&user[..], &data][..],
        &[alias, &user, &data],
        &[&user, &data, expiry],
        &[alias, &user, &data, expiry],
    ] {
        let bytes = v5("a", parts, b"payload");
        let read = publish(&server(Version::V5), &bytes);
        assert!(matches!(read.properties, Cow::Borrowed(_)));
        assert_eq!((&read.properties[..], read.payload), (&kept[..], &b"payload"[..]));
    }
    let bytes = v5("a", &[&user, alias, &data, expiry, &user], b"payload");
    let read = publish(&server(Version::V5), &bytes);
    assert_eq!((read.topic_alias, read.expiry), (Some(1), Some(9)));
    assert_eq!(read.properties.to_vec(), [&kept[..], &user].concat());
}

#[test]
fn the_property_length_stays_within_the_frame() {
    for len in [1, 0x7F] {
        assert_eq!(
            refused(&server(Version::V5), &framed(0x30, &[&field("a"), &[len]])),
            ReasonCode::MalformedPacket
        );
    }
    assert_eq!(
        refused(&server(Version::V5), &framed(0x30, &[&field("a")])),
        ReasonCode::MalformedPacket
    );
}
