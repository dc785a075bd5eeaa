//! What is taken from frames, and what is refused.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{BINARY, CLOSE, KEY, PING, PONG, frame};
use crate::net::websocket::Violation;
use crate::net::websocket::incoming::{End, Incoming};

const MAX: u64 = 100_000;

/// Decodes in pieces of `size` bytes.
fn decode(role: Role, input: &[u8], size: usize) -> (Vec<u8>, Incoming) {
    let mut incoming = Incoming::new(role, MAX);
    let mut out = Vec::new();
    for piece in input.chunks(size) {
        let mut piece = piece.to_vec();
        let payload = incoming.decode(&mut piece);
        out.extend_from_slice(&piece[..payload]);
    }
    (out, incoming)
}

fn ends(role: Role, input: &[u8]) -> Option<End> {
    let (_, whole) = decode(role, input, usize::MAX);
    let (_, bytewise) = decode(role, input, 1);
    assert_eq!(whole.end(), bytewise.end());
    whole.end()
}

fn violates(input: &[u8], violation: Violation, status: u16) {
    assert_eq!(ends(Role::Server, input), Some(End::Violated(violation)));
    assert_eq!(violation.status(), status);
}

#[test]
fn the_examples_of_rfc_6455_are_understood() {
    // Section 5.7. MQTT is binary: the first opcode is 2 where the RFC has text.
    let hello_masked = [0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    for size in 1..=11 {
        let (out, _) = decode(Role::Client, &[0x82, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], size);
        assert_eq!(out, b"Hello");
        let (out, _) = decode(Role::Server, &[&[0x82, 0x85][..], &hello_masked].concat(), size);
        assert_eq!(out, b"Hello");
        let parts = [0x02, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(decode(Role::Client, &parts, size).0, b"Hello");
        let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(decode(Role::Client, &ping, size).1.take_ping().unwrap(), b"Hello");
        let answer = [&[0x8a, 0x85][..], &hello_masked].concat();
        let (out, mut incoming) = decode(Role::Server, &answer, size);
        assert_eq!((out.len(), incoming.end(), incoming.take_ping()), (0, None, None));
    }
    let long = vec![7; 65536];
    let (header, payload) = ([0x82, 0x7e, 0x01, 0x00], &long[..256]);
    assert_eq!(decode(Role::Client, &[&header[..], payload].concat(), 100).0, payload);
    let header = [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(decode(Role::Client, &[&header[..], &long].concat(), 1000).0, long);
    // As it stands there, it is text.
    violates(&[&[0x81, 0x85][..], &hello_masked].concat(), Violation::Text, 1003);
}

#[test]
fn each_violation_has_its_status() {
    let masked = |first, payload: &[u8]| frame(first, Some(KEY), payload);
    violates(&frame(BINARY, None, b"x"), Violation::Unmasked, 1002);
    violates(&masked(0x81, b"x"), Violation::Text, 1003);
    for reserved in [0xc2, 0xa2, 0x92, 0xc9] {
        violates(&masked(reserved, b"x"), Violation::ReservedBits, 1002);
    }
    for opcode in [0x83, 0x87, 0x8b, 0x8f] {
        violates(&masked(opcode, b"x"), Violation::Opcode, 1002);
    }
    violates(&masked(0x80, b"x"), Violation::Continuation, 1002);
    let twice = [masked(0x02, b"x"), masked(BINARY, b"y")].concat();
    violates(&twice, Violation::Interleaved, 1002);
    let done = [masked(0x02, b"x"), masked(0x80, b""), masked(0x80, b"")].concat();
    violates(&done, Violation::Continuation, 1002);
    violates(&masked(0x09, b"x"), Violation::ControlFrame, 1002);
    violates(&masked(PING, &[0; 126]), Violation::ControlFrame, 1002);
    assert_eq!(
        ends(Role::Client, &frame(BINARY, Some(KEY), b"x")),
        Some(End::Violated(Violation::Masked))
    );
}

#[test]
fn close_frames_are_checked() {
    let close = |payload: &[u8]| frame(CLOSE, Some(KEY), payload);
    for (payload, status) in [
        (&b""[..], None),
        (b"\x03\xe8", Some(1000)),
        (b"\x03\xe9bye", Some(1001)),
        (b"\x0f\xa0", Some(4000)),
    ] {
        assert_eq!(ends(Role::Server, &close(payload)), Some(End::Closed(status)));
    }
    for payload in [&b"\x03"[..], b"\x03\xed", b"\x03\xee", b"\x00\x01", b"\x04\x00", b"\xff\xff"] {
        violates(&close(payload), Violation::CloseStatus, 1002);
    }
    violates(&close(b"\x03\xe8\xff"), Violation::CloseReason, 1007);
    // Nothing behind it counts.
    let (out, incoming) =
        decode(Role::Server, &[close(b""), frame(BINARY, Some(KEY), b"x")].concat(), 100);
    assert_eq!((out.len(), incoming.end()), (0, Some(End::Closed(None))));
}

#[test]
fn a_message_and_a_frame_have_at_most_the_limit() {
    let max = usize::try_from(MAX).unwrap();
    let (out, incoming) = decode(Role::Server, &frame(BINARY, Some(KEY), &vec![1; max]), 5000);
    assert_eq!((out.len(), incoming.end()), (max, None));
    let too_large = Violation::TooLarge { max: MAX };
    // Announced is enough.
    let announced = frame(BINARY, Some(KEY), &vec![1; max + 1]);
    violates(&announced[..14], too_large, 1009);
    let longest = [&[0x82, 0xff][..], &[0xff; 8], &KEY].concat();
    violates(&longest, too_large, 1009);
    let parts = [frame(0x02, Some(KEY), &vec![1; max]), frame(0x80, Some(KEY), &[1])].concat();
    violates(&parts, too_large, 1009);
    let two = frame(BINARY, Some(KEY), &vec![1; max]).repeat(2);
    assert_eq!(decode(Role::Server, &two, 10_000).1.end(), None);
}

#[test]
fn payload_before_a_violation_is_returned() {
    let input = [frame(BINARY, Some(KEY), b"good"), frame(0x81, Some(KEY), b"bad")].concat();
    let (out, incoming) = decode(Role::Server, &input, usize::MAX);
    assert_eq!(out, b"good");
    assert_eq!(incoming.end(), Some(End::Violated(Violation::Text)));
}

#[test]
fn a_length_in_more_bytes_than_needed_is_accepted() {
    // RFC 6455, section 5.2, forbids it, but nothing depends on it, and small clients do it.
    let input = [&[0x82, 0x7e, 0, 2][..], b"ab", &[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1], b"c"];
    assert_eq!(decode(Role::Client, &input.concat(), 3).0, b"abc");
}

/// A frame that carries payload or none.
#[derive(Debug, Clone)]
enum Piece {
    Data(Vec<u8>, bool),
    Control(u8, Vec<u8>),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let data = (prop::collection::vec(any::<u8>(), 0..300), any::<bool>());
    let control =
        (prop::sample::select(vec![PING, PONG]), prop::collection::vec(any::<u8>(), 0..=125));
    let piece = prop_oneof![
        3 => data.prop_map(|(data, is_final)| Piece::Data(data, is_final)),
        1 => control.prop_map(|(kind, payload)| Piece::Control(kind, payload)),
    ];
    prop::collection::vec(piece, 0..20)
}

/// The frames of these pieces, their payload, and the last ping.
fn written(pieces: &[Piece], key: Option<[u8; 4]>) -> (Vec<u8>, Vec<u8>, Option<Vec<u8>>) {
    let (mut wire, mut payload, mut ping) = (Vec::new(), Vec::new(), None);
    let mut within = false;
    for piece in pieces {
        match piece {
            Piece::Data(data, is_final) => {
                let opcode = if within { 0 } else { 2 };
                within = !is_final;
                wire.extend(frame(opcode | if *is_final { 0x80 } else { 0 }, key, data));
                payload.extend(data);
            }
            Piece::Control(kind, data) => {
                wire.extend(frame(*kind, key, data));
                if *kind == PING {
                    ping = Some(data.clone());
                }
            }
        }
    }
    (wire, payload, ping)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_bytes(
        pieces in pieces(),
        key in prop::option::of(any::<[u8; 4]>()),
        sizes in prop::collection::vec(1..400_usize, 1..20),
    ) {
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let (wire, expected, ping) = written(&pieces, key);
        let mut incoming = Incoming::new(role, MAX);
        let (mut payload, mut rest, mut sizes) = (Vec::new(), &wire[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            let mut piece = piece.to_vec();
            let taken = incoming.decode(&mut piece);
            payload.extend_from_slice(&piece[..taken]);
            rest = behind;
        }
        prop_assert_eq!(payload, expected);
        prop_assert_eq!(incoming.end(), None);
        prop_assert_eq!(incoming.take_ping(), ping);
    }

    #[test]
    fn garbage_neither_panics_nor_depends_on_its_split(
        input in prop::collection::vec(any::<u8>(), 0..2000),
        size in 1..50_usize,
        is_server in any::<bool>(),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let (whole, mut one) = decode(role, &input, usize::MAX);
        let (split, mut other) = decode(role, &input, size);
        prop_assert!(whole.len() <= input.len());
        prop_assert_eq!(whole, split);
        prop_assert_eq!(one.end(), other.end());
        let ping = one.take_ping();
        prop_assert!(ping.as_ref().is_none_or(|ping| ping.len() <= 125));
        prop_assert_eq!(ping, other.take_ping());
    }
}
