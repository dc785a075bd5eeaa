//! An MQTT client of a hundred lines that does nothing by itself, for exact account
//! of what was sent and acknowledged.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub use super::packets::*;

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

pub struct Raw {
    pub version: u8,
    pub session_present: bool,
    stream: TcpStream,
    buffer: Vec<u8>,
    read: usize,
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

    /// The other role: a client has connected, and is answered by hand.
    pub fn accepted_from(stream: TcpStream, version: u8) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        Ok(Self { version, session_present: false, stream, buffer: Vec::new(), read: 0 })
    }

    /// Sends CONNECT and does not wait for its answer.
    pub fn begin(port: u16, id: &str, connect: &Connect) -> io::Result<Self> {
        let version = connect.version;
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        let mut client = Self::accepted_from(stream, version)?;
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
            // Server unavailable, in both versions: it is about to stop.
            Packet::ConnAck { code: 3 | 0x88, .. } => {
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the broker is ending"))
            }
            other => panic!("expected CONNACK 0, got {other:?}"),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Another handle to the socket, to write from another thread.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// How long a read waits; a minute until this is called.
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

    /// Sends PINGREQ and answers all that comes before PINGRESP.
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

    /// True if `recv` would answer without reading from the socket.
    pub fn has_packet(&self) -> bool {
        self.peek().is_some()
    }

    pub fn recv(&mut self) -> io::Result<Packet> {
        let (first, body) = self.recv_frame()?;
        Ok(self.decode(first, &body))
    }

    /// The first byte and what follows the length, for what [`Packet`] does not tell.
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
