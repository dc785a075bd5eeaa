//! Code of the targets for packets: reads the input as a stream of packets, encodes each packet
//! again, and decodes that. Those of other targets are in modules.

pub mod auth;
#[path = "../src/message/ids.rs"]
mod ids;
pub mod jwt;
#[path = "../src/peer.rs"]
pub mod peer;
#[path = "../src/protocol/mod.rs"]
pub mod protocol;
#[path = "../src/net/proxy_protocol/header.rs"]
pub mod proxy_header;
pub mod rules;
pub mod websocket;

/// As in the broker.
pub mod message {
    pub use crate::ids::WallMillis;
}

use bytes::BytesMut;
use protocol::{Decoder, Frame, Packet, Version, encode};

/// Small enough that the fuzzer reaches the limit.
const MAX_PACKET_SIZE: u32 = 4096;
/// The second decoding checks the content, not the size.
const NO_LIMIT: u32 = u32::MAX;

/// The first byte selects whose packets follow: a client's if it is even, else a server's.
pub fn run(mut version: Version, input: &[u8]) {
    let Some((role, mut stream)) = input.split_first() else {
        return;
    };
    let new = if role % 2 == 0 {
        Decoder::server
    } else {
        Decoder::client
    };
    let (mut decoder, mut again) = (new(MAX_PACKET_SIZE), new(NO_LIMIT));
    // A stream without CONNECT continues a connection.
    if role % 2 == 1 || stream.first().is_some_and(|first| first >> 4 != 1) {
        decoder.set_version(version);
        again.set_version(version);
    }
    while let Ok(Frame::Complete { len }) = decoder.frame(stream) {
        let (frame, rest) = stream.split_at(len);
        stream = rest;
        let Ok(packet) = decoder.decode(frame) else {
            return;
        };
        // A CONNECT sets the version, whatever the target began with.
        if let Packet::Connect(connect) = &packet {
            version = connect.version;
        }
        check(&again, version, &packet);
        if matches!(packet, Packet::Connect(_)) {
            decoder.set_version(version);
            again.set_version(version);
        }
    }
}

fn check(decoder: &Decoder, version: Version, packet: &Packet<'_>) {
    let mut out = BytesMut::new();
    encode::packet(&mut out, version, packet);
    assert_eq!(
        decoder.frame(&out),
        Ok(Frame::Complete { len: out.len() }),
        "{packet:?}"
    );
    assert_eq!(
        decoder.decode(&out).as_ref(),
        Ok(packet),
        "written as {out:?}"
    );
}
