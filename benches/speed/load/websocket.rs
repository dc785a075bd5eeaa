//! The client's side of WebSocket (RFC 6455): as much of it as MQTT's frames need.
//!
//! Each MQTT packet goes out in a frame of its own, as most client libraries send them.

use std::io::{self, ErrorKind, Read, Write};

use super::frames::Frame;

const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
/// Of the first byte: the last frame of its message.
const FINAL: u8 = 0x80;
/// Of the second byte.
const MASKED: u8 = 0x80;
/// A length that follows in two bytes, or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// A client has to mask. The key is not random, since nothing between the two could be misled.
const KEY: [u8; 4] = [0x5A, 0xC3, 0x96, 0x3C];

/// The longest header of a broker's frame: two bytes, eight of length.
const LONGEST_HEADER: usize = 10;

/// Makes the opening handshake.
pub fn open(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(
        b"GET /mqtt HTTP/1.1\r\n\
          Host: localhost\r\n\
          Connection: Upgrade\r\n\
          Upgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: c3BlZWQgYmVuY2ggMTIzNA==\r\n\
          Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    )?;
    stream.flush()?;
    // Byte by byte, since frames may follow it at once.
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.extend_from_slice(&byte);
    }
    if answer.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer);
    Err(io::Error::other(format!("the upgrade to WebSocket was answered with {answer:?}")))
}

/// Appends complete MQTT packets to `out`, each in a masked frame.
pub fn wrap(mut packets: &[u8], out: &mut Vec<u8>) {
    while let Some((_, length)) = Frame::split(packets) {
        let (packet, rest) = packets.split_at(length);
        let size = u16::try_from(length).expect("no scenario has packets of 64 KiB");
        out.push(FINAL | BINARY);
        if size < u16::from(LENGTH_16) {
            out.push(MASKED | size as u8);
        } else {
            out.push(MASKED | LENGTH_16);
            out.extend_from_slice(&size.to_be_bytes());
        }
        out.extend_from_slice(&KEY);
        let start = out.len();
        out.extend_from_slice(packet);
        mask(out.get_mut(start..).unwrap_or_default());
        packets = rest;
    }
}

fn mask(payload: &mut [u8]) {
    let [a, b, c, d] = KEY;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(KEY.iter().cycle()) {
        *byte ^= key;
    }
}

/// Takes the payload out of the broker's frames, wherever these were split.
#[derive(Default)]
pub struct Unwrap {
    /// Bytes of the current frame's payload that are still to come.
    left: u64,
    head: [u8; LONGEST_HEADER],
    head_len: usize,
}

impl Unwrap {
    /// Moves the payload in `bytes` to the front, and returns its length.
    pub fn unwrap(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut at, mut out) = (0, 0);
        while let Some(&next) = bytes.get(at) {
            if self.left > 0 {
                let here = bytes.len() - at;
                let len = usize::try_from(self.left).map_or(here, |left| left.min(here));
                bytes.copy_within(at..at + len, out);
                self.left -= len as u64;
                at += len;
                out += len;
                continue;
            }
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = next;
            }
            self.head_len += 1;
            at += 1;
            if let Some(length) = self.length()? {
                self.left = length;
                self.head_len = 0;
            }
        }
        Ok(out)
    }

    /// The length of the frame's payload, once its header is complete.
    fn length(&self) -> io::Result<Option<u64>> {
        let head = self.head.get(..self.head_len).unwrap_or(&self.head);
        let Some((&[kind, short], extended)) = head.split_first_chunk() else { return Ok(None) };
        let length = match short {
            0..LENGTH_16 => Some(u64::from(short)),
            LENGTH_16 => extended.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into()),
            LENGTH_64 => extended.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            MASKED.. => return Err(io::Error::other("the broker sent a masked frame")),
        };
        let Some(length) = length else { return Ok(None) };
        match kind & 0x0F {
            BINARY | CONTINUATION => Ok(Some(length)),
            CLOSE => Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker closed a WebSocket")),
            other => Err(io::Error::other(format!("the broker sent a frame of type {other}"))),
        }
    }
}
