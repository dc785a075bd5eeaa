//! PUBACK, PUBREC, PUBREL, PUBCOMP: sections 3.4 to 3.7.

use super::*;

const FIRST: [u8; 4] = [0x40, 0x50, 0x62, 0x70];

fn ack(packet: Packet<'_>) -> Ack {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_v5_the_remaining_length_is_2() {
    for (version, first) in BEFORE_V5.into_iter().flat_map(|v| FIRST.map(|f| (v, f))) {
        assert_eq!(ack(accepted(&server(version), &[first, 2, 1, 0])).packet_id, id(256));
        assert_eq!(refused(&server(version), &[first, 3, 0, 1, 0]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&server(version), &[first, 1, 0]), ReasonCode::MalformedPacket);
    }
}

#[test]
fn mqtt_2_2_1_3_packet_identifier_0_is_refused() {
    for (version, first) in ALL.into_iter().flat_map(|v| FIRST.map(|f| (v, f))) {
        assert_eq!(refused(&server(version), &[first, 2, 0, 0]), ReasonCode::ProtocolError);
    }
}

#[test]
fn reason_and_properties_may_be_left_out() {
    let decoder = server(Version::V5);
    for first in FIRST {
        assert_eq!(ack(accepted(&decoder, &[first, 2, 0, 1])).reason, ReasonCode::Success);
        assert_eq!(ack(accepted(&decoder, &[first, 3, 0, 1, 0])).reason, ReasonCode::Success);
        assert_eq!(ack(accepted(&decoder, &[first, 4, 0, 1, 0, 0])).reason, ReasonCode::Success);
        assert_eq!(refused(&decoder, &[first, 5, 0, 1, 0, 0, 0]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&decoder, &[first, 4, 0, 1, 0, 1]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&decoder, &[first, 1, 0]), ReasonCode::MalformedPacket);
    }
}

#[test]
fn reason_string_and_user_properties_are_read() {
    let properties = block(&[&[0x1F], &field("full"), &[0x26], &field("k"), &field("v")]);
    let bytes = framed(0x40, &[&[0, 1, 0x97], &properties]);
    let ack = ack(accepted(&server(Version::V5), &bytes));
    assert_eq!(
        (ack.reason, ack.reason_string.as_deref()),
        (ReasonCode::QuotaExceeded, Some("full"))
    );
    assert_eq!(ack.user_properties, [("k".into(), "v".into())]);
}

#[test]
fn mqtt_3_4_2_1_only_listed_reason_codes() {
    let publish = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let release = [0x00, 0x92];
    for (first, listed) in
        [(0x40, &publish[..]), (0x50, &publish), (0x62, &release), (0x70, &release)]
    {
        for code in 0..=u8::MAX {
            let bytes = [first, 3, 0, 1, code];
            match read(&server(Version::V5), &bytes) {
                Ok(packet) => assert_eq!(ack(packet).reason.as_u8(), code),
                Err(error) => assert_eq!(error.reason, ReasonCode::ProtocolError),
            }
            assert_eq!(
                read(&server(Version::V5), &bytes).is_ok(),
                listed.contains(&code),
                "{first:#x} {code:#x}"
            );
        }
    }
}
