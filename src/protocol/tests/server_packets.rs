//! CONNACK, SUBACK and UNSUBACK as decoded by a client: sections 3.2, 3.9, 3.11.

use super::*;

fn connack(version: Version, bytes: &[u8]) -> ConnAck {
    let Packet::ConnAck(connack) = accepted(&client(version), bytes) else { panic!("no CONNACK") };
    *connack
}

#[test]
fn return_codes_become_reasons() {
    let expected = [
        ReasonCode::Success,
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::ServerUnavailable,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
    ];
    for (code, reason) in (0..).zip(expected) {
        assert_eq!(connack(Version::V311, &[0x20, 2, 0, code]).reason, reason);
    }
    assert_eq!(refused(&client(Version::V311), &[0x20, 2, 0, 6]), ReasonCode::ProtocolError);
    assert!(connack(Version::V311, &[0x20, 2, 1, 0]).session_present);
}

#[test]
fn mqtt_3_2_2_1_reserved_acknowledge_flags_are_malformed() {
    assert_eq!(refused(&client(Version::V311), &[0x20, 2, 2, 0]), ReasonCode::MalformedPacket);
    assert_eq!(refused(&client(Version::V5), &[0x20, 3, 0x80, 0, 0]), ReasonCode::MalformedPacket);
}

#[test]
fn mqtt_3_2_2_6_a_refusal_has_no_session() {
    assert_eq!(refused(&client(Version::V311), &[0x20, 2, 1, 5]), ReasonCode::ProtocolError);
    assert_eq!(refused(&client(Version::V5), &[0x20, 3, 1, 0x87, 0]), ReasonCode::ProtocolError);
}

#[test]
fn nothing_is_missing_and_nothing_follows() {
    assert_eq!(refused(&client(Version::V311), &[0x20, 3, 0, 0, 0]), ReasonCode::MalformedPacket);
    assert_eq!(refused(&client(Version::V5), &[0x20, 2, 0, 0]), ReasonCode::MalformedPacket);
    assert_eq!(refused(&client(Version::V5), &[0x20, 4, 0, 0, 0, 0]), ReasonCode::MalformedPacket);
    assert_eq!(refused(&client(Version::V311), &[0xB0, 3, 0, 1, 0]), ReasonCode::MalformedPacket);
}

#[test]
fn mqtt_3_2_2_8_connack_lists_its_reason_codes() {
    for code in 0..=u8::MAX {
        let listed =
            matches!(code, 0 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F);
        assert_eq!(read(&client(Version::V5), &[0x20, 3, 0, code, 0]).is_ok(), listed, "{code:#x}");
    }
}

#[test]
fn connack_values_out_of_range_are_protocol_errors() {
    let flags = [0x24, 0x25, 0x28, 0x29, 0x2A];
    for property in
        flags.map(|id| vec![id, 2]).into_iter().chain([vec![0x21, 0, 0], vec![0x27, 0, 0, 0, 0]])
    {
        let bytes = framed(0x20, &[&[0, 0], &block(&[&property])]);
        assert_eq!(refused(&client(Version::V5), &bytes), ReasonCode::ProtocolError);
    }
    let data_alone = framed(0x20, &[&[0, 0], &block(&[&[0x16, 0, 0]])]);
    assert_eq!(refused(&client(Version::V5), &data_alone), ReasonCode::ProtocolError);
}

#[test]
fn mqtt_3_9_3_2_suback_lists_its_codes() {
    for code in 0..=u8::MAX {
        let before = read(&client(Version::V311), &[0x90, 3, 0, 1, code]).is_ok();
        assert_eq!(before, matches!(code, 0..=2 | 0x80), "{code:#x}");
        let listed =
            matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2);
        assert_eq!(
            read(&client(Version::V5), &[0x90, 4, 0, 1, 0, code]).is_ok(),
            listed,
            "{code:#x}"
        );
    }
}

#[test]
fn mqtt_3_11_3_2_unsuback_lists_its_codes() {
    for code in 0..=u8::MAX {
        let listed = matches!(code, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91);
        assert_eq!(
            read(&client(Version::V5), &[0xB0, 4, 0, 1, 0, code]).is_ok(),
            listed,
            "{code:#x}"
        );
    }
}

#[test]
fn an_acknowledgement_has_an_identifier_and_at_least_one_code() {
    for first in [0x90, 0xB0] {
        assert_eq!(refused(&client(Version::V5), &[first, 3, 0, 1, 0]), ReasonCode::ProtocolError);
        assert_eq!(
            refused(&client(Version::V5), &[first, 4, 0, 0, 0, 0]),
            ReasonCode::ProtocolError
        );
        assert_eq!(refused(&client(Version::V311), &[first, 2, 0, 0]), ReasonCode::ProtocolError);
    }
    assert_eq!(refused(&client(Version::V311), &[0x90, 2, 0, 1]), ReasonCode::ProtocolError);
}
