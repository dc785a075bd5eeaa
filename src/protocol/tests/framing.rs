//! The fixed header: sections 2.1 and 1.5.5, and which side may send which packet when.

use super::*;

#[test]
fn only_an_unfinished_frame_asks_for_more() {
    let decoder = server(Version::V311);
    assert_eq!(decoder.frame(&[]), Ok(Frame::Incomplete { needed: None }));
    assert_eq!(decoder.frame(&[0x30]), Ok(Frame::Incomplete { needed: None }));
    assert_eq!(decoder.frame(&[0x30, 0x80]), Ok(Frame::Incomplete { needed: None }));
    assert_eq!(decoder.frame(&[0x30, 0x80, 0x01]), Ok(Frame::Incomplete { needed: Some(131) }));
    assert_eq!(decoder.frame(&[0xC0, 0, 0xC0]), Ok(Frame::Complete { len: 2 }));
}

#[test]
fn mqtt_1_5_5_1_remaining_length_must_be_the_shortest() {
    for version in ALL {
        let decoder = server(version);
        assert_eq!(refused(&decoder, &[0xC0, 0x80, 0x00]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&decoder, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF]), ReasonCode::MalformedPacket);
        assert_eq!(
            refused(&decoder, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            ReasonCode::MalformedPacket
        );
    }
}

#[test]
fn a_frame_above_the_maximum_is_refused_before_its_body_arrives() {
    let mut decoder = Decoder::server(16);
    assert_eq!(decoder.frame(&[0x10, 14]), Ok(Frame::Incomplete { needed: Some(16) }));
    let error = decoder.frame(&[0x10, 15]).unwrap_err();
    assert_eq!((error.reason, error.reply), (ReasonCode::PacketTooLarge, Reply::Close));
    decoder.set_version(Version::V5);
    let error = decoder.frame(&[0x30, 15]).unwrap_err();
    assert_eq!((error.reason, error.reply), (ReasonCode::PacketTooLarge, Reply::Disconnect));
}

#[test]
fn mqtt_2_2_2_1_reserved_packet_types_are_malformed() {
    for version in ALL {
        assert_eq!(refused(&server(version), &[0x00, 0]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&client(version), &[0x0F, 0]), ReasonCode::MalformedPacket);
    }
    for version in BEFORE_V5 {
        assert_eq!(refused(&server(version), &[0xF0, 0]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&client(version), &[0xF0, 0]), ReasonCode::MalformedPacket);
    }
}

#[test]
fn mqtt_2_1_3_1_fixed_header_flags_are_as_listed() {
    let listed = [(4, 0), (5, 0), (6, 2), (7, 0), (8, 2), (10, 2), (12, 0), (14, 0), (15, 0)];
    for (kind, flags) in listed {
        for tried in (0..16).filter(|&tried| tried != flags) {
            let first = kind << 4 | tried;
            assert_eq!(
                server(Version::V5).frame(&[first]).unwrap_err().reason,
                ReasonCode::MalformedPacket,
                "{first:#x}"
            );
        }
        assert!(server(Version::V5).frame(&[kind << 4 | flags]).is_ok());
    }
    for (kind, flags) in [(2, 0), (9, 0), (11, 0), (13, 0)] {
        for tried in (0..16).filter(|&tried| tried != flags) {
            assert!(client(Version::V311).frame(&[kind << 4 | tried]).is_err());
        }
        assert!(client(Version::V311).frame(&[kind << 4 | flags]).is_ok());
    }
    // MQTT 3.1 ignores the flags of CONNECT, so they are checked with its version: see
    // `the_flags_of_connects_fixed_header_are_reserved_but_in_3_1`.
    assert!(Decoder::server(MAX).frame(&[0x11]).is_ok());
}

#[test]
fn mqtt_3_1_repeats_requests_with_dup() {
    for first in [0x6A, 0x8A, 0xAA] {
        assert!(server(Version::V31).frame(&[first]).is_ok());
        assert!(server(Version::V311).frame(&[first]).is_err());
    }
    assert!(server(Version::V31).frame(&[0x48]).is_err());
}

#[test]
fn mqtt_3_1_0_1_the_first_packet_is_connect() {
    let decoder = Decoder::server(MAX);
    assert!(decoder.frame(&[0x10]).is_ok());
    for first in [0x30, 0x40, 0x82, 0xC0, 0xE0] {
        let error = decoder.frame(&[first]).unwrap_err();
        assert_eq!((error.reason, error.reply), (ReasonCode::ProtocolError, Reply::Close));
    }
    assert!(decoder.frame(&[0xF0]).is_err());
    assert!(decoder.decode(&[0xC0, 0]).is_err());
}

#[test]
fn mqtt_3_1_0_2_a_second_connect_is_a_protocol_error() {
    for (version, reply) in [(Version::V311, Reply::Close), (Version::V5, Reply::Disconnect)] {
        let error = server(version).frame(&[0x10]).unwrap_err();
        assert_eq!((error.reason, error.reply), (ReasonCode::ProtocolError, reply));
    }
}

#[test]
fn each_side_sends_only_its_own_packets() {
    for version in ALL {
        for first in [0x20, 0x90, 0xB0, 0xD0] {
            assert_eq!(
                server(version).frame(&[first]).unwrap_err().reason,
                ReasonCode::ProtocolError
            );
            assert!(client(version).frame(&[first]).is_ok());
        }
        for first in [0x10, 0x82, 0xA2, 0xC0] {
            assert_eq!(
                client(version).frame(&[first]).unwrap_err().reason,
                ReasonCode::ProtocolError
            );
        }
    }
    assert!(client(Version::V311).frame(&[0xE0]).is_err(), "DISCONNECT of a server came with v5");
    assert!(client(Version::V5).frame(&[0xE0]).is_ok());
}

#[test]
fn pings_have_no_body() {
    for version in ALL {
        assert_eq!(accepted(&server(version), &[0xC0, 0]), Packet::PingReq);
        assert_eq!(accepted(&client(version), &[0xD0, 0]), Packet::PingResp);
        assert_eq!(refused(&server(version), &[0xC0, 1, 0]), ReasonCode::MalformedPacket);
        assert_eq!(refused(&client(version), &[0xD0, 1, 0]), ReasonCode::MalformedPacket);
    }
}

#[test]
fn decode_takes_exactly_one_frame() {
    let decoder = server(Version::V311);
    for bytes in [&[][..], &[0xC0], &[0xC0, 0, 0xC0, 0], &[0x30, 9, 0]] {
        assert_eq!(decoder.decode(bytes).unwrap_err().reason, ReasonCode::MalformedPacket);
    }
}
