//! A small MQTT client that does nothing by itself, for exact account of what was sent and
//! acknowledged.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    ConnAck { session_present: bool, code: u8 },
    Publish(Publish),
    PubAck(u16, u8),
    PubRec(u16, u8),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16),
    UnsubAck(u16),
    PingResp,
    Disconnect(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub pid: u16,
    pub topic: String,
    pub payload: Vec<u8>,
}

pub struct Raw {
    pub version: u8,
    pub session_present: bool,
    stream: TcpStream,
    buffer: Vec<u8>,
    read: usize,
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value.as_bytes());
}

/// Appends one packet to `out`.
pub fn frame(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(body);
}

pub fn publish(out: &mut Vec<u8>, version: u8, message: &Publish) {
    let mut body = Vec::with_capacity(message.payload.len() + message.topic.len() + 8);
    text(&mut body, &message.topic);
    if message.qos > 0 {
        body.extend(message.pid.to_be_bytes());
    }
    if version == 5 {
        body.push(0);
    }
    body.extend(&message.payload);
    frame(out, 0x30 | u8::from(message.dup) << 3 | message.qos << 1, &body);
}

/// Appends a SUBSCRIBE of one filter.
pub fn subscribe(out: &mut Vec<u8>, version: u8, pid: u16, filter: &str, qos: u8) {
    let mut body = pid.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    text(&mut body, filter);
    body.push(qos);
    frame(out, 0x82, &body);
}

/// Appends an UNSUBSCRIBE of one filter.
pub fn unsubscribe(out: &mut Vec<u8>, version: u8, pid: u16, filter: &str) {
    let mut body = pid.to_be_bytes().to_vec();
    if version == 5 {
        body.push(0);
    }
    text(&mut body, filter);
    frame(out, 0xA2, &body);
}

/// Appends an MQTT 5.0 PUBLISH with RETAIN at QoS 1, and a Message Expiry Interval in seconds.
pub fn retain(out: &mut Vec<u8>, pid: u16, topic: &str, payload: &[u8], expiry: Option<u32>) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 10);
    text(&mut body, topic);
    body.extend(pid.to_be_bytes());
    match expiry {
        Some(seconds) => {
            body.extend([5, 2]);
            body.extend(seconds.to_be_bytes());
        }
        None => body.push(0),
    }
    body.extend(payload);
    frame(out, 0x33, &body);
}

pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;

pub fn ack(out: &mut Vec<u8>, first: u8, pid: u16) {
    frame(out, first, &pid.to_be_bytes());
}

/// The content of a CONNECT except the client id.
#[derive(Debug, Clone)]
pub struct Connect {
    pub version: u8,
    pub clean: bool,
    pub keep_alive: u16,
    /// Seconds; MQTT 5.0 only.
    pub expiry: u32,
    pub will: Option<Will>,
}

/// At QoS 1.
#[derive(Debug, Clone)]
pub struct Will {
    pub topic: String,
    /// Seconds; MQTT 5.0 only.
    pub delay: u32,
}

impl Connect {
    /// A durable session unless `clean`, for an hour.
    pub fn new(version: u8, clean: bool) -> Self {
        Self { version, clean, keep_alive: 0, expiry: 3600, will: None }
    }

    fn encode(&self, id: &str) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        // Will flag and will QoS 1.
        let will = if self.will.is_some() { 0x0C } else { 0 };
        body.extend([self.version, will | u8::from(self.clean) << 1]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.version == 5 {
            // Session Expiry Interval.
            body.extend([5, 17]);
            body.extend(self.expiry.to_be_bytes());
        }
        text(&mut body, id);
        if let Some(will) = &self.will {
            if self.version == 5 {
                // Will Delay Interval.
                body.extend([5, 24]);
                body.extend(will.delay.to_be_bytes());
            }
            text(&mut body, &will.topic);
            text(&mut body, "gone");
        }
        let mut out = Vec::new();
        frame(&mut out, 0x10, &body);
        out
    }
}

impl Raw {
    /// Connects; a durable session unless `clean`.
    pub fn connect(port: u16, version: u8, id: &str, clean: bool) -> io::Result<Self> {
        Self::with(port, id, &Connect::new(version, clean))
    }

    /// As [`Raw::connect`], with a keep alive in seconds.
    pub fn connect_alive(
        port: u16,
        version: u8,
        id: &str,
        clean: bool,
        keep_alive: u8,
    ) -> io::Result<Self> {
        let keep_alive = keep_alive.into();
        Self::with(port, id, &Connect { keep_alive, ..Connect::new(version, clean) })
    }

    pub fn with(port: u16, id: &str, connect: &Connect) -> io::Result<Self> {
        let mut client = Self::begin(port, id, connect)?;
        client.accepted()?;
        Ok(client)
    }

    /// Sends CONNECT and does not wait for its answer.
    pub fn begin(port: u16, id: &str, connect: &Connect) -> io::Result<Self> {
        let version = connect.version;
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        let mut client =
            Self { version, session_present: false, stream, buffer: Vec::new(), read: 0 };
        client.send(&connect.encode(id))?;
        Ok(client)
    }

    /// Waits for the CONNACK after [`Raw::begin`].
    pub fn accepted(&mut self) -> io::Result<()> {
        match self.recv()? {
            Packet::ConnAck { session_present, code: 0 } => {
                self.session_present = session_present;
                Ok(())
            }
            // Server unavailable, in both versions: the broker is stopping.
            Packet::ConnAck { code: 3 | 0x88, .. } => {
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the broker is ending"))
            }
            other => panic!("expected CONNACK 0, got {other:?}"),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A second handle to the socket, for writing from another thread.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Sets how long a read waits; the default is a minute.
    pub fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    pub fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut out = Vec::new();
        subscribe(&mut out, self.version, 1, filter, qos);
        self.send(&out)?;
        assert_eq!(self.recv()?, Packet::SubAck(1));
        Ok(())
    }

    /// Sends PINGREQ and returns all packets before PINGRESP.
    pub fn until_ping(&mut self) -> io::Result<Vec<Packet>> {
        self.send(&[0xC0, 0])?;
        let mut seen = Vec::new();
        loop {
            match self.recv()? {
                Packet::PingResp => return Ok(seen),
                other => seen.push(other),
            }
        }
    }

    /// True if `recv` would return a packet without reading from the socket.
    pub fn has_packet(&self) -> bool {
        self.peek().is_some()
    }

    pub fn recv(&mut self) -> io::Result<Packet> {
        let (first, body) = self.recv_frame()?;
        Ok(self.decode(first, &body))
    }

    /// The first byte and the body of the next packet, for what [`Packet`] does not hold.
    pub fn recv_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((first, start, end)) = self.peek() {
                self.read = end;
                return Ok((first, self.buffer[start..end].to_vec()));
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            let mut chunk = [0; 16384];
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => self.buffer.extend(&chunk[..n]),
            }
        }
    }

    fn peek(&self) -> Option<(u8, usize, usize)> {
        let data = &self.buffer[self.read..];
        let (mut length, mut shift) = (0_usize, 0);
        for (index, byte) in data.iter().enumerate().skip(1).take(4) {
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                let start = self.read + index + 1;
                let end = start + length;
                return (self.buffer.len() >= end).then_some((data[0], start, end));
            }
        }
        None
    }

    fn decode(&self, first: u8, body: &[u8]) -> Packet {
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let reason = body.get(2).copied().unwrap_or(0);
        match first & 0xF0 {
            0x20 => Packet::ConnAck { session_present: body[0] & 1 == 1, code: body[1] },
            0x30 => Packet::Publish(self.decode_publish(first, body)),
            0x40 => Packet::PubAck(number(0), reason),
            0x50 => Packet::PubRec(number(0), reason),
            0x60 => Packet::PubRel(number(0)),
            0x70 => Packet::PubComp(number(0)),
            0x90 => Packet::SubAck(number(0)),
            0xB0 => Packet::UnsubAck(number(0)),
            0xD0 => Packet::PingResp,
            0xE0 => Packet::Disconnect(body.first().copied().unwrap_or(0)),
            _ => panic!("unexpected packet {first:#x}"),
        }
    }

    fn decode_publish(&self, first: u8, body: &[u8]) -> Publish {
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let qos = first >> 1 & 3;
        let (mut at, mut pid) = (topic_end, 0);
        if qos > 0 {
            pid = u16::from_be_bytes([body[at], body[at + 1]]);
            at += 2;
        }
        if self.version == 5 {
            // Property lengths here stay below 128.
            at += 1 + usize::from(body[at]);
        }
        Publish {
            dup: first & 8 > 0,
            qos,
            pid,
            topic: std::str::from_utf8(&body[2..topic_end]).unwrap().into(),
            payload: body[at..].into(),
        }
    }
}
