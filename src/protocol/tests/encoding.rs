//! Encoding: shortest forms, mappings for older versions, limits.

use bytes::BytesMut;

use super::*;

fn written(write: impl Fn(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::from("before");
    write(&mut out);
    out[6..].to_vec()
}

fn out<'a>(topic: &'a str, payload: &'a [u8]) -> PublishOut<'a> {
    PublishOut {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        packet_id: None,
        hops: None,
        topic_prefix: "",
        topic,
        topic_alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload,
    }
}

#[test]
fn publish_len_is_the_length_of_the_frame() {
    for size in [0, 1, 100, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let payload = vec![b'x'; size];
        for version in ALL {
            let mut publish = out("topic", &payload);
            for ids in [&[][..], &[1, 200, 268_435_455]] {
                publish.subscription_ids = ids;
                let bytes = written(|out| encode::publish(out, version, &publish));
                assert_eq!(bytes.len(), encode::publish_len(version, &publish));
            }
        }
    }
}

#[test]
fn what_only_v5_has_is_left_out_before() {
    let mut publish = out("t", b"p");
    publish.topic_alias = Some(1);
    publish.expiry = Some(2);
    publish.subscription_ids = &[3];
    publish.properties = &[0x01, 1];
    for version in BEFORE_V5 {
        assert_eq!(
            written(|out| encode::publish(out, version, &publish)),
            [0x30, 4, 0, 1, b't', b'p']
        );
    }
    assert_eq!(
        written(|out| encode::publish(out, Version::V5, &publish)),
        [0x30, 17, 0, 1, b't', 12, 0x23, 0, 1, 0x02, 0, 0, 0, 2, 0x0B, 3, 0x01, 1, b'p']
    );
}

#[test]
fn acknowledgements_take_their_shortest_form() {
    let short =
        |version, kind, reason| written(|out| encode::ack(out, version, kind, id(258), reason));
    assert_eq!(short(Version::V5, AckKind::PubAck, ReasonCode::Success), [0x40, 2, 1, 2]);
    assert_eq!(
        short(Version::V5, AckKind::PubRec, ReasonCode::QuotaExceeded),
        [0x50, 3, 1, 2, 0x97]
    );
    assert_eq!(
        short(Version::V311, AckKind::PubRel, ReasonCode::PacketIdentifierNotFound),
        [0x62, 2, 1, 2]
    );
    assert_eq!(short(Version::V311, AckKind::PubComp, ReasonCode::Success), [0x70, 2, 1, 2]);
    let full = Ack {
        packet_id: id(1),
        reason: ReasonCode::Success,
        reason_string: None,
        user_properties: Vec::new(),
    };
    assert_eq!(
        written(|out| encode::ack_full(out, Version::V5, AckKind::PubAck, &full)),
        [0x40, 2, 0, 1]
    );
    let full = Ack { reason_string: Some("x".into()), ..full };
    assert_eq!(
        written(|out| encode::ack_full(out, Version::V5, AckKind::PubAck, &full)),
        [0x40, 8, 0, 1, 0, 4, 0x1F, 0, 1, b'x']
    );
    assert_eq!(
        written(|out| encode::ack_full(out, Version::V311, AckKind::PubAck, &full)),
        [0x40, 2, 0, 1]
    );
}

#[test]
fn reasons_become_return_codes_before_v5() {
    for (reason, code) in [
        (ReasonCode::Success, 0),
        (ReasonCode::UnsupportedProtocolVersion, 1),
        (ReasonCode::ClientIdentifierNotValid, 2),
        (ReasonCode::ServerUnavailable, 3),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::QuotaExceeded, 3),
        (ReasonCode::BadUserNameOrPassword, 4),
        (ReasonCode::NotAuthorized, 5),
        (ReasonCode::Banned, 5),
    ] {
        let connack = ConnAck { reason, session_present: true, ..ConnAck::default() };
        for version in BEFORE_V5 {
            let present = u8::from(version == Version::V311 && code == 0);
            assert_eq!(
                written(|out| encode::connack(out, version, &connack)),
                [0x20, 2, present, code]
            );
        }
        let v5 = written(|out| encode::connack(out, Version::V5, &connack));
        assert_eq!(v5, [0x20, 3, u8::from(code == 0), reason.as_u8(), 0]);
    }
}

#[test]
fn every_code_of_connack_is_written_as_itself() {
    for reason in (0..=u8::MAX)
        .filter_map(ReasonCode::from_u8)
        .filter(|r| r.is_valid_in(ReasonContext::ConnAck))
    {
        let connack = ConnAck { reason, ..ConnAck::default() };
        assert_eq!(written(|out| encode::connack(out, Version::V5, &connack))[3], reason.as_u8());
    }
}

#[test]
fn failures_in_suback_become_0x80_before_v5() {
    let suback = SubAck {
        packet_id: id(1),
        reasons: vec![
            ReasonCode::Success,
            ReasonCode::GrantedQoS1,
            ReasonCode::GrantedQoS2,
            ReasonCode::NotAuthorized,
        ],
        reason_string: None,
        user_properties: Vec::new(),
    };
    assert_eq!(
        written(|out| encode::suback(out, Version::V311, &suback)),
        [0x90, 6, 0, 1, 0, 1, 2, 0x80]
    );
    assert_eq!(
        written(|out| encode::suback(out, Version::V5, &suback)),
        [0x90, 7, 0, 1, 0, 0, 1, 2, 0x87]
    );
}

#[test]
fn unsuback_has_codes_since_v5() {
    let unsuback = UnsubAck {
        packet_id: id(1),
        reasons: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
        reason_string: None,
        user_properties: Vec::new(),
    };
    assert_eq!(written(|out| encode::unsuback(out, Version::V311, &unsuback)), [0xB0, 2, 0, 1]);
    assert_eq!(
        written(|out| encode::unsuback(out, Version::V5, &unsuback)),
        [0xB0, 5, 0, 1, 0, 0, 0x11]
    );
}

#[test]
fn disconnect_takes_its_shortest_form() {
    let normal = Disconnect::default();
    let busy = Disconnect { reason: ReasonCode::ServerBusy, ..Disconnect::default() };
    assert_eq!(written(|out| encode::disconnect(out, Version::V5, &normal)), [0xE0, 0]);
    assert_eq!(written(|out| encode::disconnect(out, Version::V5, &busy)), [0xE0, 1, 0x89]);
    assert_eq!(written(|out| encode::disconnect(out, Version::V311, &busy)), [0xE0, 0]);
}

#[test]
fn mqtt_3_9_2_2_diagnostics_are_dropped_rather_than_exceed_the_maximum() {
    let packet = SubAck {
        packet_id: id(1),
        reasons: vec![ReasonCode::NotAuthorized],
        reason_string: Some("why".into()),
        user_properties: vec![("name".into(), "value".into())],
    };
    let within = |max| {
        let mut out = BytesMut::from("before");
        let fits = encode::within(&mut out, max, &packet, |out, packet| {
            encode::suback(out, Version::V5, packet);
        });
        (fits, out.len() - 6)
    };
    assert_eq!(within(None), (true, 26));
    assert_eq!(within(Some(26)), (true, 26));
    assert_eq!(within(Some(25)), (true, 12), "without user properties");
    assert_eq!(within(Some(11)), (true, 6), "without the reason string too");
    assert_eq!(within(Some(5)), (false, 0));
}

#[test]
#[cfg(not(debug_assertions))]
fn what_no_packet_can_hold_is_made_to_fit() {
    let disconnect =
        Disconnect { reason_string: Some("é".repeat(40_000)), ..Disconnect::default() };
    let bytes = written(|out| encode::disconnect(out, Version::V5, &disconnect));
    accepted(&client(Version::V5), &bytes);
    let mut publish = out("t", b"");
    publish.qos = QoS::ExactlyOnce;
    assert_eq!(written(|out| encode::publish(out, Version::V311, &publish)), [0x30, 3, 0, 1, b't']);
}
