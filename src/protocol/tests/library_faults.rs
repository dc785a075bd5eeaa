//! Faults of `mqttbytes` that were observed. They must not exist here.

use bytes::BytesMut;

use super::*;

#[test]
fn the_short_disconnect_of_v5_is_accepted() {
    accepted(&server(Version::V5), &[0xE0, 0]);
}

#[test]
fn a_malformed_frame_is_not_an_unfinished_one() {
    // The topic is longer than the frame.
    let bytes = [0x30, 4, 0, 9, b'a', 0];
    assert_eq!(server(Version::V5).frame(&bytes), Ok(Frame::Complete { len: 6 }));
    assert_eq!(refused(&server(Version::V5), &bytes), ReasonCode::MalformedPacket);
}

#[test]
fn connack_of_v5_has_a_property_length() {
    let mut out = BytesMut::new();
    encode::connack(&mut out, Version::V5, &ConnAck::default());
    assert_eq!(out[..], [0x20, 3, 0, 0, 0]);
}

#[test]
fn disconnect_of_v5_keeps_its_reason() {
    let mut out = BytesMut::new();
    let packet = Disconnect { reason: ReasonCode::SessionTakenOver, ..Disconnect::default() };
    encode::disconnect(&mut out, Version::V5, &packet);
    assert_eq!(accepted(&client(Version::V5), &out), Packet::Disconnect(Box::new(packet)));
}

#[test]
fn matching_neither_panics_nor_forgets_dollar_topics() {
    assert!(matches("#", "é/a"));
    assert!(matches("$SYS/#", "$SYS/x"));
}

#[test]
fn nothing_is_half_written() {
    // The library fails after the first bytes for identifier 0, which cannot be expressed
    // here.
    assert_eq!(PacketId::new(0), None);
}

#[test]
fn subscription_identifiers_and_property_lengths_are_bounded() {
    let five_bytes = [0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
    let bytes = framed(0x30, &[&field("a"), &block(&[&five_bytes]), b"payload"]);
    assert_eq!(refused(&client(Version::V5), &bytes), ReasonCode::MalformedPacket);
    // A property that exceeds its block must not take its last bytes from the payload.
    let bytes = framed(0x30, &[&field("a"), &[3], &[0x02, 0, 0], b"payload"]);
    assert_eq!(refused(&client(Version::V5), &bytes), ReasonCode::MalformedPacket);
}

#[test]
fn a_password_is_any_bytes() {
    let bytes = framed(
        0x10,
        &[&field("MQTT"), &[4, 0xC2, 0, 0], &field("c"), &field("u"), &field(b"\xFF\xFE")],
    );
    let Packet::Connect(connect) = accepted(&Decoder::server(MAX), &bytes) else {
        panic!("no CONNECT")
    };
    assert_eq!(connect.password, Some(vec![0xFF, 0xFE]));
}

#[test]
fn a_user_property_behind_a_subscription_identifier_is_kept() {
    let properties = block(&[&[0x0B, 1], &[0x26], &field(""), &field("")]);
    let bytes = framed(0x82, &[&[0, 1], &properties, &field("a"), &[0]]);
    let Packet::Subscribe(read) = accepted(&server(Version::V5), &bytes) else {
        panic!("no SUBSCRIBE")
    };
    assert_eq!((read.user_properties.len(), read.filters.len()), (1, 1));
}

#[test]
fn what_was_read_does_not_hold_the_read_buffer() {
    let mut buffer = BytesMut::from(&framed(0x82, &[&[0, 1], &field("a"), &[0]])[..]);
    let whole = buffer.capacity();
    let Packet::Subscribe(read) = accepted(&server(Version::V311), &buffer) else {
        panic!("no SUBSCRIBE")
    };
    buffer.clear();
    assert!(buffer.try_reclaim(whole), "nothing else points into it");
    drop(read);
}
