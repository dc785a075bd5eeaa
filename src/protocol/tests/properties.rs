//! Section 2.2.2: every property in every packet, once and twice.

use super::*;

/// Every property of the table, with a valid value.
fn all() -> Vec<(u8, Vec<u8>)> {
    let flags = [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A].map(|id| vec![id, 1]);
    let shorts = [0x13, 0x21, 0x22, 0x23].map(|id| vec![id, 0, 1]);
    let longs = [0x02, 0x11, 0x18, 0x27].map(|id| vec![id, 0, 0, 0, 1]);
    let strings =
        [0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F].map(|id| vec![id, 0, 1, b'x']);
    let pair = [&[0x26][..], &field("k"), &field("v")].concat();
    let encoded =
        flags.into_iter().chain(shorts).chain(longs).chain(strings).chain([vec![0x0B, 1], pair]);
    encoded.map(|bytes| (bytes[0], bytes)).collect()
}

/// Name, decoder, function that makes a frame with `properties`, and valid properties.
type Case = (&'static str, Decoder, fn(&[u8]) -> Vec<u8>, &'static [u8]);

fn cases() -> [Case; 13] {
    let (server, client) = (server(Version::V5), client(Version::V5));
    let ack = &[0x1F, 0x26];
    [
        (
            "CONNECT",
            Decoder::server(MAX),
            |p| framed(0x10, &[&field("MQTT"), &[5, 2, 0, 0], p, &field("c")]),
            &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
        ),
        (
            "will",
            Decoder::server(MAX),
            |p| {
                framed(
                    0x10,
                    &[&field("MQTT"), &[5, 6, 0, 0, 0], &field("c"), p, &field("w"), &field("")],
                )
            },
            &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
        ),
        (
            "CONNACK",
            client.clone(),
            |p| framed(0x20, &[&[0, 0], p]),
            &[
                0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27,
                0x28, 0x29, 0x2A,
            ],
        ),
        (
            "PUBLISH",
            client.clone(),
            |p| framed(0x30, &[&field("t"), p, b"payload"]),
            &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26],
        ),
        ("PUBACK", server.clone(), |p| framed(0x40, &[&[0, 1, 0], p]), ack),
        ("PUBREC", server.clone(), |p| framed(0x50, &[&[0, 1, 0], p]), ack),
        ("PUBREL", server.clone(), |p| framed(0x62, &[&[0, 1, 0], p]), ack),
        ("PUBCOMP", server.clone(), |p| framed(0x70, &[&[0, 1, 0], p]), ack),
        (
            "SUBSCRIBE",
            server.clone(),
            |p| framed(0x82, &[&[0, 1], p, &field("t"), &[0]]),
            &[0x0B, 0x26],
        ),
        ("SUBACK", client.clone(), |p| framed(0x90, &[&[0, 1], p, &[0]]), ack),
        ("UNSUBSCRIBE", server.clone(), |p| framed(0xA2, &[&[0, 1], p, &field("t")]), &[0x26]),
        ("UNSUBACK", client, |p| framed(0xB0, &[&[0, 1], p, &[0]]), ack),
        ("AUTH", server, |p| framed(0xF0, &[&[0x18], p]), &[0x15, 0x16, 0x1F, 0x26]),
    ]
}

#[test]
fn section_2_2_2_2_a_property_belongs_to_its_packets() {
    for (name, decoder, frame, allowed) in cases() {
        for (id, property) in all() {
            // Authentication data requires a method, and AUTH always does, so it is added
            // where it is valid.
            let method: &[u8] =
                if allowed.contains(&0x15) && id != 0x15 { &[0x15, 0, 1, b'm'] } else { &[] };
            let bytes = frame(&block(&[method, &property]));
            match read(&decoder, &bytes) {
                Ok(_) => assert!(allowed.contains(&id), "{name} took {id:#x}"),
                Err(error) => {
                    assert!(!allowed.contains(&id), "{name} refused {id:#x}: {error}");
                    assert_eq!(error.reason, ReasonCode::MalformedPacket);
                }
            }
        }
    }
}

#[test]
fn section_2_2_2_2_a_property_stands_once() {
    for (name, decoder, frame, allowed) in cases() {
        for (id, property) in all().into_iter().filter(|(id, _)| allowed.contains(id)) {
            let method: &[u8] =
                if allowed.contains(&0x15) && id != 0x15 { &[0x15, 0, 1, b'm'] } else { &[] };
            let bytes = frame(&block(&[method, &property, &property]));
            let repeats = id == 0x26 || (id == 0x0B && name == "PUBLISH");
            match read(&decoder, &bytes) {
                Ok(_) => assert!(repeats, "{name} took {id:#x} twice"),
                Err(error) => assert_eq!(
                    (repeats, error.reason),
                    (false, ReasonCode::ProtocolError),
                    "{name} {id:#x}"
                ),
            }
        }
    }
}

#[test]
fn a_property_block_is_exactly_as_long_as_it_says() {
    for (name, decoder, frame, _) in cases() {
        let user = [&[0x26][..], &field("k"), &field("v")].concat();
        // One byte short, so that the last property exceeds its block.
        let mut short = block(&[&user]);
        short[0] -= 1;
        assert_eq!(refused(&decoder, &frame(&short)), ReasonCode::MalformedPacket, "{name}");
        for bad in [&[0x80, 0x00][..], &[0xFF, 0xFF, 0xFF, 0xFF, 0x01], &[0xFF, 0xFF, 0xFF, 0x7F]] {
            assert_eq!(refused(&decoder, &frame(bad)), ReasonCode::MalformedPacket, "{name}");
        }
    }
}

#[test]
fn unknown_properties_are_malformed() {
    for (name, decoder, frame, _) in cases() {
        for id in (0..=u8::MAX).filter(|id| all().iter().all(|(known, _)| known != id)) {
            assert_eq!(
                refused(&decoder, &frame(&block(&[&[id, 0]]))),
                ReasonCode::MalformedPacket,
                "{name} {id:#x}"
            );
        }
    }
}

#[test]
fn mqtt_1_5_4_strings_in_properties_are_utf_8_without_nul() {
    for (name, decoder, frame, _) in cases() {
        for bad in [&b"\xFF"[..], b"a\0"] {
            for pair in [[&field(bad)[..], &field("v")], [&field("k")[..], &field(bad)]] {
                let bytes = frame(&block(&[&[0x26], pair[0], pair[1]]));
                assert_eq!(refused(&decoder, &bytes), ReasonCode::MalformedPacket, "{name}");
            }
        }
    }
}
