//! MQTT 3.1.1 frames: encoders for those that a client sends, and a parser for those that it
//! receives.

use super::PAYLOAD;

pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBACK: u8 = 0x90;
pub const PINGREQ: u8 = 0xC0;
pub const PINGRESP: u8 = 0xD0;

pub fn connect(client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = vec![0, 4];
    body.extend_from_slice(b"MQTT");
    // Level 4, the clean session flag, no keep alive.
    body.extend_from_slice(&[4, u8::from(clean) << 1, 0, 0]);
    string(&mut body, client_id);
    frame(0x10, &body)
}

pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    string(&mut body, filter);
    body.push(qos);
    frame(0x82, &body)
}

/// A frame that contains only a packet id.
pub fn answer(kind: u8, id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [kind, 2, high, low]
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut rest = body.len();
    while rest > 0x7F {
        out.push(u8::try_from(rest & 0x7F).unwrap() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap());
    out.extend_from_slice(body);
    out
}

/// The publisher, number and time of a message, at the front of its payload.
#[derive(Clone, Copy)]
pub struct Stamp {
    pub publisher: u32,
    pub sequence: u64,
    pub sent_at: u64,
}

impl Stamp {
    const SIZE: usize = 20;

    fn bytes(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        let (publisher, rest) = out.split_at_mut(4);
        let (sequence, sent_at) = rest.split_at_mut(8);
        publisher.copy_from_slice(&self.publisher.to_be_bytes());
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        sent_at.copy_from_slice(&self.sent_at.to_be_bytes());
        out
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_at, _) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            sent_at: u64::from_be_bytes(*sent_at),
        })
    }
}

/// A PUBLISH that is complete except for its packet id and its stamp.
pub struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    stamp_at: usize,
}

impl Template {
    pub fn new(topic: &str, qos: u8) -> Self {
        let mut body = Vec::new();
        string(&mut body, topic);
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        body.resize(body.len() + PAYLOAD, b'.');
        let bytes = frame(PUBLISH | (qos << 1), &body);
        let stamp_at = bytes.len() - PAYLOAD;
        let id_at = (qos > 0).then(|| stamp_at - 2);
        Self { bytes, id_at, stamp_at }
    }

    /// Appends one message to `out`.
    pub fn write(&self, out: &mut Vec<u8>, id: u16, stamp: Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let Some(frame) = out.get_mut(start..) else {
            return;
        };
        if let Some(at) = self.id_at {
            patch(frame, at, id.to_be_bytes());
        }
        patch(frame, self.stamp_at, stamp.bytes());
    }
}

fn patch<const N: usize>(frame: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = frame.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

/// One frame in the read buffer.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub kind: u8,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first complete frame of `input`, and its length in bytes.
    pub fn split(input: &'a [u8]) -> Option<(Self, usize)> {
        let (&kind, rest) = input.split_first()?;
        let mut length = 0;
        for (place, &byte) in rest.iter().enumerate().take(4) {
            length |= usize::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                let head = place + 2;
                let body = input.get(head..head + length)?;
                return Some((Self { kind, body }, head + length));
            }
        }
        assert!(rest.len() < 4, "the broker sent a length of more than four bytes");
        None
    }

    /// The packet id of an answer.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes(*self.body.first_chunk().expect("an answer without a packet id"))
    }

    /// QoS, packet id (0 without one) and stamp of a PUBLISH.
    pub fn message(&self) -> Option<(u8, u16, Stamp)> {
        let qos = (self.kind >> 1) & 3;
        let (topic, rest) = self.body.split_first_chunk()?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*topic))..)?;
        if qos == 0 {
            return Some((qos, 0, Stamp::read(rest)?));
        }
        let (id, payload) = rest.split_first_chunk()?;
        Some((qos, u16::from_be_bytes(*id), Stamp::read(payload)?))
    }
}
