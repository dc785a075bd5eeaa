//! Tests of raw bytes, each named after the clause that it checks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod acks;
mod arbitrary;
mod connect;
mod encoding;
mod end;
mod framing;
mod library_faults;
mod properties;
mod publish;
mod robustness;
mod round_trip;
mod seeds;
mod server_packets;
mod subscribe;
mod topics;

use super::*;

const BEFORE_V5: [Version; 2] = [Version::V31, Version::V311];
const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const MAX: u32 = 268_435_460;

/// A server's decoder after CONNECT.
fn server(version: Version) -> Decoder {
    let mut decoder = Decoder::server(MAX);
    decoder.set_version(version);
    decoder
}

fn client(version: Version) -> Decoder {
    let mut decoder = Decoder::client(MAX);
    decoder.set_version(version);
    decoder
}

/// A frame with these parts.
fn framed(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = bytes::BytesMut::from(&[first][..]);
    varint::put(&mut out, body.len());
    out.extend_from_slice(&body);
    out.to_vec()
}

/// A string or binary data with its length.
fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Properties with their length.
fn block(parts: &[&[u8]]) -> Vec<u8> {
    framed(0, parts)[1..].to_vec()
}

/// Frames and decodes `bytes`, which is exactly one frame.
fn read<'a>(decoder: &Decoder, bytes: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
    assert_eq!(decoder.frame(bytes)?, Frame::Complete { len: bytes.len() });
    decoder.decode(bytes)
}

/// The reason code with which a frame is refused.
#[track_caller]
fn refused(decoder: &Decoder, bytes: &[u8]) -> ReasonCode {
    match read(decoder, bytes) {
        Ok(packet) => panic!("accepted {packet:?}"),
        Err(error) => error.reason,
    }
}

#[track_caller]
fn accepted<'a>(decoder: &Decoder, bytes: &'a [u8]) -> Packet<'a> {
    read(decoder, bytes).unwrap()
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}
