//! CONNECT: section 3.1.

use super::*;

/// A CONNECT with protocol name, level, flags and keep alive, then `rest`.
fn connect(name: &str, level: u8, flags: u8, rest: &[&[u8]]) -> Vec<u8> {
    framed(0x10, &[&field(name), &[level, flags, 0, 60], &rest.concat()])
}

fn v311(flags: u8, rest: &[&[u8]]) -> Vec<u8> {
    connect("MQTT", 4, flags, rest)
}

/// A v5 CONNECT with a client id after the properties.
fn v5(flags: u8, properties: &[&[u8]], rest: &[&[u8]]) -> Vec<u8> {
    connect("MQTT", 5, flags, &[&block(properties), &field("c"), &rest.concat()])
}

fn error(bytes: &[u8]) -> (ReasonCode, Reply) {
    let error = read(&Decoder::server(MAX), bytes).unwrap_err();
    (error.reason, error.reply)
}

fn read_connect(bytes: &[u8]) -> Connect {
    let Packet::Connect(connect) = accepted(&Decoder::server(MAX), bytes) else {
        panic!("no CONNECT")
    };
    *connect
}

const MALFORMED: (ReasonCode, Reply) = (ReasonCode::MalformedPacket, Reply::Close);
const MALFORMED_V5: (ReasonCode, Reply) =
    (ReasonCode::MalformedPacket, Reply::ConnAck(Version::V5));
const PROTOCOL_V5: (ReasonCode, Reply) = (ReasonCode::ProtocolError, Reply::ConnAck(Version::V5));

#[test]
fn all_three_versions_are_read() {
    assert_eq!(read_connect(&connect("MQIsdp", 3, 2, &[&field("c")])).version, Version::V31);
    assert_eq!(read_connect(&v311(2, &[&field("c")])).version, Version::V311);
    let connect = read_connect(&v5(2, &[], &[]));
    assert_eq!((connect.version, connect.keep_alive, connect.clean_start), (Version::V5, 60, true));
    assert!(connect.request_problem_information, "true if absent");
}

#[test]
fn the_flags_of_connects_fixed_header_are_reserved_but_in_3_1() {
    let mut old = connect("MQIsdp", 3, 2, &[&field("c")]);
    old[0] |= 0x0A;
    assert_eq!(read_connect(&old).version, Version::V31);
    for mut newer in [v311(2, &[&field("c")]), v5(2, &[], &[])] {
        newer[0] |= 0x02;
        assert_eq!(error(&newer), MALFORMED);
    }
}

#[test]
fn mqtt_3_1_2_1_a_wrong_protocol_name_is_closed_without_a_word() {
    assert_eq!(
        error(&connect("HTTP", 4, 2, &[&field("c")])),
        (ReasonCode::UnsupportedProtocolVersion, Reply::Close)
    );
    assert_eq!(
        error(&connect("mqtt", 4, 2, &[&field("c")])),
        (ReasonCode::UnsupportedProtocolVersion, Reply::Close)
    );
}

#[test]
fn mqtt_3_1_2_2_an_unknown_level_is_answered_in_the_nearest_version() {
    let unsupported = |name, level| {
        let (reason, reply) = error(&connect(name, level, 2, &[&field("c")]));
        assert_eq!(reason, ReasonCode::UnsupportedProtocolVersion);
        reply
    };
    assert_eq!(unsupported("MQTT", 3), Reply::ConnAck(Version::V311));
    assert_eq!(unsupported("MQTT", 6), Reply::ConnAck(Version::V5));
    assert_eq!(unsupported("MQIsdp", 4), Reply::ConnAck(Version::V31));
    assert_eq!(unsupported("MQTT", 0x85), Reply::ConnAck(Version::V311), "5.0 has options for it");
}

#[test]
fn a_bridge_says_so_with_the_highest_bit_of_its_level() {
    for (name, level, version) in [("MQTT", 4, Version::V311), ("MQIsdp", 3, Version::V31)] {
        for bit in [0, 0x80] {
            let read = read_connect(&connect(name, level | bit, 2, &[&field("c")]));
            assert_eq!((read.version, read.is_bridge), (version, bit != 0));
        }
    }
}

#[test]
fn mqtt_3_1_2_3_the_reserved_flag_is_zero() {
    assert_eq!(error(&v311(3, &[&field("c")])), MALFORMED);
    assert_eq!(error(&v5(3, &[], &[])), MALFORMED_V5);
    read_connect(&connect("MQIsdp", 3, 3, &[&field("c")]));
}

#[test]
fn mqtt_3_1_2_11_will_flags_need_a_will() {
    for flags in [0x08, 0x10, 0x18, 0x20] {
        assert_eq!(error(&v311(flags, &[&field("c")])), MALFORMED);
        assert_eq!(error(&v5(flags, &[], &[])), MALFORMED_V5);
    }
}

#[test]
fn mqtt_3_1_2_12_will_qos_3_is_malformed() {
    assert_eq!(error(&v311(0x1C, &[&field("c"), &field("w"), &field("")])), MALFORMED);
    assert_eq!(error(&v5(0x1C, &[], &[&[0], &field("w"), &field("")])), MALFORMED_V5);
}

#[test]
fn mqtt_3_1_2_22_a_password_needs_a_user_name_before_v5() {
    assert_eq!(error(&v311(0x42, &[&field("c"), &field("secret")])), MALFORMED);
    let connect = read_connect(&v5(0x42, &[], &[&field(b"\xFF\x00")]));
    assert_eq!((connect.username, connect.password), (None, Some(vec![0xFF, 0])));
}

#[test]
fn an_empty_user_name_is_not_an_absent_one() {
    let connect = read_connect(&v311(0xC2, &[&field("c"), &field(""), &field("")]));
    assert_eq!(
        (connect.username.as_deref(), connect.password.as_deref()),
        (Some(""), Some(&[][..]))
    );
}

#[test]
fn mqtt_3_1_3_3_fields_come_in_order_and_nothing_follows() {
    let body: [&[u8]; 5] = [&field("c"), &field("w"), &field("bye"), &field("u"), &field(b"\xFE")];
    let connect = read_connect(&v311(0xF6, &body));
    let will = connect.will.unwrap();
    assert_eq!(
        (will.topic.as_str(), &will.payload[..], will.qos, will.retain),
        ("w", &b"bye"[..], QoS::ExactlyOnce, true)
    );
    assert_eq!(connect.username.as_deref(), Some("u"));
    assert_eq!(connect.password.as_deref(), Some(&[0xFE][..]));
    assert_eq!(error(&v311(0xF6, &[&body.concat(), &[0]])), MALFORMED);
    assert_eq!(error(&v311(0xF6, &body[..4])), MALFORMED);
    assert_eq!(error(&v5(2, &[], &[&[0]])), MALFORMED_V5);
}

#[test]
fn mqtt_3_1_lets_the_remaining_length_have_the_last_word() {
    let connect = read_connect(&connect("MQIsdp", 3, 0xC2, &[&field("c")]));
    assert_eq!((connect.username, connect.password), (None, None));
}

#[test]
fn mqtt_3_1_3_4_strings_are_utf_8_without_nul() {
    for bad in [&b"\xFF"[..], b"\xED\xA0\x80", b"a\0b"] {
        assert_eq!(error(&v311(2, &[&field(bad)])), MALFORMED, "client id");
        assert_eq!(error(&v311(0x82, &[&field("c"), &field(bad)])), MALFORMED, "user name");
        assert_eq!(
            error(&v311(6, &[&field("c"), &field(bad), &field("")])),
            MALFORMED,
            "will topic"
        );
    }
}

#[test]
fn mqtt_3_1_3_8_an_empty_client_id_is_left_to_the_broker_since_3_1_1() {
    let connect311 = read_connect(&v311(0, &[&field("")]));
    assert!(connect311.client_id.is_empty() && !connect311.clean_start);
    assert_eq!(
        error(&connect("MQIsdp", 3, 2, &[&field("")])),
        (ReasonCode::ClientIdentifierNotValid, Reply::ConnAck(Version::V31))
    );
    read_connect(&connect("MQIsdp", 3, 2, &[&field("c".repeat(40))]));
}

#[test]
fn mqtt_3_1_3_10_the_will_topic_is_a_topic_name() {
    for topic in ["", "a/+", "#"] {
        assert_eq!(
            error(&v311(6, &[&field("c"), &field(topic), &field("")])).0,
            ReasonCode::TopicNameInvalid
        );
        assert_eq!(
            error(&v5(6, &[], &[&[0], &field(topic), &field("")])),
            (ReasonCode::TopicNameInvalid, Reply::ConnAck(Version::V5))
        );
    }
}

#[test]
fn will_properties_that_end_here_are_cut_out() {
    let content_type = [&[0x03][..], &field("text")].concat();
    let properties = block(&[&[0x18, 0, 0, 0, 9], &content_type, &[0x02, 0, 0, 0, 7], &[0x01, 1]]);
    let will = read_connect(&v5(6, &[], &[&properties, &field("w"), &field("")])).will.unwrap();
    assert_eq!((will.delay, will.expiry), (9, Some(7)));
    assert_eq!(will.properties, [&content_type[..], &[0x01, 1]].concat());
}

#[test]
fn connect_properties_are_read() {
    let method = [&[0x15][..], &field("SCRAM")].concat();
    let data = [&[0x16][..], &field(b"\xFF")].concat();
    let user = [&[0x26][..], &field("k"), &field("v")].concat();
    let connect = read_connect(&v5(
        2,
        &[
            &[0x11, 0, 0, 1, 0],
            &[0x21, 0, 10],
            &[0x27, 0, 1, 0, 0],
            &[0x22, 0, 5],
            &[0x19, 1],
            &[0x17, 0],
            &user,
            &method,
            &data,
            &user,
        ],
        &[],
    ));
    assert_eq!(connect.session_expiry, Some(256));
    assert_eq!(connect.receive_maximum, Some(10));
    assert_eq!(connect.maximum_packet_size, Some(65_536));
    assert_eq!(connect.topic_alias_maximum, 5);
    assert!(connect.request_response_information && !connect.request_problem_information);
    assert_eq!(connect.user_properties, vec![("k".into(), "v".into()), ("k".into(), "v".into())]);
    assert_eq!(connect.authentication_method.as_deref(), Some("SCRAM"));
    assert_eq!(connect.authentication_data.as_deref(), Some(&[0xFF][..]));
}

#[test]
fn values_out_of_range_are_protocol_errors() {
    for bad in [&[0x21, 0, 0][..], &[0x27, 0, 0, 0, 0], &[0x19, 2], &[0x17, 2]] {
        assert_eq!(error(&v5(2, &[bad], &[])), PROTOCOL_V5, "{bad:?}");
    }
}

#[test]
fn authentication_data_needs_a_method() {
    assert_eq!(error(&v5(2, &[&[0x16, 0, 1, 9]], &[])), PROTOCOL_V5);
}
