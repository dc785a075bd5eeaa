//! DISCONNECT and AUTH: sections 3.14 and 3.15.

use super::*;

fn disconnect(decoder: &Decoder, bytes: &[u8]) -> Disconnect {
    let Packet::Disconnect(disconnect) = accepted(decoder, bytes) else { panic!("no DISCONNECT") };
    *disconnect
}

#[test]
fn before_v5_disconnect_says_nothing() {
    for version in BEFORE_V5 {
        assert_eq!(disconnect(&server(version), &[0xE0, 0]), Disconnect::default());
        assert_eq!(refused(&server(version), &[0xE0, 1, 0]), ReasonCode::MalformedPacket);
    }
}

#[test]
fn the_short_forms_of_disconnect() {
    let decoder = server(Version::V5);
    assert_eq!(disconnect(&decoder, &[0xE0, 0]).reason, ReasonCode::Success);
    assert_eq!(disconnect(&decoder, &[0xE0, 1, 4]).reason, ReasonCode::DisconnectWithWill);
    assert_eq!(disconnect(&decoder, &[0xE0, 2, 4, 0]).reason, ReasonCode::DisconnectWithWill);
    assert_eq!(refused(&decoder, &[0xE0, 3, 4, 0, 0]), ReasonCode::MalformedPacket);
}

#[test]
fn mqtt_3_14_2_2_session_expiry_comes_from_clients_only() {
    let bytes = [0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9];
    assert_eq!(disconnect(&server(Version::V5), &bytes).session_expiry, Some(9));
    assert_eq!(refused(&client(Version::V5), &bytes), ReasonCode::ProtocolError);
}

#[test]
fn a_server_reference_comes_from_servers_only() {
    let bytes = framed(0xE0, &[&[0x9D], &block(&[&[0x1C], &field("other")])]);
    assert_eq!(disconnect(&client(Version::V5), &bytes).server_reference.as_deref(), Some("other"));
    let bytes = framed(0xE0, &[&[0x80], &block(&[&[0x1C], &field("other")])]);
    assert_eq!(refused(&server(Version::V5), &bytes), ReasonCode::ProtocolError);
}

#[test]
fn mqtt_3_14_2_1_only_listed_reason_codes() {
    let from_client =
        [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    for code in 0..=u8::MAX {
        let bytes = [0xE0, 1, code];
        assert_eq!(
            read(&server(Version::V5), &bytes).is_ok(),
            from_client.contains(&code),
            "{code:#x}"
        );
    }
    for code in [0x04, 0x84, 0x91, 0x92, 0x18, 0xA3] {
        assert_eq!(refused(&client(Version::V5), &[0xE0, 1, code]), ReasonCode::ProtocolError);
    }
    for code in [0x00, 0x8B, 0x8C, 0x8E, 0x9D, 0xA2] {
        assert_eq!(disconnect(&client(Version::V5), &[0xE0, 1, code]).reason.as_u8(), code);
    }
}

#[test]
fn auth_carries_method_and_data() {
    let properties =
        block(&[&[0x15], &field("SCRAM"), &[0x16], &field(b"\xFF"), &[0x1F], &field("go on")]);
    let bytes = framed(0xF0, &[&[0x18], &properties]);
    for decoder in [server(Version::V5), client(Version::V5)] {
        let Packet::Auth(auth) = accepted(&decoder, &bytes) else { panic!("no AUTH") };
        assert_eq!(
            (auth.reason, auth.method.as_deref()),
            (ReasonCode::ContinueAuthentication, Some("SCRAM"))
        );
        assert_eq!(
            (auth.data.as_deref(), auth.reason_string.as_deref()),
            (Some(&[0xFF][..]), Some("go on"))
        );
    }
}

#[test]
fn auth_without_a_method_is_a_protocol_error() {
    assert_eq!(refused(&server(Version::V5), &[0xF0, 2, 0x18, 0]), ReasonCode::ProtocolError);
    let properties = block(&[&[0x16], &field("x")]);
    assert_eq!(
        refused(&server(Version::V5), &framed(0xF0, &[&[0x19], &properties])),
        ReasonCode::ProtocolError
    );
}

#[test]
fn mqtt_3_15_2_1_each_side_has_its_own_reason_codes() {
    let with = |code| framed(0xF0, &[&[code], &block(&[&[0x15], &field("m")])]);
    for (code, by_client, by_server) in
        [(0x00, false, true), (0x18, true, true), (0x19, true, false), (0x80, false, false)]
    {
        assert_eq!(read(&server(Version::V5), &with(code)).is_ok(), by_client);
        assert_eq!(read(&client(Version::V5), &with(code)).is_ok(), by_server);
    }
}

#[test]
fn the_short_form_of_auth_is_success_and_so_a_servers() {
    assert_eq!(accepted(&client(Version::V5), &[0xF0, 0]), Packet::Auth(Box::default()));
    assert_eq!(refused(&server(Version::V5), &[0xF0, 0]), ReasonCode::ProtocolError);
    assert_eq!(refused(&client(Version::V5), &[0xF0, 1, 0]), ReasonCode::MalformedPacket);
}
