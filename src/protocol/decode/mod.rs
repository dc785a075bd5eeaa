//! Frames to packets: framing, then the strict walk over each packet.
//!
//! Only [`Decoder::frame`] may ask for more bytes. What it has called complete,
//! [`Decoder::decode`] either understands entirely or refuses with a reason.

mod ack;
mod connect;
mod end;
mod frame;
mod publish;
mod server;
mod subscribe;

use super::{DecodeError, Packet, Reply, Version, reader::Reader};
pub use frame::Frame;
use frame::Kind;

/// Which side this decoder reads for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

/// Reads one connection's packets.
#[derive(Debug, Clone)]
pub struct Decoder {
    role: Role,
    max_packet_size: u32,
    /// A server learns it from CONNECT.
    version: Option<Version>,
}

impl Decoder {
    /// For the side that accepted the connection: CONNECT must come first.
    /// `max_packet_size` counts the whole frame.
    pub fn server(max_packet_size: u32) -> Self {
        Self { role: Role::Server, max_packet_size, version: None }
    }

    /// For the side that dialled. It reads 3.1.1 until [`Decoder::set_version`].
    pub fn client(max_packet_size: u32) -> Self {
        Self { role: Role::Client, max_packet_size, version: Some(Version::V311) }
    }

    /// After CONNECT (server), or before anything is read (client).
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// From the CONNECT, if there was one.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Looks for one whole frame at the front of `buf`.
    ///
    /// # Errors
    /// What is there can never become an acceptable frame, however much follows.
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
        self.packet(frame).map_err(|error| self.with_reply(error))
    }

    #[inline]
    fn packet<'a>(&self, frame: &'a [u8]) -> Result<Packet<'a>, DecodeError> {
        let mut reader = Reader::new(frame);
        let first = reader.u8()?;
        let kind = frame::check_first_byte(self, first)?;
        let len = reader.varint()?;
        let body = reader.rest();
        if body.len() != len {
            return Err(DecodeError::malformed("frame and remaining length differ"));
        }
        // A server that has no version yet was handed a CONNECT, which brings its own.
        let version = self.version.unwrap_or(Version::V311);
        if kind == Kind::Publish {
            return publish::publish(version, self.role, first, body).map(Packet::Publish);
        }
        self.rare(kind, version, frame, body)
    }

    /// Kept out of the hot path.
    #[inline(never)]
    fn rare<'a>(
        &self,
        kind: Kind,
        version: Version,
        frame: &[u8],
        body: &'a [u8],
    ) -> Result<Packet<'a>, DecodeError> {
        let (role, reader) = (self.role, Reader::new(body));
        Ok(match kind {
            Kind::Connect => Packet::Connect(Box::new(connect::connect(reader)?)),
            Kind::ConnAck => Packet::ConnAck(Box::new(server::connack(version, frame, reader)?)),
            Kind::Publish => Packet::Publish(publish::publish(version, role, 0x30, body)?),
            Kind::PubAck => Packet::PubAck(ack::ack(version, kind, reader)?),
            Kind::PubRec => Packet::PubRec(ack::ack(version, kind, reader)?),
            Kind::PubRel => Packet::PubRel(ack::ack(version, kind, reader)?),
            Kind::PubComp => Packet::PubComp(ack::ack(version, kind, reader)?),
            Kind::Subscribe => {
                Packet::Subscribe(Box::new(subscribe::subscribe(version, frame, reader)?))
            }
            Kind::SubAck => Packet::SubAck(Box::new(server::suback(version, frame, reader)?)),
            Kind::Unsubscribe => {
                Packet::Unsubscribe(Box::new(subscribe::unsubscribe(version, reader)?))
            }
            Kind::UnsubAck => Packet::UnsubAck(Box::new(server::unsuback(version, frame, reader)?)),
            Kind::PingReq => reader.finish().map(|()| Packet::PingReq)?,
            Kind::PingResp => reader.finish().map(|()| Packet::PingResp)?,
            Kind::Disconnect => {
                Packet::Disconnect(Box::new(end::disconnect(version, role, reader)?))
            }
            Kind::Auth => Packet::Auth(Box::new(end::auth(role, reader)?)),
        })
    }

    /// v5 may say why before it closes [MQTT-4.13.1-1]; CONNECT has set its own.
    #[cold]
    fn with_reply(&self, error: DecodeError) -> DecodeError {
        if self.version == Some(Version::V5) { error.with_reply(Reply::Disconnect) } else { error }
    }
}
