//! Arbitrary input causes no panic and no read beyond the frame.

use bytes::BytesMut;
use proptest::prelude::*;

use super::arbitrary as any_of;
use super::*;

fn decoders() -> Vec<Decoder> {
    let with_version = ALL.into_iter().flat_map(|version| [server(version), client(version)]);
    with_version.chain([Decoder::server(MAX), Decoder::client(64)]).collect()
}

/// Decodes frames until one is refused or incomplete.
fn read_all(decoder: &Decoder, mut bytes: &[u8]) {
    while let Ok(Frame::Complete { len }) = decoder.frame(bytes) {
        assert!((2..=bytes.len()).contains(&len));
        let (frame, rest) = bytes.split_at(len);
        if let Ok(Packet::Publish(publish)) = decoder.decode(frame) {
            let (frame, payload) = (frame.as_ptr_range(), publish.payload.as_ptr_range());
            assert!(
                payload.is_empty() || (frame.start <= payload.start && payload.end <= frame.end)
            );
        }
        bytes = rest;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for decoder in decoders() {
            read_all(&decoder, &bytes);
            let _ = decoder.decode(&bytes);
        }
    }

    #[test]
    fn arbitrary_bodies(first in any::<u8>(), body in proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..60)) {
        let bytes = framed(first, &[&body]);
        for decoder in decoders() {
            read_all(&decoder, &bytes);
        }
    }

    #[test]
    fn damaged_packets(
        (version, packet) in any_of::any_version().prop_flat_map(|v| {
            let connect = any_of::connect(v).prop_map(|c| Packet::Connect(Box::new(c)));
            (Just(v), prop_oneof![any_of::from_client(v), any_of::from_server(v), connect])
        }),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        tail in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut out = BytesMut::new();
        encode::packet(&mut out, version, &packet);
        let whole = out.len();
        for (at, byte) in damage {
            out[at.index(whole)] = byte;
        }
        // The same bytes with a tail, truncated, and truncated within the frame.
        let cut = cut.index(whole);
        let with_tail = [&out[..], &tail].concat();
        for decoder in decoders() {
            read_all(&decoder, &with_tail);
            read_all(&decoder, &out[..cut]);
            let _ = decoder.decode(&out[..cut]);
            let _ = decoder.decode(&with_tail);
        }
    }

    #[test]
    fn a_prefix_of_a_valid_packet_is_unfinished_and_no_error(
        (version, packet) in any_of::any_version().prop_flat_map(|v| (Just(v), any_of::from_client(v))),
    ) {
        let mut out = BytesMut::new();
        encode::packet(&mut out, version, &packet);
        let decoder = server(version);
        for len in 0..out.len() {
            let incomplete = matches!(decoder.frame(&out[..len]), Ok(Frame::Incomplete { needed: None | Some(_) }));
            prop_assert!(incomplete);
        }
    }

    #[test]
    fn topics_never_panic(filter in ".{0,12}", topic in ".{0,12}") {
        let (filter, topic) = (TopicFilter::new(&filter), TopicName::new(&topic));
        if let (Ok(filter), Ok(topic)) = (filter, topic) {
            let _ = matches(filter.matched(), topic.as_str());
        }
    }
}
