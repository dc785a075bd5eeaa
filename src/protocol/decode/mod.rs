//! Decodes frames to packets: framing, then strict validation of each packet.
//!
//! Only [`Decoder::frame`] can require more bytes. A frame that it has called complete is
//! either decoded entirely by [`Decoder::decode`] or refused with a reason code.

mod ack;
mod connect;
mod end;
mod frame;
mod publish;
mod server;
mod subscribe;

use super::{DecodeError, Packet, Reply, Version, reader::Reader};
pub use frame::Frame;
use frame::{Kind, Rare};

/// The side for which a decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

/// Decodes the packets of one connection.
#[derive(Debug, Clone)]
pub struct Decoder {
    role: Role,
    max_packet_size: u32,
    /// A server sets it after CONNECT.
    version: Option<Version>,
}

impl Decoder {
    /// For the side that accepted the connection: the first packet must be CONNECT.
    /// `max_packet_size` limits the whole frame, in bytes.
    pub fn server(max_packet_size: u32) -> Self {
        Self { role: Role::Server, max_packet_size, version: None }
    }

    /// For the side that dialled. It decodes 3.1.1 until [`Decoder::set_version`] is called.
    pub fn client(max_packet_size: u32) -> Self {
        Self { role: Role::Client, max_packet_size, version: Some(Version::V311) }
    }

    /// To be called after CONNECT (server), or before anything is read (client).
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The version; `None` before CONNECT.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Looks for one whole frame at the front of `buf`.
    ///
    /// # Errors
    /// The bytes cannot become a valid frame, whatever follows.
    #[inline]
    pub fn frame(&self, buf: &[u8]) -> Result<Frame, DecodeError> {
        frame::frame(self, buf).map_err(|error| self.with_reply(error))
    }

    /// Decodes one whole frame, as found by [`Decoder::frame`].
    ///
    /// # Errors
    /// The packet breaks a rule; the connection has to be closed.
    #[inline]
    pub fn decode<'a>(&self, frame: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        let (first, kind, body) = match self.open(frame) {
            Ok(opened) => opened,
            Err(error) => return Err(self.with_reply(error)),
        };
        // Only a CONNECT is decoded without a version, and it has its own.
        let version = self.version.unwrap_or(Version::V311);
        match kind {
            Kind::Publish => publish::publish(self, version, first, body),
            Kind::Ack(kind) => self.reply_in(ack::packet(version, kind, body)),
            Kind::Rare(kind) => self.reply_in(rare(kind, version, self.role, frame, body)),
        }
    }

    /// Returns first byte, type and body of a frame.
    #[inline]
    fn open<'a>(&self, frame: &'a [u8]) -> Result<(u8, Kind, &'a [u8]), DecodeError> {
        let mut reader = Reader::new(frame);
        let first = reader.u8()?;
        let kind = frame::check_first_byte(self, first)?;
        let len = reader.varint()?;
        let body = reader.rest();
        if body.len() != len {
            return Err(DecodeError::malformed("frame and remaining length differ"));
        }
        Ok((first, kind, body))
    }

    #[inline]
    fn reply_in<'a>(
        &self,
        mut packet: Result<Packet<'a>, DecodeError>,
    ) -> Result<Packet<'a>, DecodeError> {
        if let Err(error) = &mut packet {
            *error = self.with_reply(*error);
        }
        packet
    }

    /// A v5 peer may be told the reason before the close [MQTT-4.13.1-1]. An error in CONNECT
    /// has its reply already.
    #[cold]
    fn with_reply(&self, error: DecodeError) -> DecodeError {
        if self.version == Some(Version::V5) { error.with_reply(Reply::Disconnect) } else { error }
    }
}

/// Not inlined, to keep the code for frequent packets small.
#[inline(never)]
fn rare(
    kind: Rare,
    version: Version,
    role: Role,
    frame: &[u8],
    body: &[u8],
) -> Result<Packet<'static>, DecodeError> {
    let reader = Reader::new(body);
    Ok(match kind {
        Rare::Connect => {
            let connect = connect::connect(reader)?;
            let flags = frame.first().map_or(0, |first| first & 0x0F);
            if flags != 0 && connect.version != Version::V31 {
                return Err(DecodeError::malformed(
                    "reserved flags of the fixed header [MQTT-2.1.3-1]",
                ));
            }
            Packet::Connect(Box::new(connect))
        }
        Rare::ConnAck => Packet::ConnAck(Box::new(server::connack(version, frame, reader)?)),
        Rare::Subscribe => {
            Packet::Subscribe(Box::new(subscribe::subscribe(version, frame, reader)?))
        }
        Rare::SubAck => Packet::SubAck(Box::new(server::suback(version, frame, reader)?)),
        Rare::Unsubscribe => {
            Packet::Unsubscribe(Box::new(subscribe::unsubscribe(version, reader)?))
        }
        Rare::UnsubAck => Packet::UnsubAck(Box::new(server::unsuback(version, frame, reader)?)),
        Rare::PingReq => reader.finish().map(|()| Packet::PingReq)?,
        Rare::PingResp => reader.finish().map(|()| Packet::PingResp)?,
        Rare::Disconnect => Packet::Disconnect(Box::new(end::disconnect(version, role, reader)?)),
        Rare::Auth => Packet::Auth(Box::new(end::auth(role, reader)?)),
    })
}
